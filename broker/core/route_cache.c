/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/route_cache.h"

#include "broker/core/core.h"
#include "broker/core/route_graph.h"
#include "runtime/rcu.h"

#include <string.h>

static struct slice noted_exchange(const struct route_note *n)
{
	return (struct slice){n->names, n->exchange_bytes};
}

static struct slice noted_key(const struct route_note *n)
{
	return (struct slice){n->names + n->exchange_bytes, n->key_bytes};
}

/* Not a good hash: four keys that a client uses in turns rather differ in length or at the end. */
static struct route_note *way(struct route_cache *c, struct slice exchange, struct slice key)
{
	uint32_t mix = exchange.bytes + key.bytes + (key.bytes ? key.data[key.bytes - 1] : 0u);
	return &c->ways[mix % ROUTE_CACHE_WAYS];
}

static bool exchange_stands(struct session *s, struct route_note *n)
{
	/* Loaded before it is looked for: a deletion after that is told by the next comparison. */
	uint64_t deletions = RCU_LOAD(s->vhost->broker->deletions);

	if (n->deletions == deletions)
		return true;
	if (exchange_find(s->vhost, noted_exchange(n)) != n->exchange)
		return false;
	/* Perhaps another one in the same place: its generation differs. */
	n->deletions = deletions;
	return true;
}

/* Puts the queues into out where the note holds. */
static bool recall(struct session *s, struct route_note *n, struct route_set *out)
{
	if (n->exchange_bytes == 0) { /* the default exchange is never deleted */
		out->queues[0] = queue_resolve(s->vhost->broker, n->generation);
		out->count = 1;
		return out->queues[0];
	}
	if (!exchange_stands(s, n) || RCU_LOAD(*n->changes) != n->generation)
		return false;
	for (uint32_t i = 0; i < n->queue_count; i++)
		out->queues[i] = n->queues[i];
	out->count = n->queue_count;
	return true;
}

static void note(struct route_note *n, const struct route_note *found, struct slice exchange,
	struct slice key, const struct route_set *to)
{
	struct exchange *x = found->exchange;

	n->exchange = NULL;
	if (!(to->in_graph ? to->graph->by_key : x->by_key) || to->count > ROUTE_CACHE_QUEUES || to->overflow)
		return;
	if (exchange.bytes + key.bytes > ROUTE_CACHE_BYTES || (exchange.bytes == 0 && to->count == 0))
		return;
	*n = *found;
	n->changes = route_changes(x, to);
	n->generation = to->generation;
	n->exchange_bytes = (uint16_t)exchange.bytes;
	n->key_bytes = (uint16_t)key.bytes;
	n->queue_count = (uint16_t)to->count;
	if (exchange.bytes == 0)
		n->generation = to->queues[0]->handle;
	else
		memcpy(n->names, exchange.data, exchange.bytes);
	if (key.bytes)
		memcpy(n->names + exchange.bytes, key.data, key.bytes);
	memcpy(n->queues, to->queues, to->count * sizeof(n->queues[0]));
}

struct exchange *route_cached(struct session *s, struct slice exchange, const struct route_request *r,
	struct route_set *out, bool *complete)
{
	struct route_note *n = way(&s->routes, exchange, r->routing_key);

	out->overflow = false;
	*complete = true;
	if (n->exchange && !r->more_keys && slice_equal(noted_exchange(n), exchange) &&
		slice_equal(noted_key(n), r->routing_key) && recall(s, n, out)) {
		s->core->stats.route_hits++;
		return n->exchange;
	}
	/* Read before it is looked for. */
	struct route_note found = {.deletions = RCU_LOAD(s->vhost->broker->deletions)};
	struct exchange *x = found.exchange = exchange_find(s->vhost, exchange);
	if (!x)
		return NULL;
	*complete = route_find(x, r, out);
	if (*complete && !r->more_keys)
		note(n, &found, exchange, r->routing_key, out);
	return x;
}
