/* SPDX-License-Identifier: Apache-2.0 */
/* Alternate exchanges: what an exchange matches nothing for goes on. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <string.h>

static enum failure_code declare_with(const char *name, struct value alternate)
{
	struct field a = {text(ALTERNATE_EXCHANGE), alternate};
	struct exchange_declaration d = {.name = text(name), .type = text("direct"), .arguments = {&a, 1}};

	return exchange_declare_code(&d);
}

static struct value string(const char *s)
{
	return (struct value){.kind = VALUE_STRING, .bytes = text(s)};
}

static void declarations(void)
{
	const char *why = fixture.failure.text;
	struct field other = {text("other"), {.kind = VALUE_BOOL}};
	struct exchange_declaration d = {.name = text("x"), .type = text("direct")};

	fixture_begin();
	CU_ASSERT_EQUAL(declare_with("x", (struct value){.kind = VALUE_BOOL}), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(
		why, "invalid type 'bool' for arg 'alternate-exchange' in exchange 'x' in vhost '/'");
	static char long_name[257];
	memset(long_name, 'n', 256);
	CU_ASSERT_EQUAL(declare_with("x", (struct value){.kind = VALUE_STRING, .bytes = text(long_name)}),
		FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(declare_with("x", (struct value){.kind = VALUE_VOID}), FAILURE_PRECONDITION);
	CU_ASSERT_FALSE(exchange_exists("x"));
	CU_ASSERT_EQUAL(declare_with("x", string("y")), 0);
	CU_ASSERT_EQUAL(declare_with("x", string("y")), 0);
	CU_ASSERT_EQUAL(declare_with("x", string("z")), FAILURE_PRECONDITION);
	CU_ASSERT_EQUAL(exchange_declare_code(&d), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(why, "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': "
				    "received none but current "
				    "is the value 'y' of type 'longstr'");
	/* It is the only argument that is compared. */
	d.name = text("plain");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	d.arguments = (struct fields){&other, 1};
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	CU_ASSERT_EQUAL(declare_with("plain", string("y")), FAILURE_PRECONDITION);
	fixture_end();
}

static void what_matches_nothing_goes_on(void)
{
	fixture_begin();
	struct queue *bound = queue_make("bound"), *rest = queue_make("rest");
	exchange_make_alternate("x", "direct", "y");
	bind_code("x", "bound", "k");
	/* Not there yet. */
	CU_ASSERT_EQUAL(publish("x", "none", 1), 0);
	exchange_make("y", "fanout");
	CU_ASSERT_EQUAL(publish("x", "none", 1), 0);
	bind_code("y", "rest", "");
	CU_ASSERT_EQUAL(publish("x", "none", 1), 1);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	CU_ASSERT_EQUAL(queue_ready_count(bound), 1);
	CU_ASSERT_EQUAL(queue_ready_count(rest), 1);
	unbind_code("x", "bound", "k");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	CU_ASSERT_EQUAL(queue_ready_count(rest), 2);
	CU_ASSERT_EQUAL(exchange_delete_code("y", false), 0);
	reclaim_run();
	CU_ASSERT_EQUAL(publish("x", "k", 1), 0);
	/* Another one of that name, perhaps in the same place. */
	exchange_make("y", "fanout");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 0);
	bind_code("y", "rest", "");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	fixture_end();
}

/* A noted route through it ends with its changes, though it knows nothing of who goes on to it. */
static void changes_of_an_alternate_are_seen(void)
{
	fixture_begin();
	queue_make("q");
	exchange_make("y", "direct");
	exchange_make_alternate("x", "direct", "y");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 0);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 0);
	bind_code("y", "q", "k");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	unbind_code("y", "q", "k");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 0);
	fixture_end();
}

static void chains_and_cycles(void)
{
	fixture_begin();
	queue_make("q");
	exchange_make_alternate("a", "direct", "b");
	exchange_make_alternate("b", "direct", "c");
	exchange_make_alternate("c", "topic", "a");
	exchange_make_alternate("self", "direct", "self");
	CU_ASSERT_EQUAL(publish("a", "k", 1), 0);
	CU_ASSERT_EQUAL(publish("self", "k", 1), 0);
	bind_code("c", "q", "k");
	CU_ASSERT_EQUAL(publish("a", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("b", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("a", "none", 1), 0);
	unbind_code("c", "q", "k");
	bind_code("a", "q", "k");
	CU_ASSERT_EQUAL(publish("b", "k", 1), 1);
	/* The default exchange has no bindings. */
	exchange_make_alternate("d", "direct", "");
	CU_ASSERT_EQUAL(publish("d", "q", 1), 0);
	fixture_end();
}

/* Bound to another exchange is matched, wherever that one leads. */
static void an_exchange_is_a_match(void)
{
	fixture_begin();
	queue_make("rest");
	exchange_make_alternate("x", "direct", "amq.fanout");
	exchange_make("y", "direct");
	bind_code("amq.fanout", "rest", "");
	CU_ASSERT_EQUAL(exchange_bind_code("x", "y", "k"), 0);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 0);
	CU_ASSERT_EQUAL(publish("x", "other", 1), 1);
	CU_ASSERT_EQUAL(exchange_unbind_code("x", "y", "k"), 0);
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	fixture_end();
}

/* What an exchange matches counts also where another one met it before. */
static void met_before_is_a_match(void)
{
	fixture_begin();
	queue_make("q");
	queue_make("rest");
	exchange_make("first", "fanout");
	exchange_make_alternate("second", "fanout", "amq.fanout");
	bind_code("first", "q", "");
	bind_code("second", "q", "");
	bind_code("amq.fanout", "rest", "");
	exchange_bind_code("first", "second", "");
	CU_ASSERT_EQUAL(publish("first", "", 1), 1);
	unbind_code("second", "q", "");
	CU_ASSERT_EQUAL(publish("first", "", 1), 2);
	/* The same of exchanges. */
	exchange_make("third", "fanout");
	exchange_bind_code("first", "third", "");
	exchange_bind_code("second", "third", "");
	CU_ASSERT_EQUAL(publish("first", "", 1), 1);
	fixture_end();
}

/* A deleted queue with many bindings is no match, though some of them still stand. */
static void hidden_is_no_match(void)
{
	char key[16];

	fixture_begin();
	queue_make("q");
	queue_make("rest");
	exchange_make_alternate("x", "topic", "amq.fanout");
	bind_code("amq.fanout", "rest", "");
	for (unsigned i = 0; i < 3 * TIDY_BINDINGS; i++) {
		snprintf(key, sizeof(key), "%u", i);
		bind_code("amq.topic", "q", key);
	}
	bind_code("x", "q", "last");
	CU_ASSERT_EQUAL(publish("x", "last", 1), 1);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_TRUE(fixture.broker->deleted_count > 0);
	CU_ASSERT_EQUAL(publish("x", "last", 1), 1);
	fixture_end();
}

/* An exchange that others go on to and that is internal takes what comes that way. */
static void internal_ones_are_led_to(void)
{
	struct exchange_declaration d = {.name = text("in"), .type = text("fanout"), .internal = true};

	fixture_begin();
	queue_make("q");
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	exchange_make_alternate("x", "direct", "in");
	exchange_make("y", "fanout");
	bind_code("in", "q", "");
	exchange_bind_code("y", "in", "");
	CU_ASSERT_EQUAL(publish("x", "k", 1), 1);
	CU_ASSERT_EQUAL(publish("y", "k", 1), 1);
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"declarations", declarations},
			{"what_matches_nothing_goes_on", what_matches_nothing_goes_on},
			{"changes_of_an_alternate_are_seen", changes_of_an_alternate_are_seen},
			{"chains_and_cycles", chains_and_cycles},
			{"an_exchange_is_a_match", an_exchange_is_a_match},
			{"met_before_is_a_match", met_before_is_a_match},
			{"hidden_is_no_match", hidden_is_no_match},
			{"internal_ones_are_led_to", internal_ones_are_led_to}, {0}});
}
