/* SPDX-License-Identifier: Apache-2.0 */
/* Headers exchanges: RabbitMQ's rules one by one, and the index against a look at every binding. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <string.h>

static bool find_in_fields(const void *ctx, struct slice name, struct value *out)
{
	const struct value *v = fields_find_slice(ctx, name);
	if (v)
		*out = *v;
	return v;
}

static bool next_of_fields(const void *ctx, uint32_t *at, struct field *out)
{
	const struct fields *f = ctx;
	if (*at == f->count)
		return false;
	*out = f->at[(*at)++];
	return true;
}

static struct field string_field(const char *name, const char *value)
{
	return (struct field){text(name), {.kind = VALUE_STRING, .bytes = text(value)}};
}

static struct field int_field(const char *name, int64_t value)
{
	return (struct field){text(name), {.kind = VALUE_INT, .integer = value}};
}

static uint32_t publish_headers(const struct field *at, uint32_t count)
{
	struct fields fields = {at, count};
	struct header_source source = {find_in_fields, next_of_fields, &fields, NULL};
	struct message *m = message_new(fixture.core->cache, &(struct message_envelope){0});
	struct publish p = {
		.exchange = text("amq.headers"), .routing_key = text(""), .headers = &source, .message = m};
	uint32_t n = 99;

	CU_ASSERT_EQUAL(exchange_publish(&fixture.session[0], &p, NULL, &n, &fixture.failure), PUBLISH_DONE);
	message_unref(fixture.core->cache, m);
	return n;
}

static enum failure_code bind_headers(const char *queue, const struct field *at, uint32_t count)
{
	struct binding_spec s = {text("amq.headers"), text(queue), text(""), {at, count}, false};
	return binding_add(&fixture.session[0], &s, &fixture.failure);
}

static void headers_all_and_any(void)
{
	fixture_begin();
	queue_make("all");
	queue_make("any");
	struct field all[] = {string_field("kind", "a"), int_field("n", 1), string_field("x-seen", "1")};
	struct field any[] = {string_field("x-match", "any"), string_field("kind", "a"),
		{text("there"), {.kind = VALUE_VOID}}};
	CU_ASSERT_EQUAL(bind_headers("all", all, 3), 0);
	CU_ASSERT_EQUAL(bind_headers("any", any, 3), 0);
	CU_ASSERT_EQUAL(publish_headers(NULL, 0), 0);
	struct field m[] = {string_field("kind", "a"), int_field("n", 1)};
	CU_ASSERT_EQUAL(publish_headers(m, 2), 2);
	CU_ASSERT_EQUAL(publish_headers(m, 1), 1);
	m[1].value.integer = 2;
	CU_ASSERT_EQUAL(publish_headers(m, 2), 1);
	CU_ASSERT_EQUAL(publish_headers(m + 1, 1), 0);
	m[1] = int_field("there", 7);
	CU_ASSERT_EQUAL(publish_headers(m + 1, 1), 1);
	CU_ASSERT_EQUAL(publish("amq.headers", "", 1), 0); /* no headers at all */
	fixture_end();
}

static void headers_edges(void)
{
	fixture_begin();
	queue_make("none");
	queue_make("never");
	queue_make("x");
	struct field never[] = {string_field("x-match", "any")};
	struct field x[] = {string_field("x-match", "all-with-x"), string_field("x-a", "1")};
	struct field x_any[] = {
		string_field("x-match", "any-with-x"), string_field("x-b", "1"), string_field("c", "1")};
	CU_ASSERT_EQUAL(bind_headers("none", NULL, 0), 0);
	CU_ASSERT_EQUAL(bind_headers("never", never, 1), 0);
	CU_ASSERT_EQUAL(bind_headers("x", x, 2), 0);
	CU_ASSERT_EQUAL(bind_headers("x", x_any, 3), 0);
	CU_ASSERT_EQUAL(publish_headers(NULL, 0), 1);
	struct field m[] = {string_field("x-a", "1"), string_field("x-b", "1")};
	CU_ASSERT_EQUAL(publish_headers(m, 1), 2);
	CU_ASSERT_EQUAL(publish_headers(m + 1, 1), 2);
	CU_ASSERT_EQUAL(publish_headers(m, 2), 2);
	struct field bad[] = {string_field("x-match", "some")};
	CU_ASSERT_EQUAL(bind_headers("x", bad, 1), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text,
		"Invalid x-match field value <<\"some\">>; expected all, "
		"any, all-with-x, or any-with-x");
	bad[0] = int_field("x-match", 1);
	CU_ASSERT_EQUAL(bind_headers("x", bad, 1), FAILURE_PRECONDITION);
	/* The same key with other arguments is another binding. */
	struct broker_core_stats stats;
	broker_core_stats(fixture.core, &stats);
	CU_ASSERT_EQUAL(stats.bindings, 4);
	struct binding_spec s = {text("amq.headers"), text("x"), text(""), {x, 2}, false};
	CU_ASSERT_EQUAL(binding_remove(&fixture.session[0], &s, &fixture.failure), 0);
	CU_ASSERT_EQUAL(publish_headers(m, 1), 1);
	fixture_end();
}

static struct field void_field(const char *name)
{
	return (struct field){text(name), {.kind = VALUE_VOID}};
}

/* Kinds differ: equal text is not an equal number. Numbers are equal by what they say, whatever they are. */
static void values_are_compared_with_their_kind(void)
{
	fixture_begin();
	queue_make("q");
	struct field b[] = {int_field("n", 1)};
	CU_ASSERT_EQUAL(bind_headers("q", b, 1), 0);
	struct field m[] = {string_field("n", "1")};
	CU_ASSERT_EQUAL(publish_headers(m, 1), 0);
	m[0] = (struct field){text("n"), {.kind = VALUE_BOOL, .boolean = true}};
	CU_ASSERT_EQUAL(publish_headers(m, 1), 0);
	m[0] = (struct field){text("n"), {.kind = VALUE_DOUBLE, .real = 1.5}};
	CU_ASSERT_EQUAL(publish_headers(m, 1), 0);
	m[0].value.real = 0x1p63;
	CU_ASSERT_EQUAL(publish_headers(m, 1), 0);
	m[0].value.real = 1;
	CU_ASSERT_EQUAL(publish_headers(m, 1), 1);
	m[0] = (struct field){text("n"), {.kind = VALUE_TIMESTAMP, .integer = 1}};
	CU_ASSERT_EQUAL(publish_headers(m, 1), 1);
	CU_ASSERT_EQUAL(publish_headers(b, 1), 1);
	queue_make("real");
	struct field real[] = {{text("n"), {.kind = VALUE_DOUBLE, .real = 1}}};
	CU_ASSERT_EQUAL(bind_headers("real", real, 1), 0);
	CU_ASSERT_EQUAL(publish_headers(b, 1), 2);
	CU_ASSERT_EQUAL(queue_delete_code(0, "real"), 0);
	/* A header without a value is there, and equals only that. */
	m[0] = void_field("n");
	CU_ASSERT_EQUAL(publish_headers(m, 1), 0);
	CU_ASSERT_EQUAL(bind_headers("q", m, 1), 0);
	CU_ASSERT_EQUAL(publish_headers(m, 1), 1);
	fixture_end();
}

/* Beyond what is decoded once. */
static void many_headers_are_all_seen(void)
{
	static char names[200][8];
	struct field m[200];

	fixture_begin();
	queue_make("q");
	queue_make("r");
	for (int i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "h%d", i);
		m[i] = int_field(names[i], i);
	}
	struct field far[] = {m[3], m[63], m[64], m[199]};
	struct field wrong[] = {m[3], m[199], int_field("h70", 0)};
	CU_ASSERT_EQUAL(bind_headers("q", far, 4), 0);
	CU_ASSERT_EQUAL(bind_headers("r", wrong, 3), 0);
	CU_ASSERT_EQUAL(publish_headers(m, 200), 1);
	CU_ASSERT_EQUAL(publish_headers(m, 199), 0);
	CU_ASSERT_EQUAL(publish_headers(m, 64), 0);
	CU_ASSERT_EQUAL(bind_headers("r", m, 64), 0);
	CU_ASSERT_EQUAL(publish_headers(m, 200), 2);
	CU_ASSERT_EQUAL(bind_headers("r", m, 65), FAILURE_PRECONDITION);
	fixture_end();
}

static void limits_of_the_index_hold(void)
{
	static char names[64][8];
	struct field any[64];
	unsigned bound = 0;

	fixture_begin_with(&(struct broker_limits){4, 4, 10, 4}, 1 << 20);
	queue_make("q");
	any[0] = string_field("x-match", "any");
	/* 296 pairs are allowed: four bindings of 63. */
	for (unsigned k = 0; k < 6; k++) {
		for (unsigned i = 1; i < 64; i++) {
			snprintf(names[i], sizeof(names[i]), "%u-%u", k, i);
			any[i] = int_field(names[i], 1);
		}
		uint32_t pairs = fixture.broker->header_pair_count;
		enum failure_code code = bind_headers("q", any, 64);
		CU_ASSERT_EQUAL(code, k < 4 ? 0 : FAILURE_LIMIT);
		CU_ASSERT_EQUAL(fixture.broker->header_pair_count, pairs + (code ? 0 : 63));
		bound += code == 0;
	}
	CU_ASSERT_EQUAL(bound, 4);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(fixture.broker->header_pair_count, 0);
	fixture_end();
}

/* Few may have long arguments, not all. */
static void memory_of_arguments_is_bounded(void)
{
	static char value[100000];
	unsigned bound = 0;

	fixture_begin_with(&(struct broker_limits){4, 4, 1000, 4}, 1 << 20);
	queue_make("q");
	memset(value, 'v', sizeof(value) - 1);
	for (unsigned i = 0; i < 100; i++) {
		struct field at[] = {int_field("n", i), string_field("v", value)};
		enum failure_code code = bind_headers("q", at, 2);
		CU_ASSERT_TRUE(code == 0 || code == FAILURE_LIMIT);
		bound += code == 0;
	}
	/* A MiB, and 512 bytes for each that may come. */
	CU_ASSERT_EQUAL(bound, (1048576 + 1000 * 512) / (100000 + 2 * sizeof(struct field)));
	CU_ASSERT_STRING_EQUAL(
		fixture.failure.text, "no memory for the key and the arguments of the binding");
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(fixture.broker->binding_bytes, 0);
	fixture_end();
}

/* The index against the rules as RabbitMQ's manual has them. */

enum { BINDINGS = 60, ARGUMENTS_MAX = 4, HEADERS = 6 };

struct model_binding {
	bool in;
	struct field at[ARGUMENTS_MAX + 1];
	uint32_t count;
	const char *match; /* NULL: not given */
};

static bool argument_met(const struct field *a, const struct fields *headers)
{
	const struct value *v = fields_find_slice(headers, a->name);
	return v && (a->value.kind == VALUE_VOID || value_equal(&a->value, v));
}

static bool model_matches(const struct model_binding *b, const struct fields *headers)
{
	bool any = b->match && strncmp(b->match, "any", 3) == 0, with_x = b->match && strlen(b->match) > 3;
	uint32_t met = 0, asked = 0;

	for (uint32_t i = 0; i < b->count; i++) {
		const struct field *a = &b->at[i];
		if (slice_equals_text(a->name, "x-match") || (!with_x && memcmp(a->name.data, "x-", 2) == 0))
			continue;
		asked++;
		met += argument_met(a, headers);
	}
	return any ? met > 0 : met == asked;
}

static struct field random_field(bool with_void)
{
	static const char *const names[] = {"a-", "b-", "c-", "x-a", "x-b", "d-"};
	const char *name = names[unit_random_below(6)];

	switch (unit_random_below(with_void ? 4 : 3)) {
	case 0:
		return int_field(name, unit_random_below(3));
	case 1:
		return string_field(name, unit_random_below(2) ? "s" : "t");
	case 2:
		return (struct field){text(name), {.kind = VALUE_BOOL, .boolean = unit_random_below(2)}};
	default:
		return void_field(name);
	}
}

static uint32_t random_fields(struct field *at, uint32_t most)
{
	uint32_t n = unit_random_below(most + 1), count = 0;

	while (n-- > 0) {
		struct field f = random_field(true);
		if (!fields_find_slice(&(struct fields){at, count}, f.name))
			at[count++] = f;
	}
	return count;
}

static void random_binding(struct model_binding *b)
{
	static const char *const matches[] = {NULL, "all", "any", "all-with-x", "any-with-x"};

	b->count = random_fields(b->at, ARGUMENTS_MAX);
	b->match = matches[unit_random_below(5)];
	if (b->match)
		b->at[b->count++] = string_field("x-match", b->match);
}

static bool routed(const char *queue)
{
	for (uint32_t i = 0; i < fixture.core->route->count; i++)
		if (slice_equals_text(queue_name(fixture.core->route->queues[i]), queue))
			return true;
	return false;
}

static unsigned differences(
	const struct model_binding *bindings, char names[][8], const struct fields *headers)
{
	struct exchange *x = exchange_find(fixture.session[0].vhost, text("amq.headers"));
	struct header_source source = {find_in_fields, next_of_fields, headers, NULL};
	unsigned wrong = 0;

	route_whole(x, &(struct route_request){.headers = &source});
	for (unsigned i = 0; i < BINDINGS; i++)
		wrong += routed(names[i]) != (bindings[i].in && model_matches(&bindings[i], headers));
	return wrong;
}

static void random_bindings_match_the_model(void)
{
	static struct model_binding bindings[BINDINGS];
	static char names[BINDINGS][8];
	unsigned wrong = 0;

	fixture_begin();
	for (unsigned i = 0; i < BINDINGS; i++) {
		snprintf(names[i], sizeof(names[i]), "q%u", i % 1000);
		queue_make(names[i]);
	}
	for (unsigned step = 0; step < 5000; step++) {
		unsigned i = unit_random_below(BINDINGS);
		struct model_binding *b = &bindings[i];
		if (!b->in)
			random_binding(b);
		struct binding_spec s = {
			text("amq.headers"), text(names[i]), text("k"), {b->at, b->count}, false};
		CU_ASSERT_EQUAL(
			(b->in ? binding_remove : binding_add)(&fixture.session[0], &s, &fixture.failure), 0);
		b->in = !b->in;
		struct field headers[HEADERS];
		struct fields all = {headers, random_fields(headers, HEADERS)};
		wrong += differences(bindings, names, &all);
		if (step % 50 == 0)
			reclaim_run();
	}
	CU_ASSERT_EQUAL(wrong, 0);
	fixture_end();
}

/* A thousand bindings that share a header, each with one of its own: they are filed under their own. */
static void bindings_are_filed_where_they_are_few(void)
{
	char value[8];

	fixture_begin();
	queue_make("q");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(value, sizeof(value), "%u", i);
		struct field at[] = {string_field("all", "report"), string_field("id", value)};
		CU_ASSERT_EQUAL(bind_headers("q", at, 2), 0);
	}
	/* The first one could not know, all others could. */
	CU_ASSERT_EQUAL(fixture.broker->header_pair_count, 1000);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"headers_all_and_any", headers_all_and_any},
			{"headers_edges", headers_edges},
			{"values_are_compared_with_their_kind", values_are_compared_with_their_kind},
			{"many_headers_are_all_seen", many_headers_are_all_seen},
			{"limits_of_the_index_hold", limits_of_the_index_hold},
			{"memory_of_arguments_is_bounded", memory_of_arguments_is_bounded},
			{"random_bindings_match_the_model", random_bindings_match_the_model},
			{"bindings_are_filed_where_they_are_few", bindings_are_filed_where_they_are_few},
			{0}});
}
