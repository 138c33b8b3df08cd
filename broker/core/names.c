/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/names.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

enum { PROBES = 4, RELEASE_BUNCH = 1 << 16 };

int names_table_init(struct names_table *t, uint8_t number)
{
	*t = (struct names_table){.number = number};
	/* Pages are touched when entries are first used. */
	t->entries = aligned_alloc(4096, NAMES_ENTRIES * sizeof(struct names));
	if (!t->entries)
		return -1;
	memset(t->entries, 0, NAMES_ENTRIES * sizeof(struct names));
	return 0;
}

static bool in_use(const struct names *n)
{
	return __atomic_load_n(&n->handed, __ATOMIC_RELAXED) !=
	       __atomic_load_n(&n->released, __ATOMIC_ACQUIRE);
}

/* By the owner; others look for statistics. */
static void handed_add(struct names *n, uint32_t more)
{
	__atomic_store_n(&n->handed, n->handed + more, __ATOMIC_RELAXED);
}

void names_table_fini(struct names_table *t)
{
	for (uint32_t i = 0; t->entries && i < NAMES_ENTRIES; i++)
		MUST(!in_use(&t->entries[i]));
	free(t->entries);
}

/* Whoever makes names collide only keeps them in the messages, where they would be without a table. */
static uint32_t mix(uint32_t hash, struct slice s)
{
	uint64_t h = hash + s.bytes;
	uint32_t i = 0;

	for (uint64_t word; i + 8 <= s.bytes; i += 8) {
		memcpy(&word, s.data + i, 8);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	for (; i < s.bytes; i++)
		h = (h ^ s.data[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h ^ h >> 29);
}

static bool same(const struct names *n, uint32_t hash, struct slice exchange, struct slice key)
{
	return n->used && n->hash == hash && n->exchange_bytes == exchange.bytes &&
	       n->key_bytes == key.bytes &&
	       (!exchange.bytes || memcmp(n->bytes, exchange.data, exchange.bytes) == 0) &&
	       (!key.bytes || memcmp(n->bytes + exchange.bytes, key.data, key.bytes) == 0);
}

static struct names *entry_at(struct names_table *t, uint32_t hash, uint32_t probe)
{
	return &t->entries[(hash + probe) % NAMES_ENTRIES];
}

static struct names *entry_make(struct names_table *t, uint32_t hash, struct slice exchange, struct slice key)
{
	for (uint32_t probe = 0; probe < PROBES; probe++) {
		struct names *n = entry_at(t, hash, probe);
		if (in_use(n))
			continue;
		__atomic_store_n(&n->used, true, __ATOMIC_RELAXED);
		n->hash = hash;
		n->id = ++t->made << 8 | t->number;
		n->owner = t->number;
		n->exchange_bytes = (uint8_t)exchange.bytes;
		n->key_bytes = (uint8_t)key.bytes;
		if (exchange.bytes)
			memcpy(n->bytes, exchange.data, exchange.bytes);
		if (key.bytes)
			memcpy(n->bytes + exchange.bytes, key.data, key.bytes);
		return n;
	}
	__atomic_store_n(&t->full, t->full + 1, __ATOMIC_RELAXED);
	return NULL;
}

struct names *names_take(struct names_table *t, struct slice exchange, struct slice key)
{
	uint32_t hash = mix(mix(0, exchange), key);
	struct names *n = NULL;

	if (exchange.bytes + key.bytes == 0)
		return NULL; /* nothing to save */
	for (uint32_t probe = 0; probe < PROBES && !n; probe++) {
		if (same(entry_at(t, hash, probe), hash, exchange, key))
			n = entry_at(t, hash, probe);
	}
	if (!n && t->recent[hash % NAMES_RECENT] == hash)
		n = entry_make(t, hash, exchange, key);
	t->recent[hash % NAMES_RECENT] = hash;
	if (n)
		handed_add(n, 1);
	return n;
}

void names_take_again(struct names_table *t, struct names *n)
{
	MUST(n->owner == t->number);
	handed_add(n, 1);
}

static void release(struct names_release *r)
{
	if (r->count > 0)
		__atomic_add_fetch(&r->names->released, r->count, __ATOMIC_RELEASE);
	r->count = 0;
}

void names_give(struct names_table *t, struct names *n)
{
	if (n->owner == t->number) {
		handed_add(n, -1u);
		return;
	}
	struct names_release *r = &t->releases[(uintptr_t)n / sizeof(*n) % NAMES_RELEASED];
	if (r->names != n || r->count == RELEASE_BUNCH) {
		release(r);
		r->names = n;
	}
	r->count++;
}

void names_flush(struct names_table *t)
{
	for (uint32_t i = 0; i < NAMES_RELEASED; i++)
		release(&t->releases[i]);
}

struct pool_stats names_stats(const struct names_table *t)
{
	struct pool_stats s = {
		.capacity = NAMES_ENTRIES, .exhausted = __atomic_load_n(&t->full, __ATOMIC_RELAXED)};

	for (uint32_t i = 0; i < NAMES_ENTRIES; i++) {
		s.used_max += __atomic_load_n(&t->entries[i].used, __ATOMIC_RELAXED);
		s.used += in_use(&t->entries[i]);
	}
	return s;
}
