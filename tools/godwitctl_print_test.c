/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_print.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void expect(const char *json, bool all, const char *golden)
{
	char *text = NULL;
	size_t bytes;
	json_error_t where;
	json_t *result = json_loads(json, JSON_DECODE_ANY, &where);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	FILE *f = open_memstream(&text, &bytes);
	print_result(result, all, f);
	fclose(f);
	CU_ASSERT_STRING_EQUAL(text, golden);
	if (strcmp(text, golden))
		printf("got:\n%s", text);
	free(text);
	json_decref(result);
}

static const char status[] =
	"{\"product\":\"godwit\",\"version\":\"0.1.0\",\"pid\":42,\"uptime_s\":93784,\"hugepages\":false,"
	"\"memory_mb\":64,\"config\":\"\","
	"\"cores\":[{\"index\":0,\"cpu\":0,\"turns\":1000,\"turns_busy\":20,\"sleeps\":0}],"
	"\"ports\":[{\"name\":\"godwit0\",\"link_up\":true,\"rx_frames\":12,\"tx_frames\":7,\"tx_refused\":0}"
	","
	"{\"name\":\"lan\",\"link_up\":false,\"rx_frames\":0,\"tx_frames\":123456,\"tx_refused\":0}],"
	"\"listeners\":[],\"connections\":0,"
	"\"tcp\":[{\"port\":\"godwit0\",\"counters\":{\"segments_received\":9,\"checksum_bad\":0}}],"
	"\"amqp\":{\"frames\":0,\"methods\":{\"publish\":0}},"
	"\"broker\":{\"queues\":3,\"consumers\":0,\"methods\":{\"publish\":5}},"
	"\"persistence\":\"none\"}";

static void test_status(void)
{
	expect(status, false,
		"product      godwit\n"
		"version      0.1.0\n"
		"pid          42\n"
		"uptime_s     93784 s (1 d 2 h 3 min)\n"
		"hugepages    no\n"
		"memory_mb    64\n"
		"config       -\n"
		"connections  0\n"
		"persistence  none\n"
		"\ncores\n"
		"  index  cpu  turns  turns_busy\n"
		"      0    0   1000          20\n"
		"\nports\n"
		"  name     link_up  rx_frames  tx_frames\n"
		"  godwit0  yes             12          7\n"
		"  lan      no               0     123456\n"
		"\nlisteners\n"
		"  none\n"
		"\ntcp\n"
		"  port     segments_received\n"
		"  godwit0                  9\n"
		"\namqp\n"
		"  all zero\n"
		"\nbroker\n"
		"  queues           3\n"
		"  methods.publish  5\n");
}

static void test_all(void)
{
	expect(status, true,
		"product      godwit\n"
		"version      0.1.0\n"
		"pid          42\n"
		"uptime_s     93784 s (1 d 2 h 3 min)\n"
		"hugepages    no\n"
		"memory_mb    64\n"
		"config       -\n"
		"connections  0\n"
		"persistence  none\n"
		"\ncores\n"
		"  index  cpu  turns  turns_busy  sleeps\n"
		"      0    0   1000          20       0\n"
		"\nports\n"
		"  name     link_up  rx_frames  tx_frames  tx_refused\n"
		"  godwit0  yes             12          7           0\n"
		"  lan      no               0     123456           0\n"
		"\nlisteners\n"
		"  none\n"
		"\ntcp\n"
		"  port     segments_received  checksum_bad\n"
		"  godwit0                  9             0\n"
		"\namqp\n"
		"  frames           0\n"
		"  methods.publish  0\n"
		"\nbroker\n"
		"  queues           3\n"
		"  consumers        0\n"
		"  methods.publish  5\n");
}

/* More columns than a terminal has: each row becomes a column. */
static void test_wide_table(void)
{
	expect("{\"tcp\":[{\"port\":\"godwit0\",\"counters\":{\"segments_received_in_order\":10,"
	       "\"segments_received_out_of_order\":2,\"segments_resent_after_a_timeout\":0,"
	       "\"acknowledgements_delayed\":1}},"
	       "{\"port\":\"a-much-longer-name\",\"counters\":{\"segments_received_in_order\":5}}]}",
		false,
		"\ntcp\n"
		"  port                            godwit0  a-much-longer-name\n"
		"  segments_received_in_order           10                   5\n"
		"  segments_received_out_of_order        2\n"
		"  acknowledgements_delayed              1\n");
}

static void test_hostile_text(void)
{
	expect("{\"name\":\"\\u001b[2J\\nx\\u007f\\u009b\\u00e4\",\"a\\u001bkey\":1,\"t\":[{\"n\":"
	       "\"\\u00e4\",\"m\":1}]}",
		false,
		"name      \\x1b[2J\\x0ax\\x7f\\x9b\xc3\xa4\n"
		"a\\x1bkey  1\n"
		"\nt\n"
		"  n  m\n"
		"  \xc3\xa4  1\n");
}

static void test_odd_shapes(void)
{
	expect("{}", false, "");
	expect("\"text\"", false, "text\n");
	expect("[1,2]", false, "1, 2\n");
	expect("{\"empty\":{},\"names\":[\"a\",\"b\"],\"mixed\":[{\"a\":1},2],\"rate\":0.5,\"nothing\":null}",
		true,
		"rate     0.5\n"
		"nothing  -\n"
		"\nempty\n"
		"  none\n"
		"\nnames\n"
		"  a, b\n"
		"\nmixed\n"
		"  a\n"
		"  1\n"
		"\n");
	expect("{\"rows\":[{\"a\":1,\"inner\":[{\"x\":1}],\"list\":[]}]}", false,
		"\nrows\n"
		"  a  inner    list\n"
		"  1  {\"x\":1}  none\n");
	expect("{\"uptime_s\":59,\"o\":{\"uptime_s\":3600}}", false,
		"uptime_s  59 s\n"
		"\no\n"
		"  uptime_s  3600 s (1 h 0 min)\n");
}

static void test_order(void)
{
	expect("{\"later\":{\"a\":1},\"pools\":[],\"kernel\":{},\"cores\":[],\"pid\":1}", false,
		"pid  1\n"
		"\ncores\n"
		"  none\n"
		"\nkernel\n"
		"  none\n"
		"\npools\n"
		"  none\n"
		"\nlater\n"
		"  a  1\n");
}

static void test_json(void)
{
	char *text = NULL;
	size_t bytes;
	json_t *result = json_loads("{\"b\":1,\"a\":{\"d\":[true],\"c\":\"x\"}}", 0, NULL);
	FILE *f = open_memstream(&text, &bytes);
	print_json(result, f);
	fclose(f);
	CU_ASSERT_STRING_EQUAL(text, "{\n"
				     "  \"a\": {\n"
				     "    \"c\": \"x\",\n"
				     "    \"d\": [\n"
				     "      true\n"
				     "    ]\n"
				     "  },\n"
				     "  \"b\": 1\n"
				     "}\n");
	free(text);
	json_decref(result);
}

static const struct unit_test tests[] = {
	{"a status without zero counters", test_status},
	{"a status with all counters", test_all},
	{"a table that is too wide", test_wide_table},
	{"text that would command a terminal", test_hostile_text},
	{"other shapes of JSON", test_odd_shapes},
	{"the order of sections", test_order},
	{"JSON", test_json},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
