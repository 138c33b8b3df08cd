/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/recorder.h"

uint64_t recorder_cpu_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void recorder_long_look(struct recorder *r, uint64_t now_ns)
{
	struct recorder_gaps *g = &r->gaps;
	uint64_t span = now_ns - r->look_ns, away = span;

	if (r->worked) {
		uint64_t lacking = less(now_ns - r->cpu_at_ns, r->cpu_clock_ns() - r->cpu_ns);
		uint64_t unexplained = less(span, RECORDER_WORK_LIMITS * r->gap_limit_ns);
		away = lacking > span ? span : lacking;
		away = unexplained > away ? unexplained : away;
	}
	recorder_ask_cpu(r, now_ns);
	if (away <= r->gap_limit_ns)
		return;
	g->kept[g->count++ % RECORDER_GAPS_KEPT] = (struct recorder_gap){r->look_ns, now_ns};
	g->ns += away;
	g->ns_max = away > g->ns_max ? away : g->ns_max;
	r->late_turns = r->turn + 2;
}

/* The gap that was the first to end after a time; NULL: none did. */
static const struct recorder_gap *gap_after(const struct recorder_gaps *g, uint64_t ns)
{
	uint64_t low = g->count > RECORDER_GAPS_KEPT ? g->count - RECORDER_GAPS_KEPT : 0, high = g->count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (g->kept[middle % RECORDER_GAPS_KEPT].end_ns > ns)
			high = middle;
		else
			low = middle + 1;
	}
	return low < g->count ? &g->kept[low % RECORDER_GAPS_KEPT] : NULL;
}

bool recorder_delayed(const struct recorder *r, uint64_t due_ns)
{
	const struct recorder_gaps *g = &r->gaps;

	if (r->turn < r->late_turns)
		return true;
	if (g->count > RECORDER_GAPS_KEPT && due_ns < g->kept[g->count % RECORDER_GAPS_KEPT].end_ns)
		return true; /* what was then is forgotten */
	const struct recorder_gap *gap = gap_after(g, due_ns);
	return gap && gap->begin_ns <= due_ns + r->gap_limit_ns;
}

void recorder_merge(struct recorder *into, const struct recorder *r)
{
	distribution_merge(&into->all, &r->all);
	distribution_merge(&into->calm, &r->calm);
	distribution_merge(&into->confirmed, &r->confirmed);
	distribution_merge(&into->late, &r->late);
	distribution_merge(&into->floor, &r->floor);
	into->gaps.count += r->gaps.count;
	into->gaps.ns += r->gaps.ns;
	into->gaps.watched_ns += r->gaps.watched_ns;
	if (r->gaps.ns_max > into->gaps.ns_max)
		into->gaps.ns_max = r->gaps.ns_max;
}
