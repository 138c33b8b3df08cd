/* SPDX-License-Identifier: Apache-2.0 */
/* When each message is to be sent: the schedule waits for nothing, so what is late is counted as late. */
#ifndef TOOLS_LATENCYTEST_SCHEDULE_H
#define TOOLS_LATENCYTEST_SCHEDULE_H

#include <stdint.h>

struct schedule {
	uint64_t start_ns;
	uint64_t rate;	/* a second */
	uint64_t burst; /* so many are due at once, at the time of the first of them */
};

enum { SCHEDULE_SECOND_NS = 1000000000 };

/* The time of message `number`, from 0 on, without an error that adds up. */
static inline uint64_t schedule_due_ns(const struct schedule *s, uint64_t number)
{
	number -= number % s->burst;
	return s->start_ns + number / s->rate * SCHEDULE_SECOND_NS +
	       number % s->rate * SCHEDULE_SECOND_NS / s->rate;
}

/* How many of `total` are due by now. */
static inline uint64_t schedule_due(const struct schedule *s, uint64_t now_ns, uint64_t total)
{
	if (now_ns < s->start_ns)
		return 0;
	uint64_t ns = now_ns - s->start_ns, whole = ns / SCHEDULE_SECOND_NS, rest = ns % SCHEDULE_SECOND_NS;
	/* An estimate that is at most one burst off. */
	uint64_t n = whole * s->rate + rest * s->rate / SCHEDULE_SECOND_NS;
	n -= n % s->burst;
	while (schedule_due_ns(s, n) <= now_ns)
		n += s->burst;
	return n < total ? n : total;
}

#endif
