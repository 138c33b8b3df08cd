/* SPDX-License-Identifier: Apache-2.0 */
/* x-delayed-message as octets. `here` publishes on the first core, `there`, on the last, owns the queues. */
#include "broker/amqp091/testing/pair.h"

#include <stdio.h>
#include <string.h>

enum { MS = 1000 };

/* Sends it. */
static void exchange(const char *name, const char *inside)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	arguments();
	if (inside)
		amqp091_table_add_cstring(&table, "x-delayed-type", inside);
	m.args.exchange_declare.exchange = str(name);
	m.args.exchange_declare.type = str("x-delayed-message");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.exchange_declare.arguments), 0);
	client_method(&there, 1, &m);
}

static void bind(const char *queue, const char *key)
{
	pair_bind("late", queue, key);
}

static void begin(uint32_t cores)
{
	pair_begin(cores);
	exchange("late", "direct");
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
	client_declare(&there, 1, "q");
	bind("q", "k");
}

/* A header table with x-delay, to which more may be added. */
static struct amqp091_table_builder *delay(int32_t ms)
{
	arguments();
	amqp091_table_add_cstring(&table, "before", "b");
	amqp091_table_add_int32(&table, "x-delay", ms);
	amqp091_table_add_cstring(&table, "after", "a");
	return &table;
}

static void publish(const char *key, const char *body)
{
	pair_publish_with("late", key, body);
}

static void take(const char *queue)
{
	pair_take(queue);
	pair_done();
}

static void advance(uint64_t ms)
{
	rig_advance(&rig, ms * MS);
	rig_settle(&rig);
}

static void comes_late_with_its_header_negated(uint32_t cores)
{
	int64_t n;

	begin(cores);
	delay(100);
	publish("k", "body");
	advance(98);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	advance(4);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 1);
	take("q");
	CU_ASSERT_EQUAL(amqp091_table_get_int(&got.p.headers, "x-delay", &n), 0);
	CU_ASSERT_EQUAL(n, -100);
	CU_ASSERT_TRUE(pair_got_has("before") && pair_got_has("after"));
	CU_ASSERT_TRUE(got.p.flags & AMQP091_BASIC_MESSAGE_ID);
	pair_end();
}

static void a_message_comes_late(void)
{
	comes_late_with_its_header_negated(1);
}

static void a_message_comes_late_on_another_core(void)
{
	comes_late_with_its_header_negated(2);
}

static void a_delay_in_text_is_a_number_then(void)
{
	int64_t n;

	begin(1);
	arguments();
	amqp091_table_add_cstring(&table, "x-delay", "3000000000");
	publish("k", "body");
	rig.now_us += 2999999999 * (uint64_t)MS; /* at once: nothing else happens meanwhile */
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	advance(3);
	take("q");
	CU_ASSERT_EQUAL(amqp091_table_get_int(&got.p.headers, "x-delay", &n), 0);
	CU_ASSERT_EQUAL(n, -3000000000);
	pair_end();
}

static void further_keys_are_remembered(void)
{
	begin(1);
	client_declare(&there, 1, "cc");
	client_declare(&there, 1, "bcc");
	bind("cc", "c");
	bind("bcc", "b");
	delay(10);
	pair_add_key("CC", "c");
	pair_add_key("BCC", "b");
	publish("k", "body");
	advance(12);
	take("q");
	CU_ASSERT_TRUE(pair_got_has("CC"));
	CU_ASSERT_FALSE(pair_got_has("BCC"));
	take("cc");
	take("bcc");
	CU_ASSERT_FALSE(pair_got_has("BCC"));
	pair_end();
}

/* A dead letter of what was held back knows the keys that BCC named when it was published. */
static void hidden_keys_are_remembered_for_a_letter(void)
{
	begin(2);
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "amq.direct");
	pair_declare_with("brief");
	bind("brief", "brief");
	pair_bind("amq.direct", "q", "b");
	delay(10);
	pair_add_key("BCC", "b");
	publish("brief", "body");
	advance(12);
	client_get(&there, 1, "brief", false);
	client_expect_text(&there, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	client_nack(&there, 1, 1, false, false);
	rig_settle(&rig);
	take("q");
	CU_ASSERT_TRUE(pair_got_has("x-death") && !pair_got_has("BCC"));
	pair_end();
}

static void it_is_what_it_was(void)
{
	struct amqp091_basic_properties p = {
		.flags = AMQP091_BASIC_HEADERS | AMQP091_BASIC_DELIVERY_MODE | AMQP091_BASIC_PRIORITY};

	begin(1);
	for (unsigned i = 0; i < 2; i++) {
		p.delivery_mode = i ? 1 : 2;
		p.priority = i ? 0 : 7;
		delay(10);
		CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
		client_publish_to(&here, 1, "late", "k", &p, "body");
		rig_settle(&rig);
		advance(12);
		struct message *m = rig_take(&rig, "q");
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		CU_ASSERT_EQUAL(message_persistent(m), i == 0);
		CU_ASSERT_EQUAL(message_priority(m), i ? 0 : 7);
		message_unref(broker_core_cache(rig.core), m);
	}
	pair_end();
}

/* Which it was published to gave it to its other queues long ago. */
static void it_goes_on_from_where_it_was_held(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_BIND};

	begin(1);
	client_declare(&there, 1, "now");
	pair_bind("amq.fanout", "now", "");
	m.args.exchange_bind = (struct amqp091_exchange_bind){
		.destination = str("late"), .source = str("amq.fanout")};
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_BIND_OK);
	delay(10);
	pair_publish_with("amq.fanout", "k", "body");
	take("now");
	advance(12);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "now"), 0);
	take("q");
	pair_end();
}

/* Its time has come, but its core takes no turn: another exchange of that name never had it. */
static void another_of_that_name_gets_nothing(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DELETE};

	begin(2);
	delay(10);
	publish("k", "body");
	rig.now_us += 12 * MS;
	rig.cores[0].stopped = true;
	m.args.exchange_delete.exchange = str("late");
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DELETE_OK);
	exchange("late", "direct");
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
	bind("q", "k");
	rig.cores[0].stopped = false;
	advance(12);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	CU_ASSERT_EQUAL(broker_core_counters(rig.cores[0].core)->delayed_lost, 1);
	pair_end();
}

static void it_is_confirmed_at_once(void)
{
	begin(1);
	client_confirm_select(&here, 1);
	delay(10);
	publish("k", "body");
	client_expect(&here, 1, AMQP091_METHOD_BASIC_ACK);
	advance(12);
	take("q");
	pair_end();
}

/* What is held back is not unroutable; what then has no queue can no more be told. */
static void a_mandatory_one_is_not_returned(void)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};
	uint8_t payload[256];

	begin(1);
	delay(10);
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	memset(payload, 0, 12);
	wire_put16(payload, AMQP091_CLASS_BASIC);
	uint8_t *end = amqp091_basic_properties_put(payload + 12, &p);
	client_publish_method(&here, 1, "late", "nowhere", true);
	client_frame(&here, AMQP091_FRAME_HEADER, 1, payload, (uint32_t)(end - payload));
	rig_settle(&rig);
	client_expect_nothing(&here);
	advance(12);
	client_expect_nothing(&here);
	CU_ASSERT_EQUAL(broker_core_counters(rig.cores[0].core)->delayed_lost, 1);
	pair_end();
}

/* Its lifetime begins where its delay ends. */
static void it_lives_from_then_on(void)
{
	struct amqp091_basic_properties p = {
		.flags = AMQP091_BASIC_HEADERS | AMQP091_BASIC_EXPIRATION, .expiration = str("50")};

	begin(1);
	delay(100);
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	client_publish_to(&here, 1, "late", "k", &p, "body");
	rig_settle(&rig);
	advance(102);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 1);
	advance(52);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	pair_end();
}

static void large_bodies_wait_for_memory(void)
{
	static uint8_t big[100000];
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};
	struct client_content content;
	uint8_t payload[256];

	begin(1);
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 251);
	delay(1000);
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	for (unsigned i = 0; i < 20; i++) {
		memset(payload, 0, 12);
		wire_put16(payload, AMQP091_CLASS_BASIC);
		wire_put64(payload + 4, sizeof(big));
		uint8_t *end = amqp091_basic_properties_put(payload + 12, &p);
		client_publish_method(&here, 1, "late", "k", false);
		client_frame(&here, AMQP091_FRAME_HEADER, 1, payload, (uint32_t)(end - payload));
		for (uint32_t at = 0; at < sizeof(big); at += 4000)
			client_body(&here, 1, big + at, 4000);
	}
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	for (unsigned i = 0; i < 3; i++)
		advance(1002);
	CU_ASSERT_EQUAL_FATAL(client_ready_count(&there, 1, "q"), 20);
	for (unsigned i = 0; i < 20; i++) {
		client_get(&there, 1, "q", true);
		client_expect_content(&there, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
		CU_ASSERT_EQUAL_FATAL(content.bytes, sizeof(big));
		CU_ASSERT_EQUAL(memcmp(content.body, big, sizeof(big)), 0);
		client_content_free(&content);
	}
	pair_end();
}

static void a_transaction_delays_from_its_commit_on(void)
{
	begin(1);
	client_plain(&here, 1, AMQP091_METHOD_TX_SELECT);
	client_expect(&here, 1, AMQP091_METHOD_TX_SELECT_OK);
	delay(100);
	publish("k", "body");
	advance(200);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	client_plain(&here, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect(&here, 1, AMQP091_METHOD_TX_COMMIT_OK);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	advance(102);
	take("q");
	pair_end();
}

static void a_declaration_without_a_type_is_refused(void)
{
	begin(1);
	exchange("x", NULL);
	client_expect_refusal(&there, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_EXCHANGE_DECLARE,
		"PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type");
	exchange("x", "nothing");
	client_expect_ended(&there, AMQP091_REPLY_COMMAND_INVALID, AMQP091_METHOD_EXCHANGE_DECLARE);
	client_close(&here);
	test_end(&rig);
}

/* The memory of what waits is given back with the exchange. */
static void what_waits_goes_with_the_exchange(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DELETE};

	begin(2);
	for (unsigned i = 0; i < 100; i++) {
		delay(1000000);
		publish("k", "body");
	}
	m.args.exchange_delete.exchange = str("late");
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DELETE_OK);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(broker_core_counters(rig.cores[0].core)->delayed_lost, 100);
	pair_end();
}

/* An exchange that goes while a message of it is given to many queues, in slices: what comes behind that is
 * another message. */
static void an_exchange_goes_in_the_middle(void)
{
	enum { QUEUES = 90 };
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DELETE};
	char name[16];

	begin(1);
	exchange("other", "direct");
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
	client_declare(&there, 1, "second");
	pair_bind("other", "second", "k");
	for (unsigned i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		client_declare(&there, 1, name);
		bind(name, "k");
	}
	delay(10);
	publish("k", "first");
	pair_publish_with("other", "k", "second");
	m.args.exchange_delete.exchange = str("late");
	rig.now_us += 12 * MS;
	rig_turn(&rig);
	client_method(&there, 1, &m);
	rig_turn(&rig);
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DELETE_OK);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "second"), 1);
	client_get(&there, 1, "second", true);
	client_expect_text(&there, 1, AMQP091_METHOD_BASIC_GET_OK, "second");
	CU_ASSERT_TRUE(client_ready_count(&there, 1, "q0") <= 1);
	pair_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_message_comes_late", a_message_comes_late},
			{"a_message_comes_late_on_another_core", a_message_comes_late_on_another_core},
			{"a_delay_in_text_is_a_number_then", a_delay_in_text_is_a_number_then},
			{"further_keys_are_remembered", further_keys_are_remembered},
			{"hidden_keys_are_remembered_for_a_letter", hidden_keys_are_remembered_for_a_letter},
			{"it_is_what_it_was", it_is_what_it_was},
			{"it_goes_on_from_where_it_was_held", it_goes_on_from_where_it_was_held},
			{"another_of_that_name_gets_nothing", another_of_that_name_gets_nothing},
			{"it_is_confirmed_at_once", it_is_confirmed_at_once},
			{"a_mandatory_one_is_not_returned", a_mandatory_one_is_not_returned},
			{"it_lives_from_then_on", it_lives_from_then_on},
			{"large_bodies_wait_for_memory", large_bodies_wait_for_memory},
			{"a_transaction_delays_from_its_commit_on", a_transaction_delays_from_its_commit_on},
			{"a_declaration_without_a_type_is_refused", a_declaration_without_a_type_is_refused},
			{"an_exchange_goes_in_the_middle", an_exchange_goes_in_the_middle},
			{"what_waits_goes_with_the_exchange", what_waits_goes_with_the_exchange}, {0}});
}
