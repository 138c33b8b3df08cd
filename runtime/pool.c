/* SPDX-License-Identifier: Apache-2.0 */
/* One region: the pool, a slot for each object, the objects. What the pool must know of an object stands in
 * its slot, never in the object, so that a free object may be poisoned whole and an old handle can be checked
 * without touching it. Objects are first handed out in address order (fresh counts them); one that has been
 * given back goes on top of the free list, where the cache still has it. */
#include "runtime/pool.h"

#include "runtime/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)	  ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { LINE_BYTES = 64, POISON_BYTE = 0xdb, POISON_BYTES_MAX = 1024 };

#define OBJECT_BYTES_MAX (UINT32_C(1) << 30)
#define CAPACITY_MAX	 (UINT32_C(1) << 31)
#define SLOT_NONE	 UINT32_MAX
#define SLOT_LIVE	 (UINT32_MAX - 1)

struct slot {
	uint32_t generation; /* of the live object, or of the next one */
	uint32_t next;	     /* free: the slot under this one, or SLOT_NONE; in use: SLOT_LIVE */
};

struct pool {
	struct slot *slots;
	uint8_t *objects;
	uint32_t free_top;
	uint32_t fresh; /* objects that have ever been handed out; slots from here on are not initialised */
	uint32_t object_bytes;
	unsigned stride_shift;	 /* object_bytes = odd << stride_shift */
	uint64_t stride_inverse; /* of the odd part, modulo 2^64 */
	struct pool_stats stats;
	const char *name;
	struct pool_memory memory;
	size_t region_bytes;
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

/* No object of 32 bytes or less straddles a cache line. */
static uint32_t stride_of(uint32_t bytes)
{
	if (bytes <= 8)
		return 8;
	if (bytes <= 16)
		return 16;
	return bytes <= 32 ? 32 : (uint32_t)round_up(bytes, LINE_BYTES);
}

/* Newton's iteration doubles the correct low bits; an odd number is its own inverse modulo 8. */
static uint64_t inverse_of_odd(uint64_t odd)
{
	uint64_t x = odd;

	for (int bits = 3; bits < 64; bits *= 2)
		x *= 2 - odd * x;
	return x;
}

/* Division without a divide: exact for addresses of objects, and a number beyond every capacity for any
 * other distance, because the quotients of the multiples are exactly the smallest results. */
static uint64_t index_of(const struct pool *p, const void *object)
{
	uint64_t distance = (uint64_t)((uintptr_t)object - (uintptr_t)p->objects);
	uint64_t q = distance * p->stride_inverse;

	return p->stride_shift ? q >> p->stride_shift | q << (64 - p->stride_shift) : q;
}

static uint32_t live_index_of(const struct pool *p, const void *object)
{
	uint64_t i = index_of(p, object);

	MUST(i < p->fresh && "an object of this pool");
	MUST(p->slots[i].next == SLOT_LIVE && "an object in use");
	return (uint32_t)i;
}

static void *object_at(const struct pool *p, uint32_t i)
{
	return p->objects + (size_t)i * p->object_bytes;
}

#ifdef GODWIT_CHECKS
static uint32_t poison_bytes(const struct pool *p)
{
	return p->object_bytes < POISON_BYTES_MAX ? p->object_bytes : POISON_BYTES_MAX;
}

static void poison(const struct pool *p, void *object)
{
	memset(object, POISON_BYTE, poison_bytes(p));
}

static bool poison_intact(const struct pool *p, const uint8_t *object)
{
	for (uint32_t i = 0; i < poison_bytes(p); i++)
		if (object[i] != POISON_BYTE)
			return false;
	return true;
}
#else
static void poison(const struct pool *p, void *object)
{
}

static inline bool poison_intact(const struct pool *p, const uint8_t *object)
{
	return true;
}
#endif

struct pool *pool_create(
	const char *name, uint32_t object_bytes, uint32_t capacity, const struct pool_memory *memory)
{
	struct pool_memory from = {default_alloc, default_release, NULL};

	MUST(object_bytes >= 1 && object_bytes <= OBJECT_BYTES_MAX);
	MUST(capacity >= 1 && capacity <= CAPACITY_MAX);
	if (memory && memory->alloc)
		from = *memory;

	uint32_t stride = stride_of(object_bytes);
	size_t slots_at = round_up(sizeof(struct pool), LINE_BYTES);
	size_t objects_at = slots_at + round_up((size_t)capacity * sizeof(struct slot), LINE_BYTES);
	size_t bytes = round_up(objects_at + (size_t)capacity * stride, LINE_BYTES);
	uint8_t *region = from.alloc(from.ctx, bytes, LINE_BYTES);
	if (!region)
		return NULL;

	struct pool *p = (struct pool *)region;
	unsigned shift = (unsigned)__builtin_ctz(stride);
	*p = (struct pool){
		.slots = (struct slot *)(region + slots_at),
		.objects = region + objects_at,
		.free_top = SLOT_NONE,
		.object_bytes = stride,
		.stride_shift = shift,
		.stride_inverse = inverse_of_odd(stride >> shift),
		.stats = {.capacity = capacity},
		.name = name,
		.memory = from,
		.region_bytes = bytes,
	};
	ASAN_POISON_MEMORY_REGION(p->objects, (size_t)capacity * stride);
	return p;
}

void pool_destroy(struct pool *p)
{
	struct pool_memory memory = p->memory;

	MUST(p->stats.used == 0);
	ASAN_UNPOISON_MEMORY_REGION(p->objects, (size_t)p->stats.capacity * p->object_bytes);
	memory.release(memory.ctx, p, p->region_bytes);
}

/* Read by other threads as a snapshot. */
static void used_set(struct pool *p, uint32_t used)
{
	__atomic_store_n(&p->stats.used, used, __ATOMIC_RELAXED);
	if (used > p->stats.used_max)
		__atomic_store_n(&p->stats.used_max, used, __ATOMIC_RELAXED);
}

void *pool_take(struct pool *p)
{
	uint32_t i = p->free_top;
	bool again = i != SLOT_NONE;

	if (again) {
		p->free_top = p->slots[i].next;
	} else if (p->fresh < p->stats.capacity) {
		i = p->fresh++;
		p->slots[i].generation = 0;
	} else {
		__atomic_store_n(&p->stats.exhausted, p->stats.exhausted + 1, __ATOMIC_RELAXED);
		return NULL;
	}
	p->slots[i].next = SLOT_LIVE;
	used_set(p, p->stats.used + 1);

	void *object = object_at(p, i);
	ASAN_UNPOISON_MEMORY_REGION(object, p->object_bytes);
	CHECK((!again || poison_intact(p, object)) && "nobody wrote to a free object");
	return object;
}

void pool_give(struct pool *p, void *object)
{
	uint32_t i = live_index_of(p, object);

	poison(p, object);
	ASAN_POISON_MEMORY_REGION(object, p->object_bytes);
	p->slots[i].generation++;
	p->slots[i].next = p->free_top;
	p->free_top = i;
	__atomic_store_n(&p->stats.used, p->stats.used - 1, __ATOMIC_RELAXED);
}

pool_handle pool_handle_of(const struct pool *p, const void *object)
{
	uint32_t i = live_index_of(p, object);

	return (uint64_t)p->slots[i].generation << 32 | (i + 1);
}

void *pool_resolve(const struct pool *p, pool_handle h)
{
	uint32_t i = (uint32_t)h - 1; /* no object wraps to an index beyond every capacity */

	if (i >= p->fresh || p->slots[i].next != SLOT_LIVE || p->slots[i].generation != h >> 32)
		return NULL;
	return object_at(p, i);
}

struct pool_stats pool_stats(const struct pool *p)
{
	return (struct pool_stats){
		.capacity = p->stats.capacity,
		.used = __atomic_load_n(&p->stats.used, __ATOMIC_RELAXED),
		.used_max = __atomic_load_n(&p->stats.used_max, __ATOMIC_RELAXED),
		.exhausted = __atomic_load_n(&p->stats.exhausted, __ATOMIC_RELAXED),
	};
}

const char *pool_name(const struct pool *p)
{
	return p->name;
}
