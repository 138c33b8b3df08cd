/* SPDX-License-Identifier: Apache-2.0 */
/* Cores as threads: each publishes to the queues of all, and consumes from one after the other, which come to
 * it and leave it again as its consumer comes and goes. What is published arrives once each (again only when
 * it was said), whatever the threads' timing; ThreadSanitizer looks on in the stage tsan. The first queue
 * holds each value once: what it refuses is offered again, and no two of a value are with clients. */
#include "broker/core/core.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES = 3, MESSAGES = 30000, CHURN = 700, PATIENCE = 300, UNDER_WAY_MAX = 200, VALUES = 500 };

struct worker {
	struct broker_core *core;
	struct session session;
	struct consumer consumer;
	unsigned index, target, since, turns,
		state; /* of the consumer: 0 none, 1 coming, 2 there, 3 leaving */
	unsigned random;
	struct message *message;
	char key[8];
	uint64_t published, taken;
	struct delivery held[UNDER_WAY_MAX];
	unsigned held_count;
	pthread_t thread;
};

static struct {
	struct broker *broker;
	struct message_store *store;
	struct worker workers[CORES];
	uint8_t *seen; /* by number: how often it came for the first time */
	queue_handle deduplicates;
	unsigned held[VALUES]; /* by value: messages that clients have from there */
	uint64_t arrived, wrong, refused;
	bool stop;
} t;

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static unsigned below(struct worker *w, unsigned n)
{
	w->random = w->random * 1664525u + 1013904223u;
	return (w->random >> 8) % n;
}

static struct worker *worker_of(struct consumer *c)
{
	return caa_container_of(c, struct worker, consumer);
}

static bool ready(struct consumer *c)
{
	return worker_of(c)->held_count < UNDER_WAY_MAX;
}

static uint32_t credit(struct consumer *c)
{
	return UNDER_WAY_MAX - worker_of(c)->held_count;
}

static uint64_t number_of(const struct message *m)
{
	struct message_cursor at = {0};
	uint64_t n;

	memcpy(&n, message_body_next(m, &at, sizeof(n)).data, sizeof(n));
	return n;
}

static bool find_value(const void *ctx, struct slice name, struct value *out)
{
	(void)name;
	*out = (struct value){
		.kind = VALUE_INT, .integer = (int64_t)(number_of((const struct message *)ctx) % VALUES)};
	return true;
}

static void held_add(const struct delivery *d, int n)
{
	if (d->queue == t.deduplicates &&
		__atomic_add_fetch(&t.held[number_of(d->message) % VALUES], n, __ATOMIC_RELAXED) > 1)
		__atomic_fetch_add(&t.wrong, 1, __ATOMIC_RELAXED);
}

static void deliver(struct consumer *c, const struct delivery *d)
{
	struct worker *w = worker_of(c);

	held_add(d, 1);
	w->held[w->held_count++] = *d;
	w->since++;
}

static void attached(struct consumer *c, const struct failure *f)
{
	worker_of(c)->state = f ? 0 : 2;
}

static void detached(struct consumer *c)
{
	worker_of(c)->state = 0;
}

static void cancelled(struct consumer *c)
{
	__atomic_fetch_add(&t.wrong, 1, __ATOMIC_RELAXED);
}

static const struct consumer_ops ops = {.ready = ready,
	.deliver = deliver,
	.cancelled = cancelled,
	.credit = credit,
	.attached = attached,
	.detached = detached};

static void consume(struct worker *w)
{
	char name[8];
	struct failure f;
	struct queue *q;

	snprintf(name, sizeof(name), "t%u", w->target);
	if (w->state == 0 && queue_lookup(&w->session, text(name), &q, &f) == 0) {
		w->consumer = (struct consumer){.ops = &ops};
		w->since = w->turns = 0;
		enum consumer_result r = consumer_attach(w->core, &w->consumer, q, &f);
		w->state = r == CONSUMER_DONE ? 2 : r == CONSUMER_PENDING ? 1 : 0;
	} else if (w->state == 2 && (w->since > CHURN || ++w->turns > PATIENCE)) {
		w->target = below(w, CORES);
		w->state = consumer_detach(&w->consumer) == CONSUMER_PENDING ? 3 : 0;
	}
}

static void settle(struct worker *w)
{
	while (w->held_count && queue_settle_ready(w->core, &w->held[w->held_count - 1])) {
		struct delivery *d = &w->held[--w->held_count];
		uint64_t n = number_of(d->message);
		held_add(d, -1);
		if (below(w, 50) == 0) {
			queue_requeue(w->core, d);
			continue;
		}
		if (__atomic_fetch_add(&t.seen[n], 1, __ATOMIC_RELAXED) != 0)
			__atomic_fetch_add(&t.wrong, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&t.arrived, 1, __ATOMIC_RELAXED);
		w->taken++;
		queue_ack(w->core, d);
	}
	if (w->state == 2)
		consumer_wake(&w->consumer);
}

static void publish_one(struct worker *w)
{
	struct failure f;
	uint32_t queues = 0;

	if (!w->message) {
		if (w->published == MESSAGES)
			return;
		uint64_t n = w->index * MESSAGES + w->published;
		snprintf(w->key, sizeof(w->key), "t%u", below(w, CORES));
		struct message_envelope e = {.routing_key = text(w->key), .body_bytes = sizeof(n)};
		w->message = message_new(w->core->cache, &e);
		if (!w->message)
			return;
		message_append(w->message, &n, sizeof(n));
	}
	struct header_source headers = {.find = find_value, .ctx = w->message};
	struct publish p = {.exchange = text(""),
		.routing_key = text(w->key),
		.headers = &headers,
		.message = w->message};
	enum publish_result result = exchange_publish(&w->session, &p, NULL, &queues, &f);
	if (result == PUBLISH_REFUSED)
		__atomic_fetch_add(&t.refused, 1, __ATOMIC_RELAXED);
	if (result != PUBLISH_DONE)
		return;
	if (queues != 1)
		__atomic_fetch_add(&t.wrong, 1, __ATOMIC_RELAXED);
	message_unref(w->core->cache, w->message);
	w->message = NULL;
	w->published++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned idle = 0;

	reclaim_thread_register();
	while (!__atomic_load_n(&t.stop, __ATOMIC_ACQUIRE)) {
		unsigned did = broker_core_poll(w->core);
		for (unsigned i = 0; i < 16; i++)
			publish_one(w);
		consume(w);
		did += broker_core_deliver(w->core, 64);
		settle(w);
		broker_core_flush(w->core);
		reclaim_quiescent();
		if (did == 0 && ++idle % 8 == 0)
			sched_yield();
	}
	reclaim_thread_unregister();
	return NULL;
}

static void open_all(void)
{
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	t.seen = calloc(CORES, MESSAGES);
	t.store = message_store_create(&(struct message_store_config){
		.memory_bytes = 32 << 20, .watermark_percent = 80, .caches_max = CORES});
	t.broker = broker_create(&(struct broker_config){
		.limits = {16, 16, 100, 100}, .key = {1, 2}, .cores = CORES, .link_records = 64});
	CU_ASSERT_TRUE_FATAL(t.seen && t.store && t.broker);
	for (unsigned i = 0; i < CORES; i++) {
		struct worker *w = &t.workers[i];
		struct queue *q;
		struct failure f;
		char name[8];
		w->index = i;
		w->random = (unsigned)unit_random_below(1u << 30);
		w->core = broker_core_create(t.broker, i, message_cache_create(t.store));
		CU_ASSERT_PTR_NOT_NULL_FATAL(w->core);
		session_begin(&w->session, w->core, vhost_find(t.broker, text("/")));
		snprintf(name, sizeof(name), "t%u", i);
		struct field once = {
			text("x-message-deduplication"), {.kind = VALUE_BOOL, .boolean = i == 0}};
		struct queue_declaration d = {.name = text(name), .arguments = {&once, 1}};
		CU_ASSERT_EQUAL(queue_declare(&w->session, &d, &q, &f), 0);
		t.deduplicates = i == 0 ? queue_handle_of(q) : t.deduplicates;
	}
}

static uint64_t close_all(void)
{
	uint64_t moves = 0;

	for (unsigned i = 0; i < CORES; i++) {
		struct worker *w = &t.workers[i];
		if (w->state)
			consumer_abandon(&w->consumer);
		session_end(&w->session);
	}
	broker_cores_settle(t.broker);
	for (unsigned i = 0; i < CORES; i++) {
		moves += t.workers[i].core->counters.moves_in;
		CU_ASSERT_EQUAL(pool_stats(t.workers[i].core->subscriptions).used, 0);
		CU_ASSERT_EQUAL(t.workers[i].core->stats.messages_unacked, 0);
		CU_ASSERT_EQUAL(t.workers[i].core->stats.messages_ready, 0);
	}
	for (unsigned i = 0; i < CORES; i++)
		broker_core_destroy(t.workers[i].core);
	CU_ASSERT_EQUAL(message_store_stats(t.store).cells.used, 0);
	broker_destroy(t.broker);
	message_store_destroy(t.store);
	reclaim_stop();
	free(t.seen);
	return moves;
}

static void every_message_arrives_once(void)
{
	open_all();
	for (unsigned i = 0; i < CORES; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&t.workers[i].thread, NULL, work, &t.workers[i]), 0);
	/* Bounded, however slow the machine is. */
	uint64_t before = 0, arrived = 0;
	for (unsigned still = 0; arrived < CORES * MESSAGES && still < 2000; still++) {
		struct timespec ms = {.tv_nsec = 10000000};
		nanosleep(&ms, NULL);
		arrived = __atomic_load_n(&t.arrived, __ATOMIC_RELAXED);
		if (arrived != before)
			still = 0;
		before = arrived;
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < CORES; i++)
		pthread_join(t.workers[i].thread, NULL);
	CU_ASSERT_EQUAL(arrived, CORES * MESSAGES);
	CU_ASSERT_EQUAL(t.wrong, 0);
	for (unsigned i = 0; i < CORES; i++)
		CU_ASSERT_EQUAL(t.workers[i].held_count, 0);
	uint64_t moves = close_all();
	printf("# %llu messages over %d cores, %llu queues moved, %llu duplicates\n",
		(unsigned long long)arrived, CORES, (unsigned long long)moves, (unsigned long long)t.refused);
	CU_ASSERT_TRUE(moves > 3 && t.refused > 10);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"every_message_arrives_once", every_message_arrives_once}, {NULL, NULL}});
}
