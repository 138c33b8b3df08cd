/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/reclaim.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <urcu/compiler.h>

struct object {
	struct reclaim_node node;
	uint64_t value;
};

static unsigned released;
static uint64_t released_order[4];

static void note_release(struct reclaim_node *n)
{
	struct object *o = caa_container_of(n, struct object, node);

	if (released < 4)
		released_order[released] = o->value;
	released++;
	free(o);
}

static struct object *object_new(uint64_t value)
{
	struct object *o = calloc(1, sizeof(*o));

	o->value = value;
	return o;
}

static void manual_waits_for_run(void)
{
	released = 0;
	reclaim_start_manual();
	reclaim_thread_register();
	for (uint64_t i = 1; i <= 3; i++)
		reclaim_defer(&object_new(i)->node, note_release);
	reclaim_quiescent();
	reclaim_offline();
	reclaim_online();
	CU_ASSERT_EQUAL(released, 0);
	CU_ASSERT_EQUAL(reclaim_pending(), 3);
	CU_ASSERT_EQUAL(reclaim_run(), 3);
	CU_ASSERT_EQUAL(reclaim_run(), 0);
	CU_ASSERT_EQUAL(released, 3);
	CU_ASSERT(released_order[0] == 1 && released_order[1] == 2 && released_order[2] == 3);
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	reclaim_thread_unregister();
	reclaim_stop();
}

static void a_hold_outlasts_quiescence(void)
{
	released = 0;
	reclaim_start_manual();
	reclaim_hold();
	reclaim_hold();
	reclaim_defer(&object_new(1)->node, note_release);
	reclaim_quiescent();
	CU_ASSERT_EQUAL(reclaim_run(), 0);
	reclaim_hold_end();
	CU_ASSERT_EQUAL(reclaim_run(), 0);
	CU_ASSERT_EQUAL(released, 0);
	reclaim_hold_end();
	CU_ASSERT_EQUAL(reclaim_run(), 1);
	reclaim_stop();
}

/* With the thread: quiescent and held is not quiescent. */
static void a_hold_outlasts_grace_periods(void)
{
	struct timespec wait = {0, 50 * 1000000};

	released = 0;
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	reclaim_thread_register();
	reclaim_hold();
	reclaim_defer(&object_new(1)->node, note_release);
	for (int i = 0; i < 5; i++) {
		nanosleep(&(struct timespec){0, 10 * 1000000}, NULL);
		reclaim_quiescent();
	}
	CU_ASSERT_EQUAL(reclaim_pending(), 1);
	reclaim_hold_end();
	for (int i = 0; i < 500 && reclaim_pending() > 0; i++) {
		reclaim_quiescent();
		nanosleep(&wait, NULL);
	}
	CU_ASSERT_EQUAL(released, 1);
	reclaim_thread_unregister();
	reclaim_stop();
}

static void release_and_defer(struct reclaim_node *n)
{
	note_release(n);
	reclaim_defer(&object_new(0)->node, note_release);
}

static void a_release_may_defer(void)
{
	released = 0;
	reclaim_start_manual();
	reclaim_defer(&object_new(1)->node, release_and_defer);
	CU_ASSERT_EQUAL(reclaim_run(), 1);
	CU_ASSERT_EQUAL(reclaim_pending(), 1);
	reclaim_stop();
	CU_ASSERT_EQUAL(released, 2);

	released = 0;
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	reclaim_defer(&object_new(1)->node, release_and_defer);
	reclaim_stop();
	CU_ASSERT_EQUAL(released, 2);
}

enum { READERS = 3, SWAPS = 3000, ALIVE = 77 };

static struct object *shared;
static bool readers_stop;

static void kill_object(struct reclaim_node *n)
{
	struct object *o = caa_container_of(n, struct object, node);

	o->value = 0;
	free(o);
}

/* Looks several times at what it found: it must stay alive until the reader says quiescent. */
static void *read_shared(void *arg)
{
	uint64_t *dead = arg;

	reclaim_thread_register();
	while (!__atomic_load_n(&readers_stop, __ATOMIC_RELAXED)) {
		struct object *o = __atomic_load_n(&shared, __ATOMIC_CONSUME);
		for (int i = 0; i < 20; i++)
			*dead += o->value != ALIVE;
		reclaim_quiescent();
	}
	reclaim_thread_unregister();
	return NULL;
}

static void readers_never_see_the_dead(void)
{
	pthread_t reader[READERS];
	uint64_t dead[READERS] = {0};

	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	shared = object_new(ALIVE);
	readers_stop = false;
	for (int i = 0; i < READERS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&reader[i], NULL, read_shared, &dead[i]), 0);
	for (int i = 0; i < SWAPS; i++) {
		struct object *old = __atomic_exchange_n(&shared, object_new(ALIVE), __ATOMIC_ACQ_REL);
		reclaim_defer(&old->node, kill_object);
		if (i % 64 == 0)
			sched_yield();
	}
	__atomic_store_n(&readers_stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++) {
		pthread_join(reader[i], NULL);
		CU_ASSERT_EQUAL(dead[i], 0);
	}
	reclaim_stop();
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	free(shared);
}

static bool hold, held;

static void *hold_grace_period(void *arg)
{
	reclaim_thread_register();
	__atomic_store_n(&held, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&hold, __ATOMIC_ACQUIRE))
		sched_yield();
	/* Asleep online it would hold everything up for ever; offline it holds up nothing. */
	reclaim_offline();
	while (reclaim_pending() > 0)
		sched_yield();
	reclaim_online();
	reclaim_thread_unregister();
	return NULL;
}

static void a_reader_holds_and_offline_does_not(void)
{
	struct timespec wait = {0, 50 * 1000000};
	pthread_t holder;

	hold = true;
	held = false;
	released = 0;
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&holder, NULL, hold_grace_period, NULL), 0);
	while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
		sched_yield();
	reclaim_defer(&object_new(1)->node, note_release);
	nanosleep(&wait, NULL);
	CU_ASSERT_EQUAL(reclaim_pending(), 1);
	__atomic_store_n(&hold, false, __ATOMIC_RELEASE);
	pthread_join(holder, NULL);
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	reclaim_stop();
	CU_ASSERT_EQUAL(released, 1);
}

enum { DEFERRERS = 4, DEFERS = 2000 };

static void *defer_many(void *arg)
{
	for (int i = 0; i < DEFERS; i++)
		reclaim_defer(&object_new(1)->node, note_release);
	return NULL;
}

static void many_threads_defer(void)
{
	pthread_t thread[DEFERRERS];

	released = 0;
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	/* The stopping thread may be a registered reader itself. */
	reclaim_thread_register();
	for (int i = 0; i < DEFERRERS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, defer_many, NULL), 0);
	for (int i = 0; i < DEFERRERS; i++)
		pthread_join(thread[i], NULL);
	reclaim_stop();
	reclaim_thread_unregister();
	CU_ASSERT_EQUAL(released, DEFERRERS * DEFERS);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"manual_waits_for_run", manual_waits_for_run},
			{"a_hold_outlasts_quiescence", a_hold_outlasts_quiescence},
			{"a_hold_outlasts_grace_periods", a_hold_outlasts_grace_periods},
			{"a_release_may_defer", a_release_may_defer},
			{"readers_never_see_the_dead", readers_never_see_the_dead},
			{"a_reader_holds_and_offline_does_not", a_reader_holds_and_offline_does_not},
			{"many_threads_defer", many_threads_defer}, {0}});
}
