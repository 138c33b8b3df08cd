/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-size objects from memory that is taken once, at creation. One pool belongs to one core: no lock, no
 * atomic. Objects have an index and a generation, so that a handle that outlives its object is recognised. */
#ifndef RUNTIME_POOL_H
#define RUNTIME_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pool;

/* index plus one in the low half, generation in the high half; 0 is no object. */
typedef uint64_t pool_handle;

/* Memory comes from here; both run at creation and destruction only. A NULL alloc means aligned_alloc. */
struct pool_memory {
	void *(*alloc)(void *ctx, size_t bytes, size_t align);
	void (*release)(void *ctx, void *p, size_t bytes);
	void *ctx;
};

struct pool_stats {
	uint32_t capacity, used;
	uint32_t used_max;  /* high-water mark */
	uint64_t exhausted; /* how often pool_take found it empty */
};

/* name is borrowed for the pool's life. object_bytes: 1 to 1 GiB, rounded up to a cache line (64) when
 * above 32. capacity: 1 to 2^31. Returns NULL where the memory cannot be had. Pages are not touched before
 * their first use. */
struct pool *pool_create(
	const char *name, uint32_t object_bytes, uint32_t capacity, const struct pool_memory *memory);

/* The pool MUST be full again (every object given back). */
void pool_destroy(struct pool *p);

/* An object with unspecified contents, or NULL when the pool is exhausted (counted). O(1). */
void *pool_take(struct pool *p);

/* Gives an object back; its generation moves on. A double give is found in builds with checks, where the
 * memory is poisoned too (also for AddressSanitizer). O(1). */
void pool_give(struct pool *p, void *object);

/* The handle of a live object; the object of a handle, or NULL where that object has been given back. O(1).
 */
pool_handle pool_handle_of(const struct pool *p, const void *object);
void *pool_resolve(const struct pool *p, pool_handle h);

/* A snapshot, any thread. */
struct pool_stats pool_stats(const struct pool *p);
const char *pool_name(const struct pool *p);

#endif
