/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue may be told: how long messages live, how long it lives itself. */
#include "broker/core/core_fixture.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000)

static struct publish_extra lives(uint64_t us)
{
	return (struct publish_extra){.expires = true, .lifetime_us = us};
}

static void drop(struct test_consumer *k)
{
	while (k->taken > 0)
		message_unref(fixture.core->cache, k->kept[--k->taken].message);
	consumer_detach(&k->consumer);
	free(k);
}

static enum failure_code declare_code(const struct field *a, uint32_t n)
{
	struct queue_declaration d = {.name = text("q"), .arguments = {a, n}};
	struct queue *q;

	return queue_declare_code(0, &d, &q);
}

static void arguments_are_checked(void)
{
	static const struct {
		const char *name;
		struct value value;
		const char *why;
	} cases[] = {
		{"x-message-ttl", {.kind = VALUE_INT, .integer = -1}, "{value_negative,-1}"},
		{"x-message-ttl", {.kind = VALUE_BOOL, .boolean = true}, "\"expected integer, got bool\""},
		{"x-message-ttl", {.kind = VALUE_VOID}, "\"expected integer, got void\""},
		{"x-message-ttl", {.kind = VALUE_INT, .integer = 315360000001},
			"{value_too_large,315360000001}"},
		{"x-expires", {.kind = VALUE_INT, .integer = 0}, "{value_zero,0}"},
		{"x-expires", {.kind = VALUE_INT, .integer = -7}, "{value_negative,-7}"},
		{"x-max-length", {.kind = VALUE_INT, .integer = -1}, "{value_negative,-1}"},
		{"x-max-length-bytes", {.kind = VALUE_STRING, .bytes = {(const uint8_t *)"s", 1}},
			"\"expected integer, got longstr\""},
		{"x-overflow", {.kind = VALUE_STRING, .bytes = {(const uint8_t *)"bad", 3}},
			"invalid_overflow"},
		{"x-overflow", {.kind = VALUE_INT, .integer = 3}, "{unacceptable_type,signedint}"},
		{"x-queue-version", {.kind = VALUE_INT, .integer = 3}, "\"unsupported queue version '3'\""},
		{"x-queue-version", {.kind = VALUE_INT, .integer = -1}, "{value_negative,-1}"},
		{"x-message-ttl", {.kind = VALUE_DOUBLE, .letter = 'f'}, "\"expected integer, got float\""},
		{"x-message-ttl", {.kind = VALUE_OPAQUE, .letter = 'A'}, "\"expected integer, got array\""},
		{"x-overflow", {.kind = VALUE_INT, .letter = 'b'}, "{unacceptable_type,byte}"},
		{"x-queue-mode", {.kind = VALUE_INT, .integer = 3}, "{unacceptable_type,signedint}"},
	};
	char wanted[240];

	fixture_begin();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct field a = {text(cases[i].name), cases[i].value};
		CU_ASSERT_EQUAL(declare_code(&a, 1), FAILURE_PRECONDITION);
		snprintf(wanted, sizeof(wanted), "invalid arg '%s' for queue 'q' in vhost '/': %s",
			cases[i].name, cases[i].why);
		CU_ASSERT_STRING_EQUAL(fixture.failure.text, wanted);
	}
	struct field other = argument_int("x-max-age", 3);
	CU_ASSERT_EQUAL(declare_code(&other, 1), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "invalid arg 'x-max-age' for queue 'q' in vhost "
						     "'/' of queue type rabbit_classic_queue");
	CU_ASSERT_FALSE(queue_exists("q"));
	struct field most = argument_int("x-message-ttl", 315360000000);
	CU_ASSERT_EQUAL(declare_code(&most, 1), 0);
	fixture_end();
}

/* Of arguments that come several times the first counts. */
static void what_is_said_first_counts(void)
{
	struct field twice[] = {argument_int("x-max-length", 1), argument_int("x-max-length", 2)};
	struct field nonsense[] = {argument_int("x-expires", 5), argument_int("x-expires", -5)};

	fixture_begin();
	struct queue *q = queue_make_with("q", 2, twice);
	for (unsigned i = 1; i <= 3; i++)
		publish("", "q", i);
	broker_core_deliver(fixture.core, 10);
	CU_ASSERT_EQUAL(q->entries.ready, 1);
	CU_ASSERT_EQUAL(declare_code(twice, 1), 0);
	CU_ASSERT_EQUAL(declare_code(twice + 1, 1), FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(declare_code(nonsense, 2), 0);
	fixture_end();
}

static void got(void *ctx, struct queue_call_result *result)
{
	CU_ASSERT_TRUE(result->found);
	message_unref(fixture.core->cache, result->delivery.message);
	*(uint64_t *)ctx = result->messages;
}

/* What a get leaves behind is counted without what is over. */
static void a_get_counts_what_lives(void)
{
	uint64_t left = 99;
	struct queue_call_request get = {
		.kind = QUEUE_CALL_GET, .queue = text("q"), .no_ack = true, .done = got, .ctx = &left};
	struct publish_extra brief = lives(10 * MS), longer = lives(1000 * MS);
	struct queue_call *call;

	fixture_begin();
	queue_make("q");
	publish_with("", "q", 1, &longer);
	publish_with("", "q", 2, &brief);
	publish_with("", "q", 3, &longer);
	fixture_advance(20 * MS);
	CU_ASSERT_EQUAL(queue_call(&fixture.session[0], &get, &call, &fixture.failure), 0);
	CU_ASSERT_EQUAL(left, 1);
	fixture_end();
}

static void messages_expire_in_their_queue(void)
{
	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 100)});
	publish("", "q", 1);
	fixture_advance(60 * MS);
	publish("", "q", 2);
	fixture_advance(39 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(q), 2);
	fixture_advance(2 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	fixture_advance(57 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	fixture_advance(4 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, 2);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	fixture_end();
}

static void what_has_expired_is_not_delivered(void)
{
	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 10)});
	struct delivery d;
	publish("", "q", 1);
	/* No turn has been since: the timer has not fired. */
	broker_core_now(fixture.core, fixture.core->now_us + 10 * MS);
	publish("", "q", 2);
	CU_ASSERT_TRUE_FATAL(queue_take(q, true, &d));
	CU_ASSERT_EQUAL(number_of(d.message), 2);
	message_unref(fixture.core->cache, d.message);
	publish("", "q", 3);
	broker_core_now(fixture.core, fixture.core->now_us + 10 * MS);
	struct test_consumer *k = consumer_make(q, 10, true);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 10), 0);
	CU_ASSERT_EQUAL(k->taken, 0);
	drop(k);
	fixture_end();
}

static void a_message_has_a_time_of_its_own(void)
{
	struct publish_extra brief = lives(20 * MS), longer = lives(500 * MS);

	fixture_begin();
	struct queue *plain = queue_make("plain");
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 100)});
	publish_with("", "plain", 1, &brief);
	publish_with("", "q", 1, &brief);
	publish_with("", "q", 2, &longer);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, 0);
	fixture_advance(21 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(plain), 0);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	fixture_advance(81 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0); /* the shorter one of the two counts */
	fixture_end();
}

/* As RabbitMQ's classic queues: what is behind a message that stays, stays. */
static void only_the_head_expires(void)
{
	struct publish_extra brief = lives(20 * MS);
	struct delivery d;

	fixture_begin();
	struct queue *q = queue_make("q");
	publish("", "q", 1);
	publish_with("", "q", 2, &brief);
	publish("", "q", 3);
	fixture_advance(100 * MS);
	CU_ASSERT_EQUAL(queue_ready_count(q), 3);
	CU_ASSERT_TRUE_FATAL(queue_take(q, true, &d));
	message_unref(fixture.core->cache, d.message);
	fixture_advance(0);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	CU_ASSERT_TRUE_FATAL(queue_take(q, true, &d));
	CU_ASSERT_EQUAL(number_of(d.message), 3);
	message_unref(fixture.core->cache, d.message);
	fixture_end();
}

static void what_is_put_back_keeps_its_time(void)
{
	struct delivery d;

	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 50)});
	publish("", "q", 1);
	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d));
	fixture_advance(30 * MS);
	queue_requeue(fixture.core, &d);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d));
	fixture_advance(30 * MS);
	queue_requeue(fixture.core, &d);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, 1);
	CU_ASSERT_EQUAL(fixture.core->stats.messages_unacked, 0);
	fixture_end();
}

static void no_time_means_now_or_never(void)
{
	struct publish_extra none = lives(0);

	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 0)});
	struct queue *plain = queue_make("plain");
	struct delivery d;
	uint64_t n;
	publish("", "q", 1);
	publish_with("", "plain", 1, &none);
	struct queue_call_request count = {.kind = QUEUE_CALL_COUNT, .queue = text("plain")};
	CU_ASSERT_EQUAL(queue_call_code(0, &count, &n), 0);
	CU_ASSERT_EQUAL(n, 0);
	fixture_advance(0);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	struct test_consumer *k = consumer_make(q, 2, false);
	for (unsigned i = 0; i < 5; i++)
		publish("", "q", i);
	fixture_advance(0);
	CU_ASSERT_EQUAL(k->taken, 2);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	d = k->kept[0];
	k->credit = 1;
	consumer_wake(&k->consumer);
	queue_requeue(fixture.core, &d); /* it had its time */
	fixture_advance(0);
	CU_ASSERT_EQUAL(k->taken, 2);
	queue_ack(fixture.core, &k->kept[1]);
	k->taken = 0;
	drop(k);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, 6);
	CU_ASSERT_EQUAL(queue_ready_count(plain), 0);
	fixture_end();
}

static void many_expire_in_slices(void)
{
	enum { MANY = 2 * RULES_QUANTUM + 10 };

	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 5)});
	for (unsigned i = 0; i < MANY; i++)
		publish("", "q", i);
	fixture_advance(4 * MS);
	publish("", "q", MANY);
	broker_core_now(fixture.core, fixture.core->now_us + 2 * MS);
	struct test_consumer *k = consumer_make(q, 10, true);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 0);
	CU_ASSERT_EQUAL(queue_ready_count(q), MANY + 1 - RULES_QUANTUM);
	CU_ASSERT_TRUE(broker_core_busy(fixture.core));
	fixture_advance(0);
	CU_ASSERT_EQUAL(queue_ready_count(q), MANY + 1 - 2 * RULES_QUANTUM);
	fixture_advance(0);
	fixture_advance(0);
	CU_ASSERT_EQUAL(k->taken, 1);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, MANY);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	drop(k);
	fixture_end();
}

/* Whoever asks a queue, or gives something back to it, has only little of that done. */
static void what_is_asked_for_expires_in_slices_too(void)
{
	enum { MANY = 3000, ASKED = 50 };
	struct delivery d[ASKED];
	struct queue_call_request get = {.kind = QUEUE_CALL_COUNT, .queue = text("q")};
	uint64_t n;

	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 5)});
	for (unsigned i = 0; i < MANY; i++)
		publish("", "q", i);
	for (unsigned i = 0; i < ASKED; i++)
		CU_ASSERT_TRUE(queue_take(q, false, &d[i]));
	broker_core_poll(fixture.core);
	broker_core_now(fixture.core, fixture.core->now_us + 10 * MS);
	for (unsigned i = 0; i < ASKED; i++)
		CU_ASSERT_EQUAL(queue_call_code(0, &get, &n), 0);
	for (unsigned i = 0; i < ASKED; i++)
		queue_requeue(fixture.core, &d[i]);
	CU_ASSERT_TRUE(fixture.core->stats.expired <= RULES_QUANTUM + 2 * ASKED * RULES_LEAST);
	for (unsigned i = 0; i < 1 + MANY / RULES_QUANTUM; i++)
		fixture_advance(0);
	CU_ASSERT_EQUAL(fixture.core->stats.expired, MANY);
	fixture_end();
}

static void a_core_knows_when_the_next_one_expires(void)
{
	fixture_begin();
	queue_make_with("q", 1, (struct field[]){argument_int("x-message-ttl", 100)});
	CU_ASSERT_EQUAL(broker_core_next_us(fixture.core), UINT64_MAX);
	publish("", "q", 1);
	uint64_t left = broker_core_next_us(fixture.core) - fixture.core->now_us;
	CU_ASSERT_TRUE(left > 0 && left <= 101 * MS);
	fixture_advance(102 * MS);
	CU_ASSERT_EQUAL(broker_core_next_us(fixture.core), UINT64_MAX);
	fixture_end();
}

static uint64_t count_of(const char *name)
{
	uint64_t n;

	CU_ASSERT_EQUAL(
		queue_call_code(
			0, &(struct queue_call_request){.kind = QUEUE_CALL_COUNT, .queue = text(name)}, &n),
		0);
	return n;
}

static void an_unused_queue_goes(void)
{
	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-expires", 100)});
	bind_code("amq.fanout", "q", "");
	fixture_advance(60 * MS);
	publish("", "q", 1); /* does not count as use */
	CU_ASSERT_EQUAL(count_of("q"), 1);
	fixture_advance(60 * MS);
	CU_ASSERT_TRUE(queue_exists("q")); /* that did */
	struct test_consumer *k = consumer_make(q, 0, true);
	fixture_advance(300 * MS);
	CU_ASSERT_TRUE(queue_exists("q"));
	consumer_detach(&k->consumer);
	fixture_advance(99 * MS);
	CU_ASSERT_TRUE(queue_exists("q"));
	fixture_advance(3 * MS);
	CU_ASSERT_FALSE(queue_exists("q"));
	CU_ASSERT_EQUAL(fixture.core->stats.queues_expired, 1);
	CU_ASSERT_EQUAL(fixture.core->stats.dropped, 1);
	free(k);
	fixture_end();
}

static void a_deleted_queue_leaves_no_timer(void)
{
	fixture_begin();
	queue_make_with(
		"q", 2, (struct field[]){argument_int("x-expires", 100), argument_int("x-message-ttl", 50)});
	publish("", "q", 1);
	CU_ASSERT_EQUAL(fixture.core->wheel.armed, 2);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(fixture.core->wheel.armed, 0);
	fixture_advance(200 * MS);
	fixture_end();
}

/* The numbers that are ready, as digits. */
static void expect_ready(const char *name, const char *digits)
{
	struct queue *q = queue_find(fixture.session[0].vhost, text(name));
	char found[64] = "";
	struct delivery d;

	for (unsigned n = 0; n + 1 < sizeof(found) && queue_take(q, true, &d); n++) {
		found[n] = (char)('0' + number_of(d.message));
		found[n + 1] = 0;
		message_unref(fixture.core->cache, d.message);
	}
	CU_ASSERT_STRING_EQUAL(found, digits);
}

static void too_many_go_from_the_head(void)
{
	fixture_begin();
	queue_make_with("q", 1, (struct field[]){argument_int("x-max-length", 2)});
	queue_make_with("none", 1, (struct field[]){argument_int("x-max-length", 0)});
	publish("", "none", 0);
	for (unsigned i = 0; i < 5; i++)
		publish("", "q", i);
	CU_ASSERT_EQUAL(count_of("q"), 2); /* before the turn's end, since it was asked */
	fixture_advance(0);
	expect_ready("q", "34");
	expect_ready("none", "");
	CU_ASSERT_EQUAL(fixture.core->stats.dropped_length, 4);
	fixture_end();
}

static void too_long_ones_go_from_the_head(void)
{
	struct publish_extra of[] = {{.body_bytes = 10}, {.body_bytes = 20}, {.body_bytes = 40}};

	fixture_begin();
	queue_make_with("q", 1, (struct field[]){argument_int("x-max-length-bytes", 40)});
	publish_with("", "q", 0, &of[1]);
	publish_with("", "q", 1, &of[1]);
	fixture_advance(0);
	publish_with("", "q", 2, &of[0]);
	fixture_advance(0);
	publish_with("", "q", 3, &of[0]);
	fixture_advance(0);
	expect_ready("q", "123");
	publish_with("", "q", 4, &of[0]);
	publish_with("", "q", 5, &of[2]);
	fixture_advance(0);
	expect_ready("q", "5");
	fixture_end();
}

/* As many as it can take reach a consumer, however many come at once. */
static void consumers_come_before_the_limit(void)
{
	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-max-length", 1)});
	struct test_consumer *k = consumer_make(q, 3, true);
	for (unsigned i = 0; i < 8; i++)
		publish("", "q", i);
	fixture_advance(0);
	CU_ASSERT_EQUAL(k->taken, 3);
	CU_ASSERT_EQUAL(number_of(k->kept[2].message), 2);
	drop(k);
	expect_ready("q", "7");
	fixture_end();
}

static void what_comes_back_goes_first_where_there_is_too_much(void)
{
	struct delivery d[2];

	fixture_begin();
	struct queue *q = queue_make_with("q", 1, (struct field[]){argument_int("x-max-length", 2)});
	for (unsigned i = 0; i < 2; i++)
		publish("", "q", i);
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d[i]));
	publish("", "q", 2);
	publish("", "q", 3);
	queue_requeue(fixture.core, &d[0]);
	queue_requeue(fixture.core, &d[1]);
	fixture_advance(0);
	expect_ready("q", "23");
	fixture_end();
}

static void a_full_queue_refuses(void)
{
	struct publish_extra ten = {.body_bytes = 10};
	struct delivery d;

	fixture_begin();
	struct queue *q = queue_make_with("q", 2,
		(struct field[]){
			argument_int("x-max-length", 2), argument_text("x-overflow", "reject-publish")});
	queue_make_with("b", 2,
		(struct field[]){argument_int("x-max-length-bytes", 25),
			argument_text("x-overflow", "reject-publish")});
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(publish("", "q", i), 1); /* it was for one queue: it is routable */
		CU_ASSERT_EQUAL(fixture_refused, i >= 2);
	}
	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d));
	publish("", "q", 4);
	CU_ASSERT_FALSE(fixture_refused);
	queue_requeue(fixture.core, &d); /* always gets in */
	CU_ASSERT_EQUAL(queue_ready_count(q), 3);
	expect_ready("q", "014");
	uint64_t n;
	publish("", "q", 5);
	CU_ASSERT_EQUAL(
		queue_call_code(
			0, &(struct queue_call_request){.kind = QUEUE_CALL_PURGE, .queue = text("q")}, &n),
		0);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(q->promised, 0);
	CU_ASSERT_EQUAL(q->promised_bytes, 0);
	publish_with("", "b", 1, &ten);
	publish_with("", "b", 2, &ten);
	publish_with("", "b", 3, &ten);
	CU_ASSERT_TRUE(fixture_refused);
	expect_ready("b", "12");
	CU_ASSERT_EQUAL(fixture.core->stats.refused, 3);
	fixture_end();
}

/* One of several queues refuses: the others have it, and the publisher hears of it all the same. */
static void others_take_what_one_refuses(void)
{
	fixture_begin();
	queue_make_with("q", 2,
		(struct field[]){
			argument_int("x-max-length", 0), argument_text("x-overflow", "reject-publish")});
	queue_make("plain");
	bind_code("amq.fanout", "q", "");
	bind_code("amq.fanout", "plain", "");
	CU_ASSERT_EQUAL(publish("amq.fanout", "", 1), 2);
	CU_ASSERT_TRUE(fixture_refused);
	expect_ready("plain", "1");
	expect_ready("q", "");
	/* Through slices as well. */
	for (unsigned i = 0; i < FAN_OUT_AT_ONCE; i++) {
		char name[8];
		snprintf(name, sizeof(name), "f%u", i);
		queue_make(name);
		bind_code("amq.fanout", name, "");
	}
	CU_ASSERT_EQUAL(publish("amq.fanout", "", 2), 2 + FAN_OUT_AT_ONCE);
	CU_ASSERT_TRUE(fixture_refused);
	expect_ready("plain", "2");
	expect_ready("f7", "2");
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"arguments_are_checked", arguments_are_checked},
			{"what_is_said_first_counts", what_is_said_first_counts},
			{"a_get_counts_what_lives", a_get_counts_what_lives},
			{"messages_expire_in_their_queue", messages_expire_in_their_queue},
			{"what_has_expired_is_not_delivered", what_has_expired_is_not_delivered},
			{"a_message_has_a_time_of_its_own", a_message_has_a_time_of_its_own},
			{"only_the_head_expires", only_the_head_expires},
			{"what_is_put_back_keeps_its_time", what_is_put_back_keeps_its_time},
			{"no_time_means_now_or_never", no_time_means_now_or_never},
			{"many_expire_in_slices", many_expire_in_slices},
			{"what_is_asked_for_expires_in_slices_too", what_is_asked_for_expires_in_slices_too},
			{"a_core_knows_when_the_next_one_expires", a_core_knows_when_the_next_one_expires},
			{"an_unused_queue_goes", an_unused_queue_goes},
			{"a_deleted_queue_leaves_no_timer", a_deleted_queue_leaves_no_timer},
			{"too_many_go_from_the_head", too_many_go_from_the_head},
			{"too_long_ones_go_from_the_head", too_long_ones_go_from_the_head},
			{"consumers_come_before_the_limit", consumers_come_before_the_limit},
			{"what_comes_back_goes_first_where_there_is_too_much",
				what_comes_back_goes_first_where_there_is_too_much},
			{"a_full_queue_refuses", a_full_queue_refuses},
			{"others_take_what_one_refuses", others_take_what_one_refuses}, {0}});
}
