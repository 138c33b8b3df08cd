/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of the report, and each format's form. */
#include "tools/perftest/summary.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

static struct perftest_options o;

static struct summary example(void)
{
	struct summary s = {0};

	summary_rate(&s.publish, 100000);
	summary_rate(&s.publish, 300000);
	summary_rate(&s.receive, 250000.125);
	summary_finish(&s, 3.7823, 500000, 4000000, 16);
	return s;
}

static double busy;

static char *print(enum perftest_format format, unsigned iteration)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct summary s = example();

	s.client_busy = busy;
	o = (struct perftest_options){.mode_word = "shared",
		.qt = 4,
		.size = 16,
		.count = 500000,
		.iterations = 2,
		.confirm = true,
		.format = format};
	summary_print(f, &o, iteration, &s);
	fclose(f);
	return text;
}

/* 16 bytes, 1,057,827 transfers/s: the report has 16.141 MB/s. */
static void as_in_the_report(void)
{
	struct summary s = {0};

	summary_finish(&s, 2, 1, 2 * 1057827, 16);
	CU_ASSERT_DOUBLE_EQUAL(s.transfers_a_second, 1057827, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(s.mb_a_second, 16.141, 0.0005);
	summary_finish(&s, 1, 1, 210634, 4096);
	CU_ASSERT_DOUBLE_EQUAL(s.mb_a_second, 822.790, 0.005);
}

static void formats(void)
{
	char *text = print(PERFTEST_SUMMARY, 0);

	CU_ASSERT_STRING_EQUAL(text, "200000\t250000\t1057558\t16.137\n");
	free(text);
	text = print(PERFTEST_CSV, 0);
	CU_ASSERT_STRING_EQUAL(text,
		"iteration,size,transfers,seconds,publishes_per_s,receives_per_s,transfers_per_s,"
		"mb_per_s\n1,16,4000000,3.782300,200000,250000,1057558,16.137\n");
	free(text);
	text = print(PERFTEST_CSV, 1);
	CU_ASSERT_STRING_EQUAL(text, "2,16,4000000,3.782300,200000,250000,1057558,16.137\n");
	free(text);
	text = print(PERFTEST_JSON, 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\"publishes_per_s\": {\"workers\": 2, \"mean\": 200000.000, \"min\": "
			     "100000.000, \"max\": 300000.000}"));
	CU_ASSERT_EQUAL(text[strlen(text) - 2], '}');
	free(text);
	text = print(PERFTEST_TABLE, 0);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "4000000 transfers of 16 bytes in 3.782 s, every message once and in order"));
	free(text);
}

/* Whoever reads a figure must see when the client was what could do no more. */
static void busy_client(void)
{
	static const struct {
		double busy;
		const char *table, *json;
	} cases[] = {{0.5, "50 % of the time\n", "\"client_busy\": 0.5000"},
		{0.97, "97 % of the time: the client may be the limit", "\"client_busy\": 0.9700"},
		{-1, NULL, NULL}};

	for (unsigned i = 0; i < 3; i++) {
		busy = cases[i].busy;
		char *text = print(PERFTEST_TABLE, 0), *json = print(PERFTEST_JSON, 0);
		CU_ASSERT(cases[i].table ? strstr(text, cases[i].table) != NULL : !strstr(text, "busiest"));
		CU_ASSERT(cases[i].json ? strstr(json, cases[i].json) != NULL : !strstr(json, "client_busy"));
		CU_ASSERT_EQUAL(strstr(text, "may be the limit") != NULL, i == 1);
		free(text);
		free(json);
	}
}

static void means(void)
{
	struct summary s[2] = {example(), example()}, mean;

	s[1].transfers_a_second *= 3;
	s[1].receive.mean = 0;
	summary_mean(&mean, s, 2);
	CU_ASSERT_DOUBLE_EQUAL(mean.transfers_a_second, s[0].transfers_a_second * 2, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(mean.receive.mean, 125000.0625, 1e-6);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"as in the report", as_in_the_report}, {"formats", formats},
			{"busy client", busy_client}, {"means", means}, {0}});
}
