/* SPDX-License-Identifier: Apache-2.0 */
/* Class basic: publish hands over to publish.c; here are consumers, get, settlement and prefetch. */
#include "broker/amqp091/internal.h"

#include <stdio.h>

/* Other connections may have taken all there is, so that nothing of this one's tells when there is some. */
static bool unacked_room(struct amqp091_conn *c)
{
	struct pool_stats unacked = pool_stats(c->server->unacked_pool);

	if (unacked.used + c->server->gets < unacked.capacity)
		return true;
	conn_wait(c);
	return false;
}

static bool credit(const struct amqp091_consumer *k)
{
	const struct amqp091_channel *ch = k->channel;

	if (k->consumer.no_ack)
		return true;
	if (k->prefetch && k->unacked_count >= k->prefetch)
		return false;
	if (ch->prefetch_channel && ch->unacked_count >= ch->prefetch_channel)
		return false;
	return unacked_room(ch->conn);
}

static bool consumer_ready(struct consumer *consumer)
{
	struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);
	struct amqp091_conn *c = k->channel->conn;

	/* The answer to a get must find the way free. */
	return conn_live(c) && !c->asked_get && conn_output_idle(c) && credit(k) &&
	       conn_deliver_room(c) >= AMQP091_DELIVER_ROOM;
}

/* A content header is one frame (4.2.6.1), so a client that agreed to small frames cannot be given a message
 * with large properties. It is told, and the message stays where it was for a client that can. */
static uint64_t header_bytes(const struct message *m, const struct amqp091_basic_properties *altered_or_null)
{
	return amqp091_content_header_frame_size(
		altered_or_null ? (uint32_t)amqp091_basic_properties_size(altered_or_null)
				: message_properties_bytes(m));
}

static bool header_fits(const struct amqp091_conn *c, uint64_t bytes)
{
	return bytes <= (uint64_t)c->frame_max + AMQP091_FRAME_TOLERANCE;
}

static void refuse_header(struct amqp091_channel *ch, uint64_t bytes, uint32_t id)
{
	channel_exception(ch, AMQP091_REPLY_CONTENT_TOO_LARGE, id,
		"a content header of %llu bytes does not fit the negotiated frame_max = %u",
		(unsigned long long)bytes, ch->conn->frame_max);
}

/* It goes back with the rest of the channel, which ends by this. k: NULL for basic.get. */
static void refuse_delivery(struct amqp091_channel *ch, struct amqp091_consumer *k, const struct delivery *d,
	bool no_ack, uint64_t bytes)
{
	if (no_ack)
		message_unref(conn_cache(ch->conn), d->message);
	else
		unacked_add(ch, k, d);
	refuse_header(ch, bytes, k ? AMQP091_METHOD_BASIC_CONSUME : AMQP091_METHOD_BASIC_GET);
}

static uint32_t consumer_credit(struct consumer *consumer)
{
	const struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);
	const struct amqp091_channel *ch = k->channel;
	uint32_t most = UINT32_MAX;

	if (consumer->no_ack)
		return most;
	if (k->prefetch)
		most = k->prefetch > k->unacked_count ? k->prefetch - k->unacked_count : 0;
	if (!ch->prefetch_channel)
		return most;
	uint32_t left = ch->prefetch_channel > ch->unacked_count ? ch->prefetch_channel - ch->unacked_count
								 : 0;
	return left < most ? left : most;
}

static void deliver_plain(struct amqp091_consumer *k, const struct delivery *d,
	const struct amqp091_basic_properties *altered_or_null)
{
	struct amqp091_channel *ch = k->channel;
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_DELIVER};
	bool no_ack = k->consumer.no_ack;

	uint64_t bytes = header_bytes(d->message, altered_or_null);
	if (!header_fits(ch->conn, bytes)) {
		refuse_delivery(ch, k, d, no_ack, bytes);
		return;
	}
	uint64_t tag = no_ack ? ch->tag_next++ : unacked_add(ch, k, d)->tag;
	m.args.basic_deliver = (struct amqp091_basic_deliver){
		.consumer_tag = {k->tag, k->tag_bytes},
		.delivery_tag = tag,
		.redelivered = d->redelivered,
		.exchange = shortstr_of(message_exchange(d->message)),
		.routing_key = shortstr_of(message_routing_key(d->message)),
	};
	if (!no_ack)
		message_ref(d->message); /* the unsettled delivery keeps its own */
	conn_send_content_take(ch->conn, ch->number, &m, d->message, altered_or_null);
}

static void consumer_deliver(struct consumer *consumer, const struct delivery *d)
{
	struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);

	if (!deliver_fast(k, d))
		deliver_plain(k, d, NULL);
}

static void consumer_redeliver(struct consumer *consumer, const struct delivery *d)
{
	struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);
	struct amqp091_basic_properties counted;

	deliver_plain(k, d, delivery_count_add(k->channel->conn->server, d, &counted) ? &counted : NULL);
}

static void consumer_free(struct amqp091_consumer *k)
{
	struct amqp091_channel *ch = k->channel;

	/* What it was given stays with the channel until it is settled. */
	ch->unacked_count -= k->unacked_count;
	if (ch->replies == k)
		ch->replies = NULL;
	cds_list_del(&k->link);
	pool_give(ch->conn->server->consumers_pool, k);
}

/* The queue was deleted: clients that asked for it hear of it (consumer_cancel_notify). */
static void consumer_cancelled(struct consumer *consumer)
{
	struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);
	struct amqp091_conn *c = k->channel->conn;
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};

	if (c->notifies_cancel && conn_live(c) && !k->channel->closing) {
		m.args.basic_cancel = (struct amqp091_basic_cancel){
			.consumer_tag = {k->tag, k->tag_bytes}, .no_wait = true};
		conn_send_method(c, k->channel->number, &m);
	}
	consumer_free(k);
}

static void say_consume_ok(struct amqp091_consumer *k)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_BASIC_CONSUME_OK};

	ok.args.basic_consume_ok.consumer_tag = (struct amqp091_shortstr){k->tag, k->tag_bytes};
	if (!k->no_wait)
		conn_send_method(k->channel->conn, k->channel->number, &ok);
}

static void refuse_consumer(struct amqp091_consumer *k, const struct failure *f)
{
	struct amqp091_channel *ch = k->channel;

	consumer_free(k);
	channel_failure(ch, AMQP091_METHOD_BASIC_CONSUME, f);
}

static void consumer_attached(struct consumer *consumer, const struct failure *failure_or_null)
{
	struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);

	conn_answered(k->channel->conn);
	if (failure_or_null)
		refuse_consumer(k, failure_or_null);
	else
		say_consume_ok(k);
}

static void say_cancel_ok(struct amqp091_channel *ch, struct amqp091_shortstr tag, bool no_wait)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_BASIC_CANCEL_OK};

	ok.args.basic_cancel_ok.consumer_tag = tag;
	if (!no_wait)
		conn_send_method(ch->conn, ch->number, &ok);
}

static void consumer_detached(struct consumer *consumer)
{
	struct amqp091_consumer *k = caa_container_of(consumer, struct amqp091_consumer, consumer);
	struct amqp091_channel *ch = k->channel;

	conn_answered(ch->conn);
	say_cancel_ok(ch, (struct amqp091_shortstr){k->tag, k->tag_bytes}, k->no_wait);
	consumer_free(k);
}

static const struct consumer_ops consumer_ops = {
	.ready = consumer_ready,
	.deliver = consumer_deliver,
	.redeliver = consumer_redeliver,
	.cancelled = consumer_cancelled,
	.credit = consumer_credit,
	.attached = consumer_attached,
	.detached = consumer_detached,
};

void consumer_release(struct amqp091_consumer *k)
{
	consumer_abandon(&k->consumer);
	consumer_free(k);
}

static void hold_for(struct amqp091_channel *ch)
{
	ch->conn->asking = ch;
	conn_hold(ch->conn, HOLD_CALL);
}

void channel_call(struct amqp091_channel *ch, const struct queue_call_request *r, uint32_t id, bool no_wait)
{
	struct amqp091_conn *c = ch->conn;
	struct queue_call *call;
	struct failure f;

	c->asked_no_wait = no_wait;
	if (queue_call(&c->session, r, &call, &f) != FAILURE_NONE) {
		channel_failure(ch, id, &f);
	} else if (call) {
		c->call = call;
		hold_for(ch);
	}
}

/* A channel may have every consumer of the broker: who looks through them pays with its share of the turn. */
static struct amqp091_consumer *consumer_find(struct amqp091_channel *ch, struct amqp091_shortstr tag)
{
	struct amqp091_consumer *k, *found = NULL;
	uint32_t passed = 0;

	cds_list_for_each_entry (k, &ch->consumers, link) {
		passed++;
		if (k->tag_bytes == tag.len && memcmp(k->tag, tag.data, tag.len) == 0) {
			found = k;
			break;
		}
	}
	conn_charge(ch->conn, passed / AMQP091_CONSUMERS_A_FRAME);
	return found;
}

static void consumer_name(struct amqp091_consumer *k, struct amqp091_shortstr wanted)
{
	struct amqp091_server *s = k->channel->conn->server;

	if (wanted.len) {
		k->tag_bytes = wanted.len;
		memcpy(k->tag, wanted.data, wanted.len);
		return;
	}
	uint64_t seq[2] = {s->name_seq++, 0};
	uint64_t a = siphash(&s->name_key, seq, sizeof(seq));
	seq[1] = 1;
	uint64_t b = siphash(&s->name_key, seq, sizeof(seq));
	k->tag_bytes = (uint8_t)snprintf((char *)k->tag, sizeof(k->tag), "amq.ctag-%016llx%016llx",
		(unsigned long long)a, (unsigned long long)b);
}

static struct amqp091_consumer *consumer_create(
	struct amqp091_channel *ch, const struct amqp091_basic_consume *a, const struct consumer *asked)
{
	struct amqp091_consumer *k = pool_take(ch->conn->server->consumers_pool);

	if (!k)
		return NULL;
	memset(k, 0, sizeof(*k));
	k->consumer = *asked;
	k->channel = ch;
	k->prefetch = ch->prefetch_consumer;
	k->no_wait = a->no_wait;
	consumer_name(k, a->consumer_tag);
	cds_list_add_tail(&k->link, &ch->consumers);
	return k;
}

/* False: the channel has been told. */
static bool consume_arguments(struct amqp091_channel *ch, const struct amqp091_basic_consume *a,
	struct slice queue, struct consumer *out)
{
	struct field at[AMQP091_FIELDS_MAX];
	struct fields arguments;
	struct failure f;

	if (!arguments_fields(a->arguments, at, &arguments)) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
			"more than %d arguments", AMQP091_FIELDS_MAX);
		return false;
	}
	if (consumer_arguments(&ch->conn->session, queue, &arguments, out, &f) == FAILURE_NONE)
		return true;
	channel_failure(ch, AMQP091_METHOD_BASIC_CONSUME, &f);
	return false;
}

static bool tag_is_new(struct amqp091_channel *ch, struct amqp091_shortstr tag)
{
	if (!tag.len || !consumer_find(ch, tag))
		return true;
	conn_exception(ch->conn, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_BASIC_CONSUME,
		"attempt to reuse consumer tag '%.*s'", SHORT_ARG(tag));
	return false;
}

/* NULL: the channel has its exception. */
static struct amqp091_consumer *consumer_make(
	struct amqp091_channel *ch, const struct amqp091_basic_consume *a, const struct consumer *asked)
{
	struct amqp091_consumer *k = consumer_create(ch, a, asked);

	if (!k)
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
			"the broker has no room for another consumer");
	return k;
}

/* Of a new queue, which is this core's: one that is refused takes it along. */
static void consume_replies(struct amqp091_channel *ch, const struct amqp091_basic_consume *a)
{
	struct broker_core *core = ch->conn->server->config.core;
	struct consumer asked = {.ops = &consumer_ops, .no_ack = true};
	struct failure f;
	struct queue *q;

	if (!tag_is_new(ch, a->consumer_tag) || !(q = reply_to_begin(ch, a)))
		return;
	struct amqp091_consumer *k = consumer_make(ch, a, &asked);
	if (k && consumer_attach(core, &k->consumer, q, &f) == CONSUMER_DONE) {
		ch->replies = k;
		say_consume_ok(k);
		return;
	}
	if (k)
		refuse_consumer(k, &f);
	queue_delete_own(&ch->conn->session, q);
}

static void consume(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_basic_consume *a = &m->args.basic_consume;
	struct slice name;
	struct queue *q;
	struct failure f;
	struct consumer asked = {.ops = &consumer_ops, .no_ack = a->no_ack, .exclusive = a->exclusive};

	if (reply_to_is(slice_of(a->queue))) {
		consume_replies(ch, a);
		return;
	}
	if (!channel_queue_name(ch, a->queue, m->id, &name) ||
		!queue_permitted(ch, ACCESS_READ, name, m->id) || !consume_arguments(ch, a, name, &asked) ||
		!tag_is_new(ch, a->consumer_tag))
		return;
	if (queue_lookup(&ch->conn->session, name, &q, &f) != FAILURE_NONE) {
		channel_failure(ch, m->id, &f);
		return;
	}
	struct amqp091_consumer *k = consumer_make(ch, a, &asked);
	if (!k)
		return;
	switch (consumer_attach(ch->conn->server->config.core, &k->consumer, q, &f)) {
	case CONSUMER_DONE:
		/* Deliveries begin in the core's own step of the turn, so consume-ok is ahead of them. */
		say_consume_ok(k);
		break;
	case CONSUMER_PENDING:
		hold_for(ch);
		break;
	case CONSUMER_REFUSED:
		refuse_consumer(k, &f);
		break;
	}
}

static void cancel(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_basic_cancel *a = &m->args.basic_cancel;
	struct amqp091_consumer *k = consumer_find(ch, a->consumer_tag);

	if (k && consumer_detach(&k->consumer) == CONSUMER_PENDING) {
		k->no_wait = a->no_wait;
		hold_for(ch);
		return;
	}
	if (k)
		consumer_free(k);
	say_cancel_ok(ch, a->consumer_tag, a->no_wait);
}

static void send_got(struct amqp091_channel *ch, const struct delivery *d,
	const struct amqp091_basic_properties *altered_or_null, bool no_ack, uint64_t left)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_BASIC_GET_OK};

	ok.args.basic_get_ok = (struct amqp091_basic_get_ok){
		.delivery_tag = no_ack ? ch->tag_next++ : unacked_add(ch, NULL, d)->tag,
		.redelivered = d->redelivered,
		.exchange = shortstr_of(message_exchange(d->message)),
		.routing_key = shortstr_of(message_routing_key(d->message)),
		.message_count = left > UINT32_MAX ? UINT32_MAX : (uint32_t)left,
	};
	if (!no_ack)
		message_ref(d->message);
	conn_send_content_take(ch->conn, ch->number, &ok, d->message, altered_or_null);
}

/* Where returns are counted it says so also of the first delivery, as RabbitMQ. */
static void got_delivery(struct amqp091_channel *ch, const struct delivery *d, bool no_ack, uint64_t left)
{
	struct amqp091_basic_properties counted, *altered = NULL;

	if (d->attempt > 0 && delivery_count_add(ch->conn->server, d, &counted))
		altered = &counted;
	uint64_t bytes = header_bytes(d->message, altered);
	if (!header_fits(ch->conn, bytes))
		refuse_delivery(ch, NULL, d, no_ack, bytes);
	else
		send_got(ch, d, altered, no_ack, left);
}

static void got(struct amqp091_channel *ch, struct queue_call_result *r, bool no_ack)
{
	struct amqp091_method empty = {.id = AMQP091_METHOD_BASIC_GET_EMPTY};

	conn_answered(ch->conn);
	if (r->code) {
		channel_failure(ch, AMQP091_METHOD_BASIC_GET, r->failure);
	} else if (!r->found) {
		conn_send_method(ch->conn, ch->number, &empty);
	} else {
		got_delivery(ch, &r->delivery, no_ack, r->messages);
	}
}

static void got_to_ack(void *ctx, struct queue_call_result *r)
{
	got(ctx, r, false);
}

static void got_settled(void *ctx, struct queue_call_result *r)
{
	got(ctx, r, true);
}

static void get(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_basic_get *a = &m->args.basic_get;
	struct amqp091_server *s = ch->conn->server;
	struct pool_stats unacked = pool_stats(s->unacked_pool);
	struct queue_call_request r = {.kind = QUEUE_CALL_GET,
		.no_ack = a->no_ack,
		.done = a->no_ack ? got_settled : got_to_ack,
		.ctx = ch};

	if (!channel_queue_name(ch, a->queue, m->id, &r.queue) ||
		!queue_permitted(ch, ACCESS_READ, r.queue, m->id))
		return;
	if (!a->no_ack && unacked.used + s->gets >= unacked.capacity) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, m->id,
			"the broker has no room for another unacknowledged message");
		return;
	}
	channel_call(ch, &r, m->id, false);
	if (!ch->conn->call)
		return;
	ch->conn->asked_get = true; /* its place among the unsettled is kept until it is answered */
	s->gets++;
}

/* RabbitMQ's meaning, which clients expect: global=false limits each consumer to come, global=true the whole
 * channel. */
static void qos(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_basic_qos *a = &m->args.basic_qos;
	struct amqp091_method ok = {.id = AMQP091_METHOD_BASIC_QOS_OK};

	if (a->prefetch_size) {
		conn_exception(ch->conn, AMQP091_REPLY_NOT_IMPLEMENTED, m->id, "prefetch_size!=0 (%u)",
			a->prefetch_size);
		return;
	}
	if (a->global) {
		ch->prefetch_channel = a->prefetch_count;
		channel_wake(ch);
	} else {
		ch->prefetch_consumer = a->prefetch_count;
	}
	conn_send_method(ch->conn, ch->number, &ok);
}

/* What is left when the connection has used up its share of the turn is settled when the frame is offered
 * again. */
static void settle(
	struct amqp091_channel *ch, uint64_t tag, bool multiple, bool ack, bool requeue, uint32_t id)
{
	ch->conn->frame_again = unacked_settle_tags(ch, tag, multiple, ack, requeue, id) == SETTLE_AGAIN;
}

static void recover(struct amqp091_channel *ch, uint32_t id, bool requeue, bool answer)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_BASIC_RECOVER_OK};

	if (!requeue) {
		conn_exception(ch->conn, AMQP091_REPLY_NOT_IMPLEMENTED, id, "requeue=false");
		return;
	}
	ch->conn->frame_again = unacked_recover(ch) == SETTLE_AGAIN;
	if (ch->conn->frame_again)
		return;
	channel_wake(ch);
	if (answer)
		conn_send_method(ch->conn, ch->number, &ok);
}

void basic_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	switch (m->id) {
	case AMQP091_METHOD_BASIC_PUBLISH:
		publish_begin(ch, &m->args.basic_publish);
		break;
	case AMQP091_METHOD_BASIC_ACK:
		settle(ch, m->args.basic_ack.delivery_tag, m->args.basic_ack.multiple, true, false, m->id);
		break;
	case AMQP091_METHOD_BASIC_NACK:
		settle(ch, m->args.basic_nack.delivery_tag, m->args.basic_nack.multiple, false,
			m->args.basic_nack.requeue, m->id);
		break;
	case AMQP091_METHOD_BASIC_REJECT:
		settle(ch, m->args.basic_reject.delivery_tag, false, false, m->args.basic_reject.requeue,
			m->id);
		break;
	case AMQP091_METHOD_BASIC_QOS:
		qos(ch, m);
		break;
	case AMQP091_METHOD_BASIC_CONSUME:
		consume(ch, m);
		break;
	case AMQP091_METHOD_BASIC_CANCEL:
		cancel(ch, m);
		break;
	case AMQP091_METHOD_BASIC_GET:
		get(ch, m);
		break;
	case AMQP091_METHOD_BASIC_RECOVER:
		recover(ch, m->id, m->args.basic_recover.requeue, true);
		break;
	case AMQP091_METHOD_BASIC_RECOVER_ASYNC:
		recover(ch, m->id, m->args.basic_recover_async.requeue, false);
		break;
	default:
		conn_exception(ch->conn, AMQP091_REPLY_COMMAND_INVALID, m->id, "unimplemented method");
	}
}
