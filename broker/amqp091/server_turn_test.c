/* SPDX-License-Identifier: Apache-2.0 */
/* What one connection may do in one turn, counted in turns and not in time; and settling by tag, in slices.
 */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <stdlib.h>

static struct rig rig;
static struct client client, other, third, fourth;

static void begin(uint32_t unacked_max)
{
	struct rig_options o = rig_options();

	o.server.unacked_max = unacked_max;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	client_open(&other, &rig);
	client_channel(&other, 1);
}

static void finish(void)
{
	client_close(&client);
	client_close(&other);
	test_end(&rig);
}

static uint64_t frames(void)
{
	return amqp091_server_counters(rig.server)->frames_received;
}

static uint64_t unacked(void)
{
	struct broker_core_stats stats;

	broker_core_stats(rig.core, &stats);
	return stats.messages_unacked;
}

static void publish(unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		client_publish(&other, 1, "", "q", &i, sizeof(i));
	rig_settle(&rig);
}

/* Takes n deliveries on a channel, whose tags begin with `first` and whose bodies are numbers from `from`. */
static void taken(uint16_t channel, unsigned n, uint64_t first, unsigned from)
{
	struct client_content content;
	unsigned bad = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct amqp091_method *m = client_expect_content(
			&client, channel, AMQP091_METHOD_BASIC_DELIVER, &content);
		unsigned body = 0;
		if (content.bytes == sizeof(body))
			memcpy(&body, content.body, sizeof(body));
		bad += m->args.basic_deliver.delivery_tag != first + i || body != from + i;
		client_content_free(&content);
	}
	CU_ASSERT_EQUAL(bad, 0);
}

/* Everything has arrived in one turn, and is worked through in shares. */
static void flood(void)
{
	enum { TURNS = 4 };
	uint8_t beat[AMQP091_HEARTBEAT_SIZE];

	begin(10);
	amqp091_heartbeat_put(beat);
	for (unsigned i = 0; i < TURNS * AMQP091_INPUT_BUDGET; i++)
		client_raw(&client, beat, sizeof(beat));
	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint64_t before = frames();
		CU_ASSERT_EQUAL(rig.source->sleep_prepare(rig.source), turn == 0);
		rig_turn(&rig);
		CU_ASSERT_EQUAL(frames() - before, AMQP091_INPUT_BUDGET);
	}
	uint64_t before = frames();
	rig_turn(&rig);
	CU_ASSERT_EQUAL(frames(), before);
	CU_ASSERT_TRUE(rig.source->sleep_prepare(rig.source));
	finish();
}

/* Looking through many consumers takes as much of the share as there are of them, whatever it is for. */
static void many_consumers(void)
{
	enum { CONSUMERS = 64 * AMQP091_CONSUMERS_A_FRAME, FRAMES = AMQP091_INPUT_BUDGET };
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME},
			      each[3] = {{.id = AMQP091_METHOD_BASIC_CANCEL},
				      {.id = AMQP091_METHOD_BASIC_RECOVER_ASYNC},
				      {.id = AMQP091_METHOD_BASIC_QOS}};
	struct rig_options o = rig_options();

	o.server.consumers_max = o.limits.consumers = CONSUMERS;
	test_begin(&rig, &o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	m.args.basic_consume = (struct amqp091_basic_consume){.queue = str("q"), .no_wait = true};
	for (unsigned i = 0; i < CONSUMERS; i++)
		client_method(&client, 1, &m);
	rig_settle(&rig);
	each[0].args.basic_cancel = (struct amqp091_basic_cancel){.consumer_tag = str("c"), .no_wait = true};
	each[1].args.basic_recover_async.requeue = true;
	each[2].args.basic_qos = (struct amqp091_basic_qos){.prefetch_count = 1, .global = true};
	for (unsigned kind = 0; kind < 3; kind++) {
		for (unsigned i = 0; i < FRAMES; i++)
			client_method(&client, 1, &each[kind]);
		uint64_t before = frames();
		rig_turn(&rig);
		CU_ASSERT_TRUE(frames() - before <= AMQP091_INPUT_BUDGET / 64);
		CU_ASSERT_TRUE(frames() > before);
		rig_settle(&rig);
		CU_ASSERT_EQUAL(frames() - before, FRAMES);
	}
	client_drop(&client);
	test_end(&rig);
}

/* It is asked for its next turn at once, and the bystander does not wait until the flood is over. */
static void bystander(void)
{
	uint8_t beat[AMQP091_HEARTBEAT_SIZE];
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_GET};

	begin(10);
	amqp091_heartbeat_put(beat);
	for (unsigned i = 0; i < 3 * AMQP091_INPUT_BUDGET; i++)
		client_raw(&client, beat, sizeof(beat));
	m.args.basic_get.queue = str("q");
	client_method(&other, 1, &m);
	size_t said = other.link.out.end;
	rig_turn(&rig);
	CU_ASSERT_TRUE(other.link.out.end > said);
	CU_ASSERT_TRUE(rig.source->next_us(rig.source) <= rig.now_us);
	client_expect(&other, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	finish();
}

/* All of them together have a share as well, and each has its part of it. */
static void many_floods(void)
{
	enum { MORE = 6, ALL = MORE + 2, TURNS = 2 * ALL * AMQP091_INPUT_BUDGET / AMQP091_TURN_BUDGET };
	static struct client more[MORE];
	struct client *all[ALL] = {&client, &other};
	uint8_t beat[AMQP091_HEARTBEAT_SIZE];

	begin(10);
	amqp091_heartbeat_put(beat);
	for (unsigned i = 0; i < MORE; i++) {
		client_open(&more[i], &rig);
		all[2 + i] = &more[i];
	}
	for (unsigned i = 0; i < ALL; i++)
		for (unsigned n = 0; n < 2 * AMQP091_INPUT_BUDGET; n++)
			client_raw(all[i], beat, sizeof(beat));
	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint64_t before = frames();
		rig_turn(&rig);
		CU_ASSERT_EQUAL(frames() - before, AMQP091_TURN_BUDGET);
		for (unsigned i = 0; i < ALL && turn == TURNS / 2 - 1; i++)
			CU_ASSERT_EQUAL(all[i]->link.rx.bytes, AMQP091_INPUT_BUDGET * sizeof(beat));
	}
	for (unsigned i = 0; i < MORE; i++)
		client_close(&more[i]);
	finish();
}

/* What comes in a turn may leave in it: consumers that can take it need no backlog. */
static void as_much_out_as_in(void)
{
	enum { N = AMQP091_INPUT_BUDGET / AMQP091_CONTENT_FRAMES };
	struct client *publishers[] = {&other, &third, &fourth};

	begin(10);
	client_open(&third, &rig);
	client_channel(&third, 1);
	client_open(&fourth, &rig);
	client_channel(&fourth, 1);
	client_consume(&client, 1, "q", "tag", true);
	rig_settle(&rig);
	for (unsigned p = 0; p < 3; p++)
		for (unsigned i = 0; i < N; i++)
			client_publish(publishers[p], 1, "", "q", "x", 1);
	rig_turn(&rig);
	struct broker_core_stats stats;
	broker_core_stats(rig.core, &stats);
	CU_ASSERT_EQUAL(stats.delivered, 3 * N);
	CU_ASSERT_TRUE(3 * N > AMQP091_DELIVER_BUDGET);
	client_drop(&third);
	client_drop(&fourth);
	client_drop(&client);
	client_close(&other);
	test_end(&rig);
}

/* A flood that ends with FIN is acted upon all the same. */
static void flood_then_fin(void)
{
	struct client gone;

	begin(10);
	client_open(&gone, &rig);
	client_channel(&gone, 1);
	for (unsigned i = 0; i < AMQP091_INPUT_BUDGET; i++)
		client_publish(&gone, 1, "", "q", "x", 1);
	gone.link.fin = true;
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), AMQP091_INPUT_BUDGET);
	client_drop(&gone);
	finish();
}

static void multiple_in_slices(void)
{
	enum { N = 2 * AMQP091_INPUT_BUDGET + 300 };

	begin(N);
	client_consume(&client, 1, "q", "tag", false);
	publish(0, N);
	taken(1, N, 1, 0);
	client_ack(&client, 1, N - 10, true);
	client_get(&client, 1, "q", true); /* waits behind it */
	for (unsigned left = N - 10, turn = 0; turn < 2; turn++) {
		rig_turn(&rig);
		left -= AMQP091_INPUT_BUDGET;
		CU_ASSERT_EQUAL(unacked(), left + 10);
	}
	client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	CU_ASSERT_EQUAL(unacked(), 10);
	client_ack(&client, 1, N - 9, true);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(unacked(), 9);
	finish();
}

/* What is delivered while a settlement of all goes on is not meant by it. */
static void all_is_what_was_there(void)
{
	enum { N = AMQP091_INPUT_BUDGET + 100 };

	begin(4 * N);
	client_consume(&client, 1, "q", "tag", false);
	publish(0, N);
	taken(1, N, 1, 0);
	client_ack(&client, 1, 0, true);
	for (unsigned i = 0; i < 10; i++)
		client_publish(&other, 1, "", "q", "x", 1);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(unacked(), 10);
	/* And the next one begins anew. */
	client_ack(&client, 1, 0, true);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(unacked(), 0);
	client_nack(&client, 1, 0, true, true);
	for (unsigned i = 0; i < 10; i++)
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "x");
	client_expect_nothing(&client);
	finish();
}

static void recover_in_slices(void)
{
	enum { N = 2 * AMQP091_INPUT_BUDGET };
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	begin(N);
	for (unsigned i = 0; i < N; i++)
		client_publish(&other, 1, "", "q", &i, sizeof(i));
	rig_settle(&rig);
	client_consume(&client, 1, "q", "tag", false);
	taken(1, N, 1, 0);
	struct amqp091_method cancel = {.id = AMQP091_METHOD_BASIC_CANCEL};
	cancel.args.basic_cancel.consumer_tag = str("tag");
	client_method(&client, 1, &cancel);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	m.args.basic_recover.requeue = true;
	client_method(&client, 1, &m);
	rig_turn(&rig);
	CU_ASSERT_EQUAL(unacked(), N - AMQP091_INPUT_BUDGET);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_RECOVER_OK);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(unacked(), 0);
	client_consume(&client, 1, "q", "tag", true);
	taken(1, N, N + 1, 0);
	finish();
}

/* The consumer, the channel, or the connection goes while a settlement is in the middle. */
static void ended_in_the_middle(void)
{
	enum { N = 3 * AMQP091_INPUT_BUDGET };
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	for (unsigned how = 0; how < 2; how++) {
		begin(N);
		client_consume(&client, 1, "q", "tag", false);
		publish(0, N);
		taken(1, N, 1, 0);
		client_ack(&client, 1, 0, true);
		rig_turn(&rig);
		CU_ASSERT_EQUAL(unacked(), N - AMQP091_INPUT_BUDGET);
		if (how) {
			client_drop(&client);
			rig_settle(&rig);
			CU_ASSERT_EQUAL(client_ready_count(&other, 1, "q"), N - AMQP091_INPUT_BUDGET);
			client_close(&other);
			test_end(&rig);
			continue;
		}
		m.args.queue_delete.queue = str("q");
		client_method(&other, 1, &m);
		client_expect(&other, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
		client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL);
		client_expect_nothing(&client);
		finish();
	}
}

/* Two channels with the same tags, settled in a random order, with what is not there refused. */
static void any_order(void)
{
	enum { N = 400 };
	struct {
		uint16_t channel;
		uint64_t tag;
	} order[2 * N];

	begin(2 * N);
	client_channel(&client, 2);
	client_qos(&client, 1, N, false);
	client_qos(&client, 2, N, false);
	publish(0, 2 * N);
	client_consume(&client, 1, "q", "one", false);
	taken(1, N, 1, 0);
	client_consume(&client, 2, "q", "two", false);
	taken(2, N, 1, N);
	for (unsigned i = 0; i < 2 * N; i++) {
		unsigned j = unit_random_below(i + 1);
		order[i] = order[j];
		order[j].channel = (uint16_t)(1 + i % 2);
		order[j].tag = i / 2 + 1;
	}
	for (unsigned i = 0; i < 2 * N; i++) {
		client_ack(&client, order[i].channel, order[i].tag, false);
		rig_settle(&rig);
		if (unacked() != 2 * N - i - 1) {
			CU_FAIL("not exactly one was settled");
			break;
		}
	}
	client_expect_nothing(&client);
	client_ack(&client, 2, 7, false);
	client_expect_channel_close(&client, 2, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	client_ack(&client, 1, N + 1, true);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	finish();
}

/* What the channels of a connection had goes back in shares of all of them together. */
static void many_channels_end(void)
{
	enum { CHANNELS = 5, EACH = 1000 };

	begin(CHANNELS * EACH);
	publish(0, CHANNELS * EACH);
	for (uint16_t i = 2; i < 2 + CHANNELS; i++)
		client_channel(&client, i);
	for (uint16_t i = 2; i < 2 + CHANNELS; i++) {
		for (unsigned n = 0; n < EACH; n++)
			client_get(&client, i, "q", false);
		rig_settle(&rig);
	}
	CU_ASSERT_EQUAL(unacked(), CHANNELS * EACH);
	rig_detach(&rig, &client.link);
	for (unsigned turn = 1; unacked() > 0; turn++) {
		CU_ASSERT_FATAL(turn < 20);
		uint64_t before = unacked();
		rig_turn(&rig);
		CU_ASSERT_TRUE(before - unacked() <= AMQP091_ABANDON_BUDGET);
	}
	client_close(&other);
	test_end(&rig);
}

static const struct unit_test tests[] = {
	{"flood", flood},
	{"many_consumers", many_consumers},
	{"bystander", bystander},
	{"many_floods", many_floods},
	{"as_much_out_as_in", as_much_out_as_in},
	{"flood_then_fin", flood_then_fin},
	{"multiple_in_slices", multiple_in_slices},
	{"all_is_what_was_there", all_is_what_was_there},
	{"recover_in_slices", recover_in_slices},
	{"ended_in_the_middle", ended_in_the_middle},
	{"any_order", any_order},
	{"many_channels_end", many_channels_end},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
