/* SPDX-License-Identifier: Apache-2.0 */
/* Bags beside an array of what should be in them, and a reader that must meet all that stands, once. */
#include "broker/core/pointer_bag.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { THINGS = 500 };

static struct pointer_bag bag;
static char things[THINGS];
static struct {
	bool in;
	struct bag_place place;
} model[THINGS];

static void put(unsigned i)
{
	CU_ASSERT_EQUAL_FATAL(pointer_bag_add(&bag, &things[i], &model[i].place), 0);
	model[i].in = true;
}

static void drop(unsigned i)
{
	pointer_bag_remove(&bag, &model[i].place);
	model[i].in = false;
}

/* How often a walk met each of them. */
static void walk(uint8_t seen[THINGS])
{
	struct bag_cursor at = {0};
	const char *p;

	memset(seen, 0, THINGS);
	while ((p = pointer_bag_next(&bag, &at)))
		seen[p - things]++;
}

static unsigned differences(void)
{
	uint8_t seen[THINGS];
	unsigned n = 0, count = 0;

	walk(seen);
	for (unsigned i = 0; i < THINGS; i++) {
		n += seen[i] != model[i].in;
		count += model[i].in;
	}
	return n + (bag.count != count);
}

static void random_changes_match_the_model(void)
{
	unsigned wrong = 0;

	reclaim_start_manual();
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = unit_random_below(THINGS);
		bool filling = step / 4000 % 2 == 0;
		if (model[i].in && (!filling || unit_random_below(8) == 0))
			drop(i);
		else if (!model[i].in && (filling || unit_random_below(8) == 0))
			put(i);
		if (step % 16 == 0)
			wrong += differences();
		if (unit_random_below(100) == 0)
			reclaim_run();
	}
	CU_ASSERT_EQUAL(wrong, 0);
	for (unsigned i = 0; i < THINGS; i++)
		if (model[i].in)
			drop(i);
	CU_ASSERT_EQUAL(differences(), 0);
	CU_ASSERT_PTR_NULL(bag.first);
	CU_ASSERT_PTR_NULL(bag.chunks);
	CU_ASSERT_PTR_NULL(bag.with_holes);
	reclaim_stop();
}

/* The one that most bags have costs no memory of its own. */
static void the_first_lies_in_the_bag(void)
{
	reclaim_start_manual();
	put(0);
	CU_ASSERT_PTR_NULL(bag.chunks);
	put(1);
	CU_ASSERT_PTR_NOT_NULL(bag.chunks);
	drop(0);
	put(2);
	CU_ASSERT_PTR_EQUAL(bag.first, &things[2]);
	drop(1);
	CU_ASSERT_PTR_NULL(bag.chunks);
	drop(2);
	reclaim_stop();
}

static struct {
	bool stop;
	uint64_t walks, wrong;
} reader;

/* Every third one stands. */
static void *read_loop(void *arg)
{
	uint8_t seen[THINGS];

	reclaim_thread_register();
	while (!__atomic_load_n(&reader.stop, __ATOMIC_ACQUIRE)) {
		walk(seen);
		for (unsigned i = 0; i < THINGS; i += 3)
			reader.wrong += seen[i] != 1;
		__atomic_fetch_add(&reader.walks, 1, __ATOMIC_RELEASE);
		reclaim_quiescent();
	}
	reclaim_thread_unregister();
	return NULL;
}

static void a_reader_meets_what_stands_once(void)
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	reclaim_thread_register();
	/* Holes before and between them, so that some lie in the bag and in chunks of all sizes. */
	for (unsigned i = 0; i < THINGS; i++)
		put(i);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_loop, NULL), 0);
	/* A busy machine may start the reader late: the changes go on until it has seen some of them. */
	for (unsigned step = 0; step < 200000 || __atomic_load_n(&reader.walks, __ATOMIC_ACQUIRE) < 100;
		step++) {
		unsigned i = unit_random_below(THINGS);
		if (i % 3 == 0)
			continue;
		if (model[i].in)
			drop(i);
		else if (step / 20000 % 2 == 0)
			put(i);
		reclaim_quiescent();
	}
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(reader.wrong, 0);
	printf("# %llu walks\n", (unsigned long long)reader.walks);
	for (unsigned i = 0; i < THINGS; i++)
		if (model[i].in)
			drop(i);
	reclaim_stop();
	reclaim_thread_unregister();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"random_changes_match_the_model", random_changes_match_the_model},
			{"the_first_lies_in_the_bag", the_first_lies_in_the_bag},
			{"a_reader_meets_what_stands_once", a_reader_meets_what_stands_once}, {0}});
}
