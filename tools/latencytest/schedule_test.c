/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/schedule.h"

#include "tests/unit/unit.h"

static void times(void)
{
	const struct schedule s = {.start_ns = 1000, .rate = 3, .burst = 1};

	CU_ASSERT_EQUAL(schedule_due_ns(&s, 0), 1000);
	CU_ASSERT_EQUAL(schedule_due_ns(&s, 1), 1000 + 333333333);
	CU_ASSERT_EQUAL(schedule_due_ns(&s, 2), 1000 + 666666666);
	CU_ASSERT_EQUAL(schedule_due_ns(&s, 3), 1000 + UINT64_C(1000000000));
	CU_ASSERT_EQUAL(schedule_due_ns(&s, 3000000), 1000 + UINT64_C(1000000) * 1000000000);
}

/* Back to back, at the same mean rate. */
static void bursts(void)
{
	const struct schedule s = {.start_ns = 500, .rate = 1000, .burst = 100};

	CU_ASSERT_EQUAL(schedule_due_ns(&s, 99), 500);
	CU_ASSERT_EQUAL(schedule_due_ns(&s, 100), 500 + 100000000);
	CU_ASSERT_EQUAL(schedule_due_ns(&s, 1000), 500 + 1000000000);
	CU_ASSERT_EQUAL(schedule_due(&s, 500, 1000), 100);
	CU_ASSERT_EQUAL(schedule_due(&s, 499 + 100000000, 1000), 100);
	CU_ASSERT_EQUAL(schedule_due(&s, 500 + 100000000, 150), 150);
}

static void due(void)
{
	static const uint64_t rates[] = {1, 3, 7, 1000, 999983, 100000000};

	for (unsigned i = 0; i < 6; i++) {
		const struct schedule s = {
			.start_ns = unit_random_below(1u << 30), .rate = rates[i], .burst = 1 + i * 3};
		CU_ASSERT_EQUAL(schedule_due(&s, s.start_ns - 1, 1000), 0);
		CU_ASSERT_EQUAL(schedule_due(&s, s.start_ns, 1000), s.burst);
		CU_ASSERT_EQUAL(schedule_due(&s, UINT64_C(1) << 50, 1000), 1000);
		for (unsigned k = 0; k < 2000; k++) {
			uint64_t now = s.start_ns + unit_random() % (UINT64_C(1) << 36);
			uint64_t n = schedule_due(&s, now, UINT64_MAX);
			CU_ASSERT(schedule_due_ns(&s, n - 1) <= now && schedule_due_ns(&s, n) > now);
		}
	}
}

int main(int argc, char **argv)
{
	return unit_main(
		argc, argv, (struct unit_test[]){{"times", times}, {"due", due}, {"bursts", bursts}, {0}});
}
