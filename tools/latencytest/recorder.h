/* SPDX-License-Identifier: Apache-2.0 */
/* What one loop has seen: latencies, how late it was itself, and the gaps in which the machine did something
 * else. A latency whose time overlaps a gap says as much of the machine as of the broker: such are left out
 * of `calm`. */
#ifndef TOOLS_LATENCYTEST_RECORDER_H
#define TOOLS_LATENCYTEST_RECORDER_H

#include "tools/latencytest/series.h"

#include <time.h>

struct recorder_gaps {
	uint64_t count, ns, ns_max;
	uint64_t watched_ns; /* the time that was watched, 0 where the loop may sleep */
};

struct recorder {
	struct distribution all, calm;
	struct distribution late;  /* from a message's time to the moment at which it was written */
	struct distribution floor; /* the same with no network at all, before the test */
	struct recorder_gaps gaps;
	uint64_t gap_limit_ns; /* 0: gaps are not looked for */
	uint64_t look_ns, gap_end_ns;
	struct series series;
};

static inline uint64_t recorder_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The loop is here: as often as it can be said. */
static inline void recorder_look(struct recorder *r, uint64_t now_ns)
{
	uint64_t away = now_ns - r->look_ns;

	if (!r->gap_limit_ns)
		return;
	if (r->look_ns) {
		r->gaps.watched_ns += away;
		if (away > r->gap_limit_ns) {
			r->gaps.count++;
			r->gaps.ns += away;
			r->gaps.ns_max = away > r->gaps.ns_max ? away : r->gaps.ns_max;
			r->gap_end_ns = now_ns;
		}
	}
	r->look_ns = now_ns;
}

/* A message that was due then has come now; after recorder_look. */
static inline void recorder_take(struct recorder *r, uint64_t due_ns, uint64_t now_ns)
{
	distribution_add(&r->all, now_ns - due_ns);
	if (r->gap_end_ns <= due_ns)
		distribution_add(&r->calm, now_ns - due_ns);
	series_add(&r->series, now_ns, now_ns - due_ns);
}

/* Adds up what two loops have seen, but for their series. */
void recorder_merge(struct recorder *into, const struct recorder *r);

#endif
