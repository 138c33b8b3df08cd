/* SPDX-License-Identifier: Apache-2.0 */
/* Many cores as many turns on one thread, in an order that a seed decides: clients on each of them publish,
 * consume, get, settle, put back, cancel, purge and delete queues of any core, over links so short that they
 * are full most of the time. Beside them an account of every copy of every message: none may be lost, come
 * twice without the redelivered flag, or overtake another one of its publisher on the way to one consumer.
 * With rules, what does not arrive must have been dropped by a rule: as many as the cores have counted. */
#include "broker/core/core.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CORES = 4,
	CLIENTS = 8,
	QUEUES = 100,
	BUSY_QUEUES = 6, /* most of what happens happens in these */
	CONSUMERS = 24,
	NUMBERS = 1 << 16,
	HELD_MAX = 400,
	RULES_MAX = 8,	 /* arguments of a queue */
	RETURNS_MAX = 1, /* x-delivery-limit, where there is one */
	VALUES = 12,	 /* that messages have, where there are rules, or none */
};

enum state { NEVER, UNDER_WAY, OUT, DONE };

struct copy { /* of a message, in a queue */
	uint8_t state;
	bool seen;	  /* a client had it */
	uint16_t returns; /* from clients, where these are limited */
};

struct held { /* a delivery that a client has */
	struct delivery d;
	unsigned queue, core;
};

struct client {
	struct session session;
	struct message *message; /* offered again until it is taken */
	uint64_t number;
	char exchange[16], key[16];
	struct publish_marks marks;
	struct queue_call *call;
	unsigned call_queue;
	enum queue_call_kind call_kind;
	bool call_no_ack;
	uint64_t calls_done;
};

struct test_consumer {
	struct consumer consumer;
	unsigned queue;
	struct client *client;
	unsigned credit;
	bool there, coming, leaving;
	uint64_t last[CLIENTS]; /* the number from each client that came last, never delivered before */
};

static struct {
	unsigned cores;
	bool drops; /* queues are purged and deleted as well: then not every copy has to arrive */
	bool ruled; /* queues have rules, and messages lifetimes */
	uint64_t now_us;
	struct broker *broker;
	struct message_store *store;
	struct broker_core *core[CORES];
	struct client clients[CLIENTS];
	struct test_consumer consumers[CONSUMERS];
	struct held held[HELD_MAX];
	unsigned held_count;
	struct copy (*copies)[QUEUES]; /* by number */
	bool added_to_run[NUMBERS];
	uint64_t next_number, in_runs, delivered, again, returned_early, moves;
	unsigned wrong;
} t;

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static const char *queue_text(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "q%u", i);
	return name;
}

static unsigned any_queue(void)
{
	return unit_random_below(10) ? unit_random_below(BUSY_QUEUES) : unit_random_below(QUEUES);
}

static void wrong(const char *what, uint64_t number, unsigned queue)
{
	if (t.wrong++ < 5)
		printf("# %s: message %llu, queue %u\n", what, (unsigned long long)number, queue);
}

static uint64_t number_of(const struct message *m)
{
	struct message_cursor at = {0};
	uint64_t n;

	memcpy(&n, message_body_next(m, &at, sizeof(n)).data, sizeof(n));
	return n;
}

/* Clients get messages */

static bool limited(unsigned queue)
{
	return t.ruled && queue % 2 == 0;
}

static bool deduplicates(unsigned queue)
{
	return t.ruled && queue % 4 == 3;
}

/* 0: it has none, as all in a run of messages for a queue that holds each value once. */
static uint64_t value_of(uint64_t number)
{
	return t.ruled && !t.added_to_run[number] ? number / CLIENTS % VALUES : 0;
}

static bool find_value(const void *ctx, struct slice name, struct value *out)
{
	uint64_t value = value_of(*(const uint64_t *)ctx);

	if (!slice_equals_text(name, "x-deduplication-header"))
		return false;
	*out = (struct value){.kind = VALUE_INT, .integer = (int64_t)value};
	return value != 0;
}

/* Of its value there is no other one with a client. (What needs no ack has left the queue before it comes.)
 */
static void must_be_the_only_one(unsigned queue, const struct delivery *d)
{
	uint64_t value = value_of(number_of(d->message));

	if (!deduplicates(queue) || value == 0)
		return;
	for (unsigned i = 0; i < t.held_count; i++) {
		const struct held *h = &t.held[i];
		if (h->d.queue == d->queue && value_of(number_of(h->d.message)) == value)
			wrong("its value was there", number_of(d->message), queue);
	}
}

static void account(unsigned queue, const struct delivery *d, enum state next)
{
	if (next == OUT)
		must_be_the_only_one(queue, d);
	uint64_t n = number_of(d->message);
	struct copy *c = &t.copies[n][queue];

	if (c->state != UNDER_WAY)
		wrong(c->state == OUT ? "comes twice" : "comes again after its end", n, queue);
	if (c->seen && !d->redelivered)
		wrong("comes again without a word", n, queue);
	if (d->attempt != (limited(queue) ? c->returns + 1u : 0))
		wrong("another one of its deliveries", n, queue);
	if (d->attempt > 1 && !d->redelivered)
		wrong("comes again without the flag", n, queue);
	t.again += d->attempt > 1;
	c->state = next;
	c->seen = true;
	t.delivered++;
}

static void hold(unsigned queue, const struct delivery *d, unsigned core)
{
	t.held[t.held_count++] = (struct held){*d, queue, core};
}

static bool consumer_is_ready(struct consumer *c)
{
	struct test_consumer *k = caa_container_of(c, struct test_consumer, consumer);

	return k->credit > 0 && t.held_count < HELD_MAX - 50;
}

static uint32_t consumer_credit(struct consumer *c)
{
	return caa_container_of(c, struct test_consumer, consumer)->credit;
}

static void deliver(struct consumer *c, const struct delivery *d)
{
	struct test_consumer *k = caa_container_of(c, struct test_consumer, consumer);
	uint64_t n = number_of(d->message);
	uint64_t *last = &k->last[n % CLIENTS];

	k->credit--;
	if (!k->there)
		wrong("comes to a consumer that is not there", n, k->queue);
	if (!d->redelivered && n < *last)
		wrong("has been overtaken", n, k->queue);
	if (!d->redelivered)
		*last = n;
	account(k->queue, d, c->no_ack ? DONE : OUT);
	if (c->no_ack)
		message_unref(k->client->session.core->cache, d->message);
	else
		hold(k->queue, d, k->client->session.core->index);
}

static void gone(struct test_consumer *k)
{
	k->there = k->coming = k->leaving = false;
}

static void cancelled(struct consumer *c)
{
	gone(caa_container_of(c, struct test_consumer, consumer));
}

static void attached(struct consumer *c, const struct failure *f)
{
	struct test_consumer *k = caa_container_of(c, struct test_consumer, consumer);

	k->coming = false;
	k->there = !f;
}

static void detached(struct consumer *c)
{
	gone(caa_container_of(c, struct test_consumer, consumer));
}

static const struct consumer_ops consumer_ops = {
	.ready = consumer_is_ready,
	.deliver = deliver,
	.cancelled = cancelled,
	.credit = consumer_credit,
	.attached = attached,
	.detached = detached,
};

/* What clients do */

static struct client *any_client(void)
{
	return &t.clients[unit_random_below(CLIENTS)];
}

/* It holds five at most. */
static bool refuses(unsigned i)
{
	return t.ruled && i % 6 == 5;
}

/* The arguments of a queue, by its number. */
static uint32_t rules_of(unsigned i, struct field at[RULES_MAX])
{
	uint32_t n = 0;

	if (t.ruled && i % 3 == 1)
		at[n++] = (struct field){text("x-message-ttl"), {.kind = VALUE_INT, .integer = 10}};
	if (t.ruled && i % 3 == 2)
		at[n++] = (struct field){text("x-max-length"), {.kind = VALUE_INT, .integer = 5}};
	if (limited(i))
		at[n++] = (struct field){
			text("x-delivery-limit"), {.kind = VALUE_INT, .integer = RETURNS_MAX}};
	if (refuses(i))
		at[n++] = (struct field){
			text("x-overflow"), {.kind = VALUE_STRING, .bytes = text("reject-publish")}};
	if (deduplicates(i))
		at[n++] = (struct field){
			text("x-message-deduplication"), {.kind = VALUE_BOOL, .boolean = true}};
	return n;
}

static void op_declare(struct client *c)
{
	unsigned i = any_queue();
	struct field rules[RULES_MAX];
	struct queue_declaration d = {.name = text(queue_text(i)), .arguments = {rules, rules_of(i, rules)}};
	struct queue *q;
	struct failure f;

	CU_ASSERT_EQUAL(queue_declare(&c->session, &d, &q, &f), 0);
	struct binding_spec b = {text("amq.fanout"), text(queue_text(i)), text(""), {0}, false};
	/* Its queue may be gone again by another core's doing, in this test not within one call. */
	CU_ASSERT_EQUAL(binding_add(&c->session, &b, &f), 0);
}

/* What the message will be in, as routing sees it now, where it is not on its way to many queues already. */
static void expect_copies(struct client *c)
{
	if (c->session.core->fan_out.session == &c->session)
		return;
	for (unsigned i = 0; i < QUEUES; i++)
		t.copies[c->number][i].state = NEVER;
	if (c->exchange[0] == 0) {
		unsigned i = (unsigned)atoi(c->key + 1);
		if (queue_find(c->session.vhost, text(c->key)))
			t.copies[c->number][i].state = UNDER_WAY;
		return;
	}
	for (unsigned i = 0; i < QUEUES; i++)
		if (queue_find(c->session.vhost, text(queue_text(i))))
			t.copies[c->number][i].state = UNDER_WAY;
}

/* Numbers tell whose they are and ascend. NULL: there are none left, or there is no memory. */
static struct message *next_message(struct client *c)
{
	struct message_cache *cache = c->session.core->cache;

	if (t.next_number + CLIENTS >= NUMBERS || message_store_full(cache))
		return NULL;
	t.next_number += CLIENTS;
	c->number = t.next_number + (unsigned)(c - t.clients);
	struct message_envelope e = {.exchange = text(c->exchange),
		.routing_key = text(c->key),
		.body_bytes = sizeof(c->number),
		.received_us = t.now_us,
		.expires = t.ruled && unit_random_below(4) == 0,
		.lifetime_us = unit_random_below(20) * 1000};
	struct message *m = message_new(cache, &e);
	if (m)
		message_append(m, &c->number, sizeof(c->number));
	return m;
}

/* Some more like the message that is in its queues, where they go as a run. */
static void run_on(struct client *c)
{
	struct header_source headers = {.find = find_value, .ctx = &c->number};
	struct publish p = {.exchange = text(c->exchange),
		.routing_key = text(c->key),
		.headers = &headers,
		.message = c->message};
	struct publish_run run = publish_run_begin(&c->session, &p);
	uint32_t n = 0, most = unit_random_below(5);

	while (run.queue && n < most) {
		struct message *m = next_message(c);
		if (!m)
			break;
		t.added_to_run[c->number] = true;
		expect_copies(c);
		if (!publish_run_add(&c->session, &run, m, &c->marks)) {
			for (unsigned i = 0; i < QUEUES; i++)
				t.copies[c->number][i].state = NEVER;
			message_unref(c->session.core->cache, m);
			break;
		}
		n++;
	}
	publish_run_end(&c->session, &run, n);
	t.in_runs += n;
}

static void offer(struct client *c)
{
	struct header_source headers = {.find = find_value, .ctx = &c->number};
	struct publish p = {.exchange = text(c->exchange),
		.routing_key = text(c->key),
		.headers = &headers,
		.message = c->message};
	struct failure f;
	uint32_t queues;

	expect_copies(c);
	enum publish_result result = exchange_publish(&c->session, &p, &c->marks, &queues, &f);
	if (result != PUBLISH_DONE && result != PUBLISH_REFUSED)
		return;
	run_on(c);
	message_unref(c->session.core->cache, c->message);
	c->message = NULL;
}

static void op_publish(struct client *c)
{
	if (c->message)
		return;
	snprintf(c->exchange, sizeof(c->exchange), "%s", unit_random_below(20) ? "" : "amq.fanout");
	snprintf(c->key, sizeof(c->key), "q%u", any_queue());
	c->message = next_message(c);
	if (c->message)
		offer(c);
}

static void op_consume(void)
{
	struct test_consumer *k = &t.consumers[unit_random_below(CONSUMERS)];
	struct failure f;
	struct queue *q;

	if (k->coming || k->leaving)
		return;
	if (k->there) {
		k->leaving = consumer_detach(&k->consumer) == CONSUMER_PENDING;
		k->there = false;
		return;
	}
	k->client = any_client();
	k->queue = any_queue();
	if (queue_lookup(&k->client->session, text(queue_text(k->queue)), &q, &f) != 0)
		return;
	k->credit = unit_random_below(20);
	memset(k->last, 0, sizeof(k->last));
	k->consumer = (struct consumer){.ops = &consumer_ops,
		.no_ack = unit_random_below(3) == 0,
		.exclusive = unit_random_below(8) == 0};
	enum consumer_result r = consumer_attach(k->client->session.core, &k->consumer, q, &f);
	k->there = r == CONSUMER_DONE;
	k->coming = r == CONSUMER_PENDING;
}

/* Its client is gone. */
static void op_abandon(void)
{
	struct test_consumer *k = &t.consumers[unit_random_below(CONSUMERS)];

	if (k->there || k->coming || k->leaving)
		consumer_abandon(&k->consumer);
	gone(k);
}

static void op_credit(void)
{
	struct test_consumer *k = &t.consumers[unit_random_below(CONSUMERS)];

	k->credit += unit_random_below(30);
	if (k->there)
		consumer_wake(&k->consumer);
}

static void settle_one(unsigned at, unsigned how)
{
	struct held h = t.held[at];
	struct broker_core *c = t.core[h.core];
	struct copy *copy = &t.copies[number_of(h.d.message)][h.queue];

	if (!queue_settle_ready(c, &h.d))
		return;
	t.held[at] = t.held[--t.held_count];
	copy->state = how == 1 ? UNDER_WAY : DONE;
	copy->returns += how == 1 && limited(h.queue);
	if (how == 0)
		queue_ack(c, &h.d);
	else if (how == 1)
		queue_requeue(c, &h.d);
	else
		queue_drop(c, &h.d);
}

static void op_settle(void)
{
	if (t.held_count)
		settle_one(unit_random_below(t.held_count), unit_random_below(3));
}

static void called(void *ctx, struct queue_call_result *r)
{
	struct client *c = ctx;

	c->call = NULL;
	c->calls_done++;
	if (!r->found)
		return;
	account(c->call_queue, &r->delivery, c->call_no_ack ? DONE : OUT);
	if (c->call_no_ack)
		message_unref(c->session.core->cache, r->delivery.message);
	else
		hold(c->call_queue, &r->delivery, c->session.core->index);
}

static void op_call(struct client *c, enum queue_call_kind kind)
{
	struct failure f;

	if (c->call || t.held_count > HELD_MAX - 50)
		return;
	c->call_queue = any_queue();
	c->call_kind = kind;
	c->call_no_ack = unit_random_below(2);
	struct queue_call_request r = {.kind = kind,
		.queue = text(queue_text(c->call_queue)),
		.no_ack = c->call_no_ack,
		.done = called,
		.ctx = c};
	queue_call(&c->session, &r, &c->call, &f);
}

static void op_abandon_call(struct client *c)
{
	if (!c->call || (c->call_kind == QUEUE_CALL_GET && c->call_no_ack))
		return; /* what was got without an ack is gone with its client: not to be accounted for here
			 */
	queue_call_abandon(c->call);
	c->call = NULL;
}

/* Turns */

static void turn(unsigned i)
{
	struct broker_core *c = t.core[i];

	t.now_us += t.ruled ? unit_random_below(200) : 0;
	broker_core_now(c, t.now_us);
	broker_core_poll(c);
	for (unsigned k = 0; k < CLIENTS; k++)
		if (t.clients[k].session.core == c && t.clients[k].message)
			offer(&t.clients[k]);
	broker_core_deliver(c, 64);
	broker_core_flush(c);
}

static void one_step(void)
{
	struct client *c = any_client();

	switch (unit_random_below(16)) {
	case 0:
		op_declare(c);
		break;
	case 1:
	case 2:
	case 3:
		op_publish(c);
		break;
	case 4:
		op_consume();
		break;
	case 5:
		op_credit();
		break;
	case 6:
	case 7:
		op_settle();
		break;
	case 8:
		op_call(c, QUEUE_CALL_GET);
		break;
	case 9:
		if (unit_random_below(10) == 0)
			op_abandon_call(c);
		break;
	case 10:
		if (unit_random_below(10) == 0)
			op_abandon();
		break;
	case 11:
		if (t.drops && unit_random_below(20) == 0)
			op_call(c, unit_random_below(2) ? QUEUE_CALL_PURGE : QUEUE_CALL_DELETE);
		break;
	default:
		turn(unit_random_below(t.cores));
	}
}

static void begin(unsigned cores, uint32_t link_records, bool drops, bool ruled)
{
	memset(&t, 0, sizeof(t));
	t.ruled = ruled;
	reclaim_start_manual();
	t.cores = cores;
	t.drops = drops;
	t.copies = calloc(NUMBERS, sizeof(*t.copies));
	t.store = message_store_create(&(struct message_store_config){
		.memory_bytes = 16 << 20, .watermark_percent = 60, .caches_max = cores});
	t.broker = broker_create(&(struct broker_config){.limits = {QUEUES, 10, 1000, 200},
		.key = {1, 2},
		.cores = cores,
		.link_records = link_records});
	CU_ASSERT_TRUE_FATAL(t.copies && t.store && t.broker);
	for (unsigned i = 0; i < cores; i++) {
		t.core[i] = broker_core_create(t.broker, i, message_cache_create(t.store));
		CU_ASSERT_PTR_NOT_NULL_FATAL(t.core[i]);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		session_begin(&t.clients[i].session, t.core[i % cores], vhost_find(t.broker, text("/")));
}

static bool busy(void)
{
	bool yes = false;

	for (unsigned i = 0; i < t.cores; i++)
		yes |= broker_core_busy(t.core[i]);
	for (unsigned i = 0; i < CLIENTS; i++)
		yes |= t.clients[i].message || t.clients[i].call;
	return yes;
}

static void settle_down(void)
{
	for (unsigned rounds = 0; busy() && rounds < 20000; rounds++)
		turn(unit_random_below(t.cores));
	CU_ASSERT_FALSE(busy());
}

static uint64_t dropped_by_rule(const struct broker_core_stats *s)
{
	return s->expired + s->dropped_length + s->refused + s->returned_too_often;
}

/* Consumers are left, then everything that is left comes out of the queues. */
static void take_all(void)
{
	for (unsigned i = 0; i < CONSUMERS; i++) {
		struct test_consumer *k = &t.consumers[i];
		if (k->there || k->coming || k->leaving)
			consumer_abandon(&k->consumer);
		gone(k);
	}
	settle_down();
	while (t.held_count) {
		settle_one(t.held_count - 1, 1);
		turn(unit_random_below(t.cores));
	}
	settle_down();
	for (unsigned i = 0; i < QUEUES; i++) {
		struct queue *q = queue_find(t.clients[0].session.vhost, text(queue_text(i)));
		struct delivery d;
		while (q && queue_take(q, true, &d)) {
			account(i, &d, DONE);
			message_unref(q->owner->cache, d.message);
		}
		if (q && (q->promised || q->promised_bytes || q->ready_bytes))
			wrong("an empty queue holds something", q->promised, i);
		if (q && q->entries.values && queue_values_count(q->entries.values) > 0)
			wrong("an empty queue holds values", queue_values_count(q->entries.values), i);
	}
}

/* Copies that did not arrive. */
static void account_for_the_rest(void)
{
	uint64_t by_rule = 0, missing = 0, too_often = 0, duplicates = 0;

	for (uint64_t n = 0; n < NUMBERS; n++) {
		for (unsigned i = 0; i < QUEUES; i++) {
			if (t.copies[n][i].state == NEVER || t.copies[n][i].state == DONE)
				continue;
			missing++;
			if (!t.ruled)
				wrong("is lost", n, i);
		}
	}
	for (unsigned i = 0; i < t.cores; i++)
		by_rule += dropped_by_rule(&t.core[i]->stats);
	for (unsigned i = 0; i < t.cores; i++)
		too_often += t.core[i]->stats.returned_too_often;
	for (unsigned i = 0; i < t.cores; i++)
		duplicates += t.core[i]->counters.duplicates;
	by_rule += duplicates;
	if (missing != by_rule)
		wrong("lost and dropped by rule differ", missing, (unsigned)by_rule);
	CU_ASSERT_EQUAL(by_rule > 0, t.ruled);
	if (t.ruled)
		printf("# %llu came again, %llu too often, %llu duplicates\n", (unsigned long long)t.again,
			(unsigned long long)too_often, (unsigned long long)duplicates);
	CU_ASSERT_EQUAL(t.again > 50 && too_often > 10 && duplicates > 100, t.ruled);
}

static void end(void)
{
	take_all();
	if (!t.drops)
		account_for_the_rest();
	CU_ASSERT_EQUAL(t.wrong, 0);
	for (unsigned i = 0; i < t.cores; i++)
		t.moves += t.core[i]->counters.moves_in;
	for (unsigned i = 0; i < CLIENTS; i++)
		session_end(&t.clients[i].session);
	broker_cores_settle(t.broker);
	for (unsigned i = 0; i < t.cores; i++) {
		CU_ASSERT_EQUAL(pool_stats(t.core[i]->subscriptions).used, 0);
		CU_ASSERT_EQUAL(pool_stats(t.core[i]->calls).used, 0);
		CU_ASSERT_EQUAL(t.core[i]->moves_active, 0);
		CU_ASSERT_EQUAL(t.core[i]->stats.messages_unacked, 0);
		CU_ASSERT_EQUAL(t.core[i]->stats.messages_ready, 0);
	}
	CU_ASSERT_EQUAL(t.broker->consumer_count, 0);
	for (unsigned i = 0; i < t.cores; i++)
		broker_core_destroy(t.core[i]);
	CU_ASSERT_EQUAL(message_store_stats(t.store).cells.used, 0);
	CU_ASSERT_EQUAL(message_store_stats(t.store).blocks.used, 0);
	broker_destroy(t.broker);
	message_store_destroy(t.store);
	reclaim_run();
	reclaim_stop();
	free(t.copies);
}

static void run(unsigned cores, uint32_t link_records, bool drops, bool ruled)
{
	begin(cores, link_records, drops, ruled);
	for (unsigned step = 0; step < 60000 && !t.wrong; step++) {
		one_step();
		if (step % 500 == 0)
			reclaim_run();
	}
	uint64_t published = t.next_number / CLIENTS, delivered = t.delivered;
	end();
	printf("# %u cores, links of %u: %llu published, %llu in runs, %llu delivered, %llu queues moved\n",
		cores, link_records, (unsigned long long)published, (unsigned long long)t.in_runs,
		(unsigned long long)delivered, (unsigned long long)t.moves);
	CU_ASSERT_TRUE(published > 2000 && t.in_runs > 500 && delivered > 1000);
	CU_ASSERT_TRUE(cores == 1 || t.moves > 10);
}

static void one_core(void)
{
	run(1, 8, false, false);
	run(1, 8, true, false);
}

static void two_cores(void)
{
	run(2, 4, false, false);
	run(2, 64, true, false);
}

static void with_rules(void)
{
	run(1, 8, false, true);
	run(2, 4, false, true);
	run(4, 8, false, true);
	run(4, 8, true, true);
}

static void four_cores(void)
{
	run(4, 2, false, false);
	run(4, 8, true, false);
	run(4, 256, false, false);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"one_core", one_core}, {"two_cores", two_cores},
			{"four_cores", four_cores}, {"with_rules", with_rules}, {NULL, NULL}});
}
