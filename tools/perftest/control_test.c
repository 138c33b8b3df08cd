/* SPDX-License-Identifier: Apache-2.0 */
/* The run's course, told by words: its arithmetic, and everything that must make it fail. */
#include "tools/perftest/control.h"

#include "tests/unit/unit.h"
#include "tools/client/stamp.h"

#include <inttypes.h>
#include <stdarg.h>

enum { SECOND_US = 1000000 };

static struct run {
	struct perftest_options o;
	struct control c;
	uint64_t now_us;
	unsigned said, started, starts, nexts, byes, stops, iterations, overs;
	struct summary last;
	char why[256];
} r;

static void on_say(void *ctx, bool pub, unsigned index, const char *words)
{
	r.said++;
	r.starts += !strncmp(words, "start ", 6) && pub;
	r.nexts += !strncmp(words, "next ", 5) && !pub;
	r.byes += !strcmp(words, "bye");
	r.stops += !strncmp(words, "stop ", 5);
}

static void on_started(void *ctx)
{
	r.started++;
}

static double on_busy(void *ctx)
{
	return 0.75;
}

static void on_iteration(void *ctx, unsigned iteration, const struct summary *s)
{
	CU_ASSERT_EQUAL(iteration, r.iterations);
	r.iterations++;
	r.last = *s;
}

static void on_over(void *ctx, const char *why)
{
	r.overs++;
	snprintf(r.why, sizeof(r.why), "%s", why ? why : "");
}

static const struct control_app app = {
	.say = on_say, .started = on_started, .busy = on_busy, .iteration = on_iteration, .over = on_over};

static void begin(int argc, const char *const *words)
{
	char error[200], *argv[16] = {(char *)"perftest"};

	for (int i = 0; i < argc; i++)
		argv[1 + i] = (char *)words[i];
	memset(&r, 0, sizeof(r));
	r.now_us = 5 * SECOND_US;
	CU_ASSERT_EQUAL_FATAL(perftest_options_parse(&r.o, 1 + argc, argv, error, sizeof(error)), 0);
	CU_ASSERT_FATAL(control_init(&r.c, &r.o, &app, NULL, r.now_us));
}
#define BEGIN(...) \
	begin(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static void end(void)
{
	control_free(&r.c);
}

__attribute__((format(printf, 1, 2))) static void hear(const char *format, ...)
{
	char words[CONTROL_WORD_BYTES];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	control_hear(&r.c, (const uint8_t *)words, (uint32_t)n, r.now_us);
}

static void all_ready(void)
{
	for (unsigned i = 0; i < r.o.pubs; i++)
		hear("pub %u ready", i);
	for (unsigned i = 0; i < r.o.subs; i++)
		hear("sub %u ready", i);
}

static void pass(double seconds)
{
	while (seconds > 0) {
		r.now_us += SECOND_US / 2;
		seconds -= 0.5;
		control_tick(&r.c, r.now_us);
	}
}

/* The report's own command: four queues, a publisher and a subscriber each. */
static void as_in_the_report(void)
{
	BEGIN("--count", "500000", "--nsubs", "1", "--npubs", "1", "--qt", "4", "--size", "16",
		"--bounds-multiplier", "102400", "--summary", "-b", "127.0.0.1");
	CU_ASSERT_EQUAL(r.o.pubs, 4);
	CU_ASSERT_EQUAL(r.o.subs, 4);
	CU_ASSERT_EQUAL(perftest_quota(&r.o, r.o.count), 500000);
	CU_ASSERT_EQUAL(perftest_transfers(&r.o, r.o.count), 4000000);
	for (unsigned i = 0; i < 4; i++)
		hear("pub %u ready", i);
	CU_ASSERT_EQUAL(r.starts, 0);
	all_ready();
	CU_ASSERT_EQUAL(r.starts, 4);
	r.now_us += 2 * SECOND_US;
	for (unsigned i = 0; i < 4; i++)
		hear("pub %u done 0 500000 %u", i, 100000 * (i + 1));
	r.now_us += 2 * SECOND_US;
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(r.iterations, 0);
		hear("sub %u count 0 500000 125000 0", i);
	}
	CU_ASSERT_EQUAL(r.iterations, 1);
	/* publishes and receives, over the time from start to the last receive */
	CU_ASSERT_DOUBLE_EQUAL(r.last.seconds, 4, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(r.last.transfers_a_second, 1000000, 1e-3);
	CU_ASSERT_DOUBLE_EQUAL(r.last.mb_a_second, 1000000 * 16 / 1048576.0, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(r.last.publish.mean, 250000, 1e-3);
	CU_ASSERT_DOUBLE_EQUAL(r.last.publish.min, 100000, 1e-3);
	CU_ASSERT_DOUBLE_EQUAL(r.last.publish.max, 400000, 1e-3);
	CU_ASSERT_DOUBLE_EQUAL(r.last.receive.mean, 125000, 1e-3);
	CU_ASSERT_EQUAL(r.byes, 8);
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(r.overs, 0);
		hear("pub %u bye", i);
		hear("sub %u bye", i);
	}
	CU_ASSERT_EQUAL(r.overs, 1);
	CU_ASSERT_STRING_EQUAL(r.why, "");
	end();
}

static void iterations(void)
{
	BEGIN("--count", "10", "--iterations", "3");
	for (unsigned i = 0; i < 3; i++) {
		if (i == 0)
			hear("pub 0 ready");
		hear("sub 0 ready");
		CU_ASSERT_EQUAL(r.starts, i + 1);
		r.now_us += SECOND_US;
		hear("sub 0 count %u 10 1 0", i);
		hear("pub 0 done %u 10 1", i);
		CU_ASSERT_EQUAL(r.iterations, i + 1);
	}
	CU_ASSERT_EQUAL(r.nexts, 2);
	CU_ASSERT_EQUAL(r.byes, 2);
	CU_ASSERT_EQUAL(r.started, 3);
	CU_ASSERT_EQUAL(r.last.client_busy, 0.75);
	end();
}

/* One iteration of one publisher and one subscriber, of what control wants of it. */
static void iteration_of_one(unsigned i, uint64_t us)
{
	if (i == 0)
		hear("pub 0 ready");
	hear("sub 0 ready");
	uint64_t count = r.c.count;
	r.now_us += us;
	hear("sub 0 count %u %" PRIu64 " 1 0", i, count);
	hear("pub 0 done %u %" PRIu64 " 1", i, count);
}

/* A thousand messages in 1 ms; then a million a second. Warm-ups are not reported, and the last one's rate is
 * how many messages two seconds are. */
static void timed(void)
{
	BEGIN("--time-limit", "2", "--warmup", "400");
	CU_ASSERT_EQUAL(r.c.count, PERFTEST_WARM_FIRST);
	iteration_of_one(0, 1000);
	/* what is left of the warm-up, but no more than a hundredfold */
	CU_ASSERT_EQUAL(r.c.count, 100 * PERFTEST_WARM_FIRST);
	CU_ASSERT_EQUAL(r.iterations, 0);
	iteration_of_one(1, 200 * 1000);
	CU_ASSERT_EQUAL(r.c.count, 99500);
	iteration_of_one(2, 199 * 1000);
	CU_ASSERT_EQUAL(r.iterations, 0);
	CU_ASSERT_EQUAL(r.c.count, 2 * 500000);
	CU_ASSERT_EQUAL(r.byes, 0);
	iteration_of_one(3, 4 * SECOND_US);
	CU_ASSERT_EQUAL(r.iterations, 1);
	CU_ASSERT(r.last.count == 1000000 && r.last.transfers == 2000000);
	CU_ASSERT_DOUBLE_EQUAL(r.last.transfers_a_second, 500000, 1e-3);
	CU_ASSERT_EQUAL(r.byes, 2);
	end();
	/* What took less time than it was to take goes on. */
	BEGIN("--time-limit", "2", "--warmup", "200", "--iterations", "2");
	iteration_of_one(0, 1000);
	iteration_of_one(1, 200 * 1000);
	CU_ASSERT_EQUAL(r.c.count, 1000000);
	iteration_of_one(2, 1500 * 1000);
	CU_ASSERT_EQUAL(r.iterations, 0);
	CU_ASSERT_EQUAL(r.c.count, 333333);
	iteration_of_one(3, 499 * 1000);
	CU_ASSERT_EQUAL(r.iterations, 0);
	iteration_of_one(4, 200 * 1000); /* the shortest part */
	CU_ASSERT_EQUAL(r.iterations, 1);
	CU_ASSERT_DOUBLE_EQUAL(r.last.seconds, 2.199, 1e-9);
	CU_ASSERT_EQUAL(r.last.count, 1000000 + 333333 + 133600);
	CU_ASSERT_EQUAL(r.last.transfers, 2 * r.last.count);
	CU_ASSERT_EQUAL(r.last.client_busy, 0.75);
	CU_ASSERT_EQUAL(r.c.count, 1336000);
	iteration_of_one(5, 2 * SECOND_US);
	CU_ASSERT_EQUAL(r.iterations, 2);
	CU_ASSERT_EQUAL(r.last.count, 1336000);
	CU_ASSERT_EQUAL(r.byes, 2);
	end();
	/* Also where no warm-up is wanted a rate is: of 100 ms at least. */
	BEGIN("--time-limit", "1", "--warmup", "0");
	iteration_of_one(0, 50 * 1000);
	CU_ASSERT_EQUAL(r.c.count, 4 * PERFTEST_WARM_FIRST);
	iteration_of_one(1, 200 * 1000);
	CU_ASSERT_EQUAL(r.c.count, 20 * PERFTEST_WARM_FIRST);
	iteration_of_one(2, SECOND_US);
	CU_ASSERT_EQUAL(r.iterations, 1);
	end();
}

/* With a count the warm-up is as long as it takes, and every iteration that counts has that count. */
static void warmed(void)
{
	BEGIN("--count", "7", "--warmup", "1", "--iterations", "2");
	iteration_of_one(0, 2000);
	CU_ASSERT(r.iterations == 0 && r.c.count == 7);
	iteration_of_one(1, 10);
	iteration_of_one(2, 10);
	CU_ASSERT(r.iterations == 2 && r.last.count == 7 && r.byes == 2);
	end();
}

/* The sum of stamps covers the warm-up's messages as well. */
static void warmed_competing(void)
{
	BEGIN("--count", "100", "--npubs", "2", "--nsubs", "2", "--size", "8", "--warmup", "1");
	for (unsigned i = 0; i < 2; i++) {
		uint64_t count = r.c.count, all = i ? PERFTEST_WARM_FIRST + 100 : PERFTEST_WARM_FIRST;
		all_ready();
		r.now_us += SECOND_US;
		hear("pub 0 done %u %" PRIu64 " 1", i, count);
		hear("pub 1 done %u %" PRIu64 " 1", i, count);
		hear("sub 0 count %u %" PRIu64 " 1 5", i, 2 * count - 10);
		CU_ASSERT_EQUAL(r.overs, 0);
		hear("sub 1 count %u 10 1 %" PRIx64, i, stamp_sum(0, 2, all) - 5);
		CU_ASSERT(r.iterations == i && r.overs == 0);
	}
	end();
}

/* What is received grows with the subscribers of an exchange. */
static void fanout(void)
{
	BEGIN("--count", "10", "--mode", "fanout", "--npubs", "2", "--nsubs", "3");
	CU_ASSERT_EQUAL(perftest_quota(&r.o, r.o.count), 20);
	CU_ASSERT_EQUAL(perftest_transfers(&r.o, r.o.count), 20 + 60);
	end();
	BEGIN("--count", "10", "--mode", "topic", "--npubs", "2", "--nsubs", "3", "--qt", "5");
	CU_ASSERT_EQUAL(perftest_quota(&r.o, r.o.count), 20);
	CU_ASSERT_EQUAL(perftest_transfers(&r.o, r.o.count), 100 + 300);
	end();
}

/* Of subscribers that share a queue each gets what it gets. */
static void competing(uint64_t first, uint64_t second, uint64_t sum_wrong)
{
	BEGIN("--count", "100", "--npubs", "2", "--nsubs", "2", "--size", "8");
	uint64_t right = stamp_sum(0, 2, 100) + sum_wrong, part = 12345;
	all_ready();
	r.now_us += SECOND_US;
	hear("pub 0 done 0 100 1");
	hear("pub 1 done 0 100 1");
	hear("sub 0 count 0 %" PRIu64 " 1 %" PRIx64, first, part);
	hear("sub 1 count 0 3 1 7");
	CU_ASSERT_EQUAL(r.iterations, 0);
	hear("sub 1 count 0 %" PRIu64 " 1 %" PRIx64, second, right - part);
}

static void shared(void)
{
	competing(190, 10, 0);
	CU_ASSERT_EQUAL(r.iterations, 1);
	CU_ASSERT_EQUAL(r.overs, 0);
	end();
	competing(190, 10, 1);
	CU_ASSERT_EQUAL(r.iterations, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "came twice"));
	end();
	competing(190, 11, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "more messages"));
	CU_ASSERT_EQUAL(r.stops, 4);
	end();
	competing(190, 9, 0);
	CU_ASSERT_EQUAL(r.iterations, 0);
	CU_ASSERT_EQUAL(r.overs, 0);
	end();
}

/* A message that never comes; a worker that is not heard of; one that says that it failed. */
static void failures(void)
{
	BEGIN("--count", "100", "--timeout", "5");
	all_ready();
	hear("pub 0 done 0 100 1");
	for (unsigned i = 0; i < 4; i++) {
		pass(1);
		hear("sub 0 alive 99");
		hear("pub 0 alive 100");
		CU_ASSERT_EQUAL(r.overs, 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		hear("sub 0 alive 99");
		hear("pub 0 alive 100");
		pass(1);
	}
	CU_ASSERT_EQUAL(r.overs, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "sub 0 waits"));
	end();

	BEGIN("--count", "100", "--timeout", "5");
	all_ready();
	for (unsigned i = 0; i < 8; i++) {
		pass(1);
		hear("sub 0 alive %u", i);
	}
	CU_ASSERT_EQUAL(r.overs, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "pub 0: nothing was heard of it for 5 s"));
	CU_ASSERT_EQUAL(r.stops, 2);
	end();

	BEGIN("--timeout", "5");
	hear("pub 0 ready");
	for (unsigned i = 0; i < 8; i++) {
		hear("pub 0 alive 0");
		pass(1);
	}
	CU_ASSERT_PTR_NOT_NULL(strstr(r.why, "sub 0 is not there"));
	end();

	BEGIN("--count", "100");
	all_ready();
	hear("sub 0 failed messages were lost");
	CU_ASSERT_STRING_EQUAL(r.why, "sub 0: messages were lost");
	CU_ASSERT_EQUAL(r.overs, 1);
	hear("sub 0 failed again");
	CU_ASSERT_EQUAL(r.overs, 1);
	end();
}

/* Anybody may write to the queue. */
static void strange_words(void)
{
	static const char *const words[] = {"", "pub", "pub x ready", "pub 7 ready", "sub 4294967295 ready",
		"sub 0 ", "all 0 ready", "pub 0 done", "pub 0 done 0", "pub 0 done 9 1 1",
		"sub 0 count 0 100 1", "sub -1 ready", "pub 0 failedtoomuch", "sub 0 alive x"};
	uint8_t noise[300];

	BEGIN("--count", "100");
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		hear("%s", words[i]);
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)unit_random();
		control_hear(&r.c, noise, unit_random_below(sizeof(noise)), r.now_us);
	}
	CU_ASSERT_EQUAL(r.overs + r.starts + r.iterations, 0);
	all_ready();
	CU_ASSERT_EQUAL(r.starts, 1);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"as in the report", as_in_the_report}, {"iterations", iterations},
			{"timed", timed}, {"warmed", warmed}, {"warmed_competing", warmed_competing},
			{"fanout and topic", fanout}, {"competing", shared}, {"failures", failures},
			{"strange words", strange_words}, {0}});
}
