/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/requests.h"

#include "runtime/check.h"
#include "tests/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a request about a queue may meet: queues that stay can always be used. */
static unsigned refusals_of(unsigned queue)
{
	return map_stays(queue) ? 0 : REFUSE_404 | REFUSE_405;
}

void act_open_channel(struct client *c, struct channel *ch, bool confirming)
{
	channel_begin(c, ch);
	client_method(c, ch->number, &(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_OPEN});
	channel_expect(ch, AMQP091_METHOD_CHANNEL_OPEN_OK)->refusals = REFUSE_504;
	if (!confirming)
		return;
	client_method(c, ch->number, &(struct amqp091_method){.id = AMQP091_METHOD_CONFIRM_SELECT});
	channel_expect(ch, AMQP091_METHOD_CONFIRM_SELECT_OK);
	ch->confirming = true;
}

void act_close_channel(struct client *c, struct channel *ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_CLOSE};

	m.args.channel_close.reply_code = 200;
	client_method(c, ch->number, &m);
	channel_expect(ch, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	ch->state = CHANNEL_CLOSING;
	ledger_life_closing(ch->life);
}

/* Topology */

void act_declare(struct client *c, struct channel *ch, unsigned queue, bool passive)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare = (struct amqp091_queue_declare){.queue = client_text(map_queue(queue)),
		.passive = passive,
		.exclusive = queue >= MAP_OWN && queue < MAP_WIDE,
		.auto_delete = queue >= MAP_AUTO_DELETE && queue < MAP_OWN};
	client_method(c, ch->number, &m);
	struct expect *e = channel_expect(ch, AMQP091_METHOD_QUEUE_DECLARE_OK);
	e->question = ledger_ask(queue, ch->life);
	e->refusals = refusals_of(queue);
}

void act_delete(struct client *c, struct channel *ch, unsigned queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	m.args.queue_delete = (struct amqp091_queue_delete){.queue = client_text(map_queue(queue)),
		.if_unused = world.phase < WORLD_QUIET && world_permille(200)};
	client_method(c, ch->number, &m);
	struct expect *e = channel_expect(ch, AMQP091_METHOD_QUEUE_DELETE_OK);
	e->question = ledger_ask(queue, ch->life);
	e->refusals = refusals_of(queue) | REFUSE_406;
}

void request_purge(struct client *c, struct channel *ch, unsigned queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};

	m.args.queue_purge.queue = client_text(map_queue(queue));
	client_method(c, ch->number, &m);
	struct expect *e = channel_expect(ch, AMQP091_METHOD_QUEUE_PURGE_OK);
	e->question = ledger_ask(queue, ch->life);
	e->refusals = refusals_of(queue);
}

void act_declare_exchange(struct client *c, struct channel *ch, const char *name, const char *type)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = client_text(name), .type = client_text(type)};
	client_method(c, ch->number, &m);
	channel_expect(ch, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
}

void request_delete_exchange(struct client *c, struct channel *ch, const char *name)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DELETE};

	m.args.exchange_delete.exchange = client_text(name);
	client_method(c, ch->number, &m);
	channel_expect(ch, AMQP091_METHOD_EXCHANGE_DELETE_OK)->refusals = REFUSE_404;
}

static struct amqp091_table header_table(void)
{
	static uint8_t bytes[64];
	struct amqp091_table_builder b;
	struct amqp091_table t;

	amqp091_table_build(&b, bytes, sizeof(bytes));
	amqp091_table_add_int32(&b, "k", 1);
	MUST(amqp091_table_finish(&b, &t) == 0);
	return t;
}

void act_bind(struct client *c, struct channel *ch, const char *exchange, const char *key, unsigned queue,
	bool header, bool undo)
{
	struct amqp091_method m = {.id = undo ? AMQP091_METHOD_QUEUE_UNBIND : AMQP091_METHOD_QUEUE_BIND};
	struct amqp091_table arguments = header ? header_table() : (struct amqp091_table){0};
	const char *name = map_queue(queue);

	if (undo)
		m.args.queue_unbind = (struct amqp091_queue_unbind){.queue = client_text(name),
			.exchange = client_text(exchange),
			.routing_key = client_text(key),
			.arguments = arguments};
	else
		m.args.queue_bind = (struct amqp091_queue_bind){.queue = client_text(name),
			.exchange = client_text(exchange),
			.routing_key = client_text(key),
			.arguments = arguments};
	client_method(c, ch->number, &m);
	struct expect *e = channel_expect(
		ch, undo ? AMQP091_METHOD_QUEUE_UNBIND_OK : AMQP091_METHOD_QUEUE_BIND_OK);
	e->refusals = refusals_of(queue) | (exchange[0] == 'v' ? REFUSE_404 : 0);
	world.situations[WORLD_bound] += world.phase == WORLD_RUN;
}

/* Publishing */

static uint32_t body_bytes(void)
{
	uint32_t most = world_permille(900) ? 200 : world_permille(700) ? 6000 : acts.body_max;

	return LEDGER_BODY_HEAD + world_below(most);
}

static void send_body(struct client *c, struct channel *ch, uint32_t number, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes;) {
		uint32_t most = CLIENT_FRAME_MAX - AMQP091_FRAME_OVERHEAD,
			 n = bytes - at < most ? bytes - at : most;
		uint8_t *p = client_room(c, n + AMQP091_FRAME_OVERHEAD);
		p = amqp091_frame_header_put(p, AMQP091_FRAME_BODY, ch->number, n);
		ledger_body(number, at, p, n);
		p[n] = AMQP091_FRAME_END;
		at += n;
	}
}

static void send_header(struct client *c, struct channel *ch, const struct map_route *r, uint32_t bytes)
{
	uint8_t properties[128];
	struct amqp091_basic_properties p = {0};

	if (r->header) {
		p.flags |= AMQP091_BASIC_HEADERS;
		p.headers = header_table();
	}
	if (world_permille(300)) {
		p.flags |= AMQP091_BASIC_DELIVERY_MODE;
		p.delivery_mode = 2;
	}
	ssize_t n = amqp091_basic_properties_encode(properties, sizeof(properties), &p);
	MUST(n > 0);
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, bytes, properties, (uint32_t)n};
	amqp091_content_header_frame_put(
		client_room(c, amqp091_content_header_frame_size((uint32_t)n)), ch->number, &h);
}

static void publish(struct client *c, struct channel *ch, const struct map_route *r)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_PUBLISH};
	bool mandatory = world_permille(200);
	uint32_t bytes = body_bytes(), number = ledger_publish(ch->life, r, bytes, mandatory);

	if (number == UINT32_MAX)
		return;
	m.args.basic_publish = (struct amqp091_basic_publish){
		client_text(r->exchange), client_text(r->key), mandatory, false};
	client_method(c, ch->number, &m);
	send_header(c, ch, r, bytes);
	send_body(c, ch, number, bytes);
	ch->numbers[ch->publishes++] = number;
	if (r->may_be_gone)
		ch->refusals |= REFUSE_404;
	world_met(WORLD_published);
}

/* Some in a row, often alike. */
void request_publish(struct client *c, struct channel *ch)
{
	struct map_route r;
	char key[LEDGER_KEY_MAX];

	map_route_choose(&r, acts.wide);
	snprintf(key, sizeof(key), "%s", r.key);
	r.key = key;
	for (unsigned n = WORLD_ONE_OF(1, 1, 2, 10, 40);
		n-- && client_has_room(c) && ch->publishes < CLIENT_UNCONFIRMED;)
		publish(c, ch, &r);
}

/* Consuming */

void act_consume(struct client *c, struct channel *ch, unsigned queue, bool no_ack, bool exclusive)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};
	struct consumer_seen *k = &ch->consumers[ch->consumer_count];
	char tag[LEDGER_KEY_MAX];

	MUST(ch->consumer_count < CLIENT_CONSUMERS);
	*k = (struct consumer_seen){.queue = queue, .there = true, .no_ack = no_ack};
	k->last = calloc(LEDGER_LIVES_MAX, sizeof(*k->last));
	MUST(k->last);
	snprintf(tag, sizeof(tag), "k%u", ch->consumer_count);
	m.args.basic_consume = (struct amqp091_basic_consume){.queue = client_text(map_queue(queue)),
		.consumer_tag = client_text(tag),
		.no_ack = no_ack,
		.exclusive = exclusive};
	client_method(c, ch->number, &m);
	struct expect *e = channel_expect(ch, AMQP091_METHOD_BASIC_CONSUME_OK);
	e->consumer = ch->consumer_count++;
	e->refusals = refusals_of(queue) | REFUSE_403 | REFUSE_406;
}

void request_cancel(struct client *c, struct channel *ch, unsigned consumer)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};
	char tag[LEDGER_KEY_MAX];

	snprintf(tag, sizeof(tag), "k%u", consumer);
	m.args.basic_cancel.consumer_tag = client_text(tag);
	client_method(c, ch->number, &m);
	ch->consumers[consumer].asked_cancel = true;
	channel_expect(ch, AMQP091_METHOD_BASIC_CANCEL_OK)->consumer = consumer;
}

void request_get(struct client *c, struct channel *ch, unsigned queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_GET};
	bool no_ack = !map_strict(queue) && world_permille(500);

	m.args.basic_get = (struct amqp091_basic_get){client_text(map_queue(queue)), no_ack};
	client_method(c, ch->number, &m);
	/* get-empty as well: see channel.c. */
	struct expect *e = channel_expect(ch, AMQP091_METHOD_BASIC_GET_OK);
	e->question = ledger_ask(queue, ch->life);
	e->no_ack = no_ack;
	e->refusals = refusals_of(queue) | REFUSE_406;
	ledger_get_sent(queue);
}

void act_qos(struct client *c, struct channel *ch, uint16_t count, bool global)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_QOS};

	m.args.basic_qos = (struct amqp091_basic_qos){0, count, global};
	client_method(c, ch->number, &m);
	channel_expect(ch, AMQP091_METHOD_BASIC_QOS_OK);
}

/* Settling */

static void note(ledger_life holder, const struct held *h, enum settle_how how)
{
	static const enum world_situation met[] = {WORLD_acked, WORLD_requeued, WORLD_rejected};

	world_met(met[how]);
	if (how == SETTLE_PUT_BACK)
		ledger_put_back(holder, h->number, h->queue);
	else
		ledger_settled(holder, h->number, h->queue);
}

static void send_settlement(
	struct client *c, struct channel *ch, uint64_t tag, bool multiple, enum settle_how how)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};

	if (how == SETTLE_TAKE) {
		m.args.basic_ack = (struct amqp091_basic_ack){tag, multiple};
	} else if (!multiple && world_permille(500)) {
		m.id = AMQP091_METHOD_BASIC_REJECT;
		m.args.basic_reject = (struct amqp091_basic_reject){tag, how == SETTLE_PUT_BACK};
	} else {
		m.id = AMQP091_METHOD_BASIC_NACK;
		m.args.basic_nack = (struct amqp091_basic_nack){tag, multiple, how == SETTLE_PUT_BACK};
	}
	client_method(c, ch->number, &m);
}

void request_settle(struct client *c, struct channel *ch, unsigned at, bool multiple, enum settle_how how)
{
	unsigned first = multiple ? 0 : at;

	send_settlement(c, ch, ch->held[at].tag, multiple, how);
	for (unsigned i = first; i <= at; i++)
		note(ch->life, &ch->held[i], how);
	memmove(&ch->held[first], &ch->held[at + 1], (ch->held_count - at - 1) * sizeof(ch->held[0]));
	ch->held_count -= at + 1 - first;
}

void act_ack_all(struct client *c, struct channel *ch)
{
	if (ch->held_count && client_has_room(c))
		request_settle(c, ch, ch->held_count - 1, true, SETTLE_TAKE);
}

void request_recover(struct client *c, struct channel *ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	m.args.basic_recover.requeue = true;
	client_method(c, ch->number, &m);
	channel_expect(ch, AMQP091_METHOD_BASIC_RECOVER_OK);
	for (unsigned i = 0; i < ch->held_count; i++)
		ledger_put_back(ch->life, ch->held[i].number, ch->held[i].queue);
	ch->held_count = 0;
}

/* Errors */

void request_missing_queue(struct client *c, struct channel *ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare = (struct amqp091_queue_declare){
		.queue = client_text("missing"), .passive = true};
	client_method(c, ch->number, &m);
	channel_expect(ch, AMQP091_METHOD_QUEUE_DECLARE_OK)->refusals = REFUSE_404;
}

void request_missing_exchange(struct client *c, struct channel *ch)
{
	struct map_route r = {.exchange = "missing", .key = "", .may_be_gone = true};

	publish(c, ch, &r);
}

void request_missing_tag(struct client *c, struct channel *ch)
{
	send_settlement(c, ch, ch->tag_next + 1000000, false, SETTLE_TAKE);
	ch->refusals |= REFUSE_406;
}
