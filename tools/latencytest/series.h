/* SPDX-License-Identifier: Apache-2.0 */
/* A distribution for each second, or another period: one loop fills the current one, another thread takes
 * those that are over.
 */
#ifndef TOOLS_LATENCYTEST_SERIES_H
#define TOOLS_LATENCYTEST_SERIES_H

#include "tools/latencytest/distribution.h"

enum { SERIES_SLOTS = 8 };

struct series {
	uint64_t start_ns;  /* of period 0; 0: nothing is kept */
	uint64_t period_ns; /* not 0 where something is kept */
	uint64_t period;    /* that is being filled: all before it are over; the loop's, others read */
	uint64_t taken;	    /* so many periods were taken; the taker's, the loop reads */
	uint64_t lost;	    /* samples for which the taker was too slow */
	struct distribution slot[SERIES_SLOTS];
};

/* Loop: it is this late; once a turn. */
void series_advance(struct series *s, uint64_t now_ns);
/* Loop. */
void series_add(struct series *s, uint64_t now_ns, uint64_t ns);

/* Taker: how many periods are over. */
uint64_t series_over(const struct series *s);
/* Taker: adds the next one, which is over, to `into`. */
void series_take(struct series *s, struct distribution *into);

/* A line: second at which the period began, count, min, avg, max, stddev, p50, p99, in ms; what is not known
 * is empty. */
void series_head(FILE *out);
void series_line(FILE *out, double second, const struct distribution *d);

#endif
