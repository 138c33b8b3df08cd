/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-size objects that any core may take and any core may give back. One depot holds them all; each core
 * has a cache, and between the two objects move in magazines (lists of up to `magazine` objects), one
 * compare-and-swap each: taking and giving are plain memory operations otherwise. What a cache may keep from
 * the others is two magazines, so that `magazine` bounds what is stranded.
 *
 * All that is known of an object stands in a slot beside the objects: a free one is touched by nobody, may be
 * poisoned whole, and a long chain goes back without a look at its memory. */
#ifndef RUNTIME_DEPOT_H
#define RUNTIME_DEPOT_H

#include "runtime/pool.h"

#include <stdbool.h>

struct depot;

enum { DEPOT_MAGAZINE_MAX = 64 };

/* A list of free objects, by index. */
struct depot_magazine {
	uint32_t head, last;
	uint32_t count; /* written by the owner alone, read by anyone */
};

/* One core's part; embed it. Its fields are the depot's. */
struct depot_cache {
	struct depot *depot;
	struct depot_magazine loaded, spare; /* spare: whole or empty */
	uint64_t exhausted;
};

/* Objects taken together, in an order of their own. Fields are the depot's. */
struct depot_chain {
	uint32_t head, count;
};

/* name is borrowed. object_bytes: a power of two, 64 to 2^20; capacity: 1 to 2^31; magazine: 1 to
 * DEPOT_MAGAZINE_MAX. NULL where the memory cannot be had. Objects are not touched before their first use. */
struct depot *depot_create(const char *name, uint32_t object_bytes, uint32_t capacity, uint32_t magazine,
	const struct pool_memory *memory);
/* Everything MUST have come back, and every cache have been flushed. */
void depot_destroy(struct depot *d);

void depot_cache_init(struct depot_cache *c, struct depot *d);
/* Gives all that the cache holds to the depot: before the core goes, or sleeps for long. O(1). */
void depot_cache_flush(struct depot_cache *c);
/* Free objects in it. Any core; a snapshot. */
uint32_t depot_cache_stock(const struct depot_cache *c);
/* Takes that found nothing. Any core; a snapshot. */
uint64_t depot_cache_exhausted(const struct depot_cache *c);

/* An object with unspecified contents, or NULL (counted in exhausted). O(1). */
void *depot_take(struct depot_cache *c);
/* From depot_take of any cache of the same depot. MUST be in use: a double give is found. O(1). */
void depot_give(struct depot_cache *c, void *object);

/* n objects (1 or more) or none and false. O(n / magazine + magazine): whole magazines are not looked into.
 */
bool depot_chain_take(struct depot_cache *c, uint32_t n, struct depot_chain *out);
/* Gives a whole chain back; whoever does it sees all that was written by others that held it only where the
 * caller has synchronised with them. O(n / magazine + magazine). */
void depot_chain_give(struct depot_cache *c, const struct depot_chain *chain);
void *depot_chain_first(const struct depot *d, const struct depot_chain *chain);
/* The one behind an object of a chain, which MUST not be the chain's last. */
void *depot_chain_after(const struct depot *d, const void *object);

/* An object's number, 0 to capacity - 1 (MUST be an object's address), and back. */
uint32_t depot_index(const struct depot *d, const void *object);
void *depot_object(const struct depot *d, uint32_t index);

/* Objects that the depot has handed to caches, in use or not; one shared read. Any core. */
uint32_t depot_taken(const struct depot *d);
uint32_t depot_taken_max(const struct depot *d); /* the most there ever were */
uint32_t depot_capacity(const struct depot *d);
uint64_t depot_memory_bytes(const struct depot *d); /* objects and slots */

#endif
