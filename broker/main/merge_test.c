/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/merge.h"
#include "tests/unit/unit.h"

static void expect(const char *a, const char *b, const char *sum)
{
	json_t *into = json_loads(a, 0, NULL), *from = json_loads(b, 0, NULL),
	       *want = json_loads(sum, 0, NULL);

	CU_ASSERT_FATAL(into && from && want);
	merge_json(into, from);
	CU_ASSERT_TRUE(json_equal(into, want));
	/* what was added stands for itself afterwards */
	json_decref(from);
	CU_ASSERT_TRUE(json_equal(into, want));
	json_decref(into);
	json_decref(want);
}

static void test_numbers(void)
{
	expect("{\"a\":1,\"o\":{\"b\":2}}", "{\"a\":5,\"o\":{\"b\":7,\"c\":1}}",
		"{\"a\":6,\"o\":{\"b\":9,\"c\":1}}");
	expect("{\"turn_us_max\":10}", "{\"turn_us_max\":7}", "{\"turn_us_max\":10}");
	expect("{\"turn_us_max\":1}", "{\"turn_us_max\":7}", "{\"turn_us_max\":7}");
	expect("{}", "{\"a\":5}", "{\"a\":5}");
}

static void test_what_is_no_number(void)
{
	expect("{\"held\":false,\"s\":\"x\"}", "{\"held\":true,\"s\":\"y\"}", "{\"held\":true,\"s\":\"x\"}");
	expect("{\"held\":true}", "{\"held\":false}", "{\"held\":true}");
}

static void test_arrays_by_name(void)
{
	expect("{\"pools\":[{\"name\":\"a\",\"used\":1},{\"name\":\"b\",\"used\":2}]}",
		"{\"pools\":[{\"name\":\"b\",\"used\":5},{\"name\":\"c\",\"used\":9}]}",
		"{\"pools\":[{\"name\":\"a\",\"used\":1},{\"name\":\"b\",\"used\":7},{\"name\":\"c\","
		"\"used\":9}]}");
	expect("{\"tcp\":[{\"port\":\"p\",\"counters\":{\"x\":1}}]}",
		"{\"tcp\":[{\"port\":\"p\",\"counters\":{\"x\":2}}]}",
		"{\"tcp\":[{\"port\":\"p\",\"counters\":{\"x\":3}}]}");
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"numbers", test_numbers}, {"what_is_no_number", test_what_is_no_number},
			{"arrays_by_name", test_arrays_by_name}, {0}});
}
