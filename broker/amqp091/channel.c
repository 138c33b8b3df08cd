/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: their table, their opening and closing (class channel), and the way of a method to its class. */
#include "broker/amqp091/internal.h"

struct amqp091_channel *channel_find(const struct amqp091_conn *c, uint16_t number)
{
	const struct channel_page *page;

	if (number == 0 || number > AMQP091_CHANNEL_LIMIT)
		return NULL;
	page = c->page[number / AMQP091_PAGE_CHANNELS];
	return page ? page->at[number % AMQP091_PAGE_CHANNELS] : NULL;
}

static bool channel_place(struct amqp091_conn *c, uint16_t number, struct amqp091_channel *ch)
{
	struct channel_page **page = &c->page[number / AMQP091_PAGE_CHANNELS];

	if (!*page) {
		*page = pool_take(c->server->pages_pool);
		if (!*page)
			return false;
		memset(*page, 0, sizeof(**page));
	}
	(*page)->at[number % AMQP091_PAGE_CHANNELS] = ch;
	(*page)->used++;
	return true;
}

/* A page goes with its last channel: there are as many pages as channels, for all connections. */
static void channel_displace(struct amqp091_conn *c, uint16_t number)
{
	struct channel_page **page = &c->page[number / AMQP091_PAGE_CHANNELS];

	(*page)->at[number % AMQP091_PAGE_CHANNELS] = NULL;
	if (--(*page)->used)
		return;
	pool_give(c->server->pages_pool, *page);
	*page = NULL;
}

static struct amqp091_channel *channel_create(struct amqp091_conn *c, uint16_t number)
{
	struct amqp091_channel *ch = pool_take(c->server->channels_pool);

	if (!ch)
		return NULL;
	memset(ch, 0, sizeof(*ch));
	ch->conn = c;
	ch->number = number;
	ch->tag_next = 1;
	unacked_begin(ch);
	transaction_begin(ch);
	CDS_INIT_LIST_HEAD(&ch->consumers);
	CDS_INIT_LIST_HEAD(&ch->confirm_link);
	if (!channel_place(c, number, ch)) {
		pool_give(c->server->channels_pool, ch);
		return NULL;
	}
	cds_list_add_tail(&ch->link, &c->channels);
	return ch;
}

void channel_open(struct amqp091_conn *c, uint16_t number)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_CHANNEL_OPEN_OK};

	if (number > c->channel_max) {
		conn_exception(c, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CHANNEL_OPEN,
			"channel number %u is greater than the negotiated channel_max (%u)", number,
			c->channel_max);
		return;
	}
	if (!channel_create(c, number)) {
		conn_exception(c, AMQP091_REPLY_RESOURCE_ERROR, AMQP091_METHOD_CHANNEL_OPEN,
			"the broker has no room for another channel");
		return;
	}
	c->server->counters.channels_opened++;
	conn_send_method(c, number, &ok);
}

void channel_stop(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;

	publish_drop(ch);
	transaction_drop(ch);
	if (c->asking == ch) {
		if (c->call)
			queue_call_abandon(c->call);
		conn_answered(c);
	}
	while (!cds_list_empty(&ch->consumers))
		consumer_release(cds_list_first_entry(&ch->consumers, struct amqp091_consumer, link));
	unacked_abandon(ch);
	cds_list_del_init(&ch->confirm_link);
}

void channel_release(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;

	channel_stop(ch);
	cds_list_del(&ch->link);
	channel_displace(c, ch->number);
	pool_give(c->server->channels_pool, ch);
}

void channel_wake(struct amqp091_channel *ch)
{
	struct amqp091_consumer *k;
	uint32_t passed = 0;

	cds_list_for_each_entry (k, &ch->consumers, link) {
		consumer_wake(&k->consumer);
		passed++;
	}
	conn_charge(ch->conn, passed / AMQP091_CONSUMERS_A_FRAME);
}

static void flow(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_CHANNEL_FLOW_OK};

	/* As RabbitMQ: prefetch is the way to hold deliveries back. */
	if (!m->args.channel_flow.active) {
		conn_exception(ch->conn, AMQP091_REPLY_NOT_IMPLEMENTED, m->id, "active=false");
		return;
	}
	ok.args.channel_flow_ok.active = true;
	conn_send_method(ch->conn, ch->number, &ok);
}

static void close_by_peer(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;
	struct amqp091_method ok = {.id = AMQP091_METHOD_CHANNEL_CLOSE_OK};
	uint16_t number = ch->number;

	confirm_flush(ch);
	channel_release(ch);
	conn_send_method(c, number, &ok);
}

static void confirm_select(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_CONFIRM_SELECT_OK};

	if (ch->tx.on) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, m->id,
			"cannot switch from tx to confirm mode");
		return;
	}
	ch->confirming = true;
	if (!m->args.confirm_select.no_wait)
		conn_send_method(ch->conn, ch->number, &ok);
}

/* 0-8's class, long without meaning: old clients still ask and want a ticket. */
static void access_request(struct amqp091_channel *ch)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_ACCESS_REQUEST_OK};

	ok.args.access_request_ok.ticket = 1;
	conn_send_method(ch->conn, ch->number, &ok);
}

static void open_channel_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	switch (m->id) {
	case AMQP091_METHOD_CHANNEL_OPEN:
		conn_exception(ch->conn, AMQP091_REPLY_CHANNEL_ERROR, m->id, "second 'channel.open' seen");
		return;
	case AMQP091_METHOD_CHANNEL_CLOSE:
		close_by_peer(ch);
		return;
	case AMQP091_METHOD_CHANNEL_FLOW:
		flow(ch, m);
		return;
	case AMQP091_METHOD_CONFIRM_SELECT:
		confirm_select(ch, m);
		return;
	case AMQP091_METHOD_ACCESS_REQUEST:
		access_request(ch);
		return;
	}
	switch (m->id >> 16) {
	case AMQP091_CLASS_EXCHANGE:
	case AMQP091_CLASS_QUEUE:
		topology_method(ch, m);
		return;
	case AMQP091_CLASS_BASIC:
		basic_method(ch, m);
		return;
	case AMQP091_CLASS_TX:
		transaction_method(ch, m->id);
		return;
	default:
		conn_exception(ch->conn, AMQP091_REPLY_COMMAND_INVALID, m->id, "unimplemented method");
	}
}

/* After our channel.close everything but the two closes is discarded. */
static void closing_channel_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	struct amqp091_conn *c = ch->conn;
	struct amqp091_method ok = {.id = AMQP091_METHOD_CHANNEL_CLOSE_OK};
	uint16_t number = ch->number;

	if (m->id == AMQP091_METHOD_CHANNEL_CLOSE) {
		conn_send_method(c, number, &ok); /* both closed at once: each answers the other */
	} else if (m->id == AMQP091_METHOD_CHANNEL_CLOSE_OK) {
		channel_release(ch);
	}
}

void channel_method(struct amqp091_conn *c, uint16_t number, const struct amqp091_method *m)
{
	struct amqp091_channel *ch = channel_find(c, number);

	if (!ch) {
		if (m->id == AMQP091_METHOD_CHANNEL_OPEN)
			channel_open(c, number);
		else if (m->id != AMQP091_METHOD_CHANNEL_CLOSE_OK) /* nothing is left to close */
			conn_exception(c, AMQP091_REPLY_CHANNEL_ERROR, m->id, "expected 'channel.open'");
		return;
	}
	if (ch->closing) {
		closing_channel_method(ch, m);
		return;
	}
	if (ch->in.expected) {
		publish_unexpected(ch);
		return;
	}
	open_channel_method(ch, m);
}
