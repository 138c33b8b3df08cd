/* SPDX-License-Identifier: Apache-2.0 */
/* Queues with x-message-deduplication: of each value one message at most, as long as it is there. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000, PAGES = 5, MANY = PAGES * ENTRIES_A_PAGE };

static bool find(const void *ctx, struct slice name, struct value *out)
{
	if (!slice_equals_text(name, "x-deduplication-header"))
		return false;
	*out = *(const struct value *)ctx;
	return true;
}

static struct value name_value(const char *s)
{
	return (struct value){.kind = VALUE_STRING, .bytes = text(s)};
}

static struct value number_value(int64_t n)
{
	return (struct value){.kind = VALUE_INT, .integer = n};
}

static struct publish_extra extra_of(const struct header_source *source)
{
	return (struct publish_extra){.headers = source};
}

/* Whether all of its queues took it. */
static bool taken_value(const char *exchange, const char *key, struct value v, struct publish_extra e)
{
	struct header_source source = {.find = find, .ctx = &v};

	e.headers = &source;
	CU_ASSERT_NOT_EQUAL(publish_with(exchange, key, 1, &e), 0);
	return !fixture_refused;
}

static bool takes(const char *queue, const char *value)
{
	return taken_value("", queue, name_value(value), (struct publish_extra){0});
}

static struct queue *make(const char *name, const struct field *more)
{
	struct field all[3] = {argument_bool("x-message-deduplication", true)};
	uint32_t n = 1;

	for (; more && n < 3 && more[n - 1].name.data; n++)
		all[n] = more[n - 1];
	return queue_make_with(name, n, all);
}

static struct queue *begin(const struct field *more)
{
	fixture_begin();
	return make("q", more);
}

static struct delivery take(struct queue *q)
{
	struct delivery d = {0};

	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d));
	return d;
}

/* Nothing is left, of values neither. */
static void end(struct queue *q)
{
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	CU_ASSERT_EQUAL(queue_values_count(q->entries.values), 0);
	fixture_end();
}

static uint64_t duplicates(void)
{
	return broker_core_counters(fixture.core)->duplicates;
}

static void a_value_is_there_once(void)
{
	struct queue *q = begin(NULL);

	CU_ASSERT_TRUE(takes("q", "a"));
	CU_ASSERT_FALSE(takes("q", "a"));
	CU_ASSERT_TRUE(takes("q", "b"));
	CU_ASSERT_FALSE(takes("q", "b"));
	CU_ASSERT_EQUAL(duplicates(), 2);
	CU_ASSERT_EQUAL(fixture.core->stats.refused, 0);
	CU_ASSERT_EQUAL(queue_ready_count(q), 2);
	/* Without a value all come in. */
	publish("", "q", 1);
	publish("", "q", 1);
	CU_ASSERT_FALSE(fixture_refused);
	CU_ASSERT_EQUAL(queue_ready_count(q), 4);
	for (unsigned i = 0; i < 4; i++)
		take_from("q");
	CU_ASSERT_TRUE(takes("q", "a"));
	take_from("q");
	end(q);
}

static void values_of_other_kinds_are_others(void)
{
	struct value values[] = {
		number_value(1),
		name_value("1"),
		{.kind = VALUE_DOUBLE, .real = 1},
		{.kind = VALUE_BOOL, .boolean = true},
		{.kind = VALUE_TIMESTAMP, .integer = 1},
		{.kind = VALUE_VOID},
		{.kind = VALUE_STRING},
	};

	begin(NULL);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++)
			CU_ASSERT_EQUAL(
				taken_value("", "q", values[i], (struct publish_extra){0}), round == 0);
	struct value opaque = {.kind = VALUE_OPAQUE, .bytes = text("x")};
	CU_ASSERT_TRUE(taken_value("", "q", opaque, (struct publish_extra){0}));
	CU_ASSERT_TRUE(taken_value("", "q", opaque, (struct publish_extra){0}));
	fixture_end();
}

static void with_a_client_it_is_still_there(void)
{
	struct queue *q = begin(NULL);

	takes("q", "a");
	struct delivery d = take(q);
	CU_ASSERT_FALSE(takes("q", "a"));
	queue_requeue(fixture.core, &d);
	CU_ASSERT_FALSE(takes("q", "a"));
	d = take(q);
	queue_put_back(fixture.core, &d);
	CU_ASSERT_FALSE(takes("q", "a"));
	d = take(q);
	queue_ack(fixture.core, &d);
	CU_ASSERT_TRUE(takes("q", "a"));
	d = take(q);
	queue_drop(fixture.core, &d);
	CU_ASSERT_TRUE(takes("q", "a"));
	take_from("q"); /* without an ack */
	CU_ASSERT_TRUE(takes("q", "a"));
	take_from("q");
	end(q);
}

/* One settled in the midst of others frees its own value. */
static void each_has_its_own(void)
{
	static struct delivery d[MANY];
	struct queue *q = begin(NULL);

	for (unsigned i = 0; i < MANY; i++)
		CU_ASSERT_TRUE(taken_value("", "q", number_value(i), (struct publish_extra){0}));
	for (unsigned i = 0; i < MANY; i++)
		d[i] = take(q);
	for (unsigned i = 0; i < MANY; i += 3)
		queue_ack(fixture.core, &d[i]);
	for (unsigned i = 1; i < MANY; i += 3)
		queue_requeue(fixture.core, &d[i]);
	for (unsigned i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(taken_value("", "q", number_value(i), (struct publish_extra){0}), i % 3 == 0);
	CU_ASSERT_EQUAL(queue_values_count(q->entries.values), MANY);
	for (unsigned i = 2; i < MANY; i += 3)
		queue_ack(fixture.core, &d[i]);
	while (queue_ready_count(q) > 0)
		take_from("q");
	end(q);
}

static void time_ends_it(void)
{
	struct field ttl[2] = {argument_int("x-message-ttl", 50)};
	struct queue *q = begin(ttl);

	CU_ASSERT_TRUE(takes("q", "a"));
	fixture_advance(49 * MS);
	CU_ASSERT_FALSE(takes("q", "a"));
	fixture_advance(1 * MS);
	CU_ASSERT_TRUE(takes("q", "a"));
	struct publish_extra own = {.expires = true, .lifetime_us = 10 * MS};
	CU_ASSERT_FALSE(taken_value("", "q", name_value("a"), own));
	fixture_advance(50 * MS);
	CU_ASSERT_TRUE(taken_value("", "q", name_value("a"), own));
	fixture_advance(10 * MS);
	CU_ASSERT_TRUE(takes("q", "a"));
	fixture_advance(50 * MS);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, 4);
	end(q);
}

static void too_much_ends_it(void)
{
	struct field most[2] = {argument_int("x-max-length", 1)};
	struct queue *q = begin(most);

	CU_ASSERT_TRUE(takes("q", "a"));
	CU_ASSERT_TRUE(takes("q", "b"));
	fixture_advance(1);
	CU_ASSERT_FALSE(takes("q", "b"));
	CU_ASSERT_TRUE(takes("q", "a"));
	fixture_advance(1);
	CU_ASSERT_EQUAL(fixture.core->stats.dropped_length, 2);
	take_from("q");
	end(q);
}

static struct {
	unsigned letters;
	bool not_now;
} office;

/* A letter goes back to where it came from: its value must be free by then. */
static enum publish_result letter_comes_back(void *ctx, const struct dead_letter *l)
{
	(void)ctx;
	(void)l;
	if (office.not_now)
		return PUBLISH_AGAIN;
	office.letters++;
	CU_ASSERT_TRUE(takes("q", "a"));
	return PUBLISH_DONE;
}

static void a_dead_letter_has_left(void)
{
	struct field more[] = {
		argument_text("x-dead-letter-exchange", ""), argument_int("x-delivery-limit", 0), {{0}, {0}}};
	struct queue *q = begin(more);

	office.letters = 0;
	broker_core_set_letter_office(fixture.core, letter_comes_back, NULL);
	takes("q", "a");
	struct delivery d = take(q);
	queue_drop(fixture.core, &d);
	broker_core_poll(fixture.core);
	d = take(q);
	queue_requeue(fixture.core, &d);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 2);
	CU_ASSERT_EQUAL(fixture.core->stats.returned_too_often, 1);
	take_from("q");
	end(q);
}

/* What a full queue would not have leaves nothing behind; a duplicate is no message that it could refuse. */
static void what_was_refused_is_not_there(void)
{
	struct field more[] = {
		argument_int("x-max-length", 1), argument_text("x-overflow", "reject-publish"), {{0}, {0}}};
	struct queue *q = begin(more);

	CU_ASSERT_TRUE(takes("q", "a"));
	CU_ASSERT_FALSE(takes("q", "b"));
	CU_ASSERT_FALSE(takes("q", "a"));
	CU_ASSERT_EQUAL(fixture.core->stats.refused, 1);
	CU_ASSERT_EQUAL(duplicates(), 1);
	take_from("q");
	CU_ASSERT_TRUE(takes("q", "b"));
	CU_ASSERT_EQUAL(q->promised, 1);
	take_from("q");
	end(q);
}

static void priorities_keep_their_values(void)
{
	struct field levels[2] = {argument_int("x-max-priority", 3)};
	struct queue *q = begin(levels);

	for (unsigned i = 0; i < MANY; i++)
		CU_ASSERT_TRUE(taken_value(
			"", "q", number_value(i), (struct publish_extra){.priority = (uint8_t)(i % 4)}));
	for (unsigned i = 0; i < MANY; i++)
		CU_ASSERT_FALSE(taken_value("", "q", number_value(i), (struct publish_extra){0}));
	for (unsigned i = 0; i < MANY / 2; i++)
		take_from("q");
	/* The upper half is gone. */
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(
			taken_value("", "q", number_value(i), (struct publish_extra){.priority = 0}), i > 1);
	while (queue_ready_count(q) > 0)
		take_from("q");
	end(q);
}

static void purge(const char *queue, uint64_t expected)
{
	struct queue_call_request r = {.kind = QUEUE_CALL_PURGE, .queue = text(queue)};
	uint64_t n = 0;

	CU_ASSERT_EQUAL(queue_call_code(0, &r, &n), 0);
	CU_ASSERT_EQUAL(n, expected);
}

/* What is purged goes in slices. Who comes with one of its values meanwhile waits, and is not refused; what
 * is with a client stays. */
static void a_purge_frees_values(void)
{
	struct queue *q = begin(NULL);
	struct value last = number_value(MANY - 1);
	struct header_source source = {.find = find, .ctx = &last};
	struct publish_extra e = extra_of(&source);
	uint32_t queues;

	exchange_make("all", "fanout");
	make("other", NULL);
	CU_ASSERT_EQUAL(bind_code("all", "q", ""), 0);
	CU_ASSERT_EQUAL(bind_code("all", "other", ""), 0);
	for (unsigned i = 0; i < MANY; i++)
		taken_value("", "q", number_value(i), (struct publish_extra){0});
	struct delivery d = take(q);
	purge("q", MANY - 1);
	struct message *m = message_new(fixture.core->cache, &(struct message_envelope){0});
	struct publish to_q = {
		.exchange = text(""), .routing_key = text("q"), .headers = &source, .message = m};
	struct publish to_both = {
		.exchange = text("all"), .routing_key = text(""), .headers = &source, .message = m};
	CU_ASSERT_EQUAL(
		exchange_publish(&fixture.session[0], &to_q, NULL, &queues, &fixture.failure), PUBLISH_AGAIN);
	CU_ASSERT_EQUAL(exchange_publish(&fixture.session[0], &to_both, NULL, &queues, &fixture.failure),
		PUBLISH_AGAIN);
	message_unref(fixture.core->cache, m);
	CU_ASSERT_EQUAL(publish_with("all", "", 1, &e), 2);
	CU_ASSERT_FALSE(fixture_refused);
	CU_ASSERT_TRUE(taken_value("", "q", number_value(MANY / 2), (struct publish_extra){0}));
	graves_empty();
	CU_ASSERT_FALSE(taken_value("", "q", number_value(0), (struct publish_extra){0}));
	CU_ASSERT_FALSE(taken_value("", "q", last, (struct publish_extra){0}));
	CU_ASSERT_EQUAL(queue_values_count(q->entries.values), 3);
	queue_ack(fixture.core, &d);
	take_from("q");
	take_from("q");
	take_from("other");
	end(q);
}

static void another_queue_of_that_name_holds_nothing(void)
{
	struct queue *q = begin(NULL);

	for (unsigned i = 0; i < MANY; i++)
		taken_value("", "q", number_value(i), (struct publish_extra){0});
	uint32_t left = fixture.broker->remembered;
	struct delivery d = take(q);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(left, MANY);
	CU_ASSERT_EQUAL(fixture.broker->remembered, 0);
	q = make("q", NULL);
	CU_ASSERT_TRUE(taken_value("", "q", number_value(0), (struct publish_extra){0}));
	queue_ack(fixture.core, &d);
	CU_ASSERT_FALSE(taken_value("", "q", number_value(0), (struct publish_extra){0}));
	take_from("q");
	end(q);
}

/* Each queue has its own opinion. */
static void of_several_queues_some_take_it(void)
{
	struct queue *q = begin(NULL), *plain;

	exchange_make("all", "fanout");
	plain = queue_make("plain");
	CU_ASSERT_EQUAL(bind_code("all", "q", ""), 0);
	CU_ASSERT_EQUAL(bind_code("all", "plain", ""), 0);
	CU_ASSERT_TRUE(taken_value("all", "", name_value("a"), (struct publish_extra){0}));
	CU_ASSERT_FALSE(taken_value("all", "", name_value("a"), (struct publish_extra){0}));
	CU_ASSERT_EQUAL(queue_ready_count(plain), 2);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	CU_ASSERT_EQUAL(duplicates(), 1);
	take_from("q");
	end(q);
}

static void a_fan_out_finds_duplicates(void)
{
	enum { N = 90 }; /* more than are served at once */
	char name[16];
	struct queue *q = begin(NULL);

	exchange_make("all", "fanout");
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		make(name, NULL);
		CU_ASSERT_EQUAL(bind_code("all", name, ""), 0);
	}
	CU_ASSERT_TRUE(takes("q7", "a"));
	CU_ASSERT_FALSE(taken_value("all", "", name_value("a"), (struct publish_extra){0}));
	CU_ASSERT_EQUAL(duplicates(), 1);
	CU_ASSERT_EQUAL(ready_in("q7"), 1);
	CU_ASSERT_EQUAL(ready_in("q89"), 1);
	CU_ASSERT_TRUE(taken_value("all", "", name_value("b"), (struct publish_extra){0}));
	CU_ASSERT_EQUAL(ready_in("q7"), 2);
	publish("all", "", 1);
	CU_ASSERT_FALSE(fixture_refused);
	end(q);
}

/* A run of messages that are routed once would not ask for each of them. */
static void runs_have_no_values(void)
{
	struct queue *q = begin(NULL);
	struct value v = name_value("a");
	struct header_source source = {.find = find, .ctx = &v};
	struct message *m = message_new(fixture.core->cache, &(struct message_envelope){0});
	struct publish p = {.exchange = text(""), .routing_key = text("q"), .message = m};

	CU_ASSERT_PTR_EQUAL(publish_run_begin(&fixture.session[0], &p).queue, q);
	p.headers = &source;
	CU_ASSERT_PTR_NULL(publish_run_begin(&fixture.session[0], &p).queue);
	message_unref(fixture.core->cache, m);
	end(q);
}

/* Where the broker remembers as much as it may, messages come in without their values, and are counted. */
static void what_is_remembered_is_bounded(void)
{
	struct queue *q = begin(NULL);
	uint32_t most = QUEUE_VALUES_LEAST + 10;

	fixture.broker->config.remembered_max = most;
	for (unsigned round = 0; round < 3; round++) {
		uint64_t unwatched = broker_core_counters(fixture.core)->values_unwatched;
		for (unsigned i = 0; i < most; i++)
			CU_ASSERT_TRUE(taken_value("", "q", number_value(i), (struct publish_extra){0}));
		CU_ASSERT_EQUAL(fixture.broker->remembered, most);
		CU_ASSERT_TRUE(taken_value("", "q", name_value("a"), (struct publish_extra){0}));
		CU_ASSERT_TRUE(taken_value("", "q", name_value("a"), (struct publish_extra){0}));
		CU_ASSERT_FALSE(taken_value("", "q", number_value(1), (struct publish_extra){0}));
		CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->values_unwatched, unwatched + 2);
		while (queue_ready_count(q) > 0)
			take_from("q");
		CU_ASSERT_EQUAL(fixture.broker->remembered, QUEUE_VALUES_LEAST);
	}
	struct field on = argument_bool("x-message-deduplication", true);
	struct queue_declaration d = {.name = text("another"), .arguments = {&on, 1}};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_LIMIT);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"x-message-deduplication: only 10 of 74 values are left (limits.deduplication)");
	CU_ASSERT_FALSE(queue_exists("another"));
	fixture_end();
}

static bool deduplicates(struct value v)
{
	struct field a = {text("x-message-deduplication"), v};
	struct queue *q = queue_make_with("d", 1, &a);
	bool yes = q->entries.values;

	CU_ASSERT_EQUAL(queue_delete_code(0, "d"), 0);
	return yes;
}

/* As the plugin: all but false is true, and a later declaration is not asked about it. */
static void declarations(void)
{
	struct field no = argument_bool("x-message-deduplication", false);
	struct queue_declaration d = {.name = text("q"), .arguments = {&no, 1}};
	struct queue *q = begin(NULL), *again;

	CU_ASSERT_FALSE(deduplicates((struct value){.kind = VALUE_BOOL}));
	CU_ASSERT_TRUE(deduplicates((struct value){.kind = VALUE_BOOL, .boolean = true}));
	CU_ASSERT_TRUE(deduplicates(number_value(1)));
	CU_ASSERT_TRUE(deduplicates(name_value("true")));
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &again), 0);
	CU_ASSERT_PTR_EQUAL(again, q);
	CU_ASSERT_TRUE(takes("q", "a"));
	CU_ASSERT_FALSE(takes("q", "a"));
	take_from("q");
	end(q);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_value_is_there_once", a_value_is_there_once},
			{"values_of_other_kinds_are_others", values_of_other_kinds_are_others},
			{"with_a_client_it_is_still_there", with_a_client_it_is_still_there},
			{"each_has_its_own", each_has_its_own}, {"time_ends_it", time_ends_it},
			{"too_much_ends_it", too_much_ends_it},
			{"a_dead_letter_has_left", a_dead_letter_has_left},
			{"what_was_refused_is_not_there", what_was_refused_is_not_there},
			{"priorities_keep_their_values", priorities_keep_their_values},
			{"a_purge_frees_values", a_purge_frees_values},
			{"another_queue_of_that_name_holds_nothing",
				another_queue_of_that_name_holds_nothing},
			{"of_several_queues_some_take_it", of_several_queues_some_take_it},
			{"a_fan_out_finds_duplicates", a_fan_out_finds_duplicates},
			{"runs_have_no_values", runs_have_no_values},
			{"what_is_remembered_is_bounded", what_is_remembered_is_bounded},
			{"declarations", declarations}, {0}});
}
