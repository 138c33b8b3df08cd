/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that lead on, as a client sees them. */
#include "broker/amqp091/testing/rig_test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;
static struct client client;

static void begin(void)
{
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void declare_with(const char *exchange, const char *type, struct amqp091_table arguments)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = str(exchange), .type = str(type), .arguments = arguments};
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
}

static void declare(const char *exchange, const char *type)
{
	declare_with(exchange, type, (struct amqp091_table){0});
}

static void bind_queue(const char *exchange, const char *queue, const char *key)
{
	client_bind(&client, 1, exchange, queue, key);
}

static struct amqp091_method binding(const char *source, const char *destination, bool no_wait)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_BIND};

	m.args.exchange_bind = (struct amqp091_exchange_bind){.source = str(source),
		.destination = str(destination),
		.routing_key = str("k"),
		.no_wait = no_wait};
	return m;
}

static struct amqp091_method unbinding(const char *source, const char *destination, bool no_wait)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_UNBIND};

	m.args.exchange_unbind = (struct amqp091_exchange_unbind){.source = str(source),
		.destination = str(destination),
		.routing_key = str("k"),
		.no_wait = no_wait};
	return m;
}

static void says(const struct amqp091_method *m, uint32_t answer)
{
	client_method(&client, 1, m);
	if (answer)
		client_expect(&client, 1, answer);
	else
		client_expect_nothing(&client);
}

static void bind_and_unbind(void)
{
	struct amqp091_method m;

	begin();
	client_declare(&client, 1, "q");
	declare("from", "direct");
	declare("to", "fanout");
	bind_queue("to", "q", "");
	for (unsigned no_wait = 0; no_wait < 2; no_wait++) {
		m = binding("from", "to", no_wait);
		says(&m, no_wait ? 0 : AMQP091_METHOD_EXCHANGE_BIND_OK);
		client_publish(&client, 1, "from", "k", "x", 1);
		client_publish(&client, 1, "from", "other", "x", 1);
		CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), no_wait + 1);
		m = unbinding("from", "to", no_wait);
		says(&m, no_wait ? 0 : AMQP091_METHOD_EXCHANGE_UNBIND_OK);
		client_publish(&client, 1, "from", "k", "x", 1);
		CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), no_wait + 1);
	}
	finish();
}

static void refused(const struct amqp091_method *m, uint16_t code)
{
	client_method(&client, 1, m);
	client_expect_channel_close(&client, 1, code, m->id);
	client_channel(&client, 1);
}

static void refusals(void)
{
	struct amqp091_method m;

	begin();
	m = binding("", "amq.direct", false);
	refused(&m, AMQP091_REPLY_ACCESS_REFUSED);
	m = unbinding("amq.direct", "", true);
	refused(&m, AMQP091_REPLY_ACCESS_REFUSED);
	m = binding("amq.direct", "none", false);
	refused(&m, AMQP091_REPLY_NOT_FOUND);
	m = unbinding("none", "amq.direct", false);
	says(&m, AMQP091_METHOD_EXCHANGE_UNBIND_OK);
	finish();
}

/* What begins with amq. is the system's, there or not. */
static void what_is_the_systems_stays(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DELETE};

	begin();
	m.args.exchange_delete.exchange = str("amq.none");
	client_method(&client, 1, &m);
	client_expect_refusal(&client, 1, AMQP091_REPLY_ACCESS_REFUSED, m.id,
		"ACCESS_REFUSED - deletion of system exchange 'amq.none' in vhost '/' not allowed");
	m.args.exchange_delete.exchange = str("none");
	says(&m, AMQP091_METHOD_EXCHANGE_DELETE_OK);
	finish();
}

/* A channel's last queue is meant by an empty name everywhere, but not where a queue is declared. */
static void nothing_is_passively_declared(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	begin();
	client_declare(&client, 1, "q");
	m.args.queue_declare.passive = true;
	client_method(&client, 1, &m);
	client_expect_refusal(
		&client, 1, AMQP091_REPLY_NOT_FOUND, m.id, "NOT_FOUND - no queue '' in vhost '/'");
	finish();
}

/* Of a binding that there is not: no queue is touched, so it does not matter whose it is. */
static void another_ones_queue_is_unbound_from_nothing(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	struct client other;

	begin();
	client_open(&other, &rig);
	client_channel(&other, 1);
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("mine"), .exclusive = true};
	says(&m, AMQP091_METHOD_QUEUE_DECLARE_OK);
	m = (struct amqp091_method){.id = AMQP091_METHOD_QUEUE_UNBIND};
	m.args.queue_unbind = (struct amqp091_queue_unbind){
		.queue = str("mine"), .exchange = str("amq.direct"), .routing_key = str("k")};
	client_method(&other, 1, &m);
	client_expect(&other, 1, AMQP091_METHOD_QUEUE_UNBIND_OK);
	bind_queue("amq.direct", "mine", "k");
	client_method(&other, 1, &m);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_RESOURCE_LOCKED, m.id);
	client_publish(&client, 1, "amq.direct", "k", "x", 1);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "mine"), 1);
	client_close(&other);
	finish();
}

/* The longest text says that there was more of it, and is UTF-8 still. */
static void a_long_text_is_cut(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	char queue[256] = "", text[256];

	begin();
	for (unsigned i = 0; i < 127; i++)
		strcat(queue, "\xc3\xa9");
	snprintf(text, sizeof(text), "NOT_FOUND - no queue '%.230s...", queue);
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str(queue), .passive = true};
	client_method(&client, 1, &m);
	client_expect_refusal(&client, 1, AMQP091_REPLY_NOT_FOUND, m.id, text);
	finish();
}

static void mandatory_with_an_alternate(void)
{
	struct amqp091_table_builder b;
	struct amqp091_table arguments;
	uint8_t octets[64];

	begin();
	client_declare(&client, 1, "q");
	amqp091_table_build(&b, octets, sizeof(octets));
	amqp091_table_add_cstring(&b, "alternate-exchange", "rest");
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &arguments), 0);
	declare_with("x", "direct", arguments);
	declare("rest", "direct");
	bind_queue("rest", "q", "k");
	for (unsigned round = 0; round < 3; round++) {
		client_publish_method(&client, 1, "x", "k", true);
		client_content_header(&client, 1, 1);
		client_body(&client, 1, "1", 1);
		client_expect_nothing(&client);
		CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), round + 1);
		client_publish_method(&client, 1, "x", "none", true);
		client_content_header(&client, 1, 4);
		client_body(&client, 1, "back", 4);
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_RETURN, "back");
	}
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"bind_and_unbind", bind_and_unbind}, {"refusals", refusals},
			{"what_is_the_systems_stays", what_is_the_systems_stays},
			{"nothing_is_passively_declared", nothing_is_passively_declared},
			{"another_ones_queue_is_unbound_from_nothing",
				another_ones_queue_is_unbound_from_nothing},
			{"a_long_text_is_cut", a_long_text_is_cut},
			{"mandatory_with_an_alternate", mandatory_with_an_alternate}, {0}});
}
