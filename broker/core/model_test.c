/* SPDX-License-Identifier: Apache-2.0 */
/* Random operations on exchanges, queues and consumers beside a slow model: a queue is an array of messages
 * in order, routing is a look at every binding. What is delivered must be the model's first ready message,
 * with its redelivered flag; nothing is lost, nothing comes twice unannounced, and at the end all memory is
 * back. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATIONS = 200000, QUEUES = 12, EXCHANGES = 6, BINDINGS = 120, CONSUMERS = 16, OUT_MAX = 1500 };

enum state { READY, OUT, GONE };

struct model_message {
	uint64_t number;
	enum state state;
	bool seen; /* delivered before */
};

struct model_queue {
	bool exists, auto_delete;
	unsigned life; /* counts how often it was created */
	unsigned consumers;
	struct model_message *at;
	unsigned first, count, room;
};

struct model_binding {
	bool exists;
	unsigned exchange, queue;
	char key[8];
};

struct model_out {
	struct delivery delivery;
	unsigned queue, life, index;
};

struct model_consumer {
	struct consumer consumer;
	unsigned queue, credit;
};

static struct {
	struct model_queue queues[QUEUES];
	bool exchanges[EXCHANGES];
	struct model_binding bindings[BINDINGS];
	struct model_consumer consumers[CONSUMERS];
	struct model_out out[OUT_MAX];
	unsigned out_count;
	uint64_t number;
	unsigned deliveries, wrong;
} model;

static const char *const types[] = {"direct", "fanout", "topic"};
static const char *const keys[] = {"a", "b", "a.b", "b.a"};
static const char *const patterns[] = {"a", "b", "a.b", "#", "*.b", "a.#", "*"};

static const char *queue_text(unsigned i)
{
	static char names[QUEUES][4];
	snprintf(names[i], sizeof(names[i]), "q%u", i % 100);
	return names[i];
}

static const char *exchange_text(unsigned i)
{
	static char names[EXCHANGES][4];
	snprintf(names[i], sizeof(names[i]), "x%u", i % 100);
	return names[i];
}

static const char *type_of(unsigned exchange)
{
	return types[exchange % 3];
}

/* The patterns above against the keys above, written out. */
static bool topic_matches(const char *pattern, const char *key)
{
	bool two = strchr(key, '.') != NULL;

	if (strcmp(pattern, "#") == 0 || strcmp(pattern, key) == 0)
		return true;
	if (strcmp(pattern, "*") == 0)
		return !two;
	if (strcmp(pattern, "*.b") == 0)
		return two && key[2] == 'b';
	return strcmp(pattern, "a.#") == 0 && key[0] == 'a';
}

static bool model_matches(const struct model_binding *b, unsigned exchange, const char *key)
{
	if (!b->exists || b->exchange != exchange)
		return false;
	switch (exchange % 3) {
	case 0:
		return strcmp(b->key, key) == 0;
	case 1:
		return true;
	default:
		return topic_matches(b->key, key);
	}
}

static void model_push(struct model_queue *q, uint64_t number)
{
	if (q->count == q->room) {
		q->room = q->room ? q->room * 2 : 64;
		q->at = realloc(q->at, q->room * sizeof(*q->at));
	}
	q->at[q->count++] = (struct model_message){.number = number};
}

static void model_queue_gone(unsigned i)
{
	struct model_queue *q = &model.queues[i];

	q->exists = false;
	q->count = q->first = q->consumers = 0;
	for (unsigned b = 0; b < BINDINGS; b++)
		if (model.bindings[b].queue == i)
			model.bindings[b].exists = false;
}

static unsigned model_ready(const struct model_queue *q)
{
	unsigned n = 0;

	for (unsigned i = q->first; i < q->count; i++)
		n += q->at[i].state == READY;
	return n;
}

/* A message of queue i was handed over: it must be the model's next one. */
static void expect(unsigned i, const struct delivery *d, bool no_ack)
{
	struct model_queue *q = &model.queues[i];

	while (q->first < q->count && q->at[q->first].state == GONE)
		q->first++;
	unsigned at = q->first;
	while (at < q->count && q->at[at].state != READY)
		at++;
	if (at == q->count) {
		model.wrong++;
		return;
	}
	struct model_message *m = &q->at[at];
	model.wrong += m->number != number_of(d->message) || m->seen != d->redelivered;
	m->seen = true;
	m->state = no_ack ? GONE : OUT;
	model.deliveries++;
	if (no_ack)
		message_unref(fixture.core->cache, d->message);
	else
		model.out[model.out_count++] = (struct model_out){*d, i, q->life, at};
}

static bool ready(struct consumer *c)
{
	struct model_consumer *m = caa_container_of(c, struct model_consumer, consumer);
	return m->credit > 0 && model.out_count < OUT_MAX;
}

static void deliver(struct consumer *c, const struct delivery *d)
{
	struct model_consumer *m = caa_container_of(c, struct model_consumer, consumer);

	m->credit--;
	expect(m->queue, d, c->no_ack);
}

static void cancelled(struct consumer *c)
{
	model.wrong += c->queue != NULL;
}

static const struct consumer_ops ops = {ready, deliver, cancelled};

static void op_declare_queue(void)
{
	unsigned i = unit_random_below(QUEUES);
	struct queue_declaration d = {.name = text(queue_text(i)), .auto_delete = i % 4 == 0};
	struct queue *q;

	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	if (!model.queues[i].exists)
		model.queues[i].life++;
	model.queues[i].exists = true;
	model.queues[i].auto_delete = d.auto_delete;
}

static void op_delete_queue(void)
{
	unsigned i = unit_random_below(QUEUES);
	uint64_t n, expected = model_ready(&model.queues[i]);

	CU_ASSERT_EQUAL(queue_delete(&fixture.session[0], text(queue_text(i)), false, false, &n, NULL), 0);
	CU_ASSERT_EQUAL(n, expected);
	model_queue_gone(i);
}

static void op_purge(void)
{
	unsigned i = unit_random_below(QUEUES);
	struct model_queue *q = &model.queues[i];
	uint64_t n, expected = model_ready(q);

	enum failure_code code = queue_purge(&fixture.session[0], text(queue_text(i)), &n, NULL);
	CU_ASSERT_EQUAL(code, q->exists ? 0 : FAILURE_NOT_FOUND);
	CU_ASSERT_EQUAL(n, expected);
	for (unsigned k = q->first; k < q->count; k++)
		if (q->at[k].state == READY)
			q->at[k].state = GONE;
}

static void op_exchange(void)
{
	unsigned i = unit_random_below(EXCHANGES);

	if (!model.exchanges[i] || unit_random_below(4) > 0) {
		exchange_make(exchange_text(i), type_of(i));
		model.exchanges[i] = true;
		return;
	}
	CU_ASSERT_EQUAL(exchange_delete(&fixture.session[0], text(exchange_text(i)), false, NULL), 0);
	model.exchanges[i] = false;
	for (unsigned b = 0; b < BINDINGS; b++)
		if (model.bindings[b].exchange == i)
			model.bindings[b].exists = false;
}

static void op_bind(void)
{
	struct model_binding *b = &model.bindings[unit_random_below(BINDINGS)], wanted = {.exists = true};

	if (b->exists) {
		CU_ASSERT_EQUAL(unbind_code(exchange_text(b->exchange), queue_text(b->queue), b->key), 0);
		b->exists = false;
		return;
	}
	wanted.exchange = unit_random_below(EXCHANGES);
	wanted.queue = unit_random_below(QUEUES);
	snprintf(wanted.key, sizeof(wanted.key), "%s", patterns[unit_random_below(7)]);
	for (unsigned i = 0; i < BINDINGS; i++)
		if (model.bindings[i].exists && model.bindings[i].exchange == wanted.exchange &&
			model.bindings[i].queue == wanted.queue &&
			strcmp(model.bindings[i].key, wanted.key) == 0)
			return;
	bool can = model.exchanges[wanted.exchange] && model.queues[wanted.queue].exists;
	CU_ASSERT_EQUAL(bind_code(exchange_text(wanted.exchange), queue_text(wanted.queue), wanted.key),
		can ? 0 : FAILURE_NOT_FOUND);
	if (can)
		*b = wanted;
}

static void op_publish(void)
{
	unsigned x = unit_random_below(EXCHANGES), expected = 0;
	const char *key = keys[unit_random_below(4)];

	if (!model.exchanges[x] || message_store_full(fixture.core->cache))
		return;
	bool to[QUEUES] = {false};
	for (unsigned b = 0; b < BINDINGS; b++)
		if (model_matches(&model.bindings[b], x, key))
			to[model.bindings[b].queue] = true;
	model.number++;
	for (unsigned i = 0; i < QUEUES; i++) {
		if (!to[i])
			continue;
		model_push(&model.queues[i], model.number);
		expected++;
	}
	CU_ASSERT_EQUAL(publish(exchange_text(x), key, model.number), expected);
}

static void op_get(void)
{
	unsigned i = unit_random_below(QUEUES);
	struct queue *q = queue_find(fixture.session[0].vhost, text(queue_text(i)));
	bool no_ack = unit_random_below(4) == 0;
	struct delivery d;

	CU_ASSERT_EQUAL(q != NULL, model.queues[i].exists);
	if (!q || model.out_count == OUT_MAX)
		return;
	if (queue_get(q, no_ack, &d))
		expect(i, &d, no_ack);
	else
		CU_ASSERT_EQUAL(model_ready(&model.queues[i]), 0);
}

static void op_consumer(void)
{
	struct model_consumer *c = &model.consumers[unit_random_below(CONSUMERS)];

	if (c->consumer.queue) {
		struct model_queue *q = &model.queues[c->queue];
		consumer_detach(&c->consumer);
		if (--q->consumers == 0 && q->auto_delete)
			model_queue_gone(c->queue);
		return;
	}
	c->queue = unit_random_below(QUEUES);
	struct queue *q = queue_find(fixture.session[0].vhost, text(queue_text(c->queue)));
	if (!q)
		return;
	c->credit = unit_random_below(4);
	c->consumer = (struct consumer){.ops = &ops, .no_ack = unit_random_below(4) == 0};
	CU_ASSERT_EQUAL(consumer_attach(&c->consumer, q, NULL), 0);
	model.queues[c->queue].consumers++;
}

static void op_credit(void)
{
	struct model_consumer *c = &model.consumers[unit_random_below(CONSUMERS)];

	c->credit += unit_random_below(5);
	consumer_wake(&c->consumer);
}

static void settle_one(unsigned at, unsigned how)
{
	struct model_out *o = &model.out[at], settled = *o;
	struct model_queue *q = &model.queues[settled.queue];

	*o = model.out[--model.out_count];
	if (q->exists && q->life == settled.life)
		q->at[settled.index].state = how == 0 ? READY : GONE;
	if (how == 0)
		queue_requeue(fixture.core, &settled.delivery);
	else if (how == 1)
		queue_drop(fixture.core, &settled.delivery);
	else
		queue_ack(fixture.core, &settled.delivery);
}

static void op_settle(void)
{
	unsigned many = unit_random_below(6);

	while (many-- > 0 && model.out_count > 0)
		settle_one(unit_random_below(model.out_count), unit_random_below(4));
}

static void op_deliver(void)
{
	broker_core_deliver(fixture.core, 1 + unit_random_below(40));
}

static const struct {
	unsigned weight;
	void (*run)(void);
} operations[] = {{20, op_declare_queue}, {2, op_delete_queue}, {2, op_purge}, {5, op_exchange},
	{40, op_bind}, {500, op_publish}, {80, op_get}, {20, op_consumer}, {250, op_credit}, {280, op_settle},
	{301, op_deliver}};

static void one_operation(void)
{
	unsigned n = unit_random_below(1500), i = 0;

	while (n >= operations[i].weight)
		n -= operations[i++].weight;
	operations[i].run();
}

static void counts_agree(void)
{
	struct broker_core_stats stats;
	uint64_t all_ready = 0, out = 0;
	unsigned consumers = 0;

	for (unsigned i = 0; i < QUEUES; i++) {
		struct queue *q = queue_find(fixture.session[0].vhost, text(queue_text(i)));
		CU_ASSERT_EQUAL(q != NULL, model.queues[i].exists);
		if (!q)
			continue;
		all_ready += model_ready(&model.queues[i]);
		CU_ASSERT_EQUAL(queue_ready_count(q), model_ready(&model.queues[i]));
		CU_ASSERT_EQUAL(queue_consumer_count(q), model.queues[i].consumers);
		consumers += model.queues[i].consumers;
	}
	for (unsigned i = 0; i < model.out_count; i++)
		out += model.queues[model.out[i].queue].exists &&
		       model.queues[model.out[i].queue].life == model.out[i].life;
	broker_core_stats(fixture.core, &stats);
	CU_ASSERT_EQUAL(stats.messages_ready, all_ready);
	CU_ASSERT_EQUAL(stats.messages_unacked, out);
	CU_ASSERT_EQUAL(stats.consumers, consumers);
}

static void random_operations_match_the_model(void)
{
	fixture_begin_with(&(struct broker_limits){QUEUES, EXCHANGES, BINDINGS, CONSUMERS}, 8 << 20);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		one_operation();
		if (i % 1000 == 0) {
			counts_agree();
			reclaim_run();
		}
	}
	counts_agree();
	CU_ASSERT_EQUAL(model.wrong, 0);
	CU_ASSERT_TRUE(model.deliveries > OPERATIONS / 20);
	printf("# %llu published, %u delivered\n", (unsigned long long)model.number, model.deliveries);
	for (unsigned i = 0; i < CONSUMERS; i++)
		consumer_detach(&model.consumers[i].consumer);
	while (model.out_count > 0)
		settle_one(0, unit_random_below(3));
	for (unsigned i = 0; i < QUEUES; i++)
		free(model.queues[i].at);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"random_operations_match_the_model", random_operations_match_the_model}, {0}});
}
