/* SPDX-License-Identifier: Apache-2.0 */
/* What has many bindings is deleted in slices, and is gone for everybody from the first moment. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { MANY = 1000 };

static struct slice key_of(unsigned i)
{
	static char key[16];

	snprintf(key, sizeof(key), "key.%u", i);
	return text(key);
}

static void bind_many(const char *exchange, const char *queue)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct binding_spec s = {text(exchange), text(queue), key_of(i), {0}, false};
		CU_ASSERT_EQUAL(binding_add(&fixture.session[0], &s, &fixture.failure), 0);
	}
}

/* How many turns it takes; none does more than its share. */
static unsigned tidy_up(void)
{
	unsigned turns = 0;

	while (fixture.broker->deleted_count > 0 && turns < MANY) {
		uint32_t before = fixture.broker->binding_count;
		broker_core_tidy(fixture.core);
		CU_ASSERT_TRUE(before - fixture.broker->binding_count <= TIDY_BINDINGS);
		turns++;
	}
	return turns;
}

static void a_queue_goes_in_slices(const char *type)
{
	fixture_begin();
	exchange_make("x", type);
	queue_make("many");
	queue_make("other");
	bind_many("x", "many");
	CU_ASSERT_EQUAL(bind_code("x", "other", "key.5"), 0);
	CU_ASSERT_EQUAL(publish("x", "key.5", 1), 2); /* and is noted as the way */
	CU_ASSERT_EQUAL(publish("x", "key.6", 1), 1);

	CU_ASSERT_EQUAL(queue_delete_code(0, "many"), 0);
	CU_ASSERT_TRUE(fixture.broker->binding_count >= MANY - TIDY_BINDINGS);
	CU_ASSERT_FALSE(queue_exists("many"));
	CU_ASSERT_EQUAL(publish("x", "key.5", 2), 1);
	CU_ASSERT_EQUAL(publish("x", "key.999", 2), 0);
	/* Its name is free: the bindings that are left are not the new one's. */
	CU_ASSERT_PTR_NOT_NULL(queue_make("many"));
	CU_ASSERT_EQUAL(publish("x", "key.999", 3), 0);
	CU_ASSERT_EQUAL(bind_code("x", "many", "key.999"), 0);
	CU_ASSERT_EQUAL(publish("x", "key.999", 4), 1);

	CU_ASSERT_TRUE(tidy_up() >= MANY / TIDY_BINDINGS - 1);
	CU_ASSERT_EQUAL(fixture.broker->binding_count, 2);
	CU_ASSERT_EQUAL(publish("x", "key.999", 5), 1);
	fixture_end();
}

static void by_direct(void)
{
	a_queue_goes_in_slices("direct");
}

static void by_topic(void)
{
	a_queue_goes_in_slices("topic");
}

/* It has its place until it has been taken apart, but is not in the way of another one. */
static void room_at_the_limit(void)
{
	fixture_begin_with(&(struct broker_limits){1, 10, 5000, 10}, 4 << 20);
	queue_make("many");
	bind_many("amq.direct", "many");
	CU_ASSERT_EQUAL(queue_delete_code(0, "many"), 0);
	CU_ASSERT_EQUAL(fixture.broker->free_slot_count, 0);
	struct queue_declaration d = {.name = text("one")};
	struct queue *q;
	enum failure_code code;
	unsigned turns = 0;
	do {
		uint32_t before = fixture.broker->binding_count;
		code = queue_declare_code(0, &d, &q);
		CU_ASSERT_TRUE(before - fixture.broker->binding_count <= TIDY_BINDINGS);
		turns++;
	} while (code == FAILURE_AGAIN && turns < MANY);
	CU_ASSERT_EQUAL(code, FAILURE_NONE);
	CU_ASSERT_TRUE(turns > 10);
	CU_ASSERT_EQUAL(fixture.broker->binding_count, 0);
	d.name = text("two");
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_LIMIT);
	fixture_end();
}

/* Bindings of a queue that is gone are no use of an exchange; its own deletion may meet them half way. */
static void with_its_exchange(void)
{
	fixture_begin();
	exchange_make("x", "direct");
	queue_make("many");
	bind_many("x", "many");
	CU_ASSERT_EQUAL(exchange_delete(&fixture.session[0], text("x"), true, &fixture.failure),
		FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(queue_delete_code(0, "many"), 0);
	unsigned turns = 0;
	while (exchange_delete(&fixture.session[0], text("x"), true, &fixture.failure) == FAILURE_AGAIN &&
		turns++ < MANY)
		broker_core_tidy(fixture.core);
	CU_ASSERT_TRUE(turns > 0 && turns < MANY / TIDY_BINDINGS);
	CU_ASSERT_FALSE(exchange_exists("x"));
	tidy_up();
	CU_ASSERT_EQUAL(fixture.broker->binding_count, 0);
	fixture_end();
}

/* The broker goes while it is at it. */
static void at_the_end(void)
{
	fixture_begin();
	queue_make("many");
	bind_many("amq.topic", "many");
	CU_ASSERT_EQUAL(queue_delete_code(0, "many"), 0);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"by_direct", by_direct}, {"by_topic", by_topic},
			{"room_at_the_limit", room_at_the_limit}, {"with_its_exchange", with_its_exchange},
			{"at_the_end", at_the_end}, {NULL, NULL}});
}
