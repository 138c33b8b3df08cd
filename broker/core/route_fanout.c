/* SPDX-License-Identifier: Apache-2.0 */
/* Fanout: every binding of the exchange matches. A destination lies in the exchange's bag once, however many
 * bindings it has, so that a walk costs the destinations and nothing met has to be remembered. */
#include "broker/core/core.h"

#include <stdlib.h>

/* A destination's bindings to one exchange. In the table of direct keys; a fanout exchange has no others
 * there. */
struct fanout_place {
	struct table_entry entry; /* (exchange, address of the destination) */
	const void *to;
	struct bag_place place;
	uint32_t bindings;
	struct reclaim_node reclaim;
};

static enum failure_code no_memory(struct failure *f)
{
	return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
}

static struct slice address(const void *const *to)
{
	return (struct slice){(const uint8_t *)to, sizeof(*to)};
}

static struct fanout_place *find(const struct exchange *x, const void *to)
{
	struct table_entry *e = table_find(&x->vhost->broker->direct_keys, x, address(&to));
	return e ? caa_container_of(e, struct fanout_place, entry) : NULL;
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	struct fanout_place *m = find(x, b->to);

	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m)
			return no_memory(f);
		m->to = b->to;
		if (pointer_bag_add(&x->all, b->to, &m->place)) {
			free(m);
			return no_memory(f);
		}
		table_add(&x->vhost->broker->direct_keys, &m->entry, x, address(&m->to));
	}
	m->bindings++;
	b->fanout_place = m;
	return FAILURE_NONE;
}

static void release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct fanout_place, reclaim));
}

static void unbind(struct exchange *x, struct binding *b)
{
	struct fanout_place *m = b->fanout_place;

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
