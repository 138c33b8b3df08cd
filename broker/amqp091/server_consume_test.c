/* SPDX-License-Identifier: Apache-2.0 */
/* Getting, consuming, settling, prefetch and cancelling. */
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

static struct rig rig;
static struct client client, other;

static void begin(void)
{
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void open_other(void)
{
	client_open(&other, &rig);
	client_channel(&other, 1);
}

static void publish(const char *text)
{
	client_publish(&client, 1, "", "q", text, (uint32_t)strlen(text));
}

static void publish_many(unsigned n)
{
	char text[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "m%u", i);
		publish(text);
	}
}

/* The next delivery, its tag. */
static uint64_t delivered(struct client *c, const char *consumer, const char *text, bool redelivered)
{
	const struct amqp091_basic_deliver *d =
		&client_expect_text(c, 1, AMQP091_METHOD_BASIC_DELIVER, text)->args.basic_deliver;

	CU_ASSERT_EQUAL(d->consumer_tag.len, strlen(consumer));
	CU_ASSERT_EQUAL(memcmp(d->consumer_tag.data, consumer, d->consumer_tag.len), 0);
	CU_ASSERT_EQUAL(d->redelivered, redelivered);
	return d->delivery_tag;
}

static void delivered_many(unsigned n, uint64_t first_tag, bool redelivered)
{
	char text[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "m%u", i);
		CU_ASSERT_EQUAL(delivered(&client, "tag", text, redelivered), first_tag + i);
	}
}

static struct broker_core_stats core_stats(void)
{
	struct broker_core_stats stats;

	broker_core_stats(rig.core, &stats);
	return stats;
}

static void get(void)
{
	begin();
	client_get(&client, 1, "q", false);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	publish_many(3);
	client_get(&client, 1, "q", true);
	const struct amqp091_method *m = client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "m0");
	CU_ASSERT_EQUAL(m->args.basic_get_ok.message_count, 2);
	CU_ASSERT_EQUAL(m->args.basic_get_ok.delivery_tag, 1);
	CU_ASSERT_FALSE(m->args.basic_get_ok.redelivered);
	client_get(&client, 1, "", false); /* the queue declared last */
	m = client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "m1");
	CU_ASSERT_EQUAL(m->args.basic_get_ok.delivery_tag, 2);
	client_nack(&client, 1, 2, false, true);
	client_get(&client, 1, "q", false);
	m = client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "m1");
	CU_ASSERT_EQUAL(m->args.basic_get_ok.delivery_tag, 3);
	CU_ASSERT_TRUE(m->args.basic_get_ok.redelivered);
	client_ack(&client, 1, 3, false);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 0);
	/* What was got without an ack's tag cannot be settled. */
	client_get(&client, 1, "q", true);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "m2");
	client_ack(&client, 1, 4, false);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	finish();
}

static void consume_without_ack(void)
{
	begin();
	publish_many(2);
	client_consume(&client, 1, "q", "tag", true);
	delivered_many(2, 1, false);
	publish("live");
	CU_ASSERT_EQUAL(delivered(&client, "tag", "live", false), 3);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 0);
	finish();
}

static void acknowledge(void)
{
	begin();
	publish_many(10);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(10, 1, false);
	client_ack(&client, 1, 2, false);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 9);
	client_ack(&client, 1, 5, true);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 5);
	/* 0 means all so far. */
	client_ack(&client, 1, 0, true);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 0);
	client_ack(&client, 1, 0, true);
	client_expect_nothing(&client);
	client_ack(&client, 1, 2, false);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	client_channel(&client, 1);
	client_ack(&client, 1, 0, false);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	client_channel(&client, 1);
	client_ack(&client, 1, 11, true);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	finish();
}

static void refuse(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_REJECT};

	begin();
	publish_many(3);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(3, 1, false);
	m.args.basic_reject = (struct amqp091_basic_reject){2, true};
	client_method(&client, 1, &m);
	CU_ASSERT_EQUAL(delivered(&client, "tag", "m1", true), 4);
	m.args.basic_reject = (struct amqp091_basic_reject){4, false};
	client_method(&client, 1, &m);
	client_expect_nothing(&client);
	client_nack(&client, 1, 3, true, true); /* 1 and 3 */
	CU_ASSERT_EQUAL(delivered(&client, "tag", "m0", true), 5);
	CU_ASSERT_EQUAL(delivered(&client, "tag", "m2", true), 6);
	client_nack(&client, 1, 0, true, false);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 0);
	finish();
}

static void recover(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	begin();
	publish_many(3);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(3, 1, false);
	m.args.basic_recover.requeue = true;
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_RECOVER_OK);
	delivered_many(3, 4, true);
	m.id = AMQP091_METHOD_BASIC_RECOVER_ASYNC;
	client_method(&client, 1, &m);
	delivered_many(3, 7, true);
	finish();
}

static void prefetch_per_consumer(void)
{
	begin();
	client_qos(&client, 1, 2, false);
	publish_many(5);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(2, 1, false);
	client_expect_nothing(&client);
	client_ack(&client, 1, 1, false);
	CU_ASSERT_EQUAL(delivered(&client, "tag", "m2", false), 3);
	client_expect_nothing(&client);
	/* A second consumer has its own; messages got are nobody's. */
	client_consume(&client, 1, "q", "two", false);
	CU_ASSERT_EQUAL(delivered(&client, "two", "m3", false), 4);
	CU_ASSERT_EQUAL(delivered(&client, "two", "m4", false), 5);
	publish("m5");
	client_get(&client, 1, "q", false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "m5");
	publish("m6");
	client_expect_nothing(&client);
	client_ack(&client, 1, 0, true);
	/* Both are ready again. */
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m6");
	finish();
}

static void prefetch_per_channel(void)
{
	begin();
	client_qos(&client, 1, 3, true);
	publish_many(6);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(3, 1, false);
	client_consume(&client, 1, "q", "two", false);
	client_expect_nothing(&client);
	client_ack(&client, 1, 2, true);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m3");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m4");
	client_expect_nothing(&client);
	/* A larger one is felt at once, none at all as well. */
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_QOS};
	m.args.basic_qos.global = true;
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_QOS_OK);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m5");
	finish();
}

/* What one consumer of the channel settles is room for another, of another queue. */
static void prefetch_per_channel_of_two_queues(void)
{
	begin();
	client_declare(&client, 1, "p");
	client_qos(&client, 1, 1, true);
	client_consume(&client, 1, "q", "tag", false);
	client_consume(&client, 1, "p", "two", false);
	publish("m0");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m0");
	client_publish(&client, 1, "", "p", "m1", 2);
	client_expect_nothing(&client);
	client_nack(&client, 1, 1, false, false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m1");
	publish("m2");
	client_expect_nothing(&client);
	client_ack(&client, 1, 2, false);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "m2");
	finish();
}

static void send_cancel(struct client *c, const char *tag, bool no_wait)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};

	m.args.basic_cancel = (struct amqp091_basic_cancel){str(tag), no_wait};
	client_method(c, 1, &m);
}

static void cancel(void)
{
	begin();
	publish_many(1);
	client_qos(&client, 1, 1, true);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(1, 1, false);
	send_cancel(&client, "tag", false);
	const struct amqp091_method *m = client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	CU_ASSERT_EQUAL(m->args.basic_cancel_ok.consumer_tag.len, 3);
	publish("later");
	client_expect_nothing(&client);
	/* What it had is still to be settled, and counts for nobody. */
	client_consume(&client, 1, "q", "new", false);
	CU_ASSERT_EQUAL(delivered(&client, "new", "later", false), 2);
	client_ack(&client, 1, 1, false);
	send_cancel(&client, "nobody", false);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
	send_cancel(&client, "new", true);
	client_expect_nothing(&client);
	client_ack(&client, 1, 2, false);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(core_stats().messages_unacked, 0);
	finish();
}

static void closing_requeues(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_CLOSE};

	begin();
	publish_many(3);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(3, 1, false);
	open_other();
	client_consume(&other, 1, "q", "tag", false);
	client_expect_nothing(&other);
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	CU_ASSERT_EQUAL(delivered(&other, "tag", "m0", true), 1);
	CU_ASSERT_EQUAL(delivered(&other, "tag", "m1", true), 2);
	CU_ASSERT_EQUAL(delivered(&other, "tag", "m2", true), 3);
	client_drop(&other);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 3);
	finish();
}

static void delete_queue(struct client *c, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	m.args.queue_delete.queue = str(queue);
	client_method(c, 1, &m);
}

/* RabbitMQ's consumer_cancel_notify, for those who asked for it; own consumers and others' hear the same. */
static void cancelled_with_the_queue(void)
{
	struct client_options silent = client_options();
	struct client third;

	silent.notify_cancel = false;
	begin();
	open_other();
	client_open_with(&third, &rig, &silent);
	client_channel(&third, 1);
	client_consume(&client, 1, "q", "own", false);
	client_consume(&client, 1, "q", "own too", false);
	client_consume(&other, 1, "q", "others", false);
	client_consume(&third, 1, "q", "silent", false);
	publish("unsettled");
	CU_ASSERT_EQUAL(delivered(&client, "own", "unsettled", false), 1);
	delete_queue(&client, "q");
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_CANCEL);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	const struct amqp091_method *m = client_expect(&other, 1, AMQP091_METHOD_BASIC_CANCEL);
	CU_ASSERT_EQUAL(m->args.basic_cancel.consumer_tag.len, 6);
	CU_ASSERT_TRUE(m->args.basic_cancel.no_wait);
	client_expect_nothing(&third);
	/* The tag is known still: what was delivered may be settled. */
	client_ack(&client, 1, 1, false);
	client_expect_nothing(&client);
	client_close(&other);
	client_close(&third);
	finish();
}

static void auto_delete(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	begin();
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("auto"), .auto_delete = true};
	for (unsigned by = 0; by < 3; by++) {
		client_method(&client, 1, &m);
		client_expect(&client, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
		open_other();
		client_consume(&other, 1, "auto", "tag", false);
		client_publish(&client, 1, "", "auto", "x", 1);
		CU_ASSERT_EQUAL(delivered(&other, "tag", "x", false), 1);
		CU_ASSERT_EQUAL(core_stats().queues, 2);
		if (by == 0) {
			send_cancel(&other, "tag", false);
			client_expect(&other, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
			CU_ASSERT_EQUAL(core_stats().queues, 1);
			client_ack(&other, 1, 1, false);
			client_close(&other);
		} else if (by == 1) {
			client_close(&other);
		} else {
			client_drop(&other);
		}
		CU_ASSERT_EQUAL(core_stats().queues, 1);
	}
	finish();
}

static void exclusive(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	begin();
	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str("mine"), .exclusive = true};
	for (unsigned by = 0; by < 3; by++) {
		open_other();
		client_method(&other, 1, &m);
		client_expect(&other, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
		client_consume(&other, 1, "mine", "tag", false);
		client_publish(&other, 1, "", "mine", "x", 1);
		CU_ASSERT_EQUAL(delivered(&other, "tag", "x", false), 1);
		client_get(&client, 1, "mine", false);
		client_expect_channel_close(
			&client, 1, AMQP091_REPLY_RESOURCE_LOCKED, AMQP091_METHOD_BASIC_GET);
		client_channel(&client, 1);
		if (by == 0) {
			client_close(&other);
		} else if (by == 1) {
			client_drop(&other);
		} else {
			client_plain(&other, 0, AMQP091_METHOD_BASIC_ACK);
			client_expect_ended(&other, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_BASIC_ACK);
		}
		CU_ASSERT_EQUAL(core_stats().queues, 1);
	}
	/* An exclusive consumer alone. */
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_CONSUME};
	m.args.basic_consume.queue = str("q");
	m.args.basic_consume.exclusive = true;
	client_method(&client, 1, &m);
	const struct amqp091_method *ok = client_expect(&client, 1, AMQP091_METHOD_BASIC_CONSUME_OK);
	CU_ASSERT_TRUE(ok->args.basic_consume_ok.consumer_tag.len > 8);
	open_other();
	m.args.basic_consume.exclusive = false;
	client_method(&other, 1, &m);
	client_expect_channel_close(&other, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_BASIC_CONSUME);
	client_close(&other);
	finish();
}

/* The exception leaves in the middle of everything: consumers, unsettled messages, half a content. */
static void exception_in_full_swing(void)
{
	begin();
	publish_many(5);
	client_channel(&client, 2);
	client_consume(&client, 1, "q", "tag", false);
	delivered_many(5, 1, false);
	client_publish_method(&client, 2, "", "q", false);
	client_content_header(&client, 2, 100000);
	client_body(&client, 2, "beginning", 9);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 0);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "");
	client_plain(&client, 0, AMQP091_METHOD_BASIC_ACK);
	client_expect_ended(&client, AMQP091_REPLY_CHANNEL_ERROR, AMQP091_METHOD_BASIC_ACK);
	struct broker_core_stats stats = core_stats();
	CU_ASSERT_EQUAL(stats.messages_unacked, 0);
	CU_ASSERT_EQUAL(stats.messages_ready, 6);
	CU_ASSERT_EQUAL(stats.consumers, 0);
	test_end(&rig);
}

static const struct unit_test tests[] = {
	{"get", get},
	{"consume_without_ack", consume_without_ack},
	{"acknowledge", acknowledge},
	{"refuse", refuse},
	{"recover", recover},
	{"prefetch_per_consumer", prefetch_per_consumer},
	{"prefetch_per_channel", prefetch_per_channel},
	{"prefetch_per_channel_of_two_queues", prefetch_per_channel_of_two_queues},
	{"cancel", cancel},
	{"closing_requeues", closing_requeues},
	{"cancelled_with_the_queue", cancelled_with_the_queue},
	{"auto_delete", auto_delete},
	{"exclusive", exclusive},
	{"exception_in_full_swing", exception_in_full_swing},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
