/* SPDX-License-Identifier: Apache-2.0 */
/* Things found by (owner, bytes): queues and exchanges by virtual host and name, bindings by exchange and
 * routing key, steps of topic patterns by trie node and word. One liburcu hash table each, sized once from
 * the limits: nothing is resized, so no thread works behind the tables. Readers are QSBR readers; writers
 * hold the broker's writer mutex. What is removed is released through reclaim_defer. */
#ifndef BROKER_CORE_TABLE_H
#define BROKER_CORE_TABLE_H

#include "broker/core/value.h"
#include "runtime/siphash.h"

#include <urcu/urcu-qsbr.h>

#include <urcu/rculfhash.h>

struct table {
	struct cds_lfht *ht;
	struct siphash_key key;
};

struct table_entry { /* lies in the thing */
	struct cds_lfht_node node;
	const void *owner;
	struct slice name; /* borrowed for the entry's life */
};

/* Buckets for about `expected` entries, at most 65536. 0, or -1 without memory. */
int table_create(struct table *t, const struct siphash_key *key, uint64_t expected);
void table_destroy(struct table *t); /* MUST be empty */

/* Several entries may have the same owner and name. */
void table_add(struct table *t, struct table_entry *e, const void *owner, struct slice name);
void table_remove(struct table *t, struct table_entry *e);

/* The first entry of that owner and name, or NULL; then the further ones. O(1) each on average. The hash of a
 * name that is looked up for many owners is computed once. */
uint64_t table_hash(const struct table *t, struct slice name);
struct table_entry *table_find_hashed(
	const struct table *t, uint64_t hash, const void *owner, struct slice name);
struct table_entry *table_find(const struct table *t, const void *owner, struct slice name);
struct table_entry *table_next(const struct table *t, struct table_entry *e);

#endif
