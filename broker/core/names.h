/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange's name and a routing key that many messages have in common, stored once. Each core has a table
 * of its own, which it alone changes; messages of any core point into it. What recurs is put there the second
 * time it is seen, so that names that never recur (reply queues, say) push nothing out. An entry is replaced
 * only when no message points to it. */
#ifndef BROKER_CORE_NAMES_H
#define BROKER_CORE_NAMES_H

#include "broker/core/value.h"
#include "runtime/pool.h"

enum { NAMES_ENTRIES = 2048, NAMES_RECENT = 4096, NAMES_RELEASED = 16, NAMES_BYTES_MAX = 255 + 255 };

struct names {
	uint32_t handed;   /* by the owner, less what the owner was given back */
	uint32_t released; /* by other cores; atomic */
	uint32_t hash;
	uint8_t owner; /* number of the table */
	bool used;
	uint8_t exchange_bytes, key_bytes;
	uint64_t id;			/* of these names at this place, never another's and never 0 */
	uint8_t bytes[NAMES_BYTES_MAX]; /* exchange, then key */
} __attribute__((aligned(64)));

struct names_table {
	uint8_t number;
	uint64_t made; /* entries, ever */
	struct names *entries;
	uint32_t recent[NAMES_RECENT]; /* hashes seen once */
	uint64_t full;		       /* names that found no entry free */
	/* What this core gave back to other tables' entries, told to them in bunches. */
	struct names_release {
		struct names *names;
		uint32_t count;
	} releases[NAMES_RELEASED];
};

/* The entries must outlive every message: they are the store's, not the core's. 0 or -1. */
int names_table_init(struct names_table *t, uint8_t number);
void names_table_fini(struct names_table *t); /* no message points to it any more (MUST) */

/* The entry of these names, one more message pointing to it; NULL where the message keeps its own copy. The
 * table's core. O(names). */
struct names *names_take(struct names_table *t, struct slice exchange, struct slice key);
/* One more message points to n, which some message of this core's does already. O(1). */
void names_take_again(struct names_table *t, struct names *n);
/* A message that pointed to n is gone; t: the table of the core that this runs on. O(1). */
void names_give(struct names_table *t, struct names *n);
/* Tells other tables what has been kept back. O(1). */
void names_flush(struct names_table *t);
/* Entries that messages point to, or did until other cores tell; used_max: that ever were used; exhausted:
 * messages that kept their own copy since all entries for their names were in use. A snapshot, any thread.
 * O(entries). */
struct pool_stats names_stats(const struct names_table *t);

#endif
