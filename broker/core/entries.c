/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/entries.h"

#include "broker/core/levels.h"
#include "broker/core/queue_values.h"
#include "runtime/check.h"

#include <stddef.h>
#include <string.h>

enum { PAGE_ENTRIES = ENTRIES_A_PAGE, PAGE_WORDS = (PAGE_ENTRIES + 63) / 64 };

/* A block. */
struct page_notes {
	struct queue_values *values; /* a reference; NULL: there are none */
	bool leaving;		     /* purged */
	uint64_t claimed_bits[PAGE_WORDS];
	uint32_t claims[PAGE_ENTRIES];	/* of these */
	uint32_t returns[PAGE_ENTRIES]; /* where they are counted */
};
_Static_assert(sizeof(struct page_notes) <= MESSAGE_BLOCK_BYTES, "and so is what is noted of them");

struct entry_page {
	struct cds_list_head link;
	struct cds_list_head requeued_link; /* in requeued_pages while requeued > 0 */
	struct entries *of;
	uint64_t first_position;
	uint16_t filled;	  /* entries pushed */
	uint16_t live;		  /* entries not settled */
	uint16_t requeued;	  /* bits set below */
	uint16_t fresh;		  /* from here on none was ever delivered */
	struct page_notes *notes; /* NULL: nothing is noted */
	uint64_t requeued_bits[PAGE_WORDS];
	uint64_t unseen_bits[PAGE_WORDS];	/* of these: no client has seen it */
	struct message *messages[PAGE_ENTRIES]; /* NULL: settled */
};
_Static_assert(sizeof(struct entry_page) <= MESSAGE_BLOCK_BYTES, "entries are kept in blocks of the store");

/* Other cores read it. */
static void ready_set(struct entries *e, uint64_t n)
{
	__atomic_store_n(&e->ready, n, __ATOMIC_RELAXED);
}

void entries_init(struct entries *e, struct message_cache *c)
{
	*e = (struct entries){.cache = c};
	CDS_INIT_LIST_HEAD(&e->pages);
	CDS_INIT_LIST_HEAD(&e->requeued_pages);
}

static struct entry_page *last_page(struct entries *e)
{
	return cds_list_empty(&e->pages) ? NULL : cds_list_entry(e->pages.prev, struct entry_page, link);
}

static bool notes_take(const struct entries *e, struct entry_page *p)
{
	p->notes = message_store_block_take(e->cache);
	if (!p->notes)
		return false;
	/* A queue that runs empty takes and gives a page for each message. */
	memset(p->notes, 0, offsetof(struct page_notes, claims));
	if (e->counted)
		memset(p->notes->returns, 0, sizeof(p->notes->returns));
	p->notes->values = e->values;
	if (e->values)
		queue_values_ref(e->values);
	return true;
}

struct entry_page *entry_page_take(const struct entries *e)
{
	struct entry_page *p = message_store_block_take(e->cache);

	if (!p)
		return NULL;
	p->notes = NULL;
	if ((e->counted || e->values) && !notes_take(e, p)) {
		message_store_block_give(e->cache, p);
		return NULL;
	}
	return p;
}

static void notes_give(struct message_cache *c, struct page_notes *n)
{
	if (n->leaving)
		queue_values_left(n->values);
	if (n->values)
		queue_values_unref(n->values);
	message_store_block_give(c, n);
}

void entry_page_give(struct message_cache *c, struct entry_page *p)
{
	if (p->notes)
		notes_give(c, p->notes);
	message_store_block_give(c, p);
}

/* Once in a page. */
__attribute__((noinline)) static void page_release(struct entries *e, struct entry_page *p)
{
	cds_list_del(&p->link);
	entry_page_give(e->cache, p);
	if (e->levels) /* that may have been the last one that it holds */
		levels_room_cancel(e);
}

bool entries_has_room(const struct entries *e)
{
	const struct cds_list_head *last = e->pages.prev;

	return last != &e->pages && cds_list_entry(last, struct entry_page, link)->filled < PAGE_ENTRIES;
}

/* Once in a page. */
__attribute__((noinline)) static bool page_room(struct entries *e)
{
	if (e->levels)
		return levels_room(e);
	struct entry_page *p = entry_page_take(e);
	if (p)
		entries_page_add(e, p);
	return p != NULL;
}

bool entries_room(struct entries *e)
{
	return entries_has_room(e) || page_room(e);
}

void entries_page_add(struct entries *e, struct entry_page *p_take)
{
	struct entry_page *p = p_take;

	p->of = e;
	p->first_position = e->next_position;
	p->filled = p->live = p->requeued = p->fresh = 0;
	memset(p->requeued_bits, 0, sizeof(p->requeued_bits));
	memset(p->unseen_bits, 0, sizeof(p->unseen_bits));
	cds_list_add_tail(&p->link, &e->pages);
}

void entries_room_cancel(struct entries *e)
{
	struct entry_page *p = last_page(e);

	if (p && p->filled == 0)
		page_release(e, p);
	if (e->levels)
		levels_room_cancel(e);
}

void entries_push(struct entries *e, struct message *m_take)
{
	struct entry_page *p = last_page(e);

	MUST(p && p->filled < PAGE_ENTRIES);
	if (!e->fresh)
		e->fresh = p;
	p->messages[p->filled++] = m_take;
	p->live++;
	e->next_position++;
	ready_set(e, e->ready + 1);
}

void entries_claim_take(struct entries *e, uint32_t claim)
{
	struct entry_page *p = last_page(e);

	MUST(p && p->filled > 0 && p->notes && p->notes->values);
	uint32_t index = p->filled - 1u;
	p->notes->claimed_bits[index / 64] |= UINT64_C(1) << index % 64;
	p->notes->claims[index] = claim;
}

/* Whatever becomes of its message, it is no entry any more. */
static void claim_end(struct entry_page *p, uint32_t index)
{
	struct page_notes *n = p->notes;
	uint64_t bit = UINT64_C(1) << index % 64;

	if (!(n->claimed_bits[index / 64] & bit))
		return;
	n->claimed_bits[index / 64] &= ~bit;
	queue_values_withdraw(n->values, n->claims[index]);
}

static inline bool has_claims(const struct entry_page *p)
{
	return __builtin_expect(p->notes != NULL, 0) && p->notes->values;
}

static inline void entry_clear(struct entries *e, struct entry_page *p, uint32_t index)
{
	p->messages[index] = NULL;
	if (--p->live == 0)
		page_release(e, p);
}

/* Not a part of what plain queues run through. */
__attribute__((noinline)) static void entry_forget_claimed(
	struct entries *e, struct entry_page *p, uint32_t index)
{
	claim_end(p, index);
	entry_clear(e, p, index);
}

static inline void entry_forget(struct entries *e, struct entry_page *p, uint32_t index)
{
	if (has_claims(p))
		entry_forget_claimed(e, p, index);
	else
		entry_clear(e, p, index);
}

static uint32_t first_requeued(const struct entry_page *p)
{
	for (uint32_t w = 0; w < PAGE_WORDS; w++)
		if (p->requeued_bits[w])
			return w * 64 + (uint32_t)__builtin_ctzll(p->requeued_bits[w]);
	MUST(!"a page in requeued_pages has a requeued entry");
	return 0;
}

struct message *entries_peek(const struct entries *e)
{
	const struct entry_page *p = e->fresh;

	if (e->ready == 0)
		return NULL;
	if (e->requeued_pages.next == &e->requeued_pages)
		return p->messages[p->fresh];
	p = cds_list_first_entry(&e->requeued_pages, struct entry_page, requeued_link);
	return p->messages[first_requeued(p)];
}

uint32_t entries_peek_returns(const struct entries *e)
{
	const struct entry_page *p;

	MUST(e->ready > 0);
	if (e->requeued_pages.next == &e->requeued_pages)
		return 0; /* never delivered */
	p = cds_list_first_entry(&e->requeued_pages, struct entry_page, requeued_link);
	return p->notes->returns[first_requeued(p)];
}

/* Returns whether a client has seen it. */
static bool requeued_unmark(struct entry_page *p, uint32_t index)
{
	uint64_t bit = UINT64_C(1) << index % 64;
	bool unseen = p->unseen_bits[index / 64] & bit;

	p->requeued_bits[index / 64] &= ~bit;
	p->unseen_bits[index / 64] &= ~bit;
	if (--p->requeued == 0)
		cds_list_del(&p->requeued_link);
	return !unseen;
}

static void fresh_advance(struct entries *e)
{
	struct entry_page *p = e->fresh;

	if (++p->fresh < p->filled)
		return;
	e->fresh = p == last_page(e) ? NULL : cds_list_entry(p->link.next, struct entry_page, link);
	/* A page that was only made room for holds nothing yet. */
	if (e->fresh && e->fresh->filled == 0)
		e->fresh = NULL;
}

bool entries_pop(struct entries *e, bool settle, struct entry *out)
{
	struct entry_page *p;
	uint32_t index;

	if (e->ready == 0)
		return false;
	bool redelivered = !cds_list_empty(&e->requeued_pages);
	if (redelivered) {
		p = cds_list_first_entry(&e->requeued_pages, struct entry_page, requeued_link);
		index = first_requeued(p);
		redelivered = requeued_unmark(p, index);
	} else {
		p = e->fresh;
		index = p->fresh;
		fresh_advance(e);
	}
	*out = (struct entry){p->messages[index], settle ? NULL : p, p->first_position + index, redelivered};
	ready_set(e, e->ready - 1);
	if (settle)
		entry_forget(e, p, index);
	else
		e->unsettled++;
	return true;
}

/* The index of a delivered entry in its page. */
static uint32_t delivered_index(const struct entry *x)
{
	const struct entry_page *p = x->page;
	uint64_t index = x->position - p->first_position;

	MUST(index < p->filled && p->messages[index] == x->message);
	MUST(!(p->requeued_bits[index / 64] >> index % 64 & 1));
	return (uint32_t)index;
}

void entries_settle(struct entries *e, const struct entry *x)
{
	uint32_t index = delivered_index(x);

	e->unsettled--;
	entry_forget(e, x->page, index);
}

static void requeued_pages_insert(struct entries *e, struct entry_page *p)
{
	struct cds_list_head *at = e->requeued_pages.prev;
	struct entry_page *first = cds_list_entry(e->requeued_pages.next, struct entry_page, requeued_link);

	/* Put back from the newest to the oldest: each goes in front. */
	if (at != &e->requeued_pages && p->first_position < first->first_position)
		at = &e->requeued_pages;
	while (at != &e->requeued_pages &&
		cds_list_entry(at, struct entry_page, requeued_link)->first_position > p->first_position)
		at = at->prev;
	cds_list_add(&p->requeued_link, at);
}

void entries_requeue(struct entries *e, const struct entry *x)
{
	uint32_t index = delivered_index(x);
	struct entry_page *p = x->page;

	if (p->requeued++ == 0)
		requeued_pages_insert(p->of, p);
	p->requeued_bits[index / 64] |= UINT64_C(1) << index % 64;
	e->unsettled--;
	ready_set(e, e->ready + 1);
	if (p->of != e)
		levels_requeued(e, p->of);
}

void entries_return(struct entries *e, const struct entry *x)
{
	struct entry_page *p = x->page;
	uint32_t index = (uint32_t)(x->position - p->first_position);

	entries_requeue(e, x);
	if (!x->redelivered)
		p->unseen_bits[index / 64] |= UINT64_C(1) << index % 64;
}

uint32_t entry_count_return(const struct entry *x)
{
	uint32_t *count = &x->page->notes->returns[delivered_index(x)];

	if (*count < ENTRY_RETURNS_MAX)
		++*count;
	return *count;
}

void entries_grave_init(struct entries_grave *g)
{
	CDS_INIT_LIST_HEAD(&g->pages);
	g->index = 0;
}

static bool page_ready_at(const struct entry_page *p, uint32_t index)
{
	return p->messages[index] && (index >= p->fresh || p->requeued_bits[index / 64] >> index % 64 & 1);
}

static void bury(struct message_cache *c, struct entry_page *p, uint32_t index)
{
	if (has_claims(p))
		claim_end(p, index);
	message_unref(c, p->messages[index]);
}

unsigned entries_grave_empty(struct entries_grave *g, struct message_cache *c, unsigned n)
{
	unsigned done = 0;

	while (done < n && !cds_list_empty(&g->pages)) {
		struct entry_page *p = cds_list_first_entry(&g->pages, struct entry_page, link);
		for (; g->index < p->filled && done < n; g->index++, done++)
			if (page_ready_at(p, g->index))
				bury(c, p, g->index);
		if (g->index < p->filled)
			break;
		g->index = 0;
		cds_list_del(&p->link);
		entry_page_give(c, p);
	}
	return done;
}

static void purge_requeued(struct entries *e)
{
	struct entry x;

	while (!cds_list_empty(&e->requeued_pages) && entries_pop(e, true, &x))
		message_unref(e->cache, x.message);
}

/* From the page with the first fresh entry on: what is with clients stays. */
static void purge_first_fresh(struct entries *e)
{
	struct entry_page *p = e->fresh;
	struct entry x;

	while (e->fresh == p && entries_pop(e, true, &x))
		message_unref(e->cache, x.message);
}

/* To the grave, where its messages keep their values for a while. */
static void page_leave(struct entry_page *p)
{
	if (!has_claims(p))
		return;
	p->notes->leaving = true;
	queue_values_leave(p->notes->values);
}

uint64_t entries_purge(struct entries *e, struct entries_grave *g)
{
	uint64_t n = e->ready;

	purge_requeued(e);
	if (e->fresh)
		purge_first_fresh(e);
	while (e->fresh) {
		struct entry_page *p = last_page(e);
		bool was_first = p == e->fresh;
		cds_list_del(&p->link);
		cds_list_add_tail(&p->link, &g->pages);
		page_leave(p);
		if (was_first)
			e->fresh = NULL;
	}
	ready_set(e, 0);
	return n;
}

void entries_clear(struct entries *e, struct entries_grave *g)
{
	cds_list_splice(&e->pages, g->pages.prev);
	CDS_INIT_LIST_HEAD(&e->pages);
	CDS_INIT_LIST_HEAD(&e->requeued_pages);
	e->fresh = NULL;
	ready_set(e, 0);
	e->unsettled = 0;
}

void entries_adopt(struct entries *e, struct message_cache *c)
{
	e->cache = c;
}
