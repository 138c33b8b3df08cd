/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/distribution.h"

#include "tests/unit/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 20000 };

static struct distribution a, b, c;
static uint64_t samples[SAMPLES];

static int ascending(const void *x, const void *y)
{
	uint64_t p = *(const uint64_t *)x, q = *(const uint64_t *)y;

	return p < q ? -1 : p > q;
}

static void buckets(void)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i + 1 < DISTRIBUTION_BUCKETS; i++) {
		uint64_t until = distribution_until(i), from = i ? distribution_until(i - 1) + 1 : 0;
		wrong += distribution_bucket(until) != i || distribution_bucket(from) != i;
		/* one part in 128 */
		wrong += (until - from + 1) * 128 > from + 128;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(distribution_bucket(UINT64_MAX), DISTRIBUTION_BUCKETS - 1);
	CU_ASSERT_EQUAL(distribution_bucket(UINT64_C(1) << 42), DISTRIBUTION_BUCKETS - 1);
}

/* Against the samples themselves, in one distribution or merged of two. */
static void against_samples(void)
{
	static const double parts[] = {0.5, 0.9, 0.99, 0.997};
	double sum = 0, squares = 0;

	distribution_clear(&a);
	distribution_clear(&b);
	distribution_clear(&c);
	for (unsigned i = 0; i < SAMPLES; i++) {
		samples[i] = 100000 + unit_random() % (UINT64_C(1) << (4 + unit_random_below(25)));
		distribution_add(&a, samples[i]);
		distribution_add(i % 3 ? &b : &c, samples[i]);
		sum += (double)samples[i];
	}
	for (unsigned i = 0; i < SAMPLES; i++)
		squares += ((double)samples[i] - sum / SAMPLES) * ((double)samples[i] - sum / SAMPLES);
	qsort(samples, SAMPLES, sizeof(*samples), ascending);
	distribution_merge(&b, &c);
	CU_ASSERT_EQUAL(memcmp(a.bucket, b.bucket, sizeof(a.bucket)), 0);
	CU_ASSERT(a.count == SAMPLES && b.count == SAMPLES);
	CU_ASSERT(a.min == samples[0] && b.min == samples[0]);
	CU_ASSERT(a.max == samples[SAMPLES - 1] && b.max == samples[SAMPLES - 1]);
	CU_ASSERT_DOUBLE_EQUAL(a.mean, sum / SAMPLES, a.mean * 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(b.mean, sum / SAMPLES, a.mean * 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(distribution_deviation(&a), sqrt(squares / SAMPLES), a.mean * 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(distribution_deviation(&b), sqrt(squares / SAMPLES), a.mean * 1e-6);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t right = samples[(unsigned)ceil(parts[i] * SAMPLES) - 1], told;
		CU_ASSERT_TRUE_FATAL(distribution_quantile(&b, parts[i], &told));
		CU_ASSERT(told >= right && (double)told <= (double)right * (1 + 1.0 / 128) + 1);
	}
}

/* No percentile but where fifty samples lie beyond. */
static void few(void)
{
	uint64_t told;

	distribution_clear(&a);
	CU_ASSERT_FALSE(distribution_quantile(&a, 0.5, &told));
	CU_ASSERT_EQUAL(distribution_deviation(&a), 0);
	for (unsigned i = 0; i < 4999; i++)
		distribution_add(&a, i);
	CU_ASSERT_TRUE(distribution_quantile(&a, 0.9, &told));
	CU_ASSERT_FALSE(distribution_quantile(&a, 0.99, &told));
	distribution_add(&a, 70);
	CU_ASSERT_TRUE(distribution_quantile(&a, 0.99, &told));
	CU_ASSERT_FALSE(distribution_quantile(&a, 0.999, &told));
	CU_ASSERT_FALSE(distribution_quantile(&a, 1, &told));
}

static FILE *file_of(const char *text)
{
	FILE *f = tmpfile();

	CU_ASSERT_FATAL(f != NULL);
	fputs(text, f);
	rewind(f);
	return f;
}

static void files(void)
{
	char error[128];
	FILE *f = tmpfile();

	CU_ASSERT_FATAL(f != NULL);
	distribution_clear(&a);
	distribution_clear(&b);
	for (unsigned i = 0; i < 1000; i++)
		distribution_add(&a, unit_random() % 1000000);
	CU_ASSERT_EQUAL(distribution_write(&a, f), 0);
	rewind(f);
	CU_ASSERT_EQUAL(distribution_read(&b, f, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	rewind(f);
	CU_ASSERT_EQUAL(distribution_read(&b, f, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(b.count, 2000);
	CU_ASSERT_DOUBLE_EQUAL(distribution_deviation(&a), distribution_deviation(&b), 1e-6);
	fclose(f);
}

static void bad_files(void)
{
	static const struct {
		const char *text, *part;
	} bad[] = {
		{"", "no histogram"},
		{"godwit-histogram 2 ns 128\n", "no histogram"},
		{"godwit-histogram 1 ns 64\n", "no histogram"},
		{"godwit-histogram 1 ns 128\ncount x\n", "second line"},
		{"godwit-histogram 1 ns 128\ncount 2 min 1 max 1 mean 1 squares 0\n1 1\n", "cut off"},
		{"godwit-histogram 1 ns 128\ncount 2 min 1 max 1 mean 1 squares 0\n1 1\nend\n", "add up"},
		{"godwit-histogram 1 ns 128\ncount 2 min 1 max 1 mean 1 squares 0\n1 3\nend\n", "no sense"},
		{"godwit-histogram 1 ns 128\ncount 2 min 1 max 1 mean 1 squares 0\n1 1\n1 1\nend\n",
			"no sense"},
		{"godwit-histogram 1 ns 128\ncount 2 min 1 max 1 mean 1 squares 0\n99999 2\nend\n",
			"no sense"},
	};
	char error[128];

	distribution_clear(&a);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		FILE *f = file_of(bad[i].text);
		CU_ASSERT_EQUAL(distribution_read(&a, f, error, sizeof(error)), -1);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, bad[i].part));
		CU_ASSERT_EQUAL(a.count, 0);
		fclose(f);
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"buckets", buckets}, {"against samples", against_samples}, {"few", few},
			{"files", files}, {"bad files", bad_files}, {0}});
}
