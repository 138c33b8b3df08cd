/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/histogram.h"

uint64_t histogram_read(const struct histogram *h, struct histogram *out)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum += out->count[i] = __atomic_load_n(&h->count[i], __ATOMIC_RELAXED);
	return sum;
}

uint64_t histogram_quantile(const struct histogram *copy, uint64_t total, double part)
{
	double wanted = part * (double)total;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && total; i++) {
		seen += copy->count[i];
		if (copy->count[i] && (double)seen >= wanted)
			return histogram_from(i + 1) - 1;
	}
	return 0;
}
