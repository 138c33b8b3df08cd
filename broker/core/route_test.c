/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges, bindings and which queues a message reaches. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum failure_code publish_code(const char *exchange)
{
	struct message *m = message_new(fixture.core->cache, &(struct message_envelope){0});
	struct publish p = {.exchange = text(exchange), .routing_key = text("k"), .message = m};
	uint32_t n;
	enum publish_result result = exchange_publish(&fixture.session[0], &p, NULL, &n, &fixture.failure);

	message_unref(fixture.core->cache, m);
	return result == PUBLISH_FAILED ? fixture.failure.code : FAILURE_NONE;
}

static void predeclared_exchanges_stand(void)
{
	static const char *const names[][2] = {{"amq.direct", "direct"}, {"amq.fanout", "fanout"},
		{"amq.topic", "topic"}, {"amq.headers", "headers"}, {"amq.match", "headers"}};
	const char *text_of_failure = fixture.failure.text;

	fixture_begin();
	for (unsigned i = 0; i < 5; i++) {
		struct exchange_declaration d = {
			.name = text(names[i][0]), .type = text(names[i][1]), .durable = true};
		CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
		d.durable = false;
		CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
		CU_ASSERT_EQUAL(exchange_delete_code(names[i][0], false), FAILURE_ACCESS_REFUSED);
	}
	CU_ASSERT_STRING_EQUAL(
		text_of_failure, "deletion of system exchange 'amq.match' in vhost '/' not allowed");
	CU_ASSERT_EQUAL(exchange_declare_code(&(struct exchange_declaration){.type = text("direct")}),
		FAILURE_ACCESS_REFUSED);
	CU_ASSERT_STRING_EQUAL(text_of_failure, "operation not permitted on the default exchange");
	CU_ASSERT_EQUAL(exchange_delete_code("", false), FAILURE_ACCESS_REFUSED);
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("", "q", "k"), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_EQUAL(unbind_code("", "q", "q"), FAILURE_ACCESS_REFUSED);
	fixture_end();
}

static void declarations_compare_and_refuse(void)
{
	struct exchange_declaration d = {.name = text("x"), .type = text("topic")};
	const char *why = fixture.failure.text;

	fixture_begin_with(&(struct broker_limits){10, 2, 10, 10}, 1 << 20);
	d.passive = true;
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(why, "no exchange 'x' in vhost '/'");
	d.passive = false;
	d.existing = true;
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_AGAIN);
	d.existing = false;
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	d.existing = true;
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	d.existing = false;
	d.type = text("fanout");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(why,
		"inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' "
		"but current is 'topic'");
	d.type = text("round");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_COMMAND_INVALID);
	CU_ASSERT_STRING_EQUAL(why, "unknown exchange type 'round'");
	d.type = text("topic");
	d.internal = true;
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
	d.name = text("amq.x");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_STRING_EQUAL(why, "exchange name 'amq.x' contains reserved prefix 'amq.*'");
	d.name = text("inner");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	d.name = text("third");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(publish_code("inner"), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_STRING_EQUAL(why, "cannot publish to internal exchange 'inner' in vhost '/'");
	CU_ASSERT_EQUAL(publish_code("nowhere"), FAILURE_NOT_FOUND);
	CU_ASSERT_EQUAL(exchange_delete_code("nowhere", true), 0);
	fixture_end();
}

static void the_default_exchange_routes_by_queue(void)
{
	fixture_begin();
	CU_ASSERT_EQUAL(publish("", "q", 1), 0);
	queue_make("q");
	CU_ASSERT_EQUAL(publish("", "q", 1), 1);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(publish("", "q", 1), 0);
	fixture_end();
}

static void direct_routes_by_key(void)
{
	fixture_begin();
	struct queue *a = queue_make("a"), *b = queue_make("b");
	exchange_make("x", "direct");
	exchange_make("y", "direct");
	CU_ASSERT_EQUAL(bind_code("x", "a", "k"), 0);
	CU_ASSERT_EQUAL(bind_code("x", "a", "k"), 0);
	CU_ASSERT_EQUAL(bind_code("x", "b", "k"), 0);
	CU_ASSERT_EQUAL(bind_code("x", "b", ""), 0);
	CU_ASSERT_EQUAL(bind_code("y", "b", "only"), 0);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 2);
	CU_ASSERT_EQUAL(publish("x", "", 2), 1);
	CU_ASSERT_EQUAL(publish("x", "only", 3), 0);
	CU_ASSERT_EQUAL(publish("y", "k", 3), 0);
	CU_ASSERT_EQUAL(unbind_code("x", "a", "k"), 0);
	CU_ASSERT_EQUAL(unbind_code("x", "a", "k"), 0);
	CU_ASSERT_EQUAL(publish("x", "k", 4), 1);
	CU_ASSERT_EQUAL(queue_ready_count(a), 1);
	CU_ASSERT_EQUAL(queue_ready_count(b), 3);
	CU_ASSERT_EQUAL(bind_code("none", "a", "k"), FAILURE_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "no exchange 'none' in vhost '/'");
	CU_ASSERT_EQUAL(bind_code("x", "none", "k"), FAILURE_NOT_FOUND);
	CU_ASSERT_EQUAL(unbind_code("none", "a", "k"), 0);
	CU_ASSERT_EQUAL(unbind_code("x", "none", "k"), 0);
	fixture_end();
}

static void a_queue_matched_several_times_gets_one(void)
{
	char name[16], key[16];

	fixture_begin();
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		queue_make(name);
		for (unsigned k = 0; k < 3; k++) {
			snprintf(key, sizeof(key), "key%u", k);
			CU_ASSERT_EQUAL(bind_code("amq.fanout", name, key), 0);
		}
		CU_ASSERT_EQUAL(publish("amq.fanout", "", i), i + 1);
	}
	/* One body for all of them: a cell for each message published. */
	CU_ASSERT_EQUAL(message_store_stats(fixture.store).cells.used, 60);
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q1", "#"), 0);
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q1", "*.b"), 0);
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q1", "a.b"), 0);
	CU_ASSERT_EQUAL(publish("amq.topic", "a.b", 1), 1);
	fixture_end();
}

/* A fanout during whose walks its bindings change, so that it meets none. */
static struct {
	unsigned walks, disturbed;
} walking;

static bool disturbed_walk(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	if (++walking.walks > walking.disturbed)
		return route_fanout.route(x, r, out);
	CU_ASSERT_EQUAL(unbind_code("x", "q", ""), 0);
	CU_ASSERT_EQUAL(bind_code("x", "q", ""), 0);
	return true;
}

static void a_disturbed_walk_is_repeated_but_not_for_ever(void)
{
	struct exchange_type type = route_fanout;

	fixture_begin();
	queue_make("q");
	exchange_make("x", "fanout");
	bind_code("x", "q", "");
	type.route = disturbed_walk;
	exchange_find(fixture.session[0].vhost, text("x"))->type = &type;
	walking.walks = 0;
	walking.disturbed = 3;
	CU_ASSERT_EQUAL(publish("x", "", 1), 1);
	CU_ASSERT_EQUAL(walking.walks, 4);
	/* It is noted as of the walk that was not disturbed. */
	CU_ASSERT_EQUAL(publish("x", "", 1), 1);
	CU_ASSERT_EQUAL(walking.walks, 4);
	bind_code("x", "q", "other");
	walking.walks = 0;
	walking.disturbed = 1000;
	publish("x", "", 1);
	CU_ASSERT_TRUE(walking.walks > 4 && walking.walks < 20);
	fixture_end();
}

/* A queue comes back into a hole further on while its exchange is walked, every time. */
static bool twice_met_walk(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	walking.walks++;
	route_set_add_distinct(out, &x->all);
	/* The rest of the walk, as it were: everything again. */
	CU_ASSERT_EQUAL(unbind_code("x", "q", ""), 0);
	CU_ASSERT_EQUAL(bind_code("x", "q", ""), 0);
	out->walk.at = (struct bag_cursor){0};
	return route_set_add_distinct(out, &x->all);
}

static void a_queue_met_twice_gets_one(void)
{
	struct exchange_type type = route_fanout;

	fixture_begin();
	queue_make("q");
	queue_make("r");
	exchange_make("x", "fanout");
	bind_code("x", "q", "");
	bind_code("x", "r", "");
	type.route = twice_met_walk;
	exchange_find(fixture.session[0].vhost, text("x"))->type = &type;
	walking.walks = 0;
	CU_ASSERT_EQUAL(publish("x", "", 1), 2);
	CU_ASSERT_TRUE(walking.walks > 1);
	fixture_end();
}

static void deleting_cascades(void)
{
	struct exchange_declaration d = {.name = text("auto"), .type = text("topic"), .auto_delete = true};
	struct broker_core_stats stats;

	fixture_begin();
	queue_make("a");
	queue_make("b");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	exchange_make("x", "fanout");
	bind_code("auto", "a", "k.#");
	bind_code("auto", "b", "k");
	bind_code("x", "a", "");
	CU_ASSERT_EQUAL(exchange_delete_code("x", true), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "exchange 'x' in vhost '/' in use");
	CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
	CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
	CU_ASSERT_FALSE(exchange_exists("x"));
	broker_core_stats(fixture.core, &stats);
	CU_ASSERT_EQUAL(stats.bindings, 2);
	CU_ASSERT_EQUAL(queue_delete_code(0, "a"), 0);
	CU_ASSERT_TRUE(exchange_exists("auto"));
	CU_ASSERT_EQUAL(publish("auto", "k", 1), 1);
	CU_ASSERT_EQUAL(unbind_code("auto", "b", "k"), 0);
	CU_ASSERT_FALSE(exchange_exists("auto"));
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	bind_code("auto", "b", "k");
	CU_ASSERT_EQUAL(queue_delete_code(0, "b"), 0);
	CU_ASSERT_FALSE(exchange_exists("auto"));
	broker_core_stats(fixture.core, &stats);
	CU_ASSERT_EQUAL(stats.bindings, 0);
	CU_ASSERT_EQUAL(fixture.broker->trie_nodes, 0);
	fixture_end();
}

static uint32_t bindings_left(void)
{
	struct broker_core_stats stats;

	broker_core_stats(fixture.core, &stats);
	return stats.bindings;
}

static void bind_many(const char *exchange, const char *queue, unsigned from, unsigned to)
{
	char key[16];

	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		CU_ASSERT_EQUAL(bind_code(exchange, queue, key), 0);
	}
}

/* The name is free at once; what it had goes in slices, while its queues live, go, or have other bindings. */
static void a_large_exchange_goes_in_slices(void)
{
	static const char *const types[] = {"direct", "fanout", "topic", "headers"};

	fixture_begin();
	for (unsigned i = 0; i < 4; i++) {
		queue_make("stays");
		queue_make("goes");
		exchange_make("x", types[i]);
		bind_many("x", "stays", 0, 500);
		bind_many("x", "goes", 0, 500);
		bind_many("amq.direct", "stays", 0, 1);
		CU_ASSERT_EQUAL(exchange_delete_code("x", true), FAILURE_PRECONDITION);
		CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
		CU_ASSERT_FALSE(exchange_exists("x"));
		CU_ASSERT_EQUAL(bindings_left(), 1001 - TIDY_BINDINGS);
		CU_ASSERT_TRUE(broker_core_busy(fixture.core));
		exchange_make("x", types[3 - i]);
		CU_ASSERT_EQUAL(publish("x", "k499", 1), 0);
		CU_ASSERT_EQUAL(queue_delete_code(0, "goes"), 0);
		CU_ASSERT_EQUAL(bindings_left(), 1001 - 2 * TIDY_BINDINGS);
		reclaim_run();
		CU_ASSERT_EQUAL(broker_core_tidy(fixture.core), TIDY_BINDINGS);
		while (bindings_left() > 1)
			CU_ASSERT_TRUE_FATAL(broker_core_tidy(fixture.core) > 0);
		CU_ASSERT_EQUAL(broker_core_tidy(fixture.core), 0);
		CU_ASSERT_EQUAL(bindings_left(), 1);
		CU_ASSERT_EQUAL(publish("amq.direct", "k0", 1), 1);
		CU_ASSERT_EQUAL(queue_delete_code(0, "stays"), 0);
		CU_ASSERT_EQUAL(exchange_delete_code("x", true), 0);
	}
	fixture_end();
}

/* What is on its way out is not in the way of what comes. */
static void deleted_bindings_make_room_at_the_limit(void)
{
	fixture_begin_with(&(struct broker_limits){4, 4, 300, 4}, 1 << 20);
	queue_make("q");
	exchange_make("x", "direct");
	bind_many("x", "q", 0, 300);
	CU_ASSERT_EQUAL(bind_code("amq.direct", "q", "k"), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
	exchange_make("x", "direct");
	bind_many("x", "q", 0, 300);
	CU_ASSERT_EQUAL(bindings_left(), 300);
	CU_ASSERT_EQUAL(bind_code("amq.direct", "q", "k"), FAILURE_LIMIT);
	fixture_end();
}

static void binding_limits_hold(void)
{
	char key[256];

	fixture_begin_with(&(struct broker_limits){4, 4, 3, 4}, 1 << 20);
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("amq.direct", "q", "1"), 0);
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q", "2"), 0);
	/* 268 nodes are allowed; two are there. */
	memset(key, '.', 255);
	key[255] = 0;
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q", key), 0);
	CU_ASSERT_EQUAL(publish("amq.topic", key, 1), 1);
	CU_ASSERT_EQUAL(bind_code("amq.direct", "q", "3"), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(unbind_code("amq.direct", "q", "1"), 0);
	uint32_t nodes = fixture.broker->trie_nodes;
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r"), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q", "#.#.#.#.#.#"), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(fixture.broker->trie_nodes, nodes);
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q", "#.#.#.#"), 0);
	CU_ASSERT_EQUAL(publish("amq.topic", "", 1), 1);
	fixture_end();
}

/* No queue has the message when one cannot take it. */
static void publishing_is_all_or_nothing(void)
{
	void *taken[2048];
	uint32_t n = 0, queues;

	fixture_begin();
	struct queue *a = queue_make("a"), *b = queue_make("b"), *c = queue_make("c");
	bind_code("amq.fanout", "a", "");
	bind_code("amq.fanout", "b", "");
	bind_code("amq.fanout", "c", "");
	publish("", "b", 0);
	struct message *m = message_new(fixture.core->cache, &(struct message_envelope){0});
	while (n < 2048 && (taken[n] = message_store_block_take(fixture.core->cache)))
		n++;
	for (unsigned free_blocks = 0; free_blocks < 3; free_blocks++) {
		struct publish p = {.exchange = text("amq.fanout"), .routing_key = text(""), .message = m};
		enum publish_result result = exchange_publish(
			&fixture.session[0], &p, NULL, &queues, &fixture.failure);
		bool fits = free_blocks == 2; /* b has a page */
		CU_ASSERT_EQUAL(result, fits ? PUBLISH_DONE : PUBLISH_AGAIN);
		CU_ASSERT_EQUAL(queues, fits ? 3 : 0);
		CU_ASSERT_EQUAL(queue_ready_count(a), fits);
		CU_ASSERT_EQUAL(queue_ready_count(b), 1 + fits);
		CU_ASSERT_EQUAL(queue_ready_count(c), fits);
		CU_ASSERT_EQUAL(message_store_stats(fixture.store).blocks.used +
					message_store_stats(fixture.store).slabs,
			message_store_stats(fixture.store).blocks.capacity - (fits ? 0 : free_blocks));
		message_store_block_give(fixture.core->cache, taken[--n]);
	}
	message_unref(fixture.core->cache, m);
	while (n > 0)
		message_store_block_give(fixture.core->cache, taken[--n]);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"predeclared_exchanges_stand", predeclared_exchanges_stand},
			{"declarations_compare_and_refuse", declarations_compare_and_refuse},
			{"the_default_exchange_routes_by_queue", the_default_exchange_routes_by_queue},
			{"direct_routes_by_key", direct_routes_by_key},
			{"a_queue_matched_several_times_gets_one", a_queue_matched_several_times_gets_one},
			{"a_disturbed_walk_is_repeated_but_not_for_ever",
				a_disturbed_walk_is_repeated_but_not_for_ever},
			{"a_queue_met_twice_gets_one", a_queue_met_twice_gets_one},
			{"deleting_cascades", deleting_cascades},
			{"a_large_exchange_goes_in_slices", a_large_exchange_goes_in_slices},
			{"deleted_bindings_make_room_at_the_limit", deleted_bindings_make_room_at_the_limit},
			{"binding_limits_hold", binding_limits_hold},
			{"publishing_is_all_or_nothing", publishing_is_all_or_nothing}, {0}});
}
