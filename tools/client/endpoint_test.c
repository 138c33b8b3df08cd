/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/endpoint.h"

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ip_addr a;
static uint8_t bits;

static void prefixes(void)
{
	CU_ASSERT_TRUE(endpoint_prefix("10.1.2.3/8", &a, &bits));
	CU_ASSERT(ip_is_v4(&a) && ip_to_v4(&a) == 0x0a010203 && bits == 8);
	CU_ASSERT_TRUE(endpoint_prefix("10.1.2.3", &a, &bits));
	CU_ASSERT_EQUAL(bits, 24);
	CU_ASSERT_TRUE(endpoint_prefix("fd00::1/48", &a, &bits));
	CU_ASSERT(!ip_is_v4(&a) && a.bytes[0] == 0xfd && a.bytes[15] == 1 && bits == 48);
	CU_ASSERT_TRUE(endpoint_prefix("fd00::1", &a, &bits));
	CU_ASSERT_EQUAL(bits, 64);
	static const char *const bad[] = {"", "10.1.2", "10.1.2.3/", "10.1.2.3/0", "10.1.2.3/33",
		"10.1.2.3/x", "10.1.2.3/8x", "fd00::1/129", "/24", "host/24", "10.1.2.3/-1",
		"0123456789012345678901234567890123456789012345678901234567890123456789/8"};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(endpoint_prefix(bad[i], &a, &bits));
}

static void hosts(void)
{
	struct transport_address t;
	char error[200];

	CU_ASSERT_EQUAL(endpoint_resolve("127.0.0.1", 5672, ENDPOINT_ANY, &t, error, sizeof(error)), 0);
	CU_ASSERT(t.family == 4 && t.port == 5672 && t.bytes[0] == 127 && t.bytes[3] == 1);
	CU_ASSERT_EQUAL(endpoint_resolve("::1", 1, ENDPOINT_ANY, &t, error, sizeof(error)), 0);
	CU_ASSERT(t.family == 6 && t.bytes[15] == 1);
	CU_ASSERT_EQUAL(endpoint_resolve("no such host", 1, ENDPOINT_ANY, &t, error, sizeof(error)), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "--broker no such host: "));
	CU_ASSERT_EQUAL(endpoint_resolve("::1", 1, ENDPOINT_V6, &t, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(endpoint_resolve("::1", 1, ENDPOINT_V4, &t, error, sizeof(error)), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "--broker ::1: no IPv4 address, which --address is"));
	CU_ASSERT_EQUAL(endpoint_resolve("127.0.0.1", 1, ENDPOINT_V6, &t, error, sizeof(error)), -1);
	CU_ASSERT_EQUAL(endpoint_resolve("fe80::1%lo", 1, ENDPOINT_ANY, &t, error, sizeof(error)), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "on one link alone"));
}

/* A name of two addresses is the one where somebody listens. */
static void several(void)
{
	static const char *const other[] = {"127.0.0.2", "127.0.0.1"};
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *list[2];

	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_in at = {.sin_family = AF_INET};
		socklen_t bytes = sizeof(at);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CU_ASSERT_EQUAL(inet_pton(AF_INET, other[i], &at.sin_addr), 1);
		CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&at, sizeof(at)) | listen(fd, 1), 0);
		CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
		uint16_t port = ntohs(at.sin_port);
		for (unsigned k = 0; k < 2; k++)
			CU_ASSERT_EQUAL(getaddrinfo(other[k], NULL, &hints, &list[k]), 0);
		list[0]->ai_next = list[1];
		CU_ASSERT_PTR_EQUAL(endpoint_choose(list[0], port, ENDPOINT_ANY), list[i]);
		CU_ASSERT_PTR_EQUAL(endpoint_choose(list[0], port, ENDPOINT_V4), list[0]);
		close(fd);
		CU_ASSERT_PTR_EQUAL(endpoint_choose(list[0], port, ENDPOINT_ANY), list[0]); /* nobody */
		list[0]->ai_next = NULL;
		freeaddrinfo(list[0]);
		freeaddrinfo(list[1]);
	}
}

static void splits(void)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {{"broker", "broker", 0}, {"broker.example:5673", "broker.example", 5673},
		{"10.1.2.3", "10.1.2.3", 0}, {"10.1.2.3:1", "10.1.2.3", 1}, {"::1", "::1", 0},
		{"fd00::5672", "fd00::5672", 0}, {"[::1]", "::1", 0}, {"[fd00::2]:65535", "fd00::2", 65535},
		{"::ffff:10.1.2.3", "::ffff:10.1.2.3", 0}};
	static const char *const bad[] = {"", ":5672", "[", "[]", "[]:1", "[::1", "[::1]5672",
		"[::1]:", "[::1]:0", "[::1]:65536", "[::1]:x", "[10.1.2.3]:1", "[broker]",
		"broker:", "broker:0", "broker:65536", "broker:+1", "broker:1x"};
	char host[ENDPOINT_HOST_BYTES], longest[ENDPOINT_HOST_BYTES + 1];
	uint16_t port;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CU_ASSERT_TRUE(endpoint_split(good[i].text, host, &port));
		CU_ASSERT_STRING_EQUAL(host, good[i].host);
		CU_ASSERT_EQUAL(port, good[i].port);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(endpoint_split(bad[i], host, &port));
	memset(longest, 'a', sizeof(longest));
	longest[ENDPOINT_HOST_BYTES] = '\0';
	CU_ASSERT_FALSE(endpoint_split(longest, host, &port));
	longest[ENDPOINT_HOST_BYTES - 1] = '\0';
	CU_ASSERT_TRUE(endpoint_split(longest, host, &port));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"prefixes", prefixes}, {"hosts", hosts}, {"several", several},
			{"splits", splits}, {0}});
}
