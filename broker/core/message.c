/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/message.h"

#include "broker/core/message_store.h"
#include "runtime/check.h"

#include <string.h>

enum { BLOCK_DATA_BYTES = MESSAGE_BLOCK_BYTES };

/* A message lies in one cell: the header, then its names unless they stand in a table of names, the
 * properties, the body. One that is too large for a cell has a second header, and its body in a chain of
 * blocks, behind the properties where these found no room in the cell either; or its body is another large
 * message's. At the cell's end, behind what is there of all that, stand a lifetime of its own and who knows
 * its further keys. */
struct message {
	uint64_t names : 48; /* struct names *; 0: two bytes of length and the names come first in data */
	uint64_t body_bytes : 16;
	uint64_t received_us : 48; /* of a clock that began with the machine: nine years */
	uint64_t body_have_bytes : 16;
	uint32_t refs; /* with REFS_SHARED: changed by atomic operations alone */
	uint16_t properties_bytes;
	uint8_t persistent : 1;
	uint8_t large : 1;
	uint8_t expires : 1;
	uint8_t has_keys : 1;
	uint8_t protocol : 4;
	uint8_t priority;
	uint8_t data[];
};

struct message_large {
	struct message_store *store;
	uint64_t body_bytes, body_have_bytes;
	uint8_t *tail; /* the block where the next byte goes; NULL: the chain's first */
	struct depot_chain chain;
	struct message *body_of; /* whose chain has the body, a reference; NULL: its own */
	uint32_t properties_bytes;
	bool properties_in_chain;
};
_Static_assert(sizeof(struct message) == 24, "header, and an entry of 8 bytes, and rounding: below 64");
_Static_assert(sizeof(struct message_large) % 8 == 0, "what follows is as aligned");

#define REFS_SHARED (UINT32_C(1) << 31)

enum { CELL_DATA_BYTES = SLAB_CELL_BYTES_MAX - sizeof(struct message) };
_Static_assert((int)SLAB_BLOCK_BYTES == (int)MESSAGE_BLOCK_BYTES, "slabs are blocks");

/* Layout */

static const struct names *names_of(const struct message *m)
{
	return (const struct names *)(uintptr_t)m->names;
}

static const struct message_large *large_of(const struct message *m)
{
	return (const struct message_large *)m->data;
}

static struct message_large *large_of_new(struct message *m)
{
	return (struct message_large *)m->data;
}

/* What comes behind the headers in the cell: names, where they are the message's own. */
static const uint8_t *own_names(const struct message *m)
{
	return m->data + (m->large ? sizeof(struct message_large) : 0);
}

static uint32_t own_names_bytes(const struct message *m)
{
	const uint8_t *at = own_names(m);

	return m->names ? 0 : 2u + at[0] + at[1];
}

static const uint8_t *cell_properties(const struct message *m)
{
	return own_names(m) + own_names_bytes(m);
}

static const uint8_t *cell_body(const struct message *m)
{
	return cell_properties(m) + m->properties_bytes;
}

static const uint8_t *cell_lifetime(const struct message *m)
{
	const struct message_large *l = large_of(m);

	if (!m->large)
		return cell_body(m) + m->body_bytes;
	return cell_properties(m) + (l->properties_in_chain ? 0 : l->properties_bytes);
}

static const uint8_t *cell_keys(const struct message *m)
{
	return cell_lifetime(m) + (m->expires ? sizeof(uint64_t) : 0);
}

static const struct depot *blocks_of(const struct message *m)
{
	return large_of(m)->store->blocks;
}

static uint64_t body_chain_offset(const struct message *m)
{
	const struct message_large *l = large_of(m);

	return l->properties_in_chain ? l->properties_bytes : 0;
}

/* Writes at chain offset `at`, which is the end of what has been written. */
static void chain_write(struct message_large *l, uint64_t at, const uint8_t *data, uint64_t n)
{
	while (n > 0) {
		uint32_t in_block = (uint32_t)(at % BLOCK_DATA_BYTES);
		if (!l->tail)
			l->tail = depot_chain_first(l->store->blocks, &l->chain);
		else if (in_block == 0)
			l->tail = depot_chain_after(l->store->blocks, l->tail);
		uint32_t piece = BLOCK_DATA_BYTES - in_block;
		if (piece > n)
			piece = (uint32_t)n;
		memcpy(l->tail + in_block, data, piece);
		data += piece;
		at += piece;
		n -= piece;
	}
}

static uint8_t *put(uint8_t *at, struct slice s)
{
	if (s.bytes)
		memcpy(at, s.data, s.bytes);
	return at + s.bytes;
}

/* Messages */

/* What a new message needs. */
struct plan {
	struct names *names; /* in a table, or NULL */
	uint32_t cell_bytes;
	uint64_t chain_bytes;
	bool large, properties_in_chain;
};

static struct plan plan_for(struct message_cache *c, const struct message_envelope *e, bool borrows)
{
	struct plan p = {.names = names_take(c->names, e->exchange, e->routing_key)};
	uint32_t own = (p.names ? 0 : 2 + e->exchange.bytes + e->routing_key.bytes) +
		       (e->expires ? (uint32_t)sizeof(e->lifetime_us) : 0) +
		       (e->keys ? (uint32_t)sizeof(e->keys) : 0);
	uint64_t all = (uint64_t)own + e->properties.bytes;

	p.large = borrows || e->body_bytes > CELL_DATA_BYTES || all + e->body_bytes > CELL_DATA_BYTES;
	if (!p.large) {
		p.cell_bytes = (uint32_t)(sizeof(struct message) + all + e->body_bytes);
		return p;
	}
	p.properties_in_chain = all + sizeof(struct message_large) > CELL_DATA_BYTES;
	p.chain_bytes = (borrows ? 0 : e->body_bytes) + (p.properties_in_chain ? e->properties.bytes : 0);
	p.cell_bytes = (uint32_t)(sizeof(struct message) + sizeof(struct message_large) +
				  (p.properties_in_chain ? own : all));
	return p;
}

static bool memory_take(
	struct message_cache *c, const struct plan *p, struct message **m, struct depot_chain *chain)
{
	uint64_t blocks = (p->chain_bytes + BLOCK_DATA_BYTES - 1) / BLOCK_DATA_BYTES;

	if (blocks > depot_capacity(c->store->blocks))
		return false;
	if (blocks > 0 && !slab_chain_take(&c->slabs, (uint32_t)blocks, chain))
		return false;
	*m = slab_cell_take(&c->slabs, p->cell_bytes);
	if (!*m && blocks > 0)
		depot_chain_give(&c->slabs.blocks, chain);
	return *m;
}

static void large_set(struct message *m, struct message_store *s, const struct plan *p,
	const struct message_envelope *e, const struct depot_chain *chain)
{
	*large_of_new(m) = (struct message_large){
		.store = s,
		.body_bytes = e->body_bytes,
		.chain = *chain,
		.properties_bytes = e->properties.bytes,
		.properties_in_chain = p->properties_in_chain,
	};
	m->body_bytes = m->properties_bytes = 0;
}

static void envelope_write(struct message *m, const struct message_envelope *e)
{
	uint8_t *at = m->data + (m->large ? sizeof(struct message_large) : 0);

	if (!m->names) {
		*at++ = (uint8_t)e->exchange.bytes;
		*at++ = (uint8_t)e->routing_key.bytes;
		at = put(put(at, e->exchange), e->routing_key);
	}
	if (m->large && large_of(m)->properties_in_chain)
		chain_write(large_of_new(m), 0, e->properties.data, e->properties.bytes);
	else
		put(at, e->properties);
}

/* Whoever has the last of the one may be elsewhere than who has the last of the other. */
static void keys_set(struct message *m, struct message *keys)
{
	message_share(keys);
	message_ref(keys);
	memcpy((uint8_t *)(uintptr_t)cell_keys(m), &keys, sizeof(keys));
}

static struct message *make(struct message_cache *c, const struct message_envelope *e, bool borrows)
{
	MUST(e->exchange.bytes <= 255 && e->routing_key.bytes <= 255 && e->protocol < 16);
	if (e->body_bytes > (uint64_t)depot_capacity(c->store->blocks) * MESSAGE_BLOCK_BYTES)
		return NULL;
	struct plan p = plan_for(c, e, borrows);
	struct depot_chain chain = {0};
	struct message *m;
	if (!memory_take(c, &p, &m, &chain)) {
		if (p.names)
			names_give(c->names, p.names);
		return NULL;
	}
	m->names = (uintptr_t)p.names & ((UINT64_C(1) << 48) - 1);
	m->body_bytes = (uint16_t)e->body_bytes;
	m->received_us = e->received_us & ((UINT64_C(1) << 48) - 1);
	m->body_have_bytes = 0;
	m->refs = 1;
	m->properties_bytes = (uint16_t)e->properties.bytes;
	m->persistent = e->persistent;
	m->large = p.large;
	m->protocol = e->protocol & 15;
	m->priority = e->priority;
	m->expires = e->expires;
	m->has_keys = e->keys != NULL;
	if (p.large)
		large_set(m, c->store, &p, e, &chain);
	envelope_write(m, e);
	if (e->expires)
		memcpy((uint8_t *)(uintptr_t)cell_lifetime(m), &e->lifetime_us, sizeof(e->lifetime_us));
	if (e->keys)
		keys_set(m, e->keys);
	return m;
}

struct message *message_new(struct message_cache *c, const struct message_envelope *e)
{
	return make(c, e, false);
}

static struct message *new_with_copy(
	struct message_cache *c, const struct message_envelope *e, const struct message *from)
{
	struct message *m = make(c, e, false);
	struct message_cursor at = {0};
	struct slice piece;

	while (m && (piece = message_body_next(from, &at, UINT32_MAX)).bytes > 0)
		message_append(m, piece.data, piece.bytes);
	return m;
}

struct message *message_new_with_body(
	struct message_cache *c, const struct message_envelope *e, struct message *from)
{
	MUST(message_missing_bytes(from) == 0 && e->body_bytes == message_body_bytes(from));
	if (!from->large)
		return new_with_copy(c, e, from);
	struct message *root = large_of(from)->body_of ? large_of(from)->body_of : from;
	struct message *m = make(c, e, true);
	if (!m)
		return NULL;
	/* Whoever has the last of the one may be elsewhere than who has the last of the other. */
	message_share(root);
	message_ref(root);
	large_of_new(m)->body_of = root;
	large_of_new(m)->body_have_bytes = e->body_bytes;
	return m;
}

struct message *message_new_like(
	struct message_cache *c, const struct message *like, const void *body, uint32_t n)
{
	const uint32_t head = (uint32_t)(cell_body(like) - (const uint8_t *)like);

	/* Names of its own may be found in the table by now. */
	if (like->large || like->expires || like->has_keys || !like->names || n > SLAB_CELL_BYTES_MAX - head)
		return NULL;
	struct message *m = slab_cell_take(&c->slabs, head + n);
	if (!m)
		return NULL;
	memcpy(m, like, head);
	m->refs = 1;
	m->body_bytes = m->body_have_bytes = (uint16_t)n;
	names_take_again(c->names, (struct names *)(uintptr_t)like->names);
	memcpy((uint8_t *)m + head, body, n);
	return m;
}

void message_append(struct message *m, const void *data, uint32_t n)
{
	MUST(n <= message_missing_bytes(m));
	if (n == 0)
		return;
	if (m->large) {
		struct message_large *l = large_of_new(m);
		chain_write(l, body_chain_offset(m) + l->body_have_bytes, data, n);
		l->body_have_bytes += n;
		return;
	}
	memcpy((uint8_t *)(uintptr_t)cell_body(m) + m->body_have_bytes, data, n);
	m->body_have_bytes = (uint16_t)(m->body_have_bytes + n);
}

static uint64_t body_have_bytes(const struct message *m)
{
	return m->large ? large_of(m)->body_have_bytes : m->body_have_bytes;
}

uint64_t message_missing_bytes(const struct message *m)
{
	return message_body_bytes(m) - body_have_bytes(m);
}

/* Others may be counting at the same time. */
static bool is_shared(const struct message *m)
{
	return __atomic_load_n(&m->refs, __ATOMIC_RELAXED) & REFS_SHARED;
}

void message_ref(struct message *m)
{
	if (is_shared(m))
		__atomic_fetch_add(&m->refs, 1, __ATOMIC_RELAXED);
	else
		m->refs++;
}

void message_share(struct message *m)
{
	if (!is_shared(m))
		m->refs |= REFS_SHARED;
}

/* True where that was the last reference. One who holds the only one needs no atomic change. */
static bool refs_drop(struct message *m)
{
	uint32_t refs = __atomic_load_n(&m->refs, __ATOMIC_ACQUIRE);

	MUST((refs & ~REFS_SHARED) > 0);
	if (!(refs & REFS_SHARED))
		return --m->refs == 0;
	return refs == (REFS_SHARED | 1) || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) == REFS_SHARED;
}

static void release(struct message_cache *c, struct message *m)
{
	if (m->names)
		names_give(c->names, (struct names *)(uintptr_t)m->names);
	slab_cell_give(&c->slabs, m);
}

/* Apart from what every message runs through. */
__attribute__((noinline)) static void release_all(struct message_cache *c, struct message *m)
{
	struct message *keys = message_keys(m), *body_of = m->large ? large_of(m)->body_of : NULL;

	CHECK(!m->large || large_of(m)->store == c->store);
	if (m->large && large_of(m)->chain.count > 0)
		depot_chain_give(&c->slabs.blocks, &large_of(m)->chain);
	release(c, m);
	/* The end of it: a body's owner borrows none, and further keys have none themselves. */
	if (body_of)
		message_unref(c, body_of);
	if (keys)
		message_unref(c, keys);
}

void message_unref(struct message_cache *c, struct message *m)
{
	if (!refs_drop(m))
		return;
	if (m->large || m->has_keys)
		release_all(c, m);
	else
		release(c, m);
}

uint64_t message_body_bytes(const struct message *m)
{
	return m->large ? large_of(m)->body_bytes : m->body_bytes;
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

void message_received(struct message *m, uint64_t now_us)
{
	m->received_us = now_us & ((UINT64_C(1) << 48) - 1);
}

bool message_expires(const struct message *m)
{
	return m->expires;
}

uint64_t message_lifetime_us(const struct message *m)
{
	uint64_t us = UINT64_MAX;

	if (m->expires)
		memcpy(&us, cell_lifetime(m), sizeof(us));
	return us;
}

struct message *message_keys(const struct message *m)
{
	struct message *keys = NULL;

	if (m->has_keys)
		memcpy(&keys, cell_keys(m), sizeof(keys));
	return keys;
}

struct slice message_exchange(const struct message *m)
{
	if (m->names)
		return (struct slice){names_of(m)->bytes, names_of(m)->exchange_bytes};
	const uint8_t *at = own_names(m);
	return (struct slice){at + 2, at[0]};
}

struct slice message_routing_key(const struct message *m)
{
	if (m->names)
		return (struct slice){
			names_of(m)->bytes + names_of(m)->exchange_bytes, names_of(m)->key_bytes};
	const uint8_t *at = own_names(m);
	return (struct slice){at + 2 + at[0], at[1]};
}

bool message_head(const struct message *m, struct message_head *out)
{
	const struct names *names = names_of(m);
	const uint8_t *own = own_names(m);

	if (m->large && large_of(m)->properties_in_chain)
		return false;
	out->names_id = names ? names->id : 0;
	out->body_or_null = m->large ? NULL : cell_body(m);
	if (names) {
		out->exchange_bytes = names->exchange_bytes;
		out->names = (struct slice){names->bytes, (uint32_t)names->exchange_bytes + names->key_bytes};
	} else {
		out->exchange_bytes = own[0];
		out->names = (struct slice){own + 2, (uint32_t)own[0] + own[1]};
	}
	out->properties = (struct slice){cell_properties(m), message_properties_bytes(m)};
	return true;
}

uint32_t message_properties_bytes(const struct message *m)
{
	return m->large ? large_of(m)->properties_bytes : m->properties_bytes;
}

void message_properties_copy(const struct message *m, uint8_t *dst)
{
	uint32_t n = message_properties_bytes(m);

	if (n == 0)
		return;
	if (!m->large || !large_of(m)->properties_in_chain) {
		memcpy(dst, cell_properties(m), n);
		return;
	}
	const uint8_t *b = depot_chain_first(blocks_of(m), &large_of(m)->chain);
	for (; n > BLOCK_DATA_BYTES; n -= BLOCK_DATA_BYTES, dst += BLOCK_DATA_BYTES) {
		memcpy(dst, b, BLOCK_DATA_BYTES);
		b = depot_chain_after(blocks_of(m), b);
	}
	memcpy(dst, b, n);
}

/* The block of a chain offset: from the cursor's own block, else from the chain's start. */
static const uint8_t *cursor_block(
	const struct message *m, const struct message_cursor *at, uint64_t chain_at)
{
	if (at->block)
		return at->block;
	const uint8_t *b = depot_chain_first(blocks_of(m), &large_of(m)->chain);
	for (uint64_t skip = chain_at / BLOCK_DATA_BYTES; skip > 0; skip--)
		b = depot_chain_after(blocks_of(m), b);
	return b;
}

struct slice message_body_next(const struct message *m, struct message_cursor *at, uint32_t max)
{
	uint64_t left = body_have_bytes(m) - at->offset;
	uint32_t n = left < max ? (uint32_t)left : max;

	if (m->large && large_of(m)->body_of)
		m = large_of(m)->body_of;
	if (n == 0)
		return (struct slice){0};
	if (!m->large) {
		struct slice piece = {cell_body(m) + at->offset, n};
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
	else if (at->offset < large_of(m)->body_bytes)
		at->block = depot_chain_after(blocks_of(m), b);
	return (struct slice){b + in_block, n};
}
