/* SPDX-License-Identifier: Apache-2.0 */
/* x-delayed-message, with an office that publishes what was held back as it is. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000 };

static struct {
	unsigned published;
	bool not_now;
} office;

static enum publish_result office_publish(void *ctx, const struct delayed *d)
{
	struct publish p = {.exchange = d->address->exchange,
		.routing_key = message_routing_key(d->message),
		.message = d->message,
		.from_inside = true};
	uint32_t queues;
	struct failure f;

	CU_ASSERT_PTR_EQUAL(ctx, &office);
	if (delay_address_is_gone(d->address))
		return PUBLISH_FAILED;
	if (office.not_now)
		return PUBLISH_AGAIN;
	office.published++;
	enum publish_result result = exchange_publish(&fixture.session[2], &p, NULL, &queues, &f);
	return result == PUBLISH_DONE && queues == 0 ? PUBLISH_FAILED : result;
}

static enum failure_code declare_code(const char *name, const struct field *inside, const char *alternate)
{
	struct field all[2];
	struct exchange_declaration d = {
		.name = text(name), .type = text("x-delayed-message"), .arguments = {all, 0}};

	if (inside)
		all[d.arguments.count++] = *inside;
	if (alternate)
		all[d.arguments.count++] = argument_text("alternate-exchange", alternate);
	return exchange_declare_code(&d);
}

static void declare(const char *name, const char *inside)
{
	struct field f = argument_text("x-delayed-type", inside);

	CU_ASSERT_EQUAL(declare_code(name, &f, NULL), FAILURE_NONE);
}

static void begin(void)
{
	fixture_begin();
	memset(&office, 0, sizeof(office));
	broker_core_set_delay_office(fixture.core, office_publish, &office);
	declare("late", "direct");
}

static void turns(void)
{
	for (unsigned i = 0; i < 50; i++)
		broker_core_poll(fixture.core);
}

static void later(uint64_t ms)
{
	fixture_advance(ms * MS);
	turns();
}

static bool find(const void *ctx, struct slice name, struct value *out)
{
	if (!slice_equals_text(name, "x-delay"))
		return false;
	*out = *(const struct value *)ctx;
	return true;
}

/* With that header x-delay. */
static uint32_t publish_delay(const char *exchange, const char *key, uint64_t n, struct value delay)
{
	struct header_source headers = {.find = find, .ctx = &delay};

	return publish_with(exchange, key, n, &(struct publish_extra){.headers = &headers});
}

static uint32_t publish_later(const char *exchange, const char *key, uint64_t n, int64_t ms)
{
	return publish_delay(exchange, key, n, (struct value){.kind = VALUE_INT, .integer = ms});
}

static uint64_t delayed_now(void)
{
	struct broker_core_stats stats;

	broker_core_stats(fixture.core, &stats);
	return stats.messages_delayed;
}

static void a_message_waits_for_its_time(void)
{
	begin();
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("late", "q", "k"), 0);
	CU_ASSERT_EQUAL(publish_later("late", "k", 1, 100), 1);
	CU_ASSERT_EQUAL(delayed_now(), 1);
	CU_ASSERT_EQUAL(publish_with("late", "k", 2, &(struct publish_extra){0}), 1);
	CU_ASSERT_EQUAL(take_from("q"), 2);
	later(99);
	CU_ASSERT_EQUAL(ready_in("q"), 0);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	CU_ASSERT_TRUE(broker_core_next_us(fixture.core) <= fixture.core->now_us + 3 * MS);
	later(3);
	CU_ASSERT_EQUAL(take_from("q"), 1);
	CU_ASSERT_EQUAL(delayed_now(), 0);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->delayed, 1);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->delayed_lost, 0);
	fixture_end();
}

static void the_type_inside_routes(void)
{
	begin();
	declare("topics", "topic");
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("topics", "q", "a.*"), 0);
	publish_later("topics", "b.x", 1, 10);
	publish_later("topics", "a.x", 2, 10);
	later(12);
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	CU_ASSERT_EQUAL(take_from("q"), 2);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->delayed_lost, 1);
	fixture_end();
}

static void they_come_in_the_order_of_their_times(void)
{
	enum { N = 500 };

	begin();
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("late", "q", "k"), 0);
	/* The time that they come at is the same for all of a hundred. */
	for (unsigned i = 0; i < N; i++) {
		if (i % 10 == 0)
			fixture_advance(10 * MS);
		publish_later("late", "k", i, 1000 + 10 * (9 - (int64_t)(i / 10 % 10)));
	}
	publish_later("late", "k", N, 50);
	later(60);
	CU_ASSERT_EQUAL(take_from("q"), N);
	later(2000);
	CU_ASSERT_EQUAL_FATAL(ready_in("q"), N);
	for (unsigned i = 0; i < N; i++)
		CU_ASSERT_EQUAL(take_from("q"), i);
	fixture_end();
}

static void what_counts_as_a_delay(void)
{
	static const struct {
		struct value v;
		bool held;
	} cases[] = {
		{{.kind = VALUE_INT, .integer = 1}, true},
		{{.kind = VALUE_INT, .integer = 4294967295}, true},
		{{.kind = VALUE_INT, .integer = 4294967296}, false},
		{{.kind = VALUE_INT, .integer = 0}, false},
		{{.kind = VALUE_INT, .integer = -5}, false},
		{{.kind = VALUE_DOUBLE, .real = 1.5}, true},
		{{.kind = VALUE_DOUBLE, .real = 0.5}, false},
		{{.kind = VALUE_DOUBLE, .real = 1e300}, false},
		{{.kind = VALUE_DOUBLE, .real = 4294967295.0}, true},
		{{.kind = VALUE_DOUBLE, .real = 4294967296.0}, false},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"20", 2}}, true},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"-20", 3}}, false},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"20 s", 4}}, false},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)" 20", 3}}, false},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"\t20", 3}}, false},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"+20", 3}}, true},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"99999999999999999999", 20}}, false},
		{{.kind = VALUE_STRING, .bytes = {(const uint8_t *)"999999999999999999999", 21}}, false},
		{{.kind = VALUE_STRING, .bytes = {NULL, 0}}, false},
		{{.kind = VALUE_BOOL, .boolean = true}, false},
		{{.kind = VALUE_TIMESTAMP, .integer = 20}, false},
	};

	begin();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = delayed_now();
		publish_delay("late", "k", i, cases[i].v);
		CU_ASSERT_EQUAL(delayed_now() - before, cases[i].held);
	}
	CU_ASSERT_EQUAL(exchange_delete_code("late", false), 0);
	turns();
	fixture_end();
}

static void with_its_exchange_it_goes(void)
{
	enum { N = 3000 };

	begin();
	declare("stays", "direct");
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("stays", "q", "k"), 0);
	for (unsigned i = 0; i < N; i++)
		publish_later(i % 3 == 0 ? "stays" : "late", "k", i, 1000);
	CU_ASSERT_EQUAL(exchange_delete_code("late", false), 0);
	CU_ASSERT_TRUE(broker_core_busy(fixture.core));
	broker_core_poll(fixture.core);
	CU_ASSERT_TRUE(delayed_now() > N / 2);
	declare("late", "direct"); /* another one of that name */
	CU_ASSERT_EQUAL(bind_code("late", "q", "k"), 0);
	CU_ASSERT_EQUAL(exchange_delete_code("late", false), 0);
	turns();
	CU_ASSERT_EQUAL(delayed_now(), N / 3);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->delayed_lost, N - N / 3);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	later(1002);
	CU_ASSERT_EQUAL(ready_in("q"), N / 3);
	fixture_end();
}

static void the_next_one_waits_behind_it(void)
{
	begin();
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("late", "q", "k"), 0);
	publish_later("late", "k", 1, 10);
	publish_later("late", "k", 2, 20);
	office.not_now = true;
	later(30);
	CU_ASSERT_EQUAL(ready_in("q"), 0);
	CU_ASSERT_EQUAL(delayed_now(), 2);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core)); /* by the clock */
	CU_ASSERT_TRUE(broker_core_next_us(fixture.core) <= fixture.core->now_us + MS);
	office.not_now = false;
	turns();
	CU_ASSERT_EQUAL(take_from("q"), 1);
	CU_ASSERT_EQUAL(take_from("q"), 2);
	fixture_end();
}

static void delay_all(unsigned n, uint32_t body_bytes)
{
	struct value delay = {.kind = VALUE_INT, .integer = 10};
	struct header_source headers = {.find = find, .ctx = &delay};

	for (unsigned i = 0; i < n; i++)
		publish_with("late", "k", i,
			&(struct publish_extra){.headers = &headers, .body_bytes = body_bytes});
	office.not_now = true;
	later(12);
	office.not_now = false;
}

/* However many there are, and however long: what else the core has to do goes on. */
static void a_turn_publishes_so_many(void)
{
	begin();
	queue_make("q");
	CU_ASSERT_EQUAL(bind_code("late", "q", "k"), 0);
	delay_all(200, 0);
	for (unsigned turn = 1; turn <= 3; turn++) {
		broker_core_poll(fixture.core);
		CU_ASSERT_EQUAL(office.published, turn * 64);
	}
	turns();
	CU_ASSERT_EQUAL(ready_in("q"), 200);
	office.published = 0;
	delay_all(10, 100 * 1024);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.published, 3);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.published, 6);
	turns();
	CU_ASSERT_EQUAL(ready_in("q"), 210);
	fixture_end();
}

/* Each holds it back, and each remembers it. */
static void several_may_hold_it_back(void)
{
	begin();
	declare("later", "direct");
	exchange_make("first", "fanout");
	queue_make("q");
	CU_ASSERT_EQUAL(exchange_bind_code("first", "late", ""), 0);
	CU_ASSERT_EQUAL(exchange_bind_code("first", "later", ""), 0);
	CU_ASSERT_EQUAL(bind_code("late", "q", "k"), 0);
	CU_ASSERT_EQUAL(bind_code("later", "q", "k"), 0);
	CU_ASSERT_EQUAL(publish_later("first", "k", 1, 10), 2);
	CU_ASSERT_EQUAL(delayed_now(), 2);
	later(12);
	CU_ASSERT_EQUAL(ready_in("q"), 2);
	fixture_end();
}

static void without_an_office_they_are_lost(void)
{
	begin();
	broker_core_set_delay_office(fixture.core, NULL, NULL);
	publish_later("late", "k", 1, 10);
	later(12);
	CU_ASSERT_EQUAL(delayed_now(), 0);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->delayed_lost, 1);
	fixture_end();
}

static void those_on_other_ways_do_not_wait(void)
{
	begin();
	exchange_make("first", "fanout");
	queue_make("now");
	queue_make("then");
	CU_ASSERT_EQUAL(bind_code("first", "now", ""), 0);
	CU_ASSERT_EQUAL(exchange_bind_code("first", "late", ""), 0);
	CU_ASSERT_EQUAL(bind_code("late", "then", "k"), 0);
	CU_ASSERT_EQUAL(publish_later("first", "k", 1, 10), 2);
	CU_ASSERT_EQUAL(take_from("now"), 1);
	CU_ASSERT_EQUAL(ready_in("then"), 0);
	later(12);
	CU_ASSERT_EQUAL(take_from("then"), 1);
	CU_ASSERT_EQUAL(ready_in("now"), 0);
	fixture_end();
}

static void a_fan_out_is_held_back_too(void)
{
	enum { N = 90 }; /* more than are served at once */
	char name[16];

	begin();
	exchange_make("first", "fanout");
	queue_make("then");
	CU_ASSERT_EQUAL(exchange_bind_code("first", "late", ""), 0);
	CU_ASSERT_EQUAL(bind_code("late", "then", "k"), 0);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		queue_make(name);
		CU_ASSERT_EQUAL(bind_code("first", name, ""), 0);
	}
	CU_ASSERT_EQUAL(publish_later("first", "k", 7, 10), N + 1);
	CU_ASSERT_EQUAL(delayed_now(), 1);
	CU_ASSERT_EQUAL(take_from("q89"), 7);
	later(12);
	CU_ASSERT_EQUAL(take_from("then"), 7);
	fixture_end();
}

static void the_alternate_is_asked_in_the_end(void)
{
	struct field inside = argument_text("x-delayed-type", "direct");

	begin();
	exchange_make("else", "fanout");
	queue_make("rest");
	CU_ASSERT_EQUAL(bind_code("else", "rest", ""), 0);
	CU_ASSERT_EQUAL(declare_code("d", &inside, "else"), 0);
	publish_later("d", "nowhere", 1, 10);
	CU_ASSERT_EQUAL(ready_in("rest"), 0);
	later(12);
	CU_ASSERT_EQUAL(take_from("rest"), 1);
	fixture_end();
}

static void publish_try_to(const char *exchange, enum publish_result want)
{
	struct value delay = {.kind = VALUE_INT, .integer = 10};
	struct header_source headers = {.find = find, .ctx = &delay};
	struct message *m = message_new(fixture.core->cache,
		&(struct message_envelope){.exchange = text(exchange), .routing_key = text("k")});
	struct publish p = {
		.exchange = text(exchange), .routing_key = text("k"), .headers = &headers, .message = m};
	uint32_t queues;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure), want);
	message_unref(fixture.core->cache, m);
}

static void publish_try(enum publish_result want)
{
	publish_try_to("late", want);
}

/* All blocks but one of cells. */
static struct {
	void *blocks[4096];
	unsigned n;
	struct message *m;
} taken;

static void memory_take(void)
{
	struct message_cache *cache = fixture.core->cache;

	taken.n = 0;
	while (taken.n < 4096 && (taken.blocks[taken.n] = message_store_block_take(cache)))
		taken.n++;
	CU_ASSERT_TRUE_FATAL(taken.n > 0 && taken.n < 4096);
	message_store_block_give(cache, taken.blocks[--taken.n]);
	taken.m = message_new(cache, &(struct message_envelope){0});
	taken.blocks[taken.n] = message_store_block_take(cache);
	taken.n += taken.blocks[taken.n] != NULL;
}

static void memory_give(void)
{
	message_unref(fixture.core->cache, taken.m);
	while (taken.n > 0)
		message_store_block_give(fixture.core->cache, taken.blocks[--taken.n]);
}

static void without_memory_the_publisher_waits(void)
{
	begin();
	publish("late", "k", 1); /* its cells have a block */
	memory_take();
	publish_try(PUBLISH_AGAIN);
	CU_ASSERT_EQUAL(delayed_now(), 0);
	memory_give();
	publish_try(PUBLISH_DONE);
	CU_ASSERT_EQUAL(delayed_now(), 1);
	later(12);
	fixture_end();
}

/* A place to be held back in was there, but none in a queue on another way. */
static void who_waits_for_a_queue_holds_nothing_back(void)
{
	begin();
	exchange_make("first", "fanout");
	queue_make("now");
	CU_ASSERT_EQUAL(bind_code("first", "now", ""), 0);
	CU_ASSERT_EQUAL(exchange_bind_code("first", "late", ""), 0);
	publish_later("late", "k", 1, 10);
	memory_take();
	for (unsigned i = 0; i < 3; i++)
		publish_try_to("first", PUBLISH_AGAIN);
	CU_ASSERT_EQUAL(delayed_now(), 1);
	memory_give();
	publish_try_to("first", PUBLISH_DONE);
	CU_ASSERT_EQUAL(delayed_now(), 2);
	CU_ASSERT_EQUAL(ready_in("now"), 1);
	later(12);
	fixture_end();
}

static void refused(const struct field *inside, enum failure_code code, const char *why)
{
	CU_ASSERT_EQUAL(declare_code("x", inside, NULL), code);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, why);
}

static void declarations_are_checked(void)
{
	static const char must[] = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
	struct field number = argument_int("x-delayed-type", 1),
		     itself = argument_text("x-delayed-type", "x-delayed-message"),
		     unknown = argument_text("x-delayed-type", "nothing"),
		     direct = argument_text("x-delayed-type", "direct"),
		     topic = argument_text("x-delayed-type", "topic");
	struct exchange_declaration plain = {.name = text("late"), .type = text("direct")};

	begin();
	refused(NULL, FAILURE_PRECONDITION, must);
	refused(&number, FAILURE_PRECONDITION, must);
	refused(&itself, FAILURE_PRECONDITION, must);
	refused(&unknown, FAILURE_COMMAND_INVALID, "unknown exchange type 'nothing'");
	CU_ASSERT_FALSE(exchange_exists("x"));
	CU_ASSERT_EQUAL(declare_code("late", &direct, NULL), 0);
	CU_ASSERT_EQUAL(declare_code("late", &topic, NULL), 0); /* as the plugin has it */
	CU_ASSERT_EQUAL(exchange_declare_code(&plain), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"inequivalent arg 'type' for exchange 'late' in vhost '/': received 'direct' but current is "
		"'x-delayed-message'");
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_message_waits_for_its_time", a_message_waits_for_its_time},
			{"the_type_inside_routes", the_type_inside_routes},
			{"they_come_in_the_order_of_their_times", they_come_in_the_order_of_their_times},
			{"what_counts_as_a_delay", what_counts_as_a_delay},
			{"with_its_exchange_it_goes", with_its_exchange_it_goes},
			{"the_next_one_waits_behind_it", the_next_one_waits_behind_it},
			{"a_turn_publishes_so_many", a_turn_publishes_so_many},
			{"several_may_hold_it_back", several_may_hold_it_back},
			{"without_an_office_they_are_lost", without_an_office_they_are_lost},
			{"those_on_other_ways_do_not_wait", those_on_other_ways_do_not_wait},
			{"a_fan_out_is_held_back_too", a_fan_out_is_held_back_too},
			{"the_alternate_is_asked_in_the_end", the_alternate_is_asked_in_the_end},
			{"without_memory_the_publisher_waits", without_memory_the_publisher_waits},
			{"who_waits_for_a_queue_holds_nothing_back",
				who_waits_for_a_queue_holds_nothing_back},
			{"declarations_are_checked", declarations_are_checked}, {0}});
}
