/* SPDX-License-Identifier: Apache-2.0 */
/* Gaps and seconds, on a clock of the test's. */
#include "tools/latencytest/recorder.h"

#include "tests/unit/unit.h"

#include <string.h>

enum { US = 1000 };
#define S UINT64_C(1000000000)

static struct recorder r, other;

static uint64_t cpu_ns;

static uint64_t cpu_clock(void)
{
	return cpu_ns;
}

static void begin(uint64_t gap_limit_ns)
{
	memset(&r, 0, sizeof(r));
	r.gap_limit_ns = gap_limit_ns;
	r.cpu_clock_ns = cpu_clock;
	cpu_ns = 7777;
}

static void gaps(void)
{
	begin(20 * US);
	for (uint64_t t = 1000 * US; t <= 2000 * US; t += 10 * US)
		recorder_look(&r, t);
	CU_ASSERT_EQUAL(r.gaps.count, 0);
	CU_ASSERT_EQUAL(r.gaps.watched_ns, 1000 * US);
	recorder_take(&r, 1900 * US, 2000 * US);
	recorder_look(&r, 2050 * US);
	CU_ASSERT(r.gaps.count == 1 && r.gaps.ns == 50 * US && r.gaps.ns_max == 50 * US);
	/* due before the gap's end; after it */
	recorder_take(&r, 2040 * US, 2050 * US);
	recorder_take(&r, 2050 * US, 2051 * US);
	CU_ASSERT_EQUAL(r.all.count, 3);
	CU_ASSERT_EQUAL(r.calm.count, 2);
	CU_ASSERT_EQUAL(r.all.max, 100 * US);
	memset(&other, 0, sizeof(other));
	recorder_merge(&other, &r);
	recorder_merge(&other, &r);
	CU_ASSERT(other.all.count == 6 && other.calm.count == 4 && other.gaps.count == 2);
	CU_ASSERT_EQUAL(other.gaps.ns_max, 50 * US);
}

/* A long system call is no gap, unless the thread was put aside in it. */
static void at_work(void)
{
	begin(20 * US);
	recorder_look(&r, 1000 * US);
	recorder_work(&r, 1000 * US);
	cpu_ns += 45 * US;
	recorder_look(&r, 1050 * US);
	CU_ASSERT(r.gaps.count == 0 && r.gaps.watched_ns == 50 * US);
	recorder_work(&r, 1050 * US);
	cpu_ns += 50 * US;
	recorder_look(&r, 1200 * US);
	CU_ASSERT(r.gaps.count == 1 && r.gaps.ns == 100 * US);
	/* the same without work: whatever took the CPU was not this loop */
	cpu_ns += 30 * US;
	recorder_look(&r, 1230 * US);
	CU_ASSERT(r.gaps.count == 2 && r.gaps.ns == 130 * US);
}

/* A loop that may sleep has no gaps. */
static void asleep(void)
{
	begin(0);
	recorder_look(&r, 1 * S);
	recorder_look(&r, 5 * S);
	recorder_take(&r, 1 * S, 5 * S);
	CU_ASSERT(r.gaps.count == 0 && r.gaps.watched_ns == 0 && r.calm.count == 1);
}

static void seconds(void)
{
	static struct distribution d;

	begin(0);
	r.series.start_ns = 10 * S;
	recorder_take(&r, 9 * S, 10 * S - 1); /* before the first one */
	recorder_take(&r, 10 * S, 10 * S + 5);
	recorder_take(&r, 10 * S, 11 * S - 1);
	CU_ASSERT_EQUAL(series_over(&r.series), 0);
	recorder_take(&r, 11 * S, 11 * S + 7);
	CU_ASSERT_EQUAL(series_over(&r.series), 1);
	/* one without any */
	series_advance(&r.series, 13 * S);
	CU_ASSERT_EQUAL(series_over(&r.series), 3);
	static const uint64_t counts[] = {2, 1, 0};
	for (unsigned i = 0; i < 3; i++) {
		distribution_clear(&d);
		series_take(&r.series, &d);
		CU_ASSERT_EQUAL(d.count, counts[i]);
	}
	/* nobody takes them for long */
	for (uint64_t i = 0; i < 20; i++)
		recorder_take(&r, (13 + i) * S, (13 + i) * S + 1);
	CU_ASSERT_EQUAL(r.series.lost, 20 - SERIES_SLOTS);
	CU_ASSERT_EQUAL(r.all.count, 24);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"gaps", gaps}, {"at work", at_work}, {"asleep", asleep}, {"seconds", seconds}, {0}});
}
