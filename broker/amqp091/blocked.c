/* SPDX-License-Identifier: Apache-2.0 */
/* connection.blocked and connection.unblocked (RabbitMQ's extension): a publisher that is held because
 * message memory is short hears of it once, and once more when it may go on. */
#include "broker/amqp091/internal.h"
#include "runtime/mutants.h"

enum { UNBLOCK_BUDGET = 64 }; /* connections a turn */

void blocked_tell(struct amqp091_conn *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_BLOCKED};
	static const char why[] = "low on memory"; /* RabbitMQ's words */

	if ((!c->hears_blocked && !MUTANT(blocked_told_to_anyone)) || !cds_list_empty(&c->blocked))
		return;
	cds_list_add_tail(&c->blocked, &c->server->blocked);
	m.args.connection_blocked.reason = (struct amqp091_shortstr){(const uint8_t *)why, sizeof(why) - 1};
	conn_send_method(c, 0, &m);
}

/* Memory that is not short any more (message_store_full) stays so for a while, so that the two do not
 * alternate with every message. */
unsigned blocked_end(struct amqp091_server *s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_UNBLOCKED};
	struct amqp091_conn *c, *next;
	unsigned seen = 0, told = 0;

	if (cds_list_empty(&s->blocked) || message_store_full(broker_core_cache(s->config.core)))
		return 0;
	CDS_LIST_HEAD(held);
	cds_list_for_each_entry_safe (c, next, &s->blocked, blocked) {
		if (++seen > UNBLOCK_BUDGET && !MUTANT(all_unblocked_in_a_turn))
			break;
		if (c->hold == HOLD_MEMORY && !MUTANT(unblocked_while_held)) {
			cds_list_move(&c->blocked, &held);
			continue;
		}
		cds_list_del_init(&c->blocked);
		if (conn_live(c))
			conn_send_method(c, 0, &m);
		told++;
	}
	cds_list_splice(&held, MUTANT(held_ones_stay_in_front)
				       ? &s->blocked
				       : s->blocked.prev); /* behind those that were not looked at */
	return told;
}
