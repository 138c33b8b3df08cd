/* SPDX-License-Identifier: Apache-2.0 */
/* Things found by (owner, bytes): queues and exchanges by virtual host and name, bindings by what they join,
 * steps of topic patterns by trie node and word. Readers are QSBR readers and write nothing; writers hold the
 * broker's writer mutex. What is removed is released through reclaim_defer.
 *
 * A table follows its number of entries: beyond one a bucket it is made four times as large, below one in
 * sixteen smaller. It moves in small steps, a few entries with each change, into a second array: an entry has
 * a link for either, so that readers of the old array go on undisturbed until they are told of the new one.
 * The next move waits until the last readers have left the array before. No change costs more than a few
 * entries, and nothing works behind the tables. */
#ifndef BROKER_CORE_TABLE_H
#define BROKER_CORE_TABLE_H

#include "broker/core/value.h"
#include "runtime/siphash.h"

struct table_array;

struct table {
	struct table_array *current; /* what readers see */
	struct table_array *next;    /* being filled; NULL: no move */
	uint32_t moved;		     /* buckets of current whose entries are in next */
	uint32_t count, buckets_min;
	struct siphash_key key;
};

struct table_entry { /* lies in the thing */
	struct table_entry *link[2];
	uint64_t hash;
	const void *owner;
	struct slice name; /* borrowed for the entry's life */
};

/* Room at first for `expected` entries, at most 4096; any number may come. 0, or -1 without memory. */
int table_create(struct table *t, const struct siphash_key *key, uint64_t expected);
void table_destroy(struct table *t); /* MUST be empty; readers may still be inside */

/* Writer. Several entries may have the same owner and name. O(1), no failure: without memory for a larger
 * array the table stays as it is. */
void table_add(struct table *t, struct table_entry *e, const void *owner, struct slice name);
void table_remove(struct table *t, struct table_entry *e); /* MUST be in it */

/* Any entry of that owner and name, or NULL. O(1) on average. The hash of a name that is looked up for many
 * owners is computed once. */
uint64_t table_hash(const struct table *t, struct slice name);
struct table_entry *table_find_hashed(
	const struct table *t, uint64_t hash, const void *owner, struct slice name);
struct table_entry *table_find(const struct table *t, const void *owner, struct slice name);

/* Before table_find_hashed of several. */
void table_prefetch_hashed(const struct table *t, uint64_t hash, const void *owner);

/* Writer: the same with a hash of the caller's for the name, which should differ where more than the name
 * does and stays the entry's; then the further entries of that hash, owner and name. */
void table_add_hashed(
	struct table *t, struct table_entry *e, uint64_t hash, const void *owner, struct slice name);
struct table_entry *table_next(const struct table *t, const struct table_entry *e);

uint32_t table_buckets(const struct table *t); /* any thread */

#endif
