/* SPDX-License-Identifier: Apache-2.0 */
/* The stack of magazines is Treiber's: a word of index and tag, the tag moving with every change, so that a
 * head that went and came back is not taken for the same. Objects that were never used come after those on
 * the stack, in address order. */
#include "runtime/depot.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)	  ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { LINE_BYTES = 64, POISON_BYTE = 0xdb, POISON_BYTES_MAX = 1024 };
enum state { STATE_NEW, STATE_FREE, STATE_LIVE, STATE_CHAINED };

#define OBJECT_BYTES_MAX (UINT32_C(1) << 20)
#define CAPACITY_MAX	 (UINT32_C(1) << 31)
#define NONE		 UINT32_MAX

/* `next` links a magazine's objects, and the last one of a chain's magazine to the next magazine. The rest
 * but for the state is of use in the head of a magazine that lies in the depot or in a chain. */
struct slot {
	uint32_t next;
	uint32_t next_magazine; /* read by cores that lose the race for it, hence atomic */
	uint32_t last;
	uint16_t count;
	uint8_t state; /* enum state */
};

struct depot {
	struct slot *slots;
	uint8_t *objects;
	unsigned shift; /* objects are 1 << shift bytes */
	uint32_t capacity, magazine;
	const char *name;
	struct pool_memory memory;
	size_t region_bytes;
	/* What all cores write, once a magazine. */
	__attribute__((aligned(LINE_BYTES)))
	uint64_t stack; /* tag << 32 | index of the top magazine's head */
	uint32_t fresh; /* objects from here on were never handed out */
	uint32_t taken, taken_max;
};

static void *default_alloc(void *ctx, size_t bytes, size_t align)
{
	return aligned_alloc(align, bytes);
}

static void default_release(void *ctx, void *p, size_t bytes)
{
	free(p);
}

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

struct depot *depot_create(const char *name, uint32_t object_bytes, uint32_t capacity, uint32_t magazine,
	const struct pool_memory *memory)
{
	struct pool_memory from = {default_alloc, default_release, NULL};

	MUST(object_bytes >= LINE_BYTES && object_bytes <= OBJECT_BYTES_MAX);
	MUST((object_bytes & (object_bytes - 1)) == 0);
	MUST(capacity >= 1 && capacity <= CAPACITY_MAX);
	MUST(magazine >= 1 && magazine <= DEPOT_MAGAZINE_MAX);
	if (memory && memory->alloc)
		from = *memory;

	size_t slots_at = round_up(sizeof(struct depot), LINE_BYTES);
	size_t align = object_bytes < 4096 ? object_bytes : 4096;
	size_t objects_at = round_up(slots_at + (size_t)capacity * sizeof(struct slot), align);
	size_t bytes = objects_at + (size_t)capacity * object_bytes;
	uint8_t *region = from.alloc(from.ctx, bytes, align);
	if (!region)
		return NULL;
	struct depot *d = (struct depot *)region;
	*d = (struct depot){
		.slots = (struct slot *)(region + slots_at),
		.objects = region + objects_at,
		.shift = (unsigned)__builtin_ctz(object_bytes),
		.capacity = capacity,
		.magazine = magazine,
		.name = name,
		.memory = from,
		.region_bytes = bytes,
		.stack = NONE,
	};
	ASAN_POISON_MEMORY_REGION(d->objects, (size_t)capacity << d->shift);
	return d;
}

void depot_destroy(struct depot *d)
{
	struct pool_memory memory = d->memory;

	MUST(d->taken == 0 && "everything has come back");
	ASAN_UNPOISON_MEMORY_REGION(d->objects, (size_t)d->capacity << d->shift);
	memory.release(memory.ctx, d, d->region_bytes);
}

static void *object_at(const struct depot *d, uint32_t i)
{
	return d->objects + ((size_t)i << d->shift);
}

static uint32_t index_of(const struct depot *d, const void *object)
{
	size_t at = (size_t)((uintptr_t)object - (uintptr_t)d->objects);

	MUST((at >> d->shift) < d->capacity && (at & ((UINT64_C(1) << d->shift) - 1)) == 0);
	return (uint32_t)(at >> d->shift);
}

/* Objects in use and free */

static void come_alive(struct depot *d, uint32_t i, enum state as)
{
	struct slot *s = &d->slots[i];
	const uint8_t *object = object_at(d, i);

	ASAN_UNPOISON_MEMORY_REGION(object, UINT64_C(1) << d->shift);
#ifdef GODWIT_CHECKS
	for (uint32_t k = 0; s->state == STATE_FREE && k < POISON_BYTES_MAX && k < 1u << d->shift; k++)
		CHECK(object[k] == POISON_BYTE && "nobody wrote to a free object");
#else
	(void)object;
#endif
	s->state = as;
}

static void die(struct depot *d, uint32_t i, enum state was)
{
	struct slot *s = &d->slots[i];

	MUST(s->state == was && "an object in use");
	s->state = STATE_FREE;
#ifdef GODWIT_CHECKS
	size_t bytes = UINT64_C(1) << d->shift;
	memset(object_at(d, i), POISON_BYTE, bytes < POISON_BYTES_MAX ? bytes : POISON_BYTES_MAX);
	ASAN_POISON_MEMORY_REGION(object_at(d, i), bytes);
#endif
}

/* A chain's objects are looked at one by one in builds with checks alone; elsewhere they stay "free". */
static void chain_mark(struct depot *d, const struct depot_chain *chain, bool in_use)
{
#ifdef GODWIT_CHECKS
	uint32_t i = chain->head;

	for (uint32_t n = 0; n < chain->count; n++, i = d->slots[i].next) {
		if (in_use)
			come_alive(d, i, STATE_CHAINED);
		else
			die(d, i, STATE_CHAINED);
	}
#endif
}

/* Magazines between a cache and the depot */

static void count_taken(struct depot *d, uint32_t n)
{
	uint32_t taken = __atomic_add_fetch(&d->taken, n, __ATOMIC_RELAXED);
	uint32_t most = __atomic_load_n(&d->taken_max, __ATOMIC_RELAXED);

	while (taken > most && !__atomic_compare_exchange_n(
				       &d->taken_max, &most, taken, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static bool stack_pop(struct depot *d, struct depot_magazine *out)
{
	uint64_t top = __atomic_load_n(&d->stack, __ATOMIC_ACQUIRE), next;
	uint32_t head;

	do {
		head = (uint32_t)top;
		if (head == NONE)
			return false;
		next = __atomic_load_n(&d->slots[head].next_magazine, __ATOMIC_RELAXED);
		next |= ((top >> 32) + 1) << 32;
	} while (!__atomic_compare_exchange_n(
		&d->stack, &top, next, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	*out = (struct depot_magazine){head, d->slots[head].last, d->slots[head].count};
	return true;
}

static void stack_push(struct depot *d, const struct depot_magazine *m)
{
	struct slot *s = &d->slots[m->head];
	uint64_t top = __atomic_load_n(&d->stack, __ATOMIC_RELAXED), next;

	s->last = m->last;
	s->count = (uint16_t)m->count;
	/* first, so that it never says more than there are */
	__atomic_sub_fetch(&d->taken, m->count, __ATOMIC_RELAXED);
	do {
		__atomic_store_n(&s->next_magazine, (uint32_t)top, __ATOMIC_RELAXED);
		next = m->head | ((top >> 32) + 1) << 32;
	} while (!__atomic_compare_exchange_n(
		&d->stack, &top, next, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* Objects that nobody has had yet. */
static bool fresh_take(struct depot *d, struct depot_magazine *out)
{
	uint32_t from = __atomic_load_n(&d->fresh, __ATOMIC_RELAXED), n;

	do {
		n = d->capacity - from < d->magazine ? d->capacity - from : d->magazine;
		if (n == 0)
			return false;
	} while (!__atomic_compare_exchange_n(
		&d->fresh, &from, from + n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	for (uint32_t i = from; i < from + n; i++) {
		d->slots[i].next = i + 1;
		d->slots[i].state = STATE_NEW;
	}
	*out = (struct depot_magazine){from, from + n - 1, n};
	return true;
}

static bool magazine_take(struct depot *d, struct depot_magazine *out)
{
	if (!stack_pop(d, out) && !fresh_take(d, out))
		return false;
	count_taken(d, out->count);
	return true;
}

/* Caches. Counts are stored so that another core may read them. */

static void count_set(struct depot_magazine *m, uint32_t n)
{
	__atomic_store_n(&m->count, n, __ATOMIC_RELAXED);
}

static void magazine_set(struct depot_magazine *to, const struct depot_magazine *from)
{
	to->head = from->head;
	to->last = from->last;
	count_set(to, from->count);
}

static bool refill(struct depot_cache *c)
{
	struct depot_magazine m;

	if (c->spare.count > 0) {
		magazine_set(&c->loaded, &c->spare);
		count_set(&c->spare, 0);
		return true;
	}
	if (!magazine_take(c->depot, &m))
		return false;
	magazine_set(&c->loaded, &m);
	return true;
}

static uint32_t take_index(struct depot_cache *c)
{
	struct depot_magazine *m = &c->loaded;

	if (m->count == 0 && !refill(c))
		return NONE;
	uint32_t i = m->head;
	m->head = c->depot->slots[i].next;
	count_set(m, m->count - 1);
	return i;
}

static void magazine_give(struct depot_cache *c, const struct depot_magazine *m)
{
	if (m->count == c->depot->magazine && c->spare.count == 0)
		magazine_set(&c->spare, m);
	else
		stack_push(c->depot, m);
}

static void magazine_put(struct depot *d, struct depot_magazine *m, uint32_t i)
{
	if (m->count == 0)
		m->last = i;
	d->slots[i].next = m->head;
	m->head = i;
	count_set(m, m->count + 1);
}

static void give_index(struct depot_cache *c, uint32_t i)
{
	if (c->loaded.count == c->depot->magazine) {
		if (c->spare.count > 0)
			stack_push(c->depot, &c->spare);
		magazine_set(&c->spare, &c->loaded);
		count_set(&c->loaded, 0);
	}
	magazine_put(c->depot, &c->loaded, i);
}

void depot_cache_init(struct depot_cache *c, struct depot *d)
{
	*c = (struct depot_cache){.depot = d};
}

void depot_cache_flush(struct depot_cache *c)
{
	if (c->loaded.count > 0)
		stack_push(c->depot, &c->loaded);
	if (c->spare.count > 0)
		stack_push(c->depot, &c->spare);
	count_set(&c->loaded, 0);
	count_set(&c->spare, 0);
}

uint32_t depot_cache_stock(const struct depot_cache *c)
{
	return __atomic_load_n(&c->loaded.count, __ATOMIC_RELAXED) +
	       __atomic_load_n(&c->spare.count, __ATOMIC_RELAXED);
}

static void count_exhausted(struct depot_cache *c)
{
	__atomic_store_n(&c->exhausted, c->exhausted + 1, __ATOMIC_RELAXED);
}

uint64_t depot_cache_exhausted(const struct depot_cache *c)
{
	return __atomic_load_n(&c->exhausted, __ATOMIC_RELAXED);
}

void *depot_take(struct depot_cache *c)
{
	uint32_t i = take_index(c);

	if (i == NONE) {
		count_exhausted(c);
		return NULL;
	}
	come_alive(c->depot, i, STATE_LIVE);
	return object_at(c->depot, i);
}

void depot_give(struct depot_cache *c, void *object)
{
	uint32_t i = index_of(c->depot, object);

	die(c->depot, i, STATE_LIVE);
	give_index(c, i);
}

/* Chains */

static void chain_append(struct depot *d, struct depot_chain *chain, struct depot_magazine *end,
	const struct depot_magazine *m)
{
	struct slot *s = &d->slots[m->head];

	s->last = m->last;
	s->count = (uint16_t)m->count;
	if (chain->count == 0) {
		chain->head = m->head;
	} else {
		d->slots[end->last].next = m->head;
		__atomic_store_n(&d->slots[end->head].next_magazine, m->head, __ATOMIC_RELAXED);
	}
	*end = *m;
	chain->count += m->count;
}

/* Up to n objects one by one, as a magazine. */
static bool magazine_of_singles(struct depot_cache *c, uint32_t n, struct depot_magazine *out)
{
	*out = (struct depot_magazine){0};
	while (out->count < n) {
		uint32_t i = take_index(c);
		if (i == NONE)
			break;
		magazine_put(c->depot, out, i);
	}
	return out->count > 0;
}

static void chain_back(struct depot_cache *c, const struct depot_chain *chain)
{
	struct depot *d = c->depot;
	uint32_t head = chain->head, left = chain->count;

	while (left > 0) {
		struct slot *s = &d->slots[head];
		struct depot_magazine m = {head, s->last, s->count};
		left -= m.count;
		head = __atomic_load_n(&s->next_magazine, __ATOMIC_RELAXED);
		if (m.count == d->magazine) {
			magazine_give(c, &m);
			continue;
		}
		for (uint32_t i = m.head, next; m.count > 0; m.count--, i = next) {
			next = d->slots[i].next;
			give_index(c, i);
		}
	}
}

bool depot_chain_take(struct depot_cache *c, uint32_t n, struct depot_chain *out)
{
	struct depot *d = c->depot;
	struct depot_magazine end = {0}, m;
	uint32_t most = d->magazine;

	MUST(n >= 1);
	*out = (struct depot_chain){0};
	if (n > (uint64_t)d->capacity - depot_taken(d) + depot_cache_stock(c)) {
		count_exhausted(c);
		return false;
	}
	while (out->count < n) {
		uint32_t left = n - out->count;
		if (!(left >= most && magazine_take(d, &m)) &&
			!magazine_of_singles(c, left < most ? left : most, &m)) {
			chain_back(c, out);
			count_exhausted(c);
			return false;
		}
		chain_append(d, out, &end, &m);
	}
	chain_mark(d, out, true);
	return true;
}

void depot_chain_give(struct depot_cache *c, const struct depot_chain *chain)
{
	chain_mark(c->depot, chain, false);
	chain_back(c, chain);
}

void *depot_chain_first(const struct depot *d, const struct depot_chain *chain)
{
	return object_at(d, chain->head);
}

void *depot_chain_after(const struct depot *d, const void *object)
{
	return object_at(d, d->slots[index_of(d, object)].next);
}

uint32_t depot_index(const struct depot *d, const void *object)
{
	return index_of(d, object);
}

void *depot_object(const struct depot *d, uint32_t index)
{
	return object_at(d, index);
}

uint32_t depot_taken(const struct depot *d)
{
	return __atomic_load_n(&d->taken, __ATOMIC_RELAXED);
}

uint32_t depot_taken_max(const struct depot *d)
{
	return __atomic_load_n(&d->taken_max, __ATOMIC_RELAXED);
}

uint64_t depot_memory_bytes(const struct depot *d)
{
	return d->region_bytes;
}

uint32_t depot_capacity(const struct depot *d)
{
	return d->capacity;
}
