/* SPDX-License-Identifier: Apache-2.0 */
/* Fanout: every binding of the exchange matches. */
#include "broker/core/core.h"

#include <urcu/rculist.h>

static void route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct binding *b;

	cds_list_for_each_entry_rcu(b, &x->bindings, of_exchange) route_set_add(out, b->queue);
}

const struct exchange_type route_fanout = {"fanout", NULL, NULL, NULL, route};
