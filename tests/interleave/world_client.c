/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/world_inside.h"

/* Nobody has them before the turn ends. */
static void expect_copies(const struct client *c, uint32_t queues)
{
	for (unsigned q = 0; q < scene->queues; q++)
		if (queues && (c->fanout || q == c->to))
			w->copies[c->number][q].state = UNDER_WAY;
}

bool client_offers(struct client *c)
{
	struct slice key = queue_text(c->to);
	struct publish p = {
		.exchange = text(c->fanout ? "amq.fanout" : ""), .routing_key = key, .message = c->message};
	struct failure f;
	uint32_t queues;
	unsigned i = c->confirm_count;

	memset(&c->confirms[i].marks, 0, sizeof(c->confirms[i].marks));
	enum publish_result r = exchange_publish(&c->session, &p, &c->confirms[i].marks, &queues, &f);
	EXPECT(r != PUBLISH_FAILED);
	if (r != PUBLISH_DONE)
		return false;
	expect_copies(c, queues);
	c->confirms[i].waits = !c->fanout && queues;
	c->confirms[i].queue = c->to;
	c->confirm_count++;
	message_unref(c->session.core->cache, c->message);
	c->message = NULL;
	return true;
}

static bool publish(struct client *c, unsigned queue, bool fanout)
{
	struct message_envelope e = {.exchange = text(fanout ? "amq.fanout" : ""),
		.routing_key = queue_text(queue),
		.body_bytes = 1};

	c->to = (uint8_t)queue;
	c->fanout = fanout;
	/* Numbers tell whose they are and ascend. */
	c->number = (uint8_t)((c->at + 1) * WORLD_CLIENTS + (unsigned)(c - w->clients));
	c->message = message_new(c->session.core->cache, &e);
	EXPECT(c->message);
	message_append(c->message, &c->number, 1);
	return client_offers(c);
}

/* Each once, when what they promise is true: the queue has taken as many as were confirmed. */
void client_confirms(struct client *c)
{
	for (unsigned i = 0; i < c->confirm_count; i++) {
		unsigned queue = c->confirms[i].queue;
		if (!c->confirms[i].waits || !publish_marks_passed(c->session.core, &c->confirms[i].marks))
			continue;
		c->confirms[i].waits = false;
		w->confirmed[queue]++;
		const struct queue *q = queue_of(queue);
		EXPECT(scene->drops || (q && q->entries.next_position >= w->confirmed[queue]));
	}
}

static void consume(struct client *c, unsigned which)
{
	struct taker *k = &w->takers[which];
	struct failure f;
	struct queue *q;

	k->client = c;
	k->queue = scene->consumer[which].queue;
	k->credit = scene->consumer[which].credit;
	memset(k->last, 0, sizeof(k->last));
	if (queue_lookup(&c->session, queue_text(k->queue), &q, &f) != 0)
		return;
	memset(&k->consumer, 0, sizeof(k->consumer));
	k->consumer.ops = &taker_ops;
	k->consumer.no_ack = scene->consumer[which].no_ack;
	k->consumer.exclusive = scene->consumer[which].exclusive;
	enum consumer_result r = consumer_attach(c->session.core, &k->consumer, q, &f);
	k->there = r == CONSUMER_DONE;
	k->coming = r == CONSUMER_PENDING;
}

static void cancel(unsigned which)
{
	struct taker *k = &w->takers[which];

	if (!k->there)
		return;
	k->there = false;
	k->leaving = consumer_detach(&k->consumer) == CONSUMER_PENDING;
}

void client_abandons(unsigned which)
{
	struct taker *k = &w->takers[which];

	if (k->there || k->coming || k->leaving)
		consumer_abandon(&k->consumer);
	taker_gone(k);
}

/* Its queue gives nothing up for which there is no room. */
static void may_reject(unsigned queue)
{
	const struct queue *q = scene->letters && queue == 0 ? queue_of(queue) : NULL;

	EXPECT(!q || scene->preemptions_max || q->owner->letters.count < scene->letters_max);
}

/* False: no room for it now. */
bool client_settles(struct client *c, enum do_what how)
{
	struct broker_core *core = c->session.core;
	struct held h = c->held[0];

	if (!(how == DO_REJECT ? queue_drop_ready : queue_settle_ready)(core, &h.d))
		return false;
	for (unsigned i = 1; i < c->held_count; i++)
		c->held[i - 1] = c->held[i];
	c->held_count--;
	struct copy *copy = w->copies[number_of(h.d.message)];
	copy[h.queue].state = how == DO_REQUEUE ? UNDER_WAY : DONE;
	if (how == DO_REJECT)
		may_reject(h.queue);
	if (how == DO_REJECT && scene->letters && h.queue == 0)
		copy[1].state = scene->drops ? MAYBE : UNDER_WAY;
	if (how == DO_REQUEUE)
		queue_requeue(core, &h.d);
	else if (how == DO_REJECT)
		queue_drop(core, &h.d);
	else
		queue_ack(core, &h.d);
	return true;
}

/* Where nobody else takes: what it published before it asked has come before the question. */
static void asked_after_own(const struct client *c, struct queue_call_result *r)
{
	for (unsigned at = 0; at < c->at && scene->consumers == 0; at++) {
		struct copy *copy =
			&w->copies[(at + 1) * WORLD_CLIENTS + (unsigned)(c - w->clients)][c->call_queue];
		if (copy->state != UNDER_WAY)
			continue;
		EXPECT((c->call_what != DO_GET || r->found || scene->drops) && "its own message is there");
		if (c->call_what == DO_PURGE)
			copy->state = DONE;
	}
}

static void answered(void *ctx, struct queue_call_result *r)
{
	struct client *c = ctx;

	EXPECT(c->calling && "is answered once");
	c->calling = false;
	c->call = NULL;
	c->answers++;
	asked_after_own(c, r);
	if (!r->found)
		return;
	account(c->call_queue, &r->delivery, c->call_no_ack ? DONE : OUT);
	if (c->call_no_ack)
		message_unref(c->session.core->cache, r->delivery.message);
	else
		hold(c, c->call_queue, &r->delivery);
}

static void call(struct client *c, const struct deed *d)
{
	static const uint8_t kinds[] = {[DO_GET] = QUEUE_CALL_GET,
		[DO_COUNT] = QUEUE_CALL_COUNT,
		[DO_PURGE] = QUEUE_CALL_PURGE,
		[DO_DELETE] = QUEUE_CALL_DELETE};
	struct queue_call_request r = {.kind = kinds[d->what],
		.queue = queue_text(d->of),
		.no_ack = d->n,
		.done = answered,
		.ctx = c};
	struct failure f;

	c->call_queue = d->of;
	c->call_what = (uint8_t)d->what;
	c->call_no_ack = d->n;
	c->calling = true;
	if (queue_call(&c->session, &r, &c->call, &f))
		c->calling = false;
}

void client_declares(struct session *s, unsigned queue)
{
	struct field letters[] = {{text("x-dead-letter-exchange"), {VALUE_STRING, .bytes = text("")}},
		{text("x-dead-letter-routing-key"), {VALUE_STRING, .bytes = queue_text(1)}}};
	struct queue_declaration d = {.name = queue_text(queue), .auto_delete = scene->auto_delete};
	struct binding_spec b = {text("amq.fanout"), queue_text(queue), text(""), {0}, false};
	struct failure f;
	struct queue *q;

	if (scene->letters && queue == 0)
		d.arguments = (struct fields){letters, 2};
	EXPECT(queue_declare(s, &d, &q, &f) == 0);
	EXPECT(binding_add(s, &b, &f) == 0);
}

static void gone(struct client *c)
{
	for (unsigned i = 0; i < scene->consumers; i++)
		if (w->takers[i].client == c)
			client_abandons(i);
	if (c->call)
		queue_call_abandon(c->call);
	c->call = NULL;
	c->calling = false;
	if (c->message)
		message_unref(c->session.core->cache, c->message);
	c->message = NULL;
	c->confirm_count = 0;
	c->gone = true;
	session_end(&c->session);
}

bool client_waits(const struct client *c)
{
	bool taker_waits = false;

	for (unsigned i = 0; i < scene->consumers; i++)
		taker_waits |= w->takers[i].client == c && (w->takers[i].coming || w->takers[i].leaving);
	return c->message || c->calling || taker_waits;
}

static const struct deed *next_deed(const struct client *c)
{
	return &c->script[c->at];
}

bool client_may(const struct client *c)
{
	enum do_what what = next_deed(c)->what;

	if (c->gone || what == DO_NOTHING)
		return false;
	if (what == DO_GONE)
		return true;
	return !client_waits(c) &&
	       (c->held_count || (what != DO_ACK && what != DO_REQUEUE && what != DO_REJECT));
}

void client_does(struct client *c)
{
	const struct deed *d = next_deed(c);
	bool done = true;

	switch (d->what) {
	case DO_PUBLISH:
	case DO_FANOUT:
		publish(c, d->of, d->what == DO_FANOUT);
		break;
	case DO_CONSUME:
		consume(c, d->of);
		break;
	case DO_CREDIT:
		w->takers[d->of].credit = (uint8_t)(w->takers[d->of].credit + d->n);
		w->takers[d->of].stalled = false;
		if (w->takers[d->of].there)
			consumer_wake(&w->takers[d->of].consumer);
		break;
	case DO_STALL:
		w->takers[d->of].stalled = true;
		break;
	case DO_CANCEL:
		cancel(d->of);
		break;
	case DO_ABANDON:
		client_abandons(d->of);
		break;
	case DO_ACK:
	case DO_REQUEUE:
	case DO_REJECT:
		done = client_settles(c, d->what);
		break;
	case DO_GET:
	case DO_COUNT:
	case DO_PURGE:
	case DO_DELETE:
		call(c, d);
		break;
	case DO_DECLARE:
		client_declares(&c->session, d->of);
		break;
	case DO_GONE:
		gone(c);
		break;
	case DO_HOLD_LETTERS:
		w->letters_held |= (uint8_t)(1u << d->of);
		break;
	case DO_PASS_LETTERS:
		w->letters_held &= (uint8_t) ~(1u << d->of);
		break;
	case DO_NOTHING:
		break;
	}
	c->at += done;
}
