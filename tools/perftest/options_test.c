/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/options.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

static struct perftest_options o;
static char error[300];

static int parse(const char *line)
{
	char copy[300], *argv[40] = {(char *)"perftest"}, *rest = copy;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && argc < 40;)
		if (*word)
			argv[argc++] = word;
	error[0] = '\0';
	return perftest_options_parse(&o, argc, argv, error, sizeof(error));
}

static void accepted(void)
{
	CU_ASSERT_EQUAL(parse(""), 0);
	CU_ASSERT(o.pubs == 1 && o.subs == 1 && o.count == 500000 && o.size == 1024 && o.first == 500000 &&
		  perftest_transfers(&o, o.count) == 1000000);
	CU_ASSERT(
		o.setup && o.control && o.publish && o.subscribe && o.confirm && !o.durable && !o.competing);
	CU_ASSERT_EQUAL(o.format, PERFTEST_TABLE);
	/* the report's */
	CU_ASSERT_EQUAL(
		parse("-b 10.0.0.1 --count 500000 --nsubs 1 --npubs 1 --qt 4 --size 4096 --bounds-multiplier "
		      "102400 --summary"),
		0);
	CU_ASSERT(o.pubs == 4 && o.subs == 4 && perftest_quota(&o, o.count) == 500000 &&
		  perftest_transfers(&o, o.count) == 4000000);
	CU_ASSERT_EQUAL(o.machine.bounds_multiplier, 102400);
	CU_ASSERT_EQUAL(o.format, PERFTEST_SUMMARY);
	CU_ASSERT_EQUAL(parse("-csv --tcp-nodelay -p 5673 -x 2 -y 3 -C 7 -s=1"), -1);
	CU_ASSERT_EQUAL(parse("-csv --tcp-nodelay -p 5673 -x 2 -y 3 -C 9"), 0);
	CU_ASSERT(o.competing && perftest_quota(&o, o.count) == 6 && perftest_transfers(&o, o.count) == 36 &&
		  o.format == PERFTEST_CSV);
	CU_ASSERT_EQUAL(parse("--publish --sync-publish"), 0);
	CU_ASSERT(o.publish && !o.subscribe && !o.control && !o.setup && o.confirm && o.window == 1);
	CU_ASSERT_EQUAL(parse("--tx 10 --pub-confirm yes"), 0);
	CU_ASSERT_FALSE(o.confirm);
	CU_ASSERT_EQUAL(parse("--time-limit 10"), 0);
	CU_ASSERT(o.time_limit_s == 10 && o.warmup_ms == 1000 && o.first == PERFTEST_WARM_FIRST);
	CU_ASSERT_EQUAL(parse("-z 10 --warmup 0"), 0);
	CU_ASSERT(o.time_limit_s == 10 && o.warmup_ms == 0 && o.first == PERFTEST_WARM_FIRST);
	CU_ASSERT_EQUAL(parse("--count 7 --warmup 50"), 0);
	CU_ASSERT(o.count == 7 && o.warmup_ms == 50 && o.first == PERFTEST_WARM_FIRST);
}

/* qpid's names, and PerfTest's letters. */
static void other_names(void)
{
	CU_ASSERT_EQUAL(parse("--sub-ack 7 --queue-durable yes --interval_pub 5"), 0);
	CU_ASSERT(
		o.ack == 7 && o.prefetch == 2000 && o.queue_durable && !o.durable && o.interval_pub_ms == 5);
	CU_ASSERT_EQUAL(parse("-q 100 -r 50 -m 3 -f persistent"), 0);
	CU_ASSERT(o.ack == 50 && o.prefetch == 100 && o.rate == 50 && o.tx == 3 && o.durable &&
		  o.queue_durable);
	CU_ASSERT_EQUAL(parse("-A 2000 --confirm no"), 0);
	CU_ASSERT(o.ack == 2000 && o.prefetch == 4000 && !o.confirm);
	CU_ASSERT_EQUAL(parse("--interval_sub 5"), 0);
	CU_ASSERT(o.interval_sub_ms == 5 && o.ack == 1 && o.prefetch == 1);
	CU_ASSERT_EQUAL(parse("--interval-sub 5 --sub-ack 3"), 0);
	CU_ASSERT(o.ack == 3 && o.prefetch == 3);
	CU_ASSERT_EQUAL(parse("-a"), 0);
	CU_ASSERT(o.ack == 0 && o.prefetch == 0);
}

/* What is shown is qpid's name, whatever else is taken. */
static void help(void)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	perftest_options_help(f);
	fclose(f);
	static const char *const shown[] = {"--pub-confirm", "--sub-ack", "--sync-publish", "--queue-durable",
		"--interval_pub", "--interval_sub"};
	for (unsigned i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(text, shown[i]));
	CU_ASSERT_PTR_NULL(strstr(text, " --confirm"));
	CU_ASSERT_PTR_NULL(strstr(text, " --ack"));
	free(text);
}

static void refuse(const char *line, const char *part)
{
	CU_ASSERT_EQUAL(parse(line), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, part));
}

static void refused(void)
{
	refuse("--mode both", "--mode is shared, fanout or topic, not 'both'");
	refuse("--mode fanout --qt 2", "--qt must be 1");
	refuse("--count 3 --time-limit 3", "exclude each other");
	refuse("--summary --csv", "exclude each other");
	refuse("--tx 3 --sync-publish", "exclude each other");
	refuse("--npubs 200 --qt 200", "20000 at most");
	refuse("-f mandatory", "--flag is persistent");
	refuse("--rate 3 --interval_pub 3", "exclude each other");
	refuse("-a --interval_sub 3", "want acks");
	refuse("-q 5 -A 6", "no more than --prefetch");
	refuse("--size -1", "--size is a number");
	refuse("--count", "--count needs a value");
	refuse("--nosuch", "no option --nosuch");
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"accepted", accepted}, {"other names", other_names}, {"help", help},
			{"refused", refused}, {0}});
}
