/* SPDX-License-Identifier: Apache-2.0 */
/* Queues with x-delivery-limit: how often a message comes back is counted, and what comes back once too often
 * is given up. */
#include "broker/core/core_fixture.h"

#include <stdlib.h>

static struct {
	bool not_now;
	unsigned letters;
	enum death why;
} office;

static enum publish_result office_publish(void *ctx, const struct dead_letter *l)
{
	(void)ctx;
	if (office.not_now)
		return PUBLISH_AGAIN;
	office.letters++;
	office.why = l->why;
	return PUBLISH_DONE;
}

static struct queue *limited(const char *name, int64_t limit, const struct field *more)
{
	struct field all[2] = {argument_int("x-delivery-limit", limit)};

	if (more)
		all[1] = *more;
	return queue_make_with(name, more ? 2 : 1, all);
}

static struct delivery take(struct queue *q, uint64_t n, uint32_t attempt, bool no_ack)
{
	struct delivery d;

	CU_ASSERT_TRUE_FATAL(queue_take(q, no_ack, &d));
	CU_ASSERT_EQUAL(number_of(d.message), n);
	CU_ASSERT_EQUAL(d.attempt, attempt);
	if (no_ack)
		message_unref(fixture.core->cache, d.message);
	return d;
}

static void requeue(const struct delivery *d)
{
	CU_ASSERT_TRUE(queue_requeue_ready(fixture.core, d));
	queue_requeue(fixture.core, d);
}

static void take_and_requeue(struct queue *q, uint64_t n, uint32_t attempt)
{
	struct delivery d = take(q, n, attempt, false);

	requeue(&d);
}

static void expect_given_up(uint64_t n)
{
	CU_ASSERT_EQUAL(fixture.core->stats.returned_too_often, n);
	CU_ASSERT_EQUAL(fixture.core->stats.messages_unacked, 0);
}

static void one_return_too_many(void)
{
	fixture_begin();
	struct queue *q = limited("q", 2, NULL);
	publish("", "q", 1);
	publish("", "q", 2);
	take_and_requeue(q, 1, 1);
	take_and_requeue(q, 1, 2);
	expect_given_up(0);
	take_and_requeue(q, 1, 3);
	expect_given_up(1);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	CU_ASSERT_EQUAL(fixture.core->stats.requeued, 2);
	take_and_requeue(q, 2, 1);
	take(q, 2, 2, true);
	expect_given_up(1);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	fixture_end();
}

static void none_is_allowed(void)
{
	fixture_begin();
	struct queue *q = limited("q", 0, NULL);
	publish("", "q", 1);
	take_and_requeue(q, 1, 1);
	expect_given_up(1);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	fixture_end();
}

/* Its count is its own: in whatever order they come back, over several pages, and also in the place of one
 * that was settled. */
static void each_has_its_own_count(void)
{
	enum { MANY = 3 * ENTRIES_A_PAGE };
	static struct delivery d[MANY];

	fixture_begin();
	struct queue *q = limited("q", 1000, NULL);
	for (unsigned i = 0; i < MANY; i++)
		publish("", "q", i);
	for (unsigned round = 1; round <= 4; round++) {
		/* The first of them come back more often than those behind them. */
		unsigned some = MANY / round;
		for (unsigned i = 0; i < some; i++)
			d[i] = take(q, i, round, false);
		for (unsigned i = some; i-- > 0;)
			requeue(&d[i]);
	}
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t attempt = 2 + (i < MANY / 2) + (i < MANY / 3) + (i < MANY / 4);
		take(q, i, attempt, true);
	}
	publish("", "q", 7);
	take(q, 7, 1, true);
	fixture_end();
}

static void what_no_client_saw_does_not_count(void)
{
	fixture_begin();
	struct queue *q = limited("q", 1, NULL);
	publish("", "q", 1);
	for (unsigned i = 0; i < 3; i++) {
		struct delivery d = take(q, 1, 1, false);
		queue_put_back(fixture.core, &d);
	}
	take_and_requeue(q, 1, 1);
	struct delivery d = take(q, 1, 2, false);
	queue_put_back(fixture.core, &d);
	take_and_requeue(q, 1, 2);
	expect_given_up(1);
	fixture_end();
}

static void other_queues_count_nothing(void)
{
	struct field most = argument_int("x-max-length", 10);

	fixture_begin();
	struct queue *plain = queue_make("plain"), *ruled = queue_make_with("ruled", 1, &most);
	publish("", "plain", 1);
	publish("", "ruled", 1);
	for (unsigned i = 0; i < 3; i++) {
		take_and_requeue(plain, 1, 0);
		take_and_requeue(ruled, 1, 0);
	}
	fixture_end();
}

/* The same message is counted in each of its queues. */
static void each_queue_counts_for_itself(void)
{
	fixture_begin();
	struct queue *a = limited("a", 1, NULL), *b = limited("b", 1, NULL);
	bind_code("amq.fanout", "a", "");
	bind_code("amq.fanout", "b", "");
	CU_ASSERT_EQUAL(publish("amq.fanout", "", 1), 2);
	take_and_requeue(a, 1, 1);
	take_and_requeue(a, 1, 2);
	take_and_requeue(b, 1, 1);
	expect_given_up(1);
	take(b, 1, 2, true);
	fixture_end();
}

static void priorities_count_too(void)
{
	struct field highest = argument_int("x-max-priority", 5);

	fixture_begin();
	struct queue *q = limited("q", 1, &highest);
	publish_with("", "q", 1, &(struct publish_extra){.priority = 1});
	take_and_requeue(q, 1, 1);
	publish_with("", "q", 2, &(struct publish_extra){.priority = 5});
	take_and_requeue(q, 2, 1);
	take_and_requeue(q, 2, 2);
	expect_given_up(1);
	take_and_requeue(q, 1, 2);
	expect_given_up(2);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	fixture_end();
}

/* What is given up makes room for another one. */
static void limits_hold_all_the_same(void)
{
	struct field all[] = {argument_int("x-delivery-limit", 0), argument_int("x-max-length", 1),
		argument_text("x-overflow", "reject-publish")};

	fixture_begin();
	struct queue *q = queue_make_with("q", 3, all);
	publish("", "q", 1);
	struct delivery d = take(q, 1, 1, false);
	publish("", "q", 2);
	CU_ASSERT_FALSE(fixture_refused);
	requeue(&d);
	expect_given_up(1);
	CU_ASSERT_EQUAL(q->promised, 1);
	take(q, 2, 1, true);
	CU_ASSERT_EQUAL(q->promised, 0);
	CU_ASSERT_EQUAL(q->promised_bytes, 0);
	fixture_end();
}

static struct queue *mortal(int64_t limit)
{
	struct field all[] = {argument_int("x-delivery-limit", limit),
		argument_text("x-dead-letter-exchange", "somewhere")};

	office.letters = 0;
	office.not_now = false;
	broker_core_set_letter_office(fixture.core, office_publish, NULL);
	return queue_make_with("q", 2, all);
}

static void it_becomes_a_letter(void)
{
	fixture_begin();
	struct queue *q = mortal(1);
	publish("", "q", 1);
	take_and_requeue(q, 1, 1);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 0);
	take_and_requeue(q, 1, 2);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 1);
	CU_ASSERT_EQUAL(office.why, DEATH_DELIVERY_LIMIT);
	CU_ASSERT_STRING_EQUAL(death_name(office.why), "delivery_limit");
	expect_given_up(1);
	fixture_end();
}

/* Only what would be given up waits for room. */
static void it_waits_for_room(void)
{
	fixture_begin();
	struct queue *q = mortal(1);
	office.not_now = true;
	publish("", "q", 1);
	take_and_requeue(q, 1, 1);
	struct delivery last = take(q, 1, 2, false);
	publish("", "q", 2);
	struct delivery first = take(q, 2, 1, false);
	while (letters_open(fixture.core)) {
		publish("", "q", 3);
		struct delivery d = take(q, 3, 1, false);
		CU_ASSERT_TRUE(queue_drop_ready(fixture.core, &d));
		queue_drop(fixture.core, &d);
	}
	CU_ASSERT_FALSE(queue_requeue_ready(fixture.core, &last));
	requeue(&first);
	office.not_now = false;
	broker_core_poll(fixture.core);
	requeue(&last);
	take(q, 2, 2, true);
	expect_given_up(1);
	while (broker_core_poll(fixture.core))
		;
	fixture_end();
}

static void purge_and_delete(void)
{
	enum { MANY = 2 * ENTRIES_A_PAGE };
	struct queue_call_request purge = {.kind = QUEUE_CALL_PURGE, .queue = text("q")};
	static struct delivery d[MANY];
	uint64_t n;

	fixture_begin();
	struct queue *q = limited("q", 5, NULL);
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned i = 0; i < MANY; i++)
			publish("", "q", i);
		for (unsigned i = 0; i < MANY; i++)
			d[i] = take(q, i, 1, false);
		for (unsigned i = 0; i < MANY; i++)
			requeue(&d[i]);
		if (!again) {
			CU_ASSERT_EQUAL(queue_call_code(0, &purge, &n), 0);
			CU_ASSERT_EQUAL(n, MANY);
			continue;
		}
		struct delivery out = take(q, 0, 2, false);
		CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
		CU_ASSERT_TRUE(queue_requeue_ready(fixture.core, &out));
		queue_requeue(fixture.core, &out);
	}
	graves_empty();
	fixture_end();
}

/* Its consumers are told otherwise where they want that. */
static unsigned redelivered;

static void redeliver(struct consumer *c, const struct delivery *d)
{
	redelivered++;
	CU_ASSERT_EQUAL(d->attempt, 2);
	consumer_detach(c);
	requeue(d);
}

static void consumers_hear_of_it(void)
{
	fixture_begin();
	struct queue *q = limited("q", 5, NULL);
	publish("", "q", 1);
	struct test_consumer *t = consumer_new(10, false);
	struct consumer_ops ops = *t->consumer.ops;
	ops.redeliver = redeliver;
	t->consumer.ops = &ops;
	CU_ASSERT_EQUAL(attach_code(&t->consumer, q), 0);
	broker_core_deliver(fixture.core, 10);
	CU_ASSERT_EQUAL(t->taken, 1);
	CU_ASSERT_EQUAL(t->kept[0].attempt, 1);
	CU_ASSERT_EQUAL(redelivered, 0);
	requeue(&t->kept[0]);
	broker_core_deliver(fixture.core, 10);
	CU_ASSERT_EQUAL(redelivered, 1);
	take(q, 1, 3, true);
	free(t);
	fixture_end();
}

static enum failure_code declare_code(const struct field *a)
{
	struct queue_declaration d = {.name = text("q"), .arguments = {a, a ? 1 : 0}};
	struct queue *q;

	return queue_declare_code(0, &d, &q);
}

static void arguments_are_checked(void)
{
	struct field negative = argument_int("x-delivery-limit", -1),
		     word = argument_text("x-delivery-limit", "many"),
		     most = argument_int("x-delivery-limit", INT64_MAX),
		     fewer = argument_int("x-delivery-limit", 3);

	fixture_begin();
	CU_ASSERT_EQUAL(declare_code(&negative), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "invalid arg 'x-delivery-limit' for queue 'q' in vhost "
						     "'/': {value_negative,-1}");
	CU_ASSERT_EQUAL(declare_code(&word), FAILURE_PRECONDITION);
	CU_ASSERT_FALSE(queue_exists("q"));
	CU_ASSERT_EQUAL(declare_code(&most), 0);
	CU_ASSERT_EQUAL(declare_code(&most), 0);
	CU_ASSERT_EQUAL(declare_code(&fewer), FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(declare_code(NULL), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received none but current "
		"is the value '9223372036854775807' of type 'long'");
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"one_return_too_many", one_return_too_many},
			{"none_is_allowed", none_is_allowed},
			{"each_has_its_own_count", each_has_its_own_count},
			{"what_no_client_saw_does_not_count", what_no_client_saw_does_not_count},
			{"other_queues_count_nothing", other_queues_count_nothing},
			{"each_queue_counts_for_itself", each_queue_counts_for_itself},
			{"priorities_count_too", priorities_count_too},
			{"limits_hold_all_the_same", limits_hold_all_the_same},
			{"it_becomes_a_letter", it_becomes_a_letter},
			{"it_waits_for_room", it_waits_for_room}, {"purge_and_delete", purge_and_delete},
			{"consumers_hear_of_it", consumers_hear_of_it},
			{"arguments_are_checked", arguments_are_checked}, {0}});
}
