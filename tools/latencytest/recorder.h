/* SPDX-License-Identifier: Apache-2.0 */
/* What one loop has seen: latencies, how late it was itself, and the gaps in which this thread did not run. A
 * latency that a gap has lengthened says as much of the machine as of the broker: such are left out of
 * `calm`. */
#ifndef TOOLS_LATENCYTEST_RECORDER_H
#define TOOLS_LATENCYTEST_RECORDER_H

#include "tools/latencytest/series.h"

#include <time.h>

enum {
	RECORDER_GAPS_KEPT = 4096, /* a power of two */
	RECORDER_WORK_LIMITS = 10, /* what was done explains so many times the limit */
	RECORDER_CPU_FRESH_NS = 100000,
};

/* From one look at the clock to the next one, which came too late. */
struct recorder_gap {
	uint64_t begin_ns, end_ns;
};

/* A gap is more time than the limit between two looks. Where nothing was sent or received between them, all
 * of it: a turn without work takes a microsecond. Where something was, what the thread lacks of CPU time, or
 * what is beyond RECORDER_WORK_LIMITS times the limit: an interrupt's and a hypervisor's time pass for the
 * thread's own. */
struct recorder_gaps {
	uint64_t count, ns, ns_max;
	uint64_t watched_ns; /* the time that was watched, 0 where the loop may sleep */
	struct recorder_gap kept[RECORDER_GAPS_KEPT]; /* the last of them */
};

struct recorder {
	struct distribution all, calm;
	struct distribution confirmed; /* from a message's time to its confirm */
	struct distribution late;      /* from a message's time to the moment at which it was written */
	struct distribution floor;     /* the same with no network at all, before the test */
	struct recorder_gaps gaps;
	uint64_t gap_limit_ns; /* 0: gaps are not looked for */
	uint64_t look_ns;
	uint64_t turn, late_turns; /* which one this is; those before that one may read what came in a gap */
	bool worked;
	/* The thread's CPU time, which tells work from absence, and when that was last asked for. */
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

static inline void recorder_ask_cpu(struct recorder *r, uint64_t now_ns)
{
	r->cpu_ns = r->cpu_clock_ns();
	r->cpu_at_ns = now_ns;
}

/* The loop is here: as often as it can be said. */
static inline void recorder_look(struct recorder *r, uint64_t now_ns)
{
	if (!r->gap_limit_ns)
		return;
	if (r->look_ns)
		r->gaps.watched_ns += now_ns - r->look_ns;
	if (r->look_ns && now_ns - r->look_ns > r->gap_limit_ns)
		recorder_long_look(r, now_ns);
	else if (now_ns - r->cpu_at_ns > RECORDER_CPU_FRESH_NS)
		recorder_ask_cpu(r, now_ns);
	r->look_ns = now_ns;
	r->worked = false;
}

/* A turn begins: nothing has been read in it. */
static inline void recorder_turn(struct recorder *r, uint64_t now_ns)
{
	r->turn++;
	recorder_look(r, now_ns);
}

/* Between the last look and the next one something was received, or will be sent. */
static inline void recorder_work(struct recorder *r)
{
	r->worked = true;
}

/* Whether a gap has made a message later that was due then and is read now: the thread was away when it was
 * to be sent (a gap that begins within the limit after its time counts), or when it came, which is then read
 * first thing after the gap. Gaps in between made nothing later. */
bool recorder_delayed(const struct recorder *r, uint64_t due_ns);

/* A message that was due then has come now; after recorder_look. */
static inline void recorder_take(struct recorder *r, uint64_t due_ns, uint64_t now_ns)
{
	distribution_add(&r->all, now_ns - due_ns);
	if (!recorder_delayed(r, due_ns))
		distribution_add(&r->calm, now_ns - due_ns);
	series_add(&r->series, now_ns, now_ns - due_ns);
}

/* Adds up what two loops have seen, but for their series. */
void recorder_merge(struct recorder *into, const struct recorder *r);

#endif
