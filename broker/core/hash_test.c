/* SPDX-License-Identifier: Apache-2.0 */
/* x-consistent-hash: one destination a message, the same one for the same key, by weights. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <string.h>

enum { KEYS = 4000, QUEUES = 4 };

static const char *const names[QUEUES] = {"a", "b", "c", "d"};

static void begin(void)
{
	fixture_begin();
	for (unsigned i = 0; i < QUEUES; i++)
		queue_make(names[i]);
	exchange_make("x", "x-consistent-hash");
}

/* Where key i goes: a queue's number, or QUEUES for none. */
static unsigned place_of(unsigned i)
{
	char key[16];
	struct route_set *to = fixture.core->route;

	snprintf(key, sizeof(key), "key%u", i);
	route_whole(exchange_find(fixture.session[0].vhost, text("x")),
		&(struct route_request){.routing_key = text(key)});
	CU_ASSERT_TRUE_FATAL(to->count <= 1);
	return to->count ? (unsigned)(queue_name(to->queues[0]).data[0] - 'a') : QUEUES;
}

static void places(unsigned at[KEYS], unsigned counts[QUEUES + 1])
{
	memset(counts, 0, (QUEUES + 1) * sizeof(counts[0]));
	for (unsigned i = 0; i < KEYS; i++)
		counts[at[i] = place_of(i)]++;
}

static void shares_go_by_weights(void)
{
	static unsigned first[KEYS], second[KEYS];
	unsigned counts[QUEUES + 1], moved = 0;

	begin();
	places(first, counts);
	CU_ASSERT_EQUAL(counts[QUEUES], KEYS);
	bind_code("x", "a", "1");
	bind_code("x", "b", "2");
	bind_code("x", "c", "5");
	places(first, counts);
	for (unsigned i = 0; i < 3; i++) {
		unsigned fair = KEYS * (i == 2 ? 5 : i + 1) / 8;
		CU_ASSERT_TRUE(counts[i] > fair * 8 / 10 && counts[i] < fair * 12 / 10);
	}
	CU_ASSERT_EQUAL(counts[QUEUES], 0);
	places(second, counts);
	CU_ASSERT_EQUAL(memcmp(first, second, sizeof(first)), 0);
	/* What moves when one comes moves there. */
	bind_code("x", "d", "8");
	places(second, counts);
	for (unsigned i = 0; i < KEYS; i++) {
		CU_ASSERT_TRUE(second[i] == first[i] || second[i] == 3);
		moved += second[i] == 3;
	}
	CU_ASSERT_TRUE(moved > KEYS * 4 / 10 && moved < KEYS * 6 / 10);
	unbind_code("x", "d", "8");
	places(second, counts);
	CU_ASSERT_EQUAL(memcmp(first, second, sizeof(first)), 0);
	queue_delete_code(0, "b");
	places(second, counts);
	CU_ASSERT_TRUE(counts[1] == 0 && counts[QUEUES] == 0);
	fixture_end();
}

static void the_oldest_binding_counts(void)
{
	static unsigned at[KEYS];
	unsigned counts[QUEUES + 1];

	begin();
	bind_code("x", "a", "1");
	bind_code("x", "a", "100");
	bind_code("x", "b", "1");
	places(at, counts);
	CU_ASSERT_TRUE(counts[0] < KEYS * 6 / 10 && counts[1] < KEYS * 6 / 10);
	unbind_code("x", "a", "1");
	places(at, counts);
	CU_ASSERT_TRUE(counts[0] > KEYS * 9 / 10);
	unbind_code("x", "a", "100");
	places(at, counts);
	CU_ASSERT_EQUAL(counts[1], KEYS);
	fixture_end();
}

static void exchanges_have_shares(void)
{
	begin();
	exchange_make("y", "fanout");
	bind_code("y", "c", "");
	bind_code("y", "d", "");
	bind_code("x", "a", "1");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	CU_ASSERT_EQUAL(exchange_bind_code("x", "y", "1000"), 0);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 2);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 2);
	CU_ASSERT_EQUAL(exchange_delete_code("y", false), 0);
	reclaim_run();
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	fixture_end();
}

static bool find(const void *ctx, struct slice name, struct value *out)
{
	*out = *(const struct value *)ctx;
	return slice_equals_text(name, "id");
}

static bool property(const void *ctx, struct slice name, struct value *out)
{
	*out = *(const struct value *)ctx;
	return slice_equals_text(name, "message_id");
}

/* Of 100 values, each with a key of its own: how many queues get some. */
static unsigned spread(const char *argument, const char *name)
{
	struct field a = {text(argument), {.kind = VALUE_STRING, .bytes = text(name)}};
	struct exchange_declaration d = {
		.name = text("y"), .type = text("x-consistent-hash"), .arguments = {&a, 1}};
	struct value v = {.kind = VALUE_INT};
	struct header_source source = {find, NULL, &v, property};
	bool used[QUEUES] = {false};
	unsigned n = 0;

	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	for (unsigned i = 0; i < QUEUES; i++)
		bind_code("y", names[i], "1");
	struct exchange *y = exchange_find(fixture.session[0].vhost, text("y"));
	CU_ASSERT_FALSE(y->by_key);
	for (v.integer = 0; v.integer < 100; v.integer++) {
		route_whole(y, &(struct route_request){.routing_key = text("k"), .headers = &source});
		CU_ASSERT_EQUAL_FATAL(fixture.core->route->count, 1);
		used[queue_name(fixture.core->route->queues[0]).data[0] - 'a'] = true;
	}
	for (unsigned i = 0; i < QUEUES; i++)
		n += used[i];
	CU_ASSERT_EQUAL(exchange_delete_code("y", false), 0);
	return n;
}

static void headers_and_properties(void)
{
	begin();
	CU_ASSERT_EQUAL(spread("hash-header", "id"), QUEUES);
	CU_ASSERT_EQUAL(spread("hash-header", "none"), 1);
	CU_ASSERT_EQUAL(spread("hash-property", "message_id"), QUEUES);
	CU_ASSERT_EQUAL(spread("hash-property", "timestamp"), 1);
	fixture_end();
}

static void refusals(void)
{
	static const char *const keys[] = {
		"", "x", "0", "-1", "1.5", " 1", "1000001", "99999999999999999999"};
	struct field a[2] = {{text("hash-header"), {.kind = VALUE_STRING, .bytes = text("h")}},
		{text("hash-property"), {.kind = VALUE_STRING, .bytes = text("app_id")}}};
	struct exchange_declaration d = {
		.name = text("y"), .type = text("x-consistent-hash"), .arguments = {a, 2}};

	begin();
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CU_ASSERT_EQUAL(bind_code("x", "a", keys[i]), FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(bind_code("x", "a", "+1"), 0);
	CU_ASSERT_EQUAL(bind_code("x", "a", "01"), 0);
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "hash-header and hash-property are mutually exclusive");
	d.arguments = (struct fields){a + 1, 1};
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "Unsupported property: app_id");
	a[1].value.kind = VALUE_BOOL;
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
	CU_ASSERT_FALSE(exchange_exists("y"));
	for (unsigned i = 0; i < 1022; i++) {
		char key[8];
		snprintf(key, sizeof(key), "%u", i + 2);
		CU_ASSERT_EQUAL(bind_code("x", "b", key), 0);
	}
	CU_ASSERT_EQUAL(bind_code("x", "c", "1"), FAILURE_LIMIT);
	unbind_code("x", "b", "2");
	CU_ASSERT_EQUAL(bind_code("x", "c", "1"), 0);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"shares_go_by_weights", shares_go_by_weights},
			{"the_oldest_binding_counts", the_oldest_binding_counts},
			{"exchanges_have_shares", exchanges_have_shares},
			{"headers_and_properties", headers_and_properties}, {"refusals", refusals}, {0}});
}
