/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/histogram.h"
#include "tests/unit/unit.h"

static void buckets(void)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		CU_ASSERT_EQUAL(histogram_bucket(histogram_from(i)), i);
		CU_ASSERT_EQUAL(histogram_bucket(histogram_from(i + 1) - 1), i);
		/* a sixteenth at most */
		CU_ASSERT_TRUE((histogram_from(i + 1) - histogram_from(i)) * 16 <= histogram_from(i) + 16);
	}
	CU_ASSERT_EQUAL(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
	CU_ASSERT_EQUAL(histogram_from(HISTOGRAM_BUCKETS), UINT64_C(1) << 41);
}

static void quantiles(void)
{
	static struct histogram h, copy;

	CU_ASSERT_EQUAL(histogram_quantile(&h, histogram_read(&h, &copy), 0.5), 0);
	for (unsigned i = 1; i <= 1000; i++)
		histogram_add(&h, i);
	uint64_t total = histogram_read(&h, &copy);
	CU_ASSERT_EQUAL(total, 1000);
	for (unsigned percent = 1; percent <= 100; percent++) {
		uint64_t q = histogram_quantile(&copy, total, percent / 100.0);
		CU_ASSERT(q >= percent * 10 && q <= percent * 10 + percent * 10 / 16 + 1);
	}
}

int main(int argc, char **argv)
{
	return unit_main(
		argc, argv, (struct unit_test[]){{"buckets", buckets}, {"quantiles", quantiles}, {0}});
}
