/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/message_store.h"

#include "runtime/check.h"

#include <stdlib.h>

enum { WATERMARK_GAP_PERCENT = 10, LOOK_EVERY_MAX = 64, CELLS_A_BLOCK_MAX = MESSAGE_BLOCK_BYTES / 32 };

static void store_free(struct message_store *s)
{
	for (uint32_t i = 0; s->names && i < s->caches_max; i++)
		names_table_fini(&s->names[i]);
	free(s->names);
	slab_store_fini(&s->slabs);
	if (s->blocks)
		depot_destroy(s->blocks);
	free(s);
}

/* A cache keeps two magazines: with this size all caches together keep an eighth of the blocks from each
 * other at most, and where there are fewer than 16 blocks a cache, two blocks each. */
static uint32_t magazine_of(uint32_t blocks, uint32_t caches)
{
	uint32_t most = blocks / (16 * caches);

	if (most < 1)
		return 1;
	return most < DEPOT_MAGAZINE_MAX ? most : DEPOT_MAGAZINE_MAX;
}

/* Blocks that other cores' caches may keep although nothing is stored. */
static uint64_t stranded_max(const struct message_store *s)
{
	uint64_t in_magazines = 2ull * magazine_of(depot_capacity(s->blocks), s->caches_max) *
				(s->caches_max - 1);

	return in_magazines + slab_stranded_max(&s->slabs, s->caches_max);
}

static uint32_t share(uint32_t of, uint32_t percent)
{
	return (uint32_t)((uint64_t)of * percent / 100);
}

static void set_limits(struct message_store *s, const struct message_store_config *config)
{
	uint32_t high = config->watermark_percent;
	uint32_t low = high > WATERMARK_GAP_PERCENT ? high - WATERMARK_GAP_PERCENT : 0;
	uint32_t blocks = depot_capacity(s->blocks), messages = config->messages_max;

	s->blocks_high = share(blocks, high);
	s->blocks_low = share(blocks, low);
	s->messages_high = s->messages_low = UINT32_MAX;
	s->messages_max = messages;
	if (messages == 0)
		return;
	s->messages_high = share(messages, high);
	s->messages_low = share(messages, low);
	s->look_every = messages / 128 < LOOK_EVERY_MAX ? messages / 128 : LOOK_EVERY_MAX;
}

static int parts_create(struct message_store *s, uint32_t blocks, const struct pool_memory *memory)
{
	s->blocks = depot_create(
		"message blocks", MESSAGE_BLOCK_BYTES, blocks, magazine_of(blocks, s->caches_max), memory);
	if (!s->blocks || slab_store_init(&s->slabs, s->blocks, s->caches_max, memory))
		return -1;
	s->names = calloc(s->caches_max, sizeof(*s->names));
	for (uint32_t i = 0; s->names && i < s->caches_max; i++)
		if (names_table_init(&s->names[i], (uint8_t)i))
			return -1;
	return s->names ? 0 : -1;
}

struct message_store *message_store_create(const struct message_store_config *config)
{
	static const struct pool_memory plain = {0};
	uint64_t blocks = config->memory_bytes / MESSAGE_BLOCK_BYTES;

	if (blocks < 2 || blocks > UINT32_C(1) << 30)
		return NULL;
	struct message_store *s = aligned_alloc(64, (sizeof(*s) + 63) / 64 * 64);
	if (!s)
		return NULL;
	*s = (struct message_store){.caches_max = config->caches_max ? config->caches_max : 1};
	MUST(s->caches_max <= MESSAGE_CACHES_MAX);
	if (parts_create(s, (uint32_t)blocks, config->memory ? config->memory : &plain)) {
		store_free(s);
		return NULL;
	}
	set_limits(s, config);
	return s;
}

void message_store_destroy(struct message_store *s)
{
	for (uint32_t i = 0; i < s->caches_max; i++)
		MUST(!s->caches[i]);
	/* What caches put out when they went is found here, with whatever is still in use. */
	struct slab_cache last;
	slab_cache_init(&last, &s->slabs, 1);
	slab_cache_sweep(&last);
	slab_cache_flush(&last);
	store_free(s);
}

struct message_cache *message_cache_create(struct message_store *s)
{
	struct message_cache *c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);
	uint32_t i = 0;

	if (!c)
		return NULL;
	while (i < s->caches_max && s->caches[i])
		i++;
	MUST(i < s->caches_max && "a cache for each core that was announced");
	*c = (struct message_cache){.store = s, .names = &s->names[i]};
	slab_cache_init(&c->slabs, &s->slabs, i + 1);
	s->caches[i] = c;
	return c;
}

void message_cache_flush(struct message_cache *c)
{
	slab_cache_flush(&c->slabs);
	names_flush(c->names);
}

struct pool_stats message_cache_names(const struct message_cache *c)
{
	return names_stats(c->names);
}

void message_cache_destroy(struct message_cache *c)
{
	struct message_store *s = c->store;

	message_cache_flush(c);
	s->cells_gone += (int64_t)(c->slabs.taken - c->slabs.given);
	s->slabs_gone += (int64_t)(c->slabs.made - c->slabs.dissolved);
	for (uint32_t i = 0; i < s->caches_max; i++)
		if (s->caches[i] == c)
			s->caches[i] = NULL;
	free(c);
}

struct message_store *message_cache_store(const struct message_cache *c)
{
	return c->store;
}

/* What all cores say of themselves, added up while they go on: a difference may seem less than nothing. */
struct sums {
	int64_t cells, slabs, stock;
	uint64_t exhausted;
	bool above;
};

static struct sums sums_of(const struct message_store *s)
{
	struct sums sums = {.cells = s->cells_gone, .slabs = s->slabs_gone};

	for (uint32_t i = 0; i < s->caches_max; i++) {
		const struct message_cache *c = s->caches[i];
		if (!c)
			continue;
		sums.cells += (int64_t)(__atomic_load_n(&c->slabs.taken, __ATOMIC_RELAXED) -
					__atomic_load_n(&c->slabs.given, __ATOMIC_RELAXED));
		sums.slabs += (int64_t)(__atomic_load_n(&c->slabs.made, __ATOMIC_RELAXED) -
					__atomic_load_n(&c->slabs.dissolved, __ATOMIC_RELAXED));
		sums.stock += depot_cache_stock(&c->slabs.blocks);
		sums.exhausted += depot_cache_exhausted(&c->slabs.blocks);
		sums.above |= __atomic_load_n(&c->above, __ATOMIC_RELAXED);
	}
	return sums;
}

static uint32_t at_least_none(int64_t n)
{
	return n > 0 ? (uint32_t)n : 0;
}

struct message_store_stats message_store_stats(const struct message_store *s)
{
	struct sums sums = sums_of(s);
	uint32_t blocks = depot_capacity(s->blocks), taken = depot_taken(s->blocks);
	uint64_t cells = s->messages_max ? s->messages_max : (uint64_t)blocks * CELLS_A_BLOCK_MAX;
	uint32_t most = __atomic_load_n(&s->messages_most, __ATOMIC_RELAXED);

	return (struct message_store_stats){
		.cells = {.capacity = cells < UINT32_MAX ? (uint32_t)cells : UINT32_MAX,
			.used = at_least_none(sums.cells),
			.used_max = most > at_least_none(sums.cells) ? most : at_least_none(sums.cells)},
		.blocks = {.capacity = blocks,
			.used = at_least_none((int64_t)taken - sums.stock - sums.slabs),
			.used_max = depot_taken_max(s->blocks),
			.exhausted = sums.exhausted},
		.slabs = at_least_none(sums.slabs),
		.above_watermark = sums.above,
	};
}

uint64_t message_store_memory_bytes(const struct message_store *s)
{
	return depot_memory_bytes(s->blocks) + s->slabs.slabs_bytes;
}

static uint32_t blocks_used(const struct message_cache *c)
{
	const struct message_store *s = c->store;

	return at_least_none((int64_t)depot_taken(s->blocks) - depot_cache_stock(&c->slabs.blocks) -
			     slab_empty_count(&s->slabs));
}

static uint32_t messages_seen(struct message_cache *c)
{
	struct message_store *s = c->store;
	uint64_t now = c->slabs.taken + c->slabs.given;

	if (now - c->looked < s->look_every)
		return c->messages_seen;
	c->looked = now;
	c->messages_seen = at_least_none(sums_of(s).cells);
	if (c->messages_seen > __atomic_load_n(&s->messages_most, __ATOMIC_RELAXED))
		__atomic_store_n(&s->messages_most, c->messages_seen, __ATOMIC_RELAXED);
	return c->messages_seen;
}

bool message_store_full(struct message_cache *c)
{
	const struct message_store *s = c->store;
	bool above = blocks_used(c) > (c->above ? s->blocks_low : s->blocks_high);

	if (s->messages_high != UINT32_MAX)
		above |= messages_seen(c) > (c->above ? s->messages_low : s->messages_high);
	__atomic_store_n(&c->above, above, __ATOMIC_RELAXED);
	return above;
}

bool message_store_could_hold(const struct message_cache *c, uint64_t body_bytes, uint32_t properties_bytes)
{
	const struct message_store *s = c->store;
	/* A block for the message's cell, two for the entry of a queue that counts what comes back. */
	uint64_t kept = stranded_max(s) + 3, blocks = depot_capacity(s->blocks);

	return blocks > kept && body_bytes <= UINT64_MAX - properties_bytes &&
	       body_bytes + properties_bytes <= (blocks - kept) * MESSAGE_BLOCK_BYTES;
}

void *message_store_block_take(struct message_cache *c)
{
	return slab_block_take(&c->slabs);
}

void message_store_block_give(struct message_cache *c, void *block)
{
	depot_give(&c->slabs.blocks, block);
}
