/* SPDX-License-Identifier: Apache-2.0 */
/* Fanout: every binding of the exchange matches. A queue lies in the exchange's bag once, however many
 * bindings it has, so that a walk costs the queues and nothing met has to be remembered. */
#include "broker/core/core.h"

#include <stdlib.h>

/* A queue's bindings to one exchange. In the table of direct keys; a fanout exchange has no others there. */
struct fanout_queue {
	struct table_entry entry; /* (exchange, address of the queue) */
	struct queue *queue;
	struct bag_place place;
	uint32_t bindings;
	struct reclaim_node reclaim;
};

static enum failure_code no_memory(struct failure *f)
{
	return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
}

static struct slice address(struct queue *const *q)
{
	return (struct slice){(const uint8_t *)q, sizeof(*q)};
}

static struct fanout_queue *find(const struct exchange *x, struct queue *q)
{
	struct table_entry *e = table_find(&x->vhost->broker->direct_keys, x, address(&q));
	return e ? caa_container_of(e, struct fanout_queue, entry) : NULL;
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	struct fanout_queue *m = find(x, b->queue);

	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m)
			return no_memory(f);
		m->queue = b->queue;
		if (pointer_bag_add(&x->all, b->queue, &m->place)) {
			free(m);
			return no_memory(f);
		}
		table_add(&x->vhost->broker->direct_keys, &m->entry, x, address(&m->queue));
	}
	m->bindings++;
	b->fanout_queue = m;
	return FAILURE_NONE;
}

static void release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct fanout_queue, reclaim));
}

static void unbind(struct exchange *x, struct binding *b)
{
	struct fanout_queue *m = b->fanout_queue;

	if (--m->bindings > 0)
		return;
	pointer_bag_remove(&x->all, &m->place);
	table_remove(&x->vhost->broker->direct_keys, &m->entry);
	/* Lookups of direct exchanges may pass it. */
	reclaim_defer(&m->reclaim, release);
}

static bool route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	return route_set_add_distinct(out, &x->all);
}

const struct exchange_type route_fanout = {
	.name = "fanout", .by_key = true, .bind = bind, .unbind = unbind, .route = route};
