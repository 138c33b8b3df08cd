/* SPDX-License-Identifier: Apache-2.0 */
/* Where a run of messages goes, what it counts, and who is sent the way of every message. */
#include "broker/core/core_fixture.h"

static struct message *message_to(const char *exchange, const char *key, uint64_t n)
{
	struct message_envelope e = {
		.exchange = text(exchange), .routing_key = text(key), .body_bytes = sizeof(n)};
	struct message *m = message_new(fixture.core->cache, &e);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	message_append(m, &n, sizeof(n));
	return m;
}

static struct publish_run run_to(const char *exchange, const char *key)
{
	struct message *m = message_to(exchange, key, 0);
	struct publish p = {.exchange = text(exchange), .routing_key = text(key), .message = m};
	struct publish_run run = publish_run_begin(&fixture.session[0], &p);

	message_unref(fixture.core->cache, m);
	return run;
}

static struct broker_core_stats stats(void)
{
	struct broker_core_stats s;

	broker_core_stats(fixture.core, &s);
	return s;
}

static void a_run_is_in_its_queue_in_order(void)
{
	enum { N = 1000 };

	fixture_begin();
	struct queue *q = queue_make("q");
	CU_ASSERT_EQUAL(publish("", "q", 0), 1);
	struct broker_core_stats before = stats();
	struct publish_run run = run_to("", "q");
	CU_ASSERT_PTR_EQUAL(run.queue, q);
	/* Asking alone counts nothing. */
	CU_ASSERT_EQUAL(stats().route_hits, before.route_hits);
	for (uint64_t i = 1; i < N; i++)
		CU_ASSERT_TRUE_FATAL(
			publish_run_add(&fixture.session[0], &run, message_to("", "q", i), NULL));
	publish_run_end(&fixture.session[0], &run, N - 1);
	struct broker_core_stats after = stats();
	CU_ASSERT_EQUAL(after.published - before.published, N - 1);
	CU_ASSERT_EQUAL(after.routed - before.routed, N - 1);
	CU_ASSERT_EQUAL(after.route_hits - before.route_hits, N - 1);
	CU_ASSERT_EQUAL(after.messages_ready, N);
	struct test_consumer *c = consumer_make(q, N, true);
	while (broker_core_deliver(fixture.core, N))
		;
	CU_ASSERT_EQUAL_FATAL(c->taken, N);
	for (uint64_t i = 0; i < N; i++)
		CU_ASSERT_EQUAL(number_of(c->kept[i].message), i);
	for (uint64_t i = 0; i < N; i++)
		message_unref(fixture.core->cache, c->kept[i].message);
	consumer_detach(&c->consumer);
	free(c);
	fixture_end();
}

static void others_go_one_by_one(void)
{
	fixture_begin();
	queue_make("a");
	queue_make("b");
	bind_code("amq.fanout", "a", "");
	CU_ASSERT_PTR_NULL(run_to("", "none").queue);
	CU_ASSERT_PTR_NULL(run_to("no exchange", "a").queue);
	CU_ASSERT_PTR_NOT_NULL(run_to("amq.fanout", "").queue);
	bind_code("amq.fanout", "b", "");
	CU_ASSERT_PTR_NULL(run_to("amq.fanout", "").queue);
	/* Two bindings are one queue still. */
	bind_code("amq.topic", "a", "x.*");
	bind_code("amq.topic", "a", "#");
	CU_ASSERT_PTR_NOT_NULL(run_to("amq.topic", "x.y").queue);
	queue_delete_code(0, "b");
	CU_ASSERT_PTR_NOT_NULL(run_to("amq.fanout", "").queue);
	queue_delete_code(0, "a");
	CU_ASSERT_PTR_NULL(run_to("amq.fanout", "").queue);
	CU_ASSERT_PTR_NULL(run_to("", "a").queue);
	fixture_end();
}

/* What has no room is given back to its publisher, and nothing of it is counted. */
static void a_run_ends_where_memory_does(void)
{
	static const uint8_t body[4000];
	uint32_t n = 0;

	fixture_begin_with(&(struct broker_limits){200, 50, 5000, 200}, 1 << 20);
	queue_make("q");
	CU_ASSERT_EQUAL(publish("", "q", 0), 1);
	struct publish_run run = run_to("", "q");
	struct message_envelope e = {.routing_key = text("q"), .body_bytes = sizeof(body)};
	struct message *m;
	while ((m = message_new(fixture.core->cache, &e))) {
		message_append(m, body, sizeof(body));
		if (!publish_run_add(&fixture.session[0], &run, m, NULL)) {
			message_unref(fixture.core->cache, m);
			break;
		}
		n++;
	}
	publish_run_end(&fixture.session[0], &run, n);
	CU_ASSERT_TRUE(n > 100 && stats().messages_ready == n + 1);
	queue_delete_code(0, "q");
	graves_empty();
	fixture_end();
}

/* The first one may have gone elsewhere: another core can change the route in the same turn. */
static void a_run_that_expires_tells_its_queue(void)
{
	struct message_envelope e = {.exchange = text(""),
		.routing_key = text("q"),
		.received_us = 1000,
		.expires = true,
		.lifetime_us = 10000};

	fixture_begin();
	struct queue *q = queue_make("q");
	struct message *m = message_new(fixture.core->cache, &e);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	struct publish p = {.exchange = e.exchange, .routing_key = e.routing_key, .message = m};
	struct publish_run run = publish_run_begin(&fixture.session[0], &p);
	CU_ASSERT_PTR_EQUAL(run.queue, q);
	CU_ASSERT_TRUE(publish_run_add(&fixture.session[0], &run, m, NULL));
	publish_run_end(&fixture.session[0], &run, 1);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	fixture_advance(1000000);
	fixture_advance(1000);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	fixture_end();
}

static const struct unit_test tests[] = {
	{"a_run_is_in_its_queue_in_order", a_run_is_in_its_queue_in_order},
	{"others_go_one_by_one", others_go_one_by_one},
	{"a_run_ends_where_memory_does", a_run_ends_where_memory_does},
	{"a_run_that_expires_tells_its_queue", a_run_that_expires_tells_its_queue},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
