/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/pointer_bag.h"

#include "runtime/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <urcu/compiler.h>

enum { PLACES_MIN = 2, PLACES_MAX = 62 }; /* with the head: cache lines of 64 bytes */

static bool is_full(const struct bag_chunk *c)
{
	return c->used == (UINT64_C(1) << c->places) - 1;
}

static void holes_add(struct pointer_bag *b, struct bag_chunk *c)
{
	c->holes.prev = NULL;
	c->holes.next = b->with_holes;
	if (b->with_holes)
		b->with_holes->holes.prev = c;
	b->with_holes = c;
}

static void holes_remove(struct pointer_bag *b, struct bag_chunk *c)
{
	if (c->holes.prev)
		c->holes.prev->holes.next = c->holes.next;
	else
		b->with_holes = c->holes.next;
	if (c->holes.next)
		c->holes.next->holes.prev = c->holes.prev;
}

/* In front, where no walk comes twice. */
static struct bag_chunk *chunk_add(struct pointer_bag *b, const void *p)
{
	uint32_t places = b->chunks ? b->chunks->places * 2 + 2 : PLACES_MIN;
	if (places > PLACES_MAX)
		places = PLACES_MAX;
	struct bag_chunk *c = calloc(1, sizeof(*c) + places * sizeof(c->at[0]));

	if (!c)
		return NULL;
	c->places = places;
	c->used = 1;
	c->at[0] = p;
	c->next = b->chunks;
	if (c->next)
		c->next->prev = c;
	RCU_PUBLISH(b->chunks, c);
	holes_add(b, c);
	return c;
}

int pointer_bag_add(struct pointer_bag *b, const void *p, struct bag_place *place_out)
{
	struct bag_chunk *c = b->with_holes;

	CHECK(p);
	*place_out = (struct bag_place){0};
	if (!b->first) {
		RCU_PUBLISH(b->first, p);
	} else if (c) {
		place_out->chunk = c;
		place_out->at = (uint32_t)__builtin_ctzll(~c->used);
		c->used |= UINT64_C(1) << place_out->at;
		RCU_PUBLISH(c->at[place_out->at], p);
		if (is_full(c))
			holes_remove(b, c);
	} else if (!(place_out->chunk = chunk_add(b, p))) {
		return -1;
	}
	b->count++;
	return 0;
}

static void chunk_release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct bag_chunk, reclaim));
}

static void chunk_remove(struct pointer_bag *b, struct bag_chunk *c)
{
	holes_remove(b, c);
	if (c->prev)
		RCU_PUBLISH(c->prev->next, c->next);
	else
		RCU_PUBLISH(b->chunks, c->next);
	if (c->next)
		c->next->prev = c->prev;
	reclaim_defer(&c->reclaim, chunk_release);
}

void pointer_bag_remove(struct pointer_bag *b, const struct bag_place *place)
{
	struct bag_chunk *c = place->chunk;

	MUST(b->count > 0);
	b->count--;
	if (!c) {
		RCU_PUBLISH(b->first, NULL);
		return;
	}
	uint64_t bit = UINT64_C(1) << place->at;
	MUST(c->used & bit);
	if (is_full(c))
		holes_add(b, c);
	c->used &= ~bit;
	RCU_PUBLISH(c->at[place->at], NULL);
	if (c->used == 0)
		chunk_remove(b, c);
}

/* at->at counts from 1 where the chunk is NULL: the bag's own pointer has been. */
const void *pointer_bag_next_in_chunks(const struct pointer_bag *b, struct bag_cursor *at)
{
	const struct bag_chunk *c = at->chunk;

	if (!c) {
		c = RCU_LOAD(b->chunks);
		at->at = 0;
	}
	while (c) {
		const struct bag_chunk *next = RCU_LOAD(c->next);
		__builtin_prefetch(next);
		while (at->at < c->places) {
			const void *p = RCU_LOAD(c->at[at->at++]);
			if (p) {
				at->chunk = c;
				return p;
			}
		}
		c = next;
		at->at = 0;
	}
	at->chunk = NULL;
	return NULL;
}
