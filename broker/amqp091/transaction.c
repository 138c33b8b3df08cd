/* SPDX-License-Identifier: Apache-2.0 */
/* Class tx. What a channel publishes and settles is kept, and done when it says commit: the messages in their
 * order, then the settlements in theirs, then commit-ok once other cores' queues have the messages too. A
 * commit takes as many turns as it needs, and nothing else of the connection is read meanwhile. */
#include "broker/amqp091/internal.h"

enum {
	KEPT_EACH_BYTES = 256,	  /* a message beside its properties and body, roughly */
	STEPS_A_FRAME = 16,	  /* deliveries that a rollback passes at the cost of a frame */
	KEYS_BYTES_A_FRAME = 128, /* of properties with further routing keys, each of which is looked up */
};

uint64_t kept_bytes_max(struct broker_core *core)
{
	struct message_store_stats stats = message_store_stats(message_cache_store(broker_core_cache(core)));

	return stats.blocks.capacity * (uint64_t)MESSAGE_BLOCK_BYTES / 4 /
	       broker_cores(broker_core_broker(core));
}

void transaction_begin(struct amqp091_channel *ch)
{
	CDS_INIT_LIST_HEAD(&ch->tx.publishes);
	CDS_INIT_LIST_HEAD(&ch->tx.settlements);
}

static uint64_t kept_bytes(const struct publish_content *p)
{
	uint64_t bytes = KEPT_EACH_BYTES + message_properties_bytes(p->message) +
			 message_body_bytes(p->message);

	return p->keys && p->keys != p->message ? bytes + message_properties_bytes(p->keys) : bytes;
}

static void forget(struct amqp091_server *s, struct kept_publish *k)
{
	struct message_cache *cache = broker_core_cache(s->config.core);

	s->kept_bytes -= kept_bytes(&k->content);
	cds_list_del(&k->link);
	if (k->content.keys)
		message_unref(cache, k->content.keys);
	message_unref(cache, k->content.message);
	pool_give(s->kept_pool, k);
}

static struct kept_publish *first_kept(struct amqp091_channel *ch)
{
	if (cds_list_empty(&ch->tx.publishes))
		return NULL;
	return cds_list_first_entry(&ch->tx.publishes, struct kept_publish, link);
}

static void refuse(struct amqp091_channel *ch)
{
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"the broker has no room for more messages in transactions: commit more often");
}

void transaction_publish(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;
	struct amqp091_server *s = c->server;
	struct content_in *in = &ch->in;
	struct publish_content content = {in->message, in->keys, in->mandatory};
	struct failure f;

	s->counters.messages_received++;
	if (exchange_check_publish(&c->session, message_exchange(in->message), &f) != FAILURE_NONE) {
		publish_drop(ch);
		channel_failure(ch, AMQP091_METHOD_BASIC_PUBLISH, &f);
		return;
	}
	uint64_t bytes = kept_bytes(&content);
	struct kept_publish *k = s->kept_bytes + bytes <= s->kept_bytes_max ? pool_take(s->kept_pool) : NULL;
	if (!k) {
		refuse(ch);
		return;
	}
	s->kept_bytes += bytes;
	k->content = content;
	k->offered = false;
	cds_list_add_tail(&k->link, &ch->tx.publishes);
	in->message = in->keys = NULL;
	in->expected = false;
}

void transaction_settle(struct amqp091_channel *ch, struct unacked *u, enum kept_settlement how)
{
	u->kept = how;
	cds_list_del(&u->link);
	cds_list_add_tail(&u->link, &ch->tx.settlements);
}

/* False: not yet. An exchange that has been deleted since leads nowhere. */
static bool publish_first(struct amqp091_channel *ch, struct kept_publish *k)
{
	struct failure f;

	/* Sending one back may have been the end of the connection. */
	if (ch->conn->state == CONN_DEAD || conn_input_left(ch->conn) == 0 ||
		(k->content.mandatory && !conn_may_read(ch->conn)))
		return false;
	/* It is published now: its time in queues counts from here. */
	if (!k->offered)
		message_received(k->content.message, ch->conn->server->now_us);
	k->offered = true;
	switch (publish_offer(ch, &k->content, &ch->marks, &f)) {
	case PUBLISH_AGAIN:
		return false;
	case PUBLISH_REFUSED:
		ch->tx.refused = true;
		break;
	case PUBLISH_FAILED:
		if (f.code == FAILURE_LIMIT)
			ch->tx.refused = true;
		else if (k->content.mandatory)
			publish_give_back(ch, k->content.message);
		break;
	case PUBLISH_DONE:
		break;
	}
	const struct message *keys = k->content.keys;
	uint32_t more = keys ? message_properties_bytes(keys) / KEYS_BYTES_A_FRAME : 0;
	conn_charge(ch->conn, 1 + more);
	forget(ch->conn->server, k);
	return true;
}

static bool settle_first(struct amqp091_channel *ch, struct unacked *u)
{
	if (conn_input_left(ch->conn) == 0 || !unacked_ready(ch, u, u->kept))
		return false;
	conn_charge(ch->conn, 1);
	unacked_settle(ch, u, u->kept == SETTLEMENT_ACK, u->kept == SETTLEMENT_REQUEUE);
	return true;
}

/* True when all is done. */
static bool commit_some(struct amqp091_channel *ch)
{
	struct kept_publish *k;

	while ((k = first_kept(ch)))
		if (!publish_first(ch, k))
			return false;
	while (!cds_list_empty(&ch->tx.settlements))
		if (!settle_first(ch, cds_list_first_entry(&ch->tx.settlements, struct unacked, link)))
			return false;
	return publish_marks_passed(ch->conn->server->config.core, &ch->marks);
}

static void commit(struct amqp091_channel *ch)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_TX_COMMIT_OK};

	ch->tx.committing = true;
	bool done = commit_some(ch);
	ch->conn->frame_again = !done && ch->conn->state != CONN_DEAD;
	if (!done)
		return;
	ch->tx.committing = false;
	if (ch->prefetch_channel)
		channel_wake(ch);
	if (ch->tx.refused) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT,
			"partial tx completion");
		return;
	}
	conn_send_method(ch->conn, ch->number, &ok);
}

static void restore_last(struct amqp091_channel *ch)
{
	struct unacked *u = cds_list_entry(ch->tx.settlements.prev, struct unacked, link);
	uint32_t most = conn_input_left(ch->conn) * STEPS_A_FRAME, left = most;

	if (!ch->tx.place)
		ch->tx.place = ch->unacked.next;
	unacked_restore(ch, u, &ch->tx.place, &left);
	conn_charge(ch->conn, 1 + (most - left) / STEPS_A_FRAME);
}

/* From the last settlement on: mostly they were settled in order. */
static bool roll_back_some(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;
	struct kept_publish *k;

	for (; (k = first_kept(ch)); conn_charge(c, 1)) {
		if (conn_input_left(c) == 0)
			return false;
		forget(c->server, k);
	}
	while (!cds_list_empty(&ch->tx.settlements)) {
		if (conn_input_left(c) == 0)
			return false;
		restore_last(ch);
	}
	ch->tx.place = NULL;
	return true;
}

static void roll_back(struct amqp091_channel *ch)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_TX_ROLLBACK_OK};

	ch->conn->frame_again = !roll_back_some(ch);
	if (!ch->conn->frame_again)
		conn_send_method(ch->conn, ch->number, &ok);
}

static void select_tx(struct amqp091_channel *ch)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_TX_SELECT_OK};

	if (ch->confirming) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_SELECT,
			"cannot switch from confirm to tx mode");
		return;
	}
	ch->tx.on = true;
	ch->template.method_bytes = ch->template.header_bytes = 0; /* nothing goes the fast way */
	conn_send_method(ch->conn, ch->number, &ok);
}

void transaction_method(struct amqp091_channel *ch, uint32_t id)
{
	bool ends = id == AMQP091_METHOD_TX_COMMIT || id == AMQP091_METHOD_TX_ROLLBACK;

	if (ends && !ch->tx.on)
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, id, "channel is not transactional");
	else if (id == AMQP091_METHOD_TX_SELECT)
		select_tx(ch);
	else if (id == AMQP091_METHOD_TX_COMMIT)
		commit(ch);
	else if (id == AMQP091_METHOD_TX_ROLLBACK)
		roll_back(ch);
	else
		conn_exception(ch->conn, AMQP091_REPLY_COMMAND_INVALID, id, "unimplemented method");
}

unsigned transaction_drain(struct amqp091_server *s, unsigned n)
{
	unsigned done = 0;

	for (; done < n && !cds_list_empty(&s->forgotten); done++)
		forget(s, cds_list_first_entry(&s->forgotten, struct kept_publish, link));
	return done;
}

void transaction_drop(struct amqp091_channel *ch)
{
	struct amqp091_server *s = ch->conn->server;

	if (ch->tx.committing)
		exchange_publish_forget(&ch->conn->session);
	ch->tx.committing = false;
	ch->tx.place = NULL;
	cds_list_splice(&ch->tx.publishes, s->forgotten.prev);
	CDS_INIT_LIST_HEAD(&ch->tx.publishes);
	/* The channel's deliveries are abandoned together. */
	cds_list_splice(&ch->tx.settlements, &ch->unacked);
	CDS_INIT_LIST_HEAD(&ch->tx.settlements);
}
