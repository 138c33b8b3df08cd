/* SPDX-License-Identifier: Apache-2.0 */
/* Pointers in no order that RCU readers walk while one writer adds and removes: the queues of a routing key,
 * of a word of a topic pattern, of a fanout exchange. The first one lies in the bag itself, further ones in
 * chunks of 2 to 62 of them. A pointer stays where it is until it is removed, so a walk meets each that
 * stands for its whole time exactly once. Holes are filled before a chunk is added, and an empty chunk is
 * released through reclaim_defer: a walk costs what is there and, at worst, one place in 62 filled. */
#ifndef BROKER_CORE_POINTER_BAG_H
#define BROKER_CORE_POINTER_BAG_H

#include "runtime/rcu.h"
#include "runtime/reclaim.h"

#include <stdint.h>

struct bag_chunk {
	struct bag_chunk *next, *prev; /* next is read by readers */
	union {
		struct {
			struct bag_chunk *next, *prev;
		} holes; /* among the chunks that have some */
		struct reclaim_node reclaim;
	};
	uint64_t used; /* a bit a place */
	uint32_t places;
	const void *at[];
};

struct pointer_bag { /* all zero: empty */
	const void *first;
	struct bag_chunk *chunks, *with_holes;
	uint32_t count; /* the writer's */
};

/* Where a pointer lies; needed to remove it. */
struct bag_place {
	struct bag_chunk *chunk; /* NULL: in the bag itself */
	uint32_t at;
};

/* Writer. p is not NULL; the same one twice is there twice. 0, or -1 without memory. O(1). */
int pointer_bag_add(struct pointer_bag *b, const void *p, struct bag_place *place_out);
void pointer_bag_remove(struct pointer_bag *b, const struct bag_place *place);

/* Readers: for (struct bag_cursor at = {0}; (p = pointer_bag_next(&bag, &at));) ... A cursor is worth nothing
 * once the reader is quiescent. */
struct bag_cursor {
	const struct bag_chunk *chunk;
	uint32_t at;
};

/* The rest of a walk behind the bag's own pointer. */
const void *pointer_bag_next_in_chunks(const struct pointer_bag *b, struct bag_cursor *at);

static inline const void *pointer_bag_next(const struct pointer_bag *b, struct bag_cursor *at)
{
	if (!at->chunk && at->at == 0) {
		const void *p = RCU_LOAD(b->first);
		at->at = 1;
		if (p)
			return p;
	}
	return pointer_bag_next_in_chunks(b, at);
}

#endif
