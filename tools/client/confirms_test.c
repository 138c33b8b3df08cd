/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/confirms.h"

#include "tests/unit/unit.h"

enum { N = 5000 };

static void in_order(void)
{
	struct confirms c = {.published = 10};

	CU_ASSERT_TRUE(confirms_take(&c, 1, false));
	CU_ASSERT_TRUE(confirms_take(&c, 4, true));
	CU_ASSERT_EQUAL(confirms_due(&c), 6);
	CU_ASSERT_FALSE(confirms_take(&c, 4, false));
	CU_ASSERT_FALSE(confirms_take(&c, 3, true));
	CU_ASSERT_FALSE(confirms_take(&c, 11, false));
	CU_ASSERT_TRUE(confirms_take(&c, 0, true));
	CU_ASSERT_EQUAL(confirms_due(&c), 0);
	CU_ASSERT_PTR_NULL(c.bits);
	confirms_free(&c);
}

/* Against a list of what was confirmed. */
static void any_order(void)
{
	struct confirms c = {0};
	static bool is[N + 1];

	memset(is, 0, sizeof(is));
	for (unsigned round = 0; round < 20000; round++) {
		if (c.published < N && unit_random_below(2))
			c.published++;
		if (!c.published)
			continue;
		uint64_t tag = 1 + unit_random_below((uint32_t)c.published), due = 0;
		bool multiple = unit_random_below(50) == 0, fresh = !is[tag];
		uint64_t floor = c.floor;
		bool took = confirms_take(&c, tag, multiple);
		CU_ASSERT_EQUAL(took, multiple ? tag > floor : fresh);
		for (uint64_t i = multiple ? 1 : tag; i <= tag; i++)
			is[i] = true;
		for (uint64_t i = 1; i <= c.published; i++)
			due += !is[i];
		CU_ASSERT_EQUAL_FATAL(confirms_due(&c), due);
	}
	confirms_free(&c);
}

static void too_far_apart(void)
{
	struct confirms c = {.published = CONFIRMS_APART_MAX + 5};

	CU_ASSERT_TRUE(confirms_take(&c, CONFIRMS_APART_MAX - 1, false));
	CU_ASSERT_FALSE(confirms_take(&c, CONFIRMS_APART_MAX, false));
	CU_ASSERT_FALSE(confirms_take(&c, CONFIRMS_APART_MAX - 1, false));
	CU_ASSERT_TRUE(confirms_take(&c, 1, false));
	CU_ASSERT_TRUE(confirms_take(&c, CONFIRMS_APART_MAX, false));
	CU_ASSERT_EQUAL(confirms_due(&c), CONFIRMS_APART_MAX + 5 - 3);
	confirms_free(&c);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"in order", in_order}, {"any order", any_order},
			{"too far apart", too_far_apart}, {0}});
}
