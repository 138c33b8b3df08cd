/* SPDX-License-Identifier: Apache-2.0 */
/* Direct reply-to: `client` asks, `other` answers, also on another core. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <stdio.h>
#include <string.h>

#define REPLY_TO "amq.rabbitmq.reply-to"

static struct rig rig;
static struct client client, other;
static char name[256]; /* the reply-to of the last request */

static void begin(uint32_t cores)
{
	struct rig_options o = rig_options();

	o.cores = cores;
	test_begin(&rig, &o);
	client_open_at(&client, &rig, 0);
	client_open_at(&other, &rig, cores - 1);
	client_channel(&client, 1);
	client_channel(&other, 1);
	client_declare(&other, 1, "requests");
}

static void finish(void)
{
	client_close(&client);
	client_close(&other);
	test_end(&rig);
}

static void request(const char *body)
{
	struct amqp091_basic_properties properties = {
		.flags = AMQP091_BASIC_REPLY_TO | AMQP091_BASIC_CORRELATION_ID,
		.reply_to = str(REPLY_TO),
		.correlation_id = str("7")};

	client_publish_with(&client, 1, "requests", &properties, body);
}

/* Its channel's own name is longer than the one that was sent. */
static void a_request_fits_a_frame(void)
{
	static uint8_t bytes[16384];
	static char text[16384];
	struct amqp091_table_builder headers;
	struct amqp091_basic_properties p = {
		.flags = AMQP091_BASIC_REPLY_TO | AMQP091_BASIC_HEADERS, .reply_to = str(REPLY_TO)};

	begin(1);
	client_consume(&client, 1, REPLY_TO, "c", true);
	for (uint32_t left = 22; left >= 12; left -= 10) {
		memset(text, 0, sizeof(text));
		amqp091_table_build(&headers, bytes, sizeof(bytes));
		amqp091_table_add_cstring(&headers, "long", text);
		CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
		uint32_t least = amqp091_content_header_frame_size(amqp091_basic_properties_size(&p));
		memset(text, 'x', 16384 - least - left);
		amqp091_table_build(&headers, bytes, sizeof(bytes));
		amqp091_table_add_cstring(&headers, "long", text);
		CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
		client_publish_with(&client, 1, "requests", &p, "what?");
		rig_settle(&rig);
	}
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	CU_ASSERT_EQUAL(client_ready_count(&other, 1, "requests"), 1);
	finish();
}

/* Takes the request and notes whom to answer. */
static void take(const char *body)
{
	struct message *m = rig_take(&rig, "requests");
	struct amqp091_basic_properties properties;
	uint8_t block[300];

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL(message_body_bytes(m), strlen(body));
	CU_ASSERT_FATAL(message_properties_bytes(m) <= sizeof(block));
	message_properties_copy(m, block);
	CU_ASSERT_EQUAL_FATAL(
		amqp091_basic_properties_decode(block, message_properties_bytes(m), &properties), 0);
	CU_ASSERT_EQUAL(properties.correlation_id.len, 1);
	CU_ASSERT_EQUAL(properties.reply_to.len, 44);
	memcpy(name, properties.reply_to.data, properties.reply_to.len);
	name[properties.reply_to.len] = 0;
	CU_ASSERT_EQUAL(memcmp(name, REPLY_TO ".", strlen(REPLY_TO ".")), 0);
	message_unref(broker_core_cache(rig.cores[0].core), m);
}

static void answer(const char *body)
{
	client_publish(&other, 1, "", name, body, (uint32_t)strlen(body));
}

static void an_answer_comes_back(void)
{
	char first[256];

	begin(1);
	client_consume(&client, 1, REPLY_TO, "c", true);
	for (unsigned i = 0; i < 3; i++) {
		request("what?");
		rig_settle(&rig);
		take("what?");
		if (i == 0)
			strcpy(first, name);
		CU_ASSERT_STRING_EQUAL(name, first);
		answer("that");
		const struct amqp091_method *m = client_expect_text(
			&client, 1, AMQP091_METHOD_BASIC_DELIVER, "that");
		CU_ASSERT_EQUAL(m->args.basic_deliver.exchange.len, 0);
	}
	finish();
}

static void declare_passive(struct client *c, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str(queue), .passive = true};
	client_method(c, 1, &m);
}

static void an_answer_comes_from_another_core(void)
{
	begin(2);
	client_consume(&client, 1, REPLY_TO, "c", true);
	const struct amqp091_conn *c = cds_list_first_entry(
		&rig.cores[0].server->conns, struct amqp091_conn, link);
	memcpy(name, channel_find(c, 1)->reply_name, REPLY_NAME_BYTES);
	name[REPLY_NAME_BYTES] = 0;
	client_consume(&other, 1, "requests", "r", true);
	request("what?");
	struct client_content content;
	client_expect_content(&other, 1, AMQP091_METHOD_BASIC_DELIVER, &content);
	CU_ASSERT_TRUE(content.properties_bytes > REPLY_NAME_BYTES);
	client_content_free(&content);
	answer("that");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "that");
	declare_passive(&other, name);
	CU_ASSERT_EQUAL(client_expect(&other, 1, AMQP091_METHOD_QUEUE_DECLARE_OK)
				->args.queue_declare_ok.consumer_count,
		1);
	client_drop(&client);
	rig_settle(&rig);
	declare_passive(&other, name);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_QUEUE_DECLARE);
	client_channel(&other, 1);
	client_open_at(&client, &rig, 0);
	finish();
}

static void it_can_be_asked_whether_anybody_waits(void)
{
	begin(1);
	client_consume(&client, 1, REPLY_TO, "c", true);
	request("what?");
	rig_settle(&rig);
	take("what?");
	declare_passive(&other, name);
	const struct amqp091_method *m = client_expect(&other, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	CU_ASSERT_EQUAL(m->args.queue_declare_ok.consumer_count, 1);
	CU_ASSERT_EQUAL(m->args.queue_declare_ok.message_count, 0);
	declare_passive(&other, REPLY_TO);
	client_expect(&other, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	struct amqp091_method silent = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	silent.args.queue_declare = (struct amqp091_queue_declare){
		.queue = str(name), .passive = true, .no_wait = true};
	client_method(&other, 1, &silent);
	client_expect_nothing(&other);
	struct amqp091_method cancel = {.id = AMQP091_METHOD_BASIC_CANCEL};
	cancel.args.basic_cancel.consumer_tag = str("c");
	client_method(&client, 1, &cancel);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	declare_passive(&other, name);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_QUEUE_DECLARE);
	client_channel(&other, 1);
	answer("too late");
	client_expect_nothing(&client);
	/* Again, under another name. */
	client_consume(&client, 1, REPLY_TO, "c", true);
	char before[256];
	strcpy(before, name);
	request("what?");
	rig_settle(&rig);
	take("what?");
	CU_ASSERT_STRING_NOT_EQUAL(name, before);
	finish();
}

/* As any queue: at the limit it waits for one that is being taken apart. */
static void a_consumer_waits_for_a_queue_that_goes(void)
{
	struct rig_options o = rig_options();
	struct amqp091_method consume = {.id = AMQP091_METHOD_BASIC_CONSUME};

	o.limits.queues = 1;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_delete_slowly(&client, 1, "a");
	consume.args.basic_consume = (struct amqp091_basic_consume){.queue = str(REPLY_TO), .no_ack = true};
	client_method(&client, 1, &consume);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CONSUME_OK);
	client_close(&client);
	test_end(&rig);
}

static void send_consume(bool no_ack)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	m.args.basic_consume = (struct amqp091_basic_consume){.queue = str(REPLY_TO), .no_ack = no_ack};
	client_method(&client, 1, &m);
}

static void what_makes_no_sense_is_refused(void)
{
	begin(1);
	send_consume(false);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
		"PRECONDITION_FAILED - reply consumer cannot acknowledge");
	request("what?");
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"PRECONDITION_FAILED - fast reply consumer does not exist");
	client_consume(&client, 1, REPLY_TO, "c", true);
	send_consume(true);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
		"PRECONDITION_FAILED - reply consumer already set");
	finish();
}

/* Whoever answers knows the name, and may do nothing else with it. */
static void the_queue_is_nobodys_to_use(void)
{
	char text[400];

	begin(1);
	client_consume(&client, 1, REPLY_TO, "c", true);
	request("what?");
	rig_settle(&rig);
	take("what?");
	snprintf(text, sizeof(text), "NOT_FOUND - no queue '%s' in vhost '/'", name);
	client_get(&other, 1, name, true);
	client_expect_refusal(&other, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_GET, text);
	/* What is nobody's can be taken away from nobody. */
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};
	m.args.queue_delete.queue = str(name);
	client_method(&other, 1, &m);
	client_expect(&other, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	m = (struct amqp091_method){.id = AMQP091_METHOD_QUEUE_UNBIND};
	m.args.queue_unbind.queue = str(name);
	m.args.queue_unbind.exchange = str("amq.direct");
	client_method(&other, 1, &m);
	client_expect(&other, 1, AMQP091_METHOD_QUEUE_UNBIND_OK);
	answer("there still");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "there still");
	finish();
}

/* RabbitMQ's documentation: for mandatory an answer is routed nowhere. Several in one buffer, which would be
 * published alike. */
static void a_mandatory_answer_comes_back_too(void)
{
	begin(1);
	client_consume(&client, 1, REPLY_TO, "c", true);
	request("what?");
	rig_settle(&rig);
	take("what?");
	for (unsigned i = 0; i < 4; i++) {
		client_publish_method(&other, 1, "", name, true);
		client_content_header(&other, 1, 4);
		client_body(&other, 1, "that", 4);
	}
	for (unsigned i = 0; i < 4; i++) {
		client_expect_text(&other, 1, AMQP091_METHOD_BASIC_RETURN, "that");
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "that");
	}
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_request_fits_a_frame", a_request_fits_a_frame},
			{"an_answer_comes_back", an_answer_comes_back},
			{"an_answer_comes_from_another_core", an_answer_comes_from_another_core},
			{"it_can_be_asked_whether_anybody_waits", it_can_be_asked_whether_anybody_waits},
			{"a_consumer_waits_for_a_queue_that_goes", a_consumer_waits_for_a_queue_that_goes},
			{"what_makes_no_sense_is_refused", what_makes_no_sense_is_refused},
			{"the_queue_is_nobodys_to_use", the_queue_is_nobodys_to_use},
			{"a_mandatory_answer_comes_back_too", a_mandatory_answer_comes_back_too}, {0}});
}
