/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges bound to exchanges. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <string.h>

static const char *const types[] = {"direct", "fanout", "topic", "headers"};
enum { TYPES = 4 };

static void every_type_leads_on(void)
{
	char name[8];

	fixture_begin();
	queue_make("q");
	queue_make("beside");
	bind_code("amq.fanout", "q", "");
	for (unsigned i = 0; i < TYPES; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		exchange_make(name, types[i]);
		bind_code(name, "beside", "k");
		CU_ASSERT_EQUAL(publish(name, "k", 1), 1);
		CU_ASSERT_EQUAL(exchange_bind_code(name, "amq.fanout", "k"), 0);
		CU_ASSERT_EQUAL(exchange_bind_code(name, "amq.fanout", "k"), 0);
		CU_ASSERT_EQUAL(publish(name, "k", 1), 2);
		CU_ASSERT_EQUAL(publish(name, "other", 1), i == 1 || i == 3 ? 2 : 0);
		CU_ASSERT_EQUAL(unbind_code(name, "beside", "k"), 0);
		CU_ASSERT_EQUAL(publish(name, "k", 1), 1);
		CU_ASSERT_EQUAL(exchange_unbind_code(name, "amq.fanout", "k"), 0);
		CU_ASSERT_EQUAL(exchange_unbind_code(name, "amq.fanout", "k"), 0);
		CU_ASSERT_EQUAL(publish(name, "k", 1), 0);
	}
	fixture_end();
}

static void refusals(void)
{
	struct binding_spec s = {text("amq.headers"), text("amq.fanout"), text(""), {0}, true};
	struct field match = {text("x-match"), {.kind = VALUE_STRING, .bytes = text("some")}};
	const char *why = fixture.failure.text;

	fixture_begin();
	exchange_make("x", "direct");
	CU_ASSERT_EQUAL(exchange_bind_code("", "x", "k"), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_EQUAL(exchange_bind_code("x", "", "k"), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_STRING_EQUAL(why, "operation not permitted on the default exchange");
	CU_ASSERT_EQUAL(exchange_unbind_code("x", "", "k"), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_EQUAL(exchange_bind_code("none", "nor this", "k"), FAILURE_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(why, "no exchange 'none' in vhost '/'");
	CU_ASSERT_EQUAL(exchange_bind_code("x", "none", "k"), FAILURE_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(why, "no exchange 'none' in vhost '/'");
	CU_ASSERT_EQUAL(exchange_unbind_code("x", "none", "k"), 0);
	CU_ASSERT_EQUAL(exchange_unbind_code("none", "x", "k"), 0);
	s.arguments = (struct fields){&match, 1};
	CU_ASSERT_EQUAL(binding_add(&fixture.session[0], &s, &fixture.failure), FAILURE_PRECONDITION);
	fixture_end();
}

/* A queue gets a message once, whatever leads to it and however often; cycles end. */
static void cycles_and_diamonds(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	exchange_make("top", "fanout");
	exchange_make("left", "topic");
	exchange_make("right", "direct");
	exchange_make("bottom", "fanout");
	exchange_bind_code("top", "left", "");
	exchange_bind_code("top", "right", "");
	exchange_bind_code("left", "bottom", "#");
	exchange_bind_code("left", "bottom", "k");
	exchange_bind_code("right", "bottom", "k");
	exchange_bind_code("bottom", "top", "");
	exchange_bind_code("bottom", "bottom", "");
	CU_ASSERT_EQUAL(publish("top", "k", 1), 0);
	bind_code("bottom", "q", "");
	bind_code("top", "q", "");
	bind_code("left", "q", "*");
	CU_ASSERT_EQUAL(publish("top", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("right", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("right", "other", 1), 0);
	CU_ASSERT_EQUAL(queue_ready_count(q), 2);
	fixture_end();
}

static void deleting_either_side(void)
{
	struct broker_core_stats stats;

	fixture_begin();
	queue_make("q");
	for (unsigned destination = 0; destination < 2; destination++) {
		exchange_make("from", "fanout");
		exchange_make("to", "fanout");
		bind_code("to", "q", "");
		exchange_bind_code("from", "to", "");
		CU_ASSERT_EQUAL(publish("from", "", 1), 1);
		CU_ASSERT_EQUAL(exchange_delete_code("from", true), FAILURE_PRECONDITION);
		/* Only what leads away is a use. */
		unbind_code("to", "q", "");
		CU_ASSERT_EQUAL(exchange_delete_code(destination ? "to" : "from", destination), 0);
		CU_ASSERT_EQUAL(exchange_exists("from"), destination);
		CU_ASSERT_EQUAL(exchange_exists("to"), !destination);
		broker_core_stats(fixture.core, &stats);
		CU_ASSERT_EQUAL(stats.bindings, 0);
		reclaim_run();
		if (destination)
			CU_ASSERT_EQUAL(publish("from", "", 1), 0);
		exchange_delete_code("from", false);
		exchange_delete_code("to", false);
	}
	fixture_end();
}

static void auto_exchange(const char *name)
{
	struct exchange_declaration d = {.name = text(name), .type = text("fanout"), .auto_delete = true};

	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
}

static void chain_name(char name[16], unsigned i)
{
	snprintf(name, 16, "chain%u", i);
}

/* x0 -> x1 -> ... -> queue, each with no other binding. */
static void chain_make(unsigned length)
{
	char name[16], before[16];

	for (unsigned i = 0; i < length; i++) {
		chain_name(name, i);
		auto_exchange(name);
		if (i > 0) {
			chain_name(before, i - 1);
			exchange_bind_code(before, name, "");
		}
	}
	bind_code(name, "q", "");
	CU_ASSERT_EQUAL(publish("chain0", "", 1), 1);
}

static unsigned chain_left(unsigned length)
{
	char name[16];
	unsigned left = 0;

	for (unsigned i = 0; i < length; i++) {
		chain_name(name, i);
		left += exchange_exists(name);
	}
	return left;
}

/* Those that lead there go with their last binding, before the answer; where that leads they stay. */
static void auto_delete_goes_upwards(void)
{
	fixture_begin();
	queue_make("q");
	chain_make(20);
	unbind_code("chain19", "q", "");
	CU_ASSERT_EQUAL(chain_left(20), 0);
	chain_make(20);
	CU_ASSERT_EQUAL(exchange_delete_code("chain7", false), 0);
	CU_ASSERT_EQUAL(chain_left(20), 12);
	CU_ASSERT_EQUAL(exchange_unbind_code("chain15", "chain16", ""), 0);
	CU_ASSERT_EQUAL(chain_left(20), 4);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(chain_left(20), 0);
	fixture_end();
}

static void a_long_chain_goes_in_slices(void)
{
	enum { LONG = 5 * TIDY_BINDINGS };

	fixture_begin_with(&(struct broker_limits){10, LONG, LONG + 10, 10}, 4 << 20);
	queue_make("q");
	chain_make(LONG);
	unbind_code("chain319", "q", "");
	CU_ASSERT_EQUAL(LONG, 320);
	unsigned left = chain_left(LONG);
	CU_ASSERT_TRUE(left < LONG - TIDY_BINDINGS / 2 && left > TIDY_BINDINGS);
	CU_ASSERT_EQUAL(publish("chain0", "", 1), 0);
	while (broker_core_tidy(fixture.core) > 0)
		CU_ASSERT_TRUE(left >= chain_left(LONG));
	CU_ASSERT_EQUAL(chain_left(LONG), 0);
	fixture_end();
}

/* Its own binding is a use like any other. */
static void bound_to_itself(void)
{
	fixture_begin();
	queue_make("q");
	auto_exchange("x");
	exchange_bind_code("x", "x", "");
	bind_code("x", "q", "");
	CU_ASSERT_EQUAL(publish("x", "", 1), 1);
	unbind_code("x", "q", "");
	CU_ASSERT_TRUE(exchange_exists("x"));
	exchange_unbind_code("x", "x", "");
	CU_ASSERT_FALSE(exchange_exists("x"));
	auto_exchange("x");
	exchange_bind_code("x", "x", "");
	CU_ASSERT_EQUAL(exchange_delete_code("x", true), FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
	fixture_end();
}

/* Many lead to one that is deleted: hidden at once, its bindings go in slices. */
static void a_deleted_destination_is_hidden(void)
{
	char key[16];

	fixture_begin();
	queue_make("q");
	exchange_make("from", "topic");
	exchange_make("to", "fanout");
	bind_code("to", "q", "");
	for (unsigned i = 0; i < 4 * TIDY_BINDINGS; i++) {
		snprintf(key, sizeof(key), "%u", i);
		exchange_bind_code("from", "to", key);
	}
	CU_ASSERT_EQUAL(publish("from", key, 1), 1);
	CU_ASSERT_EQUAL(exchange_delete_code("to", false), 0);
	CU_ASSERT_TRUE(fixture.broker->deleted_count > 0);
	CU_ASSERT_EQUAL(publish("from", key, 1), 0);
	CU_ASSERT_EQUAL(exchange_delete_code("from", true), 0);
	fixture_end();
}

static uint64_t hits(void)
{
	struct broker_core_stats stats;

	broker_core_stats(fixture.core, &stats);
	return stats.route_hits;
}

static void expect(const char *exchange, uint32_t queues, bool hit)
{
	uint64_t before = hits();

	CU_ASSERT_EQUAL(publish(exchange, "k", 1), queues);
	CU_ASSERT_EQUAL(hits() - before, hit);
}

/* A noted route ends with any change further down, and with no other. */
static void notes_of_routes(void)
{
	fixture_begin();
	queue_make("q");
	queue_make("r");
	exchange_make("a", "fanout");
	exchange_make("b", "direct");
	exchange_make("c", "topic");
	exchange_make("alone", "fanout");
	exchange_bind_code("a", "b", "");
	exchange_bind_code("b", "c", "k");
	bind_code("c", "q", "#");
	expect("a", 1, false);
	expect("a", 1, true);
	bind_code("alone", "r", "");
	expect("a", 1, true);
	bind_code("c", "r", "k");
	expect("a", 2, false);
	expect("a", 2, true);
	exchange_unbind_code("b", "c", "k");
	expect("a", 0, false);
	expect("a", 0, true);
	exchange_bind_code("b", "c", "k");
	expect("a", 2, false);
	exchange_delete_code("c", false);
	reclaim_run();
	expect("a", 0, false);
	/* An exchange of headers on the way: never noted. */
	exchange_bind_code("b", "amq.headers", "k");
	bind_code("amq.headers", "q", "");
	expect("a", 1, false);
	expect("a", 1, false);
	exchange_unbind_code("b", "amq.headers", "k");
	/* A plain one's note ends when it begins to lead on. */
	expect("alone", 1, false);
	expect("alone", 1, true);
	bind_code("b", "q", "k");
	exchange_bind_code("alone", "b", "");
	expect("alone", 2, false);
	expect("alone", 2, true);
	unbind_code("b", "q", "k");
	expect("alone", 1, false);
	fixture_end();
}

enum { WIDE = 300, DEEP = 400 };

/* Wide and deep, and every slice as small as can be. */
static void large_graphs_go_in_slices(void)
{
	struct route_request r = {.routing_key = text("k")};
	char name[16], before[16];

	fixture_begin_with(&(struct broker_limits){10 + WIDE, 10 + WIDE + DEEP, 5000, 10}, 4 << 20);
	exchange_make("top", "topic");
	for (unsigned i = 0; i < WIDE; i++) {
		snprintf(name, sizeof(name), "wide%u", i);
		exchange_make(name, types[i % 3]);
		queue_make(name);
		bind_code(name, name, "k");
		exchange_bind_code("top", name, i % 2 ? "#" : "k");
	}
	for (unsigned i = 0; i < DEEP; i++) {
		chain_name(name, i);
		exchange_make(name, types[i % 3]);
		exchange_bind_code(i ? before : "top", name, "k");
		memcpy(before, name, sizeof(name));
	}
	queue_make("end");
	bind_code(name, "end", "k");
	for (unsigned i = 0; i < 20; i++) {
		route_whole(exchange_find(fixture.session[0].vhost, text("top")), &r);
		CU_ASSERT_EQUAL(fixture.core->route->count, WIDE + 1);
		CU_ASSERT_FALSE(fixture.core->route->overflow);
	}
	CU_ASSERT_EQUAL(publish("top", "k", 1), WIDE + 1);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"every_type_leads_on", every_type_leads_on}, {"refusals", refusals},
			{"cycles_and_diamonds", cycles_and_diamonds},
			{"deleting_either_side", deleting_either_side},
			{"auto_delete_goes_upwards", auto_delete_goes_upwards},
			{"a_long_chain_goes_in_slices", a_long_chain_goes_in_slices},
			{"bound_to_itself", bound_to_itself},
			{"a_deleted_destination_is_hidden", a_deleted_destination_is_hidden},
			{"notes_of_routes", notes_of_routes},
			{"large_graphs_go_in_slices", large_graphs_go_in_slices}, {0}});
}
