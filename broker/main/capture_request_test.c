/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/capture_request.h"

#include "tests/unit/unit.h"

#include <string.h>

static struct config config;
static struct capture_request r;
static char error[CONFIG_NAME_BYTES * 4];

static int read_text(const char *text)
{
	json_t *arguments = text ? json_loads(text, 0, NULL) : NULL;

	config.port_count = 2;
	strcpy(config.ports[0].name, "godwit0");
	strcpy(config.ports[1].name, "lan");
	CU_ASSERT(!text || arguments);
	error[0] = '\0';
	int result = capture_request_read(&r, arguments, &config, error, sizeof(error));
	json_decref(arguments);
	return result;
}

static void test_defaults(void)
{
	CU_ASSERT_EQUAL(read_text(NULL), 0);
	CU_ASSERT(!r.ports[0] && !r.ports[1] && r.filter_text[0] == '\0' && r.nanoseconds);
	CU_ASSERT_EQUAL(r.packets, 1000000);
	CU_ASSERT_EQUAL(r.bytes, 1u << 30);
	CU_ASSERT_EQUAL(r.duration_us, 3600000000ull);
	CU_ASSERT_EQUAL(r.buffer_bytes, 16u << 20);
	CU_ASSERT_EQUAL(r.snaplen, 262144);
	CU_ASSERT(!r.filter.host.family && !r.filter.tcp_port && !r.filter.has_conn);
}

static void test_everything(void)
{
	CU_ASSERT_EQUAL(
		read_text("{\"ports\":[\"lan\"],\"host\":\"10.1.0.0/16\",\"tcp_port\":5672,\"connection\":["
			  "\"10.1.0.1:40000\",\"10.1.0.2:5672\"],\"packets\":5,\"bytes\":6000,\"duration_"
			  "us\":7,"
			  "\"snaplen\":80,\"buffer\":5000,\"resolution\":\"us\"}"),
		0);
	CU_ASSERT(!r.ports[0] && r.ports[1] && !r.nanoseconds);
	CU_ASSERT(r.packets == 5 && r.bytes == 6000 && r.duration_us == 7 && r.snaplen == 80);
	CU_ASSERT_EQUAL(r.buffer_bytes, 8192);
	CU_ASSERT(
		r.filter.host.family == 4 && r.filter.host.prefix_bits == 16 && r.filter.host.bytes[1] == 1);
	CU_ASSERT(r.filter.tcp_port == 5672 && r.filter.has_conn);
	CU_ASSERT(r.filter.conn[0].port == 40000 && r.filter.conn[1].port == 5672);
	CU_ASSERT(r.filter.conn[1].address.bytes[3] == 2 && r.filter.conn[1].address.prefix_bits == 32);
	CU_ASSERT_STRING_EQUAL(r.filter_text,
		"host 10.1.0.0/16 and tcp port 5672 and connection 10.1.0.1:40000, 10.1.0.2:5672");
	CU_ASSERT_EQUAL(
		read_text("{\"host\":\"fd00::1\",\"connection\":[\"[fd00::1]:1\",\"[fd00::2]:65535\"]}"), 0);
	CU_ASSERT(r.filter.host.family == 6 && r.filter.host.prefix_bits == 128);
	CU_ASSERT(r.filter.conn[1].address.bytes[15] == 2 && r.filter.conn[1].port == 65535);
}

static void test_refusals(void)
{
	static const char *const cases[][2] = {
		{"{\"ports\":[\"eth0\"]}", "there is no port eth0; there are: godwit0, lan"},
		{"{\"ports\":[]}", "ports is a list"},
		{"{\"ports\":[7]}", "there is no port"},
		{"{\"host\":\"10.0.0\"}", "host is"},
		{"{\"host\":\"10.0.0.0/33\"}", "host is"},
		{"{\"host\":\"10.0.0.0/\"}", "host is"},
		{"{\"host\":\"fd00::/129\"}", "host is"},
		{"{\"host\":5}", "host is"},
		{"{\"tcp_port\":0}", "tcp_port is a number from 1 to 65535"},
		{"{\"tcp_port\":65536}", "tcp_port is"},
		{"{\"connection\":[\"10.0.0.1:1\"]}", "connection is"},
		{"{\"connection\":[\"10.0.0.1\",\"10.0.0.2:2\"]}", "connection is"},
		{"{\"connection\":[\"10.0.0.1:0\",\"10.0.0.2:2\"]}", "connection is"},
		{"{\"connection\":[\"10.0.0.1:1\",\"[fd00::1]:2\"]}", "connection is"},
		{"{\"connection\":[\"fd00::1:1\",\"fd00::1:2\"]}", "connection is"},
		{"{\"connection\":[\"[10.0.0.1]:1\",\"10.0.0.2:2\"]}", "connection is"},
		{"{\"connection\":\"10.0.0.1:1\"}", "connection is"},
		{"{\"packets\":0}", "packets is a number"},
		{"{\"packets\":-1}", "packets is a number"},
		{"{\"packets\":1.5}", "packets is a number"},
		{"{\"bytes\":\"1G\"}", "bytes is a number"},
		{"{\"snaplen\":300000}", "snaplen is a number from 1 to 262144"},
		{"{\"buffer\":1000}", "buffer is a number from 4096 to 268435456"},
		{"{\"duration_us\":0}", "duration_us is"},
		{"{\"resolution\":\"ms\"}", "resolution: no argument of capture, or not its value"},
		{"{\"color\":1}", "color: no argument of capture, or not its value"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_EQUAL(read_text(cases[i][0]), -1);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, cases[i][1]));
		if (!strstr(error, cases[i][1]))
			printf("# %s: %s\n", cases[i][0], error);
	}
}

static const struct unit_test tests[] = {
	{"without arguments", test_defaults},
	{"every argument", test_everything},
	{"what is refused, and why", test_refusals},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
