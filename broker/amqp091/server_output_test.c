/* SPDX-License-Identifier: Apache-2.0 */
/* Sending through a send buffer that is small, slow, stuck or out of buffers: every frame whole, all in
 * order. */
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

enum { BODY_BYTES = 300000 };

static struct rig rig;
static struct client client, other;
static uint8_t body[BODY_BYTES];

static void fill_body(void)
{
	for (uint32_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void begin(void)
{
	fill_body();
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_channel(&client, 2);
	client_declare(&client, 1, "q");
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void narrow(struct client *c, uint32_t limit, uint32_t rate)
{
	c->link.tx_limit = limit;
	c->link.tx_rate = rate;
}

static void expect_body(struct client *c, uint16_t channel, uint32_t id, uint32_t n)
{
	struct client_content content;

	client_expect_content(c, channel, id, &content);
	CU_ASSERT_EQUAL_FATAL(content.bytes, n);
	CU_ASSERT_EQUAL(memcmp(content.body, body, n), 0);
	client_content_free(&content);
}

static void large_bodies_small_buffer(void)
{
	begin();
	for (uint32_t limit = 4096; limit <= 40000; limit += 5987) {
		for (uint32_t rate = 100; rate <= 6400; rate *= 8) {
			narrow(&client, limit, rate);
			client_publish(&client, 1, "", "q", body, sizeof(body));
			client_publish(&client, 1, "", "q", body, 5000);
			client_get(&client, 1, "q", true);
			client_get(&client, 2, "q", true);
			client_get(&client, 1, "q", true);
			expect_body(&client, 1, AMQP091_METHOD_BASIC_GET_OK, sizeof(body));
			expect_body(&client, 2, AMQP091_METHOD_BASIC_GET_OK, 5000);
			client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
		}
	}
	finish();
}

/* Consumers on two channels, with a frame-max smaller than the publisher's. */
static void deliveries_in_small_frames(void)
{
	struct client_options o = client_options();

	begin();
	o.frame_max = 4096;
	client_open_with(&other, &rig, &o);
	client_channel(&other, 1);
	narrow(&other, 9000, 3000);
	for (unsigned i = 0; i < 10; i++)
		client_publish(&client, 1, "", "q", body, 20000 + i);
	rig_settle(&rig);
	client_consume(&other, 1, "q", "tag", true);
	for (unsigned i = 0; i < 10; i++)
		expect_body(&other, 1, AMQP091_METHOD_BASIC_DELIVER, 20000 + i);
	client_close(&other);
	finish();
}

/* What other connections cause while a body is under way waits behind it, in its order. */
static void behind_a_body(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};
	char name[16];

	begin();
	client_open(&other, &rig);
	client_channel(&other, 1);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		client_declare(&other, 1, name);
		client_consume(&client, 2, name, name, true);
	}
	narrow(&client, 8192, 0);
	client_publish(&client, 1, "", "q", body, sizeof(body));
	client_get(&client, 1, "q", true);
	rig_settle(&rig);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		m.args.queue_delete.queue = str(name);
		client_method(&other, 1, &m);
		client_expect(&other, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	}
	amqp091_server_shutdown(rig.server, "in the middle of a body");
	client_expect_ended(&other, AMQP091_REPLY_CONNECTION_FORCED, 0);
	client.link.tx_rate = 3000;
	expect_body(&client, 1, AMQP091_METHOD_BASIC_GET_OK, sizeof(body));
	for (unsigned i = 0; i < 20; i++) {
		const struct amqp091_method *c = client_expect(&client, 2, AMQP091_METHOD_BASIC_CANCEL);
		snprintf(name, sizeof(name), "q%u", i);
		CU_ASSERT_EQUAL(c->args.basic_cancel.consumer_tag.len, strlen(name));
		CU_ASSERT_EQUAL(memcmp(c->args.basic_cancel.consumer_tag.data, name, strlen(name)), 0);
	}
	client_expect_ended(&client, AMQP091_REPLY_CONNECTION_FORCED, 0);
	test_end(&rig);
}

/* A client that asks and does not read is not read from either. */
static void stuck_output_holds_input(void)
{
	enum { ASKED = 3000 };

	begin();
	narrow(&client, 8192, 0);
	client.link.rx_limit = 4096;
	for (unsigned i = 0; i < ASKED; i++)
		client_get(&client, 1, "q", true);
	rig_advance(&rig, 1000000);
	CU_ASSERT_TRUE(client.link.in.at < client.link.in.end);
	CU_ASSERT_EQUAL(rig_store(&rig).blocks.used, 0);
	client.link.tx_rate = 500;
	for (unsigned i = 0; i < ASKED; i++)
		client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	client_expect_nothing(&client);
	finish();
}

/* A consumer whose client does not read costs the others nothing, and goes on when it reads again. */
static void slow_consumer(void)
{
	begin();
	client_open(&other, &rig);
	client_channel(&other, 1);
	client_consume(&client, 1, "q", "slow", true);
	client_consume(&other, 1, "q", "fast", true);
	struct client publisher;
	client_open(&publisher, &rig);
	client_channel(&publisher, 1);
	narrow(&client, 8192, 0);
	for (unsigned i = 0; i < 1000; i++)
		client_publish(&publisher, 1, "", "q", body, 100);
	unsigned fast = 0, slow = 0;
	struct client_frame f;
	while (client_next(&other, &f))
		fast += f.head.type == AMQP091_FRAME_METHOD;
	CU_ASSERT_EQUAL(client_ready_count(&publisher, 1, "q"), 0);
	client.link.tx_rate = 8192;
	while (client_next(&client, &f))
		slow += f.head.type == AMQP091_FRAME_METHOD;
	CU_ASSERT_EQUAL(slow + fast, 1000);
	CU_ASSERT_TRUE(slow > 10 && slow < 100);
	client_publish(&publisher, 1, "", "q", body, 100);
	client_publish(&publisher, 1, "", "q", body, 100);
	expect_body(&client, 1, AMQP091_METHOD_BASIC_DELIVER, 100);
	expect_body(&other, 1, AMQP091_METHOD_BASIC_DELIVER, 100);
	client_close(&publisher);
	client_close(&other);
	finish();
}

/* Writes that fail although there is room, at random. */
static void transport_without_buffers(void)
{
	begin();
	narrow(&client, 20000, 5000);
	for (unsigned round = 0; round < 30; round++) {
		client_publish(&client, 1, "", "q", body, 30000);
		client_get(&client, 1, "q", true);
		client_get(&client, 2, "q", true);
		client.link.faults = unit_random_below(4);
		rig_turn(&rig);
		client.link.faults += unit_random_below(10);
		expect_body(&client, 1, AMQP091_METHOD_BASIC_GET_OK, 30000);
		client_expect(&client, 2, AMQP091_METHOD_BASIC_GET_EMPTY);
	}
	finish();
}

/* An exception of the connection while a body is under way: the close comes after the body. */
static void exception_during_a_body(void)
{
	for (unsigned by = 0; by < 3; by++) {
		begin();
		narrow(&client, 8192, 0);
		client_publish(&client, 1, "", "q", body, sizeof(body));
		client_get(&client, 1, "q", false);
		rig_settle(&rig);
		if (by == 0) { /* read when the body is out */
			client_plain(&client, 0, AMQP091_METHOD_BASIC_ACK);
			client.link.tx_rate = 2000;
			expect_body(&client, 1, AMQP091_METHOD_BASIC_GET_OK, sizeof(body));
			client_expect_ended(&client, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_BASIC_ACK);
		} else if (by == 1) {
			client_drop(&client);
		} else {
			client.link.fin = true;
			client.link.tx_rate = 2000;
			expect_body(&client, 1, AMQP091_METHOD_BASIC_GET_OK, sizeof(body));
			rig_settle(&rig);
			CU_ASSERT_TRUE(client.link.closed);
			client_drop(&client);
		}
		test_end(&rig);
	}
}

/* Half a body received when the connection ends: the rest is dropped byte by byte, close-ok is still seen. */
static void close_within_a_received_body(void)
{
	begin();
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 10000);
	uint8_t head[AMQP091_FRAME_HEADER_SIZE];
	amqp091_frame_header_put(head, AMQP091_FRAME_BODY, 1, 10000);
	client_raw(&client, head, sizeof(head));
	client_raw(&client, body, 4000);
	rig_settle(&rig);
	amqp091_server_shutdown(rig.server, "in the middle of a body");
	client_expect_close(&client, AMQP091_REPLY_CONNECTION_FORCED, 0);
	client_raw(&client, body, 6000);
	client_raw(&client, "\xce", 1);
	client_plain(&client, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_expect_nothing(&client);
	CU_ASSERT_TRUE(client.link.shut);
	client_drop(&client);
	test_end(&rig);
}

/* However large a body is, queues and output find blocks beside it. */
static void body_leaves_room(void)
{
	struct rig_options o = rig_options();
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	fill_body();
	o.memory_bytes = 2 << 20;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_channel(&client, 2);
	client_declare(&client, 1, "q");
	client_declare(&client, 1, "r");
	client_consume(&client, 2, "r", "r", true);
	client_open(&other, &rig);
	client_channel(&other, 1);
	narrow(&client, 8192, 0);
	client_publish(&client, 1, "", "q", body, 100000);
	client_get(&client, 1, "q", true);
	rig_settle(&rig);
	/* As much as could ever be, which is more than there is now. */
	uint32_t blocks = rig_store(&rig).blocks.capacity;
	blocks -= blocks / 16 + 1;
	client_publish_method(&other, 1, "", "q", false);
	client_content_header(&other, 1, (uint64_t)blocks * MESSAGE_BLOCK_BYTES);
	client_expect_nothing(&other);
	struct client third;
	client_open(&third, &rig);
	client_channel(&third, 1);
	m.args.queue_delete.queue = str("r");
	client_method(&third, 1, &m);
	client_expect(&third, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	CU_ASSERT_FALSE_FATAL(link_over(&client.link));
	client.link.tx_rate = 8192;
	expect_body(&client, 1, AMQP091_METHOD_BASIC_GET_OK, 100000);
	client_expect(&client, 2, AMQP091_METHOD_BASIC_CANCEL);
	client_drop(&other);
	client_close(&third);
	finish();
}

/* Properties that one client could send in a frame and another could not be sent. */
static void header_beyond_frame_max(void)
{
	struct client_options o = client_options();
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	begin();
	o.frame_max = 4096;
	client_open_with(&other, &rig, &o);
	client_channel(&other, 1);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header_with(&client, 1, 0, 4096 - 12 - 6); /* just fits */
	client_get(&other, 1, "q", true);
	other.frame_max += AMQP091_FRAME_OVERHEAD;
	client_expect_text(&other, 1, AMQP091_METHOD_BASIC_GET_OK, "");
	other.frame_max -= AMQP091_FRAME_OVERHEAD;
	client_publish_method(&client, 1, "", "q", false);
	client_content_header_with(&client, 1, 4, 4096 - 12 - 6 + 1);
	client_body(&client, 1, "body", 4);
	rig_settle(&rig);
	client_get(&other, 1, "q", false);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_CONTENT_TOO_LARGE, AMQP091_METHOD_BASIC_GET);
	client_channel(&other, 1);
	m.args.basic_consume.queue = str("q");
	m.args.basic_consume.consumer_tag = str("tag");
	client_method(&other, 1, &m);
	client_expect(&other, 1, AMQP091_METHOD_BASIC_CONSUME_OK);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_CONTENT_TOO_LARGE, AMQP091_METHOD_BASIC_CONSUME);
	client_get(&client, 1, "q", true);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	/* The last message of an auto-delete queue, to a consumer that takes it settled. */
	struct amqp091_method declare = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	declare.args.queue_declare.queue = str("auto");
	declare.args.queue_declare.auto_delete = true;
	client_method(&client, 1, &declare);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	for (unsigned no_ack = 0; no_ack < 2; no_ack++) {
		client_channel(&other, 1);
		client_method(&other, 1, &declare);
		client_expect(&other, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
		client_consume(&other, 1, "auto", "tag", no_ack);
		client_publish_method(&client, 1, "", "auto", false);
		client_content_header_with(&client, 1, 0, 5000);
		client_expect_nothing(&client);
		client_expect_channel_close(
			&other, 1, AMQP091_REPLY_CONTENT_TOO_LARGE, AMQP091_METHOD_BASIC_CONSUME);
	}
	client_close(&other);
	finish();
}

static const struct unit_test tests[] = {
	{"large_bodies_small_buffer", large_bodies_small_buffer},
	{"deliveries_in_small_frames", deliveries_in_small_frames},
	{"behind_a_body", behind_a_body},
	{"stuck_output_holds_input", stuck_output_holds_input},
	{"slow_consumer", slow_consumer},
	{"transport_without_buffers", transport_without_buffers},
	{"exception_during_a_body", exception_during_a_body},
	{"close_within_a_received_body", close_within_a_received_body},
	{"body_leaves_room", body_leaves_room},
	{"header_beyond_frame_max", header_beyond_frame_max},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
