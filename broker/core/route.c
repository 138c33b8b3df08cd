/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/route.h"

#include "broker/core/core.h"
#include "runtime/rcu.h"

#include <stdlib.h>
#include <string.h>

enum {
	SCAN_MAX = 8,	/* up to here a look at the list is cheaper than the set */
	ADD_BURST = 16, /* queues whose places in the set are asked for before the first is looked at */
	ROUTE_TRIES_MAX = 8,
};

int route_set_create(struct route_set *s, const struct broker_limits *limits)
{
	/* Twice the limit: a reader may still see a queue whose place another one has taken already. */
	memset(s, 0, sizeof(*s));
	s->slice = ROUTE_SLICE;
	s->capacity = limits->queues > UINT32_MAX / 4 ? UINT32_MAX / 2 : limits->queues * 2;
	s->queues = calloc(s->capacity, sizeof(*s->queues));
	if (!s->queues || pointer_set_create(&s->seen, s->capacity) ||
		pointer_set_create(&s->nodes, nested_hash_nodes_max(limits->bindings))) {
		route_set_destroy(s);
		return -1;
	}
	return 0;
}

void route_set_destroy(struct route_set *s)
{
	free(s->queues);
	pointer_set_destroy(&s->seen);
	pointer_set_destroy(&s->nodes);
}

static bool known(struct route_set *s, const struct queue *q)
{
	if (s->count > SCAN_MAX)
		return pointer_set_add(&s->seen, q) == POINTER_SET_KNOWN;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->queues[i] == q)
			return true;
	return false;
}

void route_set_add(struct route_set *s, struct queue *q)
{
	if (known(s, q))
		return;
	if (s->count == s->capacity) {
		s->overflow = true;
		return;
	}
	s->queues[s->count++] = q;
	if (s->count == SCAN_MAX + 1)
		for (uint32_t i = 0; i < s->count; i++)
			pointer_set_add(&s->seen, s->queues[i]);
}

bool route_set_add_all(struct route_set *s, const struct pointer_bag *queues)
{
	struct bag_cursor *at = &s->walk.at;
	const void *some[ADD_BURST];
	unsigned n;

	/* Most keys have one queue. */
	if (!RCU_LOAD(queues->chunks) && !at->at) {
		some[0] = RCU_LOAD(queues->first);
		if (some[0])
			route_set_add(s, (struct queue *)(uintptr_t)some[0]);
		return true;
	}
	do {
		if (s->budget < ADD_BURST)
			return false;
		s->budget -= ADD_BURST;
		for (n = 0; n < ADD_BURST && (some[n] = pointer_bag_next(queues, at)); n++)
			if (s->count > SCAN_MAX)
				pointer_set_prefetch(&s->seen, some[n]);
		for (unsigned i = 0; i < n; i++)
			route_set_add(s, (struct queue *)(uintptr_t)some[i]);
	} while (n == ADD_BURST);
	*at = (struct bag_cursor){0};
	return true;
}

bool route_set_add_distinct(struct route_set *s, const struct pointer_bag *queues)
{
	const void *q;

	/* One that left and came back during the walk may be met again. */
	if (s->changing)
		return route_set_add_all(s, queues);
	for (; s->budget > 0; s->budget--) {
		if (!(q = pointer_bag_next(queues, &s->walk.at)))
			return true;
		if (s->count == s->capacity) {
			s->overflow = true;
			return true;
		}
		s->queues[s->count++] = (struct queue *)(uintptr_t)q;
	}
	return false;
}

static void walk_begin(struct exchange *x, struct route_set *s)
{
	s->count = 0;
	s->overflow = false;
	s->generation = RCU_LOAD(x->generation);
	s->walk.begun = false;
	s->walk.bag = NULL;
	s->walk.at = (struct bag_cursor){0};
	pointer_set_clear(&s->seen);
}

/* A walk meets every binding that stands for all of its time; but of two that took turns meanwhile, so that
 * one of them always stood, it may meet neither. Then the generation has moved on, and it is walked again. A
 * walk so long, or changes so many, that this does not help goes by the first alone. */
static bool route_as_of_one_moment(struct exchange *x, const struct route_request *r, struct route_set *s)
{
	for (;;) {
		if (!x->type->route(x, r, s))
			return false;
		if (s->changing || RCU_LOAD(x->generation) == s->generation)
			return true;
		s->changing = ++s->tries == ROUTE_TRIES_MAX;
		walk_begin(x, s);
	}
}

bool route_find(struct exchange *x, const struct route_request *r, struct route_set *out)
{
	out->tries = 0;
	out->changing = false;
	out->budget = out->slice;
	walk_begin(x, out);
	if (x->by_name.name.bytes > 0)
		return route_as_of_one_moment(x, r, out);
	struct queue *q = queue_find(x->vhost, r->routing_key);
	if (q)
		route_set_add(out, q);
	return true;
}

bool route_find_more(struct exchange *x, const struct route_request *r, struct route_set *out)
{
	out->budget = out->slice;
	return route_as_of_one_moment(x, r, out);
}
