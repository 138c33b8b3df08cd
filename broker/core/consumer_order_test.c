/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers of different priorities, and queues that serve one of several. */
#include "broker/core/core_fixture.h"

#include <stdlib.h>

static struct test_consumer *with_priority(struct queue *q, int64_t priority, unsigned credit)
{
	struct test_consumer *t = consumer_new(credit, true);

	t->consumer.priority = priority;
	CU_ASSERT_EQUAL(attach_code(&t->consumer, q), 0);
	return t;
}

static void publish_some(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		CU_ASSERT_EQUAL(publish("", "q", i), 1);
}

static void deliver(void)
{
	while (broker_core_deliver(fixture.core, 1000) > 0)
		continue;
}

static void let_go(struct test_consumer *t)
{
	for (unsigned i = 0; i < t->taken; i++)
		message_unref(fixture.core->cache, t->kept[i].message);
	free(t);
}

static void leave(struct test_consumer *t)
{
	consumer_detach(&t->consumer);
	let_go(t);
}

static void give_credit(struct test_consumer *t, unsigned n)
{
	t->credit += n;
	consumer_wake(&t->consumer);
}

static void the_higher_ones_come_first(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	struct test_consumer *plain = consumer_make(q, 100, true), *low = with_priority(q, -5, 100),
			     *high = with_priority(q, 10, 3), *too = with_priority(q, 10, 3);

	publish_some(4);
	deliver();
	CU_ASSERT(high->taken == 2 && too->taken == 2 && plain->taken == 0 && low->taken == 0);
	publish_some(4);
	deliver();
	CU_ASSERT(high->taken == 3 && too->taken == 3 && plain->taken == 2 && low->taken == 0);
	plain->credit = 1;
	publish_some(4);
	deliver();
	CU_ASSERT(high->taken == 3 && plain->taken == 3 && low->taken == 3);
	/* It makes the others stand aside as soon as it may take one again. */
	give_credit(high, 1);
	publish_some(3);
	deliver();
	CU_ASSERT(high->taken == 4 && too->taken == 3 && plain->taken == 3 && low->taken == 5);
	give_credit(plain, 10);
	give_credit(too, 2);
	publish_some(3);
	deliver();
	CU_ASSERT(too->taken == 5 && plain->taken == 4 && low->taken == 5);
	leave(too);
	leave(plain);
	publish_some(1);
	deliver();
	CU_ASSERT_EQUAL(low->taken, 6);
	leave(low);
	leave(high);
	fixture_end();
}

/* The last one above leaves while others stand aside: their queue is ready at once. */
static void those_aside_step_in(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	struct test_consumer *low = with_priority(q, 1, 100), *high = with_priority(q, 2, 100);

	publish_some(1);
	leave(high);
	deliver();
	CU_ASSERT_EQUAL(low->taken, 1);
	leave(low);
	fixture_end();
}

static void a_deleted_queue_tells_all(void)
{
	fixture_begin();
	struct queue *q = queue_make("q");
	struct test_consumer *t[5];

	for (int i = 0; i < 5; i++)
		t[i] = with_priority(q, i % 3, i == 4 ? 0 : 10);
	publish_some(2);
	deliver();
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	for (int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(t[i]->cancelled, 1);
		let_go(t[i]);
	}
	fixture_end();
}

static struct queue *single_make(void)
{
	struct field single = argument_bool("x-single-active-consumer", true);

	return queue_make_with("q", 1, &single);
}

static void one_is_active(void)
{
	fixture_begin();
	struct queue *q = single_make();
	struct test_consumer *first = consumer_make(q, 2, true), *second = consumer_make(q, 100, true),
			     *third = with_priority(q, 1, 100);

	CU_ASSERT_EQUAL(queue_consumer_count(q), 3);
	publish_some(4);
	deliver();
	CU_ASSERT(first->taken == 2 && second->taken == 0 && third->taken == 0);
	consumer_wake(&second->consumer); /* is not asked */
	deliver();
	CU_ASSERT_EQUAL(second->taken, 0);
	give_credit(first, 1);
	deliver();
	CU_ASSERT_EQUAL(first->taken, 3);
	/* The next by priority, then by age. */
	leave(first);
	deliver();
	CU_ASSERT(second->taken == 0 && third->taken == 1);
	first = consumer_make(q, 100, true);
	publish_some(1);
	leave(third);
	deliver();
	CU_ASSERT(second->taken == 1 && first->taken == 0);
	leave(first); /* idle */
	publish_some(1);
	deliver();
	CU_ASSERT_EQUAL(second->taken, 2);
	leave(second);
	fixture_end();
}

static void exclusive_is_refused_where_one_is_active(void)
{
	fixture_begin();
	struct queue *q = single_make();
	struct test_consumer *t = consumer_new(1, true);

	t->consumer.exclusive = true;
	CU_ASSERT_EQUAL(attach_code(&t->consumer, q), FAILURE_ACCESS_REFUSED);
	free(t);
	fixture_end();
}

static void a_deleted_queue_tells_the_idle_too(void)
{
	fixture_begin();
	struct queue *q = single_make();
	struct test_consumer *t[4];

	for (int i = 0; i < 4; i++)
		t[i] = consumer_make(q, i % 2, true);
	publish_some(1);
	deliver(); /* the active one is parked */
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	for (int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(t[i]->cancelled, 1);
		let_go(t[i]);
	}
	fixture_end();
}

static void attach_of_priority(
	struct test_consumer *t, struct queue *q, int64_t priority, enum failure_code code)
{
	t->consumer.priority = priority;
	CU_ASSERT_EQUAL(attach_code(&t->consumer, q), code);
}

/* A delivery may have to pass each of them. */
static void there_are_only_so_many_priorities(void)
{
	static struct test_consumer *all[CONSUMER_PRIORITIES_MAX + 1];

	fixture_begin_with(&(struct broker_limits){200, 50, 5000, 1000}, 4 << 20);
	struct queue *q = queue_make("q");
	for (int i = 0; i <= CONSUMER_PRIORITIES_MAX; i++) {
		all[i] = consumer_new(1, true);
		attach_of_priority(all[i], q, i, i < CONSUMER_PRIORITIES_MAX ? FAILURE_NONE : FAILURE_LIMIT);
	}
	attach_of_priority(all[CONSUMER_PRIORITIES_MAX], q, 7, FAILURE_NONE);
	leave(all[CONSUMER_PRIORITIES_MAX]);
	leave(all[5]);
	all[5] = consumer_new(1, true);
	attach_of_priority(all[5], q, CONSUMER_PRIORITIES_MAX, FAILURE_NONE);
	for (int i = 0; i < CONSUMER_PRIORITIES_MAX; i++)
		leave(all[i]);
	fixture_end();
}

static void priorities_are_integers(void)
{
	struct field text_priority = argument_text("x-priority", "5"), other = argument_text("x-other", "5"),
		     number = argument_int("x-priority", -7);
	struct consumer c = {0};

	fixture_begin();
	struct fields arguments = {&text_priority, 1};
	CU_ASSERT_EQUAL(consumer_arguments(&fixture.session[0], text("q"), &arguments, &c, &fixture.failure),
		FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\"");
	arguments.at = &other;
	CU_ASSERT_EQUAL(
		consumer_arguments(&fixture.session[0], text("q"), &arguments, &c, &fixture.failure), 0);
	CU_ASSERT_EQUAL(c.priority, 0);
	arguments.at = &number;
	CU_ASSERT_EQUAL(
		consumer_arguments(&fixture.session[0], text("q"), &arguments, &c, &fixture.failure), 0);
	CU_ASSERT_EQUAL(c.priority, -7);
	fixture_end();
}

/* What is meant for other kinds of queue is refused, what means nothing taken. */
static void other_queues_arguments(void)
{
	struct field stream = argument_text("x-stream-offset", "first");
	struct field failover[] = {
		argument_bool("x-cancel-on-ha-failover", true), argument_int("x-cancel-on-ha-failover", 1)};
	struct fields arguments = {&stream, 1};
	struct consumer c = {0};

	fixture_begin();
	CU_ASSERT_EQUAL(consumer_arguments(&fixture.session[0], text("q"), &arguments, &c, &fixture.failure),
		FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "invalid arg 'x-stream-offset' for queue 'q' in vhost "
						     "'/' of queue type rabbit_classic_queue");
	arguments.at = &failover[0];
	CU_ASSERT_EQUAL(
		consumer_arguments(&fixture.session[0], text("q"), &arguments, &c, &fixture.failure), 0);
	arguments.at = &failover[1];
	CU_ASSERT_EQUAL(consumer_arguments(&fixture.session[0], text("q"), &arguments, &c, &fixture.failure),
		FAILURE_PRECONDITION);
	fixture_end();
}

/* Against a naive model: who of all gets the next message. */
enum { MOST = 12 };
struct modelled {
	struct test_consumer *t; /* NULL: not there */
	unsigned taken;
};
static struct modelled model[MOST];
static uint64_t turns;

static struct modelled *expected_next(void)
{
	struct modelled *best = NULL;

	for (int i = 0; i < MOST; i++) {
		struct modelled *m = &model[i];
		if (!m->t || m->t->credit == 0)
			continue;
		if (!best || m->t->consumer.priority > best->t->consumer.priority)
			best = m;
	}
	return best;
}

/* Of equals any may be next, as long as each has its turn before one has two: that is checked with the plain
 * queue. Here: nobody of a lower priority than the highest that had credit. */
static void check_taken(int64_t priority)
{
	unsigned more = 0;

	for (int i = 0; i < MOST; i++) {
		if (!model[i].t || model[i].t->taken == model[i].taken)
			continue;
		more += model[i].t->taken - model[i].taken;
		model[i].taken = model[i].t->taken;
		CU_ASSERT_EQUAL(model[i].t->consumer.priority, priority);
	}
	CU_ASSERT_EQUAL(more, 1);
}

static void random_priorities_match_the_model(void)
{
	static const int64_t priorities[] = {0, 0, 0, 1, 5, -3, INT64_MAX, INT64_MIN};

	fixture_begin();
	struct queue *q = queue_make("q");
	for (unsigned step = 0; step < 20000; step++) {
		struct modelled *m = &model[unit_random_below(MOST)];
		switch (unit_random_below(4)) {
		case 0:
			if (!m->t) {
				m->t = with_priority(
					q, priorities[unit_random_below(8)], unit_random_below(4));
				m->taken = 0;
			} else {
				leave(m->t);
				m->t = NULL;
			}
			break;
		case 1:
			if (m->t)
				give_credit(m->t, unit_random_below(3));
			break;
		default: {
			struct modelled *next = expected_next();
			if (!next)
				break;
			int64_t priority = next->t->consumer.priority;
			publish_some(1);
			CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 1000), 1);
			check_taken(priority);
			turns++;
		}
		}
	}
	CU_ASSERT_TRUE(turns > 1000);
	for (int i = 0; i < MOST; i++)
		if (model[i].t)
			leave(model[i].t);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"the_higher_ones_come_first", the_higher_ones_come_first},
			{"those_aside_step_in", those_aside_step_in},
			{"a_deleted_queue_tells_all", a_deleted_queue_tells_all},
			{"one_is_active", one_is_active},
			{"exclusive_is_refused_where_one_is_active",
				exclusive_is_refused_where_one_is_active},
			{"a_deleted_queue_tells_the_idle_too", a_deleted_queue_tells_the_idle_too},
			{"there_are_only_so_many_priorities", there_are_only_so_many_priorities},
			{"priorities_are_integers", priorities_are_integers},
			{"other_queues_arguments", other_queues_arguments},
			{"random_priorities_match_the_model", random_priorities_match_the_model}, {0}});
}
