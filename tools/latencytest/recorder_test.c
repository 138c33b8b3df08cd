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

/* The loop goes round without a gap: 10 us a turn, all of it on the CPU. */
static void spin(uint64_t from_ns, uint64_t to_ns)
{
	for (uint64_t t = from_ns; t <= to_ns; t += 10 * US, cpu_ns += 10 * US)
		recorder_turn(&r, t);
}

static void gaps(void)
{
	begin(20 * US);
	spin(1000 * US, 2000 * US);
	CU_ASSERT_EQUAL(r.gaps.count, 0);
	CU_ASSERT_EQUAL(r.gaps.watched_ns, 1000 * US);
	recorder_take(&r, 1900 * US, 2000 * US);
	recorder_look(&r, 2050 * US);
	CU_ASSERT(r.gaps.count == 1 && r.gaps.ns == 50 * US && r.gaps.ns_max == 50 * US);
	CU_ASSERT(r.all.count == 1 && r.calm.count == 1 && r.all.max == 100 * US);
	memset(&other, 0, sizeof(other));
	recorder_merge(&other, &r);
	recorder_merge(&other, &r);
	CU_ASSERT(other.all.count == 2 && other.calm.count == 2 && other.gaps.count == 2);
	CU_ASSERT_EQUAL(other.gaps.ns_max, 50 * US);
}

/* What is received and sent may take its time, but not any time, and not without the CPU. */
static void at_work(void)
{
	begin(20 * US);
	spin(1000 * US, 2000 * US);
	recorder_work(&r);
	cpu_ns += 35 * US;
	recorder_look(&r, 2045 * US);
	CU_ASSERT(r.gaps.count == 0 && r.gaps.watched_ns == 1045 * US);
	recorder_work(&r);
	cpu_ns += 50 * US;
	recorder_look(&r, 2195 * US);
	CU_ASSERT(r.gaps.count == 1 && r.gaps.ns == 100 * US);
	/* more than any work would explain, though the thread's clock ran: a hypervisor's */
	recorder_work(&r);
	cpu_ns += 1000 * US;
	recorder_look(&r, 3195 * US);
	CU_ASSERT(r.gaps.count == 2 && r.gaps.ns == 900 * US);
	/* without work: whatever took the CPU was not this loop */
	cpu_ns += 30 * US;
	recorder_look(&r, 3225 * US);
	CU_ASSERT(r.gaps.count == 3 && r.gaps.ns == 930 * US);
}

/* The thread's own time is asked for now and then: what it lacked long ago is no gap of now. */
static void many_short_absences(void)
{
	begin(20 * US);
	spin(1000 * US, 2000 * US);
	for (uint64_t t = 2010 * US; t <= 4000 * US; t += 10 * US, cpu_ns += 9 * US)
		recorder_turn(&r, t);
	recorder_work(&r);
	cpu_ns += 30 * US;
	recorder_look(&r, 4030 * US);
	CU_ASSERT_EQUAL(r.gaps.count, 0);
}

static uint64_t taken(uint64_t due_ns, uint64_t now_ns)
{
	uint64_t before = r.calm.count;

	recorder_take(&r, due_ns, now_ns);
	return r.calm.count - before;
}

/* Only what a gap has made later is left out: not a message that was under way meanwhile, however long. */
static void what_a_gap_delays(void)
{
	begin(20 * US);
	spin(1000 * US, 2000 * US);
	recorder_turn(&r, 2100 * US); /* from 2000 on */
	CU_ASSERT_EQUAL(r.gaps.count, 1);
	CU_ASSERT_EQUAL(taken(1900 * US, 2100 * US), 0); /* it came meanwhile */
	recorder_turn(&r, 2101 * US);
	CU_ASSERT_EQUAL(taken(1900 * US, 2101 * US), 0); /* more than one read takes */
	recorder_turn(&r, 2102 * US);
	CU_ASSERT_EQUAL(taken(1900 * US, 2102 * US), 1);
	CU_ASSERT_EQUAL(taken(1979 * US, 2102 * US), 1);
	CU_ASSERT_EQUAL(taken(1980 * US, 2102 * US), 0); /* it may not have been sent yet */
	CU_ASSERT_EQUAL(taken(2000 * US, 2102 * US), 0);
	CU_ASSERT_EQUAL(taken(2099 * US, 2102 * US), 0);
	CU_ASSERT_EQUAL(taken(2100 * US, 2102 * US), 1);
	/* a broker that takes 50 ms, while this thread is interrupted every millisecond */
	for (unsigned i = 0; i < 50; i++) {
		spin(3000 * US + i * 1000 * US, 3950 * US + i * 1000 * US);
	}
	spin(52960 * US, 53000 * US);
	CU_ASSERT_EQUAL(r.gaps.count, 51);
	CU_ASSERT_EQUAL(taken(3500 * US, 53000 * US), 1);
	CU_ASSERT_EQUAL(taken(3970 * US, 53000 * US), 0);
}

static void forgotten(void)
{
	begin(20 * US);
	recorder_turn(&r, 1000 * US);
	for (uint64_t i = 1; i <= RECORDER_GAPS_KEPT + 1; i++)
		recorder_turn(&r, 1000 * US + i * 100 * US);
	uint64_t end_ns = 1000 * US + (RECORDER_GAPS_KEPT + 1) * UINT64_C(100) * US;
	spin(end_ns, end_ns + 100 * US);
	CU_ASSERT_EQUAL(r.gaps.count, RECORDER_GAPS_KEPT + 1);
	CU_ASSERT_EQUAL(taken(900 * US, end_ns + 100 * US), 0);
	CU_ASSERT_EQUAL(taken(end_ns + 50 * US, end_ns + 100 * US), 1);
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
	r.series.period_ns = S;
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

static void shorter_periods(void)
{
	begin(0);
	r.series.start_ns = 10 * S;
	r.series.period_ns = S / 5;
	recorder_take(&r, 10 * S, 10 * S + S / 5 - 1);
	CU_ASSERT_EQUAL(series_over(&r.series), 0);
	recorder_take(&r, 10 * S, 10 * S + 3 * S / 5);
	CU_ASSERT_EQUAL(series_over(&r.series), 3);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"gaps", gaps}, {"at work", at_work},
			{"many short absences", many_short_absences},
			{"what a gap delays", what_a_gap_delays}, {"forgotten", forgotten},
			{"asleep", asleep}, {"seconds", seconds}, {"shorter periods", shorter_periods}, {0}});
}
