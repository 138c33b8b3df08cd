/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/series.h"

#include <inttypes.h>

void series_advance(struct series *s, uint64_t now_ns)
{
	if (!s->start_ns || now_ns < s->start_ns)
		return;
	uint64_t period = (now_ns - s->start_ns) / s->period_ns;
	uint64_t taken = __atomic_load_n(&s->taken, __ATOMIC_ACQUIRE);
	/* A slot is filled again when it was taken. */
	while (s->period < period && s->period + 1 - taken < SERIES_SLOTS) {
		distribution_clear(&s->slot[(s->period + 1) % SERIES_SLOTS]);
		__atomic_store_n(&s->period, s->period + 1, __ATOMIC_RELEASE);
	}
}

void series_add(struct series *s, uint64_t now_ns, uint64_t ns)
{
	if (!s->start_ns || now_ns < s->start_ns)
		return;
	series_advance(s, now_ns);
	if (s->period == (now_ns - s->start_ns) / s->period_ns)
		distribution_add(&s->slot[s->period % SERIES_SLOTS], ns);
	else
		s->lost++;
}

uint64_t series_over(const struct series *s)
{
	return __atomic_load_n(&s->period, __ATOMIC_ACQUIRE);
}

void series_take(struct series *s, struct distribution *into)
{
	distribution_merge(into, &s->slot[s->taken % SERIES_SLOTS]);
	__atomic_store_n(&s->taken, s->taken + 1, __ATOMIC_RELEASE);
}

void series_head(FILE *out)
{
	fprintf(out, "second,count,min_ms,avg_ms,max_ms,stddev_ms,p50_ms,p99_ms\n");
}

void series_line(FILE *out, double second, const struct distribution *d)
{
	static const double parts[] = {0.5, 0.99};
	uint64_t ns;

	fprintf(out, "%.10g,%" PRIu64, second, d->count);
	if (d->count)
		fprintf(out, ",%.6f,%.6f,%.6f,%.6f", (double)d->min / 1e6, d->mean / 1e6,
			(double)d->max / 1e6, distribution_deviation(d) / 1e6);
	else
		fprintf(out, ",,,,");
	for (unsigned i = 0; i < 2; i++) {
		if (distribution_quantile(d, parts[i], &ns))
			fprintf(out, ",%.6f", (double)ns / 1e6);
		else
			fprintf(out, ",");
	}
	fprintf(out, "\n");
	fflush(out);
}
