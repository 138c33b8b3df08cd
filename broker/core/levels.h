/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a queue with priorities (x-max-priority): a list of entries a level, of which the highest
 * that has any comes first. The queue's own `entries` keep what all of them count together, and no page. */
#ifndef BROKER_CORE_LEVELS_H
#define BROKER_CORE_LEVELS_H

#include "broker/core/entries.h"

enum { LEVELS_MAX = 256 };

struct levels {
	uint32_t count;
	uint64_t ready_bits[LEVELS_MAX / 64]; /* the levels that have any */
	struct entry_page *spare; /* for whichever level the next message is of; NULL: none is kept */
	struct entries at[];
};

/* Levels 0 to priority_max (1 to 255) of entries that were just initialised. 0, or -1 without memory. */
int levels_create(struct entries *e, uint8_t priority_max);
void levels_destroy(struct entries *e); /* nothing where there are none; after levels_clear */

/* As the functions of entries.h with e of a queue with levels; a message above the highest level is of that.
 * O(1). */
bool levels_room(struct entries *e);
void levels_room_cancel(struct entries *e);
void levels_push(struct entries *e, struct message *m_take);
bool levels_pop(struct entries *e, bool settle, struct entry *out);
struct message *levels_peek(const struct entries *e);
uint32_t levels_peek_returns(const struct entries *e);

/* Those of the message's level. */
struct entries *levels_at(const struct entries *e, const struct message *m);

/* One has come back to that level. */
void levels_requeued(struct entries *e, struct entries *level);

/* O(levels, and for each as entries.h). */
uint64_t levels_purge(struct entries *e, struct entries_grave *g);
void levels_clear(struct entries *e, struct entries_grave *g);
void levels_adopt(struct entries *e, struct message_cache *c);

#endif
