/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/recent_keys.h"

#include "runtime/check.h"

#include <stdlib.h>

enum {
	SEGMENT_FIRST = 64,
	EPOCHS = 1 << 30,
	/* Growth is over before it is due again, even where memory for it was missing for a while; joining
	 * keeps up with keys that only go. */
	SPLITS_A_KEY = 2,
	JOINS_A_KEY = 2,
	TIDY_A_KEY = 2,
	LINE_BYTES = 64,
};

#define NONE UINT32_MAX

static const struct recent_list list_empty = {NONE, NONE, 0};

struct recent_entry {
	struct recent_key key;
	uint64_t expires_us;
	uint32_t next;	       /* in its bucket, or in the free list */
	uint32_t older, newer; /* among the kept or the forgotten */
	uint32_t epoch : 30;   /* in which it was kept */
	enum { FREE, CLAIMED, KEPT } state : 2;
};
_Static_assert(sizeof(struct recent_entry) == 40, "what a key costs");

/* Segments: of entries and of bucket heads alike. */

static inline unsigned segment_of(uint32_t i)
{
	return 26 - (unsigned)__builtin_clz(i | (SEGMENT_FIRST / 2));
}

static inline uint32_t segment_start(unsigned s)
{
	return ((uint32_t)SEGMENT_FIRST / 2 << s) & ~((uint32_t)SEGMENT_FIRST - 1);
}

static inline uint32_t segment_length(unsigned s)
{
	return s == 0 ? SEGMENT_FIRST : segment_start(s);
}

static void *default_alloc(void *ctx, size_t bytes, size_t align)
{
	return aligned_alloc(align, bytes);
}

static void default_release(void *ctx, void *p, size_t bytes)
{
	free(p);
}

static void *segment_alloc(const struct recent_keys *k, unsigned s, size_t each)
{
	return k->memory.alloc(k->memory.ctx, segment_length(s) * each, LINE_BYTES);
}

static void segment_release(const struct recent_keys *k, void *p, unsigned s, size_t each)
{
	k->memory.release(k->memory.ctx, p, segment_length(s) * each);
}

/* Entries */

static inline struct recent_entry *entry_at(const struct recent_keys *k, uint32_t i)
{
	unsigned s = segment_of(i);
	return &k->segments[s].at[i - segment_start(s)];
}

static bool entries_grow(struct recent_keys *k)
{
	unsigned s = k->segments_count;

	if (s == RECENT_SEGMENTS)
		return false;
	struct recent_entry *at = segment_alloc(k, s, sizeof(*at));
	if (!at)
		return false;
	k->segments[s] = (struct recent_segment){.at = at, .free = NONE};
	k->segments_with_room |= UINT32_C(1) << s;
	k->segments_count++;
	return true;
}

/* NONE without memory. */
static uint32_t entry_take(struct recent_keys *k)
{
	if (k->segments_with_room == 0 && !entries_grow(k))
		return NONE;
	unsigned s = (unsigned)__builtin_ctz(k->segments_with_room);
	struct recent_segment *from = &k->segments[s];
	uint32_t i = from->free;

	if (i != NONE)
		from->free = entry_at(k, i)->next;
	else
		i = segment_start(s) + from->fresh++;
	if (++from->used == segment_length(s))
		k->segments_with_room &= ~(UINT32_C(1) << s);
	return i;
}

/* Half of a segment lies between giving back and asking again. One at a time: a large one has many pages. */
static void entries_shrink(struct recent_keys *k)
{
	unsigned s = k->segments_count - 1;

	if (k->segments_count < 2 || k->segments[s].used > 0 ||
		k->segments[s - 1].used > segment_length(s - 1) / 2)
		return;
	segment_release(k, k->segments[s].at, s, sizeof(struct recent_entry));
	k->segments_with_room &= ~(UINT32_C(1) << s);
	k->segments_count--;
}

static void entry_give(struct recent_keys *k, uint32_t i)
{
	unsigned s = segment_of(i);
	struct recent_entry *e = entry_at(k, i);

	e->state = FREE;
	e->next = k->segments[s].free;
	k->segments[s].free = i;
	k->segments[s].used--;
	k->segments_with_room |= UINT32_C(1) << s;
	entries_shrink(k);
}

/* Buckets. A head is written when its bucket comes to be: fresh segments need no clearing. */

static inline uint32_t *head_at(const struct recent_keys *k, uint32_t bucket)
{
	unsigned s = segment_of(bucket);
	return &k->heads[s][bucket - segment_start(s)];
}

/* The half that has the kind in it, so that equal bytes of several kinds part. */
static inline uint32_t bucket_of(const struct recent_keys *k, const struct recent_key *key)
{
	uint32_t bucket = (uint32_t)key->half[1] & k->bucket_mask;
	return bucket < k->buckets ? bucket : bucket & k->bucket_mask >> 1;
}

static bool buckets_begin(struct recent_keys *k)
{
	if (!(k->heads[0] = segment_alloc(k, 0, sizeof(uint32_t))))
		return false;
	for (uint32_t i = 0; i < SEGMENT_FIRST; i++)
		k->heads[0][i] = NONE;
	k->buckets = SEGMENT_FIRST;
	k->bucket_mask = SEGMENT_FIRST - 1;
	return true;
}

/* False without memory: the chains are longer then. */
static bool bucket_add(struct recent_keys *k)
{
	uint32_t bucket = k->buckets;
	unsigned s = segment_of(bucket);

	if (bucket == segment_start(s)) {
		if (!(k->heads[s] = segment_alloc(k, s, sizeof(uint32_t))))
			return false;
		k->bucket_mask = bucket * 2 - 1;
	}
	k->buckets++;
	*head_at(k, bucket) = NONE;
	return true;
}

static bool bucket_split(struct recent_keys *k)
{
	uint32_t bucket = k->buckets;

	if (!bucket_add(k))
		return false;
	uint32_t *to = head_at(k, bucket), *from = head_at(k, bucket & k->bucket_mask >> 1);
	while (*from != NONE) {
		uint32_t i = *from;
		struct recent_entry *e = entry_at(k, i);
		if (bucket_of(k, &e->key) != bucket) {
			from = &e->next;
			continue;
		}
		*from = e->next;
		e->next = *to;
		*to = i;
	}
	return true;
}

static void bucket_join(struct recent_keys *k)
{
	uint32_t bucket = k->buckets - 1;
	unsigned s = segment_of(bucket);
	uint32_t *at = head_at(k, bucket & k->bucket_mask >> 1);

	while (*at != NONE)
		at = &entry_at(k, *at)->next;
	*at = *head_at(k, bucket);
	k->buckets--;
	if (bucket == segment_start(s)) {
		segment_release(k, k->heads[s], s, sizeof(uint32_t));
		k->heads[s] = NULL;
		k->bucket_mask >>= 1;
	}
}

static uint32_t entries_count(const struct recent_keys *k)
{
	return k->claims + k->kept.count + k->forgotten.count;
}

static void buckets_grow(struct recent_keys *k)
{
	for (unsigned i = 0; i < SPLITS_A_KEY && entries_count(k) > k->buckets; i++)
		if (!bucket_split(k))
			return;
}

static void buckets_shrink(struct recent_keys *k)
{
	for (unsigned i = 0; i < JOINS_A_KEY; i++) {
		if (k->buckets == SEGMENT_FIRST || entries_count(k) >= k->buckets / 2)
			return;
		bucket_join(k);
	}
}

static void bucket_put(struct recent_keys *k, uint32_t i)
{
	struct recent_entry *e = entry_at(k, i);
	uint32_t *head = head_at(k, bucket_of(k, &e->key));

	e->next = *head;
	*head = i;
}

static void bucket_take_out(struct recent_keys *k, uint32_t i)
{
	const struct recent_entry *e = entry_at(k, i);
	uint32_t *at = head_at(k, bucket_of(k, &e->key));

	while (*at != i) {
		MUST(*at != NONE);
		at = &entry_at(k, *at)->next;
	}
	*at = e->next;
}

static uint32_t find(const struct recent_keys *k, const struct recent_key *key)
{
	if (k->buckets == 0)
		return NONE;
	uint32_t i = *head_at(k, bucket_of(k, key));
	while (i != NONE) {
		const struct recent_entry *e = entry_at(k, i);
		if (e->key.half[0] == key->half[0] && e->key.half[1] == key->half[1])
			return i;
		i = e->next;
	}
	return NONE;
}

/* Lists of kept entries */

static void list_append(struct recent_keys *k, struct recent_list *l, uint32_t i)
{
	struct recent_entry *e = entry_at(k, i);

	e->older = l->newest;
	e->newer = NONE;
	if (l->newest == NONE)
		l->oldest = i;
	else
		entry_at(k, l->newest)->newer = i;
	l->newest = i;
	l->count++;
}

static void list_take_out(struct recent_keys *k, struct recent_list *l, const struct recent_entry *e)
{
	if (e->older == NONE)
		l->oldest = e->newer;
	else
		entry_at(k, e->older)->newer = e->newer;
	if (e->newer == NONE)
		l->newest = e->older;
	else
		entry_at(k, e->newer)->older = e->older;
	l->count--;
}

/* from is not empty. */
static void list_append_all(struct recent_keys *k, struct recent_list *to, struct recent_list *from)
{
	if (to->newest == NONE) {
		*to = *from;
	} else {
		entry_at(k, to->newest)->newer = from->oldest;
		entry_at(k, from->oldest)->older = to->newest;
		to->newest = from->newest;
		to->count += from->count;
	}
	*from = list_empty;
}

static bool is_forgotten(const struct recent_keys *k, const struct recent_entry *e)
{
	return e->epoch != k->epoch;
}

static bool has_expired(const struct recent_entry *e, uint64_t now_us)
{
	return e->expires_us != RECENT_NEVER_EXPIRES && e->expires_us <= now_us;
}

static void entry_remove(struct recent_keys *k, uint32_t i)
{
	struct recent_entry *e = entry_at(k, i);

	bucket_take_out(k, i);
	if (e->state == CLAIMED)
		k->claims--;
	else
		list_take_out(k, is_forgotten(k, e) ? &k->forgotten : &k->kept, e);
	entry_give(k, i);
	buckets_shrink(k);
}

static enum recent claim_add(struct recent_keys *k, struct recent_key key, uint32_t *claim_out)
{
	uint32_t i = entry_take(k);

	if (i == NONE)
		return RECENT_NO_MEMORY;
	struct recent_entry *e = entry_at(k, i);
	e->key = key;
	e->state = CLAIMED;
	bucket_put(k, i);
	k->claims++;
	buckets_grow(k);
	*claim_out = i;
	return RECENT_NEW;
}

static struct recent_entry *claimed_at(const struct recent_keys *k, uint32_t claim)
{
	MUST(claim != NONE && segment_of(claim) < k->segments_count);
	unsigned s = segment_of(claim);
	MUST(claim - segment_start(s) < k->segments[s].fresh);
	struct recent_entry *e = entry_at(k, claim);
	MUST(e->state == CLAIMED && "a claim is settled once");
	return e;
}

struct recent_key recent_key_of(const struct siphash_key key[2], uint8_t kind, struct slice bytes)
{
	return (struct recent_key){{siphash(&key[0], bytes.data, bytes.bytes),
		siphash(&key[1], bytes.data, bytes.bytes) ^ kind}};
}

void recent_keys_init(struct recent_keys *k, uint32_t most, const struct pool_memory *memory)
{
	*k = (struct recent_keys){.most = most,
		.kept = list_empty,
		.forgotten = list_empty,
		.memory = {default_alloc, default_release, NULL}};
	if (memory && memory->alloc)
		k->memory = *memory;
}

void recent_keys_destroy(struct recent_keys *k)
{
	for (unsigned s = 0; s < k->segments_count; s++)
		segment_release(k, k->segments[s].at, s, sizeof(struct recent_entry));
	for (unsigned s = 0; s < RECENT_SEGMENTS && k->heads[s]; s++)
		segment_release(k, k->heads[s], s, sizeof(uint32_t));
	*k = (struct recent_keys){0};
}

enum recent recent_keys_claim(
	struct recent_keys *k, struct recent_key key, uint64_t now_us, uint32_t *claim_out)
{
	if (k->buckets == 0 && !buckets_begin(k))
		return RECENT_NO_MEMORY;
	uint32_t i = find(k, &key);
	if (i != NONE) {
		const struct recent_entry *e = entry_at(k, i);
		if (e->state == CLAIMED)
			return RECENT_CLAIMED;
		if (!is_forgotten(k, e) && !has_expired(e, now_us))
			return RECENT_KNOWN;
		entry_remove(k, i);
	}
	recent_keys_tidy(k, now_us, TIDY_A_KEY);
	if (k->most > 0 && recent_keys_count(k) >= k->most) {
		if (k->kept.count == 0)
			return RECENT_NO_MEMORY;
		/* Its entry, or another one under it, is free then: there will be room. */
		entry_remove(k, k->kept.oldest);
	}
	return claim_add(k, key, claim_out);
}

void recent_keys_keep(struct recent_keys *k, uint32_t claim, uint64_t expires_us)
{
	struct recent_entry *e = claimed_at(k, claim);

	e->state = KEPT;
	e->epoch = k->epoch;
	e->expires_us = expires_us;
	k->claims--;
	list_append(k, &k->kept, claim);
}

void recent_keys_withdraw(struct recent_keys *k, uint32_t claim)
{
	claimed_at(k, claim);
	entry_remove(k, claim);
}

bool recent_keys_forget(struct recent_keys *k, struct recent_key key)
{
	uint32_t i = find(k, &key);

	if (i == NONE)
		return false;
	const struct recent_entry *e = entry_at(k, i);
	if (e->state == CLAIMED || is_forgotten(k, e))
		return false;
	entry_remove(k, i);
	return true;
}

bool recent_keys_claimed(const struct recent_keys *k, struct recent_key key)
{
	uint32_t i = find(k, &key);

	return i != NONE && entry_at(k, i)->state == CLAIMED;
}

/* Each epoch ends with two of the oldest forgotten taken out, and there are never more than twice as many
 * entries as epochs: when an epoch's number comes back, nothing of its last time is left. */
void recent_keys_clear(struct recent_keys *k)
{
	if (k->kept.count == 0)
		return;
	list_append_all(k, &k->forgotten, &k->kept);
	k->epoch = (k->epoch + 1) % EPOCHS;
	recent_keys_tidy(k, 0, TIDY_A_KEY);
}

uint32_t recent_keys_tidy(struct recent_keys *k, uint64_t now_us, uint32_t n)
{
	uint32_t done = 0;

	for (; done < n && k->forgotten.count > 0; done++)
		entry_remove(k, k->forgotten.oldest);
	for (; done < n && k->kept.count > 0 && has_expired(entry_at(k, k->kept.oldest), now_us); done++)
		entry_remove(k, k->kept.oldest);
	entries_shrink(k);
	return done;
}

uint32_t recent_keys_count(const struct recent_keys *k)
{
	return k->claims + k->kept.count;
}
