/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries that await their settlement, by tag. Clients settle nearly in order, so a tag is looked for from
 * the oldest on. */
#include "broker/amqp091/internal.h"

struct unacked *unacked_add(struct amqp091_channel *ch, struct amqp091_consumer *k, const struct delivery *d)
{
	struct unacked *u = pool_take(ch->conn->server->unacked_pool);

	MUST(u); /* whoever delivers has asked for room before */
	u->tag = ch->tag_next++;
	u->delivery = *d;
	u->consumer = k;
	cds_list_add_tail(&u->link, &ch->unacked);
	if (k) {
		k->unacked_count++;
		ch->unacked_count++;
	}
	return u;
}

static void release(struct amqp091_channel *ch, struct unacked *u)
{
	cds_list_del(&u->link);
	if (u->consumer) {
		u->consumer->unacked_count--;
		ch->unacked_count--;
		consumer_wake(&u->consumer->consumer);
	}
	pool_give(ch->conn->server->unacked_pool, u);
}

void unacked_settle(struct amqp091_channel *ch, struct unacked *u, bool ack, bool requeue)
{
	struct broker_core *core = ch->conn->server->config.core;
	struct delivery d = u->delivery;

	/* Credit first: a requeued message may go straight back to the consumer that it came from. */
	release(ch, u);
	if (ack)
		queue_ack(core, &d);
	else if (requeue)
		queue_requeue(core, &d);
	else
		queue_drop(core, &d);
}

static struct unacked *find(struct amqp091_channel *ch, uint64_t tag)
{
	struct unacked *u;

	cds_list_for_each_entry (u, &ch->unacked, link) {
		if (u->tag >= tag)
			return u->tag == tag ? u : NULL;
	}
	return NULL;
}

bool unacked_settle_tags(
	struct amqp091_channel *ch, uint64_t tag, bool multiple, bool ack, bool requeue, uint32_t id)
{
	struct unacked *last = NULL;
	bool all = multiple && tag == 0;

	if (!all) {
		last = find(ch, tag);
		if (!last) {
			channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, id,
				"unknown delivery tag %llu", (unsigned long long)tag);
			return false;
		}
	}
	if (!multiple) {
		unacked_settle(ch, last, ack, requeue);
	} else {
		bool done = false;
		while (!done && !cds_list_empty(&ch->unacked)) {
			struct unacked *u = cds_list_first_entry(&ch->unacked, struct unacked, link);
			done = u == last;
			unacked_settle(ch, u, ack, requeue);
		}
	}
	/* A prefetch for the whole channel holds every consumer of it. */
	if (ch->prefetch_channel)
		channel_wake(ch);
	return true;
}

void unacked_requeue_all(struct amqp091_channel *ch)
{
	while (!cds_list_empty(&ch->unacked))
		unacked_settle(ch, cds_list_first_entry(&ch->unacked, struct unacked, link), false, true);
}
