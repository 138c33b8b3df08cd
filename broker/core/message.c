/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/message.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_DATA_BYTES = MESSAGE_BLOCK_BYTES - sizeof(void *), WATERMARK_GAP_PERCENT = 10 };
enum { NAMES_BYTES_MAX = 255 + 255, CELLS_MAX = 1 << 30 };

struct message_block {
	struct message_block *next;
	uint8_t data[BLOCK_DATA_BYTES];
};

/* A message is three parts in this order: the names (exchange, then routing key), the properties, the body.
 * Each part lies either wholly in the cell or wholly in the chain of blocks, never in both. */
enum part { PART_NAMES = 1, PART_PROPERTIES = 2, PART_BODY = 4 };

struct message {
	struct message_store *store;
	struct message_block *head, *tail; /* tail: where the next byte goes */
	uint64_t body_bytes, body_have_bytes;
	uint64_t received_us;
	uint32_t refs;
	uint32_t properties_bytes;
	uint32_t reserved_blocks; /* still to be taken */
	uint8_t in_cell : 3;	  /* enum part */
	uint8_t persistent : 1;
	uint8_t protocol : 4;
	uint8_t priority;
	uint8_t exchange_bytes, routing_key_bytes;
	uint8_t cell[MESSAGE_CELL_BYTES - 64];
};
_Static_assert(sizeof(struct message) == MESSAGE_CELL_BYTES, "the header has grown beyond 64 bytes");
_Static_assert(sizeof(struct message_block) == MESSAGE_BLOCK_BYTES, "a block is one page");

enum { CELL_DATA_BYTES = sizeof(((struct message *)0)->cell) };

struct message_store {
	struct pool *cells, *blocks;
	uint64_t reserved_blocks;
	uint32_t cells_total, blocks_total;
	uint8_t high_percent, low_percent;
	bool above;
};

/* The store */

static void store_free(struct message_store *s)
{
	if (s->cells)
		pool_destroy(s->cells);
	if (s->blocks)
		pool_destroy(s->blocks);
	free(s);
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
	const struct pool_memory *memory = config->memory ? config->memory : &plain;
	struct message_store *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->cells_total = (uint32_t)cells;
	s->blocks_total = (uint32_t)blocks;
	s->cells = pool_create("message cells", MESSAGE_CELL_BYTES, s->cells_total, memory);
	s->blocks = pool_create("message blocks", MESSAGE_BLOCK_BYTES, s->blocks_total, memory);
	if (!s->cells || !s->blocks) {
		store_free(s);
		return NULL;
	}
	s->high_percent = config->watermark_percent;
	s->low_percent = s->high_percent > WATERMARK_GAP_PERCENT
				 ? (uint8_t)(s->high_percent - WATERMARK_GAP_PERCENT)
				 : 0;
	return s;
}

void message_store_destroy(struct message_store *s)
{
	MUST(pool_stats(s->cells).used == 0 && pool_stats(s->blocks).used == 0);
	MUST(s->reserved_blocks == 0);
	store_free(s);
}

struct message_store_stats message_store_stats(const struct message_store *s)
{
	return (struct message_store_stats){
		.cells = pool_stats(s->cells),
		.blocks = pool_stats(s->blocks),
		.reserved_blocks = s->reserved_blocks,
		.above_watermark = s->above,
	};
}

/* Whichever of the two pools is fuller counts: small messages run out of cells while blocks abound. */
static bool fill_exceeds(const struct message_store *s, uint8_t percent)
{
	uint64_t cells = pool_stats(s->cells).used;
	uint64_t blocks = pool_stats(s->blocks).used + s->reserved_blocks;
	return cells * 100 > (uint64_t)s->cells_total * percent ||
	       blocks * 100 > (uint64_t)s->blocks_total * percent;
}

bool message_store_full(struct message_store *s)
{
	s->above = fill_exceeds(s, s->above ? s->low_percent : s->high_percent);
	return s->above;
}

static uint64_t blocks_for(uint64_t bytes)
{
	return bytes / BLOCK_DATA_BYTES + (bytes % BLOCK_DATA_BYTES != 0);
}

bool message_store_could_hold(const struct message_store *s, uint64_t body_bytes, uint32_t properties_bytes)
{
	/* The longest names are assumed, and one block more for the entry of the queue that takes it. */
	uint64_t other = NAMES_BYTES_MAX + (uint64_t)properties_bytes;
	return body_bytes <= UINT64_MAX - other && blocks_for(body_bytes + other) < s->blocks_total;
}

static uint64_t blocks_free(const struct message_store *s)
{
	return s->blocks_total - pool_stats(s->blocks).used - s->reserved_blocks;
}

void *message_store_block_take(struct message_store *s)
{
	return blocks_free(s) ? pool_take(s->blocks) : NULL;
}

void message_store_block_give(struct message_store *s, void *block)
{
	pool_give(s->blocks, block);
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

static void block_add(struct message *m)
{
	MUST(m->reserved_blocks > 0);
	struct message_block *b = pool_take(m->store->blocks);
	MUST(b);
	m->reserved_blocks--;
	m->store->reserved_blocks--;
	b->next = NULL;
	if (m->tail)
		m->tail->next = b;
	else
		m->head = b;
	m->tail = b;
}

/* Writes at chain offset `at`, which is the chain's end. */
static void chain_write(struct message *m, uint64_t at, const uint8_t *data, uint64_t n)
{
	while (n > 0) {
		uint32_t in_block = (uint32_t)(at % BLOCK_DATA_BYTES);
		if (in_block == 0)
			block_add(m);
		uint32_t piece = BLOCK_DATA_BYTES - in_block;
		if (piece > n)
			piece = (uint32_t)n;
		memcpy(m->tail->data + in_block, data, piece);
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

struct message *message_new(struct message_store *s, const struct message_envelope *e)
{
	MUST(e->exchange.bytes <= 255 && e->routing_key.bytes <= 255 && e->protocol < 16);
	if (e->body_bytes > (uint64_t)s->blocks_total * MESSAGE_BLOCK_BYTES)
		return NULL;
	uint64_t chain_bytes;
	unsigned in_cell = parts_in_cell(e, &chain_bytes);
	uint64_t blocks = blocks_for(chain_bytes);
	if (blocks > blocks_free(s))
		return NULL;
	struct message *m = pool_take(s->cells);
	if (!m)
		return NULL;
	m->store = s;
	m->head = m->tail = NULL;
	m->body_bytes = e->body_bytes;
	m->body_have_bytes = 0;
	m->received_us = e->received_us;
	m->refs = 1;
	m->properties_bytes = e->properties.bytes;
	m->reserved_blocks = (uint32_t)blocks;
	m->in_cell = in_cell & 7;
	m->persistent = e->persistent;
	m->protocol = e->protocol & 15;
	m->priority = e->priority;
	m->exchange_bytes = (uint8_t)e->exchange.bytes;
	m->routing_key_bytes = (uint8_t)e->routing_key.bytes;
	s->reserved_blocks += blocks;
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
	m->refs++;
}

void message_unref(struct message *m)
{
	MUST(m->refs > 0);
	if (--m->refs > 0)
		return;
	struct message_store *s = m->store;
	for (struct message_block *b = m->head, *next; b; b = next) {
		next = b->next;
		pool_give(s->blocks, b);
	}
	s->reserved_blocks -= m->reserved_blocks;
	pool_give(s->cells, m);
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
	return m->in_cell & PART_NAMES ? m->cell : m->head->data;
}

struct slice message_exchange(const struct message *m)
{
	return (struct slice){names(m), m->exchange_bytes};
}

struct slice message_routing_key(const struct message *m)
{
	return (struct slice){names(m) + m->exchange_bytes, m->routing_key_bytes};
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
	for (const struct message_block *b = m->head; n > 0; b = b->next, at = 0) {
		uint32_t piece = BLOCK_DATA_BYTES - at;
		if (piece > n)
			piece = n;
		memcpy(dst, b->data + at, piece);
		dst += piece;
		n -= piece;
	}
}

/* The block of a chain offset: from the cursor's own block, else from the chain's start. */
static const struct message_block *cursor_block(
	const struct message *m, const struct message_cursor *at, uint64_t chain_at)
{
	if (at->block)
		return at->block;
	const struct message_block *b = m->head;
	for (uint64_t skip = chain_at / BLOCK_DATA_BYTES; skip > 0; skip--)
		b = b->next;
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
	const struct message_block *b = cursor_block(m, at, chain_at);
	if (n > BLOCK_DATA_BYTES - in_block)
		n = BLOCK_DATA_BYTES - in_block;
	/* Its next may not exist yet in a body that still arrives; then the next call finds it anew. */
	at->block = in_block + n == BLOCK_DATA_BYTES ? b->next : b;
	at->offset += n;
	return (struct slice){b->data + in_block, n};
}
