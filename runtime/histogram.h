/* SPDX-License-Identifier: Apache-2.0 */
/* A histogram of durations: 16 buckets to each power of two, so that a value is known to a sixteenth or
 * better, over the whole range of 40 bits. One core counts, any thread reads. */
#ifndef RUNTIME_HISTOGRAM_H
#define RUNTIME_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_STEPS_LOG2 = 4,
	HISTOGRAM_STEPS = 1 << HISTOGRAM_STEPS_LOG2,
	HISTOGRAM_BUCKETS = 38 * HISTOGRAM_STEPS
};

struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
};

/* The bucket of a value; the last one takes all that are larger. */
static inline unsigned histogram_bucket(uint64_t value)
{
	if (value < HISTOGRAM_STEPS)
		return (unsigned)value;
	unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEPS_LOG2;
	unsigned at = shift * HISTOGRAM_STEPS + (unsigned)(value >> shift);
	return at < HISTOGRAM_BUCKETS ? at : HISTOGRAM_BUCKETS - 1;
}

/* The smallest value of a bucket; of HISTOGRAM_BUCKETS: where the last one ends. */
static inline uint64_t histogram_from(unsigned bucket)
{
	if (bucket < HISTOGRAM_STEPS)
		return bucket;
	return (UINT64_C(1) * HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << (bucket / HISTOGRAM_STEPS - 1);
}

/* On the core. */
static inline void histogram_add(struct histogram *h, uint64_t value)
{
	uint64_t *c = &h->count[histogram_bucket(value)];

	__atomic_store_n(c, *c + 1, __ATOMIC_RELAXED);
}

/* A copy, any thread: each count for itself is right. Returns their sum. */
uint64_t histogram_read(const struct histogram *h, struct histogram *out);

/* Of a copy whose counts sum up to total: a value that part of them, 0 to 1, do not exceed; 0 without any. */
uint64_t histogram_quantile(const struct histogram *copy, uint64_t total, double part);

#endif
