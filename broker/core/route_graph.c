/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/route_graph.h"

#include "broker/core/core.h"
#include "runtime/rcu.h"

/* The list's next one. */
static void exchange_begins(struct route_set *s)
{
	struct route_graph *g = s->graph;

	g->step = GRAPH_GATE;
	g->key_from = g->key_next = 0;
	g->queues_before = s->count;
	g->exchanges_before = g->exchanges.count;
	s->met_again = g->exchanges.met_again = false;
	route_walk_reset(&s->walk);
	route_walk_reset(&g->exchanges.walk);
}

void route_graph_begin(struct exchange *x, struct route_set *s)
{
	struct route_graph *g = s->graph;
	struct broker *b = x->vhost->broker;

	s->repeats = s->in_graph = true;
	s->changes = &x->generation;
	if (exchange_leads_on(x)) {
		s->changes = &b->linked_generation;
		s->generation = RCU_LOAD(b->linked_generation);
	}
	g->exchanges.count = 0;
	g->exchanges.overflow = false;
	pointer_set_clear(&g->exchanges.seen);
	route_set_add(&g->exchanges, x);
	g->at = 0;
	g->by_key = true;
	exchange_begins(s);
}

bool route_graph_stands(const struct route_set *s, const void *to)
{
	return s->of_exchanges ? !exchange_hidden(to) : !queue_hidden(to);
}

static bool spend(struct route_set *s)
{
	if (s->budget > 0)
		s->budget--;
	return s->budget > 0;
}

/* The key where the walk stands; its bytes may have moved since the last slice. */
static struct slice key_at(const struct route_graph *g, const struct route_request *r)
{
	struct slice key = r->routing_key;
	uint32_t at = g->key_from;

	if (g->key_next > 0)
		r->more_keys->next(r->more_keys->ctx, &at, &key);
	return key;
}

static bool next_key(struct route_graph *g, const struct route_request *r)
{
	uint32_t at = g->key_next;
	struct slice key;

	if (!r->more_keys || !r->more_keys->next(r->more_keys->ctx, &at, &key))
		return false;
	g->key_from = g->key_next;
	g->key_next = at;
	return true;
}

/* What x, or its half that leads to exchanges, says to each key. */
static bool walk_keys(
	const struct exchange *x, const struct route_request *r, struct route_graph *g, struct route_set *out)
{
	bool by_name = x->by_name.name.bytes == 0 && g->at == 0 && !out->of_exchanges;

	for (;;) {
		struct route_request one = {.routing_key = key_at(g, r), .headers = r->headers};
		if (!(by_name ? route_by_name : x->type->route)(x, &one, out))
			return false;
		route_walk_reset(&out->walk);
		if (!x->type->each_key || !next_key(g, r))
			break;
		if (!spend(out))
			return false;
	}
	g->key_from = g->key_next = 0;
	return true;
}

static bool walk_queues(const struct exchange *x, const struct route_request *r, struct route_set *s)
{
	if (!walk_keys(x, r, s->graph, s))
		return false;
	s->graph->step = GRAPH_EXCHANGES;
	return true;
}

static bool walk_exchanges(const struct exchange *x, const struct route_request *r, struct route_set *s)
{
	struct route_graph *g = s->graph;
	const struct exchange *onward = RCU_LOAD(x->onward);
	bool all = true;

	if (onward) {
		g->exchanges.budget = s->budget;
		all = walk_keys(onward, r, g, &g->exchanges);
		s->budget = g->exchanges.budget;
	}
	if (all)
		g->step = GRAPH_MATCHED;
	return all;
}

/* Looks for one that stands from *from on; false: the slice ends before. */
static bool any_stands(const struct route_set *in, uint32_t *from, uint32_t *budget, bool *any)
{
	for (*any = false; *from < in->count && !*any; ++*from) {
		if (*budget == 0)
			return false;
		--*budget;
		*any = route_graph_stands(in, in->to[*from]);
	}
	return true;
}

static bool matched(struct route_set *s, bool *any)
{
	struct route_graph *g = s->graph;

	*any = s->met_again || g->exchanges.met_again;
	if (!*any && !any_stands(s, &g->queues_before, &s->budget, any))
		return false;
	return *any || any_stands(&g->exchanges, &g->exchanges_before, &s->budget, any);
}

/* Where an exchange matches nothing of its own, neither queue nor exchange. */
static bool walk_alternate(const struct exchange *x, struct route_set *s)
{
	bool any;

	if (!x->alternate.name.data)
		return true;
	if (!matched(s, &any))
		return false;
	const struct exchange *to = any ? NULL : exchange_find(x->vhost, x->alternate.name);
	if (to)
		route_set_add(&s->graph->exchanges, to);
	return true;
}

static enum gate_answer pass_gate(
	const struct exchange *x, const struct route_request *r, struct route_set *s)
{
	enum gate_answer answer = x->gate ? gate_ask(x->gate, r, s) : GATE_OPEN;

	s->graph->step = answer == GATE_SHUT ? GRAPH_MATCHED : GRAPH_QUEUES;
	return answer;
}

static bool walk_one(const struct exchange *x, const struct route_request *r, struct route_set *s)
{
	struct route_graph *g = s->graph;

	g->by_key &= x->by_key;
	if (exchange_hidden(x))
		return true;
	if (g->step == GRAPH_GATE && pass_gate(x, r, s) == GATE_HELD)
		return true;
	if (g->step == GRAPH_QUEUES && !walk_queues(x, r, s))
		return false;
	if (g->step == GRAPH_EXCHANGES && !walk_exchanges(x, r, s))
		return false;
	return walk_alternate(x, s);
}

bool route_graph_walk(const struct route_request *r, struct route_set *s)
{
	struct route_graph *g = s->graph;

	while (g->at < g->exchanges.count) {
		if (!walk_one(g->exchanges.exchanges[g->at], r, s))
			return false;
		g->at++;
		exchange_begins(s);
		if (!spend(s))
			return false;
	}
	s->overflow |= g->exchanges.overflow;
	return true;
}
