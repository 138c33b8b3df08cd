/* SPDX-License-Identifier: Apache-2.0 */
/* Direct: the routing key is the binding's, byte for byte. All direct exchanges share one table. */
#include "broker/core/core.h"

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	table_add(&x->vhost->broker->bindings_by_key, &b->by_key, x, b->key);
	return FAILURE_NONE;
}

static void unbind(struct exchange *x, struct binding *b)
{
	table_remove(&x->vhost->broker->bindings_by_key, &b->by_key);
}

static void route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct table *t = &x->vhost->broker->bindings_by_key;

	for (struct table_entry *e = table_find(t, x, r->routing_key); e; e = table_next(t, e))
		route_set_add(out, caa_container_of(e, struct binding, by_key)->queue);
}

const struct exchange_type route_direct = {"direct", NULL, bind, unbind, route};
