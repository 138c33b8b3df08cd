/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct queue_declaration named(const char *name)
{
	return (struct queue_declaration){.name = text(name)};
}

static enum failure_code delete_if(bool unused, bool empty, uint64_t *n)
{
	struct queue_call_request r = {
		.kind = QUEUE_CALL_DELETE, .queue = text("q"), .if_unused = unused, .if_empty = empty};

	return queue_call_code(0, &r, n);
}

static enum failure_code purge(uint64_t *n)
{
	return queue_call_code(
		0, &(struct queue_call_request){.kind = QUEUE_CALL_PURGE, .queue = text("q")}, n);
}

/* Long ones are no more than a few: they lie beside message memory. */
static void arguments_are_only_so_long(void)
{
	enum { BYTES = 100000, MOST = ((1 << 20) + 250 * 512) / BYTES };
	static char long_text[BYTES + 1];
	struct field a = argument_text("x-mine", memset(long_text, 'a', BYTES));
	struct queue_declaration d = {.arguments = {&a, 1}};
	struct exchange_declaration x = {.name = text("x"), .type = text("direct"), .arguments = {&a, 1}};
	struct queue *q;
	char name[16];

	fixture_begin();
	for (unsigned i = 0; i <= MOST; i++) {
		snprintf(name, sizeof(name), "%u", i);
		d.name = text(name);
		CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), i < MOST ? FAILURE_NONE : FAILURE_LIMIT);
	}
	CU_ASSERT_EQUAL(exchange_declare_code(&x), FAILURE_LIMIT);
	queue_make("plain");
	CU_ASSERT_EQUAL(queue_delete_code(0, "3"), 0);
	CU_ASSERT_EQUAL(exchange_declare_code(&x), 0);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(exchange_delete_code("x", false), 0);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	fixture_end();
}

static void get_in_order(void)
{
	struct delivery d[3], none;

	fixture_begin();
	struct queue *q = queue_make("q");
	CU_ASSERT_FALSE(queue_take(q, false, &none));
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(publish("", "q", i), 1);
	CU_ASSERT_EQUAL(queue_ready_count(q), 3);
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d[i]));
		CU_ASSERT_EQUAL(number_of(d[i].message), i);
		CU_ASSERT_FALSE(d[i].redelivered);
	}
	queue_requeue(fixture.core, &d[2]);
	queue_requeue(fixture.core, &d[0]);
	queue_ack(fixture.core, &d[1]);
	CU_ASSERT_TRUE_FATAL(queue_take(q, true, &d[0]));
	CU_ASSERT_EQUAL(number_of(d[0].message), 0);
	CU_ASSERT_TRUE(d[0].redelivered);
	message_unref(fixture.core->cache, d[0].message);
	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d[2]));
	CU_ASSERT_EQUAL(number_of(d[2].message), 2);
	queue_drop(fixture.core, &d[2]);
	CU_ASSERT_FALSE(queue_take(q, false, &none));
	fixture_end();
}

static void a_stale_delivery_settles_the_message_alone(void)
{
	struct delivery d[3];

	fixture_begin();
	struct queue *q = queue_make("q");
	for (unsigned i = 0; i < 4; i++)
		publish("", "q", i);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d[i]));
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	graves_empty();
	CU_ASSERT_EQUAL(message_store_stats(fixture.store).cells.used, 3);
	struct queue *again = queue_make("q");
	CU_ASSERT_NOT_EQUAL(queue_handle_of(again), d[0].queue);
	queue_ack(fixture.core, &d[0]);
	queue_requeue(fixture.core, &d[1]);
	queue_drop(fixture.core, &d[2]);
	CU_ASSERT_EQUAL(queue_ready_count(again), 0);
	CU_ASSERT_EQUAL(message_store_stats(fixture.store).cells.used, 0);
	fixture_end();
}

static void purge_and_delete_say_how_many(void)
{
	uint64_t n = 9;
	struct delivery d;
	struct failure *f = &fixture.failure;

	fixture_begin();
	struct queue *q = queue_make("q");
	for (unsigned i = 0; i < 5; i++)
		publish("", "q", i);
	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &d));
	CU_ASSERT_EQUAL(purge(&n), 0);
	CU_ASSERT_EQUAL(n, 4);
	queue_requeue(fixture.core, &d);
	CU_ASSERT_EQUAL(delete_if(false, true, &n), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(f->text, "queue 'q' in vhost '/' not empty");
	CU_ASSERT_EQUAL(delete_if(true, false, &n), 0);
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(delete_if(false, false, &n), 0);
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT_EQUAL(purge(&n), FAILURE_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(f->text, "no queue 'q' in vhost '/'");
	fixture_end();
}

static void consumers_take_turns(void)
{
	struct test_consumer *c[3];

	fixture_begin();
	struct queue *q = queue_make("q");
	for (unsigned i = 0; i < 3; i++)
		c[i] = consumer_make(q, 100, true);
	for (unsigned i = 0; i < 30; i++)
		publish("", "q", i);
	CU_ASSERT_TRUE(broker_core_busy(fixture.core));
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 1000), 30);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(c[i]->taken, 10);
		for (unsigned k = 0; k < c[i]->taken; k++) {
			CU_ASSERT_EQUAL(number_of(c[i]->kept[k].message), k * 3 + i);
			message_unref(fixture.core->cache, c[i]->kept[k].message);
		}
		consumer_detach(&c[i]->consumer);
		consumer_detach(&c[i]->consumer);
		free(c[i]);
	}
	CU_ASSERT_EQUAL(queue_consumer_count(q), 0);
	fixture_end();
}

static void queues_take_turns_within_the_budget(void)
{
	struct test_consumer *c[2];

	fixture_begin();
	c[0] = consumer_make(queue_make("a"), 1000, true);
	c[1] = consumer_make(queue_make("b"), 1000, true);
	for (unsigned i = 0; i < 200; i++)
		publish("", i % 2 ? "a" : "b", i);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 100);
	CU_ASSERT_TRUE(c[0]->taken >= QUEUE_QUANTUM && c[1]->taken >= QUEUE_QUANTUM);
	CU_ASSERT_TRUE(broker_core_busy(fixture.core));
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 1000), 100);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < c[i]->taken; k++)
			message_unref(fixture.core->cache, c[i]->kept[k].message);
		consumer_detach(&c[i]->consumer);
		free(c[i]);
	}
	fixture_end();
}

static void a_consumer_without_credit_is_parked_until_woken(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	struct test_consumer *c = consumer_make(q, 2, false), *other = consumer_make(q, 0, false);

	for (unsigned i = 0; i < 6; i++)
		publish("", "q", i);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 2);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	publish("", "q", 6);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	c->credit = 1;
	consumer_wake(&c->consumer);
	CU_ASSERT_TRUE(broker_core_busy(fixture.core));
	consumer_wake(&c->consumer);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 1);
	other->credit = 100;
	consumer_wake(&other->consumer);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 4);
	for (unsigned i = 0; i < c->taken; i++)
		queue_ack(fixture.core, &c->kept[i]);
	/* Requeued to a consumer that has credit: at once again, in order, and told so. */
	for (unsigned i = other->taken; i-- > 0;)
		queue_requeue(fixture.core, &other->kept[i]);
	other->taken = 0;
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 4);
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(number_of(other->kept[i].message), i + 3);
		CU_ASSERT_TRUE(other->kept[i].redelivered);
		queue_ack(fixture.core, &other->kept[i]);
	}
	consumer_detach(&c->consumer);
	consumer_detach(&other->consumer);
	consumer_wake(&c->consumer);
	free(c);
	free(other);
	fixture_end();
}

static void exclusive_consumers_stand_alone(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	struct test_consumer *a = consumer_make(q, 1, true), *b = consumer_new(1, true);

	b->consumer.exclusive = true;
	CU_ASSERT_EQUAL(attach_code(&b->consumer, q), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "queue 'q' in vhost '/' in exclusive use");
	consumer_detach(&a->consumer);
	CU_ASSERT_EQUAL(attach_code(&b->consumer, q), 0);
	CU_ASSERT_EQUAL(attach_code(&a->consumer, q), FAILURE_ACCESS_REFUSED);
	consumer_detach(&b->consumer);
	CU_ASSERT_EQUAL(attach_code(&a->consumer, q), 0);
	uint64_t n;
	CU_ASSERT_EQUAL(delete_if(true, false, &n), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "queue 'q' in vhost '/' in use");
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(a->cancelled, 1);
	CU_ASSERT_PTR_NULL(a->consumer.queue);
	consumer_detach(&a->consumer);
	free(a);
	free(b);
	fixture_end();
}

static void an_auto_delete_queue_goes_with_its_last_consumer(void)
{
	struct queue_declaration d = named("q");
	struct queue *q = NULL;
	struct delivery got;

	fixture_begin();
	d.auto_delete = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	publish("", "q", 1);
	publish("", "q", 2);
	CU_ASSERT_TRUE_FATAL(queue_take(q, false, &got));
	CU_ASSERT_TRUE(queue_exists("q"));
	struct test_consumer *a = consumer_make(q, 0, true), *b = consumer_make(q, 0, true);
	consumer_detach(&a->consumer);
	CU_ASSERT_TRUE(queue_exists("q"));
	consumer_detach(&b->consumer);
	CU_ASSERT_FALSE(queue_exists("q"));
	CU_ASSERT_EQUAL(b->cancelled, 0);
	queue_ack(fixture.core, &got);
	free(a);
	free(b);
	fixture_end();
}

/* A consumer that leaves in the middle of a delivery, and takes its queue along. */
static void leave(struct consumer *c, const struct delivery *d)
{
	queue_requeue(fixture.core, d);
	consumer_detach(c);
}

static bool always(struct consumer *c)
{
	return true;
}

static void deliver_may_delete_the_queue(void)
{
	static const struct consumer_ops ops = {.ready = always, .deliver = leave};
	struct queue_declaration d = named("q");
	struct queue *q = NULL;

	fixture_begin();
	d.auto_delete = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	for (unsigned i = 0; i < 3; i++)
		publish("", "q", i);
	struct consumer c = {.ops = &ops};
	CU_ASSERT_EQUAL(attach_code(&c, q), 0);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 100), 1);
	CU_ASSERT_FALSE(queue_exists("q"));
	fixture_end();
}

static void an_exclusive_queue_is_its_sessions(void)
{
	struct queue_declaration d = named("x"), open = named("x");
	struct queue *q = NULL, *other = NULL;
	struct failure *f = &fixture.failure;
	const char *locked = "cannot obtain exclusive access to locked queue 'x' in vhost '/'. It could be "
			     "originally declared on another connection or the exclusive property value does "
			     "not match that of the original declaration.";

	fixture_begin();
	d.exclusive = true;
	CU_ASSERT_EQUAL(queue_declare_code(1, &d, &q), 0);
	CU_ASSERT_EQUAL(queue_declare_code(1, &d, &other), 0);
	CU_ASSERT_PTR_EQUAL(q, other);
	d.durable = true; /* which an exclusive queue never is */
	CU_ASSERT_EQUAL(queue_declare_code(1, &d, &other), 0);
	CU_ASSERT_PTR_EQUAL(q, other);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &other), FAILURE_RESOURCE_LOCKED);
	CU_ASSERT_STRING_EQUAL(f->text, locked);
	CU_ASSERT_EQUAL(queue_declare_code(1, &open, &other), FAILURE_RESOURCE_LOCKED);
	open.passive = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &open, &other), FAILURE_RESOURCE_LOCKED);
	CU_ASSERT_EQUAL(queue_delete_code(0, "x"), FAILURE_RESOURCE_LOCKED);
	CU_ASSERT_EQUAL(bind_code("amq.direct", "x", "k"), FAILURE_RESOURCE_LOCKED);
	CU_ASSERT_EQUAL(publish("", "x", 1), 1);
	session_end(&fixture.session[1]);
	CU_ASSERT_FALSE(queue_exists("x"));
	CU_ASSERT_EQUAL(publish("", "x", 1), 0);
	fixture_end();
}

static void redeclaring_compares(void)
{
	struct field classic[] = {argument_text("x-queue-type", "classic")};
	struct field noted[] = {argument_text("x-note", "a")};
	struct field ttl = argument_int("x-message-ttl", 1000), other = argument_int("x-message-ttl", 2000);
	struct queue_declaration d = named("q");
	struct queue *q, *again;
	struct failure *f = &fixture.failure;

	fixture_begin();
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	CU_ASSERT_EQUAL(queue_declare_code(1, &d, &again), 0);
	CU_ASSERT_PTR_EQUAL(q, again);
	d.durable = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(f->text, "inequivalent arg 'durable' for queue 'q' in vhost '/': received "
					"'true' but current is 'false'");
	d.durable = false;
	d.auto_delete = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	d.auto_delete = false;
	d.arguments = (struct fields){classic, 1};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	d.arguments = (struct fields){noted, 1};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0); /* what means nothing is not compared */
	d.arguments = (struct fields){&ttl, 1};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(f->text,
		"inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received "
		"the value '1000' of type 'signedint' but current is none");
	d.name = text("r");
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	d.arguments = (struct fields){&other, 1};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(f->text,
		"inequivalent arg 'x-message-ttl' for queue 'r' in vhost '/': received "
		"'2000' but current is '1000'");
	d.arguments = (struct fields){0};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(f->text,
		"inequivalent arg 'x-message-ttl' for queue 'r' in vhost '/': received "
		"none but current is the value '1000' of type 'signedint'");
	d.passive = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	d.name = text("none");
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_NOT_FOUND);
	d.passive = false;
	d.existing = true;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_AGAIN);
	CU_ASSERT_FALSE(queue_exists("none"));
	fixture_end();
}

static void arguments_are_honoured_or_refused(void)
{
	struct field fine[] = {argument_text("x-queue-mode", "lazy"),
		argument_text("x-queue-type", "classic"),
		{text("x-queue-version"), {.kind = VALUE_INT, .integer = 2}},
		{text("x-max-in-memory-length"), {.kind = VALUE_INT, .integer = 2}}};
	struct queue_declaration d = named("q");
	struct queue *q = NULL;

	fixture_begin();
	struct field a = argument_text("x-queue-type", "quorum");
	d.arguments = (struct fields){&a, 1};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_NOT_IMPLEMENTED);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"invalid arg 'x-queue-type' for queue 'q' in vhost '/': only classic queues are implemented");
	a = argument_text("x-queue-type", "round");
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	a = argument_text("x-queue-mode", "fast");
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_FALSE(queue_exists("q"));
	d.arguments = (struct fields){fine, 4};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	fixture_end();
}

static void names_are_reserved_and_generated(void)
{
	struct queue_declaration d = named("amq.x");
	struct queue *a = NULL, *b = NULL;

	fixture_begin();
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &a), FAILURE_ACCESS_REFUSED);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "queue name 'amq.x' contains reserved prefix 'amq.*'");
	d.name = (struct slice){0};
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &a), 0);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &b), 0);
	CU_ASSERT_PTR_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(queue_name(a).bytes, 30);
	CU_ASSERT_EQUAL(memcmp(queue_name(a).data, "amq.gen-", 8), 0);
	CU_ASSERT_FALSE(slice_equal(queue_name(a), queue_name(b)));
	for (unsigned i = 8; i < 30; i++)
		CU_ASSERT_PTR_NOT_NULL(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					      "0123456789-_",
			queue_name(a).data[i]));
	d.name = queue_name(a);
	d.passive = true;
	CU_ASSERT_EQUAL(queue_declare_code(1, &d, &b), 0);
	CU_ASSERT_PTR_EQUAL(a, b);
	fixture_end();
}

static void limits_hold(void)
{
	struct queue_declaration d = named("c");
	struct queue *q = NULL;

	fixture_begin_with(&(struct broker_limits){2, 1, 1, 1}, 1 << 20);
	struct queue *a = queue_make("a");
	queue_make("b");
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_LIMIT);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "the limit of 2 queues is reached");
	struct test_consumer *c = consumer_make(a, 0, true), *more = consumer_new(0, true);
	CU_ASSERT_EQUAL(attach_code(&more->consumer, a), FAILURE_LIMIT);
	consumer_detach(&c->consumer);
	CU_ASSERT_EQUAL(attach_code(&more->consumer, a), 0);
	CU_ASSERT_EQUAL(queue_delete_code(0, "b"), 0);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	consumer_detach(&more->consumer);
	free(c);
	free(more);
	fixture_end();
}

static void nothing_is_released_while_a_reader_may_see_it(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	bind_code("amq.topic", "q", "a.*.#");
	uint64_t before = reclaim_pending();
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	/* The queue, its binding and the four nodes of the pattern. */
	CU_ASSERT_EQUAL(reclaim_pending() - before, 6);
	/* ASan would tell: a reader that found the queue before may still look at it. */
	CU_ASSERT_TRUE(slice_equals_text(queue_name(q), "q"));
	CU_ASSERT_EQUAL(reclaim_run(), before + 6);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"arguments_are_only_so_long", arguments_are_only_so_long},
			{"get_in_order", get_in_order},
			{"a_stale_delivery_settles_the_message_alone",
				a_stale_delivery_settles_the_message_alone},
			{"purge_and_delete_say_how_many", purge_and_delete_say_how_many},
			{"consumers_take_turns", consumers_take_turns},
			{"queues_take_turns_within_the_budget", queues_take_turns_within_the_budget},
			{"a_consumer_without_credit_is_parked_until_woken",
				a_consumer_without_credit_is_parked_until_woken},
			{"exclusive_consumers_stand_alone", exclusive_consumers_stand_alone},
			{"an_auto_delete_queue_goes_with_its_last_consumer",
				an_auto_delete_queue_goes_with_its_last_consumer},
			{"deliver_may_delete_the_queue", deliver_may_delete_the_queue},
			{"an_exclusive_queue_is_its_sessions", an_exclusive_queue_is_its_sessions},
			{"redeclaring_compares", redeclaring_compares},
			{"arguments_are_honoured_or_refused", arguments_are_honoured_or_refused},
			{"names_are_reserved_and_generated", names_are_reserved_and_generated},
			{"limits_hold", limits_hold},
			{"nothing_is_released_while_a_reader_may_see_it",
				nothing_is_released_while_a_reader_may_see_it},
			{0}});
}
