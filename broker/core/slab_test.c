/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/slab.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3, CELLS = 200000, HANDS = 1024, ROUNDS = 30000 };

static struct depot *blocks;
static struct slab_store store;
static struct slab_cache cache[THREADS];
static void *held[CELLS];

static void begin(uint32_t count)
{
	blocks = depot_create("test", SLAB_BLOCK_BYTES, count, 2, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(blocks);
	CU_ASSERT_EQUAL_FATAL(slab_store_init(&store, blocks, THREADS, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		slab_cache_init(&cache[i], &store, i + 1);
}

/* Everything is a block again. */
static void end(void)
{
	for (unsigned i = 0; i < THREADS; i++)
		slab_cache_flush(&cache[i]);
	slab_cache_sweep(&cache[0]);
	slab_cache_flush(&cache[0]);
	CU_ASSERT_EQUAL(slab_empty_count(&store), 0);
	CU_ASSERT_EQUAL(depot_taken(blocks), 0);
	slab_store_fini(&store);
	depot_destroy(blocks);
}

static void sizes_waste_little(void)
{
	uint32_t before = 0;

	for (uint32_t n = 1; n <= SLAB_CELL_BYTES_MAX; n++) {
		uint32_t cell = slab_cell_bytes(n);
		CU_ASSERT_TRUE(cell >= n && cell >= before && cell % 16 == 0);
		CU_ASSERT_TRUE(n < 17 || n > 256 || cell < n + 16);
		CU_ASSERT_TRUE(n <= 256 || cell <= n + n / 2 + 8);
		before = cell;
	}
}

static unsigned take_all(struct slab_cache *c, uint32_t bytes)
{
	unsigned n = 0;

	while (n < CELLS && (held[n] = slab_cell_take(c, bytes)))
		memset(held[n++], 7, bytes);
	return n;
}

static void one_core_takes_everything_in_any_size(void)
{
	static const uint32_t sizes[] = {1, 32, 48, 64, 100, 256, 300, 1000, 2048};

	begin(100);
	for (unsigned i = 0; i < 9; i++) {
		unsigned n = take_all(&cache[0], sizes[i]);
		CU_ASSERT_EQUAL(n, 100 * (SLAB_BLOCK_BYTES / slab_cell_bytes(sizes[i])));
		while (n > 0)
			slab_cell_give(&cache[0], held[--n]);
	}
	end();
}

/* One core makes, another one is done with it: blocks come back to the first, whatever the order. */
static void what_another_core_gives_serves_again(void)
{
	begin(100);
	for (unsigned round = 0; round < 20; round++) {
		unsigned n = take_all(&cache[0], round % 3 ? 64 : 200);
		CU_ASSERT_TRUE(n > (round % 3 ? 64u : 19u) * 80);
		for (unsigned i = 0; i < n; i++) {
			unsigned other = i + unit_random_below(n - i);
			void *p = held[other];
			held[other] = held[i];
			slab_cell_give(&cache[1 + round % 2], p);
		}
	}
	end();
}

/* A slab half of whose cells live on is of use to whoever needs cells of that size. */
static void holes_are_filled(void)
{
	begin(100);
	unsigned n = take_all(&cache[0], 64), kept = 0;

	CU_ASSERT_EQUAL(n, 6400);
	for (unsigned i = 0; i < n; i++) {
		if (i % 2)
			held[kept++] = held[i];
		else
			slab_cell_give(&cache[1], held[i]);
	}
	CU_ASSERT_PTR_NULL(slab_block_take(&cache[0]));
	unsigned more = 0;
	while ((held[kept + more] = slab_cell_take(&cache[0], 64)))
		more++;
	/* but for what core 1 may keep: two slabs of this size */
	CU_ASSERT_TRUE(more >= 3200 - 2 * 32);
	for (unsigned i = 0; i < kept + more; i++)
		slab_cell_give(&cache[2], held[i]);
	end();
}

/* Slabs that became free while they were listed are found when a block is needed. */
static void empty_slabs_become_blocks(void)
{
	struct depot_chain chain;

	begin(100);
	unsigned n = take_all(&cache[0], 64);
	for (unsigned i = 0; i < n; i += 64)
		slab_cell_give(&cache[1], held[i]);
	slab_cache_flush(&cache[1]); /* all 100 are listed, with 63 cells in use */
	CU_ASSERT_EQUAL(slab_empty_count(&store), 0);
	CU_ASSERT_FALSE(slab_chain_take(&cache[2], 1, &chain));
	for (unsigned i = 0; i < n; i++) {
		if (i % 64 && i / 64 != 50) /* one slab stays in use */
			slab_cell_give(&cache[2], held[i]);
	}
	CU_ASSERT_EQUAL(slab_empty_count(&store), 99);
	/* a bounded search each time */
	CU_ASSERT_FALSE(slab_chain_take(&cache[0], 99, &chain));
	CU_ASSERT_TRUE(slab_empty_count(&store) < 99);
	slab_cache_flush(&cache[0]);
	bool taken = false;
	for (unsigned i = 0; i < 10 && !taken; i++)
		taken = slab_chain_take(&cache[0], 99, &chain);
	CU_ASSERT_TRUE_FATAL(taken);
	depot_chain_give(&cache[0].blocks, &chain);
	for (unsigned i = 1; i < 64; i++)
		slab_cell_give(&cache[0], held[50 * 64 + i]);
	end();
}

/* What a core keeps of cells that are all given back is bounded. */
static void a_core_keeps_little(void)
{
	begin(1000);
	for (uint32_t bytes = 32; bytes <= 2048; bytes *= 2) {
		unsigned n = take_all(&cache[0], bytes);
		while (n > 0) {
			n--;
			slab_cell_give(&cache[1 + n % 2], held[n]);
		}
	}
	unsigned n = 0;
	while ((held[n] = slab_block_take(&cache[2])))
		n++;
	CU_ASSERT_TRUE(n + slab_stranded_max(&store, THREADS) + 2 * 2 * 2 >= 1000);
	CU_ASSERT_TRUE(n > 900);
	while (n > 0)
		depot_give(&cache[2].blocks, held[--n]);
	end();
}

/* Threads take, mark, hand to each other, check and give. */
static struct {
	void *hands[HANDS];
	uint64_t wrong, moved, failed;
} stress;

static uint32_t bytes_of(uint32_t random)
{
	static const uint32_t sizes[] = {32, 64, 64, 64, 200, 2048};
	return sizes[random % 6];
}

static void check(void *object, uint32_t *bytes)
{
	uint32_t *p = object;

	*bytes = p[0];
	if (p[0] > 2048 || p[1] != (uint32_t)(uintptr_t)object || p[p[0] / 4 - 1] != p[0])
		__atomic_fetch_add(&stress.wrong, 1, __ATOMIC_RELAXED);
}

static void *mark(void *object, uint32_t bytes)
{
	uint32_t *p = object;

	p[0] = bytes;
	p[1] = (uint32_t)(uintptr_t)object;
	p[bytes / 4 - 1] = bytes;
	return object;
}

static void *stress_loop(void *arg)
{
	struct slab_cache *c = arg;
	uint32_t random = (uint32_t)(c - cache) * 7919 + 1, bytes;
	uint64_t failed = 0, moved = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		random = random * 1664525 + 1013904223;
		uint32_t size = bytes_of(random >> 4);
		void *mine = slab_cell_take(c, size);
		failed += !mine;
		if (mine)
			mark(mine, size);
		void *theirs = __atomic_exchange_n(
			&stress.hands[(random >> 8) % HANDS], mine, __ATOMIC_ACQ_REL);
		if (theirs) {
			check(theirs, &bytes);
			slab_cell_give(c, theirs);
			moved++;
		}
		if (random >> 22 == 1)
			slab_cache_flush(c);
		if (random >> 22 == 2) {
			void *block = slab_block_take(c);
			if (block)
				depot_give(&c->blocks, memset(block, 1, SLAB_BLOCK_BYTES));
		}
	}
	__atomic_fetch_add(&stress.failed, failed, __ATOMIC_RELAXED);
	__atomic_fetch_add(&stress.moved, moved, __ATOMIC_RELAXED);
	return NULL;
}

static void many_threads(void)
{
	pthread_t thread[THREADS];

	begin(96); /* too few at times */
	for (unsigned i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL(pthread_create(&thread[i], NULL, stress_loop, &cache[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < HANDS; i++) {
		if (stress.hands[i])
			slab_cell_give(&cache[0], stress.hands[i]);
	}
	CU_ASSERT_EQUAL(stress.wrong, 0);
	CU_ASSERT_TRUE(stress.moved > ROUNDS);
	CU_ASSERT_TRUE(stress.failed > 0);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"sizes_waste_little", sizes_waste_little},
			{"one_core_takes_everything_in_any_size", one_core_takes_everything_in_any_size},
			{"what_another_core_gives_serves_again", what_another_core_gives_serves_again},
			{"holes_are_filled", holes_are_filled},
			{"empty_slabs_become_blocks", empty_slabs_become_blocks},
			{"a_core_keeps_little", a_core_keeps_little}, {"many_threads", many_threads}, {0}});
}
