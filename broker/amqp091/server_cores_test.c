/* SPDX-License-Identifier: Apache-2.0 */
/* Queues of another core, as clients see them: what is asked is answered when that core has come to it, in
 * order with what the connection published, and what follows waits. `here` is a client of the first core,
 * `there` one of the second, which owns the queue q. */
#include "broker/amqp091/testing/rig_test.h"

#include "broker/core/core.h"

#include <stdio.h>
#include <string.h>

enum { RECORDS_FEW = 2 };

static struct rig rig;
static struct client here, there;

static void begin(uint32_t link_records)
{
	struct rig_options o = rig_options();

	o.cores = 2;
	o.link_records = link_records;
	test_begin(&rig, &o);
	client_open_at(&here, &rig, 0);
	client_open_at(&there, &rig, 1);
	client_channel(&here, 1);
	client_channel(&there, 1);
	client_declare(&there, 1, "q");
}

static void finish(void)
{
	client_close(&here);
	client_close(&there);
	test_end(&rig);
}

static void publish(struct client *c, const char *text)
{
	client_publish(c, 1, "", "q", text, (uint32_t)strlen(text));
}

static void publish_numbers(struct client *c, unsigned n)
{
	char text[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u", i);
		publish(c, text);
	}
}

static void expect_number(struct client *c, uint32_t id, unsigned i)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", i);
	client_expect_text(c, 1, id, text);
}

static void send_passive(struct client *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("q"), .passive = true};
	client_method(c, 1, &m);
}

static void send_purge(struct client *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};

	m.args.queue_purge.queue = str("q");
	client_method(c, 1, &m);
}

static void send_delete(struct client *c, bool if_unused, bool if_empty)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	m.args.queue_delete = (struct amqp091_queue_delete){
		.queue = str("q"), .if_unused = if_unused, .if_empty = if_empty};
	client_method(c, 1, &m);
}

static void send_consume(struct client *c, const char *tag)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	m.args.basic_consume = (struct amqp091_basic_consume){.queue = str("q"), .consumer_tag = str(tag)};
	client_method(c, 1, &m);
}

static void send_cancel(struct client *c, const char *tag)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};

	m.args.basic_cancel.consumer_tag = str(tag);
	client_method(c, 1, &m);
}

/* Nothing comes as long as the owner takes no turn, then this. */
static const struct amqp091_method *expect_late(uint32_t id)
{
	rig.cores[1].stopped = true;
	client_expect_nothing(&here);
	rig.cores[1].stopped = false;
	return client_expect(&here, 1, id);
}

/* The owner's count of q. */
static void expect_count(uint32_t n)
{
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), n);
}

static void answers(void)
{
	begin(0);
	rig.cores[1].stopped = true;
	send_passive(&here);
	CU_ASSERT_EQUAL(expect_late(AMQP091_METHOD_QUEUE_DECLARE_OK)->args.queue_declare_ok.message_count, 0);
	client_get(&here, 1, "q", false);
	expect_late(AMQP091_METHOD_BASIC_GET_EMPTY);
	publish_numbers(&there, 5);
	expect_count(5);
	client_get(&here, 1, "q", false);
	expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, 0);
	client_ack(&here, 1, 1, false);
	client_get(&here, 1, "q", true);
	expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, 1);
	send_purge(&here);
	CU_ASSERT_EQUAL(expect_late(AMQP091_METHOD_QUEUE_PURGE_OK)->args.queue_purge_ok.message_count, 3);
	publish_numbers(&there, 2);
	expect_count(2);
	send_delete(&here, false, false);
	CU_ASSERT_EQUAL(expect_late(AMQP091_METHOD_QUEUE_DELETE_OK)->args.queue_delete_ok.message_count, 2);
	CU_ASSERT_EQUAL(rig.cores[1].core->stats.messages_unacked, 0);
	finish();
}

static void refusals(void)
{
	begin(0);
	publish_numbers(&there, 1);
	client_consume(&there, 1, "q", "t", false);
	expect_number(&there, AMQP091_METHOD_BASIC_DELIVER, 0);
	client_nack(&there, 1, 1, false, true);
	expect_number(&there, AMQP091_METHOD_BASIC_DELIVER, 0);
	send_delete(&here, true, false);
	client_expect_channel_close(&here, 1, 406, AMQP091_METHOD_QUEUE_DELETE);
	client_channel(&here, 1);
	send_cancel(&there, "t");
	client_expect(&there, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	client_nack(&there, 1, 2, false, true);
	expect_count(1);
	send_delete(&here, false, true);
	client_expect_channel_close(&here, 1, 406, AMQP091_METHOD_QUEUE_DELETE);
	finish();
}

/* While an answer is awaited the rest waits behind it, whatever it is about. */
static void the_rest_waits(void)
{
	begin(0);
	client_channel(&here, 2);
	publish_numbers(&there, 1);
	rig.cores[1].stopped = true;
	client_get(&here, 1, "q", false);
	client_plain(&here, 3, AMQP091_METHOD_CHANNEL_OPEN);
	client_ack(&here, 1, 1, false); /* of what is not there yet */
	client_plain(&here, 2, AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect_nothing(&here);
	rig.cores[1].stopped = false;
	expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, 0);
	client_expect(&here, 3, AMQP091_METHOD_CHANNEL_OPEN_OK);
	client_expect(&here, 2, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	finish();
}

static void behind_own_publishes(void)
{
	for (uint32_t records = 0; records <= RECORDS_FEW; records += RECORDS_FEW) {
		begin(records);
		publish_numbers(&here, 20);
		send_passive(&here);
		CU_ASSERT_EQUAL(client_expect(&here, 1, AMQP091_METHOD_QUEUE_DECLARE_OK)
					->args.queue_declare_ok.message_count,
			20);
		publish_numbers(&here, 5);
		client_get(&here, 1, "q", true);
		expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, 0);
		publish_numbers(&here, 5);
		send_purge(&here);
		CU_ASSERT_EQUAL(client_expect(&here, 1, AMQP091_METHOD_QUEUE_PURGE_OK)
					->args.queue_purge_ok.message_count,
			29);
		publish_numbers(&here, 7);
		send_delete(&here, false, false);
		CU_ASSERT_EQUAL(client_expect(&here, 1, AMQP091_METHOD_QUEUE_DELETE_OK)
					->args.queue_delete_ok.message_count,
			7);
		CU_ASSERT(records == 0 || rig.cores[0].core->counters.publish_again > 0);
		finish();
	}
}

/* One confirm for each publish, once the owner has them, and none before. */
static void confirms(uint32_t records, unsigned before)
{
	uint64_t seq = 0;

	begin(records);
	client_confirm_select(&here, 1);
	rig.cores[1].stopped = true;
	publish_numbers(&here, 10);
	client_expect_nothing(&here);
	rig.cores[1].stopped = false;
	while (seq < 10) {
		const struct amqp091_basic_ack *a =
			&client_expect(&here, 1, AMQP091_METHOD_BASIC_ACK)->args.basic_ack;
		CU_ASSERT_TRUE_FATAL(a->delivery_tag > seq && (a->multiple || a->delivery_tag == seq + 1));
		seq = a->delivery_tag;
	}
	CU_ASSERT_EQUAL(seq, 10);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->confirmed, 10);
	expect_count(10);
	/* What stays on this core waits for nobody, but for what came before it. */
	client_declare(&here, 1, "own");
	rig.cores[1].stopped = true;
	for (unsigned i = 0; i < before; i++)
		publish(&here, "far");
	client_publish(&here, 1, "", "own", "x", 1);
	if (before)
		client_expect_nothing(&here);
	rig.cores[1].stopped = false;
	CU_ASSERT_EQUAL(
		client_expect(&here, 1, AMQP091_METHOD_BASIC_ACK)->args.basic_ack.delivery_tag, 11 + before);
	client_expect_nothing(&here);
	finish();
}

static void confirms_come_when_it_is_there(void)
{
	confirms(0, 0);
	confirms(0, 1);
	confirms(RECORDS_FEW, 0);
}

/* More settlements at once than the link has room for. */
static void settle_many(bool requeue)
{
	enum { MANY = 30 };

	begin(RECORDS_FEW);
	publish_numbers(&there, MANY);
	expect_count(MANY);
	for (unsigned i = 0; i < MANY; i++) {
		client_get(&here, 1, "q", false);
		expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, i);
	}
	if (requeue)
		client_nack(&here, 1, 0, true, true);
	else
		client_ack(&here, 1, MANY, true);
	client_plain(&here, 2, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect(&here, 2, AMQP091_METHOD_CHANNEL_OPEN_OK);
	expect_count(requeue ? MANY : 0);
	CU_ASSERT_EQUAL(rig.cores[1].core->stats.messages_unacked, 0);
	for (unsigned i = 0; requeue && i < MANY; i++) {
		client_get(&here, 1, "q", true);
		expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, i);
		CU_ASSERT_TRUE(here.method.args.basic_get_ok.redelivered);
	}
	finish();
}

static void settlements(void)
{
	settle_many(false);
	settle_many(true);
}

/* One after the other, each of which waits for room when the one before has taken the last. */
static void settlements_one_by_one(void)
{
	enum { MANY = 30 };

	begin(RECORDS_FEW);
	publish_numbers(&there, MANY);
	expect_count(MANY);
	for (unsigned i = 0; i < MANY; i++) {
		client_get(&here, 1, "q", false);
		expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, i);
	}
	rig.cores[1].stopped = true;
	for (unsigned i = MANY; i > 0; i--)
		client_nack(&here, 1, i, false, i % 2);
	client_plain(&here, 2, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect_nothing(&here);
	rig.cores[1].stopped = false;
	client_expect(&here, 2, AMQP091_METHOD_CHANNEL_OPEN_OK);
	expect_count(MANY / 2);
	for (unsigned i = 0; i < MANY; i += 2) {
		client_get(&here, 1, "q", true);
		expect_number(&here, AMQP091_METHOD_BASIC_GET_OK, i);
	}
	CU_ASSERT_EQUAL(rig.cores[1].core->stats.messages_unacked, 0);
	finish();
}

/* Two consumers, so that the queue stays where it is. */
static void consumers(void)
{
	begin(0);
	client_consume(&there, 1, "q", "t", false);
	client_qos(&here, 1, 3, false);
	rig.cores[1].stopped = true;
	send_consume(&here, "h");
	expect_late(AMQP091_METHOD_BASIC_CONSUME_OK);
	send_cancel(&there, "t");
	client_expect(&there, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	publish_numbers(&there, 5);
	for (unsigned i = 0; i < 3; i++)
		expect_number(&here, AMQP091_METHOD_BASIC_DELIVER, i);
	client_expect_nothing(&here); /* prefetch */
	client_ack(&here, 1, 1, false);
	expect_number(&here, AMQP091_METHOD_BASIC_DELIVER, 3);
	rig.cores[1].stopped = true;
	send_cancel(&here, "h");
	expect_late(AMQP091_METHOD_BASIC_CANCEL_OK);
	client_ack(&here, 1, 0, true);
	client_expect_nothing(&here);
	expect_count(1);
	finish();
}

/* What is on its way to a consumer that goes comes back, unseen. */
static void cancel_meets_deliveries(void)
{
	begin(0);
	client_consume(&there, 1, "q", "t", false);
	send_consume(&here, "h");
	client_expect(&here, 1, AMQP091_METHOD_BASIC_CONSUME_OK);
	send_cancel(&there, "t");
	client_expect(&there, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	/* It lies in the ring when the cancel comes. */
	rig.cores[0].stopped = true;
	publish_numbers(&there, 10);
	client_expect_nothing(&there);
	send_cancel(&here, "h");
	rig.cores[0].stopped = false;
	client_expect(&here, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	client_expect_nothing(&here);
	for (unsigned i = 0; i < 10; i++) {
		client_get(&there, 1, "q", true);
		expect_number(&there, AMQP091_METHOD_BASIC_GET_OK, i);
	}
	finish();
}

static void exclusive_consumers(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	begin(0);
	client_consume(&there, 1, "q", "t", false);
	m.args.basic_consume = (struct amqp091_basic_consume){.queue = str("q"), .exclusive = true};
	client_method(&here, 1, &m);
	client_expect_channel_close(&here, 1, 403, AMQP091_METHOD_BASIC_CONSUME);
	client_channel(&here, 1);
	finish();
}

static void auto_delete(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	begin(0);
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("brief"), .auto_delete = true};
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	client_consume(&there, 1, "brief", "t", false);
	client_consume(&here, 1, "brief", "h", false);
	send_cancel(&there, "t");
	client_expect(&there, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	send_cancel(&here, "h");
	client_expect(&here, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	m.args.queue_declare.passive = true;
	client_method(&here, 1, &m);
	client_expect_channel_close(&here, 1, 404, AMQP091_METHOD_QUEUE_DECLARE);
	finish();
}

/* More queues of one core than the ring to it has room for. */
static void fan_out_through_a_short_ring(void)
{
	static const char *const names[] = {"q", "q1", "q2"};

	begin(RECORDS_FEW);
	for (unsigned i = 0; i < 3; i++) {
		client_declare(&there, 1, names[i]);
		client_bind(&there, 1, "amq.fanout", names[i], "");
	}
	client_publish(&here, 1, "amq.fanout", "", "x", 1);
	client_publish(&here, 1, "amq.fanout", "", "y", 1);
	client_declare(&here, 1, "own");
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, names[i]), 2);
	finish();
}

/* The queue goes to its only consumer; what is asked and published meanwhile finds it. */
static void moves(void)
{
	static struct client more;

	for (unsigned turns = 0; turns < 12; turns++) {
		begin(0);
		client_open_at(&more, &rig, turns % 2);
		client_channel(&more, 1);
		publish_numbers(&there, 3);
		expect_count(3);
		client_qos(&here, 1, 1, false);
		send_consume(&here, "h");
		for (unsigned i = 0; i < turns; i++)
			rig_turn(&rig);
		publish(&more, "3");
		send_passive(&more);
		client_expect(&more, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
		client_expect(&here, 1, AMQP091_METHOD_BASIC_CONSUME_OK);
		for (unsigned i = 0; i < 4; i++) {
			expect_number(&here, AMQP091_METHOD_BASIC_DELIVER, i);
			client_ack(&here, 1, i + 1, false);
		}
		send_purge(&there);
		client_expect(&there, 1, AMQP091_METHOD_QUEUE_PURGE_OK);
		CU_ASSERT_EQUAL(rig.cores[0].core->counters.moves_in, 1);
		client_close(&more);
		finish();
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"answers", answers}, {"refusals", refusals},
			{"the_rest_waits", the_rest_waits}, {"behind_own_publishes", behind_own_publishes},
			{"confirms_come_when_it_is_there", confirms_come_when_it_is_there},
			{"settlements", settlements}, {"settlements_one_by_one", settlements_one_by_one},
			{"consumers", consumers}, {"cancel_meets_deliveries", cancel_meets_deliveries},
			{"exclusive_consumers", exclusive_consumers}, {"auto_delete", auto_delete},
			{"fan_out_through_a_short_ring", fan_out_through_a_short_ring}, {"moves", moves},
			{NULL, NULL}});
}
