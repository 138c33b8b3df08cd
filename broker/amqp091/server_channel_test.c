/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: opening, closing, both sides closing at once, and the exceptions of every kind. */
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

static struct rig rig;
static struct client client;

static void begin(void)
{
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
}

/* After an exception that ended the connection. */
static void again(void)
{
	client_open(&client, &rig);
	client_channel(&client, 1);
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void channel_close(uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_CLOSE};

	m.args.channel_close.reply_code = 200;
	client_method(&client, channel, &m);
}

static void open_and_close(void)
{
	begin();
	for (unsigned round = 0; round < 3; round++) {
		client_channel(&client, 7);
		client_declare(&client, 7, "q");
		channel_close(7);
		client_expect(&client, 7, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	}
	client_channel(&client, 2047);
	client_declare(&client, 2047, "q");
	finish();
}

static void opened_twice(void)
{
	begin();
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect_ended(&client, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_CHANNEL_OPEN);
	test_end(&rig);
}

static void number_too_high(void)
{
	struct client_options o = client_options();

	o.channel_max = 5;
	test_begin(&rig, NULL);
	client_open_with(&client, &rig, &o);
	client_channel(&client, 5);
	client_plain(&client, 6, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CHANNEL_OPEN);
	client_open_with(&client, &rig, &o);
	client_plain(&client, 65535, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CHANNEL_OPEN);
	test_end(&rig);
}

/* Every method of a client on a channel that is not open. */
static void not_open(void)
{
	static const char no_method[] =
		"UNEXPECTED_FRAME - expected method frame, got non method frame instead";
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);

	begin();
	client_close(&client);
	for (unsigned i = 0; i < count; i++) {
		if (infos[i].id == AMQP091_METHOD_CHANNEL_OPEN ||
			infos[i].id == AMQP091_METHOD_CHANNEL_CLOSE_OK)
			continue;
		client_open(&client, &rig);
		client_plain(&client, 3, infos[i].id);
		client_expect_ended(&client, AMQP091_REPLY_CHANNEL_ERROR, infos[i].id);
	}
	client_open(&client, &rig);
	client_plain(&client, 3, AMQP091_METHOD_CHANNEL_CLOSE_OK); /* nothing is left to close */
	client_channel(&client, 3);
	client_body(&client, 9, "x", 1);
	client_expect_ended_with(&client, AMQP091_REPLY_UNEXPECTED_FRAME, 0, no_method);
	client_open(&client, &rig);
	client_content_header(&client, 9, 1);
	client_expect_ended_with(&client, AMQP091_REPLY_UNEXPECTED_FRAME, 0, no_method);
	client_open(&client, &rig);
	client_content_header(&client, 0, 1);
	client_expect_ended(&client, AMQP091_REPLY_UNEXPECTED_FRAME, 0);
	client_open(&client, &rig);
	client_body(&client, 0, "x", 1);
	client_expect_ended(&client, AMQP091_REPLY_UNEXPECTED_FRAME, 0);
	test_end(&rig);
}

/* What only a server says, and class connection beside channel 0. */
static void wrong_direction(void)
{
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);

	begin();
	client_close(&client);
	for (unsigned i = 0; i < count; i++) {
		bool connection = infos[i].id >> 16 == AMQP091_CLASS_CONNECTION;
		if ((infos[i].to_server && !connection) || infos[i].id >> 16 == AMQP091_CLASS_TX)
			continue;
		again();
		client_plain(&client, 1, infos[i].id);
		client_expect_ended(&client, AMQP091_REPLY_COMMAND_INVALID, infos[i].id);
	}
	test_end(&rig);
}

static void expect_not_implemented(const struct amqp091_method *m)
{
	client_method(&client, 1, m);
	client_expect_ended(&client, AMQP091_REPLY_NOT_IMPLEMENTED, m->id);
	again();
}

static void not_implemented(void)
{
	struct amqp091_method m;

	begin();
	expect_not_implemented(&(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_FLOW}); /* inactive */
	expect_not_implemented(&(struct amqp091_method){.id = AMQP091_METHOD_BASIC_RECOVER});
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_QOS};
	m.args.basic_qos.prefetch_size = 1;
	expect_not_implemented(&m);
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_PUBLISH};
	m.args.basic_publish.immediate = true;
	expect_not_implemented(&m);
	finish();
}

/* After a soft exception the channel is as new, and other channels never noticed. */
static void expect_soft(const struct amqp091_method *m, uint16_t code)
{
	client_method(&client, 1, m);
	client_expect_channel_close(&client, 1, code, m->id);
	client_channel(&client, 1);
	client_declare(&client, 2, "q");
}

static void soft_exceptions(void)
{
	struct amqp091_method m;

	begin();
	client_channel(&client, 2);
	m = (struct amqp091_method){.id = AMQP091_METHOD_QUEUE_DECLARE};
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("none"), .passive = true};
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("q"), .durable = true};
	expect_soft(&m, AMQP091_REPLY_PRECONDITION_FAILED);
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("amq.mine")};
	expect_soft(&m, AMQP091_REPLY_ACCESS_REFUSED);
	m = (struct amqp091_method){.id = AMQP091_METHOD_EXCHANGE_DECLARE};
	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = str("none"), .type = str("direct"), .passive = true};
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = str("amq.topic"), .type = str("direct")};
	expect_soft(&m, AMQP091_REPLY_PRECONDITION_FAILED);
	m = (struct amqp091_method){.id = AMQP091_METHOD_EXCHANGE_DELETE};
	m.args.exchange_delete.exchange = str("amq.fanout");
	expect_soft(&m, AMQP091_REPLY_ACCESS_REFUSED);
	m = (struct amqp091_method){.id = AMQP091_METHOD_QUEUE_BIND};
	m.args.queue_bind = (struct amqp091_queue_bind){.queue = str("q"), .exchange = str("none")};
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m = (struct amqp091_method){.id = AMQP091_METHOD_QUEUE_PURGE};
	m.args.queue_purge.queue = str("none");
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m.args.queue_purge.queue = str(""); /* none was declared on this channel */
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_CONSUME};
	m.args.basic_consume.queue = str("none");
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_GET};
	m.args.basic_get.queue = str("none");
	expect_soft(&m, AMQP091_REPLY_NOT_FOUND);
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_ACK};
	m.args.basic_ack.delivery_tag = 5;
	expect_soft(&m, AMQP091_REPLY_PRECONDITION_FAILED);
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_REJECT};
	expect_soft(&m, AMQP091_REPLY_PRECONDITION_FAILED);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->channel_exceptions, 13);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->connection_exceptions, 0);
	finish();
}

static void hard_exceptions(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	begin();
	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = str("x"), .type = str("x-unknown")};
	client_method(&client, 1, &m);
	client_expect_ended(&client, AMQP091_REPLY_COMMAND_INVALID, m.id);
	again();
	client_declare(&client, 1, "q");
	client_consume(&client, 1, "q", "tag", false);
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_CONSUME};
	m.args.basic_consume = (struct amqp091_basic_consume){.queue = str("q"), .consumer_tag = str("tag")};
	client_method(&client, 1, &m);
	client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, m.id);
	test_end(&rig);
}

/* Frames that were under way when the server closed the channel are dropped, whatever they are. */
static void discarded_while_closing(void)
{
	begin();
	client_declare(&client, 1, "q");
	client_ack(&client, 1, 99, false);
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	client_publish(&client, 1, "", "q", "lost", 4);
	client_plain(&client, 1, AMQP091_METHOD_TX_SELECT);
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_OPEN);
	client_body(&client, 1, "stray", 5);
	client_content_header(&client, 1, 5);
	client_expect_nothing(&client);
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	finish();
}

static void both_close_a_channel(void)
{
	begin();
	client_ack(&client, 1, 99, false);
	channel_close(1); /* sent before the server's close was read */
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&client, 1);
	finish();
}

static void both_close_the_connection(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	begin();
	client_plain(&client, 0, AMQP091_METHOD_BASIC_GET);
	client_method(&client, 0, &m);
	client_expect_close(&client, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_BASIC_GET);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_plain(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_expect_nothing(&client);
	client.link.fin = true;
	rig_settle(&rig);
	CU_ASSERT_TRUE(client.link.shut && client.link.closed);
	client_drop(&client);
	test_end(&rig);
}

/* After the server's connection.close everything but close and close-ok is dropped. */
static void discarded_while_connection_closes(void)
{
	begin();
	client_declare(&client, 1, "q");
	client_plain(&client, 0, AMQP091_METHOD_BASIC_GET);
	client_expect_close(&client, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_BASIC_GET);
	client_publish(&client, 1, "", "q", "lost", 4);
	client_plain(&client, 2, AMQP091_METHOD_CHANNEL_OPEN);
	client_plain(&client, 0, AMQP091_METHOD_CONNECTION_OPEN);
	client_frame(&client, AMQP091_FRAME_HEARTBEAT, 0, "", 0);
	client_body(&client, 77, "stray", 5);
	client_frame(&client, AMQP091_FRAME_METHOD, 0, "no", 2);
	client_expect_nothing(&client);
	client_plain(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_expect_nothing(&client);
	CU_ASSERT_TRUE(client.link.shut);
	client_drop(&client);
	again();
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	finish();
}

static void small_things(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_FLOW};

	begin();
	m.args.channel_flow.active = true;
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_FLOW_OK);
	client_plain(&client, 1, AMQP091_METHOD_ACCESS_REQUEST);
	client_expect(&client, 1, AMQP091_METHOD_ACCESS_REQUEST_OK);
	client_frame(&client, AMQP091_FRAME_HEARTBEAT, 0, "", 0);
	client_expect_nothing(&client);
	finish();
}

/* Answers to what the broker never asks. */
static void answers_unasked(void)
{
	static const uint32_t ids[] = {AMQP091_METHOD_CHANNEL_FLOW_OK, AMQP091_METHOD_TX_SELECT_OK,
		AMQP091_METHOD_TX_COMMIT_OK, AMQP091_METHOD_TX_ROLLBACK_OK, AMQP091_METHOD_CONFIRM_SELECT_OK,
		AMQP091_METHOD_BASIC_QOS_OK, AMQP091_METHOD_QUEUE_BIND_OK};

	begin();
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		client_plain(&client, 1, ids[i]);
		client_expect_ended_with(&client, AMQP091_REPLY_COMMAND_INVALID, ids[i],
			"COMMAND_INVALID - unimplemented method");
		again();
	}
	finish();
}

/* A name that is no UTF-8 in basic.publish, which is not checked, comes back in a text that is. */
static void reply_text_is_utf8(void)
{
	begin();
	client_publish_method(&client, 1, "\xff\xfe\xc3", "k", false);
	client_content_header(&client, 1, 0);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_PUBLISH);
	finish();
}

static const struct unit_test tests[] = {
	{"open_and_close", open_and_close},
	{"opened_twice", opened_twice},
	{"number_too_high", number_too_high},
	{"not_open", not_open},
	{"wrong_direction", wrong_direction},
	{"not_implemented", not_implemented},
	{"soft_exceptions", soft_exceptions},
	{"hard_exceptions", hard_exceptions},
	{"discarded_while_closing", discarded_while_closing},
	{"both_close_a_channel", both_close_a_channel},
	{"both_close_the_connection", both_close_the_connection},
	{"discarded_while_connection_closes", discarded_while_connection_closes},
	{"small_things", small_things},
	{"answers_unasked", answers_unasked},
	{"reply_text_is_utf8", reply_text_is_utf8},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
