/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/message.h"

#include "broker/core/entries.h"
#include "runtime/ring.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_DATA_BYTES = 2024, BLOCK_DATA_BYTES = MESSAGE_BLOCK_BYTES };

static struct message_cache *cache; /* of the store that a test made last */

static struct message_store *store_of(uint64_t memory_bytes, uint32_t messages_max)
{
	struct message_store *s = message_store_create(&(struct message_store_config){
		.memory_bytes = memory_bytes, .messages_max = messages_max, .watermark_percent = 80});
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	cache = message_cache_create(s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cache);
	return s;
}

static bool store_empty(const struct message_store *s)
{
	struct message_store_stats st = message_store_stats(s);
	return st.cells.used == 0 && st.blocks.used == 0;
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 131 + i / 251);
}

static void fill(uint8_t *p, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		p[i] = pattern(i);
}

static struct message_envelope envelope(uint32_t exchange, uint32_t key, uint32_t properties, uint64_t body)
{
	static uint8_t bytes[70000];
	fill(bytes, sizeof(bytes));
	return (struct message_envelope){.protocol = 1,
		.persistent = true,
		.priority = 9,
		.exchange = {bytes, exchange},
		.routing_key = {bytes + 1, key},
		.properties = {bytes + 2, properties},
		.body_bytes = body,
		.received_us = 77};
}

static void append_in_pieces(struct message *m, const uint8_t *body, uint64_t n)
{
	for (uint64_t at = 0; at < n;) {
		uint32_t piece = 1 + unit_random_below(9000);
		if (piece > n - at)
			piece = (uint32_t)(n - at);
		CU_ASSERT_EQUAL(message_missing_bytes(m), n - at);
		message_append(m, body + at, piece);
		at += piece;
	}
	CU_ASSERT_EQUAL(message_missing_bytes(m), 0);
}

static void body_reads_back(const struct message *m, const uint8_t *body, uint64_t n, uint32_t step)
{
	struct message_cursor at = {0};
	uint64_t have = 0;
	bool same = true;

	for (;;) {
		struct slice piece = message_body_next(m, &at, step);
		if (piece.bytes == 0)
			break;
		same &= piece.bytes <= step && have + piece.bytes <= n &&
			memcmp(piece.data, body + have, piece.bytes) == 0;
		have += piece.bytes;
	}
	CU_ASSERT_TRUE(same);
	CU_ASSERT_EQUAL(have, n);
}

/* NULL, or whose keys a message gets; only the message has it afterwards. */
static struct message *keys_by_chance(void)
{
	struct message_envelope e = envelope(0, 0, unit_random_below(3000), 0);

	return unit_random_below(2) ? message_new(cache, &e) : NULL;
}

static struct message *new_with_keys_take(struct message_envelope *e)
{
	struct message *m = message_new(cache, e);

	if (e->keys)
		message_unref(cache, e->keys);
	return m;
}

static void one_message(
	struct message_store *s, uint32_t exchange, uint32_t key, uint32_t properties, uint64_t n)
{
	struct message_envelope e = envelope(exchange, key, properties, n);
	e.expires = unit_random_below(2);
	e.lifetime_us = unit_random();
	e.keys = keys_by_chance();
	uint8_t *body = malloc(n + 1), *copy = malloc(properties + 1);
	fill(body, n);

	CU_ASSERT_TRUE(message_store_could_hold(cache, n, properties));
	struct message *m = new_with_keys_take(&e);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	append_in_pieces(m, body, n);
	CU_ASSERT_TRUE(slice_equal(message_exchange(m), e.exchange));
	CU_ASSERT_TRUE(slice_equal(message_routing_key(m), e.routing_key));
	CU_ASSERT_EQUAL(message_properties_bytes(m), properties);
	message_properties_copy(m, copy);
	CU_ASSERT_EQUAL(memcmp(copy, e.properties.data, properties), 0);
	CU_ASSERT_EQUAL(message_body_bytes(m), n);
	CU_ASSERT_EQUAL(message_protocol(m), 1);
	CU_ASSERT_EQUAL(message_priority(m), 9);
	CU_ASSERT_TRUE(message_persistent(m));
	CU_ASSERT_EQUAL(message_received_us(m), 77);
	CU_ASSERT_EQUAL(message_expires(m), e.expires);
	CU_ASSERT_EQUAL(message_lifetime_us(m), e.expires ? e.lifetime_us : UINT64_MAX);
	CU_ASSERT_PTR_EQUAL(message_keys(m), e.keys);
	message_received(m, 78);
	CU_ASSERT_EQUAL(message_received_us(m), 78);
	static const uint32_t steps[] = {UINT32_MAX, 4096, 1023, 7};
	for (unsigned i = 0; i < 4; i++)
		body_reads_back(m, body, n, steps[i]);
	message_unref(cache, m);
	CU_ASSERT_TRUE(store_empty(s));
	free(body);
	free(copy);
}

static void every_size_reads_back(void)
{
	struct message_store *s = store_of(4 << 20, 0);
	const uint64_t bodies[] = {0, 1, 16, CELL_DATA_BYTES - 1, CELL_DATA_BYTES, CELL_DATA_BYTES + 1,
		BLOCK_DATA_BYTES - 1, BLOCK_DATA_BYTES, BLOCK_DATA_BYTES + 1, 2 * BLOCK_DATA_BYTES, 100000,
		1 << 20};

	for (unsigned i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		one_message(s, 0, 0, 0, bodies[i]);
		one_message(s, 10, 20, 15, bodies[i]);
		one_message(s, 255, 255, 0, bodies[i]);
		one_message(s, 255, 255, 40, bodies[i]);
		one_message(s, 3, 3, 300, bodies[i]);
		one_message(s, 255, 255, 70000 - 2, bodies[i]);
		one_message(s, 0, 0, BLOCK_DATA_BYTES, bodies[i]);
	}
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void random_sizes_read_back(void)
{
	struct message_store *s = store_of(4 << 20, 0);

	for (unsigned i = 0; i < 300; i++)
		one_message(s, unit_random_below(256), unit_random_below(256),
			unit_random_below(unit_random_below(9000) + 1),
			unit_random_below(unit_random_below(20000) + 1));
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void a_message_up_to_2_kb_is_one_cell(void)
{
	struct message_store *s = store_of(1 << 20, 0);
	struct message_envelope e = envelope(10, 20, 14, CELL_DATA_BYTES - 46); /* two bytes of length */
	struct message *m = message_new(cache, &e);

	CU_ASSERT_EQUAL(message_store_stats(s).cells.used, 1);
	CU_ASSERT_EQUAL(message_store_stats(s).slabs, 1);
	CU_ASSERT_EQUAL(message_store_stats(s).blocks.used, 0);
	message_unref(cache, m);
	e = envelope(10, 21, 14, CELL_DATA_BYTES - 46);
	m = message_new(cache, &e);
	CU_ASSERT_EQUAL(message_store_stats(s).blocks.used, 1);
	message_unref(cache, m);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void references_are_counted(void)
{
	struct message_store *s = store_of(1 << 20, 0);
	struct message_envelope e = envelope(1, 1, 1, 1);
	struct message *m = message_new(cache, &e);

	message_ref(m);
	message_ref(m);
	message_unref(cache, m);
	message_unref(cache, m);
	CU_ASSERT_FALSE(store_empty(s));
	message_unref(cache, m);
	CU_ASSERT_TRUE(store_empty(s));
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void a_body_has_its_memory_when_it_is_announced(void)
{
	struct message_store *s = store_of(1 << 20, 0);
	uint32_t total = message_store_stats(s).blocks.capacity;
	struct message_envelope most = envelope(0, 0, 0, (uint64_t)(total - 2) * BLOCK_DATA_BYTES);
	struct message *m = message_new(cache, &most);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(message_store_stats(s).blocks.used, total - 2);
	CU_ASSERT_EQUAL(message_store_stats(s).slabs, 1);
	void *last = message_store_block_take(cache);
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT_PTR_NULL(message_store_block_take(cache));
	struct message_envelope one = envelope(0, 0, 0, CELL_DATA_BYTES + 1);
	CU_ASSERT_PTR_NULL(message_new(cache, &one));

	uint8_t page[5000] = {0};
	message_append(m, page, sizeof(page));
	CU_ASSERT_EQUAL(message_store_stats(s).blocks.used, total - 1);
	message_unref(cache, m); /* half received: what was taken for the rest comes back too */
	message_store_block_give(cache, last);
	CU_ASSERT_TRUE(store_empty(s));
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void exhaustion_is_an_answer(void)
{
	struct message_store *s = store_of(1 << 20, 0);
	struct message_envelope small = envelope(1, 1, 1, 1);
	static struct message *held[256 * 128 + 1];
	unsigned n = 0;

	while ((held[n] = message_new(cache, &small)))
		n++;
	CU_ASSERT_EQUAL(n, 256 * 128);
	message_unref(cache, held[3]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(held[3] = message_new(cache, &small));
	CU_ASSERT_PTR_NULL(message_new(cache, &small));
	while (n > 0)
		message_unref(cache, held[--n]);

	/* The same memory serves large ones. */
	struct message_envelope large = envelope(0, 0, 0, 254 << 12);
	held[0] = message_new(cache, &large);
	CU_ASSERT_PTR_NOT_NULL_FATAL(held[0]);
	message_unref(cache, held[0]);

	struct message_envelope huge = envelope(0, 0, 0, UINT64_MAX);
	CU_ASSERT_PTR_NULL(message_new(cache, &huge));
	CU_ASSERT_FALSE(message_store_could_hold(cache, UINT64_MAX, 0));
	CU_ASSERT_FALSE(message_store_could_hold(cache, 1 << 20, 0));
	CU_ASSERT_FALSE(message_store_could_hold(cache, (253 << 12) + 1, 0));
	CU_ASSERT_TRUE(message_store_could_hold(cache, 253 << 12, 0));
	CU_ASSERT_TRUE(store_empty(s));
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void watermark(struct message_envelope *e, unsigned high, unsigned low)
{
	static struct message *held[1000];
	unsigned n = 0;

	while (n < high) {
		held[n++] = message_new(cache, e);
		CU_ASSERT_FALSE(message_store_full(cache));
	}
	held[n++] = message_new(cache, e);
	CU_ASSERT_TRUE(message_store_full(cache));
	CU_ASSERT_TRUE(message_store_stats(message_cache_store(cache)).above_watermark);
	while (n > low + 1) {
		message_unref(cache, held[--n]);
		CU_ASSERT_TRUE(message_store_full(cache));
	}
	message_unref(cache, held[--n]);
	CU_ASSERT_FALSE(message_store_full(cache));
	while (n > 0)
		message_unref(cache, held[--n]);
}

static void the_watermark_has_hysteresis(void)
{
	struct message_store *s = store_of(800 << 10, 100); /* 200 blocks */
	struct message_envelope small = envelope(1, 1, 1, 1);

	watermark(&small, 80, 70);
	message_cache_destroy(cache);
	message_store_destroy(s);

	/* Of memory: a block and a cell each, 51 cells to a block. */
	s = store_of(800 << 10, 0);
	struct message_envelope block = envelope(0, 0, 0, 4096);
	watermark(&block, 156, 136);
	/* Blocks of a body that has not arrived count as used. */
	struct message_envelope large = envelope(0, 0, 0, 160 << 12);
	struct message *m = message_new(cache, &large);
	CU_ASSERT_TRUE(message_store_full(cache));
	message_unref(cache, m);
	CU_ASSERT_FALSE(message_store_full(cache));
	message_cache_destroy(cache);
	message_store_destroy(s);
}

/* Names that recur cost nothing; those that do not are the message's own; either can be read. */
static void common_names_are_stored_once(void)
{
	struct message_store *s = store_of(4 << 20, 0);
	static struct message *held[10000];
	char key[16];

	for (unsigned i = 0; i < 10000; i++) {
		struct message_envelope e = {.exchange = {(const uint8_t *)"exchange", 8}, .body_bytes = 24};
		snprintf(key, sizeof(key), "common key %03u", i % 100);
		e.routing_key = (struct slice){(const uint8_t *)key, 14};
		if (i % 10 == 9) {
			snprintf(key, sizeof(key), "own key %06u", i);
		}
		held[i] = message_new(cache, &e);
		CU_ASSERT_PTR_NOT_NULL_FATAL(held[i]);
	}
	struct pool_stats names = message_cache_names(cache);
	CU_ASSERT_TRUE(names.used >= 90 && names.used <= 100);
	CU_ASSERT_TRUE(names.used_max == names.used && names.exhausted == 0);
	/* 48 bytes; with names of their own 72 */
	CU_ASSERT_TRUE(message_store_stats(s).slabs <= (9000 / 85 + 1100 / 51) * 11 / 10);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "common key %03u", i % 100);
		if (i % 10 == 9)
			snprintf(key, sizeof(key), "own key %06u", i);
		CU_ASSERT_TRUE(slice_equals_text(message_exchange(held[i]), "exchange"));
		CU_ASSERT_TRUE(slice_equals_text(message_routing_key(held[i]), key));
		message_unref(cache, held[i]);
	}
	CU_ASSERT_EQUAL(message_cache_names(cache).used, 0);
	CU_ASSERT_EQUAL(message_cache_names(cache).used_max, names.used);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static uint64_t names_id_of(const struct message *m)
{
	struct message_head h;

	CU_ASSERT_TRUE_FATAL(message_head(m, &h));
	CU_ASSERT_PTR_NOT_NULL(h.body_or_null);
	return h.names_id;
}

static struct message *made(const struct message_envelope *e, const uint8_t *body)
{
	struct message *m = message_new(cache, e);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	message_append(m, body, (uint32_t)e->body_bytes);
	return m;
}

static void another_has_all_but_the_body(void)
{
	struct message_store *s = store_of(4 << 20, 0);
	static uint8_t body[CELL_DATA_BYTES + 1];
	struct message_envelope e = envelope(8, 14, 20, 30);

	fill(body, sizeof(body));
	/* Names are in the table from the second time on. */
	struct message *first = made(&e, body), *like = made(&e, body + 1);
	CU_ASSERT_EQUAL(names_id_of(first), 0);
	CU_ASSERT_PTR_NULL(message_new_like(cache, first, body, 30));
	static const uint32_t sizes[] = {1, 30, 1000, CELL_DATA_BYTES - 20};
	for (unsigned i = 0; i < 4; i++) {
		struct message *m = message_new_like(cache, like, body, sizes[i]);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		CU_ASSERT_TRUE(slice_equal(message_exchange(m), e.exchange));
		CU_ASSERT_TRUE(slice_equal(message_routing_key(m), e.routing_key));
		CU_ASSERT(message_properties_bytes(m) == 20 && message_received_us(m) == 77);
		CU_ASSERT(message_persistent(m) && message_priority(m) == 9 && message_protocol(m) == 1);
		CU_ASSERT(names_id_of(m) == names_id_of(like) && names_id_of(m) != 0);
		CU_ASSERT(message_body_bytes(m) == sizes[i] && message_missing_bytes(m) == 0);
		body_reads_back(m, body, sizes[i], 100);
		message_unref(cache, m);
	}
	CU_ASSERT_PTR_NULL(message_new_like(cache, like, body, CELL_DATA_BYTES - 19));
	body_reads_back(like, body + 1, 30, 100);
	e.routing_key.data++;
	struct message *other = made(&e, body), *others = made(&e, body);
	CU_ASSERT(names_id_of(others) != 0 && names_id_of(others) != names_id_of(like));
	e.body_bytes = sizeof(body);
	struct message *large = made(&e, body);
	CU_ASSERT_PTR_NULL(message_new_like(cache, large, body, 30));
	e.body_bytes = 30;
	e.keys = like;
	struct message *with_keys = made(&e, body);
	CU_ASSERT_PTR_NULL(message_new_like(cache, with_keys, body, 30));
	struct message *all[] = {first, like, other, others, large, with_keys};
	for (unsigned i = 0; i < 6; i++)
		message_unref(cache, all[i]);
	CU_ASSERT_TRUE(store_empty(s) && message_cache_names(cache).used == 0);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void read_envelope(const struct message *m, const struct message_envelope *e)
{
	uint8_t *copy = malloc(e->properties.bytes + 1);

	CU_ASSERT_TRUE(slice_equal(message_exchange(m), e->exchange));
	CU_ASSERT_TRUE(slice_equal(message_routing_key(m), e->routing_key));
	CU_ASSERT_EQUAL(message_properties_bytes(m), e->properties.bytes);
	message_properties_copy(m, copy);
	CU_ASSERT_EQUAL(memcmp(copy, e->properties.data, e->properties.bytes), 0);
	CU_ASSERT_EQUAL(message_lifetime_us(m), e->expires ? e->lifetime_us : UINT64_MAX);
	CU_ASSERT_PTR_EQUAL(message_keys(m), e->keys);
	free(copy);
}

/* Three messages of one body, which go in any order. */
static void one_body(struct message_store *s, uint32_t properties, uint32_t others, uint32_t n)
{
	struct message_envelope e = envelope(3, 4, properties, n), other = envelope(5, 6, others, n);
	uint8_t *body = malloc(n + 1);
	struct message *m[3];

	fill(body, n);
	other.expires = unit_random_below(2);
	other.lifetime_us = 12345;
	other.keys = keys_by_chance();
	m[0] = message_new(cache, &e);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m[0]);
	append_in_pieces(m[0], body, n);
	uint32_t blocks = message_store_stats(s).blocks.used;
	m[1] = message_new_with_body(cache, &other, m[0]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m[1]);
	m[2] = message_new_with_body(cache, &e, m[1]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m[2]);
	if (other.keys)
		message_unref(cache, other.keys);
	if (n > CELL_DATA_BYTES)
		CU_ASSERT_TRUE(message_store_stats(s).blocks.used <=
			       blocks + (properties + others) / BLOCK_DATA_BYTES + 2);
	for (unsigned left = 3; left > 0; left--) {
		for (unsigned i = 0; i < left; i++)
			body_reads_back(m[i], body, n, 1 + unit_random_below(9000));
		unsigned at = unit_random_below(left);
		message_unref(cache, m[at]);
		m[at] = m[left - 1];
	}
	CU_ASSERT_TRUE(store_empty(s));
	m[0] = message_new(cache, &e);
	append_in_pieces(m[0], body, n);
	other.keys = keys_by_chance();
	m[1] = message_new_with_body(cache, &other, m[0]);
	CU_ASSERT_EQUAL(message_missing_bytes(m[1]), 0);
	CU_ASSERT_EQUAL(message_body_bytes(m[1]), n);
	message_unref(cache, m[0]);
	read_envelope(m[1], &other);
	message_unref(cache, m[1]);
	if (other.keys)
		message_unref(cache, other.keys);
	CU_ASSERT_TRUE(store_empty(s));
	free(body);
}

static void messages_have_a_body_in_common(void)
{
	static const uint32_t properties[] = {0, 30, 1900, 2100, 9000},
			      bodies[] = {0, 1, 100, 1990, 2100, 50000};
	struct message_store *s = store_of(4 << 20, 0);

	for (unsigned p = 0; p < 5; p++)
		for (unsigned o = 0; o < 5; o++)
			for (unsigned b = 0; b < 6; b++)
				one_body(s, properties[p], properties[o], bodies[b]);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

/* A body of more than half of the memory, and no memory for so much as an envelope. */
static void a_body_in_common_takes_no_memory(void)
{
	struct message_store *s = store_of(1 << 20, 0);
	struct message_envelope e = envelope(3, 4, 50, 900 << 10);
	static uint8_t body[900 << 10];
	struct message *m = message_new(cache, &e);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	append_in_pieces(m, body, sizeof(body));
	struct message *other = message_new_with_body(cache, &e, m);
	CU_ASSERT_PTR_NOT_NULL(other);
	void *blocks[256];
	unsigned n = 0;
	while ((blocks[n] = message_store_block_take(cache)))
		n++;
	e.properties.bytes = 60000;
	CU_ASSERT_PTR_NULL(message_new_with_body(cache, &e, m));
	while (n > 0)
		message_store_block_give(cache, blocks[--n]);
	message_unref(cache, m);
	body_reads_back(other, body, sizeof(body), UINT32_MAX);
	message_unref(cache, other);
	CU_ASSERT_TRUE(store_empty(s));
	message_cache_destroy(cache);
	message_store_destroy(s);
}

/* A place in the table that others' names have had is known by another number. */
static void names_that_went_are_not_taken_for_others(void)
{
	struct message_store *s = store_of(4 << 20, 0);
	static uint64_t seen[20000];
	char key[16];

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "key %05u", i);
		struct message_envelope e = {.routing_key = {(const uint8_t *)key, 9}};
		struct message *once = message_new(cache, &e), *twice = message_new(cache, &e);
		CU_ASSERT_TRUE_FATAL(once && twice);
		seen[i] = names_id_of(twice);
		message_unref(cache, once);
		message_unref(cache, twice);
	}
	/* They are numbered as they are made, so none came twice. */
	for (unsigned i = 0; i < 20000; i++)
		CU_ASSERT_TRUE_FATAL(seen[i] != 0 && (i == 0 || seen[i] > seen[i - 1]));
	CU_ASSERT_TRUE(message_cache_names(cache).used_max < 20000);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

/* A queue of ten million small messages costs at most 64 bytes each beyond body and properties; here of as
 * many as fit 16 MiB, all memory counted. */
static void a_small_message_costs_little(void)
{
	static const uint32_t sizes[] = {0, 1, 16, 17, 24, 25, 64, 100, 200, 230};

	for (unsigned i = 0; i < 10; i++) {
		struct message_store *s = store_of(16 << 20, 0);
		struct message_envelope e = envelope(12, 24, 2, sizes[i]);
		struct entries entries;
		uint64_t n = 0;
		struct message *m;
		entries_init(&entries, cache);
		while (entries_room(&entries) && (m = message_new(cache, &e))) {
			entries_push(&entries, m);
			n++;
		}
		double each = (double)message_store_memory_bytes(s) / (double)n - 2 - sizes[i];
		CU_ASSERT_TRUE(each <= 64);
		printf("# %u bytes of body, 2 of properties: %.1f bytes more each, %llu messages\n", sizes[i],
			each, (unsigned long long)n);
		struct entries_grave grave;
		entries_grave_init(&grave);
		entries_clear(&entries, &grave);
		while (entries_grave_empty(&grave, cache, 1000))
			;
		CU_ASSERT_TRUE(store_empty(s));
		message_cache_destroy(cache);
		message_store_destroy(s);
	}
}

/* One core makes messages, another one releases them; some are held by both and released in either order. */
enum { CROSSING = 4000 };

static struct {
	struct ring *ring;
	struct message_cache *cache;
	uint64_t wrong;
} other_core;

static void *release_loop(void *arg)
{
	static uint8_t body[6000];

	fill(body, sizeof(body));
	for (unsigned n = 0; n < CROSSING;) {
		struct message *m;
		struct message_cursor at = {0};
		if (!ring_pop(other_core.ring, &m, 1)) {
			sched_yield();
			continue;
		}
		uint64_t have = 0;
		for (struct slice piece; (piece = message_body_next(m, &at, 4096)).bytes; have += piece.bytes)
			other_core.wrong += memcmp(piece.data, body + have, piece.bytes) != 0;
		other_core.wrong += have != message_body_bytes(m);
		message_unref(other_core.cache, m);
		n++;
	}
	return NULL;
}

static struct message *message_of(uint32_t n, struct message *keys_or_null)
{
	static uint8_t body[6000];
	struct message_envelope e = envelope(3, 3, 3, n);

	e.keys = keys_or_null;
	struct message *m = message_new(cache, &e);

	fill(body, sizeof(body));
	if (m)
		message_append(m, body, n);
	return m;
}

static void messages_cross_cores(void)
{
	struct message_store *s = message_store_create(&(struct message_store_config){
		.memory_bytes = 1 << 20, .watermark_percent = 80, .caches_max = 2});
	struct message *keys = NULL; /* of some of them, which outlive it or not */
	pthread_t thread;
	unsigned both = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	cache = message_cache_create(s);
	other_core.cache = message_cache_create(s);
	other_core.ring = ring_create(sizeof(struct message *), 64);
	CU_ASSERT_EQUAL(pthread_create(&thread, NULL, release_loop, NULL), 0);
	for (unsigned n = 0; n < CROSSING;) {
		if (unit_random_below(32) == 0) {
			if (keys)
				message_unref(cache, keys);
			keys = message_of(9, NULL);
		}
		struct message *m = message_of(
			unit_random_below(unit_random_below(6000) + 1), unit_random_below(2) ? keys : NULL);
		if (!m) {
			sched_yield();
			continue;
		}
		bool kept = unit_random_below(2);
		if (kept)
			message_ref(m);
		message_share(m);
		while (!ring_push(other_core.ring, &m, 1))
			sched_yield();
		if (kept)
			message_unref(cache, m);
		both += kept;
		n++;
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(other_core.wrong, 0);
	CU_ASSERT_TRUE(both > CROSSING / 4);
	if (keys)
		message_unref(cache, keys);
	CU_ASSERT_TRUE(store_empty(s));
	ring_destroy(other_core.ring);
	message_cache_destroy(other_core.cache);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

/* What another core's cache holds can be missing here: could_hold promises only what is there anyway. */
static void what_could_be_held_can_be(void)
{
	struct message_store *s = message_store_create(&(struct message_store_config){
		.memory_bytes = 4 << 20, .watermark_percent = 80, .caches_max = 4});
	struct message_cache *other[3];
	uint64_t most = 4 << 20;

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	cache = message_cache_create(s);
	for (unsigned i = 0; i < 3; i++) {
		void *held[1100];
		unsigned n = 0;
		other[i] = message_cache_create(s);
		while ((held[n] = message_store_block_take(other[i])))
			n++;
		while (n > 0)
			message_store_block_give(other[i], held[--n]);
		/* and a slab of several sizes, which it keeps */
		for (uint32_t bytes = 1; bytes < 2000; bytes *= 2) {
			struct message_envelope e = envelope(1, 1, 1, bytes);
			message_unref(other[i], message_new(other[i], &e));
		}
	}
	while (!message_store_could_hold(cache, most, 0))
		most -= 4096;
	CU_ASSERT_TRUE(most > 2 << 20);
	void *entry = message_store_block_take(cache);
	struct message_envelope e = envelope(255, 255, 0, most);
	struct message *m = message_new(cache, &e);
	CU_ASSERT_PTR_NOT_NULL(m);
	CU_ASSERT_PTR_NOT_NULL(entry);
	if (m)
		message_unref(cache, m);
	message_store_block_give(cache, entry);
	for (unsigned i = 0; i < 3; i++)
		message_cache_destroy(other[i]);
	message_cache_destroy(cache);
	message_store_destroy(s);
}

static void a_store_needs_room_for_a_block(void)
{
	CU_ASSERT_PTR_NULL(message_store_create(
		&(struct message_store_config){.memory_bytes = 4096, .watermark_percent = 80}));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"every_size_reads_back", every_size_reads_back},
			{"random_sizes_read_back", random_sizes_read_back},
			{"a_message_up_to_2_kb_is_one_cell", a_message_up_to_2_kb_is_one_cell},
			{"references_are_counted", references_are_counted},
			{"a_body_has_its_memory_when_it_is_announced",
				a_body_has_its_memory_when_it_is_announced},
			{"exhaustion_is_an_answer", exhaustion_is_an_answer},
			{"the_watermark_has_hysteresis", the_watermark_has_hysteresis},
			{"common_names_are_stored_once", common_names_are_stored_once},
			{"another_has_all_but_the_body", another_has_all_but_the_body},
			{"messages_have_a_body_in_common", messages_have_a_body_in_common},
			{"a_body_in_common_takes_no_memory", a_body_in_common_takes_no_memory},
			{"names_that_went_are_not_taken_for_others",
				names_that_went_are_not_taken_for_others},
			{"a_small_message_costs_little", a_small_message_costs_little},
			{"messages_cross_cores", messages_cross_cores},
			{"what_could_be_held_can_be", what_could_be_held_can_be},
			{"a_store_needs_room_for_a_block", a_store_needs_room_for_a_block}, {0}});
}
