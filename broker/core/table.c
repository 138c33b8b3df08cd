/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/table.h"

#include "runtime/check.h"

enum { BUCKETS_MIN = 64, BUCKETS_MAX = 65536 };

struct table_key {
	const void *owner;
	struct slice name;
};

int table_create(struct table *t, const struct siphash_key *key, uint64_t expected)
{
	unsigned long buckets = BUCKETS_MIN;

	while (buckets < expected && buckets < BUCKETS_MAX)
		buckets *= 2;
	t->key = *key;
	t->ht = cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_qsbr_flavor, NULL);
	return t->ht ? 0 : -1;
}

void table_destroy(struct table *t)
{
	if (t->ht)
		MUST(cds_lfht_destroy(t->ht, NULL) == 0);
	t->ht = NULL;
}

uint64_t table_hash(const struct table *t, struct slice name)
{
	return siphash(&t->key, name.data, name.bytes);
}

/* The owner is an address: it tells tables' halves apart but is no secret, which the name's keyed hash is. */
static unsigned long with_owner(uint64_t hash, const void *owner)
{
	return (unsigned long)(hash ^ ((uintptr_t)owner >> 4) * UINT64_C(0x9e3779b97f4a7c15));
}

static int matches(struct cds_lfht_node *node, const void *key)
{
	const struct table_entry *e = caa_container_of(node, struct table_entry, node);
	const struct table_key *k = key;

	return e->owner == k->owner && slice_equal(e->name, k->name);
}

static struct table_entry *entry_of(struct cds_lfht_node *node)
{
	return node ? caa_container_of(node, struct table_entry, node) : NULL;
}

void table_add(struct table *t, struct table_entry *e, const void *owner, struct slice name)
{
	e->owner = owner;
	e->name = name;
	cds_lfht_node_init(&e->node);
	cds_lfht_add(t->ht, with_owner(table_hash(t, name), owner), &e->node);
}

void table_remove(struct table *t, struct table_entry *e)
{
	MUST(cds_lfht_del(t->ht, &e->node) == 0);
}

struct table_entry *table_find_hashed(
	const struct table *t, uint64_t hash, const void *owner, struct slice name)
{
	struct table_key k = {owner, name};
	struct cds_lfht_iter iter;

	cds_lfht_lookup(t->ht, with_owner(hash, owner), matches, &k, &iter);
	return entry_of(cds_lfht_iter_get_node(&iter));
}

struct table_entry *table_find(const struct table *t, const void *owner, struct slice name)
{
	return table_find_hashed(t, table_hash(t, name), owner, name);
}

struct table_entry *table_next(const struct table *t, struct table_entry *e)
{
	struct table_key k = {e->owner, e->name};
	/* liburcu's iterator is a node and its successor: no need to carry one about. */
	struct cds_lfht_iter iter = {.node = &e->node, .next = CMM_LOAD_SHARED(e->node.next)};

	cds_lfht_next_duplicate(t->ht, matches, &k, &iter);
	return entry_of(cds_lfht_iter_get_node(&iter));
}
