/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/table.h"

#include "runtime/check.h"
#include "runtime/rcu.h"
#include "runtime/reclaim.h"

#include <stdlib.h>
#include <urcu/compiler.h>

enum {
	BUCKETS_MIN = 64,
	BUCKETS_FIRST_MAX = 4096,
	BUCKETS_MAX = 1 << 27,
	GROWTH = 4,
	SPARSE = 16, /* buckets an entry, from which on the table is too large */
	/* A change moves this many entries, or passes that many buckets: growth ends long before it is due
	 * again, and a sparse table shrinks before it is empty. */
	STEP_ENTRIES = 4,
	STEP_BUCKETS = 64,
};

struct table_array {
	struct reclaim_node reclaim;
	struct table_array *successor; /* once replaced */
	bool settled;		       /* nobody reads the array before this one any more; atomic */
	uint8_t side;		       /* which link of an entry */
	uint32_t mask;
	struct table_entry *at[];
};

static struct table_array *array_create(uint32_t buckets, uint8_t side)
{
	struct table_array *a = calloc(1, sizeof(*a) + buckets * sizeof(a->at[0]));

	if (!a)
		return NULL;
	a->mask = buckets - 1;
	a->side = side;
	return a;
}

static void array_release(struct reclaim_node *n)
{
	struct table_array *a = caa_container_of(n, struct table_array, reclaim);

	/* It is released later: reclaim keeps the order. */
	if (a->successor)
		__atomic_store_n(&a->successor->settled, true, __ATOMIC_RELEASE);
	free(a);
}

int table_create(struct table *t, const struct siphash_key *key, uint64_t expected)
{
	uint32_t buckets = BUCKETS_MIN;

	while (buckets < expected && buckets < BUCKETS_FIRST_MAX)
		buckets *= 2;
	*t = (struct table){.current = array_create(buckets, 0), .buckets_min = buckets, .key = *key};
	if (!t->current)
		return -1;
	t->current->settled = true;
	return 0;
}

void table_destroy(struct table *t)
{
	MUST(t->count == 0);
	free(t->next);
	if (t->current)
		reclaim_defer(&t->current->reclaim, array_release);
	t->current = t->next = NULL;
}

uint64_t table_hash(const struct table *t, struct slice name)
{
	return siphash(&t->key, name.data, name.bytes);
}

/* The owner is an address: it tells tables' halves apart but is no secret, which the name's keyed hash is. */
static uint64_t with_owner(uint64_t hash, const void *owner)
{
	return hash ^ ((uintptr_t)owner >> 4) * UINT64_C(0x9e3779b97f4a7c15);
}

static void array_add(struct table_array *a, struct table_entry *e)
{
	struct table_entry **head = &a->at[e->hash & a->mask];

	__atomic_store_n(&e->link[a->side], *head, __ATOMIC_RELAXED);
	RCU_PUBLISH(*head, e);
}

static void array_remove(struct table_array *a, struct table_entry *e)
{
	struct table_entry **at = &a->at[e->hash & a->mask];

	while (*at != e) {
		MUST(*at);
		at = &(*at)->link[a->side];
	}
	/* Whoever stands on e goes on from it. */
	RCU_PUBLISH(*at, e->link[a->side]);
}

static void move_begin(struct table *t, uint32_t buckets)
{
	struct table_array *now = t->current;

	/* The links of the other side may still be followed until then. */
	if (__atomic_load_n(&now->settled, __ATOMIC_ACQUIRE))
		t->next = array_create(buckets, !now->side);
	t->moved = 0;
}

static void move_end(struct table *t)
{
	struct table_array *before = t->current;

	before->successor = t->next;
	RCU_PUBLISH(t->current, t->next);
	t->next = NULL;
	reclaim_defer(&before->reclaim, array_release);
}

static void move_step(struct table *t)
{
	struct table_array *from = t->current;
	unsigned entries = 0, buckets = 0;

	while (t->moved <= from->mask && entries < STEP_ENTRIES && buckets++ < STEP_BUCKETS)
		for (struct table_entry *e = from->at[t->moved++]; e; e = e->link[from->side], entries++)
			array_add(t->next, e);
	if (t->moved > from->mask)
		move_end(t);
}

static void follow_count(struct table *t)
{
	uint32_t buckets = t->current->mask + 1;

	if (t->next) {
		move_step(t);
	} else if (t->count > buckets && buckets < BUCKETS_MAX) {
		move_begin(t, buckets * GROWTH);
	} else if (buckets > t->buckets_min && t->count < buckets / SPARSE) {
		move_begin(t, buckets / GROWTH > t->buckets_min ? buckets / GROWTH : t->buckets_min);
	}
}

static bool is_moved(const struct table *t, const struct table_entry *e)
{
	return t->next && (e->hash & t->current->mask) < t->moved;
}

static void entry_add(struct table *t, struct table_entry *e, const void *owner, struct slice name)
{
	e->owner = owner;
	e->name = name;
	array_add(t->current, e);
	if (is_moved(t, e))
		array_add(t->next, e);
	t->count++;
	follow_count(t);
}

void table_add_hashed(
	struct table *t, struct table_entry *e, uint64_t hash, const void *owner, struct slice name)
{
	e->hash = with_owner(hash, owner);
	entry_add(t, e, owner, name);
}

void table_add(struct table *t, struct table_entry *e, const void *owner, struct slice name)
{
	table_add_hashed(t, e, table_hash(t, name), owner, name);
}

void table_remove(struct table *t, struct table_entry *e)
{
	array_remove(t->current, e);
	if (is_moved(t, e))
		array_remove(t->next, e);
	t->count--;
	follow_count(t);
}

static struct table_entry *first_match(
	struct table_entry *e, uint8_t side, uint64_t hash, const void *owner, struct slice name)
{
	while (e && (e->hash != hash || e->owner != owner || !slice_equal(e->name, name)))
		e = RCU_LOAD(e->link[side]);
	return e;
}

struct table_entry *table_find_hashed(
	const struct table *t, uint64_t hash, const void *owner, struct slice name)
{
	const struct table_array *a = RCU_LOAD(t->current);

	hash = with_owner(hash, owner);
	return first_match(RCU_LOAD(a->at[hash & a->mask]), a->side, hash, owner, name);
}

void table_prefetch_hashed(const struct table *t, uint64_t hash, const void *owner)
{
	const struct table_array *a = RCU_LOAD(t->current);

	__builtin_prefetch(&a->at[with_owner(hash, owner) & a->mask]);
}

struct table_entry *table_find(const struct table *t, const void *owner, struct slice name)
{
	return table_find_hashed(t, table_hash(t, name), owner, name);
}

struct table_entry *table_next(const struct table *t, const struct table_entry *e)
{
	uint8_t side = t->current->side;

	return first_match(e->link[side], side, e->hash, e->owner, e->name);
}

uint32_t table_buckets(const struct table *t)
{
	return RCU_LOAD(t->current)->mask + 1;
}
