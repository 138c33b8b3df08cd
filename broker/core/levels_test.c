/* SPDX-License-Identifier: Apache-2.0 */
/* Queues whose messages have priorities. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { HIGHEST = 9 };

static struct queue *make_with(const struct field *more)
{
	struct field all[2] = {argument_int("x-max-priority", HIGHEST)};

	if (more)
		all[1] = *more;
	return queue_make_with("q", more ? 2 : 1, all);
}

static void send(uint64_t n, uint8_t priority)
{
	CU_ASSERT_EQUAL(publish_with("", "q", n, &(struct publish_extra){.priority = priority}), 1);
}

static void take_expecting(struct queue *q, uint64_t n)
{
	struct delivery d;

	CU_ASSERT_TRUE_FATAL(queue_take(q, true, &d));
	CU_ASSERT_EQUAL(number_of(d.message), n);
	message_unref(fixture.core->cache, d.message);
}

static void the_highest_comes_first(void)
{
	fixture_begin();
	struct queue *q = make_with(NULL);
	send(1, 0);
	send(2, 5);
	send(3, 9);
	send(4, 5);
	send(5, 200); /* as high as there is */
	send(6, 0);
	CU_ASSERT_EQUAL(queue_ready_count(q), 6);
	take_expecting(q, 3);
	take_expecting(q, 5);
	take_expecting(q, 2);
	send(7, 9);
	take_expecting(q, 7);
	take_expecting(q, 4);
	take_expecting(q, 1);
	take_expecting(q, 6);
	struct delivery d;
	CU_ASSERT_FALSE(queue_take(q, true, &d));
	fixture_end();
}

static void there_may_be_many_levels(void)
{
	struct field most = argument_int("x-max-priority", 255);
	static const uint8_t priorities[] = {63, 255, 0, 64, 200, 128, 127};
	static const uint8_t order[] = {255, 200, 128, 127, 64, 63, 0};

	fixture_begin();
	struct queue *q = queue_make_with("q", 1, &most);
	for (unsigned i = 0; i < sizeof(priorities); i++)
		send(priorities[i], priorities[i]);
	for (unsigned i = 0; i < sizeof(order); i++)
		take_expecting(q, order[i]);
	fixture_end();
}

/* However it was emptied: many such queues must not hold memory for nothing. */
static void an_empty_queue_keeps_no_page(void)
{
	struct delivery d[2];

	fixture_begin();
	struct queue *q = make_with(NULL);
	send(1, 5);
	send(2, 5);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_TRUE(queue_take(q, false, &d[i]));
	queue_ack(fixture.core, &d[1]);
	CU_ASSERT_PTR_NOT_NULL(q->entries.levels->spare);
	queue_ack(fixture.core, &d[0]);
	CU_ASSERT_PTR_NULL(q->entries.levels->spare);
	send(3, 5);
	send(4, 5);
	take_expecting(q, 3);
	take_expecting(q, 4);
	CU_ASSERT_PTR_NULL(q->entries.levels->spare);
	fixture_end();
}

/* A level costs something, used or not: a client must not have 256 of them for each queue that there may be.
 */
static void there_are_only_so_many_levels(void)
{
	enum { QUEUES = 1000, MOST = (65536 + 4 * QUEUES) / LEVELS_MAX };
	struct field most = argument_int("x-max-priority", LEVELS_MAX - 1);
	struct queue_declaration d = {.arguments = {&most, 1}};
	struct queue *q;
	char name[16];

	fixture_begin_with(&(struct broker_limits){QUEUES, 50, 5000, 200}, 4 << 20);
	for (unsigned i = 0; i <= MOST; i++) {
		snprintf(name, sizeof(name), "%u", i);
		d.name = text(name);
		CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), i < MOST ? FAILURE_NONE : FAILURE_LIMIT);
	}
	CU_ASSERT_STRING_EQUAL(
		fixture.failure.text, "the limit of 69536 priorities of all queues is reached");
	queue_make("plain");
	CU_ASSERT_EQUAL(queue_delete_code(0, "7"), 0);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
	fixture_end();
}

static void what_comes_back_keeps_its_level(void)
{
	struct delivery d[3];

	fixture_begin();
	struct queue *q = make_with(NULL);
	send(1, 1);
	send(2, 8);
	send(3, 8);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_TRUE(queue_take(q, false, &d[i]));
	CU_ASSERT_EQUAL(number_of(d[2].message), 1);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	send(4, 8);
	queue_requeue(fixture.core, &d[2]);
	queue_requeue(fixture.core, &d[1]);
	queue_ack(fixture.core, &d[0]);
	CU_ASSERT_EQUAL(queue_ready_count(q), 3);
	take_expecting(q, 3);
	take_expecting(q, 4);
	take_expecting(q, 1);
	fixture_end();
}

static void limits_drop_the_highest(void)
{
	struct field most = argument_int("x-max-length", 2);

	fixture_begin();
	struct queue *q = make_with(&most);
	send(1, 9);
	send(2, 1);
	send(3, 5);
	broker_core_deliver(fixture.core, 1000);
	CU_ASSERT_EQUAL(queue_ready_count(q), 2);
	take_expecting(q, 3);
	take_expecting(q, 2);
	fixture_end();
}

/* As RabbitMQ: only what is at the head expires, and higher ones hide lower ones that have. */
static void expiry_is_at_the_head(void)
{
	struct publish_extra soon = {.expires = true, .lifetime_us = 1000, .priority = 1};

	fixture_begin();
	struct queue *q = make_with(NULL);
	CU_ASSERT_EQUAL(publish_with("", "q", 1, &soon), 1);
	send(2, 5);
	fixture_advance(10000);
	CU_ASSERT_EQUAL(queue_ready_count(q), 2);
	take_expecting(q, 2);
	fixture_advance(10000);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	/* A higher one that lives shorter is the head at once. */
	send(3, 0);
	soon.priority = 9;
	CU_ASSERT_EQUAL(publish_with("", "q", 4, &soon), 1);
	fixture_advance(10000);
	CU_ASSERT_EQUAL(queue_ready_count(q), 1);
	take_expecting(q, 3);
	fixture_end();
}

static void purge_and_delete(void)
{
	struct queue_call_request purge = {.kind = QUEUE_CALL_PURGE, .queue = text("q")};
	struct delivery d;
	uint64_t n;

	fixture_begin();
	struct queue *q = make_with(NULL);
	for (unsigned i = 0; i < 2000; i++)
		send(i, (uint8_t)(i % 12));
	CU_ASSERT_TRUE(queue_take(q, false, &d));
	CU_ASSERT_EQUAL(queue_call_code(0, &purge, &n), 0);
	CU_ASSERT_EQUAL(n, 1999);
	CU_ASSERT_EQUAL(queue_ready_count(q), 0);
	queue_requeue(fixture.core, &d);
	take_expecting(q, 9);
	send(1, 0); /* no level that was purged is taken for a full one */
	take_expecting(q, 1);
	for (unsigned i = 0; i < 2000; i++)
		send(i, (uint8_t)(i % 12));
	CU_ASSERT_TRUE(queue_take(q, false, &d));
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	queue_ack(fixture.core, &d);
	graves_empty();
	fixture_end();
}

static void consumers_get_them_in_that_order(void)
{
	fixture_begin();
	struct queue *q = make_with(NULL);
	for (unsigned i = 0; i < 100; i++)
		send(i, (uint8_t)(i / 10));
	struct test_consumer *t = consumer_make(q, 100, false);
	CU_ASSERT_EQUAL(broker_core_deliver(fixture.core, 1000), 100);
	CU_ASSERT_EQUAL(t->taken, 100);
	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(number_of(t->kept[i].message), 90 - i / 10 * 10 + i % 10);
		queue_ack(fixture.core, &t->kept[i]);
	}
	consumer_detach(&t->consumer);
	free(t);
	fixture_end();
}

static void arguments_are_checked(void)
{
	struct field bad[] = {argument_int("x-max-priority", 256), argument_int("x-max-priority", -1),
		argument_text("x-max-priority", "9")};
	static const char *const why[] = {
		"{max_value_exceeded,256}", "{value_negative,-1}", "\"expected integer, got longstr\""};
	struct queue_declaration d = {.name = text("q")};
	struct queue *q;
	char wanted[200];

	fixture_begin();
	for (unsigned i = 0; i < 3; i++) {
		d.arguments = (struct fields){&bad[i], 1};
		CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
		snprintf(wanted, sizeof(wanted),
			"invalid arg 'x-max-priority' for queue 'q' in vhost '/': %s", why[i]);
		CU_ASSERT_STRING_EQUAL(fixture.failure.text, wanted);
	}
	struct field none = argument_int("x-max-priority", 0);
	q = queue_make_with("q", 1, &none);
	send(1, 0);
	send(2, 9);
	take_expecting(q, 1);
	fixture_end();
}

/* Against a list that is searched for the highest and oldest. */
enum { MOST = 3000 };
static struct {
	uint64_t n;
	uint8_t level;
	bool out; /* with a client */
	struct delivery d;
} model[MOST];
static unsigned count;

static unsigned model_next(void)
{
	unsigned best = count;

	for (unsigned i = 0; i < count; i++)
		if (!model[i].out &&
			(best == count || model[i].level > model[best].level ||
				(model[i].level == model[best].level && model[i].n < model[best].n)))
			best = i;
	return best;
}

static void model_remove(unsigned i)
{
	model[i] = model[--count];
}

static unsigned model_out(void)
{
	unsigned begin = count ? unit_random_below(count) : 0;

	for (unsigned k = 0; k < count; k++)
		if (model[(begin + k) % count].out)
			return (begin + k) % count;
	return count;
}

static void model_take(struct queue *q, bool settle)
{
	unsigned i = model_next();
	struct delivery d;

	CU_ASSERT_EQUAL_FATAL(queue_take(q, settle, &d), i < count);
	if (i == count)
		return;
	CU_ASSERT_EQUAL_FATAL(number_of(d.message), model[i].n);
	model[i].out = true;
	model[i].d = d;
	if (!settle)
		return;
	message_unref(fixture.core->cache, d.message);
	model_remove(i);
}

static void random_work_matches_the_model(void)
{
	uint64_t n = 0;

	fixture_begin();
	struct queue *q = make_with(NULL);
	count = 0;
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i;
		switch (unit_random_below(6)) {
		case 0:
		case 1:
			if (count == MOST)
				break;
			model[count].n = n;
			model[count].level = (uint8_t)unit_random_below(HIGHEST + 1);
			model[count].out = false;
			send(n++, model[count].level);
			count++;
			break;
		case 2:
			model_take(q, true);
			break;
		case 3:
			model_take(q, false);
			break;
		case 4:
			if ((i = model_out()) == count)
				break;
			queue_requeue(fixture.core, &model[i].d);
			model[i].out = false;
			break;
		default:
			if ((i = model_out()) == count)
				break;
			queue_ack(fixture.core, &model[i].d);
			model_remove(i);
		}
	}
	for (unsigned i = 0; i < count; i++)
		if (model[i].out)
			queue_ack(fixture.core, &model[i].d);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"the_highest_comes_first", the_highest_comes_first},
			{"there_may_be_many_levels", there_may_be_many_levels},
			{"there_are_only_so_many_levels", there_are_only_so_many_levels},
			{"an_empty_queue_keeps_no_page", an_empty_queue_keeps_no_page},
			{"what_comes_back_keeps_its_level", what_comes_back_keeps_its_level},
			{"limits_drop_the_highest", limits_drop_the_highest},
			{"expiry_is_at_the_head", expiry_is_at_the_head},
			{"purge_and_delete", purge_and_delete},
			{"consumers_get_them_in_that_order", consumers_get_them_in_that_order},
			{"arguments_are_checked", arguments_are_checked},
			{"random_work_matches_the_model", random_work_matches_the_model}, {0}});
}
