/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/inside.h"

#include "broker/amqp091/internal.h"
#include "tests/world/world.h"

#include <stdio.h>

static void watch_channel(const struct amqp091_channel *ch)
{
	world.situations[WORLD_confirm_by_mark] += ch->due.seq != 0;
}

void inside_watch(const struct amqp091_server *s)
{
	struct amqp091_conn *c;
	struct amqp091_channel *ch;

	cds_list_for_each_entry (c, &s->conns, link) {
		world.situations[WORLD_call_remote] += c->hold == HOLD_CALL;
		world.situations[WORLD_input_split] += c->hold == HOLD_TURN;
		if (c->state == CONN_RUNNING)
			cds_list_for_each_entry (ch, &c->channels, link)
				watch_channel(ch);
	}
}

void inside_explain(unsigned core, const struct amqp091_server *s)
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
