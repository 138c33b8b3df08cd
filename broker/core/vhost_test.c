/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual hosts: the same names mean other things in each; limits are the whole broker's. */
#include "broker/core/core_fixture.h"

#include <string.h>

static struct session other;

static void begin(void)
{
	fixture_begin();
	session_begin(&other, fixture.core, vhost_find(fixture.broker, text(FIXTURE_OTHER_VHOST)));
}

static void end(void)
{
	session_end(&other);
	fixture_end();
}

static struct queue *make_in_other(const char *name)
{
	struct queue_declaration d = {.name = text(name)};
	struct queue *q = NULL;

	CU_ASSERT_EQUAL(queue_declare(&other, &d, &q, &fixture.failure), 0);
	return q;
}

static enum failure_code exchange_in_other(const char *name, bool passive)
{
	struct exchange_declaration d = {.name = text(name), .type = text("fanout"), .passive = passive};

	return exchange_declare(&other, &d, &fixture.failure);
}

static enum failure_code bind_in_other(const char *exchange, const char *queue)
{
	struct binding_spec b = {.exchange = text(exchange), .destination = text(queue)};

	return binding_add(&other, &b, &fixture.failure);
}

/* What publishing in the other virtual host is routed to. */
static uint32_t publish_in_other(const char *exchange, const char *key)
{
	struct message_envelope e = {.exchange = text(exchange), .routing_key = text(key)};
	struct message *m = message_new(broker_core_cache(fixture.core), &e);
	struct publish p = {.exchange = e.exchange, .routing_key = e.routing_key, .message = m};
	uint32_t queues = 0;

	CU_ASSERT_EQUAL(exchange_publish(&other, &p, NULL, &queues, &fixture.failure), PUBLISH_DONE);
	message_unref(broker_core_cache(fixture.core), m);
	return queues;
}

static void found_by_name(void)
{
	begin();
	struct vhost *v = vhost_find(fixture.broker, text("/"));
	CU_ASSERT_PTR_NOT_NULL(v);
	CU_ASSERT_PTR_NOT_EQUAL(v, other.vhost);
	CU_ASSERT_STRING_EQUAL(vhost_name(v), "/");
	CU_ASSERT_STRING_EQUAL(vhost_name(other.vhost), FIXTURE_OTHER_VHOST);
	CU_ASSERT_PTR_NULL(vhost_find(fixture.broker, text("")));
	CU_ASSERT_PTR_NULL(vhost_find(fixture.broker, text("othe")));
	CU_ASSERT_PTR_NULL(vhost_find(fixture.broker, text("Other")));
	end();
}

static void names_are_each_ones_own(void)
{
	begin();
	struct queue *here = queue_make("q"), *there = make_in_other("q");
	CU_ASSERT_PTR_NOT_EQUAL(here, there);
	CU_ASSERT_EQUAL(publish("", "q", 1), 1);
	CU_ASSERT_EQUAL(here->entries.ready, 1);
	CU_ASSERT_EQUAL(there->entries.ready, 0);
	CU_ASSERT_EQUAL(publish_in_other("", "q"), 1);
	CU_ASSERT_EQUAL(here->entries.ready, 1);
	CU_ASSERT_EQUAL(there->entries.ready, 1);
	queue_make("only-here");
	CU_ASSERT_EQUAL(publish_in_other("", "only-here"), 0);
	/* Its end is not the other one's. */
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_FALSE(queue_exists("q"));
	CU_ASSERT_EQUAL(publish_in_other("", "q"), 1);
	end();
}

static void exchanges_are_each_ones_own(void)
{
	begin();
	queue_make("q");
	make_in_other("q");
	CU_ASSERT_EQUAL(bind_code("amq.fanout", "q", ""), 0);
	CU_ASSERT_EQUAL(publish("amq.fanout", "", 1), 1);
	CU_ASSERT_EQUAL(publish_in_other("amq.fanout", ""), 0);
	exchange_make("x", "direct");
	CU_ASSERT_EQUAL(exchange_in_other("x", true), FAILURE_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "no exchange 'x' in vhost '" FIXTURE_OTHER_VHOST "'");
	/* Another type: no inequivalence, it is another exchange. */
	CU_ASSERT_EQUAL(exchange_in_other("x", false), 0);
	CU_ASSERT_EQUAL(bind_in_other("x", "q"), 0);
	CU_ASSERT_EQUAL(publish("x", "", 1), 0);
	CU_ASSERT_EQUAL(publish_in_other("x", ""), 1);
	end();
}

/* An alternate exchange is looked for where the exchange is. */
static void alternates_stay_inside(void)
{
	begin();
	exchange_make_alternate("x", "direct", "y");
	CU_ASSERT_EQUAL(exchange_in_other("y", false), 0);
	make_in_other("q");
	CU_ASSERT_EQUAL(bind_in_other("y", "q"), 0);
	CU_ASSERT_EQUAL(publish("x", "none", 1), 0);
	end();
}

static void limits_are_the_brokers(void)
{
	fixture_begin_with(&(struct broker_limits){2, 1, 10, 10}, 4 << 20);
	session_begin(&other, fixture.core, vhost_find(fixture.broker, text(FIXTURE_OTHER_VHOST)));
	queue_make("q");
	make_in_other("q");
	struct queue_declaration d = {.name = text("r")};
	struct queue *q;
	CU_ASSERT_EQUAL(queue_declare(&other, &d, &q, &fixture.failure), FAILURE_LIMIT);
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_LIMIT);
	exchange_make("x", "direct");
	CU_ASSERT_EQUAL(exchange_in_other("x", false), FAILURE_LIMIT);
	end();
}

/* exchanges: beside the predeclared ones. */
static void expect_counts(uint32_t index, uint32_t exchanges, uint32_t queues, uint32_t connections)
{
	struct vhost_stats v;

	CU_ASSERT_TRUE_FATAL(vhost_stats(fixture.broker, index, &v));
	CU_ASSERT_STRING_EQUAL(v.name, index ? FIXTURE_OTHER_VHOST : "/");
	CU_ASSERT_EQUAL(v.exchanges, 6 + exchanges);
	CU_ASSERT_EQUAL(v.queues, queues);
	CU_ASSERT_EQUAL(v.connections, connections);
}

static void each_is_counted(void)
{
	struct vhost_stats v;

	begin();
	expect_counts(0, 0, 0, 0);
	expect_counts(1, 0, 0, 0);
	CU_ASSERT_FALSE(vhost_stats(fixture.broker, 2, &v));
	queue_make("q");
	make_in_other("q");
	make_in_other("r");
	CU_ASSERT_EQUAL(exchange_in_other("x", false), 0);
	vhost_enter(other.vhost);
	vhost_enter(other.vhost);
	vhost_enter(fixture.session[0].vhost);
	expect_counts(0, 0, 1, 1);
	expect_counts(1, 1, 2, 2);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	CU_ASSERT_EQUAL(exchange_delete(&other, text("x"), false, &fixture.failure), 0);
	vhost_leave(other.vhost);
	expect_counts(0, 0, 0, 1);
	expect_counts(1, 0, 2, 1);
	vhost_leave(other.vhost);
	vhost_leave(fixture.session[0].vhost);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"found_by_name", found_by_name},
			{"names_are_each_ones_own", names_are_each_ones_own},
			{"exchanges_are_each_ones_own", exchanges_are_each_ones_own},
			{"alternates_stay_inside", alternates_stay_inside},
			{"limits_are_the_brokers", limits_are_the_brokers},
			{"each_is_counted", each_is_counted}, {0}});
}
