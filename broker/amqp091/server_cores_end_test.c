/* SPDX-License-Identifier: Apache-2.0 */
/* What ends while another core has been asked: the connection, the channel, the queue; or it moves. The
 * answer that comes too late meets nobody, what it carries goes back, and nothing is left. */
#include "broker/amqp091/testing/rig_test.h"

#include "broker/core/core.h"

#include <string.h>

enum { OWNER = 1 };

static struct rig rig;
static struct client here, there;

static void begin(unsigned cores)
{
	struct rig_options o = rig_options();

	o.cores = cores;
	test_begin(&rig, &o);
	client_open_at(&here, &rig, 0);
	client_open_at(&there, &rig, OWNER);
	client_channel(&here, 1);
	client_channel(&there, 1);
	client_declare(&there, 1, "q");
	client_publish(&there, 1, "", "q", "first", 5);
	client_publish(&there, 1, "", "q", "second", 6);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 2);
}

enum asked { PASSIVE, GET, GET_SETTLED, PURGE, DELETE, CONSUME, CANCEL, ASKED };

static void ask(struct client *c, uint16_t channel, enum asked what)
{
	static const uint32_t ids[ASKED] = {AMQP091_METHOD_QUEUE_DECLARE, AMQP091_METHOD_BASIC_GET,
		AMQP091_METHOD_BASIC_GET, AMQP091_METHOD_QUEUE_PURGE, AMQP091_METHOD_QUEUE_DELETE,
		AMQP091_METHOD_BASIC_CONSUME, AMQP091_METHOD_BASIC_CANCEL};
	struct amqp091_method m = {.id = ids[what]};

	switch (what) {
	case PASSIVE:
		m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("q"), .passive = true};
		break;
	case GET:
	case GET_SETTLED:
		m.args.basic_get = (struct amqp091_basic_get){str("q"), what == GET_SETTLED};
		break;
	case PURGE:
		m.args.queue_purge.queue = str("q");
		break;
	case DELETE:
		m.args.queue_delete.queue = str("q");
		break;
	case CONSUME:
		m.args.basic_consume = (struct amqp091_basic_consume){
			.queue = str("q"), .consumer_tag = str("h")};
		break;
	default:
		m.args.basic_cancel.consumer_tag = str("h");
	}
	client_method(c, channel, &m);
}

/* Asked, and the owner has not looked yet. */
static void ask_and_stop(enum asked what)
{
	if (what == CANCEL) {
		client_qos(&here, 1, 1, false);
		client_consume(&there, 1, "q", "t", false); /* it stays where it is */
		client_expect_text(&there, 1, AMQP091_METHOD_BASIC_DELIVER, "first");
		client_expect_text(&there, 1, AMQP091_METHOD_BASIC_DELIVER, "second");
		client_consume(&here, 1, "q", "h", false);
	}
	rig.cores[OWNER].stopped = true;
	ask(&here, 1, what);
	client_expect_nothing(&here);
}

static void go_on(void)
{
	rig.cores[OWNER].stopped = false;
	rig_settle(&rig);
}

static uint32_t left_after(enum asked what)
{
	return what == PURGE || what == CANCEL ? 0 : what == GET_SETTLED ? 1 : 2;
}

static void check_left(enum asked what)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	if (what != DELETE) {
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), left_after(what));
		CU_ASSERT_EQUAL(there.method.args.queue_declare_ok.consumer_count, what == CANCEL);
		return;
	}
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("q"), .passive = true};
	client_method(&there, 1, &m);
	client_expect_channel_close(&there, 1, 404, AMQP091_METHOD_QUEUE_DECLARE);
}

static void connection_is_reset(void)
{
	for (enum asked what = 0; what < ASKED; what++) {
		begin(2);
		ask_and_stop(what);
		client_drop(&here);
		go_on();
		check_left(what);
		client_close(&there);
		test_end(&rig);
	}
}

/* The peer says nothing more, but it hears: the answer comes, then the end. */
static void connection_is_half_closed(void)
{
	static const uint32_t answer[ASKED] = {AMQP091_METHOD_QUEUE_DECLARE_OK, AMQP091_METHOD_BASIC_GET_OK,
		AMQP091_METHOD_BASIC_GET_OK, AMQP091_METHOD_QUEUE_PURGE_OK, AMQP091_METHOD_QUEUE_DELETE_OK,
		AMQP091_METHOD_BASIC_CONSUME_OK, AMQP091_METHOD_BASIC_CANCEL_OK};

	for (enum asked what = 0; what < ASKED; what++) {
		begin(2);
		ask_and_stop(what);
		here.link.fin = true;
		client_expect_nothing(&here);
		rig.cores[OWNER].stopped = false;
		client_expect(&here, 1, answer[what]);
		CU_ASSERT_TRUE(here.link.shut && here.link.closed);
		rig_detach(&rig, &here.link);
		check_left(what);
		client_close(&there);
		test_end(&rig);
	}
}

static void server_closes_the_connection(void)
{
	for (enum asked what = 0; what < ASKED; what++) {
		begin(2);
		ask_and_stop(what);
		amqp091_server_shutdown(rig.cores[0].server, "test");
		client_expect_close(&here, 320, 0);
		go_on();
		client_expect_nothing(&here);
		client_plain(&here, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
		client_expect_nothing(&here);
		client_drop(&here);
		check_left(what);
		client_close(&there);
		test_end(&rig);
	}
}

/* A delivery on the asking channel that its client cannot be given closes the channel; its number is used
 * again before the answer to the first one comes. */
static void channel_ends_and_its_number_begins_again(void)
{
	for (enum asked what = 0; what < CONSUME; what++) {
		static struct client small;
		struct client_options o = client_options();

		if (what == GET || what == GET_SETTLED)
			continue; /* nothing is delivered while a get is out */
		begin(2);
		o.frame_max = 4096;
		client_open_with(&small, &rig, &o);
		client_channel(&small, 1);
		client_declare(&small, 1, "own");
		client_consume(&small, 1, "own", "s", false);
		rig.cores[OWNER].stopped = true;
		ask(&small, 1, what);
		client_expect_nothing(&small);
		client_publish_method(&here, 1, "", "own", false);
		client_content_header_with(&here, 1, 0, 6000);
		client_expect_channel_close(&small, 1, 311, AMQP091_METHOD_BASIC_CONSUME);
		client_channel(&small, 1);
		go_on();
		client_expect_nothing(&small);
		client_declare(&small, 1, "other");
		check_left(what);
		client_close(&small);
		client_close(&here);
		client_close(&there);
		test_end(&rig);
	}
}

/* It is gone when the question arrives: the owner's own client was faster. */
static void queue_is_deleted(void)
{
	for (enum asked what = 0; what < ASKED; what++) {
		begin(2);
		ask_and_stop(what);
		ask(&there, 1, DELETE);
		rig.cores[OWNER].stopped = false;
		switch (what) {
		case DELETE:
			client_expect(&here, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
			CU_ASSERT_EQUAL(here.method.args.queue_delete_ok.message_count, 0);
			break;
		case CANCEL:
			client_expect(&here, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
			break;
		case PASSIVE:
			client_expect_channel_close(&here, 1, 404, AMQP091_METHOD_QUEUE_DECLARE);
			break;
		case PURGE:
			client_expect_channel_close(&here, 1, 404, AMQP091_METHOD_QUEUE_PURGE);
			break;
		case CONSUME:
			client_expect_channel_close(&here, 1, 404, AMQP091_METHOD_BASIC_CONSUME);
			break;
		default:
			client_expect_channel_close(&here, 1, 404, AMQP091_METHOD_BASIC_GET);
		}
		client_expect_nothing(&here);
		client_drop(&there);
		client_close(&here);
		test_end(&rig);
	}
}

/* The third core asks while the queue goes from the second to the first, after so many turns. */
static void ask_on_the_way(enum asked what, unsigned turns)
{
	static struct client third;

	begin(3);
	client_open_at(&third, &rig, 2);
	client_channel(&third, 1);
	client_qos(&here, 1, 1, false);
	ask(&here, 1, CONSUME);
	for (unsigned i = 0; i < turns; i++)
		rig_turn(&rig);
	rig.cores[OWNER].stopped = turns % 2;
	ask(&third, 1, what);
	rig_turn(&rig);
	rig_turn(&rig);
	rig.cores[OWNER].stopped = false;
	rig_settle(&rig);
	client_drop(&third); /* whatever it got */
	client_drop(&here);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(amqp091_server_conn_count(rig.cores[0].server), 0);
	client_close(&there);
	test_end(&rig);
}

static void queue_moves(void)
{
	for (enum asked what = 0; what < CANCEL; what++)
		for (unsigned turns = 0; turns < 12; turns++)
			ask_on_the_way(what, turns);
}

/* Nothing was confirmed, nothing may be: the channel has gone. */
static void confirms_after_the_end(void)
{
	begin(2);
	client_confirm_select(&here, 1);
	rig.cores[OWNER].stopped = true;
	client_publish(&here, 1, "", "q", "third", 5);
	client_plain(&here, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect(&here, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&here, 1);
	go_on();
	client_expect_nothing(&here);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 3);
	client_close(&here);
	client_close(&there);
	test_end(&rig);
}

/* Its place in the ring comes free when its publisher has gone. */
static void publisher_ends_while_it_waits(void)
{
	struct rig_options o = rig_options();

	for (unsigned how = 0; how < 3; how++) {
		o.cores = 2;
		o.link_records = 2;
		test_begin(&rig, &o);
		client_open_at(&here, &rig, 0);
		client_open_at(&there, &rig, OWNER);
		client_channel(&here, 1);
		client_channel(&there, 1);
		client_declare(&there, 1, "q");
		rig.cores[OWNER].stopped = true;
		for (unsigned i = 0; i < 5; i++)
			client_publish(&here, 1, "", "q", "x", 1);
		client_expect_nothing(&here);
		if (how == 1) {
			here.link.fin = true;
			client_expect_nothing(&here);
		} else if (how == 2) {
			amqp091_server_shutdown(rig.cores[0].server, "test");
			client_expect_close(&here, 320, 0);
		}
		if (how != 1)
			client_drop(&here);
		go_on();
		/* What was read before the end of the stream counts. */
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), how == 1 ? 5 : 2);
		if (how == 1) {
			CU_ASSERT_TRUE(here.link.closed);
			rig_detach(&rig, &here.link);
		}
		client_close(&there);
		test_end(&rig);
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"connection_is_reset", connection_is_reset},
			{"connection_is_half_closed", connection_is_half_closed},
			{"server_closes_the_connection", server_closes_the_connection},
			{"channel_ends_and_its_number_begins_again",
				channel_ends_and_its_number_begins_again},
			{"queue_is_deleted", queue_is_deleted}, {"queue_moves", queue_moves},
			{"confirms_after_the_end", confirms_after_the_end},
			{"publisher_ends_while_it_waits", publisher_ends_while_it_waits}, {NULL, NULL}});
}
