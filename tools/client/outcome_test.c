/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/outcome.h"

#include "tests/unit/unit.h"

#include <signal.h>

static void the_first_reason_counts(void)
{
	struct outcome o = {0};

	CU_ASSERT_FALSE(outcome_has_failed(&o));
	CU_ASSERT_TRUE(outcome_goes_on(&o));
	CU_ASSERT_EQUAL(outcome_tell(&o, "# test"), 0);
	outcome_fail(&o, "one");
	outcome_fail(&o, "two");
	CU_ASSERT_TRUE(outcome_has_failed(&o));
	CU_ASSERT_FALSE(outcome_goes_on(&o));
	CU_ASSERT_STRING_EQUAL(o.why, "one");
	CU_ASSERT_EQUAL(outcome_tell(&o, "# test"), 1);
}

static void a_signal_fails_it(void)
{
	struct outcome o = {0}, other = {0};

	outcome_catch_signals();
	CU_ASSERT_TRUE(outcome_goes_on(&o));
	raise(SIGTERM);
	CU_ASSERT_FALSE(outcome_has_failed(&o)); /* until it looks */
	CU_ASSERT_FALSE(outcome_goes_on(&o));
	CU_ASSERT_STRING_EQUAL(o.why, "interrupted");
	outcome_fail(&other, "before");
	CU_ASSERT_FALSE(outcome_goes_on(&other));
	CU_ASSERT_STRING_EQUAL(other.why, "before");
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"the_first_reason_counts", the_first_reason_counts},
			{"a_signal_fails_it", a_signal_fails_it}, {0}});
}
