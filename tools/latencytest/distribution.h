/* SPDX-License-Identifier: Apache-2.0 */
/* Durations in nanoseconds: how many there were, to within one part in 128, and their exact count, extremes,
 * mean and deviation. Two of them can be added, also from files. */
#ifndef TOOLS_LATENCYTEST_DISTRIBUTION_H
#define TOOLS_LATENCYTEST_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	DISTRIBUTION_EXACT_BITS = 8, /* below 2^8 each value has a bucket of its own */
	DISTRIBUTION_STEPS = 1 << (DISTRIBUTION_EXACT_BITS - 1), /* to each power of two above */
	DISTRIBUTION_POWER_MAX = 41,				 /* the last one takes all from 2^42 ns on */
	DISTRIBUTION_BUCKETS = 2 * DISTRIBUTION_STEPS +
			       (DISTRIBUTION_POWER_MAX - DISTRIBUTION_EXACT_BITS + 1) * DISTRIBUTION_STEPS,
	/* So many samples must lie beyond a percentile for it to be told. */
	DISTRIBUTION_BEYOND_MIN = 50,
};

struct distribution {
	uint64_t count, min, max;
	double mean, squares; /* of the differences to the mean, added up */
	uint64_t bucket[DISTRIBUTION_BUCKETS];
};

static inline unsigned distribution_bucket(uint64_t ns)
{
	if (ns < 2 * DISTRIBUTION_STEPS)
		return (unsigned)ns;
	unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - (DISTRIBUTION_EXACT_BITS - 1);
	uint64_t at = 2 * DISTRIBUTION_STEPS + (uint64_t)(shift - 1) * DISTRIBUTION_STEPS +
		      ((ns >> shift) - DISTRIBUTION_STEPS);
	return at < DISTRIBUTION_BUCKETS ? (unsigned)at : DISTRIBUTION_BUCKETS - 1;
}

/* The largest value of a bucket. */
static inline uint64_t distribution_until(unsigned bucket)
{
	if (bucket < 2 * DISTRIBUTION_STEPS)
		return bucket;
	unsigned shift = (bucket - 2 * DISTRIBUTION_STEPS) / DISTRIBUTION_STEPS + 1;
	uint64_t step = bucket % DISTRIBUTION_STEPS + DISTRIBUTION_STEPS;
	return ((step + 1) << shift) - 1;
}

static inline void distribution_add(struct distribution *d, uint64_t ns)
{
	double off = (double)ns - d->mean;

	d->min = d->count && d->min < ns ? d->min : ns;
	d->max = d->max > ns ? d->max : ns;
	d->count++;
	d->mean += off / (double)d->count;
	d->squares += off * ((double)ns - d->mean);
	d->bucket[distribution_bucket(ns)]++;
}

void distribution_clear(struct distribution *d);
void distribution_merge(struct distribution *into, const struct distribution *d);

/* 0 without samples. */
double distribution_deviation(const struct distribution *d);

/* The smallest value that this part of the samples, above 0 and up to 1, do not exceed, as well as buckets
 * tell; at most max. False where fewer than DISTRIBUTION_BEYOND_MIN lie beyond: then nobody knows. */
bool distribution_quantile(const struct distribution *d, double part, uint64_t *ns);

/* As text: a head, and a line for each bucket that is not empty. -1 with errno where writing fails. */
int distribution_write(const struct distribution *d, FILE *out);
/* Adds a file's. 0, or -1 with error, a sentence; then nothing was added. */
int distribution_read(struct distribution *into, FILE *in, char *error, size_t room);

#endif
