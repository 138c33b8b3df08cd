/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: confirms, returns, and what happens when message memory is short. */
#include "broker/amqp091/testing/rig_test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;
static struct client client, other;
static uint8_t big[4 << 20];

static void begin_with(const struct rig_options *o)
{
	test_begin(&rig, o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
}

static void open_other(void)
{
	client_open(&other, &rig);
	client_channel(&other, 1);
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void expect_confirm(uint64_t tag, bool multiple)
{
	const struct amqp091_method *m = client_expect(&client, 1, AMQP091_METHOD_BASIC_ACK);

	CU_ASSERT_EQUAL(m->args.basic_ack.delivery_tag, tag);
	CU_ASSERT_EQUAL(m->args.basic_ack.multiple, multiple);
}

static void confirms(void)
{
	begin_with(NULL);
	client_publish(&client, 1, "", "q", "before", 6);
	client_confirm_select(&client, 1);
	client_publish(&client, 1, "", "q", "one", 3);
	expect_confirm(1, false);
	/* Those of one turn in one. */
	for (unsigned i = 0; i < 5; i++)
		client_publish(&client, 1, "", "q", "more", 4);
	expect_confirm(6, true);
	client_publish(&client, 1, "", "nowhere", "unroutable", 10);
	expect_confirm(7, false);
	client_confirm_select(&client, 1);
	client_publish(&client, 1, "", "q", "on", 2);
	expect_confirm(8, false);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->confirmed, 8);
	/* What was taken before an exception is confirmed ahead of it. */
	client_publish(&client, 1, "", "q", "x", 1);
	client_publish(&client, 1, "nowhere", "q", "x", 1);
	expect_confirm(9, false);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_PUBLISH);
	/* A channel begins anew. */
	client_channel(&client, 1);
	client_publish(&client, 1, "", "q", "x", 1);
	client_expect_nothing(&client);
	client_confirm_select(&client, 1);
	client_publish(&client, 1, "", "q", "x", 1);
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_CLOSE};
	client_method(&client, 1, &m);
	expect_confirm(1, false);
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	finish();
}

/* Method, header with delivery mode 2, body. */
static void publish_persistent(void)
{
	struct amqp091_basic_properties properties = {
		.flags = AMQP091_BASIC_DELIVERY_MODE, .delivery_mode = 2};

	client_publish_with(&client, 1, "q", &properties, "x");
}

static void confirms_of_what_is_not_stored_are_counted(void)
{
	const struct amqp091_counters *counters;

	begin_with(NULL);
	counters = amqp091_server_counters(rig.server);
	publish_persistent();
	client_confirm_select(&client, 1);
	client_publish(&client, 1, "", "q", "x", 1);
	expect_confirm(1, false);
	CU_ASSERT_EQUAL(counters->confirmed_not_stored, 0);
	for (unsigned i = 0; i < 5; i++)
		publish_persistent(); /* some of them the fast way */
	expect_confirm(6, true);
	CU_ASSERT_EQUAL(counters->confirmed_not_stored, 5);
	CU_ASSERT_EQUAL(counters->confirmed, 6);
	finish();
}

static void persistent_messages_may_be_refused(void)
{
	struct rig_options o = rig_options();

	o.server.refuse_persistent = true;
	begin_with(&o);
	publish_persistent();
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	client_publish(&client, 1, "", "q", "x", 1);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	finish();
}

static void there_are_two_delivery_modes(void)
{
	static const uint8_t modes[] = {0, 3, 255};
	struct amqp091_basic_properties properties = {.flags = AMQP091_BASIC_DELIVERY_MODE};
	char text[80];

	begin_with(NULL);
	for (unsigned i = 0; i < sizeof(modes); i++) {
		properties.delivery_mode = modes[i];
		client_publish_with(&client, 1, "q", &properties, "x");
		snprintf(text, sizeof(text),
			"PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,%u}", modes[i]);
		client_expect_refusal(
			&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH, text);
	}
	properties.delivery_mode = 1;
	client_publish_with(&client, 1, "q", &properties, "x");
	publish_persistent();
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 2);
	finish();
}

static void returns(void)
{
	begin_with(NULL);
	client_confirm_select(&client, 1);
	client_publish(&client, 1, "", "q", "routed", 6);
	client_publish_method(&client, 1, "amq.direct", "no such key", true);
	client_content_header(&client, 1, 4);
	client_body(&client, 1, "back", 4);
	const struct amqp091_method *m = client_expect(&client, 1, AMQP091_METHOD_BASIC_RETURN);
	CU_ASSERT_EQUAL(m->args.basic_return.reply_code, 312);
	CU_ASSERT_EQUAL(m->args.basic_return.reply_text.len, strlen("NO_ROUTE"));
	CU_ASSERT_EQUAL(m->args.basic_return.exchange.len, strlen("amq.direct"));
	CU_ASSERT_EQUAL(m->args.basic_return.routing_key.len, strlen("no such key"));
	struct client_frame f;
	CU_ASSERT_TRUE(client_next(&client, &f));
	CU_ASSERT_EQUAL(f.head.type, AMQP091_FRAME_HEADER);
	CU_ASSERT_TRUE(client_next(&client, &f));
	CU_ASSERT_EQUAL(f.head.size, 4);
	CU_ASSERT_EQUAL(memcmp(f.payload, "back", 4), 0);
	expect_confirm(2, true); /* after the return */
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->returned, 1);
	/* Mandatory and routed: nothing comes back. Not mandatory: dropped. */
	client_publish_method(&client, 1, "", "q", true);
	client_content_header(&client, 1, 0);
	expect_confirm(3, false);
	client_publish(&client, 1, "amq.direct", "no such key", "x", 1);
	expect_confirm(4, false);
	client_expect_nothing(&client);
	finish();
}

/* A large returned message through a small send buffer: the confirm is behind it all the same. */
static void large_return(void)
{
	begin_with(NULL);
	client_confirm_select(&client, 1);
	client.link.tx_limit = 5000;
	client.link.tx_rate = 700;
	client_publish_method(&client, 1, "", "nowhere", true);
	client_content_header(&client, 1, 50000);
	for (unsigned i = 0; i < 5; i++)
		client_body(&client, 1, big, 10000);
	client_publish(&client, 1, "", "q", "x", 1);
	struct client_content content;
	client_expect_content(&client, 1, AMQP091_METHOD_BASIC_RETURN, &content);
	CU_ASSERT_EQUAL(content.bytes, 50000);
	CU_ASSERT_TRUE(content.frames > 10);
	client_content_free(&content);
	expect_confirm(1, false);
	expect_confirm(2, false);
	finish();
}

static uint32_t ready(struct client *c)
{
	return client_ready_count(c, 1, "q");
}

/* Publishers are held when memory is short, and go on when consumers have freed some: nothing is lost,
 * nothing is refused. */
static void held_for_memory(void)
{
	enum { MESSAGES = 1000, BYTES = 10000 };
	struct rig_options o = rig_options();

	o.memory_bytes = 2 << 20;
	begin_with(&o);
	open_other();
	client_confirm_select(&client, 1);
	for (unsigned i = 0; i < MESSAGES; i++) {
		wire_put32(big, i);
		client_publish(&client, 1, "", "q", big, BYTES);
	}
	rig_settle(&rig);
	CU_ASSERT_TRUE(client.link.in.at < client.link.in.end);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->held_for_memory, 1);
	uint32_t held_at = ready(&other);
	CU_ASSERT_TRUE(held_at > 50 && held_at < 200);
	/* Waiting is not counted anew each turn. */
	rig_advance(&rig, 100000);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->held_for_memory, 1);
	struct client_content content;
	for (unsigned i = 0; i < MESSAGES; i++) {
		client_get(&other, 1, "q", true);
		client_expect_content(&other, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
		CU_ASSERT_EQUAL(content.bytes, BYTES);
		CU_ASSERT_EQUAL_FATAL(wire_get32(content.body), i);
		client_content_free(&content);
	}
	uint64_t confirmed = 0;
	while (confirmed < MESSAGES) {
		const struct amqp091_method *m = client_expect(&client, 1, AMQP091_METHOD_BASIC_ACK);
		CU_ASSERT_TRUE_FATAL(m->args.basic_ack.delivery_tag > confirmed);
		confirmed = m->args.basic_ack.delivery_tag;
	}
	CU_ASSERT_EQUAL(confirmed, MESSAGES);
	CU_ASSERT_TRUE(amqp091_server_counters(rig.server)->held_for_memory > 1);
	client_close(&other);
	finish();
}

/* Two bodies that do not fit together: one waits before its first byte is taken, so both arrive. */
static void two_huge_publishers(void)
{
	enum { BYTES = 3 << 20, PIECE = 16000 };

	begin_with(NULL);
	open_other();
	struct client *both[] = {&client, &other};
	for (unsigned i = 0; i < 2; i++) {
		client_confirm_select(both[i], 1);
		client_publish_method(both[i], 1, "", "q", false);
		client_content_header(both[i], 1, BYTES);
	}
	struct client third;
	client_open(&third, &rig);
	client_channel(&third, 1);
	client_consume(&third, 1, "q", "tag", true);
	for (uint32_t at = 0; at < BYTES; at += PIECE) {
		for (unsigned i = 0; i < 2; i++)
			client_body(both[i], 1, big, at + PIECE < BYTES ? PIECE : BYTES - at);
		rig_turn(&rig);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct client_content content;
		client_expect_content(&third, 1, AMQP091_METHOD_BASIC_DELIVER, &content);
		CU_ASSERT_EQUAL(content.bytes, BYTES);
		client_content_free(&content);
		client_expect(both[i], 1, AMQP091_METHOD_BASIC_ACK);
	}
	client_close(&third);
	client_close(&other);
	finish();
}

/* A held publisher that dies, is told of the shutdown, or ends its side. */
static void held_and_lost(void)
{
	struct rig_options o = rig_options();

	o.memory_bytes = 2 << 20;
	for (unsigned by = 0; by < 3; by++) {
		begin_with(&o);
		for (unsigned i = 0; i < 300; i++)
			client_publish(&client, 1, "", "q", big, 10000);
		rig_settle(&rig);
		CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->held_for_memory, 1);
		if (by == 0) {
			client_drop(&client);
		} else if (by == 1) {
			amqp091_server_shutdown(rig.server, "test");
			client_expect_ended(&client, AMQP091_REPLY_CONNECTION_FORCED, 0);
		} else {
			client.link.reset = true;
			rig_settle(&rig);
			client_drop(&client);
		}
		CU_ASSERT_EQUAL(amqp091_server_conn_count(rig.server), 0);
		test_end(&rig);
	}
}

/* A client that says all it has to say and ends its side while it is held: what it sent before counts. */
static void ended_while_held(void)
{
	enum { MESSAGES = 300 };
	struct rig_options o = rig_options();
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	o.memory_bytes = 2 << 20;
	begin_with(&o);
	open_other();
	client.link.rx_limit = 8 << 20;
	for (unsigned i = 0; i < MESSAGES; i++)
		client_publish(&client, 1, "", "q", big, 10000);
	client_method(&client, 0, &m);
	client.link.fin = true;
	rig_settle(&rig);
	CU_ASSERT_TRUE(client.link.fin_told);
	client_consume(&other, 1, "q", "tag", true);
	struct client_content content;
	for (unsigned i = 0; i < MESSAGES; i++) {
		client_expect_content(&other, 1, AMQP091_METHOD_BASIC_DELIVER, &content);
		client_content_free(&content);
	}
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	CU_ASSERT_TRUE(client.link.closed);
	client_drop(&client);
	client_close(&other);
	test_end(&rig);
}

static const struct unit_test tests[] = {
	{"confirms", confirms},
	{"confirms_of_what_is_not_stored_are_counted", confirms_of_what_is_not_stored_are_counted},
	{"persistent_messages_may_be_refused", persistent_messages_may_be_refused},
	{"there_are_two_delivery_modes", there_are_two_delivery_modes},
	{"returns", returns},
	{"large_return", large_return},
	{"held_for_memory", held_for_memory},
	{"two_huge_publishers", two_huge_publishers},
	{"held_and_lost", held_and_lost},
	{"ended_while_held", ended_while_held},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
