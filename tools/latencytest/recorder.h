/* SPDX-License-Identifier: Apache-2.0 */
/* What one loop has seen: latencies, how late it was itself, and the gaps in which the machine did something
 * else. A latency whose time overlaps a gap says as much of the machine as of the broker: such are left out
 * of `calm`. */
#ifndef TOOLS_LATENCYTEST_RECORDER_H
#define TOOLS_LATENCYTEST_RECORDER_H

#include "tools/latencytest/series.h"

#include <time.h>

/* A gap: a look at the clock comes late although nothing was done since the last one; or something was, and
 * the thread has had less CPU time than that by more than the limit. */
struct recorder_gaps {
	uint64_t count, ns, ns_max;
	uint64_t watched_ns; /* the time that was watched, 0 where the loop may sleep */
};

struct recorder {
	struct distribution all, calm;
	struct distribution confirmed; /* from a message's time to its confirm */
	struct distribution late;      /* from a message's time to the moment at which it was written */
	struct distribution floor;     /* the same with no network at all, before the test */
	struct recorder_gaps gaps;
	uint64_t gap_limit_ns; /* 0: gaps are not looked for */
	uint64_t look_ns, gap_end_ns;
	bool worked;
	/* The thread's CPU time, which tells work from absence, and when that was asked for. */
	uint64_t (*cpu_clock_ns)(void);
	uint64_t cpu_ns, cpu_at_ns;
	struct series series;
};

/* The calling thread's. */
uint64_t recorder_cpu_clock_ns(void);

static inline uint64_t recorder_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* More than the limit has passed since the last look: part of it, or all, may be a gap. */
void recorder_long_look(struct recorder *r, uint64_t now_ns);

/* The loop is here: as often as it can be said. */
static inline void recorder_look(struct recorder *r, uint64_t now_ns)
{
	if (!r->gap_limit_ns)
		return;
	if (!r->look_ns || now_ns - r->look_ns > r->gap_limit_ns)
		recorder_long_look(r, now_ns);
	else
		r->gaps.watched_ns += now_ns - r->look_ns;
	r->look_ns = now_ns;
	r->worked = false;
}

/* From now until the next look it does something that may take its time (a system call that sends). */
static inline void recorder_work(struct recorder *r, uint64_t now_ns)
{
	if (!r->gap_limit_ns || r->worked)
		return;
	r->worked = true;
	r->cpu_ns = r->cpu_clock_ns();
	r->cpu_at_ns = now_ns;
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
