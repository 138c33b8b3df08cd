/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of slabs that cores take, hand to each other and give back: a slab changes its owner, is listed,
 * found and dissolved meanwhile. Cells of half a block, so that each second step changes the slab's state. */
#include "broker/core/slab.h"

#include "tests/interleave/scenarios.h"

#include <stdlib.h>

enum { CELL = SLAB_CELL_BYTES_MAX, BLOCKS = 4, CACHES = WEAK_THREADS_MAX + 1 };

static struct state {
	struct slab_store store;
	struct depot *blocks;
	struct slab_cache caches[CACHES];
	uint64_t *cells[8]; /* taken by the first cache, before */
} * s;

static uint64_t *take(unsigned thread)
{
	uint64_t *cell = slab_cell_take(&s->caches[thread], CELL);

	if (cell)
		cell[0] = cell[1] = thread + 10;
	return cell;
}

/* Nobody else has written to it since. */
static void give(unsigned thread, uint64_t *cell, unsigned taken_by)
{
	if (!cell)
		return;
	EXPECT(cell[0] == taken_by + 10 && cell[1] == taken_by + 10);
	slab_cell_give(&s->caches[thread], cell);
}

static void setup_with(unsigned cells)
{
	s = calloc(1, sizeof(*s));
	s->blocks = depot_create("blocks", SLAB_BLOCK_BYTES, BLOCKS, 1, NULL);
	EXPECT(slab_store_init(&s->store, s->blocks, CACHES, NULL) == 0);
	for (unsigned i = 0; i < CACHES; i++)
		slab_cache_init(&s->caches[i], &s->store, i + 1);
	for (unsigned i = 0; i < cells; i++)
		s->cells[i] = take(0);
}

/* All that was taken has been given: every block is free again. */
static void whole(void)
{
	struct slab_cache *last = &s->caches[CACHES - 1];

	for (unsigned i = 0; i < CACHES; i++)
		slab_cache_flush(&s->caches[i]);
	slab_cache_sweep(last);
	slab_cache_flush(last);
	EXPECT(depot_taken(s->blocks) == 0);
	EXPECT(slab_empty_count(&s->store) == 0);
	uint64_t sum = 0;
	for (unsigned i = 0; i < CACHES; i++)
		sum += s->caches[i].taken - s->caches[i].given;
	EXPECT(sum == 0);
	slab_store_fini(&s->store);
	depot_destroy(s->blocks);
}

/* The owner takes from its slab while another one gives to it. */
static void setup_two(void)
{
	setup_with(2);
}

static void given_by_another(unsigned thread)
{
	if (thread == 1) {
		give(1, s->cells[0], 0);
		give(1, s->cells[1], 0);
		return;
	}
	uint64_t *a = take(0), *b = take(0);
	give(0, a, 0);
	give(0, b, 0);
}

/* A full slab is nobody's: both give its first cell back. */
static void setup_three(void)
{
	setup_with(3); /* the first two fill one, which the third has left */
}

static void setup_five(void)
{
	setup_with(5);
}

static void first_to_a_full_one(unsigned thread)
{
	give(thread, s->cells[thread], 0);
	give(thread, s->cells[3 - thread], 0);
	uint64_t *a = take(thread);
	if (thread == 0)
		give(0, s->cells[4], 0);
	give(thread, a, thread);
}

/* One puts its slabs out while another one gives to them and takes. */
static void put_out_meanwhile(unsigned thread)
{
	if (thread == 0) {
		give(0, s->cells[0], 0);
		slab_cache_flush(&s->caches[0]);
		return;
	}
	give(1, s->cells[1], 0);
	uint64_t *a = take(1);
	give(1, s->cells[2], 0);
	give(1, a, 1);
}

/* Listed ones are found by two at once. */
static void setup_listed(void)
{
	setup_with(4);
	slab_cell_give(&s->caches[0], s->cells[0]);
	slab_cell_give(&s->caches[0], s->cells[2]);
	slab_cache_flush(&s->caches[0]);
}

static void listed(unsigned thread)
{
	uint64_t *a = take(thread);

	give(thread, s->cells[2 * thread + 1], 0);
	give(thread, a, thread);
}

/* Memory has run out, but for a listed slab that the last give makes empty. */
static void setup_short(void)
{
	setup_with(4);
	slab_cell_give(&s->caches[0], s->cells[0]);
	slab_cache_flush(&s->caches[0]);
}

static void memory_short(unsigned thread)
{
	struct slab_cache *c = &s->caches[1];
	void *blocks[3];

	if (thread == 0) {
		give(0, s->cells[1], 0);
		give(0, s->cells[2], 0);
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		blocks[i] = slab_block_take(c);
	for (unsigned i = 0; i < 3; i++)
		if (blocks[i])
			depot_give(&c->blocks, blocks[i]);
}

static void whole_after_short(void)
{
	give(2, s->cells[3], 0);
	whole();
}

const struct weak_scenario slab_scenarios[] = {
	{"slab: given by another", 2, setup_two, given_by_another, whole, 100, 0},
	{"slab: first to a full one", 2, setup_five, first_to_a_full_one, whole, 100, 0},
	{"slab: put out meanwhile", 2, setup_three, put_out_meanwhile, whole, 100, 0},
	{"slab: listed", 2, setup_listed, listed, whole, 100, 0},
	{"slab: memory is short", 2, setup_short, memory_short, whole_after_short, 5, 0},
	{NULL, 0, NULL, NULL, NULL, 0, 0},
};
