/* SPDX-License-Identifier: Apache-2.0 */
/* Each format's form, and the command line. */
#include "tools/latencytest/report.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct recorder r;
static struct latency_options o;
static char error[300];

static int parse(const char *line)
{
	static char copy[300];
	char *argv[40] = {(char *)"latencytest"}, *rest = copy;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && argc < 40;)
		if (*word)
			argv[argc++] = word;
	error[0] = '\0';
	return latency_options_parse(&o, argc, argv, error, sizeof(error));
}

static char *print(const char *options)
{
	char *text = NULL;
	size_t n;

	CU_ASSERT_EQUAL_FATAL(parse(options), 0);
	FILE *f = open_memstream(&text, &n);
	report_print(f, &o, &r);
	fclose(f);
	return text;
}

static void options(void)
{
	/* the report's */
	CU_ASSERT_EQUAL(parse("-b 10.0.0.1 --rate 1000 --queues 1 --size 1024 --bounds-multiplier 1 "
			      "--tcp-nodelay -csv"),
		0);
	CU_ASSERT(o.rate == 1000 && o.queues == 1 && o.size == 1024 && o.format == LATENCY_CSV &&
		  o.machine.tcp_nodelay);
	CU_ASSERT(o.count == 60000 && o.warmup_count == 1000 && o.total == 61000);
	CU_ASSERT_EQUAL(parse("-r 500 --time-limit 3 --warmup 0 --json"), 0);
	CU_ASSERT(o.count == 1500 && o.total == 1500 && o.format == LATENCY_JSON);
	CU_ASSERT(o.ack == 0 && o.prefetch == 0 && o.report_ms == 1000 && !o.series);
	/* qpid's others, and PerfTest's letters */
	CU_ASSERT_EQUAL(
		parse("--prefetch 100 --report-frequency 200 --queue-base-name x --concurrentTests 3"), 0);
	CU_ASSERT(o.ack == 50 && o.prefetch == 100 && o.report_ms == 200 && o.queues == 3);
	CU_ASSERT(!strcmp(o.series, "-") && !strcmp(o.base, "x"));
	CU_ASSERT_EQUAL(parse("-s 64 -q 1 -f persistent"), 0);
	CU_ASSERT(o.size == 64 && o.ack == 1 && o.prefetch == 1 && o.durable);
	CU_ASSERT_EQUAL(parse("-A 3000"), 0);
	CU_ASSERT(o.ack == 3000 && o.prefetch == 6000);
	CU_ASSERT_EQUAL(parse("--merge a b"), 0);
	CU_ASSERT_EQUAL(o.files, 2);
	static const char *const bad[][2] = {{"a", "for --merge"}, {"--merge", "needs files"},
		{"--count 3 --time-limit 3", "exclude"}, {"--csv --json", "exclude"},
		{"--rate 0", "--rate is a number"}, {"-a -q 3", "want acks"},
		{"-q 3 -A 4", "no more than --prefetch"}, {"-f mandatory", "--flag is persistent"},
		{"--report-frequency 5", "--report-frequency is a number"},
		{"--threads 2", "each needs a queue"}};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(parse(bad[i][0]), -1);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, bad[i][1]));
	}
}

static void formats(void)
{
	memset(&r, 0, sizeof(r));
	for (unsigned i = 0; i < 400; i++)
		distribution_add(&r.all, i < 200 ? 100000 : 300000);
	char *text = print("--csv");
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "row,rate,size,queues,count,min_ms,avg_ms,max_ms,stddev_ms,p50_ms,p90_ms,p99_ms,"
			     "p99_9_ms,p99_99_ms\n"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\nall,1000,16,1,400,0.100000,0.200000,0.300000,0.100000,0.100351,,,,\n"));
	CU_ASSERT_PTR_NULL(strstr(text, "no_gaps"));
	free(text);
	r.gaps = (struct recorder_gaps){.count = 3, .ns = 1000000, .ns_max = 700000, .watched_ns = 100000000};
	text = print("--json");
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\"all\": {\"count\": 400, \"min_ms\": 0.100000, \"avg_ms\": 0.200000"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "\"gaps\": {\"limit_us\": 20, \"count\": 3, \"max_ms\": 0.700000, \"share\": "
			     "0.010000000}"));
	CU_ASSERT_PTR_NULL(strstr(text, "p90"));
	free(text);
	text = print("");
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "3 of more than 20 us, the longest 0.700 ms, 1.000 % of the time"));
	free(text);
	text = print("--merge --csv x");
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nall,,,,400,"));
	CU_ASSERT_PTR_NULL(strstr(text, "floor"));
	free(text);
}

/* The average is 0.2 ms. */
static void a_late_client(void)
{
	static const uint64_t late_ns[] = {19000, 50000};

	memset(&r, 0, sizeof(r));
	distribution_add(&r.all, 200000);
	for (unsigned i = 0; i < 2; i++) {
		distribution_clear(&r.late);
		distribution_add(&r.late, late_ns[i]);
		char *text = print("");
		CU_ASSERT_EQUAL(
			strstr(text, "late by 25 % of the average: it may be the limit") != NULL, i == 1);
		free(text);
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"options", options}, {"formats", formats}, {"a late client", a_late_client}, {0}});
}
