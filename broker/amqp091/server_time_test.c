/* SPDX-License-Identifier: Apache-2.0 */
/* What time does to a connection: heartbeats both ways, and closes that are not answered. */
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

enum { SECOND_US = 1000000 };

static struct rig rig;
static struct client client;

static void begin(uint16_t heartbeat_s)
{
	struct client_options o = client_options();

	test_begin(&rig, NULL);
	o.heartbeat_s = heartbeat_s;
	client_open_with(&client, &rig, &o);
	client_channel(&client, 1);
}

static void send_heartbeat(void)
{
	client_frame(&client, AMQP091_FRAME_HEARTBEAT, 0, "", 0);
}

static unsigned heartbeats(void)
{
	struct client_frame f;
	unsigned n = 0;

	while (client_next(&client, &f)) {
		CU_ASSERT_EQUAL(f.head.type, AMQP091_FRAME_HEARTBEAT);
		CU_ASSERT_EQUAL(f.head.channel, 0);
		CU_ASSERT_EQUAL(f.head.size, 0);
		n++;
	}
	return n;
}

static void offered(void)
{
	struct rig_options o = rig_options();

	o.server.heartbeat_s = 60;
	test_begin(&rig, &o);
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	client_login(&client, "guest", "guest");
	const struct amqp091_method *m = client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	CU_ASSERT_EQUAL(m->args.connection_tune.heartbeat, 60);
	client_close(&client);
	test_end(&rig);
}

static void both_ways(void)
{
	begin(10);
	for (unsigned i = 0; i < 20; i++) {
		rig_advance(&rig, 9 * SECOND_US);
		send_heartbeat();
		rig_advance(&rig, SECOND_US);
		CU_ASSERT_FALSE_FATAL(link_over(&client.link));
		unsigned n = heartbeats();
		CU_ASSERT_TRUE(n >= 1 && n <= 2);
	}
	client_close(&client);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->heartbeats_missed, 0);
	test_end(&rig);
}

static void silent_peer(void)
{
	begin(10);
	rig_advance(&rig, 19 * SECOND_US);
	CU_ASSERT_FALSE(link_over(&client.link));
	rig_advance(&rig, 2 * SECOND_US);
	CU_ASSERT_TRUE(client.link.aborted);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->heartbeats_missed, 1);
	client_drop(&client);
	test_end(&rig);
}

/* Any octet counts, not heartbeats alone; and what is sent counts for the other side. */
static void traffic_instead(void)
{
	begin(2);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 60);
	for (unsigned i = 0; i < 60; i++) {
		client_body(&client, 1, "x", 1);
		rig_advance(&rig, SECOND_US);
		CU_ASSERT_FALSE_FATAL(link_over(&client.link));
	}
	CU_ASSERT_TRUE(heartbeats() >= 50);
	for (unsigned i = 0; i < 60; i++) {
		client_declare(&client, 1, "q");
		rig_advance(&rig, SECOND_US / 2);
	}
	client_expect_nothing(&client);
	client_close(&client);
	test_end(&rig);
}

static void none(void)
{
	begin(0);
	rig_advance(&rig, 600ull * SECOND_US);
	CU_ASSERT_FALSE(link_over(&client.link));
	client_expect_nothing(&client);
	client_close(&client);
	test_end(&rig);
}

static void longest(void)
{
	begin(UINT16_MAX);
	for (unsigned i = 0; i < 13; i++) {
		rig.now_us += 10000ull * SECOND_US;
		rig_turn(&rig);
		CU_ASSERT_FALSE_FATAL(link_over(&client.link));
	}
	CU_ASSERT_TRUE(heartbeats() >= 1);
	rig.now_us += 2000ull * SECOND_US;
	rig_turn(&rig);
	CU_ASSERT_TRUE(client.link.aborted);
	client_drop(&client);
	test_end(&rig);
}

/* Heartbeats never fall into a content, and a client whose input is held is not called dead. */
static void behind_stuck_output(void)
{
	static uint8_t body[100000];

	begin(2);
	client_declare(&client, 1, "q");
	client_publish(&client, 1, "", "q", body, sizeof(body));
	client_declare(&client, 1, "q");
	client.link.tx_rate = 0;
	client_get(&client, 1, "q", true);
	client_get(&client, 1, "q", true);
	rig_advance(&rig, 30 * SECOND_US);
	CU_ASSERT_FALSE_FATAL(link_over(&client.link));
	client.link.tx_rate = 1000;
	struct client_content content;
	client_expect_content(&client, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
	CU_ASSERT_EQUAL(content.bytes, sizeof(body));
	client_content_free(&content);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	client_close(&client);
	test_end(&rig);
}

static void close_not_answered(void)
{
	begin(0);
	client_plain(&client, 0, AMQP091_METHOD_BASIC_GET);
	client_expect_close(&client, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_BASIC_GET);
	rig_advance(&rig, SECOND_US - 50000);
	CU_ASSERT_FALSE(link_over(&client.link));
	CU_ASSERT_FALSE(client.link.shut);
	rig_advance(&rig, 100000);
	CU_ASSERT_TRUE(client.link.aborted);
	client_drop(&client);
	test_end(&rig);
}

/* The peer's FIN after close-ok does not come: ours goes first in the end, and then the connection. */
static void fin_not_answered(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	begin(1);
	client_method(&client, 0, &m);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	rig_advance(&rig, SECOND_US - 50000);
	CU_ASSERT_FALSE(client.link.shut);
	client_plain(&client, 0, AMQP091_METHOD_CHANNEL_OPEN); /* nobody listens */
	rig_advance(&rig, 100000);
	CU_ASSERT_TRUE(client.link.shut);
	rig_advance(&rig, SECOND_US - 100000);
	CU_ASSERT_FALSE(link_over(&client.link));
	/* Nothing is written behind the end. */
	CU_ASSERT_EQUAL(client.link.writes_late, 0);
	CU_ASSERT_EQUAL(rig_store(&rig).blocks.used, 0);
	rig_advance(&rig, 100000);
	CU_ASSERT_TRUE(client.link.aborted);
	client_drop(&client);
	test_end(&rig);
}

/* A broker that ends waits for nobody who has had close-ok. */
static void shutdown_after_close_ok(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	begin(1);
	client_method(&client, 0, &m);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	amqp091_server_shutdown(rig.server, "SIGTERM");
	client_expect_nothing(&client);
	CU_ASSERT_TRUE(client.link.shut);
	client_drop(&client);
	test_end(&rig);
}

/* The peer ends its side and reads no more, with output still waiting for it. */
static void ended_and_stuck(void)
{
	static uint8_t body[200000];

	begin(0);
	client_declare(&client, 1, "q");
	client_publish(&client, 1, "", "q", body, sizeof(body));
	client_declare(&client, 1, "q");
	client.link.tx_rate = 0;
	client_get(&client, 1, "q", true);
	client_get(&client, 1, "q", true);
	client.link.fin = true;
	rig_advance(&rig, SECOND_US - 50000);
	CU_ASSERT_FALSE(link_over(&client.link));
	rig_advance(&rig, 100000);
	CU_ASSERT_TRUE(client.link.aborted);
	client_drop(&client);
	test_end(&rig);
}

static void shutdown_of_the_server(void)
{
	struct client starting;

	begin(0);
	client_declare(&client, 1, "q");
	client_consume(&client, 1, "q", "tag", false);
	client_attach(&starting, &rig);
	amqp091_server_shutdown(rig.server, "SIGTERM");
	rig_settle(&rig);
	CU_ASSERT_TRUE(starting.link.shut);
	client_drop(&starting);
	client_expect_ended(&client, AMQP091_REPLY_CONNECTION_FORCED, 0);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->connection_exceptions, 0);
	client_attach(&client, &rig);
	CU_ASSERT_TRUE(client.link.refused);
	client_drop(&client);
	test_end(&rig);
}

static const struct unit_test tests[] = {
	{"offered", offered},
	{"both_ways", both_ways},
	{"silent_peer", silent_peer},
	{"traffic_instead", traffic_instead},
	{"none", none},
	{"longest", longest},
	{"behind_stuck_output", behind_stuck_output},
	{"close_not_answered", close_not_answered},
	{"fin_not_answered", fin_not_answered},
	{"shutdown_after_close_ok", shutdown_after_close_ok},
	{"ended_and_stuck", ended_and_stuck},
	{"shutdown_of_the_server", shutdown_of_the_server},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
