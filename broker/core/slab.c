/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/slab.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)	  ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { OWNER_NONE = 0, OWNER_LISTED = 255, CELL_NONE = 255, SEARCH_BUDGET = 64, POISON_BYTE = 0xdb };

#define NONE UINT32_MAX

static const uint16_t class_bytes[SLAB_CLASSES] = {32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224,
	240, 256, 288, 320, 352, 400, 448, 512, 576, 672, 816, 1024, 1360, 2048};

struct slab {
	uint64_t free[2];      /* the owner's: a bit a cell */
	uint32_t word;	       /* atomic, see below */
	uint32_t next;	       /* in a stack of listed ones; read by cores that lose the race for it */
	uint32_t newer, older; /* in its owner's list */
	uint8_t class;
	uint8_t cells, free_count; /* bits in `free` */
} __attribute__((aligned(64)));

/* The word: who owns it; the list of cells that others gave (its head, its length; each cell's first byte is
 * the next one's number); and in a listed slab, how many bits are set in `free`. */
static uint32_t word_of(uint32_t owner, uint32_t head, uint32_t count, uint32_t free_count)
{
	return owner << 24 | head << 16 | count << 8 | free_count;
}

static uint32_t word_owner(uint32_t w)
{
	return w >> 24;
}

static uint32_t word_head(uint32_t w)
{
	return w >> 16 & 255;
}

static uint32_t word_count(uint32_t w)
{
	return w >> 8 & 255;
}

static uint32_t word_free(uint32_t w)
{
	return w & 255;
}

static bool word_change(struct slab *s, uint32_t *from, uint32_t to)
{
	return __atomic_compare_exchange_n(&s->word, from, to, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static unsigned class_of(uint32_t bytes)
{
	MUST(bytes <= SLAB_CELL_BYTES_MAX);
	if (bytes <= 256)
		return bytes <= 32 ? 0 : (bytes - 32 + 15) / 16;
	unsigned k = 15;
	while (class_bytes[k] < bytes)
		k++;
	return k;
}

uint32_t slab_cell_bytes(uint32_t bytes)
{
	return class_bytes[class_of(bytes)];
}

/* The store */

static void *default_alloc(void *ctx, size_t bytes, size_t align)
{
	return aligned_alloc(align, bytes);
}

static void default_release(void *ctx, void *p, size_t bytes)
{
	free(p);
}

/* Of all blocks, cores may keep a sixteenth in slabs that they own; where there are few, one of each size. */
static uint32_t owned_max_of(uint32_t blocks, uint32_t caches)
{
	uint32_t most = blocks / (16 * SLAB_CLASSES * caches);

	if (most < 1)
		return 1;
	return most < SLAB_OWNED_MAX ? most : SLAB_OWNED_MAX;
}

int slab_store_init(
	struct slab_store *s, struct depot *blocks, uint32_t caches_max, const struct pool_memory *memory)
{
	*s = (struct slab_store){
		.blocks = blocks,
		.slabs_bytes = depot_capacity(blocks) * sizeof(struct slab),
		.memory = {default_alloc, default_release, NULL},
		.owned_max = owned_max_of(depot_capacity(blocks), caches_max),
	};
	if (memory && memory->alloc)
		s->memory = *memory;
	for (unsigned k = 0; k < SLAB_CLASSES; k++)
		s->listed[k][0] = s->listed[k][1] = NONE;
	s->slabs = s->memory.alloc(s->memory.ctx, s->slabs_bytes, 64);
	return s->slabs ? 0 : -1;
}

void slab_store_fini(struct slab_store *s)
{
	if (s->slabs)
		s->memory.release(s->memory.ctx, s->slabs, s->slabs_bytes);
}

uint32_t slab_stranded_max(const struct slab_store *s, uint32_t caches)
{
	return (caches - 1) * SLAB_CLASSES * (1 + s->owned_max);
}

uint32_t slab_empty_count(const struct slab_store *s)
{
	int32_t n = __atomic_load_n(&s->empty_all, __ATOMIC_RELAXED);
	return n > 0 ? (uint32_t)n : 0;
}

static void count_empty(struct slab_store *s, unsigned k, int32_t change)
{
	__atomic_add_fetch(&s->empty[k], change, __ATOMIC_RELAXED);
	__atomic_add_fetch(&s->empty_all, change, __ATOMIC_RELAXED);
}

/* Cells of a slab */

static uint32_t index_of(const struct slab_store *st, const struct slab *s)
{
	return (uint32_t)(s - st->slabs);
}

static uint8_t *cell_at(const struct slab_store *st, const struct slab *s, uint32_t i)
{
	return (uint8_t *)depot_object(st->blocks, index_of(st, s)) + (size_t)i * class_bytes[s->class];
}

static void cell_hide(const struct slab_store *st, const struct slab *s, uint8_t *cell)
{
#ifdef GODWIT_CHECKS
	memset(cell, POISON_BYTE, class_bytes[s->class]);
	ASAN_POISON_MEMORY_REGION(cell, class_bytes[s->class]);
#endif
}

static void cell_show(const struct slab_store *st, const struct slab *s, const uint8_t *cell)
{
	ASAN_UNPOISON_MEMORY_REGION(cell, class_bytes[s->class]);
#ifdef GODWIT_CHECKS
	for (uint32_t i = 0; i < class_bytes[s->class]; i++)
		CHECK(cell[i] == POISON_BYTE && "nobody wrote to a free cell");
#endif
}

static void free_set(const struct slab_store *st, struct slab *s, uint32_t i)
{
	uint64_t bit = UINT64_C(1) << i % 64;

	MUST(!(s->free[i / 64] & bit) && "a cell in use");
	s->free[i / 64] |= bit;
	s->free_count++;
	cell_hide(st, s, cell_at(st, s, i));
}

/* The cells of a list that others have made. */
static void free_list(const struct slab_store *st, struct slab *s, uint32_t w)
{
	uint32_t i = word_head(w);

	for (uint32_t n = word_count(w); n > 0; n--) {
		MUST(i < s->cells);
		uint32_t next = *cell_at(st, s, i);
		free_set(st, s, i);
		i = next;
	}
}

/* What others gave to a slab of ours becomes ours to take. True where there was something. */
static bool collect(struct slab_cache *c, struct slab *s)
{
	uint32_t w = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);

	if (word_count(w) == 0)
		return false;
	while (!word_change(s, &w, word_of(c->id, CELL_NONE, 0, 0)))
		;
	free_list(c->store, s, w);
	return true;
}

/* Stacks of listed slabs */

static void listed_push(struct slab_store *st, struct slab *s, unsigned which)
{
	uint64_t *stack = &st->listed[s->class][which];
	uint64_t top = __atomic_load_n(stack, __ATOMIC_RELAXED), next;

	do {
		__atomic_store_n(&s->next, (uint32_t)top, __ATOMIC_RELAXED);
		next = index_of(st, s) | ((top >> 32) + 1) << 32;
	} while (!__atomic_compare_exchange_n(stack, &top, next, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static struct slab *listed_pop(struct slab_store *st, unsigned k, unsigned which)
{
	uint64_t *stack = &st->listed[k][which];
	uint64_t top = __atomic_load_n(stack, __ATOMIC_ACQUIRE), next;

	do {
		if ((uint32_t)top == NONE)
			return NULL;
		next = __atomic_load_n(&st->slabs[(uint32_t)top].next, __ATOMIC_RELAXED);
		next |= ((top >> 32) + 1) << 32;
	} while (!__atomic_compare_exchange_n(stack, &top, next, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	return &st->slabs[(uint32_t)top];
}

/* One that was popped becomes ours. */
static void own_listed(struct slab_cache *c, struct slab *s)
{
	uint32_t w = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);

	while (!word_change(s, &w, word_of(c->id, CELL_NONE, 0, 0)))
		;
	MUST(word_owner(w) == OWNER_LISTED);
	free_list(c->store, s, w);
	if (s->free_count == s->cells)
		count_empty(c->store, s->class, -1);
}

/* Only this core writes it. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static void slab_dissolve(struct slab_cache *c, struct slab *s)
{
	void *block = depot_object(c->store->blocks, index_of(c->store, s));

	MUST(s->free_count == s->cells);
	count(&c->dissolved);
	ASAN_UNPOISON_MEMORY_REGION(block, SLAB_BLOCK_BYTES);
	depot_give(&c->blocks, block);
}

/* Ours no more: dissolved where it is wholly free, else for anyone who needs one. */
static bool put_out(struct slab_cache *c, struct slab *s, unsigned which)
{
	uint32_t w = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);

	do {
		if (word_count(w) + s->free_count == s->cells) {
			collect(c, s);
			slab_dissolve(c, s);
			return true;
		}
	} while (!word_change(s, &w, word_of(OWNER_LISTED, word_head(w), word_count(w), s->free_count)));
	listed_push(c->store, s, which);
	return false;
}

/* A core's own ones */

static void owned_add(struct slab_cache *c, struct slab *s)
{
	struct slab_list *l = &c->owned[s->class];
	uint32_t i = index_of(c->store, s);

	s->newer = NONE;
	s->older = l->newest;
	if (l->newest != NONE)
		c->store->slabs[l->newest].newer = i;
	else
		l->oldest = i;
	l->newest = i;
	l->count++;
}

static void owned_remove(struct slab_cache *c, struct slab *s)
{
	struct slab_list *l = &c->owned[s->class];

	if (s->newer != NONE)
		c->store->slabs[s->newer].older = s->older;
	else
		l->newest = s->older;
	if (s->older != NONE)
		c->store->slabs[s->older].newer = s->newer;
	else
		l->oldest = s->newer;
	l->count--;
}

static void owned_put_out(struct slab_cache *c, unsigned k, uint32_t keep)
{
	while (c->owned[k].count > keep) {
		struct slab *s = &c->store->slabs[c->owned[k].oldest];
		owned_remove(c, s);
		put_out(c, s, 0);
	}
}

void slab_cache_init(struct slab_cache *c, struct slab_store *s, uint32_t id)
{
	MUST(id >= 1 && id < OWNER_LISTED);
	*c = (struct slab_cache){.store = s, .id = id};
	depot_cache_init(&c->blocks, s->blocks);
	for (unsigned k = 0; k < SLAB_CLASSES; k++) {
		c->current[k] = NONE;
		c->owned[k] = (struct slab_list){NONE, NONE, 0};
	}
}

/* The one that cells are taken from, when it has none left. */
static void current_leave(struct slab_cache *c, unsigned k)
{
	struct slab *s = &c->store->slabs[c->current[k]];

	while (s->free_count == 0 && !collect(c, s)) {
		uint32_t w = word_of(c->id, CELL_NONE, 0, 0);
		if (word_change(s, &w, word_of(OWNER_NONE, CELL_NONE, 0, 0))) {
			c->current[k] = NONE; /* and may be another core's by now */
			return;
		}
	}
}

void slab_cache_flush(struct slab_cache *c)
{
	for (unsigned k = 0; k < SLAB_CLASSES; k++) {
		if (c->current[k] != NONE)
			current_leave(c, k);
		if (c->current[k] != NONE)
			put_out(c, &c->store->slabs[c->current[k]], 0);
		c->current[k] = NONE;
		owned_put_out(c, k, 0);
	}
	depot_cache_flush(&c->blocks);
}

void slab_cache_sweep(struct slab_cache *c)
{
	for (unsigned i = 0; i < 2 * SLAB_CLASSES; i++) {
		for (struct slab *s; (s = listed_pop(c->store, i / 2, i % 2));) {
			own_listed(c, s);
			slab_dissolve(c, s);
		}
	}
}

/* Blocks */

/* Looks through listed slabs of sizes that have wholly free ones; those that are not go to the other stack.
 */
static bool search_class(struct slab_cache *c, unsigned k, unsigned *budget)
{
	struct slab_store *st = c->store;

	while (*budget > 0 && __atomic_load_n(&st->empty[k], __ATOMIC_RELAXED) > 0) {
		unsigned from = __atomic_load_n(&st->search[k], __ATOMIC_RELAXED) & 1;
		struct slab *s = listed_pop(st, k, from);
		--*budget;
		if (!s) {
			__atomic_store_n(&st->search[k], !from, __ATOMIC_RELAXED);
			continue;
		}
		own_listed(c, s);
		if (put_out(c, s, !from))
			return true;
	}
	return false;
}

static bool wholly_free(struct slab_cache *c, struct slab *s)
{
	collect(c, s);
	return s->free_count == s->cells;
}

/* This core's own that are wholly free: the one that it takes from, those that others emptied. */
static bool search_own(struct slab_cache *c)
{
	struct slab_store *st = c->store;
	uint64_t before = c->dissolved;

	for (unsigned k = 0; k < SLAB_CLASSES; k++) {
		if (c->current[k] != NONE && wholly_free(c, &st->slabs[c->current[k]])) {
			slab_dissolve(c, &st->slabs[c->current[k]]);
			c->current[k] = NONE;
		}
		for (uint32_t i = c->owned[k].newest, older; i != NONE; i = older) {
			older = st->slabs[i].older;
			if (!wholly_free(c, &st->slabs[i]))
				continue;
			owned_remove(c, &st->slabs[i]);
			slab_dissolve(c, &st->slabs[i]);
		}
	}
	return c->dissolved != before;
}

static bool search(struct slab_cache *c, unsigned *budget)
{
	if (search_own(c))
		return true;
	if (slab_empty_count(c->store) == 0)
		return false;
	for (unsigned k = 0; k < SLAB_CLASSES; k++)
		if (search_class(c, k, budget))
			return true;
	return false;
}

void *slab_block_take(struct slab_cache *c)
{
	unsigned budget = SEARCH_BUDGET;
	void *block = depot_take(&c->blocks);

	while (!block && search(c, &budget))
		block = depot_take(&c->blocks);
	return block;
}

bool slab_chain_take(struct slab_cache *c, uint32_t n, struct depot_chain *out)
{
	unsigned budget = SEARCH_BUDGET;
	bool taken = depot_chain_take(&c->blocks, n, out);

	while (!taken && search(c, &budget)) {
		while (search(c, &budget))
			;
		taken = depot_chain_take(&c->blocks, n, out);
	}
	return taken;
}

/* Cells */

static struct slab *slab_make(struct slab_cache *c, unsigned k)
{
	uint8_t *block = slab_block_take(c);

	if (!block)
		return NULL;
	struct slab *s = &c->store->slabs[depot_index(c->store->blocks, block)];
	uint32_t cells = SLAB_BLOCK_BYTES / class_bytes[k];
	count(&c->made);
	s->class = (uint8_t)k;
	s->cells = s->free_count = (uint8_t)cells;
	s->free[0] = cells >= 64 ? UINT64_MAX : (UINT64_C(1) << cells) - 1;
	s->free[1] = cells <= 64 ? 0 : UINT64_MAX >> (128 - cells);
	/* A core that still looks at what this block was does not change it: only whoever holds a cell does.
	 */
	__atomic_store_n(&s->word, word_of(c->id, CELL_NONE, 0, 0), __ATOMIC_RELAXED);
#ifdef GODWIT_CHECKS
	memset(block, POISON_BYTE, SLAB_BLOCK_BYTES);
	ASAN_POISON_MEMORY_REGION(block, SLAB_BLOCK_BYTES);
#endif
	return s;
}

/* A slab with a free cell to take from: the one before once more, one that this core owns, one that is
 * listed, a new one. */
static struct slab *refill(struct slab_cache *c, unsigned k)
{
	struct slab_store *st = c->store;
	struct slab *s;

	if (c->current[k] != NONE)
		current_leave(c, k);
	if (c->current[k] != NONE)
		return &st->slabs[c->current[k]];
	if (c->owned[k].newest != NONE) {
		s = &st->slabs[c->owned[k].newest];
		owned_remove(c, s);
	} else if ((s = listed_pop(st, k, 0)) || (s = listed_pop(st, k, 1))) {
		own_listed(c, s);
	} else {
		s = slab_make(c, k);
	}
	if (s)
		c->current[k] = index_of(st, s);
	return s;
}

void *slab_cell_take(struct slab_cache *c, uint32_t bytes)
{
	unsigned k = class_of(bytes);
	struct slab *s = c->current[k] == NONE ? NULL : &c->store->slabs[c->current[k]];

	if (!s || s->free_count == 0)
		s = refill(c, k);
	if (!s)
		return NULL;
	unsigned half = s->free[0] == 0;
	uint32_t i = half * 64 + (uint32_t)__builtin_ctzll(s->free[half]);
	s->free[half] &= s->free[half] - 1;
	s->free_count--;
	count(&c->taken);
	uint8_t *cell = cell_at(c->store, s, i);
	cell_show(c->store, s, cell);
	return cell;
}

static void give_to_own(struct slab_cache *c, struct slab *s, uint32_t i, uint32_t w)
{
	free_set(c->store, s, i);
	if (c->current[s->class] == index_of(c->store, s) || s->free_count + word_count(w) < s->cells)
		return;
	collect(c, s);
	owned_remove(c, s);
	slab_dissolve(c, s);
}

/* The first cell of a full slab: it is ours from now on. */
static void adopt(struct slab_cache *c, struct slab *s, uint32_t i)
{
	s->free[0] = s->free[1] = 0;
	s->free_count = 0;
	free_set(c->store, s, i);
	owned_add(c, s);
	owned_put_out(c, s->class, c->store->owned_max);
}

static void give_to_other(struct slab_cache *c, struct slab *s, uint32_t i, uint32_t w)
{
	uint8_t *cell = cell_at(c->store, s, i);
	unsigned k = s->class;
	uint32_t cells = s->cells;

	for (;;) {
		if (word_owner(w) == OWNER_NONE) {
			if (!word_change(s, &w, word_of(c->id, CELL_NONE, 0, 0)))
				continue;
			adopt(c, s, i);
			return;
		}
		*cell = (uint8_t)word_head(w);
		uint32_t count = word_count(w) + 1;
		if (!word_change(s, &w, word_of(word_owner(w), i, count, word_free(w))))
			continue;
		if (word_owner(w) == OWNER_LISTED && word_free(w) + count == cells)
			count_empty(c->store, k, 1);
		return;
	}
}

void slab_cell_give(struct slab_cache *c, void *cell)
{
	struct slab_store *st = c->store;
	uint8_t *block = (uint8_t *)((uintptr_t)cell & ~(uintptr_t)(SLAB_BLOCK_BYTES - 1));
	struct slab *s = &st->slabs[depot_index(st->blocks, block)];
	uint32_t at = (uint32_t)((uint8_t *)cell - block), bytes = class_bytes[s->class];
	uint32_t i = at / bytes;
	uint32_t w = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);

	MUST(i * bytes == at && i < s->cells);
	count(&c->given);
	if (word_owner(w) == c->id)
		give_to_own(c, s, i, w);
	else
		give_to_other(c, s, i, w);
}
