/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of many sizes, cut from the blocks of a depot: a slab is a block whose cells all have one size. Any
 * core takes and any core gives; a block whose cells have all come back serves any other purpose again.
 *
 * Rules (a violation is a bug)
 *  1. A slab is owned by one core, or full, or listed. Only its owner takes cells from it.
 *  2. The owner's own gives are plain memory operations. Everybody else's are one compare-and-swap on the
 *     slab's word, which puts the cell into a list that the owner empties.
 *  3. A slab without a free cell is owned by nobody. Whoever gives the first one back to it becomes its
 * owner: where one core makes messages and another one is done with them, slabs wander to and fro whole.
 *  4. A core owns SLAB_OWNED_MAX with free cells of each size, beside the one that it takes from. The oldest
 *     beyond that is listed: the next core that needs a slab of this size takes it over.
 *  5. A listed slab whose cells have all come back counts as free memory, and is found when blocks run out.
 */
#ifndef BROKER_CORE_SLAB_H
#define BROKER_CORE_SLAB_H

#include "runtime/depot.h"

/* 32 to 256 bytes in steps of 16, then in wider ones. */
enum { SLAB_CLASSES = 27, SLAB_CELL_BYTES_MAX = 2048, SLAB_BLOCK_BYTES = 4096, SLAB_OWNED_MAX = 16 };

struct slab;

struct slab_store {
	struct depot *blocks;
	struct slab *slabs; /* one a block */
	size_t slabs_bytes;
	struct pool_memory memory;
	uint32_t owned_max;
	/* Written by all cores, once a slab. */
	__attribute__((aligned(64)))
	uint64_t listed[SLAB_CLASSES][2]; /* stacks; the search goes to and fro */
	uint32_t search[SLAB_CLASSES];	  /* which of the two it empties */
	int32_t empty[SLAB_CLASSES];	  /* listed ones that are wholly free */
	int32_t empty_all;
};

struct slab_list {
	uint32_t newest, oldest, count;
};

/* One core's part; embed it. */
struct slab_cache {
	struct slab_store *store;
	struct depot_cache blocks;
	uint32_t id; /* 1 to 128, not another cache's */
	uint32_t current[SLAB_CLASSES];
	struct slab_list owned[SLAB_CLASSES];
	/* Cells, and slabs made and dissolved: written by this core, read by any. */
	uint64_t taken, given, made, dissolved;
};

/* blocks: of SLAB_BLOCK_BYTES, the caller's. 0 or -1 without memory. */
int slab_store_init(
	struct slab_store *s, struct depot *blocks, uint32_t caches_max, const struct pool_memory *memory);
void slab_store_fini(struct slab_store *s);

/* Blocks that caches of other cores may keep although every cell has been given back. */
uint32_t slab_stranded_max(const struct slab_store *s, uint32_t caches);

/* Listed slabs that are wholly free: blocks that depot_taken counts and that are not in use. */
uint32_t slab_empty_count(const struct slab_store *s);

void slab_cache_init(struct slab_cache *c, struct slab_store *s, uint32_t id);
/* Gives or lists all that it owns, and what lies in its block cache. O(slabs owned), bounded. */
void slab_cache_flush(struct slab_cache *c);

/* At the end, when every cell has been given back (MUST): dissolves all that is listed. O(slabs). */
void slab_cache_sweep(struct slab_cache *c);

/* A cell of at least `bytes`, 1 to SLAB_CELL_BYTES_MAX, aligned to 16; NULL without memory. O(1). */
void *slab_cell_take(struct slab_cache *c, uint32_t bytes);
/* From slab_cell_take of any cache of the store. MUST be in use. O(1). */
void slab_cell_give(struct slab_cache *c, void *cell);

/* Blocks for other purposes; as depot_take and depot_chain_take, with a bounded search for empty slabs where
 * there are no others. */
void *slab_block_take(struct slab_cache *c);
bool slab_chain_take(struct slab_cache *c, uint32_t n, struct depot_chain *out);

/* The bytes of the cell that serves `bytes`. */
uint32_t slab_cell_bytes(uint32_t bytes);

#endif
