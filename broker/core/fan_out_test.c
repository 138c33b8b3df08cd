/* SPDX-License-Identifier: Apache-2.0 */
/* Messages whose queues are looked up, and get them, in slices. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUES = 1500, SLICE = 100 };

static struct queue *queues[QUEUES];

static const char *name_of(unsigned i)
{
	static char name[8];

	snprintf(name, sizeof(name), "q%u", i);
	return name;
}

/* All queues are bound to the exchange; a slice is a fraction of them. */
static void begin(const char *exchange)
{
	fixture_begin_with(&(struct broker_limits){QUEUES, 10, 2 * QUEUES, 10}, 8 << 20);
	for (unsigned i = 0; i < QUEUES; i++) {
		queues[i] = queue_make(name_of(i));
		CU_ASSERT_EQUAL(bind_code(exchange, name_of(i), "k"), 0);
	}
	fixture.core->routes[0].slice = fixture.core->routes[1].slice = SLICE;
}

struct attempt {
	struct session *session;
	struct message *message;
	const char *exchange;
	enum publish_result result;
	uint32_t queues;
};

static void attempt_begin(struct attempt *a, unsigned session, const char *exchange)
{
	*a = (struct attempt){&fixture.session[session],
		message_new(fixture.core->cache, &(struct message_envelope){0}), exchange, PUBLISH_AGAIN, 0};
	CU_ASSERT_PTR_NOT_NULL_FATAL(a->message);
}

static bool offer(struct attempt *a)
{
	struct publish p = {.exchange = text(a->exchange), .routing_key = text("k"), .message = a->message};

	a->result = exchange_publish(a->session, &p, NULL, &a->queues, &fixture.failure);
	return a->result != PUBLISH_AGAIN;
}

static void attempt_end(struct attempt *a)
{
	message_unref(fixture.core->cache, a->message);
}

/* What another thread would have released by now goes at once. */
static void turn(void)
{
	broker_core_poll(fixture.core);
	reclaim_run();
}

static unsigned offer_until_done(struct attempt *a)
{
	unsigned turns = 0;

	while (!offer(a) && turns < 1000) {
		turn();
		turns++;
	}
	CU_ASSERT_EQUAL(a->result, PUBLISH_DONE);
	return turns;
}

static bool looking(void)
{
	return fixture.core->fan_out.exchange != NULL;
}

static uint64_t ready_in_all(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < QUEUES; i++)
		n += queue_ready_count(queues[i]);
	return n;
}

static void in_slices(const char *exchange)
{
	struct attempt a;

	begin(exchange);
	attempt_begin(&a, 0, exchange);
	CU_ASSERT_TRUE(offer_until_done(&a) >= QUEUES / SLICE);
	CU_ASSERT_EQUAL(a.queues, QUEUES);
	for (unsigned i = 0; i < QUEUES; i++)
		CU_ASSERT_EQUAL(queue_ready_count(queues[i]), 1);
	attempt_end(&a);
	fixture_end();
}

static void fanout_in_slices(void)
{
	in_slices("amq.fanout");
}

static void direct_in_slices(void)
{
	in_slices("amq.direct");
}

static void topic_in_slices(void)
{
	in_slices("amq.topic");
}

static void headers_in_slices(void)
{
	in_slices("amq.headers");
}

/* Everybody else goes on meanwhile, the same exchange's other keys too. */
static void others_publish_between_slices(void)
{
	struct attempt a, b;

	begin("amq.direct");
	CU_ASSERT_EQUAL(bind_code("amq.direct", "q7", "other"), 0);
	attempt_begin(&a, 0, "amq.direct");
	CU_ASSERT_FALSE(offer(&a));
	for (unsigned i = 0; looking(); i++) {
		struct publish p = {
			.exchange = text("amq.direct"), .routing_key = text("other"), .message = a.message};
		CU_ASSERT_EQUAL(exchange_publish(&fixture.session[1], &p, NULL, &b.queues, &fixture.failure),
			PUBLISH_DONE);
		CU_ASSERT_EQUAL(b.queues, 1);
		CU_ASSERT_EQUAL(queue_ready_count(queues[7]), i + 1);
		turn();
		CU_ASSERT_FALSE(offer(&a));
	}
	offer_until_done(&a);
	CU_ASSERT_EQUAL(a.queues, QUEUES);
	attempt_end(&a);
	fixture_end();
}

/* What is unbound and deleted during a walk stays where the walk may look, and is not given the message. */
static void queues_vanish_during_the_walk(void)
{
	struct attempt a;

	begin("amq.fanout");
	attempt_begin(&a, 0, "amq.fanout");
	CU_ASSERT_FALSE(offer(&a));
	for (unsigned i = 0; i < QUEUES; i += 2)
		CU_ASSERT_EQUAL(queue_delete_code(0, name_of(i)), 0);
	CU_ASSERT_TRUE(looking());
	CU_ASSERT_EQUAL(reclaim_run(), 0);
	offer_until_done(&a);
	CU_ASSERT_EQUAL(a.queues, QUEUES / 2);
	CU_ASSERT_TRUE(reclaim_run() > 0 || reclaim_pending() == 0);
	attempt_end(&a);
	fixture_end();
}

/* It goes to the queues of one moment: of two that take turns, one at least. */
static void a_change_begins_the_walk_again(void)
{
	struct attempt a;
	unsigned changes = 0;

	begin("amq.topic");
	attempt_begin(&a, 0, "amq.topic");
	CU_ASSERT_FALSE(offer(&a));
	for (; changes < 3; changes++) {
		CU_ASSERT_EQUAL(unbind_code("amq.topic", name_of(3 + changes % 2), "k"), 0);
		turn();
		CU_ASSERT_FALSE(offer(&a));
		CU_ASSERT_EQUAL(bind_code("amq.topic", name_of(3 + changes % 2), "k"), 0);
	}
	CU_ASSERT_TRUE(offer_until_done(&a) > QUEUES / SLICE);
	CU_ASSERT_EQUAL(a.queues, QUEUES);
	attempt_end(&a);
	fixture_end();
}

static void changes_without_an_end_do_not_hold_it_up(void)
{
	struct attempt a;
	unsigned turns = 0;

	begin("amq.fanout");
	attempt_begin(&a, 0, "amq.fanout");
	while (!offer(&a) && turns++ < 1000) {
		if (turns % 2)
			unbind_code("amq.fanout", "q3", "k");
		else
			bind_code("amq.fanout", "q3", "k");
		turn();
	}
	CU_ASSERT_EQUAL(a.result, PUBLISH_DONE);
	CU_ASSERT_TRUE(a.queues == QUEUES || a.queues == QUEUES - 1);
	CU_ASSERT_EQUAL(a.queues, ready_in_all());
	attempt_end(&a);
	fixture_end();
}

/* One at a time, in the order in which they came, and who waits looks nothing up. */
static void others_wait_in_line(void)
{
	struct attempt a[FIXTURE_SESSIONS];
	unsigned done = 0, turns = 0;

	begin("amq.fanout");
	for (unsigned i = 0; i < FIXTURE_SESSIONS; i++) {
		attempt_begin(&a[i], i, "amq.fanout");
		CU_ASSERT_FALSE(offer(&a[i]));
	}
	for (; done < FIXTURE_SESSIONS && turns < 1000; turns++) {
		turn();
		/* The last one asks first, always. */
		for (unsigned i = FIXTURE_SESSIONS; i-- > done;) {
			uint32_t found = fixture.core->route->count;
			bool is_done = offer(&a[i]);
			CU_ASSERT_TRUE(!is_done || i == done);
			if (i > done && fixture.core->fan_out.session != a[i].session)
				CU_ASSERT_EQUAL(fixture.core->route->count, found);
			if (is_done) {
				CU_ASSERT_EQUAL(a[i].queues, QUEUES);
				done++;
			}
		}
	}
	CU_ASSERT_EQUAL(done, FIXTURE_SESSIONS);
	CU_ASSERT_EQUAL(ready_in_all(), FIXTURE_SESSIONS * QUEUES);
	for (unsigned i = 0; i < FIXTURE_SESSIONS; i++)
		attempt_end(&a[i]);
	fixture_end();
}

/* The first one's queues are looked up, the second one waits in line. */
static void begin_two(struct attempt *first, struct attempt *second)
{
	begin("amq.fanout");
	attempt_begin(first, 0, "amq.fanout");
	attempt_begin(second, 1, "amq.fanout");
	CU_ASSERT_FALSE(offer(first));
	CU_ASSERT_FALSE(offer(second));
}

/* Before anything was given the message is as if it had not come. */
static void a_publisher_goes_during_the_walk(void)
{
	struct attempt a, b;

	begin_two(&a, &b);
	CU_ASSERT_TRUE(looking());
	exchange_publish_forget(a.session);
	attempt_end(&a);
	CU_ASSERT_FALSE(looking());
	CU_ASSERT_EQUAL(ready_in_all(), 0);
	offer_until_done(&b);
	CU_ASSERT_EQUAL(ready_in_all(), QUEUES);
	attempt_end(&b);
	fixture_end();
}

static void a_publisher_goes_from_the_line(void)
{
	struct attempt a, b;

	begin_two(&a, &b);
	exchange_publish_forget(b.session);
	attempt_end(&b);
	offer_until_done(&a);
	turn();
	CU_ASSERT_EQUAL(ready_in_all(), QUEUES);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	attempt_end(&a);
	fixture_end();
}

/* What is half given reaches the other queues too. */
static void a_publisher_goes_while_queues_get_it(void)
{
	struct attempt a;

	begin("amq.fanout");
	attempt_begin(&a, 0, "amq.fanout");
	while (!offer(&a) && ready_in_all() == 0)
		turn();
	CU_ASSERT_TRUE(ready_in_all() < QUEUES);
	exchange_publish_forget(a.session);
	attempt_end(&a);
	for (unsigned i = 0; i < QUEUES / FAN_OUT_QUANTUM + 1; i++)
		turn();
	CU_ASSERT_EQUAL(ready_in_all(), QUEUES);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	fixture_end();
}

/* A publisher that does not come back holds up nothing, and comes first when it does. */
static void a_silent_publisher_gives_up_its_walk(void)
{
	struct attempt a, b;

	begin_two(&a, &b);
	CU_ASSERT_EQUAL(unbind_code("amq.fanout", "q3", "k"), 0);
	for (unsigned i = 0; i <= FAN_OUT_IDLE_TURNS; i++) {
		CU_ASSERT_TRUE(looking());
		CU_ASSERT_TRUE(reclaim_pending() > 0);
		turn();
	}
	CU_ASSERT_FALSE(looking());
	reclaim_run();
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	CU_ASSERT_FALSE(offer(&b));
	CU_ASSERT_FALSE(looking());
	offer_until_done(&a);
	CU_ASSERT_EQUAL(a.queues, QUEUES - 1);
	offer_until_done(&b);
	attempt_end(&a);
	attempt_end(&b);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"fanout_in_slices", fanout_in_slices},
			{"direct_in_slices", direct_in_slices}, {"topic_in_slices", topic_in_slices},
			{"headers_in_slices", headers_in_slices},
			{"others_publish_between_slices", others_publish_between_slices},
			{"queues_vanish_during_the_walk", queues_vanish_during_the_walk},
			{"a_change_begins_the_walk_again", a_change_begins_the_walk_again},
			{"changes_without_an_end_do_not_hold_it_up",
				changes_without_an_end_do_not_hold_it_up},
			{"others_wait_in_line", others_wait_in_line},
			{"a_publisher_goes_during_the_walk", a_publisher_goes_during_the_walk},
			{"a_publisher_goes_from_the_line", a_publisher_goes_from_the_line},
			{"a_publisher_goes_while_queues_get_it", a_publisher_goes_while_queues_get_it},
			{"a_silent_publisher_gives_up_its_walk", a_silent_publisher_gives_up_its_walk},
			{NULL, NULL}});
}
