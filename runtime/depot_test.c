/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/depot.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, THREADS = 4, ROUNDS = 20000, HANDS = 4096 };

static struct depot *depot;
static struct depot_cache cache[THREADS];

static void begin(uint32_t capacity, uint32_t magazine)
{
	depot = depot_create("test", BYTES, capacity, magazine, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(depot);
	for (unsigned i = 0; i < THREADS; i++)
		depot_cache_init(&cache[i], depot);
}

static void end(void)
{
	for (unsigned i = 0; i < THREADS; i++)
		depot_cache_flush(&cache[i]);
	CU_ASSERT_EQUAL(depot_taken(depot), 0);
	depot_destroy(depot);
}

static void one_cache_takes_everything(void)
{
	static const uint32_t magazines[] = {1, 3, 64};
	void *held[1000];

	for (unsigned k = 0; k < 3; k++) {
		begin(1000, magazines[k]);
		for (unsigned round = 0; round < 3; round++) {
			for (unsigned i = 0; i < 1000; i++) {
				CU_ASSERT_PTR_NOT_NULL_FATAL(held[i] = depot_take(&cache[0]));
				memset(held[i], (int)i, BYTES);
			}
			CU_ASSERT_PTR_NULL(depot_take(&cache[0]));
			CU_ASSERT_EQUAL(depot_cache_exhausted(&cache[0]), round + 1);
			for (unsigned i = 0; i < 1000; i++) {
				CU_ASSERT_EQUAL(((uint8_t *)held[i])[BYTES - 1], (uint8_t)i);
				depot_give(&cache[0], held[i]);
			}
		}
		CU_ASSERT_EQUAL(depot_taken_max(depot), 1000);
		end();
	}
}

/* What one core gave another one can take, but for two magazines. */
static void a_cache_keeps_two_magazines(void)
{
	void *held[1001];
	unsigned n;

	begin(1000, 8);
	for (n = 0; n < 1000; n++)
		held[n] = depot_take(&cache[0]);
	while (n > 0)
		depot_give(&cache[1], held[--n]);
	CU_ASSERT_EQUAL(depot_cache_stock(&cache[1]), 16);
	CU_ASSERT_EQUAL(depot_taken(depot), 16);
	while ((held[n] = depot_take(&cache[2])))
		n++;
	CU_ASSERT_EQUAL(n, 1000 - 16);
	depot_cache_flush(&cache[1]);
	while ((held[n] = depot_take(&cache[2])))
		n++;
	CU_ASSERT_EQUAL(n, 1000);
	while (n > 0)
		depot_give(&cache[2], held[--n]);
	end();
}

static void chain_fill(const struct depot_chain *chain, uint8_t with)
{
	uint8_t *p = depot_chain_first(depot, chain);

	for (uint32_t n = chain->count; n > 0; n--) {
		memset(p, with, BYTES);
		if (n > 1)
			p = depot_chain_after(depot, p);
	}
}

static bool chain_holds(const struct depot_chain *chain, uint8_t with)
{
	const uint8_t *p = depot_chain_first(depot, chain);
	bool same = true;

	for (uint32_t n = chain->count; n > 0; n--) {
		same &= p[0] == with && p[BYTES - 1] == with;
		if (n > 1)
			p = depot_chain_after(depot, p);
	}
	return same;
}

static void chains_of_every_length(void)
{
	begin(300, 7);
	void *single = depot_take(&cache[0]);
	for (uint32_t n = 1; n < 300; n++) {
		struct depot_chain a, b;
		depot_cache_flush(&cache[0]);
		depot_cache_flush(&cache[1]);
		CU_ASSERT_TRUE_FATAL(depot_chain_take(&cache[n % 2], n, &a));
		CU_ASSERT_EQUAL(a.count, n);
		chain_fill(&a, (uint8_t)n);
		/* whole or nothing; what the other cache holds may be missing */
		CU_ASSERT_FALSE(depot_chain_take(&cache[0], 300 - n, &b));
		if (n < 280) {
			CU_ASSERT_TRUE_FATAL(depot_chain_take(&cache[0], 1, &b));
			chain_fill(&b, 0);
			depot_chain_give(&cache[1], &b);
		}
		CU_ASSERT_TRUE(chain_holds(&a, (uint8_t)n));
		depot_chain_give(&cache[n / 2 % 2], &a);
	}
	depot_give(&cache[0], single);
	end();
}

static void memory_that_cannot_be_had(void)
{
	struct depot_chain chain;

	begin(10, 2);
	CU_ASSERT_FALSE(depot_chain_take(&cache[0], 11, &chain));
	CU_ASSERT_FALSE(depot_chain_take(&cache[0], UINT32_MAX, &chain));
	CU_ASSERT_EQUAL(depot_taken(depot), depot_cache_stock(&cache[0]));
	end();
}

/* Threads take, mark, hand to each other and check: an object that two held at once shows the wrong mark. */
static struct {
	void *hands[HANDS]; /* objects on their way to whoever comes by */
	uint64_t wrong, moved;
} stress;

static void mark(void *object, uintptr_t as)
{
	((uintptr_t *)object)[0] = as;
	((uintptr_t *)object)[BYTES / sizeof(uintptr_t) - 1] = as;
}

static bool marked(const void *object, uintptr_t as)
{
	return ((const uintptr_t *)object)[0] == as &&
	       ((const uintptr_t *)object)[BYTES / sizeof(uintptr_t) - 1] == as;
}

static void stress_chain(struct depot_cache *c, uint32_t random)
{
	struct depot_chain chain;

	if (!depot_chain_take(c, 1 + random % 100, &chain))
		return;
	chain_fill(&chain, (uint8_t)random);
	if (!chain_holds(&chain, (uint8_t)random))
		__atomic_fetch_add(&stress.wrong, 1, __ATOMIC_RELAXED);
	depot_chain_give(c, &chain);
}

static void *stress_loop(void *arg)
{
	struct depot_cache *c = arg;
	uint32_t random = (uint32_t)(c - cache) * 7919 + 1;

	for (unsigned i = 0; i < ROUNDS; i++) {
		random = random * 1664525 + 1013904223;
		void *mine = depot_take(c);
		if (mine)
			mark(mine, (uintptr_t)mine ^ i);
		if (mine && !marked(mine, (uintptr_t)mine ^ i))
			__atomic_fetch_add(&stress.wrong, 1, __ATOMIC_RELAXED);
		if (mine)
			mark(mine, (uintptr_t)mine);
		void *theirs = __atomic_exchange_n(
			&stress.hands[(random >> 8) % HANDS], mine, __ATOMIC_ACQ_REL);
		if (theirs && !marked(theirs, (uintptr_t)theirs))
			__atomic_fetch_add(&stress.wrong, 1, __ATOMIC_RELAXED);
		if (theirs) {
			__atomic_fetch_add(&stress.moved, 1, __ATOMIC_RELAXED);
			depot_give(c, theirs);
		}
		if (random >> 24 == 1)
			stress_chain(c, random);
		if (random >> 24 == 2)
			depot_cache_flush(c);
	}
	return NULL;
}

static void many_threads(void)
{
	pthread_t thread[THREADS];

	begin(2048, 4); /* fewer than the hands could hold: it runs empty too */
	for (unsigned i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL(pthread_create(&thread[i], NULL, stress_loop, &cache[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < HANDS; i++) {
		if (stress.hands[i])
			depot_give(&cache[0], stress.hands[i]);
	}
	CU_ASSERT_EQUAL(stress.wrong, 0);
	CU_ASSERT_TRUE(stress.moved > ROUNDS);
	for (unsigned i = 0; i < THREADS; i++)
		depot_cache_flush(&cache[i]);
	/* every single one is there again */
	unsigned n = 0;
	for (void *p; (p = depot_take(&cache[0])); n++)
		stress.hands[n] = p;
	CU_ASSERT_EQUAL(n, 2048);
	while (n > 0)
		depot_give(&cache[0], stress.hands[--n]);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"one_cache_takes_everything", one_cache_takes_everything},
			{"a_cache_keeps_two_magazines", a_cache_keeps_two_magazines},
			{"chains_of_every_length", chains_of_every_length},
			{"memory_that_cannot_be_had", memory_that_cannot_be_had},
			{"many_threads", many_threads}, {0}});
}
