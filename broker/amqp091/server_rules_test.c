/* SPDX-License-Identifier: Apache-2.0 */
/* What clients may tell a queue, and what they say of a message's time, as octets. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

static struct rig rig;
static struct client client;
static uint8_t table_bytes[1024];
static struct amqp091_table_builder table;

static void begin_with(const struct rig_options *o)
{
	test_begin(&rig, o);
	client_open(&client, &rig);
	client_channel(&client, 1);
}

static void begin(void)
{
	begin_with(NULL);
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static struct amqp091_table_builder *arguments(void)
{
	amqp091_table_build(&table, table_bytes, sizeof(table_bytes));
	return &table;
}

/* With what has been built since arguments(). */
static void declare_send(const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
	client_method(&client, 1, &m);
}

static void declare(const char *queue)
{
	declare_send(queue);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
}

static void declare_int(const char *queue, const char *argument, int32_t value)
{
	amqp091_table_add_int32(arguments(), argument, value);
	declare(queue);
}

static void publish_expiring(const char *key, const char *expiration, const char *body)
{
	client_publish_with(&client, 1, key,
		&(struct amqp091_basic_properties){
			.flags = AMQP091_BASIC_EXPIRATION, .expiration = str(expiration)},
		body);
}

static void an_expiration_that_is_none_is_refused(void)
{
	static const char *const cases[][2] = {{"abc", "no_integer"}, {"", "no_integer"}, {"-", "no_integer"},
		{"-1", "{value_negative,-1}"}, {"10.5", "{leftover_string,\".5\"}"},
		{"5 ", "{leftover_string,\" \"}"}, {" 5", "no_integer"},
		{"315360000001", "{value_too_large,315360000001}"},
		{"9999999999999999999999", "{value_too_large,9999999999999999999999}"}};
	char wanted[200];

	begin();
	client_declare(&client, 1, "q");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		publish_expiring("q", cases[i][0], "body");
		snprintf(wanted, sizeof(wanted), "PRECONDITION_FAILED - invalid expiration '%s': %s",
			cases[i][0], cases[i][1]);
		client_expect_refusal(
			&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH, wanted);
	}
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	publish_expiring("q", "+5", "body");
	publish_expiring("q", "315360000000", "");
	publish_expiring("q", "-0", "body");
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 3); /* only the head expires */
	finish();
}

/* Frames like the last take the fast way: they too live as long as theirs say. */
static void messages_of_one_kind_expire(void)
{
	begin();
	client_declare(&client, 1, "q");
	for (unsigned i = 0; i < 20; i++)
		publish_expiring("q", "200", "the same");
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 20);
	CU_ASSERT_TRUE(rig.server->fast_contents > 10);
	rig_advance(&rig, 150000);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 20);
	rig_advance(&rig, 60000);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	finish();
}

static void a_long_body_lives_from_its_end_on(void)
{
	begin();
	declare_int("q", "x-message-ttl", 100);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 4);
	client_body(&client, 1, "lo", 2);
	rig_advance(&rig, 200000);
	client_body(&client, 1, "ng", 2);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	rig_advance(&rig, 90000);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	rig_advance(&rig, 20000);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	finish();
}

static void a_queue_expires_when_nobody_asks(void)
{
	begin();
	declare_int("q", "x-expires", 100);
	client_consume(&client, 1, "q", "tag", true);
	rig_advance(&rig, 300000);
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};
	m.args.basic_cancel.consumer_tag = str("tag");
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	rig_advance(&rig, 80000);
	client_get(&client, 1, "q", true);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	rig_advance(&rig, 80000);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	rig_advance(&rig, 120000);
	client_get(&client, 1, "q", true);
	client_expect_refusal(&client, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_GET,
		"NOT_FOUND - no queue 'q' in vhost '/'");
	finish();
}

static void redeclaring_with_another_argument_is_refused(void)
{
	begin();
	declare_int("q", "x-message-ttl", 1000);
	declare_int("q", "x-message-ttl", 1000);
	amqp091_table_add_int64(arguments(), "x-message-ttl", 1000); /* whatever its width */
	declare("q");
	amqp091_table_add_int32(arguments(), "x-message-ttl", 2000);
	declare_send("q");
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_QUEUE_DECLARE,
		"PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received "
		"'2000' but current is '1000'");
	finish();
}

static void declare_refusing(const char *queue, int32_t most)
{
	amqp091_table_add_int32(arguments(), "x-max-length", most);
	amqp091_table_add_cstring(&table, "x-overflow", "reject-publish");
	declare(queue);
}

static void expect_confirm(uint32_t id, uint64_t tag, bool multiple)
{
	const struct amqp091_method *m = client_expect(&client, 1, id);
	bool nack = id == AMQP091_METHOD_BASIC_NACK;

	CU_ASSERT_EQUAL(nack ? m->args.basic_nack.delivery_tag : m->args.basic_ack.delivery_tag, tag);
	CU_ASSERT_EQUAL(nack ? m->args.basic_nack.multiple : m->args.basic_ack.multiple, multiple);
}

/* No ack speaks of what was refused: its tag is always of one that was not. */
static void what_is_refused_is_nacked(void)
{
	begin();
	declare_refusing("q", 2);
	client_publish(&client, 1, "", "q", "too early", 9);
	client_confirm_select(&client, 1);
	for (unsigned i = 0; i < 4; i++)
		client_publish(&client, 1, "", "q", "same", 4);
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 2, false);
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 3, false);
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 4, false);
	expect_confirm(AMQP091_METHOD_BASIC_ACK, 1, false);
	client_get(&client, 1, "q", true);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "too early");
	client_declare(&client, 1, "plain");
	client_publish(&client, 1, "", "plain", "5", 1);
	client_publish(&client, 1, "", "q", "6", 1);
	client_publish(&client, 1, "", "q", "7", 1);
	client_publish(&client, 1, "", "plain", "8", 1);
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 7, false);
	expect_confirm(AMQP091_METHOD_BASIC_ACK, 8, true);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->confirmed, 4);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->publishes_refused, 4);
	finish();
}

/* A publisher elsewhere is refused where it is, and what it was promised gets in: never more than fits. */
static void another_core_refuses_exactly(void)
{
	struct rig_options o = rig_options();
	struct client far;
	unsigned nacked = 0;
	struct client_frame f;

	o.cores = 2;
	begin_with(&o);
	declare_refusing("q", 10);
	client_open_at(&far, &rig, 1);
	client_channel(&far, 1);
	client_confirm_select(&far, 1);
	for (unsigned i = 0; i < 30; i++) {
		client_publish(&far, 1, "", "q", "far", 3);
		client_publish(&client, 1, "", "q", "near", 4);
	}
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 10);
	while (client_next(&far, &f)) {
		nacked += wire_get32(f.payload) == AMQP091_METHOD_BASIC_NACK;
	}
	CU_ASSERT_TRUE(nacked >= 20);
	client_close(&far);
	finish();
}

/* The queue is another core's: what its owner does is seen from here. */
static void rules_hold_across_cores(void)
{
	struct rig_options o = rig_options();
	struct client far;

	o.cores = 2;
	begin_with(&o);
	declare_int("ttl", "x-message-ttl", 100);
	declare_int("now", "x-message-ttl", 0);
	client_declare(&client, 1, "plain");
	client_open_at(&far, &rig, 1);
	client_channel(&far, 1);
	client_publish(&far, 1, "", "ttl", "x", 1);
	client_publish(&far, 1, "", "now", "x", 1);
	CU_ASSERT_EQUAL(client_ready_count(&far, 1, "now"), 0);
	CU_ASSERT_EQUAL(client_ready_count(&far, 1, "ttl"), 1);
	rig_advance(&rig, 120000);
	CU_ASSERT_EQUAL(client_ready_count(&far, 1, "ttl"), 0);
	/* Its only consumer draws it to its core, timers and all. */
	client_consume(&far, 1, "now", "tag", true);
	client_publish(&client, 1, "", "now", "at once", 7);
	client_expect_text(&far, 1, AMQP091_METHOD_BASIC_DELIVER, "at once");
	publish_expiring("plain", "50", "brief");
	CU_ASSERT_EQUAL(client_ready_count(&far, 1, "plain"), 1);
	rig_advance(&rig, 60000);
	CU_ASSERT_EQUAL(client_ready_count(&far, 1, "plain"), 0);
	client_close(&far);
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"an_expiration_that_is_none_is_refused", an_expiration_that_is_none_is_refused},
			{"messages_of_one_kind_expire", messages_of_one_kind_expire},
			{"a_long_body_lives_from_its_end_on", a_long_body_lives_from_its_end_on},
			{"a_queue_expires_when_nobody_asks", a_queue_expires_when_nobody_asks},
			{"redeclaring_with_another_argument_is_refused",
				redeclaring_with_another_argument_is_refused},
			{"what_is_refused_is_nacked", what_is_refused_is_nacked},
			{"another_core_refuses_exactly", another_core_refuses_exactly},
			{"rules_hold_across_cores", rules_hold_across_cores}, {0}});
}
