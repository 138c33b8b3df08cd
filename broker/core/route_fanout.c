/* SPDX-License-Identifier: Apache-2.0 */
/* Fanout: every binding of the exchange matches. */
#include "broker/core/core.h"

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	if (pointer_bag_add(&x->all, b->queue, &b->place))
		return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
	return FAILURE_NONE;
}

static void unbind(struct exchange *x, struct binding *b)
{
	pointer_bag_remove(&x->all, &b->place);
}

static void route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	route_set_add_all(out, &x->all);
}

const struct exchange_type route_fanout = {
	.name = "fanout", .by_key = true, .bind = bind, .unbind = unbind, .route = route};
