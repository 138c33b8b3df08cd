/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries that are not settled in time. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

enum { TIMEOUT_S = 120 };

static struct rig rig;
static struct client client;

static void begin(uint64_t timeout_us)
{
	struct rig_options o = rig_options();

	o.server.consumer_timeout_us = timeout_us;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	for (unsigned i = 0; i < 3; i++)
		client_publish(&client, 1, "", "q", "x", 1);
}

static void begin_seconds(uint32_t s)
{
	begin(s * UINT64_C(1000000));
}

/* The clock goes on without a turn in between. */
static void wait_s(uint32_t s)
{
	rig.now_us += s * UINT64_C(1000000);
	rig_settle(&rig);
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void an_overdue_delivery_ends_its_channel(void)
{
	static const char text[] =
		"PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: "
		"120000 "
		"ms. This timeout value can be configured, see consumers doc guide to learn more";

	begin_seconds(TIMEOUT_S);
	client_consume(&client, 1, "q", "c", false);
	for (unsigned i = 0; i < 3; i++)
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "x");
	wait_s(TIMEOUT_S / 2);
	client_ack(&client, 1, 1, false);
	client_expect_nothing(&client);
	wait_s(TIMEOUT_S / 2 + 61);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, 0, text);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 2);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->consumers_timed_out, 1);
	finish();
}

/* The oldest of a channel's deliveries counts, whatever came after it. */
static void the_oldest_counts(void)
{
	begin_seconds(TIMEOUT_S);
	client_get(&client, 1, "q", false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "x");
	wait_s(TIMEOUT_S - 1);
	client_get(&client, 1, "q", false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "x");
	wait_s(62);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, 0);
	finish();
}

/* It is looked for as often as the limit is long, where that is less than a minute. */
static void a_short_limit_is_short(void)
{
	begin_seconds(5);
	client_get(&client, 1, "q", false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "x");
	for (unsigned i = 0; i < 11; i++)
		wait_s(1);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, 0);
	finish();
}

static void what_is_settled_in_time_goes_on(void)
{
	begin_seconds(TIMEOUT_S);
	client_consume(&client, 1, "q", "c", false);
	for (unsigned i = 0; i < 3; i++)
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "x");
	client_ack(&client, 1, 3, true);
	wait_s(TIMEOUT_S);
	client_publish(&client, 1, "", "q", "y", 1);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "y");
	wait_s(TIMEOUT_S - 1);
	client_expect_nothing(&client);
	finish();
}

static void without_a_limit_it_may_take_for_ever(void)
{
	begin(0);
	client_get(&client, 1, "q", false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "x");
	wait_s(1000000);
	client_expect_nothing(&client);
	finish();
}

/* More connections than are looked at in a turn would be too many for the rig: two, of which one is overdue.
 */
static void others_are_not_touched(void)
{
	struct client other;

	begin_seconds(TIMEOUT_S);
	client_open(&other, &rig);
	client_channel(&other, 7);
	client_get(&other, 7, "q", false);
	client_expect_text(&other, 7, AMQP091_METHOD_BASIC_GET_OK, "x");
	wait_s(TIMEOUT_S + 61);
	client_expect_channel_close(&other, 7, AMQP091_REPLY_PRECONDITION_FAILED, 0);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 3);
	client_close(&other);
	finish();
}

/* Channels count, not their connections: the second of these has its turn later. */
static void it_is_looked_at_in_slices(void)
{
	enum { CHANNELS = 300 };
	struct rig_options o = rig_options();
	struct client_options many = client_options();
	struct client other;

	o.server.consumer_timeout_us = TIMEOUT_S * UINT64_C(1000000);
	o.server.channels_max = 2 * CHANNELS;
	o.server.channel_max = many.channel_max = CHANNELS;
	test_begin(&rig, &o);
	client_open_with(&client, &rig, &many);
	client_open_with(&other, &rig, &many);
	for (uint16_t i = 1; i <= CHANNELS; i++) {
		client_channel(&client, i);
		client_channel(&other, i);
	}
	rig_advance(&rig, 1000000);
	rig.now_us += TIMEOUT_S * UINT64_C(1000000);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(rig.server->overdue_left, 2);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(rig.server->overdue_left, 1);
	CU_ASSERT_EQUAL(rig.source->next_us(rig.source), rig.now_us); /* no sleep in between */
	rig_turn(&rig);
	CU_ASSERT_EQUAL(rig.server->overdue_left, 0);
	client_close(&other);
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"an_overdue_delivery_ends_its_channel", an_overdue_delivery_ends_its_channel},
			{"the_oldest_counts", the_oldest_counts},
			{"a_short_limit_is_short", a_short_limit_is_short},
			{"what_is_settled_in_time_goes_on", what_is_settled_in_time_goes_on},
			{"without_a_limit_it_may_take_for_ever", without_a_limit_it_may_take_for_ever},
			{"others_are_not_touched", others_are_not_touched},
			{"it_is_looked_at_in_slices", it_is_looked_at_in_slices}, {0}});
}
