/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/distribution.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void distribution_clear(struct distribution *d)
{
	memset(d, 0, sizeof(*d));
}

void distribution_merge(struct distribution *into, const struct distribution *d)
{
	if (!d->count)
		return;
	if (!into->count) { /* exactly: off * b / b is not always off */
		*into = *d;
		return;
	}
	double a = (double)into->count, b = (double)d->count, off = d->mean - into->mean;
	into->squares += d->squares + off * off * a * b / (a + b);
	into->mean += off * b / (a + b);
	into->min = into->min < d->min ? into->min : d->min;
	into->max = into->max > d->max ? into->max : d->max;
	into->count += d->count;
	for (unsigned i = 0; i < DISTRIBUTION_BUCKETS; i++)
		into->bucket[i] += d->bucket[i];
}

double distribution_deviation(const struct distribution *d)
{
	return d->count ? sqrt(d->squares / (double)d->count) : 0;
}

bool distribution_quantile(const struct distribution *d, double part, uint64_t *ns)
{
	double beyond = (1 - part) * (double)d->count;
	uint64_t wanted = (uint64_t)ceil(part * (double)d->count), seen = 0;

	/* What is one in ten thousand is not exactly so in binary. */
	if (beyond < DISTRIBUTION_BEYOND_MIN - 1e-6)
		return false;
	for (unsigned i = 0; i < DISTRIBUTION_BUCKETS; i++) {
		seen += d->bucket[i];
		if (seen < wanted)
			continue;
		uint64_t until = distribution_until(i);
		*ns = until < d->max && i < DISTRIBUTION_BUCKETS - 1 ? until : d->max;
		return true;
	}
	return false;
}

int distribution_write(const struct distribution *d, FILE *out)
{
	fprintf(out, "godwit-histogram 1 ns %d\n", DISTRIBUTION_STEPS);
	fprintf(out, "count %" PRIu64 " min %" PRIu64 " max %" PRIu64 " mean %.17g squares %.17g\n", d->count,
		d->min, d->max, d->mean, d->squares);
	for (unsigned i = 0; i < DISTRIBUTION_BUCKETS; i++)
		if (d->bucket[i])
			fprintf(out, "%u %" PRIu64 "\n", i, d->bucket[i]);
	fprintf(out, "end\n");
	return fflush(out) || ferror(out) ? -1 : 0;
}

static int refuse(char *error, size_t room, const char *why)
{
	snprintf(error, room, "%s", why);
	return -1;
}

static int read_buckets(struct distribution *d, FILE *in, char *error, size_t room)
{
	uint64_t sum = 0, count;
	unsigned bucket;
	char word[8];

	while (fscanf(in, "%u %" SCNu64, &bucket, &count) == 2) {
		if (bucket >= DISTRIBUTION_BUCKETS || d->bucket[bucket] || count > d->count - sum)
			return refuse(error, room, "a line of it makes no sense");
		d->bucket[bucket] = count;
		sum += count;
	}
	if (fscanf(in, "%7s", word) != 1 || strcmp(word, "end"))
		return refuse(error, room, "it is cut off");
	if (sum != d->count)
		return refuse(error, room, "its counts do not add up");
	return 0;
}

int distribution_read(struct distribution *into, FILE *in, char *error, size_t room)
{
	struct distribution *d = calloc(1, sizeof(*d));
	int steps, status;

	if (!d)
		return refuse(error, room, "no memory");
	if (fscanf(in, "godwit-histogram 1 ns %d", &steps) != 1 || steps != DISTRIBUTION_STEPS)
		status = refuse(error, room, "it is no histogram of godwit-latencytest");
	else if (fscanf(in, " count %" SCNu64 " min %" SCNu64 " max %" SCNu64 " mean %lf squares %lf",
			 &d->count, &d->min, &d->max, &d->mean, &d->squares) != 5)
		status = refuse(error, room, "its second line makes no sense");
	else
		status = read_buckets(d, in, error, room);
	if (status == 0)
		distribution_merge(into, d);
	free(d);
	return status;
}
