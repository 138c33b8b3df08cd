/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/explain.h"

#include "broker/amqp091/internal.h"

#include <stdio.h>

void explain_conns(unsigned core, const struct amqp091_server *s)
{
	struct amqp091_conn *c;

	cds_list_for_each_entry (c, &s->conns, link)
		printf("# core %u: a connection in state %u, hold %u, %s%s%s%u to read, room %u, %llu to "
		       "send\n",
			core, c->state, c->hold, c->call ? "a call, " : "", c->routing ? "routing, " : "",
			cds_list_empty(&c->waiting) ? "" : "waiting, ", c->transport->rx->bytes,
			transport_tx_room(c->transport),
			(unsigned long long)transport_tx_pending(c->transport));
}
