/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/calls.h"

#include "runtime/reclaim.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct core {
	struct turn turn;
	struct calls *calls;
	pthread_t thread;
};

static void *core_main(void *arg)
{
	struct core *c = arg;

	turn_run(&c->turn);
	return NULL;
}

static void core_start(struct core *c, enum turn_idle idle)
{
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	CU_ASSERT_EQUAL_FATAL(turn_init(&c->turn, idle, 10), 0);
	c->calls = calls_create(&c->turn);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->calls);
	CU_ASSERT_EQUAL(turn_add(&c->turn, calls_source(c->calls)), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&c->thread, NULL, core_main, c), 0);
}

static void core_stop(struct core *c)
{
	turn_stop(&c->turn);
	pthread_join(c->thread, NULL);
	calls_destroy(c->calls);
	turn_fini(&c->turn);
	reclaim_stop();
}

struct sum {
	unsigned runs, wrong;
	unsigned expected;
	pthread_t thread;
};

static void add(void *arg)
{
	struct sum *s = arg;

	s->wrong += s->runs++ != s->expected;
	s->thread = pthread_self();
}

static void test_each_call_runs_once_on_the_core(void)
{
	struct core c;
	struct sum s = {0};

	core_start(&c, TURN_IDLE_ADAPTIVE); /* calls race with falling asleep */
	for (s.expected = 0; s.expected < 20000; s.expected++) {
		CU_ASSERT_EQUAL_FATAL(calls_run(c.calls, add, &s, 10000), 0);
		if (s.expected % 1000 == 0)
			usleep(200);
	}
	CU_ASSERT_EQUAL(s.runs, 20000);
	CU_ASSERT_EQUAL(s.wrong, 0);
	CU_ASSERT(pthread_equal(s.thread, c.thread));
	core_stop(&c);
}

struct gate {
	_Atomic bool open;
	_Atomic unsigned runs;
};

static void pass(void *arg)
{
	struct gate *g = arg;

	while (!atomic_load(&g->open))
		usleep(100);
	atomic_fetch_add(&g->runs, 1);
}

static void mark(void *arg)
{
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static void test_a_late_call_is_not_taken_for_the_next(void)
{
	struct core c;
	struct gate g = {0};
	_Atomic unsigned marked = 0, done = 0;

	core_start(&c, TURN_IDLE_PAUSE);
	CU_ASSERT_EQUAL(calls_run(c.calls, pass, &g, 10), -ETIMEDOUT);
	CU_ASSERT_EQUAL(calls_run(c.calls, mark, (void *)&marked, 10), -EBUSY);
	atomic_store(&g.open, true);
	while (atomic_load(&g.runs) == 0)
		usleep(100);
	int rc;
	while ((rc = calls_run(c.calls, mark, (void *)&done, 1000)) == -EBUSY)
		;
	CU_ASSERT_EQUAL(rc, 0);
	CU_ASSERT_EQUAL(atomic_load(&done), 1);
	CU_ASSERT_EQUAL(atomic_load(&marked), 0); /* it was said not to run */
	core_stop(&c);
}

/* Time-outs at the very moment at which the core answers: what says 0 has run, and nothing runs twice. */
static void test_timeouts_race_with_answers(void)
{
	enum { CALLS = 20000 };
	struct core c;
	_Atomic unsigned *ran = calloc(CALLS, sizeof(*ran));
	unsigned late = 0, wrong = 0;

	core_start(&c, TURN_IDLE_POLL);
	for (unsigned i = 0; i < CALLS; i++) {
		int rc;
		while ((rc = calls_run(c.calls, mark, (void *)&ran[i], i % 64 == 0 ? 1 : 0)) == -EBUSY)
			sched_yield();
		wrong += rc == 0 && atomic_load(&ran[i]) != 1;
		late += rc == -ETIMEDOUT;
	}
	core_stop(&c);
	for (unsigned i = 0; i + 1 < CALLS; i++) /* the last one may never have been come to */
		wrong += atomic_load(&ran[i]) != 1;
	CU_ASSERT_EQUAL(wrong, 0);
	printf("# %u of %u late\n", late, CALLS);
	free(ran);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"each_call_runs_once_on_the_core", test_each_call_runs_once_on_the_core},
		{"a_late_call_is_not_taken_for_the_next", test_a_late_call_is_not_taken_for_the_next},
		{"timeouts_race_with_answers", test_timeouts_race_with_answers},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
