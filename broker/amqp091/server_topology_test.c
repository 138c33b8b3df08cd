/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that lead on, as a client sees them. */
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
			{"mandatory_with_an_alternate", mandatory_with_an_alternate}, {0}});
}
