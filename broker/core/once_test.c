/* SPDX-License-Identifier: Apache-2.0 */
/* x-message-deduplication: what has been let through once. */
#include "broker/core/core_fixture.h"
#include "broker/core/route_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000 };

static enum failure_code declare_code(const char *name, const struct field *arguments, uint32_t count)
{
	struct exchange_declaration d = {
		.name = text(name), .type = text("x-message-deduplication"), .arguments = {arguments, count}};

	return exchange_declare_code(&d);
}

static void declare(const char *name, int64_t size, int64_t ttl_ms)
{
	struct field all[] = {argument_int("x-cache-size", size), argument_int("x-cache-ttl", ttl_ms)};

	CU_ASSERT_EQUAL(declare_code(name, all, ttl_ms ? 2 : 1), FAILURE_NONE);
}

static void begin(int64_t size, int64_t ttl_ms)
{
	fixture_begin();
	declare("once", size, ttl_ms);
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("once", "q", ""), 0);
}

/* Two headers at most. */
struct headers {
	uint32_t count;
	struct field at[2];
};

static bool find(const void *ctx, struct slice name, struct value *out)
{
	const struct headers *h = ctx;

	for (uint32_t i = 0; i < h->count; i++)
		if (slice_equal(h->at[i].name, name)) {
			*out = h->at[i].value;
			return true;
		}
	return false;
}

static struct headers id(struct value v)
{
	return (struct headers){1, {{text("x-deduplication-header"), v}}};
}

static struct value name_value(const char *s)
{
	return (struct value){.kind = VALUE_STRING, .bytes = text(s)};
}

static uint32_t publish_headers(const char *exchange, const struct headers *h)
{
	struct header_source source = {.find = find, .ctx = h};

	return publish_with(exchange, "any", 1, &(struct publish_extra){.headers = &source});
}

/* Whether a queue got it. */
static bool passes_value(struct value v)
{
	struct headers h = id(v);

	return publish_headers("once", &h) == 1;
}

static bool passes(const char *s)
{
	return passes_value(name_value(s));
}

static uint64_t duplicates(void)
{
	return broker_core_counters(fixture.core)->duplicates;
}

static void a_value_passes_once(void)
{
	begin(10, 0);
	CU_ASSERT_TRUE(passes("a"));
	CU_ASSERT_FALSE(passes("a"));
	CU_ASSERT_TRUE(passes("b"));
	CU_ASSERT_FALSE(passes("a"));
	CU_ASSERT_FALSE(passes("b"));
	CU_ASSERT_EQUAL(duplicates(), 3);
	CU_ASSERT_EQUAL(publish("once", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("once", "k", 1), 1);
	fixture_end();
}

static void values_of_other_kinds_are_others(void)
{
	static const struct value values[] = {
		{.kind = VALUE_INT, .integer = 1},
		{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"1", 1}},
		{.kind = VALUE_DOUBLE, .real = 1},
		{.kind = VALUE_BOOL, .boolean = true},
		{.kind = VALUE_TIMESTAMP, .integer = 1},
		{.kind = VALUE_VOID},
		{.kind = VALUE_STRING},
	};

	begin(100, 0);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
			CU_ASSERT_EQUAL(passes_value(values[i]), round == 0);
	/* A table or an array is no value. */
	struct value opaque = {.kind = VALUE_OPAQUE, .bytes = text("x")};
	CU_ASSERT_TRUE(passes_value(opaque));
	CU_ASSERT_TRUE(passes_value(opaque));
	fixture_end();
}

static void the_oldest_makes_room(void)
{
	char name[16];

	begin(100, 0);
	for (unsigned i = 0; i < 101; i++) {
		snprintf(name, sizeof(name), "v%u", i);
		CU_ASSERT_TRUE(passes(name));
	}
	CU_ASSERT_FALSE(passes("v1"));
	CU_ASSERT_FALSE(passes("v100"));
	CU_ASSERT_TRUE(passes("v0"));
	CU_ASSERT_TRUE(passes("v1"));
	fixture_end();
}

static void it_is_remembered_for_a_time(void)
{
	begin(100, 50);
	CU_ASSERT_TRUE(passes("a"));
	struct headers longer = id(name_value("b"));
	longer.at[longer.count++] = argument_int("x-cache-ttl", 100);
	CU_ASSERT_EQUAL(publish_headers("once", &longer), 1);
	fixture_advance(49 * MS);
	CU_ASSERT_FALSE(passes("a"));
	fixture_advance(1 * MS); /* a duplicate does not make it younger */
	CU_ASSERT_TRUE(passes("a"));
	CU_ASSERT_FALSE(passes("b"));
	fixture_advance(50 * MS);
	CU_ASSERT_TRUE(passes("b"));
	fixture_end();
}

/* One that cannot be given to its queues now has not been let through. */
static void what_waits_is_no_duplicate_of_itself(void)
{
	static void *blocks[4096];
	unsigned n = 0;
	struct headers h = id(name_value("a"));
	struct header_source source = {.find = find, .ctx = &h};
	uint32_t queues;

	begin(10, 0);
	struct message *m = message_new(fixture.core->cache, &(struct message_envelope){0});
	struct publish p = {
		.exchange = text("once"), .routing_key = text(""), .headers = &source, .message = m};
	while (n < 4096 && (blocks[n] = message_store_block_take(fixture.core->cache)))
		n++;
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure),
			PUBLISH_AGAIN);
	while (n > 0)
		message_store_block_give(fixture.core->cache, blocks[--n]);
	CU_ASSERT_EQUAL(
		exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure), PUBLISH_DONE);
	CU_ASSERT_EQUAL(queues, 1);
	CU_ASSERT_EQUAL(
		exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure), PUBLISH_DONE);
	CU_ASSERT_EQUAL(queues, 0);
	message_unref(fixture.core->cache, m);
	fixture_end();
}

/* Two publishers of one value, as on two cores: whoever is second waits for what becomes of the first. */
static void one_under_way_is_waited_for(void)
{
	struct route_set *first, *second;
	struct headers h = id(name_value("a"));
	struct header_source source = {.find = find, .ctx = &h};

	begin(10, 0);
	first = &fixture.core->routes[0];
	second = &fixture.core->routes[1];
	struct exchange *x = exchange_find(fixture.session[0].vhost, text("once"));
	struct route_request r = {.headers = &source, .core = fixture.core};
	CU_ASSERT_TRUE(route_find(x, &r, first));
	CU_ASSERT_EQUAL(first->count, 1);
	CU_ASSERT_TRUE(route_find(x, &r, second));
	CU_ASSERT_TRUE_FATAL(second->gated);
	CU_ASSERT_TRUE(gates_again(second));
	CU_ASSERT_FALSE(gates_ready(fixture.core, second));
	gates_undo(fixture.core, second);
	gates_undo(fixture.core, first); /* its publisher has gone */
	CU_ASSERT_TRUE(route_find(x, &r, second));
	CU_ASSERT_FALSE(gates_again(second));
	CU_ASSERT_EQUAL(second->count, 1);
	CU_ASSERT_EQUAL(gates_keep(fixture.core, second, NULL, NULL), 0);
	CU_ASSERT_TRUE(route_find(x, &r, first));
	CU_ASSERT_EQUAL(first->count, 0);
	CU_ASSERT_EQUAL(gates_keep(fixture.core, first, NULL, NULL), 0);
	CU_ASSERT_EQUAL(duplicates(), 1);
	fixture_end();
}

static void a_fan_out_passes_once(void)
{
	enum { N = 90 }; /* more than are served at once */
	char name[16];
	struct headers h = id(name_value("a"));

	begin(10, 0);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		queue_make(name);
		CU_ASSERT_EQUAL(bind_code("once", name, ""), 0);
	}
	CU_ASSERT_EQUAL(publish_headers("once", &h), N + 1);
	CU_ASSERT_EQUAL(publish_headers("once", &h), 0);
	fixture_end();
}

static void duplicates_may_go_elsewhere(void)
{
	struct field all[] = {argument_int("x-cache-size", 5), argument_text("alternate-exchange", "else")};
	struct headers h = id(name_value("a"));

	begin(10, 0);
	exchange_make("else", "fanout");
	queue_make("rest");
	CU_ASSERT_EQUAL(bind_code("else", "rest", ""), 0);
	CU_ASSERT_EQUAL(declare_code("x", all, 2), 0);
	CU_ASSERT_EQUAL(bind_code("x", "q", ""), 0);
	publish_headers("x", &h);
	struct queue *rest = queue_find(fixture.session[0].vhost, text("rest"));
	CU_ASSERT_EQUAL(queue_ready_count(rest), 0);
	publish_headers("x", &h);
	CU_ASSERT_EQUAL(queue_ready_count(rest), 1);
	CU_ASSERT_EQUAL(queue_ready_count(queue_find(fixture.session[0].vhost, text("q"))), 1);
	fixture_end();
}

static void another_exchange_may_lead_there(void)
{
	struct headers h = id(name_value("a"));

	begin(10, 0);
	exchange_make("first", "fanout");
	queue_make("all");
	CU_ASSERT_EQUAL(bind_code("first", "all", ""), 0);
	CU_ASSERT_EQUAL(exchange_bind_code("first", "once", ""), 0);
	CU_ASSERT_EQUAL(publish_headers("first", &h), 2);
	CU_ASSERT_EQUAL(publish_headers("first", &h), 1);
	fixture_end();
}

/* What was claimed on the way is given up again, also where it ended: a shorter way is open to the value. */
static void a_way_may_have_too_many(void)
{
	char name[16];
	struct headers h = id(name_value("a"));
	struct header_source source = {.find = find, .ctx = &h};
	struct publish p = {.exchange = text("first"), .routing_key = text(""), .headers = &source};
	uint32_t queues;

	begin(10, 0);
	exchange_make("first", "fanout");
	for (unsigned i = 0; i <= GATES_MAX; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		declare(name, 5, 0);
		CU_ASSERT_EQUAL(bind_code(name, "q", ""), 0);
		CU_ASSERT_EQUAL(exchange_bind_code("first", name, ""), 0);
	}
	p.message = message_new(fixture.core->cache, &(struct message_envelope){0});
	CU_ASSERT_EQUAL(
		exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure), PUBLISH_FAILED);
	CU_ASSERT_EQUAL(queues, 0);
	for (unsigned i = 0; i <= GATES_MAX; i++) {
		snprintf(name, sizeof(name), "x%u", i);
		CU_ASSERT_EQUAL(publish_headers(name, &h), 1);
	}
	CU_ASSERT_EQUAL(exchange_delete_code("x0", false), 0);
	CU_ASSERT_EQUAL(
		exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure), PUBLISH_DONE);
	CU_ASSERT_EQUAL(duplicates(), GATES_MAX);
	message_unref(fixture.core->cache, p.message);
	fixture_end();
}

static void refused(struct field f, const char *why)
{
	struct field all[] = {f, argument_int("x-cache-size", 5)};

	CU_ASSERT_EQUAL(declare_code("x", all, slice_equals_text(f.name, "x-cache-size") ? 1 : 2),
		FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, why);
}

static void declarations_are_checked(void)
{
	static const char size[] =
		"Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
			  ttl[] = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0",
			  where[] =
				  "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
	struct field texts[] = {argument_text("x-cache-size", "5"), argument_text("x-cache-ttl", "1000"),
		argument_text("x-cache-persistence", "disk")};

	begin(10, 0);
	CU_ASSERT_EQUAL(declare_code("x", NULL, 0), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, size);
	refused(argument_int("x-cache-size", 0), size);
	refused(argument_text("x-cache-size", "many"), size);
	refused(argument_bool("x-cache-size", true), size);
	refused(argument_int("x-cache-ttl", -1), ttl);
	refused(argument_text("x-cache-persistence", "tape"), where);
	refused(argument_int("x-cache-persistence", 1), where);
	CU_ASSERT_EQUAL(declare_code("x", texts, 3), FAILURE_NONE);
	fixture_end();
}

static void shares_are_bounded(void)
{
	struct field most = argument_int("x-cache-size", 1 << 20),
		     rest = argument_int("x-cache-size", (1 << 20) - 10),
		     huge = argument_int("x-cache-size", INT64_MAX);

	begin(10, 0);
	CU_ASSERT_EQUAL(declare_code("x", &most, 1), FAILURE_LIMIT);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"x-cache-size 1048576: only 1048566 of 1048576 values are left (limits.deduplication)");
	CU_ASSERT_EQUAL(declare_code("x", &huge, 1), FAILURE_LIMIT);
	struct field beyond = argument_int("x-cache-size", (1 << 20) - 9);
	CU_ASSERT_EQUAL(declare_code("x", &beyond, 1), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(declare_code("x", &rest, 1), FAILURE_NONE);
	CU_ASSERT_EQUAL(exchange_delete_code("once", false), 0);
	CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
	CU_ASSERT_EQUAL(declare_code("x", &most, 1), FAILURE_NONE);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_value_passes_once", a_value_passes_once},
			{"values_of_other_kinds_are_others", values_of_other_kinds_are_others},
			{"the_oldest_makes_room", the_oldest_makes_room},
			{"it_is_remembered_for_a_time", it_is_remembered_for_a_time},
			{"what_waits_is_no_duplicate_of_itself", what_waits_is_no_duplicate_of_itself},
			{"one_under_way_is_waited_for", one_under_way_is_waited_for},
			{"a_fan_out_passes_once", a_fan_out_passes_once},
			{"duplicates_may_go_elsewhere", duplicates_may_go_elsewhere},
			{"another_exchange_may_lead_there", another_exchange_may_lead_there},
			{"a_way_may_have_too_many", a_way_may_have_too_many},
			{"declarations_are_checked", declarations_are_checked},
			{"shares_are_bounded", shares_are_bounded}, {0}});
}
