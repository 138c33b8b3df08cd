/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/message.h"

#include "runtime/check.h"
#include "runtime/depot.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_DATA_BYTES = MESSAGE_BLOCK_BYTES, WATERMARK_GAP_PERCENT = 10 };
enum { NAMES_BYTES_MAX = 255 + 255, CELLS_MAX = 1 << 30 };

/* A message is three parts in this order: the names (exchange, then routing key), the properties, the body.
 * Each part lies either wholly in the cell or wholly in the chain of blocks, never in both. */
enum part { PART_NAMES = 1, PART_PROPERTIES = 2, PART_BODY = 4 };

struct message {
	struct message_store *store;
	uint8_t *tail; /* the block where the next byte goes; NULL: in the chain's first */
	uint64_t body_bytes, body_have_bytes;
	uint64_t received_us;
	struct depot_chain chain;
	uint32_t refs; /* atomic once shared */
	uint32_t properties_bytes;
	uint8_t in_cell : 3; /* enum part */
	uint8_t persistent : 1;
	uint8_t protocol : 4;
	uint8_t priority;
	uint8_t exchange_bytes, routing_key_bytes;
	bool shared;
	uint8_t cell[MESSAGE_CELL_BYTES - 61];
};
_Static_assert(sizeof(struct message) == MESSAGE_CELL_BYTES, "a message is one cell");

enum { CELL_DATA_BYTES = sizeof(((struct message *)0)->cell) };

struct limits {
	uint32_t low, high; /* objects taken */
};

struct message_store {
	struct depot *cells, *blocks;
	struct limits cell_limits, block_limits;
	uint32_t stranded_blocks_max; /* in the caches of the other cores */
	uint32_t caches_max;
	struct message_cache *caches[MESSAGE_CACHES_MAX];
};

struct message_cache {
	struct message_store *store;
	struct depot_cache cells, blocks;
	bool above; /* read by others for statistics */
};

/* The store */

static void store_free(struct message_store *s)
{
	if (s->cells)
		depot_destroy(s->cells);
	if (s->blocks)
		depot_destroy(s->blocks);
	free(s);
}

/* A cache keeps two magazines: with this size all caches together keep an eighth of the objects from each
 * other at most, and where there are fewer than 16 objects a cache, two objects each. */
static uint32_t magazine_of(uint32_t objects, uint32_t caches)
{
	uint32_t most = objects / (16 * caches);

	if (most < 1)
		return 1;
	return most < DEPOT_MAGAZINE_MAX ? most : DEPOT_MAGAZINE_MAX;
}

static uint32_t stranded_max(uint32_t magazine, uint32_t caches)
{
	return 2 * magazine * (caches - 1);
}

static struct limits limits_of(uint64_t objects, uint8_t percent)
{
	uint8_t low = percent > WATERMARK_GAP_PERCENT ? (uint8_t)(percent - WATERMARK_GAP_PERCENT) : 0;

	return (struct limits){(uint32_t)(objects * low / 100), (uint32_t)(objects * percent / 100)};
}

static int depots_create(
	struct message_store *s, uint32_t cells, uint32_t blocks, const struct pool_memory *memory)
{
	uint32_t magazine = magazine_of(blocks, s->caches_max);

	s->stranded_blocks_max = stranded_max(magazine, s->caches_max);
	s->cells = depot_create(
		"message cells", MESSAGE_CELL_BYTES, cells, magazine_of(cells, s->caches_max), memory);
	s->blocks = depot_create("message blocks", MESSAGE_BLOCK_BYTES, blocks, magazine, memory);
	return s->cells && s->blocks ? 0 : -1;
}

struct message_store *message_store_create(const struct message_store_config *config)
{
	uint64_t cells = config->messages_max ? config->messages_max
					      : config->memory_bytes / 4 / MESSAGE_CELL_BYTES;
	if (cells > CELLS_MAX)
		cells = CELLS_MAX;
	uint64_t cell_memory_bytes = cells * MESSAGE_CELL_BYTES;
	if (config->memory_bytes < cell_memory_bytes + MESSAGE_BLOCK_BYTES)
		return NULL;
	uint64_t blocks = (config->memory_bytes - cell_memory_bytes) / MESSAGE_BLOCK_BYTES;
	if (blocks > CELLS_MAX)
		blocks = CELLS_MAX;

	static const struct pool_memory plain = {0};
	struct message_store *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->caches_max = config->caches_max ? config->caches_max : 1;
	MUST(s->caches_max <= MESSAGE_CACHES_MAX);
	s->cell_limits = limits_of(cells, config->watermark_percent);
	s->block_limits = limits_of(blocks, config->watermark_percent);
	if (depots_create(s, (uint32_t)cells, (uint32_t)blocks, config->memory ? config->memory : &plain)) {
		store_free(s);
		return NULL;
	}
	return s;
}

void message_store_destroy(struct message_store *s)
{
	for (uint32_t i = 0; i < s->caches_max; i++)
		MUST(!s->caches[i]);
	store_free(s);
}

struct message_cache *message_cache_create(struct message_store *s)
{
	struct message_cache *c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);
	uint32_t i = 0;

	if (!c)
		return NULL;
	*c = (struct message_cache){.store = s};
	depot_cache_init(&c->cells, s->cells);
	depot_cache_init(&c->blocks, s->blocks);
	while (i < s->caches_max && s->caches[i])
		i++;
	MUST(i < s->caches_max && "a cache for each core that was announced");
	s->caches[i] = c;
	return c;
}

void message_cache_flush(struct message_cache *c)
{
	depot_cache_flush(&c->cells);
	depot_cache_flush(&c->blocks);
}

void message_cache_destroy(struct message_cache *c)
{
	struct message_store *s = c->store;

	message_cache_flush(c);
	for (uint32_t i = 0; i < s->caches_max; i++)
		if (s->caches[i] == c)
			s->caches[i] = NULL;
	free(c);
}

struct message_store *message_cache_store(const struct message_cache *c)
{
	return c->store;
}

/* Read while others write: what is in use may seem less than nothing for a moment. */
static struct pool_stats depot_stats(const struct depot *d, uint32_t stock, uint64_t exhausted)
{
	uint32_t taken = depot_taken(d);

	return (struct pool_stats){
		.capacity = depot_capacity(d),
		.used = taken > stock ? taken - stock : 0,
		.used_max = depot_taken_max(d),
		.exhausted = exhausted,
	};
}

struct message_store_stats message_store_stats(const struct message_store *s)
{
	uint32_t cells = 0, blocks = 0;
	uint64_t cells_exhausted = 0, blocks_exhausted = 0;
	bool above = false;

	for (uint32_t i = 0; i < s->caches_max; i++) {
		const struct message_cache *c = s->caches[i];
		if (!c)
			continue;
		cells += depot_cache_stock(&c->cells);
		blocks += depot_cache_stock(&c->blocks);
		cells_exhausted += depot_cache_exhausted(&c->cells);
		blocks_exhausted += depot_cache_exhausted(&c->blocks);
		above |= __atomic_load_n(&c->above, __ATOMIC_RELAXED);
	}
	return (struct message_store_stats){
		.cells = depot_stats(s->cells, cells, cells_exhausted),
		.blocks = depot_stats(s->blocks, blocks, blocks_exhausted),
		.above_watermark = above,
	};
}

static bool exceeds(const struct depot_cache *c, const struct limits *l, bool above)
{
	uint32_t taken = depot_taken(c->depot), stock = depot_cache_stock(c);

	return (taken > stock ? taken - stock : 0) > (above ? l->low : l->high);
}

/* Whichever of the two pools is fuller counts: small messages run out of cells while blocks abound. */
bool message_store_full(struct message_cache *c)
{
	const struct message_store *s = c->store;
	bool above = exceeds(&c->cells, &s->cell_limits, c->above) ||
		     exceeds(&c->blocks, &s->block_limits, c->above);

	__atomic_store_n(&c->above, above, __ATOMIC_RELAXED);
	return above;
}

static uint64_t blocks_for(uint64_t bytes)
{
	return bytes / BLOCK_DATA_BYTES + (bytes % BLOCK_DATA_BYTES != 0);
}

bool message_store_could_hold(const struct message_cache *c, uint64_t body_bytes, uint32_t properties_bytes)
{
	const struct message_store *s = c->store;
	uint64_t other = NAMES_BYTES_MAX + (uint64_t)properties_bytes;
	/* The longest names are assumed, and one block more for the entry of the queue that takes it. */
	uint64_t kept = (uint64_t)s->stranded_blocks_max + 1;

	return body_bytes <= UINT64_MAX - other &&
	       blocks_for(body_bytes + other) + kept <= depot_capacity(s->blocks);
}

void *message_store_block_take(struct message_cache *c)
{
	return depot_take(&c->blocks);
}

void message_store_block_give(struct message_cache *c, void *block)
{
	depot_give(&c->blocks, block);
}

/* Layout */

static uint32_t names_bytes(const struct message *m)
{
	return (uint32_t)m->exchange_bytes + m->routing_key_bytes;
}

static uint32_t properties_offset(const struct message *m)
{
	bool behind_names = !(m->in_cell & PART_PROPERTIES) == !(m->in_cell & PART_NAMES);
	return behind_names ? names_bytes(m) : 0;
}

static uint32_t body_cell_offset(const struct message *m)
{
	uint32_t at = m->in_cell & PART_NAMES ? names_bytes(m) : 0;
	return at + (m->in_cell & PART_PROPERTIES ? m->properties_bytes : 0);
}

static uint64_t body_chain_offset(const struct message *m)
{
	uint64_t at = m->in_cell & PART_NAMES ? 0 : names_bytes(m);
	return at + (m->in_cell & PART_PROPERTIES ? 0 : m->properties_bytes);
}

/* Which parts fit the cell, in order; *chain_bytes: what the others need. */
static unsigned parts_in_cell(const struct message_envelope *e, uint64_t *chain_bytes)
{
	const uint64_t sizes[] = {
		(uint64_t)e->exchange.bytes + e->routing_key.bytes, e->properties.bytes, e->body_bytes};
	unsigned in_cell = 0;
	uint64_t room = CELL_DATA_BYTES;

	*chain_bytes = 0;
	for (unsigned i = 0; i < 3; i++) {
		if (sizes[i] <= room) {
			room -= sizes[i];
			in_cell |= 1u << i;
		} else {
			*chain_bytes += sizes[i];
		}
	}
	return in_cell;
}

/* Writes at chain offset `at`, which is the end of what has been written. */
static void chain_write(struct message *m, uint64_t at, const uint8_t *data, uint64_t n)
{
	while (n > 0) {
		uint32_t in_block = (uint32_t)(at % BLOCK_DATA_BYTES);
		if (!m->tail)
			m->tail = depot_chain_first(m->store->blocks, &m->chain);
		else if (in_block == 0)
			m->tail = depot_chain_after(m->store->blocks, m->tail);
		uint32_t piece = BLOCK_DATA_BYTES - in_block;
		if (piece > n)
			piece = (uint32_t)n;
		memcpy(m->tail + in_block, data, piece);
		data += piece;
		at += piece;
		n -= piece;
	}
}

static void envelope_write(struct message *m, const struct message_envelope *e)
{
	if (m->in_cell & PART_NAMES) {
		if (e->exchange.bytes)
			memcpy(m->cell, e->exchange.data, e->exchange.bytes);
		if (e->routing_key.bytes)
			memcpy(m->cell + e->exchange.bytes, e->routing_key.data, e->routing_key.bytes);
	} else {
		chain_write(m, 0, e->exchange.data, e->exchange.bytes);
		chain_write(m, e->exchange.bytes, e->routing_key.data, e->routing_key.bytes);
	}
	if (!(m->in_cell & PART_PROPERTIES))
		chain_write(m, properties_offset(m), e->properties.data, e->properties.bytes);
	else if (e->properties.bytes)
		memcpy(m->cell + properties_offset(m), e->properties.data, e->properties.bytes);
}

/* Messages */

struct message *message_new(struct message_cache *c, const struct message_envelope *e)
{
	MUST(e->exchange.bytes <= 255 && e->routing_key.bytes <= 255 && e->protocol < 16);
	struct message_store *s = c->store;
	struct depot_chain chain = {0};
	if (e->body_bytes > (uint64_t)depot_capacity(s->blocks) * MESSAGE_BLOCK_BYTES)
		return NULL;
	uint64_t chain_bytes;
	unsigned in_cell = parts_in_cell(e, &chain_bytes);
	if (chain_bytes > 0 && !depot_chain_take(&c->blocks, (uint32_t)blocks_for(chain_bytes), &chain))
		return NULL;
	struct message *m = depot_take(&c->cells);
	if (!m) {
		if (chain.count > 0)
			depot_chain_give(&c->blocks, &chain);
		return NULL;
	}
	m->store = s;
	m->tail = NULL;
	m->body_bytes = e->body_bytes;
	m->body_have_bytes = 0;
	m->received_us = e->received_us;
	m->chain = chain;
	m->refs = 1;
	m->shared = false;
	m->properties_bytes = e->properties.bytes;
	m->in_cell = in_cell & 7;
	m->persistent = e->persistent;
	m->protocol = e->protocol & 15;
	m->priority = e->priority;
	m->exchange_bytes = (uint8_t)e->exchange.bytes;
	m->routing_key_bytes = (uint8_t)e->routing_key.bytes;
	envelope_write(m, e);
	return m;
}

void message_append(struct message *m, const void *data, uint32_t n)
{
	MUST(n <= message_missing_bytes(m));
	if (n == 0)
		return;
	if (m->in_cell & PART_BODY)
		memcpy(m->cell + body_cell_offset(m) + m->body_have_bytes, data, n);
	else
		chain_write(m, body_chain_offset(m) + m->body_have_bytes, data, n);
	m->body_have_bytes += n;
}

uint64_t message_missing_bytes(const struct message *m)
{
	return m->body_bytes - m->body_have_bytes;
}

void message_ref(struct message *m)
{
	if (m->shared)
		__atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
	else
		m->refs++;
}

void message_share(struct message *m)
{
	m->shared = true;
}

/* True where that was the last reference. One who holds the only one needs no atomic change. */
static bool refs_drop(struct message *m)
{
	if (!m->shared) {
		MUST(m->refs > 0);
		return --m->refs == 0;
	}
	if (__atomic_load_n(&m->refs, __ATOMIC_ACQUIRE) == 1)
		return true;
	uint32_t before = __atomic_fetch_sub(&m->refs, 1, __ATOMIC_ACQ_REL);
	MUST(before > 0);
	return before == 1;
}

void message_unref(struct message_cache *c, struct message *m)
{
	CHECK(m->store == c->store);
	if (!refs_drop(m))
		return;
	if (m->chain.count > 0)
		depot_chain_give(&c->blocks, &m->chain);
	depot_give(&c->cells, m);
}

uint64_t message_body_bytes(const struct message *m)
{
	return m->body_bytes;
}

uint8_t message_protocol(const struct message *m)
{
	return m->protocol;
}

bool message_persistent(const struct message *m)
{
	return m->persistent;
}

uint8_t message_priority(const struct message *m)
{
	return m->priority;
}

uint64_t message_received_us(const struct message *m)
{
	return m->received_us;
}

static const uint8_t *names(const struct message *m)
{
	return m->in_cell & PART_NAMES ? m->cell : depot_chain_first(m->store->blocks, &m->chain);
}

struct slice message_exchange(const struct message *m)
{
	return (struct slice){names(m), m->exchange_bytes};
}

struct slice message_routing_key(const struct message *m)
{
	return (struct slice){names(m) + m->exchange_bytes, m->routing_key_bytes};
}

struct slice message_head(const struct message *m)
{
	if ((m->in_cell & (PART_NAMES | PART_PROPERTIES)) != (PART_NAMES | PART_PROPERTIES))
		return (struct slice){0};
	return (struct slice){m->cell, names_bytes(m) + m->properties_bytes};
}

uint32_t message_properties_bytes(const struct message *m)
{
	return m->properties_bytes;
}

void message_properties_copy(const struct message *m, uint8_t *dst)
{
	uint32_t at = properties_offset(m), n = m->properties_bytes;

	if (n == 0)
		return;
	if (m->in_cell & PART_PROPERTIES) {
		memcpy(dst, m->cell + at, n);
		return;
	}
	for (const uint8_t *b = depot_chain_first(m->store->blocks, &m->chain);; at = 0) {
		uint32_t piece = BLOCK_DATA_BYTES - at;
		if (piece > n)
			piece = n;
		memcpy(dst, b + at, piece);
		dst += piece;
		n -= piece;
		if (n == 0)
			return;
		b = depot_chain_after(m->store->blocks, b);
	}
}

/* The block of a chain offset: from the cursor's own block, else from the chain's start. */
static const uint8_t *cursor_block(
	const struct message *m, const struct message_cursor *at, uint64_t chain_at)
{
	if (at->block)
		return at->block;
	const uint8_t *b = depot_chain_first(m->store->blocks, &m->chain);
	for (uint64_t skip = chain_at / BLOCK_DATA_BYTES; skip > 0; skip--)
		b = depot_chain_after(m->store->blocks, b);
	return b;
}

struct slice message_body_next(const struct message *m, struct message_cursor *at, uint32_t max)
{
	uint64_t left = m->body_have_bytes - at->offset;
	uint32_t n = left < max ? (uint32_t)left : max;

	if (n == 0)
		return (struct slice){0};
	if (m->in_cell & PART_BODY) {
		struct slice piece = {m->cell + body_cell_offset(m) + at->offset, n};
		at->offset += n;
		return piece;
	}
	uint64_t chain_at = body_chain_offset(m) + at->offset;
	uint32_t in_block = (uint32_t)(chain_at % BLOCK_DATA_BYTES);
	const uint8_t *b = cursor_block(m, at, chain_at);
	if (n > BLOCK_DATA_BYTES - in_block)
		n = BLOCK_DATA_BYTES - in_block;
	at->offset += n;
	/* Behind the chain's last block there is none. */
	if (in_block + n < BLOCK_DATA_BYTES)
		at->block = b;
	else if (at->offset < m->body_bytes)
		at->block = depot_chain_after(m->store->blocks, b);
	return (struct slice){b + in_block, n};
}
