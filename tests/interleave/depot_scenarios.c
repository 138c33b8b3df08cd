/* SPDX-License-Identifier: Apache-2.0 */
/* Cores that take from a depot and give back, each also what another one took: no object is with two at once,
 * what was written to it is read by nobody else, none is lost. Magazines of one or two objects, so that
 * nearly each step goes to the stack that all share. */
#include "runtime/depot.h"

#include "tests/interleave/scenarios.h"

#include <stdlib.h>
#include <string.h>

enum { OBJECT_BYTES = 64, OBJECTS = 4 };

static struct state {
	struct depot *depot;
	struct depot_cache caches[WEAK_THREADS_MAX + 1];
	/* Handed over between threads. */
	uint64_t *given;
	uint64_t there;
} * s;

static void setup_with(uint32_t capacity, uint32_t magazine)
{
	s = calloc(1, sizeof(*s));
	s->depot = depot_create("objects", OBJECT_BYTES, capacity, magazine, NULL);
	for (unsigned i = 0; i <= WEAK_THREADS_MAX; i++)
		depot_cache_init(&s->caches[i], s->depot);
}

static void setup_fresh(void)
{
	setup_with(OBJECTS, 1);
}

/* All objects lie on the stack. */
static void setup_used(void)
{
	struct depot_cache *c = &s->caches[0];
	void *objects[OBJECTS];

	setup_with(3, 1);
	c = &s->caches[0];
	for (unsigned i = 0; i < 3; i++)
		objects[i] = depot_take(c);
	for (unsigned i = 3; i-- > 0;)
		depot_give(c, objects[i]);
	depot_cache_flush(c);
}

/* The first cache has one, the others lie on the stack. */
static void setup_one_out(void)
{
	setup_used();
	depot_give(&s->caches[0], depot_take(&s->caches[0]));
}

static void setup_pairs(void)
{
	void *objects[4];

	setup_with(4, 2);
	for (unsigned i = 0; i < 4; i++)
		objects[i] = depot_take(&s->caches[0]);
	for (unsigned i = 4; i-- > 0;)
		depot_give(&s->caches[0], objects[i]);
	depot_cache_flush(&s->caches[0]);
}

static uint64_t *take(unsigned thread)
{
	uint64_t *object = depot_take(&s->caches[thread]);

	if (object)
		*object = thread;
	return object;
}

static void give(unsigned thread, uint64_t *object)
{
	if (!object)
		return;
	EXPECT(*object == thread);
	depot_give(&s->caches[thread], object);
}

/* Every object can be had again, once. */
static void whole(void)
{
	void *objects[8] = {0};
	struct depot_cache *c = &s->caches[WEAK_THREADS_MAX];
	uint32_t n = 0, capacity = depot_capacity(s->depot);

	for (unsigned i = 0; i < WEAK_THREADS_MAX; i++)
		depot_cache_flush(&s->caches[i]);
	EXPECT(depot_taken(s->depot) == 0);
	for (; n < capacity && (objects[n] = depot_take(c)); n++)
		for (uint32_t k = 0; k < n; k++)
			EXPECT(objects[k] != objects[n]);
	EXPECT(n == capacity && !depot_take(c));
	EXPECT(depot_taken_max(s->depot) <= capacity);
	while (n > 0)
		depot_give(c, objects[--n]);
	depot_cache_flush(c);
	depot_destroy(s->depot);
}

/* One that holds two objects at times, one that puts all on the stack that it had. */
static void to_and_fro(unsigned thread)
{
	uint64_t *a = take(thread), *b = thread == 0 ? take(thread) : NULL;

	give(thread, a);
	give(thread, b);
	if (thread == 1)
		depot_cache_flush(&s->caches[thread]);
}

/* ABA: one is about to take the top, A, and knows that B is next; others take A and B and give A back. */
static void top_comes_back(unsigned thread)
{
	if (thread == 0) {
		uint64_t *a = take(0);
		uint64_t *b = take(0);
		give(0, a);
		give(0, b);
		return;
	}
	uint64_t *a = take(1), *b = take(1);
	give(1, a);
	depot_cache_flush(&s->caches[1]);
	uint64_t *c = take(1);
	give(1, c);
	give(1, b);
}

static void three(unsigned thread)
{
	if (thread == 0)
		depot_cache_flush(&s->caches[0]);
	else
		give(thread, take(thread));
}

/* What one took another one gives back. */
static void handed_over(unsigned thread)
{
	if (thread == 0) {
		uint64_t *object = take(0);
		if (!object)
			return;
		*object = 1;
		s->given = object;
		__atomic_store_n(&s->there, 1, __ATOMIC_RELEASE);
		uint64_t *other = take(0);
		give(0, other);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!__atomic_load_n(&s->there, __ATOMIC_ACQUIRE))
			continue;
		give(1, s->given);
		depot_cache_flush(&s->caches[1]);
		give(1, take(1));
		return;
	}
	/* Nobody has come for it. */
	EXPECT(__atomic_exchange_n(&s->there, 2, __ATOMIC_ACQ_REL) <= 1);
}

static void handed_over_check(void)
{
	if (s->there == 2 && s->given)
		depot_give(&s->caches[WEAK_THREADS_MAX], s->given);
	depot_cache_flush(&s->caches[WEAK_THREADS_MAX]);
}

static void handed_over_end(void)
{
	handed_over_check();
}

/* Chains of magazines, which are linked through the words that link the stack: three objects of two
 * magazines, and one alone that another thread takes and gives meanwhile. */
static void chains(unsigned thread)
{
	struct depot_cache *c = &s->caches[thread];
	struct depot_chain chain;

	if (thread == 1) {
		give(1, take(1));
		return;
	}
	if (!depot_chain_take(c, 3, &chain)) {
		EXPECT(depot_cache_exhausted(c) > 0);
		return;
	}
	uint64_t *object = depot_chain_first(s->depot, &chain);
	for (uint32_t i = 0; i < 3; i++) {
		*object = thread;
		if (i < 2)
			object = depot_chain_after(s->depot, object);
	}
	EXPECT(*object == thread);
	depot_chain_give(c, &chain);
	depot_cache_flush(c);
}

const struct weak_scenario depot_scenarios[] = {
	{"depot: new objects", 2, setup_fresh, to_and_fro, whole, 500, 0},
	{"depot: to and fro", 2, setup_used, to_and_fro, whole, 500, 0},
	{"depot: the top comes back", 2, setup_used, top_comes_back, whole, 1000, 0},
	{"depot: three", 3, setup_one_out, three, whole, 500, 0},
	{"depot: handed over", 2, setup_used, handed_over, handed_over_end, 100, 0},
	{"depot: chains", 2, setup_pairs, chains, whole, 1000, 0},
	{NULL, 0, NULL, NULL, NULL, 0, 0},
};
