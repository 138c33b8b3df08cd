/* SPDX-License-Identifier: Apache-2.0 */
/* x-delivery-limit as octets: the header x-delivery-count, and what comes back once too often. `here` is a
 * client of the first core, `there` one of the last, which owns the queues. */
#include "broker/amqp091/testing/pair.h"

#include <string.h>

#define DELIVER AMQP091_METHOD_BASIC_DELIVER
#define GET_OK	AMQP091_METHOD_BASIC_GET_OK

enum { NO_COUNT = -1 };

static uint64_t tag; /* of what came last */

static void begin_with(uint32_t cores, int32_t limit, uint32_t frame_max)
{
	struct rig_options o = rig_options();
	struct client_options small = client_options();

	o.cores = cores;
	test_begin(&rig, &o);
	small.frame_max = frame_max ? frame_max : small.frame_max;
	client_open_with(&here, &rig, &small);
	client_open_at(&there, &rig, cores - 1);
	client_channel(&here, 1);
	client_channel(&there, 1);
	amqp091_table_add_int32(arguments(), "x-delivery-limit", limit);
	amqp091_table_add_cstring(&table, "x-dead-letter-exchange", "");
	amqp091_table_add_cstring(&table, "x-dead-letter-routing-key", "dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
}

static void begin(uint32_t cores, int32_t limit)
{
	begin_with(cores, limit, 0);
}

static void publish(const char *body)
{
	client_publish(&there, 1, "", "q", body, (uint32_t)strlen(body));
	rig_settle(&rig);
}

/* What came: the method's frame, then the header's properties, then the body. */
static struct {
	uint8_t block[8192];
	struct amqp091_basic_properties p;
	uint64_t body_bytes;
	bool redelivered;
} came;

static void next_content(struct client *c, uint32_t id)
{
	const struct amqp091_method *m = client_expect(c, 1, id);
	struct amqp091_content_header header;
	struct client_frame f;

	bool deliver = id == DELIVER;
	tag = deliver ? m->args.basic_deliver.delivery_tag : m->args.basic_get_ok.delivery_tag;
	came.redelivered = deliver ? m->args.basic_deliver.redelivered : m->args.basic_get_ok.redelivered;
	CU_ASSERT_TRUE_FATAL(client_next(c, &f));
	CU_ASSERT_EQUAL_FATAL(f.head.type, AMQP091_FRAME_HEADER);
	CU_ASSERT_EQUAL_FATAL(amqp091_content_header_decode(f.payload, f.head.size, &header), 0);
	CU_ASSERT_FATAL(header.properties_len <= sizeof(came.block));
	memcpy(came.block, header.properties, header.properties_len);
	came.body_bytes = header.body_size;
	CU_ASSERT_EQUAL_FATAL(amqp091_basic_properties_decode(came.block, header.properties_len, &came.p), 0);
	if (!came.body_bytes)
		return;
	CU_ASSERT_TRUE_FATAL(client_next(c, &f));
	CU_ASSERT_EQUAL(f.head.type, AMQP091_FRAME_BODY);
	CU_ASSERT_EQUAL(f.head.size, came.body_bytes);
}

static void expect(struct client *c, uint32_t id, int64_t count)
{
	struct amqp091_value v = {0};

	next_content(c, id);
	CU_ASSERT_EQUAL(came.redelivered, count > 0);
	int found = amqp091_table_find(&came.p.headers, "x-delivery-count", &v);
	CU_ASSERT_EQUAL(found, count == NO_COUNT ? AMQP091_ERR_ABSENT : 0);
	if (found == 0) {
		CU_ASSERT_EQUAL(v.type, 'l');
		CU_ASSERT_EQUAL(v.integer, count);
	}
}

static void get(struct client *c, int64_t count)
{
	client_get(c, 1, "q", false);
	expect(c, GET_OK, count);
}

static void expect_letters(uint32_t n)
{
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), n);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
}

static void deliveries_are_counted_with(uint32_t cores)
{
	begin(cores, 2);
	client_consume(&here, 1, "q", "c", false);
	publish("body");
	expect(&here, DELIVER, NO_COUNT);
	client_nack(&here, 1, tag, false, true);
	expect(&here, DELIVER, 1);
	client_nack(&here, 1, tag, false, true);
	expect(&here, DELIVER, 2);
	client_expect_nothing(&here);
	client_nack(&here, 1, tag, false, true);
	client_expect_nothing(&here);
	expect_letters(1);
	publish("again");
	expect(&here, DELIVER, NO_COUNT);
	client_ack(&here, 1, tag, false);
	pair_end();
}

static void deliveries_are_counted(void)
{
	deliveries_are_counted_with(1);
	deliveries_are_counted_with(2);
}

/* The queue stays where it is, as it has two consumers: what is returned crosses twice. The header is put
 * together at the consumer's core, from a count that the owner keeps. */
static void deliveries_of_another_core_are_counted(void)
{
	begin(2, 2);
	client_qos(&there, 1, 1, false);
	client_consume(&there, 1, "q", "t", false);
	publish("kept");
	expect(&there, DELIVER, NO_COUNT);
	client_consume(&here, 1, "q", "c", false);
	publish("body");
	for (int64_t i = 0; i <= 2; i++) {
		expect(&here, DELIVER, i ? i : NO_COUNT);
		client_expect_nothing(&here);
		client_nack(&here, 1, tag, false, true);
	}
	client_expect_nothing(&here);
	expect_letters(1);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->moves_in, 0);
	client_ack(&there, 1, 1, false);
	pair_end();
}

/* As RabbitMQ 3.10 says it: basic.get-ok has the header from the beginning. */
static void gets_are_counted_with(uint32_t cores)
{
	begin(cores, 1);
	publish("body");
	get(&here, 0);
	client_nack(&here, 1, tag, false, true);
	get(&here, 1);
	client_nack(&here, 1, tag, false, true);
	expect_letters(1);
	pair_end();
}

static void gets_are_counted(void)
{
	gets_are_counted_with(1);
	gets_are_counted_with(2);
}

static void recover(struct client *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	m.args.basic_recover.requeue = true;
	client_method(c, 1, &m);
	client_expect(c, 1, AMQP091_METHOD_BASIC_RECOVER_OK);
}

/* Whatever way it comes back: recover, the channel's end, the connection's. */
static void every_return_counts_with(uint32_t cores)
{
	begin(cores, 3);
	publish("body");
	get(&here, 0);
	recover(&here);
	get(&here, 1);
	client_plain(&here, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect(&here, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&here, 1);
	rig_settle(&rig);
	get(&here, 2);
	client_drop(&here);
	rig_settle(&rig);
	client_open_at(&here, &rig, 0);
	client_channel(&here, 1);
	get(&here, 3);
	client_drop(&here);
	client_open_at(&here, &rig, 0);
	expect_letters(1);
	pair_end();
}

static void every_return_counts(void)
{
	every_return_counts_with(1);
	every_return_counts_with(2);
}

static void transactions_count(void)
{
	begin(1, 1);
	client_plain(&here, 1, AMQP091_METHOD_TX_SELECT);
	client_expect(&here, 1, AMQP091_METHOD_TX_SELECT_OK);
	publish("body");
	for (int64_t i = 0; i < 2; i++) {
		get(&here, i);
		client_nack(&here, 1, tag, false, true);
		client_plain(&here, 1, AMQP091_METHOD_TX_COMMIT);
		client_expect(&here, 1, AMQP091_METHOD_TX_COMMIT_OK);
	}
	expect_letters(1);
	pair_end();
}

/* What a publisher says is sent as it is until there is something to say; everything else stays. */
static void other_properties_stay(void)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS | AMQP091_BASIC_CONTENT_TYPE |
						      AMQP091_BASIC_MESSAGE_ID | AMQP091_BASIC_PRIORITY,
		.content_type = str("text/plain"),
		.message_id = str("id"),
		.priority = 7};

	begin(1, 5);
	amqp091_table_add_cstring(arguments(), "a", "first");
	amqp091_table_add_cstring(&table, "x-delivery-count", "many");
	amqp091_table_add_cstring(&table, "z", "last");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	client_publish_with(&there, 1, "q", &p, "body");
	client_consume(&here, 1, "q", "c", false);
	next_content(&here, DELIVER);
	CU_ASSERT_TRUE(pair_text_is(&came.p.headers, "x-delivery-count", "many"));
	client_nack(&here, 1, tag, false, true);
	expect(&here, DELIVER, 1);
	CU_ASSERT_TRUE(
		pair_text_is(&came.p.headers, "a", "first") && pair_text_is(&came.p.headers, "z", "last"));
	CU_ASSERT_EQUAL(came.p.flags, p.flags);
	CU_ASSERT_EQUAL(came.p.content_type.len, 10);
	CU_ASSERT_EQUAL(came.p.message_id.len, 2);
	CU_ASSERT_EQUAL(came.p.priority, 7);
	CU_ASSERT_EQUAL(came.body_bytes, 4);
	pair_end();
}

/* The letter is the message as it was published; its history says why. */
static void the_letter_says_why(void)
{
	struct amqp091_longstr reason;
	struct amqp091_value v;

	begin(1, 0);
	publish("body");
	get(&here, 0);
	client_nack(&here, 1, tag, false, true);
	expect_letters(1);
	client_get(&here, 1, "dead", true);
	expect(&here, GET_OK, NO_COUNT);
	CU_ASSERT_TRUE(pair_text_is(&came.p.headers, "x-first-death-reason", "delivery_limit"));
	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&came.p.headers, "x-death", &v), 0);
	struct amqp091_table deaths = v.array;
	CU_ASSERT_EQUAL_FATAL(amqp091_array_next(&deaths, &v), 1);
	CU_ASSERT_EQUAL(amqp091_table_get_string(&v.table, "reason", &reason), 0);
	CU_ASSERT_EQUAL(reason.len, strlen("delivery_limit"));
	pair_end();
}

/* The header takes room that a client with small frames may not have: it is refused as any other that is too
 * large, and that is a return like any other. */
static void it_may_be_too_much(void)
{
	begin_with(1, 2, AMQP091_FRAME_MIN_SIZE);
	client_publish_method(&there, 1, "", "q", false);
	/* As large as it can be: frame, class, weight, size, flags, the table's length. */
	client_content_header_with(
		&there, 1, 1, AMQP091_FRAME_MIN_SIZE - AMQP091_FRAME_OVERHEAD - 12 - 2 - 4);
	client_body(&there, 1, "x", 1);
	rig_settle(&rig);
	client_consume(&here, 1, "q", "c", false);
	next_content(&here, DELIVER);
	client_nack(&here, 1, tag, false, true);
	client_expect_channel_close(&here, 1, AMQP091_REPLY_CONTENT_TOO_LARGE, AMQP091_METHOD_BASIC_CONSUME);
	client_channel(&here, 1);
	get(&there, 2);
	client_ack(&there, 1, tag, false);
	pair_end();
}

/* With no_ack it says so too: to whom it was given before does not matter. */
static void a_last_look_without_ack(void)
{
	begin(2, 3);
	publish("body");
	get(&here, 0);
	client_nack(&here, 1, tag, false, true);
	rig_settle(&rig);
	client_consume(&here, 1, "q", "c", true);
	expect(&here, DELIVER, 1);
	expect_letters(0);
	pair_end();
}

/* Output that waits for the client is the same: the block is put together once, at the delivery. */
static void many_at_once(void)
{
	enum { MANY = 300 };

	begin(2, 1);
	client_consume(&here, 1, "q", "c", false);
	for (unsigned i = 0; i < MANY; i++)
		publish("body");
	for (unsigned i = 0; i < MANY; i++)
		expect(&here, DELIVER, NO_COUNT);
	client_nack(&here, 1, 0, true, true);
	for (unsigned i = 0; i < MANY; i++)
		expect(&here, DELIVER, 1);
	client_nack(&here, 1, 0, true, true);
	expect_letters(MANY);
	pair_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"deliveries_are_counted", deliveries_are_counted},
			{"deliveries_of_another_core_are_counted", deliveries_of_another_core_are_counted},
			{"gets_are_counted", gets_are_counted}, {"every_return_counts", every_return_counts},
			{"transactions_count", transactions_count},
			{"other_properties_stay", other_properties_stay},
			{"the_letter_says_why", the_letter_says_why},
			{"it_may_be_too_much", it_may_be_too_much},
			{"a_last_look_without_ack", a_last_look_without_ack}, {"many_at_once", many_at_once},
			{0}});
}
