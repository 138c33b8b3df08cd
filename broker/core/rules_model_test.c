/* SPDX-License-Identifier: Apache-2.0 */
/* Queues with rules beside a slow model of them: an array of messages, looked through from its beginning each
 * time. Random operations and a clock that moves in the wheel's ticks; after each of them the queue has to be
 * what the model is, the rules being applied at once in both. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000)
#define NO UINT64_MAX

enum { OPERATIONS = 60000, OUT_MAX = 200, READY_MAX = 60, VALUES = 10 };

struct model_message {
	uint64_t number, received_us, lifetime_us; /* lifetime: the shorter one of its own and the queue's */
	uint32_t bytes, returns;
	int64_t value; /* 0: none */
	bool ready, seen, out;
};

/* Those that were given up, in their order: as the model has them, and as they came to the office. */
struct model_deaths {
	struct model_death {
		uint64_t number;
		enum death why;
	} * at;
	unsigned count, room;
};

struct model_queue {
	const char *name;
	uint64_t ttl_us, length_max, bytes_max;
	bool refuses, letters;
	int delivery_limit; /* 0: none */
	bool deduplicates;
	struct model_deaths expected, came;
	unsigned compared;
	struct model_message *at;
	unsigned count, room;
	struct queue *queue;
	struct consumer consumer;
	bool consuming;
	unsigned credit;
};

struct model_out {
	struct delivery delivery;
	struct model_queue *queue;
	unsigned index;
};

static struct {
	struct model_out out[OUT_MAX];
	unsigned out_count, wrong;
	uint64_t number, delivered, expired, dropped_length, refused, letters, too_often, duplicates;
} model;

static struct model_queue queues[] = {
	{"plain", .ttl_us = NO, .length_max = NO, .bytes_max = NO, .letters = true},
	{"ttl", .ttl_us = 20 * MS, .length_max = NO, .bytes_max = NO, .letters = true},
	{"now", .ttl_us = 0, .length_max = NO, .bytes_max = NO},
	{"few", .ttl_us = NO, .length_max = 5, .bytes_max = NO, .letters = true},
	{"short", .ttl_us = 30 * MS, .length_max = NO, .bytes_max = 100},
	{"both", .ttl_us = NO, .length_max = 7, .bytes_max = 150, .letters = true},
	{"refuses", .ttl_us = 40 * MS, .length_max = 5, .bytes_max = 120, .refuses = true},
	{"back", .ttl_us = NO, .length_max = NO, .bytes_max = NO, .delivery_limit = 1, .letters = true},
	{"all", .ttl_us = 20 * MS, .length_max = 7, .bytes_max = NO, .delivery_limit = 2},
	{"sends on", .ttl_us = 40 * MS, .length_max = 5, .bytes_max = 120, .refuses = true, .letters = true},
	{"once", .ttl_us = NO, .length_max = NO, .bytes_max = NO, .deduplicates = true},
	{"once of all", .ttl_us = 20 * MS, .length_max = 7, .bytes_max = NO, .delivery_limit = 1,
		.letters = true, .deduplicates = true},
	{"once or not", .ttl_us = 40 * MS, .length_max = 5, .bytes_max = 120, .refuses = true,
		.letters = true, .deduplicates = true},
};
enum { QUEUES = sizeof(queues) / sizeof(queues[0]) };

static void wrong(const char *what, const struct model_queue *q, uint64_t number)
{
	if (model.wrong++ < 5)
		printf("# %s: queue %s, message %llu\n", what, q->name, (unsigned long long)number);
}

static void death(struct model_deaths *d, uint64_t number, enum death why)
{
	if (d->count == d->room) {
		d->room = d->room ? d->room * 2 : 64;
		d->at = realloc(d->at, d->room * sizeof(*d->at));
	}
	d->at[d->count++] = (struct model_death){number, why};
}

static void expect_letter(struct model_queue *q, uint64_t number, enum death why)
{
	if (q->letters)
		death(&q->expected, number, why);
}

static enum publish_result letter_came(void *ctx, const struct dead_letter *l)
{
	(void)ctx;
	if (unit_random_below(4) == 0)
		return PUBLISH_AGAIN;
	for (unsigned i = 0; i < QUEUES; i++)
		if (slice_equals_text(l->address->queue, queues[i].name))
			death(&queues[i].came, number_of(l->message), l->why);
	model.letters++;
	return PUBLISH_DONE;
}

/* As far as both are known. */
static void compare_letters(struct model_queue *q)
{
	for (; q->compared < q->came.count && q->compared < q->expected.count; q->compared++) {
		struct model_death a = q->came.at[q->compared], b = q->expected.at[q->compared];
		if (a.number != b.number || a.why != b.why)
			wrong("the letter is another one", q, a.number);
	}
}

static struct model_message *head(struct model_queue *q)
{
	for (unsigned i = 0; i < q->count; i++)
		if (q->at[i].ready)
			return &q->at[i];
	return NULL;
}

static unsigned ready_count(const struct model_queue *q)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->count; i++)
		n += q->at[i].ready;
	return n;
}

static uint64_t ready_bytes(const struct model_queue *q)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < q->count; i++)
		n += q->at[i].ready ? q->at[i].bytes : 0;
	return n;
}

static bool ended(const struct model_message *m, bool at_once)
{
	if (m->lifetime_us == 0)
		return at_once;
	return m->lifetime_us != UINT64_MAX && m->received_us + m->lifetime_us <= fixture.core->now_us;
}

static bool too_much(const struct model_queue *q, uint32_t more, uint32_t more_bytes)
{
	return ready_count(q) + more > q->length_max || ready_bytes(q) + more_bytes > q->bytes_max;
}

/* What must not stay goes from the head on. */
static void apply(struct model_queue *q, bool at_once, bool limits)
{
	for (struct model_message *m; (m = head(q)); m->ready = false) {
		bool expired = ended(m, at_once);
		if (!expired && (!limits || !too_much(q, 0, 0)))
			break;
		model.expired += expired;
		model.dropped_length += !expired;
		expect_letter(q, m->number, expired ? DEATH_EXPIRED : DEATH_MAXLEN);
	}
}

static void push(struct model_queue *q, const struct model_message *m)
{
	if (q->count == q->room) {
		q->room = q->room ? q->room * 2 : 64;
		q->at = realloc(q->at, q->room * sizeof(*q->at));
	}
	q->at[q->count++] = *m;
}

/* It was handed over: it must be the model's first, and not over. */
static void taken(struct model_queue *q, const struct delivery *d, bool no_ack)
{
	apply(q, false, false);
	struct model_message *m = head(q);
	uint64_t number = number_of(d->message);

	if (!m || m->number != number || m->seen != d->redelivered ||
		d->attempt != (q->delivery_limit ? m->returns + 1 : 0)) {
		wrong("not the next one", q, number);
		return;
	}
	m->ready = false;
	m->out = !no_ack;
	m->seen = true;
	model.delivered++;
	if (no_ack)
		message_unref(fixture.core->cache, d->message);
	else
		model.out[model.out_count++] = (struct model_out){*d, q, (unsigned)(m - q->at)};
}

static bool ready(struct consumer *c)
{
	return caa_container_of(c, struct model_queue, consumer)->credit > 0 && model.out_count < OUT_MAX;
}

static void deliver(struct consumer *c, const struct delivery *d)
{
	struct model_queue *q = caa_container_of(c, struct model_queue, consumer);

	q->credit--;
	taken(q, d, c->no_ack);
}

static const struct consumer_ops ops = {.ready = ready, .deliver = deliver};

static bool find_value(const void *ctx, struct slice name, struct value *out)
{
	if (!slice_equals_text(name, "x-deduplication-header"))
		return false;
	*out = (struct value){.kind = VALUE_INT, .integer = *(const int64_t *)ctx};
	return out->integer != 0;
}

static bool is_held(const struct model_queue *q, int64_t value)
{
	for (unsigned i = 0; q->deduplicates && value && i < q->count; i++)
		if (q->at[i].value == value && (q->at[i].ready || q->at[i].out))
			return true;
	return false;
}

static void op_publish(struct model_queue *q)
{
	static const uint64_t lifetimes[] = {0, 5 * MS, 15 * MS, 60 * MS};
	int64_t value = unit_random_below(VALUES);
	struct header_source headers = {.find = find_value, .ctx = &value};
	struct publish_extra e = {.headers = &headers,
		.expires = unit_random_below(3) == 0,
		.lifetime_us = lifetimes[unit_random_below(4)],
		.body_bytes = 8 + unit_random_below(40)};
	uint64_t lifetime = e.expires ? e.lifetime_us : UINT64_MAX;
	struct model_message m = {.number = ++model.number,
		.received_us = fixture.core->now_us,
		.lifetime_us = q->ttl_us < lifetime ? q->ttl_us : lifetime,
		.bytes = e.body_bytes,
		.value = value,
		.ready = true};

	if (ready_count(q) >= READY_MAX)
		return;
	bool held = is_held(q, value);
	bool refused = !held && q->refuses && too_much(q, 1, e.body_bytes);
	if (!held && !refused)
		push(q, &m);
	if (refused)
		expect_letter(q, m.number, DEATH_MAXLEN);
	model.refused += refused;
	model.duplicates += held;
	CU_ASSERT_EQUAL(publish_with("", q->name, m.number, &e), 1);
	if (fixture_refused != (held || refused))
		wrong(held ? "a duplicate came in" : "it was refused, or not", q, m.number);
}

static void op_take(struct model_queue *q)
{
	bool no_ack = unit_random_below(3) == 0;
	struct delivery d;

	if (model.out_count == OUT_MAX)
		return;
	if (queue_take(q->queue, no_ack, &d)) {
		taken(q, &d, no_ack);
		return;
	}
	apply(q, false, false);
	if (head(q))
		wrong("nothing was got", q, head(q)->number);
}

static void op_consume(struct model_queue *q)
{
	if (!q->consuming) {
		q->consumer = (struct consumer){.ops = &ops, .no_ack = unit_random_below(3) == 0};
		CU_ASSERT_EQUAL(attach_code(&q->consumer, q->queue), 0);
	} else {
		consumer_detach(&q->consumer);
	}
	q->consuming = !q->consuming;
}

static void op_credit(struct model_queue *q)
{
	q->credit += unit_random_below(4);
	if (q->consuming)
		consumer_wake(&q->consumer);
}

static void requeue(const struct model_out *o)
{
	struct model_queue *q = o->queue;
	struct model_message *m = &q->at[o->index];

	m->out = false;
	queue_requeue(fixture.core, &o->delivery);
	if (q->delivery_limit && ++m->returns > (uint32_t)q->delivery_limit) {
		expect_letter(q, m->number, DEATH_DELIVERY_LIMIT);
		model.too_often++;
		return;
	}
	m->ready = true;
	apply(q, true, false);
}

static void settle_one(unsigned at, unsigned how)
{
	struct model_out o = model.out[at];

	model.out[at] = model.out[--model.out_count];
	if (how == 0) {
		requeue(&o);
		return;
	}
	o.queue->at[o.index].out = false;
	if (how == 1) {
		expect_letter(o.queue, number_of(o.delivery.message), DEATH_REJECTED);
		queue_drop(fixture.core, &o.delivery);
	} else {
		queue_ack(fixture.core, &o.delivery);
	}
}

static void op_settle(void)
{
	if (model.out_count > 0)
		settle_one(unit_random_below(model.out_count), unit_random_below(3));
}

static void op_purge(struct model_queue *q)
{
	struct queue_call_request r = {.kind = QUEUE_CALL_PURGE, .queue = text(q->name)};
	uint64_t n;

	CU_ASSERT_EQUAL(queue_call_code(0, &r, &n), 0);
	if (n != ready_count(q))
		wrong("purged", q, n);
	for (unsigned i = 0; i < q->count; i++)
		q->at[i].ready = false;
}

/* Of the values of a queue as many are held as the model has. */
static unsigned values_count(const struct model_queue *q)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->count; i++)
		n += q->at[i].value && (q->at[i].ready || q->at[i].out);
	return n;
}

static void op_turn(void)
{
	broker_core_deliver(fixture.core, 1 + unit_random_below(20));
}

/* The rules at once: consumers get nothing meanwhile. */
static void apply_rules(void)
{
	bool was_ready[QUEUES];

	broker_core_poll(fixture.core);
	for (unsigned i = 0; i < QUEUES; i++)
		was_ready[i] = queues[i].queue->is_ready;
	broker_core_deliver(fixture.core, 0);
	for (unsigned i = 0; i < QUEUES; i++)
		apply(&queues[i], !was_ready[i], !was_ready[i] && !queues[i].refuses);
}

static void one_operation(void)
{
	struct model_queue *q = &queues[unit_random_below(QUEUES)];

	switch (unit_random_below(20)) {
	case 0:
		op_consume(q);
		break;
	case 1:
	case 2:
		op_credit(q);
		break;
	case 3:
	case 4:
	case 5:
		op_take(q);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		op_settle();
		break;
	case 10:
	case 11:
		op_turn();
		break;
	case 12:
	case 13:
		broker_core_now(fixture.core, fixture.core->now_us + MS * unit_random_below(8));
		break;
	case 14:
		if (unit_random_below(30) == 0)
			op_purge(q);
		break;
	default:
		op_publish(q);
	}
}

static void compare(void)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &queues[i];
		unsigned n = ready_count(q);
		if (queue_ready_count(q->queue) != n)
			wrong("how many are ready", q, queue_ready_count(q->queue));
		if (q->deduplicates && queue_values_count(q->queue->entries.values) != values_count(q))
			wrong("how many values are held", q, queue_values_count(q->queue->entries.values));
		all += n;
		compare_letters(q);
	}
	const struct broker_core_stats *k = &fixture.core->stats;
	if (k->messages_ready != all || k->messages_unacked != model.out_count ||
		k->expired != model.expired || k->dropped_length != model.dropped_length ||
		k->refused != model.refused || k->returned_too_often != model.too_often ||
		broker_core_counters(fixture.core)->duplicates != model.duplicates)
		wrong("what is counted", &queues[0], 0);
}

/* What is over and has no reader any more goes from the model's arrays when nothing is out. */
static void shorten(void)
{
	if (model.out_count > 0)
		return;
	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &queues[i];
		unsigned n = 0;
		for (unsigned k = 0; k < q->count; k++)
			if (q->at[k].ready)
				q->at[n++] = q->at[k];
		q->count = n;
	}
}

static struct queue *declare(const struct model_queue *q)
{
	struct field a[8];
	uint32_t n = 0;

	if (q->deduplicates)
		a[n++] = argument_bool("x-message-deduplication", true);
	if (q->ttl_us != NO)
		a[n++] = argument_int("x-message-ttl", (int64_t)(q->ttl_us / MS));
	if (q->length_max != NO)
		a[n++] = argument_int("x-max-length", (int64_t)q->length_max);
	if (q->bytes_max != NO)
		a[n++] = argument_int("x-max-length-bytes", (int64_t)q->bytes_max);
	if (q->delivery_limit)
		a[n++] = argument_int("x-delivery-limit", q->delivery_limit);
	if (q->refuses)
		a[n++] = argument_text("x-overflow", q->letters ? "reject-publish-dlx" : "reject-publish");
	if (q->letters)
		a[n++] = argument_text("x-dead-letter-exchange", "somewhere");
	return queue_make_with(q->name, n, a);
}

static void random_operations_match_the_model(void)
{
	fixture_begin();
	broker_core_set_letter_office(fixture.core, letter_came, NULL);
	for (unsigned i = 0; i < QUEUES; i++)
		queues[i].queue = declare(&queues[i]);
	for (unsigned i = 0; i < OPERATIONS && !model.wrong; i++) {
		one_operation();
		apply_rules();
		compare();
		if (i % 500 == 0) {
			while (model.out_count > 0)
				settle_one(model.out_count - 1, 2);
			shorten();
		}
	}
	CU_ASSERT_EQUAL(model.wrong, 0);
	printf("# %llu published, %llu delivered, %llu expired, %llu too much, %llu refused, %llu too often, "
	       "%llu letters, %llu duplicates\n",
		(unsigned long long)model.number, (unsigned long long)model.delivered,
		(unsigned long long)model.expired, (unsigned long long)model.dropped_length,
		(unsigned long long)model.refused, (unsigned long long)model.too_often,
		(unsigned long long)model.letters, (unsigned long long)model.duplicates);
	CU_ASSERT_TRUE(model.letters > OPERATIONS / 20);
	CU_ASSERT_TRUE(model.delivered > OPERATIONS / 20 && model.expired > OPERATIONS / 40);
	CU_ASSERT_TRUE(model.dropped_length > OPERATIONS / 500 && model.refused > OPERATIONS / 1000);
	CU_ASSERT_TRUE(model.too_often > OPERATIONS / 3000 && model.duplicates > OPERATIONS / 400);
	while (model.out_count > 0)
		settle_one(model.out_count - 1, 2);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &queues[i];
		for (unsigned k = 0; k < 1000 && q->came.count < q->expected.count; k++)
			broker_core_poll(fixture.core);
		compare_letters(q);
		CU_ASSERT_EQUAL(q->came.count, q->expected.count);
		CU_ASSERT_EQUAL(q->compared, q->came.count);
		if (q->consuming)
			consumer_detach(&q->consumer);
		free(q->at);
		free(q->expected.at);
		free(q->came.at);
	}
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"random_operations_match_the_model", random_operations_match_the_model}, {0}});
}
