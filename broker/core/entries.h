/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue holds: one entry a message, in the order in which they came. An entry stays where it is until
 * its message is settled, whether it is ready, delivered or requeued, so that putting a message back needs
 * neither memory nor a search. Entries lie in pages of MESSAGE_BLOCK_BYTES from the message store; a page
 * goes back when its last entry is settled.
 *
 * Invariants
 *  1. Every position that was ever delivered is lower than every one that never was (`fresh` onwards).
 *  2. What is ready is therefore: the requeued entries in ascending order, then the fresh ones.
 *  3. Pages are in the list in ascending order of their positions and do not overlap.
 *  4. Of entries that are `counted`, or have `values`, each page has a second block, taken and given with it:
 * how often each entry has come back, and the claim of its message's value. So neither needs memory later,
 * and they go wherever their page does.
 *  5. A claim is given back where its entry is forgotten, settled or purged, and nowhere else. What goes with
 * its queue (entries_clear) needs not be. One core; no operation but purge and clear takes longer than
 * O(pages with requeued entries). */
#ifndef BROKER_CORE_ENTRIES_H
#define BROKER_CORE_ENTRIES_H

#include "broker/core/message.h"

#include <urcu/list.h>

enum { ENTRIES_A_PAGE = 488 };

struct entry_page;
struct levels;
struct queue_values;

struct entries {
	struct message_cache *cache;
	struct cds_list_head pages;
	struct cds_list_head requeued_pages; /* those that hold requeued entries, ascending */
	struct entry_page *fresh;	     /* holds the first entry never delivered; NULL: there is none */
	uint64_t next_position;
	uint64_t ready, unsettled; /* unsettled: delivered and not yet settled */
	struct levels
		*levels; /* of a queue with priorities (levels.h), which has its pages there; else NULL */
	bool counted;	 /* how often they come back; set before the first page */
	struct queue_values *values; /* of which each is in the queue once; likewise; NULL: of no interest */
};

struct entry {
	struct message *message;
	struct entry_page *page;
	uint64_t position;
	bool redelivered;
};

void entries_init(struct entries *e, struct message_cache *c);

/* True where the next entries_push has its room: the store gave a page or there is room in the last one.
 * entries_room_cancel gives a page that was taken so and not used back. O(1). */
bool entries_room(struct entries *e);
void entries_room_cancel(struct entries *e);

/* For levels.h: whether there is room without another page, and another page, which is the entries' from then
 * on; counted as e is. take: NULL without memory. O(1). */
bool entries_has_room(const struct entries *e);
struct entry_page *entry_page_take(const struct entries *e);
void entry_page_give(struct message_cache *c, struct entry_page *p);
void entries_page_add(struct entries *e, struct entry_page *p_take);

/* Appends; entries_room MUST have said yes. The caller's reference is taken over. O(1). */
void entries_push(struct entries *e, struct message *m_take);

/* Of entries with values: the last one that was pushed has this claim, which is its from now on. */
void entries_claim_take(struct entries *e, uint32_t claim);

/* The next ready message with its reference, or false. With settle it is done with at once; else the holder
 * settles or requeues it exactly once. O(1). */
bool entries_pop(struct entries *e, bool settle, struct entry *out);

/* What the next pop will give; NULL: nothing is ready. O(1). */
struct message *entries_peek(const struct entries *e);
/* Of counted entries: how often it has come back. There MUST be one. O(1). */
uint32_t entries_peek_returns(const struct entries *e);

/* Forgets a delivered entry; the reference stays the caller's. O(1). */
void entries_settle(struct entries *e, const struct entry *x);

/* Back to its place, with its reference; the next pop of it says redelivered. */
void entries_requeue(struct entries *e, const struct entry *x);
/* The same for one that no client has seen: the next pop of it says what x says. */
void entries_return(struct entries *e, const struct entry *x);

/* Of counted entries: a delivered one comes back once more; how often now, ENTRY_RETURNS_MAX being that or
 * more. O(1). */
enum { ENTRY_RETURNS_MAX = INT32_MAX };
uint32_t entry_count_return(const struct entry *x);

/* Messages that nobody wants any more; they are released in slices. */
struct entries_grave {
	struct cds_list_head pages;
	uint32_t index; /* how far the first page has been emptied */
};
void entries_grave_init(struct entries_grave *g);
/* Releases up to n messages; returns how many. */
unsigned entries_grave_empty(struct entries_grave *g, struct message_cache *c, unsigned n);

/* Everything ready goes into the grave; returns how many. O(requeued). */
uint64_t entries_purge(struct entries *e, struct entries_grave *g);

/* Everything ready and every page goes into the grave. Entries that were delivered are forgotten: their
 * holders must not come back with them. O(1). */
void entries_clear(struct entries *e, struct entries_grave *g);

/* The core that works with them from now on. */
void entries_adopt(struct entries *e, struct message_cache *c);

#endif
