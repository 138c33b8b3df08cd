/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/route.h"

#include "broker/core/core.h"
#include "broker/core/route_graph.h"
#include "runtime/rcu.h"

#include <stdlib.h>
#include <string.h>

enum {
	SCAN_MAX = 8,	/* up to here a look at the list is cheaper than the set */
	ADD_BURST = 16, /* queues whose places in the set are asked for before the first is looked at */
	ROUTE_TRIES_MAX = 8,
};

/* Twice the limit: a reader may still see what has left its place to another one already. */
static int destinations_create(struct route_set *s, uint32_t most)
{
	s->slice = ROUTE_SLICE;
	s->capacity = most > UINT32_MAX / 4 ? UINT32_MAX / 2 : most * 2;
	s->to = calloc(s->capacity, sizeof(*s->to));
	return s->to ? pointer_set_create(&s->seen, s->capacity) : -1;
}

static int graph_create(struct route_set *s, const struct broker_limits *limits)
{
	struct route_graph *g = s->graph = calloc(1, sizeof(*g));

	if (!g || destinations_create(&g->exchanges, exchanges_most(limits)))
		return -1;
	g->exchanges.of_exchanges = g->exchanges.in_graph = g->exchanges.repeats = true;
	g->exchanges.nodes = s->nodes;
	return 0;
}

int route_set_create(struct route_set *s, const struct broker_limits *limits)
{
	memset(s, 0, sizeof(*s));
	s->nodes = calloc(1, sizeof(*s->nodes));
	if (!s->nodes || pointer_set_create(s->nodes, nested_hash_nodes_max(limits->bindings)) ||
		destinations_create(s, limits->queues) || graph_create(s, limits)) {
		route_set_destroy(s);
		return -1;
	}
	return 0;
}

void route_set_destroy(struct route_set *s)
{
	free(s->to);
	pointer_set_destroy(&s->seen);
	if (s->graph) {
		free(s->graph->exchanges.to);
		pointer_set_destroy(&s->graph->exchanges.seen);
		free(s->graph);
	}
	if (s->nodes)
		pointer_set_destroy(s->nodes);
	free(s->nodes);
}

static bool known(struct route_set *s, const void *to)
{
	if (s->count > SCAN_MAX)
		return pointer_set_add(&s->seen, to) == POINTER_SET_KNOWN;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->to[i] == to)
			return true;
	return false;
}

void route_set_add(struct route_set *s, const void *to)
{
	if (known(s, to)) {
		if (s->in_graph && route_graph_stands(s, to))
			s->met_again = true;
		return;
	}
	if (s->count == s->capacity) {
		s->overflow = true;
		return;
	}
	s->to[s->count++] = (void *)(uintptr_t)to;
	if (s->count == SCAN_MAX + 1)
		for (uint32_t i = 0; i < s->count; i++)
			pointer_set_add(&s->seen, s->to[i]);
}

bool route_set_add_all(struct route_set *s, const struct pointer_bag *bag)
{
	struct bag_cursor *at = &s->walk.at;
	const void *some[ADD_BURST];
	unsigned n;

	/* Most keys have one queue. */
	if (!RCU_LOAD(bag->chunks) && !at->at) {
		some[0] = RCU_LOAD(bag->first);
		if (some[0])
			route_set_add(s, some[0]);
		return true;
	}
	do {
		if (s->budget < ADD_BURST)
			return false;
		s->budget -= ADD_BURST;
		for (n = 0; n < ADD_BURST && (some[n] = pointer_bag_next(bag, at)); n++)
			if (s->count > SCAN_MAX)
				pointer_set_prefetch(&s->seen, some[n]);
		for (unsigned i = 0; i < n; i++)
			route_set_add(s, some[i]);
	} while (n == ADD_BURST);
	*at = (struct bag_cursor){0};
	return true;
}

bool route_set_add_distinct(struct route_set *s, const struct pointer_bag *bag)
{
	const void *to;

	/* One that left and came back during the walk may be met again. */
	if (s->repeats)
		return route_set_add_all(s, bag);
	for (; s->budget > 0; s->budget--) {
		if (!(to = pointer_bag_next(bag, &s->walk.at)))
			return true;
		if (s->count == s->capacity) {
			s->overflow = true;
			return true;
		}
		s->to[s->count++] = (void *)(uintptr_t)to;
	}
	return false;
}

static inline void walk_begin(struct exchange *x, struct route_set *s)
{
	s->count = 0;
	s->overflow = s->in_graph = false;
	s->repeats = s->changing;
	s->generation = RCU_LOAD(x->generation);
	route_walk_reset(&s->walk);
	pointer_set_clear(&s->seen);
}

/* Asked after the generation is read: where it begins to lead on since, that shows at the end. */
static inline bool needs_graph(const struct exchange *x, const struct route_request *r)
{
	return __builtin_expect(r->more_keys || exchange_leads_on(x), 0);
}

/* A slice; true: it is at its end, as of one moment. */
static bool walk(struct exchange *x, const struct route_request *r, struct route_set *s, bool *again)
{
	bool all = s->in_graph ? route_graph_walk(r, s) : x->type->route(x, r, s);

	*again = all && !s->changing && RCU_LOAD(*route_changes(x, s)) != s->generation;
	return all && !*again;
}

/* A walk meets every binding that stands for all of its time; but of two that took turns meanwhile, so that
 * one of them always stood, it may meet neither. Then the generation has moved on, and it is walked again. A
 * walk so long, or changes so many, that this does not help goes by the first alone. */
static __attribute__((noinline)) bool walk_again(
	struct exchange *x, const struct route_request *r, struct route_set *s)
{
	bool again = true, done = false;

	while (again) {
		s->changing = ++s->tries == ROUTE_TRIES_MAX;
		if (s->gated)
			gates_undo(r->core, s);
		walk_begin(x, s);
		if (needs_graph(x, r))
			route_graph_begin(x, s);
		done = walk(x, r, s, &again);
	}
	return done;
}

bool route_find_more(struct exchange *x, const struct route_request *r, struct route_set *out)
{
	bool again;

	out->budget = out->slice;
	return walk(x, r, out, &again) || (again && walk_again(x, r, out));
}

static __attribute__((noinline)) bool find_in_graph(
	struct exchange *x, const struct route_request *r, struct route_set *out)
{
	route_graph_begin(x, out);
	return route_find_more(x, r, out);
}

/* Once for nearly every message that is not like the last one: what most need, and no call before its end. */
bool route_find(struct exchange *x, const struct route_request *r, struct route_set *out)
{
	out->tries = 0;
	out->changing = false;
	out->budget = out->slice;
	walk_begin(x, out);
	if (needs_graph(x, r))
		return find_in_graph(x, r, out);
	if (x->by_name.name.bytes == 0)
		return route_by_name(x, r, out);
	if (!x->type->route(x, r, out))
		return false;
	return RCU_LOAD(x->generation) == out->generation || walk_again(x, r, out);
}

__attribute__((noinline)) bool route_by_name(
	const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	struct queue *q = queue_find(x->vhost, r->routing_key);

	if (q)
		route_set_add(out, q);
	return true;
}
