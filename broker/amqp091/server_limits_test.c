/* SPDX-License-Identifier: Apache-2.0 */
/* Every pool at its end: the answer is an exception or a wait, and what is left goes on. */
#include "broker/amqp091/testing/rig_test.h"

static struct rig rig;
static struct client client, other;
static uint8_t body[64 * 1024];

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void connections(void)
{
	static struct client many[8];

	test_begin(&rig, NULL);
	for (unsigned i = 0; i < 8; i++)
		client_open(&many[i], &rig);
	client_attach(&client, &rig);
	CU_ASSERT_TRUE(client.link.refused);
	client_drop(&client);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->refused_limit, 1);
	client_close(&many[3]);
	client_open(&client, &rig);
	for (unsigned i = 0; i < 8; i++) {
		if (i != 3)
			client_close(&many[i]);
	}
	finish();
}

/* A limit that is shared with other cores' servers: what these have counts. */
static void connections_of_all_cores(void)
{
	struct rig_options o = rig_options();
	uint32_t all = 3; /* elsewhere */

	o.server.conns_all = &all;
	o.server.conns_all_max = 4;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	CU_ASSERT_EQUAL(all, 4);
	client_attach(&other, &rig);
	CU_ASSERT_TRUE(other.link.refused);
	client_drop(&other);
	CU_ASSERT(all == 4 && amqp091_server_counters(rig.server)->refused_limit == 1);
	all--; /* one elsewhere ends */
	client_open(&other, &rig);
	client_close(&other);
	CU_ASSERT_EQUAL(all, 3);
	finish();
	CU_ASSERT_EQUAL(all, 2);
}

static void channels(void)
{
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_open(&other, &rig);
	/* Far apart, so that each needs a table of its own. */
	for (uint16_t i = 0; i < 32; i++)
		client_channel(&client, (uint16_t)(i * 64 + 1));
	client_plain(&other, 1, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect_ended(&other, AMQP091_REPLY_RESOURCE_ERROR, AMQP091_METHOD_CHANNEL_OPEN);
	finish();
}

/* Channels that were closed leave room for everyone, wherever their numbers were. */
static void channels_given_back(void)
{
	struct amqp091_method close = {.id = AMQP091_METHOD_CHANNEL_CLOSE};

	test_begin(&rig, NULL);
	client_open(&client, &rig);
	for (uint16_t i = 0; i < 32; i++) {
		client_channel(&client, (uint16_t)(i * 64 + 1));
		client_method(&client, (uint16_t)(i * 64 + 1), &close);
		client_expect(&client, (uint16_t)(i * 64 + 1), AMQP091_METHOD_CHANNEL_CLOSE_OK);
	}
	client_open(&other, &rig);
	for (uint16_t i = 0; i < 32; i++)
		client_channel(&other, (uint16_t)(i * 64 + 1));
	client_close(&other);
	finish();
}

static void consumers(void)
{
	struct rig_options o = rig_options();
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	o.server.consumers_max = 3;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	client_consume(&client, 1, "q", "a", true);
	client_consume(&client, 1, "q", "b", true);
	client_consume(&client, 1, "q", "c", true);
	m.args.basic_consume.queue = str("q");
	client_channel(&client, 2);
	client_method(&client, 2, &m);
	client_expect_channel_close(
		&client, 2, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME);
	client_publish(&client, 1, "", "q", "x", 1);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "x");
	finish();
}

/* The core's own limit. */
static void consumers_of_the_core(void)
{
	struct rig_options o = rig_options();
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	o.limits.consumers = 1;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	client_consume(&client, 1, "q", "a", true);
	m.args.basic_consume.queue = str("q");
	client_channel(&client, 2);
	client_method(&client, 2, &m);
	client_expect_channel_close(
		&client, 2, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME);
	finish();
}

/* One connection has all the room for unsettled deliveries. The other one's consumer waits, and goes on as
 * soon as there is room, although nothing else happens to it. */
static void unacked(void)
{
	struct rig_options o = rig_options();

	o.server.unacked_max = 5;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	client_declare(&client, 1, "p");
	client_consume(&client, 1, "q", "tag", false);
	for (unsigned i = 0; i < 6; i++)
		client_publish(&client, 1, "", "q", "x", 1);
	for (unsigned i = 0; i < 5; i++)
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "x");
	client_expect_nothing(&client);
	client_open(&other, &rig);
	client_channel(&other, 1);
	client_consume(&other, 1, "p", "tag", false);
	client_publish(&client, 1, "", "p", "y", 1);
	client_expect_nothing(&other);
	client_get(&other, 1, "p", false);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_GET);
	client_channel(&other, 1);
	client_consume(&other, 1, "p", "tag", false);
	client_expect_nothing(&other);
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};
	m.args.basic_cancel.consumer_tag = str("tag");
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	client_ack(&client, 1, 1, false);
	client_expect_text(&other, 1, AMQP091_METHOD_BASIC_DELIVER, "y");
	/* All of them, and without an ack. */
	client_publish(&client, 1, "", "p", "z", 1);
	client_expect_nothing(&other);
	client_drop(&client);
	client_expect_text(&other, 1, AMQP091_METHOD_BASIC_DELIVER, "z");
	client_close(&other);
	test_end(&rig);
}

static void queues(void)
{
	struct rig_options o = rig_options();
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	o.limits.queues = 2;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "a");
	client_declare(&client, 1, "b");
	m.args.queue_declare.queue = str("c");
	client_method(&client, 1, &m);
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_QUEUE_DECLARE);
	finish();
}

/* A queue with many bindings is on its way out, and counts until it is: the next one waits for that. */
static void queues_behind_one_that_goes(void)
{
	struct rig_options o = rig_options();

	o.limits.queues = 1;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_delete_slowly(&client, 1, "a");
	struct amqp091_method declare = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	declare.args.queue_declare.queue = str("b");
	client_method(&client, 1, &declare);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	finish();
}

/* Takes every block of message memory. */
struct held {
	void *blocks[2100];
	unsigned count;
};

static void hold_all_blocks(struct held *h)
{
	struct message_cache *store = broker_core_cache(rig.core);

	h->count = 0;
	for (void *b = message_store_block_take(store); b; b = message_store_block_take(store)) {
		CU_ASSERT_FATAL(h->count < sizeof(h->blocks) / sizeof(*h->blocks));
		h->blocks[h->count++] = b;
	}
}

static void give_blocks(struct held *h)
{
	while (h->count)
		message_store_block_give(broker_core_cache(rig.core), h->blocks[--h->count]);
}

/* Output that finds neither room nor memory: the connection goes, whatever it was about to say, and its
 * timers with it. */
static void no_memory_for_output(void)
{
	static struct held held;

	for (unsigned by = 0; by < 4; by++) {
		test_begin(&rig, NULL);
		client_open(&client, &rig);
		client_channel(&client, 1);
		client_declare(&client, 1, "q");
		client_consume(&client, 1, "q", "tag", true);
		client_open(&other, &rig);
		client_channel(&other, 1);
		client_publish(&client, 1, "", "q", body, sizeof(body));
		client.link.tx_rate = 0;
		rig_settle(&rig); /* the delivery is stuck half-way */
		hold_all_blocks(&held);
		struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};
		m.args.queue_delete.queue = str("q");
		if (by == 0)
			amqp091_server_shutdown(rig.server, "test");
		else if (by == 1)
			client_method(&other, 1, &m); /* tells the consumer */
		else if (by == 2)
			client.link.fin = true;
		rig_settle(&rig);
		if (by < 2) {
			CU_ASSERT_TRUE(client.link.aborted);
			CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->closed_without_memory, 1);
		}
		give_blocks(&held);
		rig_advance(&rig, 3000000);
		client_drop(&client);
		client_drop(&other);
		CU_ASSERT_EQUAL(amqp091_server_conn_count(rig.server), 0);
		test_end(&rig);
	}
}

/* A body may be stored and then not be queued at once, for want of a block for the entry: the publisher
 * waits. */
static void no_memory_for_the_entry(void)
{
	static struct held held;

	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	client_confirm_select(&client, 1);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, sizeof(body));
	rig_settle(&rig);
	hold_all_blocks(&held);
	for (unsigned at = 0; at < sizeof(body); at += 8192)
		client_body(&client, 1, body, 8192);
	rig_settle(&rig);
	client_expect_nothing(&client);
	give_blocks(&held);
	rig_settle(&rig);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_ACK);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	finish();
}

static const struct unit_test tests[] = {
	{"connections", connections},
	{"connections_of_all_cores", connections_of_all_cores},
	{"channels", channels},
	{"channels_given_back", channels_given_back},
	{"consumers", consumers},
	{"consumers_of_the_core", consumers_of_the_core},
	{"unacked", unacked},
	{"queues", queues},
	{"queues_behind_one_that_goes", queues_behind_one_that_goes},
	{"no_memory_for_output", no_memory_for_output},
	{"no_memory_for_the_entry", no_memory_for_the_entry},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
