/* SPDX-License-Identifier: Apache-2.0 */
/* Tables beside a plain array of what should be in them, through growing and shrinking; and a reader that
 * must find what stands however the table moves under it. */
#include "broker/core/table.h"

#include "runtime/reclaim.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <urcu/compiler.h>

enum { ENTRIES = 30000, OWNERS = 3, CHAIN = 40 };

struct thing {
	struct table_entry entry;
	struct reclaim_node reclaim;
	uint32_t number;
	bool in;
};

static const struct siphash_key key = {1, 2};
static struct table table;
static struct thing *things;
static char owners[OWNERS][64];

static struct slice name_of(const struct thing *t)
{
	return (struct slice){(const uint8_t *)&t->number, sizeof(t->number)};
}

static const void *owner_of(uint32_t i)
{
	return owners[i % OWNERS];
}

/* Three owners have each name. */
static void begin(uint32_t expected)
{
	reclaim_start_manual();
	CU_ASSERT_EQUAL_FATAL(table_create(&table, &key, expected), 0);
	things = calloc(ENTRIES, sizeof(*things));
	CU_ASSERT_PTR_NOT_NULL_FATAL(things);
	for (uint32_t i = 0; i < ENTRIES; i++)
		things[i].number = i / OWNERS;
}

static void put(uint32_t i)
{
	table_add(&table, &things[i].entry, owner_of(i), name_of(&things[i]));
	things[i].in = true;
}

static void drop(uint32_t i)
{
	table_remove(&table, &things[i].entry);
	things[i].in = false;
}

static bool as_it_should(uint32_t i)
{
	struct table_entry *e = table_find(&table, owner_of(i), name_of(&things[i]));
	return e == (things[i].in ? &things[i].entry : NULL);
}

static void end(void)
{
	unsigned wrong = 0;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		wrong += !as_it_should(i);
		if (things[i].in)
			drop(i);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	table_destroy(&table);
	reclaim_stop();
	free(things);
}

/* An entry comes or goes; an unrelated one is looked up. */
static void random_changes_match_the_model(void)
{
	unsigned wrong = 0;

	begin(0);
	/* Rather full, rather empty, and again, with grace periods that take their time. */
	for (unsigned step = 0; step < 400000; step++) {
		uint32_t i = unit_random_below(ENTRIES);
		bool filling = step / 100000 % 2 == 0;
		if (things[i].in && (!filling || unit_random_below(4) == 0))
			drop(i);
		else if (!things[i].in && (filling || unit_random_below(20) == 0))
			put(i);
		wrong += !as_it_should(i) + !as_it_should(unit_random_below(ENTRIES));
		if (unit_random_below(3000) == 0)
			reclaim_run();
	}
	CU_ASSERT_EQUAL(wrong, 0);
	end();
}

static void size_follows_count(void)
{
	begin(1000);
	CU_ASSERT_EQUAL(table_buckets(&table), 1024);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		put(i);
		reclaim_run();
	}
	CU_ASSERT_TRUE(table_buckets(&table) >= ENTRIES);
	CU_ASSERT_TRUE(table_buckets(&table) <= ENTRIES * 4);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		drop(i);
		reclaim_run();
	}
	CU_ASSERT_EQUAL(table_buckets(&table), 1024);
	end();
}

/* Its links may still be followed: the array before the last one must be gone first. */
static void no_second_move_within_a_grace_period(void)
{
	begin(0);
	for (uint32_t i = 0; i < ENTRIES; i++)
		put(i);
	CU_ASSERT_EQUAL(table_buckets(&table), 256);
	CU_ASSERT_EQUAL(reclaim_run(), 1);
	for (uint32_t i = 0; i < 1000; i++)
		drop(i);
	CU_ASSERT_EQUAL(table_buckets(&table), 1024);
	end();
}

static void entries_of_one_name_are_all_there(void)
{
	unsigned seen = 0;

	begin(0);
	struct slice name = name_of(&things[0]);
	for (uint32_t i = 0; i < CHAIN; i++)
		table_add_hashed(&table, &things[i].entry, 7, owners, name);
	for (struct table_entry *e = table_find_hashed(&table, 7, owners, name); e; e = table_next(&table, e))
		seen++;
	CU_ASSERT_EQUAL(seen, CHAIN);
	CU_ASSERT_PTR_NULL(table_find_hashed(&table, 8, owners, name));
	CU_ASSERT_PTR_NULL(table_find_hashed(&table, 7, owners + 1, name));
	CU_ASSERT_PTR_NULL(table_find_hashed(&table, 7, owners, name_of(&things[OWNERS])));
	for (uint32_t i = 0; i < CHAIN; i++)
		table_remove(&table, &things[i].entry);
	end();
}

enum { STANDING = 50, COMING = 4000, ROUNDS = 12 };

static struct {
	bool stop;
	uint64_t looks, wrong;
	uint32_t numbers[STANDING];
} reader;

/* Names of the standing ones lie outside of what is released. */
static void *read_loop(void *arg)
{
	reclaim_thread_register();
	while (!__atomic_load_n(&reader.stop, __ATOMIC_ACQUIRE)) {
		for (uint32_t i = 0; i < STANDING; i += 1 + (uint32_t)(reader.looks % 7)) {
			struct slice name = {(const uint8_t *)&reader.numbers[i], sizeof(uint32_t)};
			struct table_entry *e = table_find(&table, owners[0], name);
			reader.wrong += !e || caa_container_of(e, struct thing, entry)->number != i;
			reader.looks++;
		}
		reclaim_quiescent();
	}
	reclaim_thread_unregister();
	return NULL;
}

static void thing_release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct thing, reclaim));
}

static struct thing *thing_put(uint32_t number)
{
	struct thing *t = calloc(1, sizeof(*t));

	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	t->number = number;
	table_add(&table, &t->entry, owners[0], name_of(t));
	return t;
}

static void thing_drop(struct thing *t)
{
	table_remove(&table, &t->entry);
	reclaim_defer(&t->reclaim, thing_release);
}

static void a_reader_finds_what_stands(void)
{
	static struct thing *standing[STANDING], *coming[COMING];
	uint32_t smallest = UINT32_MAX, largest = 0;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	reclaim_thread_register();
	CU_ASSERT_EQUAL_FATAL(table_create(&table, &key, 0), 0);
	for (uint32_t i = 0; i < STANDING; i++) {
		reader.numbers[i] = i;
		standing[i] = thing_put(i);
	}
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_loop, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < COMING; i++) {
			coming[i] = thing_put(STANDING + i);
			reclaim_quiescent();
		}
		largest = table_buckets(&table) > largest ? table_buckets(&table) : largest;
		for (uint32_t i = 0; i < COMING; i++) {
			thing_drop(coming[i]);
			reclaim_quiescent();
		}
		smallest = table_buckets(&table) < smallest ? table_buckets(&table) : smallest;
		/* The array before is given back, so that the next round moves again. */
		while (reclaim_pending() > 0) {
			reclaim_quiescent();
			sched_yield();
		}
	}
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(reader.wrong, 0);
	CU_ASSERT_TRUE(reader.looks > 0);
	printf("# %llu looks, %u to %u buckets\n", (unsigned long long)reader.looks, smallest, largest);
	for (uint32_t i = 0; i < STANDING; i++)
		thing_drop(standing[i]);
	table_destroy(&table);
	reclaim_stop();
	reclaim_thread_unregister();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"random_changes_match_the_model", random_changes_match_the_model},
			{"size_follows_count", size_follows_count},
			{"no_second_move_within_a_grace_period", no_second_move_within_a_grace_period},
			{"entries_of_one_name_are_all_there", entries_of_one_name_are_all_there},
			{"a_reader_finds_what_stands", a_reader_finds_what_stands}, {0}});
}
