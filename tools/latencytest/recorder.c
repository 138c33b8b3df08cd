/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/recorder.h"

uint64_t recorder_cpu_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void recorder_long_look(struct recorder *r, uint64_t now_ns)
{
	uint64_t away = now_ns - r->look_ns;

	if (!r->look_ns)
		return;
	r->gaps.watched_ns += away;
	if (r->worked) {
		uint64_t since = now_ns - r->cpu_at_ns, on_cpu = r->cpu_clock_ns() - r->cpu_ns;
		away = since > on_cpu ? since - on_cpu : 0;
	}
	if (away <= r->gap_limit_ns)
		return;
	r->gaps.count++;
	r->gaps.ns += away;
	r->gaps.ns_max = away > r->gaps.ns_max ? away : r->gaps.ns_max;
	r->gap_end_ns = now_ns;
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
