/* SPDX-License-Identifier: Apache-2.0 */
/* RabbitMQ's consumer timeout: a delivery that is not settled in time ends its channel, so that a client that
 * hangs does not keep messages for ever. The oldest delivery of a channel is the first in its list. All
 * connections are looked at once a period, a few channels of them a turn. */
#include "broker/amqp091/internal.h"

enum { OVERDUE_BUDGET = 256 };	     /* channels and connections a turn; the last one is looked at whole */
#define PERIOD_US UINT64_C(60000000) /* RabbitMQ's */

static void fire(struct timer *t, uint64_t now_us)
{
	struct amqp091_server *s = caa_container_of(t, struct amqp091_server, overdue);
	uint64_t timeout = s->config.consumer_timeout_us;

	s->overdue_left = s->conn_count;
	timer_arm(&s->wheel, t, now_us + (timeout < PERIOD_US ? timeout : PERIOD_US));
}

void overdue_begin(struct amqp091_server *s)
{
	timer_init(&s->overdue, fire);
	if (s->config.consumer_timeout_us)
		fire(&s->overdue, s->now_us);
}

static void channel_check(struct amqp091_channel *ch)
{
	struct amqp091_server *s = ch->conn->server;
	uint64_t timeout = s->config.consumer_timeout_us;

	if (cds_list_empty(&ch->unacked))
		return;
	const struct unacked *oldest = cds_list_first_entry(&ch->unacked, struct unacked, link);
	if (s->now_us - oldest->delivered_us <= timeout)
		return;
	s->counters.consumers_timed_out++;
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, 0,
		"delivery acknowledgement on channel %u timed out. Timeout value used: %llu ms. This timeout "
		"value "
		"can be configured, see consumers doc guide to learn more",
		ch->number, (unsigned long long)timeout / 1000);
}

/* Returns how many channels were looked at. */
static unsigned conn_check(struct amqp091_conn *c)
{
	struct amqp091_channel *ch, *next;
	unsigned n = 0;

	cds_list_for_each_entry_safe (ch, next, &c->channels, link) {
		if (!conn_live(c))
			break;
		channel_check(ch);
		n++;
	}
	return n;
}

unsigned overdue_poll(struct amqp091_server *s)
{
	unsigned n = 0;

	for (; n < OVERDUE_BUDGET && s->overdue_left && !cds_list_empty(&s->conns); n++) {
		struct amqp091_conn *c = cds_list_first_entry(&s->conns, struct amqp091_conn, link);
		s->overdue_left--;
		/* The list has no order: whoever was looked at is the last. */
		cds_list_del(&c->link);
		cds_list_add_tail(&c->link, &s->conns);
		n += conn_check(c);
	}
	s->turn_short |= s->overdue_left > 0;
	return n;
}
