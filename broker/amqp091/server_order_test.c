/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers that are not equal, as octets: x-priority and x-single-active-consumer, also across cores. `here`
 * is a client of the first core, `there` one of the second, which owns the queue q where there are two. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

static struct rig rig;
static struct client here, there;
static uint8_t table_bytes[256];
static struct amqp091_table_builder table;

static struct amqp091_table_builder *arguments(void)
{
	amqp091_table_build(&table, table_bytes, sizeof(table_bytes));
	return &table;
}

/* With what has been built since arguments(). */
static void declare(struct client *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str("q");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
	client_method(c, 1, &m);
	client_expect(c, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
}

static void consume_send(struct client *c, const char *tag, bool exclusive)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	m.args.basic_consume = (struct amqp091_basic_consume){
		.queue = str("q"), .consumer_tag = str(tag), .exclusive = exclusive};
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.basic_consume.arguments), 0);
	client_method(c, 1, &m);
}

static void consume(struct client *c, const char *tag, int32_t priority)
{
	amqp091_table_add_int32(arguments(), "x-priority", priority);
	consume_send(c, tag, false);
	client_expect(c, 1, AMQP091_METHOD_BASIC_CONSUME_OK);
}

static void begin(uint32_t cores, bool single)
{
	struct rig_options o = rig_options();

	o.cores = cores;
	test_begin(&rig, &o);
	client_open_at(&here, &rig, 0);
	client_open_at(&there, &rig, cores - 1);
	client_channel(&here, 1);
	client_channel(&there, 1);
	arguments();
	if (single)
		amqp091_table_add_bool(&table, "x-single-active-consumer", true);
	declare(&there);
}

static void finish(void)
{
	client_close(&here);
	client_close(&there);
	test_end(&rig);
}

static void publish(const char *body)
{
	client_publish(&there, 1, "", "q", body, (uint32_t)strlen(body));
}

static void expect_delivery(struct client *c, const char *tag, const char *body)
{
	const struct amqp091_method *m = client_expect_text(c, 1, AMQP091_METHOD_BASIC_DELIVER, body);
	struct amqp091_shortstr got = m->args.basic_deliver.consumer_tag;

	CU_ASSERT_EQUAL(got.len, strlen(tag));
	CU_ASSERT_EQUAL(memcmp(got.data, tag, got.len), 0);
}

static void cancel(struct client *c, const char *tag)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};

	m.args.basic_cancel.consumer_tag = str(tag);
	client_method(c, 1, &m);
	client_expect(c, 1, AMQP091_METHOD_BASIC_CANCEL_OK);
}

static void the_higher_one_comes_first_with(uint32_t cores)
{
	begin(cores, false);
	client_qos(&here, 1, 1, false);
	consume(&there, "low", -1);
	consume(&here, "high", 10);
	rig_settle(&rig);
	publish("a");
	expect_delivery(&here, "high", "a");
	publish("b");
	expect_delivery(&there, "low", "b");
	client_ack(&here, 1, 1, false);
	rig_settle(&rig);
	publish("c");
	expect_delivery(&here, "high", "c");
	client_ack(&here, 1, 2, false);
	cancel(&here, "high");
	publish("d");
	expect_delivery(&there, "low", "d");
	finish();
}

static void the_higher_one_comes_first(void)
{
	the_higher_one_comes_first_with(1);
	the_higher_one_comes_first_with(2);
}

static void one_is_active_with(uint32_t cores)
{
	begin(cores, true);
	consume(&here, "first", 0);
	consume(&there, "second", 0);
	consume(&there, "third", 5);
	publish("a");
	publish("b");
	expect_delivery(&here, "first", "a");
	expect_delivery(&here, "first", "b");
	client_expect_nothing(&there);
	/* What it had comes again, to the next one. */
	client_drop(&here);
	expect_delivery(&there, "third", "a");
	expect_delivery(&there, "third", "b");
	cancel(&there, "third");
	publish("c");
	expect_delivery(&there, "second", "c");
	client_open_at(&here, &rig, 0);
	finish();
}

static void one_is_active(void)
{
	one_is_active_with(1);
	one_is_active_with(2);
}

static void what_makes_no_sense_is_refused(void)
{
	begin(2, true);
	amqp091_table_add_cstring(arguments(), "x-priority", "high");
	consume_send(&here, "c", false);
	client_expect_refusal(&here, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
		"PRECONDITION_FAILED - invalid arg 'x-priority' for queue "
		"'q' in vhost '/': \"expected integer, got longstr\"");
	arguments();
	consume_send(&here, "c", true);
	client_expect_refusal(&here, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_BASIC_CONSUME,
		"ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"the_higher_one_comes_first", the_higher_one_comes_first},
			{"one_is_active", one_is_active},
			{"what_makes_no_sense_is_refused", what_makes_no_sense_is_refused}, {0}});
}
