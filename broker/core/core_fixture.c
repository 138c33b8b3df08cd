/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/core_fixture.h"

#include <stdlib.h>
#include <string.h>

struct fixture fixture;
bool fixture_refused;

static void begin(const struct broker_limits *limits, uint64_t memory_bytes)
{
	static const char *const vhosts[] = {"/", FIXTURE_OTHER_VHOST};

	fixture.store = message_store_create(&(struct message_store_config){
		.memory_bytes = memory_bytes, .watermark_percent = 80, .caches_max = 2});
	CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.store);
	fixture.broker = broker_create(&(struct broker_config){.limits = *limits,
		.key = {1, 2},
		.cores = 2,
		.vhosts = vhosts,
		.vhost_count = sizeof(vhosts) / sizeof(vhosts[0])});
	CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.broker);
	fixture.core = broker_core_create(fixture.broker, 0, message_cache_create(fixture.store));
	CU_ASSERT_PTR_NOT_NULL_FATAL(fixture.core);
	broker_core_now(fixture.core, 1000);
	for (unsigned i = 0; i < FIXTURE_SESSIONS; i++)
		session_begin(&fixture.session[i], fixture.core, vhost_find(fixture.broker, text("/")));
}

void fixture_begin_with(const struct broker_limits *limits, uint64_t memory_bytes)
{
	reclaim_start_manual();
	begin(limits, memory_bytes);
}

void fixture_begin(void)
{
	fixture_begin_with(&(struct broker_limits){200, 50, 5000, 200}, 4 << 20);
}

void fixture_begin_threads(void)
{
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	begin(&(struct broker_limits){200, 50, 5000, 200}, 4 << 20);
}

void fixture_end(void)
{
	for (unsigned i = 0; i < FIXTURE_SESSIONS; i++)
		session_end(&fixture.session[i]);
	while (!cds_list_empty(&fixture.core->queues))
		queue_remove(cds_list_first_entry(&fixture.core->queues, struct queue, of_core));
	pthread_mutex_lock(&fixture.broker->writer);
	exchanges_remove(fixture.broker, false);
	pthread_mutex_unlock(&fixture.broker->writer);
	do
		graves_empty();
	while (broker_core_tidy(fixture.core));
	struct message_store_stats store = message_store_stats(fixture.store);
	CU_ASSERT_EQUAL(store.cells.used, 0);
	CU_ASSERT_EQUAL(store.blocks.used, 0);
	CU_ASSERT_EQUAL(fixture.broker->free_slot_count, fixture.broker->config.limits.queues);
	struct broker_core_stats stats;
	broker_core_stats(fixture.core, &stats);
	CU_ASSERT_EQUAL(stats.queues, 0);
	CU_ASSERT_EQUAL(stats.consumers, 0);
	CU_ASSERT_EQUAL(stats.bindings, 0);
	CU_ASSERT_EQUAL(stats.messages_ready, 0);
	CU_ASSERT_EQUAL(stats.messages_unacked, 0);
	CU_ASSERT_EQUAL(stats.messages_delayed, 0);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	CU_ASSERT_EQUAL(fixture.core->wheel.armed, 0);
	broker_core_destroy(fixture.core);
	broker_destroy(fixture.broker);
	message_store_destroy(fixture.store);
	reclaim_stop();
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
}

struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

enum failure_code queue_declare_code(unsigned session, const struct queue_declaration *d, struct queue **out)
{
	return queue_declare(&fixture.session[session], d, out, &fixture.failure);
}

struct queue *queue_make(const char *name)
{
	struct queue *q = NULL;

	CU_ASSERT_EQUAL(queue_declare_code(0, &(struct queue_declaration){.name = text(name)}, &q), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	return q;
}

struct queue *queue_make_with(const char *name, uint32_t count, const struct field *arguments)
{
	struct queue_declaration d = {.name = text(name), .arguments = {arguments, count}};
	struct queue *q = NULL;

	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q);
	return q;
}

struct field argument_int(const char *name, int64_t value)
{
	return (struct field){text(name), {.kind = VALUE_INT, .integer = value}};
}

struct field argument_text(const char *name, const char *value)
{
	return (struct field){text(name), {.kind = VALUE_STRING, .bytes = text(value)}};
}

struct field argument_bool(const char *name, bool value)
{
	return (struct field){text(name), {.kind = VALUE_BOOL, .boolean = value}};
}

enum failure_code exchange_declare_code(const struct exchange_declaration *d)
{
	return exchange_declare(&fixture.session[0], d, &fixture.failure);
}

void exchange_make(const char *name, const char *type)
{
	struct exchange_declaration d = {.name = text(name), .type = text(type)};

	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
}

void exchange_make_alternate(const char *name, const char *type, const char *alternate)
{
	struct field a = {text(ALTERNATE_EXCHANGE), {.kind = VALUE_STRING, .bytes = text(alternate)}};
	struct exchange_declaration d = {.name = text(name), .type = text(type), .arguments = {&a, 1}};

	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
}

enum failure_code exchange_delete_code(const char *name, bool if_unused)
{
	return exchange_delete(&fixture.session[0], text(name), if_unused, &fixture.failure);
}

typedef enum failure_code (*binding_fn)(
	struct session *s, const struct binding_spec *spec, struct failure *f);

static enum failure_code binding_code(
	binding_fn change, const char *exchange, const char *to, const char *key, bool to_exchange)
{
	struct binding_spec s = {text(exchange), text(to), text(key), {0}, to_exchange};
	return change(&fixture.session[0], &s, &fixture.failure);
}

enum failure_code bind_code(const char *exchange, const char *queue, const char *key)
{
	return binding_code(binding_add, exchange, queue, key, false);
}

enum failure_code unbind_code(const char *exchange, const char *queue, const char *key)
{
	return binding_code(binding_remove, exchange, queue, key, false);
}

enum failure_code exchange_bind_code(const char *source, const char *destination, const char *key)
{
	return binding_code(binding_add, source, destination, key, true);
}

enum failure_code exchange_unbind_code(const char *source, const char *destination, const char *key)
{
	return binding_code(binding_remove, source, destination, key, true);
}

static void call_done(void *ctx, struct queue_call_result *result)
{
	*(uint64_t *)ctx = result->messages;
}

enum failure_code queue_call_code(unsigned session, struct queue_call_request *r, uint64_t *messages_out)
{
	struct queue_call *call;

	*messages_out = 0;
	r->done = call_done;
	r->ctx = messages_out;
	enum failure_code code = queue_call(&fixture.session[session], r, &call, &fixture.failure);
	CU_ASSERT_PTR_NULL(call);
	return code;
}

enum failure_code attach_code(struct consumer *c, struct queue *q)
{
	switch (consumer_attach(fixture.core, c, q, &fixture.failure)) {
	case CONSUMER_DONE:
		return FAILURE_NONE;
	case CONSUMER_REFUSED:
		return fixture.failure.code;
	default:
		CU_FAIL_FATAL("the queue is this core's");
		return FAILURE_NONE;
	}
}

void graves_empty(void)
{
	while (broker_core_poll(fixture.core) | queue_rules_poll(fixture.core))
		broker_core_flush(fixture.core);
}

void fixture_advance(uint64_t us)
{
	broker_core_now(fixture.core, fixture.core->now_us + us);
	broker_core_poll(fixture.core);
	broker_core_deliver(fixture.core, 1000);
	broker_core_flush(fixture.core);
}

enum failure_code queue_delete_code(unsigned session, const char *name)
{
	uint64_t n;
	return queue_call_code(
		session, &(struct queue_call_request){.kind = QUEUE_CALL_DELETE, .queue = text(name)}, &n);
}

bool queue_exists(const char *name)
{
	return queue_find(fixture.session[0].vhost, text(name)) != NULL;
}

bool exchange_exists(const char *name)
{
	return exchange_find(fixture.session[0].vhost, text(name)) != NULL;
}

uint32_t publish(const char *exchange, const char *key, uint64_t n)
{
	return publish_with(exchange, key, n, &(struct publish_extra){0});
}

static struct message *message_made(
	const char *exchange, const char *key, uint64_t n, const struct publish_extra *extra)
{
	static const uint8_t rest[100 * 1024];
	uint32_t more = extra->body_bytes > sizeof(n) ? extra->body_bytes - (uint32_t)sizeof(n) : 0;
	struct message_envelope e = {.exchange = text(exchange),
		.routing_key = text(key),
		.body_bytes = sizeof(n) + more,
		.priority = extra->priority,
		.received_us = fixture.core->now_us,
		.expires = extra->expires,
		.lifetime_us = extra->lifetime_us};
	struct message *m = message_new(fixture.core->cache, &e);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_TRUE_FATAL(more <= sizeof(rest));
	message_append(m, &n, sizeof(n));
	message_append(m, rest, more);
	return m;
}

uint32_t publish_with(const char *exchange, const char *key, uint64_t n, const struct publish_extra *extra)
{
	uint32_t queues = 0;
	struct message *m = message_made(exchange, key, n, extra);
	struct publish p = {.exchange = text(exchange),
		.routing_key = text(key),
		.headers = extra->headers,
		.message = m};
	enum publish_result result;
	while ((result = exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure)) ==
		PUBLISH_AGAIN)
		CU_ASSERT_TRUE_FATAL(broker_core_poll(fixture.core));
	CU_ASSERT_TRUE(result == PUBLISH_DONE || result == PUBLISH_REFUSED);
	fixture_refused = result == PUBLISH_REFUSED;
	message_unref(fixture.core->cache, m);
	return queues;
}

void route_whole(struct exchange *x, const struct route_request *r)
{
	struct route_set *to = fixture.core->route;

	to->slice = 16 + unit_random_below(64);
	for (bool all = route_find(x, r, to); !all;)
		all = route_find_more(x, r, to);
	to->slice = ROUTE_SLICE;
}

uint64_t number_of(const struct message *m)
{
	struct message_cursor at = {0};
	uint64_t n;

	memcpy(&n, message_body_next(m, &at, sizeof(n)).data, sizeof(n));
	return n;
}

uint64_t ready_in(const char *queue)
{
	struct queue *q;

	CU_ASSERT_EQUAL(queue_lookup(&fixture.session[0], text(queue), &q, &fixture.failure), 0);
	return queue_ready_count(q);
}

uint64_t take_from(const char *queue)
{
	struct queue *q;
	struct delivery d;

	CU_ASSERT_EQUAL(queue_lookup(&fixture.session[0], text(queue), &q, &fixture.failure), 0);
	CU_ASSERT_TRUE_FATAL(queue_take(q, true, &d));
	uint64_t n = number_of(d.message);
	message_unref(fixture.core->cache, d.message);
	return n;
}

static bool ready(struct consumer *c)
{
	return caa_container_of(c, struct test_consumer, consumer)->credit > 0;
}

static void deliver(struct consumer *c, const struct delivery *d)
{
	struct test_consumer *t = caa_container_of(c, struct test_consumer, consumer);

	CU_ASSERT_TRUE_FATAL(t->credit > 0 && t->taken < CONSUMER_KEEPS);
	t->credit--;
	t->kept[t->taken++] = *d;
}

static void cancelled(struct consumer *c)
{
	caa_container_of(c, struct test_consumer, consumer)->cancelled++;
	CU_ASSERT_PTR_NULL(c->queue);
}

static const struct consumer_ops ops = {.ready = ready, .deliver = deliver, .cancelled = cancelled};

struct test_consumer *consumer_new(unsigned credit, bool no_ack)
{
	struct test_consumer *t = calloc(1, sizeof(*t));

	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	t->credit = credit;
	t->consumer = (struct consumer){.ops = &ops, .no_ack = no_ack};
	return t;
}

struct test_consumer *consumer_make(struct queue *q, unsigned credit, bool no_ack)
{
	struct test_consumer *t = consumer_new(credit, no_ack);
	CU_ASSERT_EQUAL(attach_code(&t->consumer, q), 0);
	return t;
}
