/* SPDX-License-Identifier: Apache-2.0 */
/* Queues with x-message-deduplication as octets: what a publisher hears of a duplicate, and whatever way a
 * message comes to the queue, or leaves it. `here` is a client of the first core, `there` one of the last,
 * which owns the queues. */
#include "broker/amqp091/testing/pair.h"

enum { MS = 1000 };

/* With the argument, and what has been added to arguments(). */
static void declare_more(const char *queue)
{
	amqp091_table_add_bool(&table, "x-message-deduplication", true);
	pair_declare_with(queue);
}

static void declare(const char *queue)
{
	arguments();
	declare_more(queue);
}

static void begin(uint32_t cores)
{
	pair_begin(cores);
	declare("q");
}

/* With the headers of arguments(); not settled: those that come in one buffer are meant, too. */
static void publish_fields(const char *exchange, const char *key, const char *body)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	client_publish_to(&here, 1, exchange, key, &p, body);
}

static void add_value(const char *value)
{
	amqp091_table_add_cstring(arguments(), "x-deduplication-header", value);
}

static void publish(const char *value, const char *body)
{
	add_value(value);
	publish_fields("", "q", body);
}

static uint32_t ready_in(const char *queue)
{
	rig_settle(&rig);
	return client_ready_count(&there, 1, queue);
}

static uint64_t duplicates(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < rig.core_count; i++)
		n += broker_core_counters(rig.cores[i].core)->duplicates;
	return n;
}

static void expect_confirm(uint32_t id, uint64_t tag)
{
	const struct amqp091_method *m = client_expect(&here, 1, id);

	CU_ASSERT_EQUAL(id == AMQP091_METHOD_BASIC_NACK ? m->args.basic_nack.delivery_tag
							: m->args.basic_ack.delivery_tag,
		tag);
}

static uint64_t get(const char *body)
{
	client_get(&here, 1, "q", false);
	return client_expect_text(&here, 1, AMQP091_METHOD_BASIC_GET_OK, body)
		->args.basic_get_ok.delivery_tag;
}

/* Where the queues are the publisher's core's, and another one's. */
static void with_cores(void (*test)(void))
{
	for (uint32_t cores = 1; cores <= 2; cores++) {
		begin(cores);
		test();
		pair_end();
	}
}

/* Those that come in one buffer, each like the one before it, included. */
static void nacked(void)
{
	client_confirm_select(&here, 1);
	publish("a", "first");
	publish("a", "again");
	publish("a", "again");
	publish("b", "other");
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 2);
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 3);
	expect_confirm(AMQP091_METHOD_BASIC_ACK, 4);
	CU_ASSERT_EQUAL(ready_in("q"), 2);
	CU_ASSERT_EQUAL(duplicates(), 2);
	uint64_t tag = get("first");
	publish("a", "too early");
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 5);
	client_nack(&here, 1, tag, false, true);
	publish("a", "too early");
	expect_confirm(AMQP091_METHOD_BASIC_NACK, 6);
	client_ack(&here, 1, get("first"), false);
	publish("a", "next"); /* at once: the ack comes first */
	expect_confirm(AMQP091_METHOD_BASIC_ACK, 7);
	CU_ASSERT_EQUAL(ready_in("q"), 2);
}

static void a_duplicate_is_nacked(void)
{
	with_cores(nacked);
}

/* It has been routed: nothing comes back. */
static void not_returned(void)
{
	uint8_t block[256], frame[512];
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	publish("a", "first");
	add_value("a");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	uint8_t *block_end = amqp091_basic_properties_put(block, &p);
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, 0, block, (uint32_t)(block_end - block)};
	client_publish_method(&here, 1, "", "q", true);
	uint8_t *end = amqp091_content_header_frame_put(frame, 1, &h);
	client_raw(&here, frame, (size_t)(end - frame));
	client_expect_nothing(&here);
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	CU_ASSERT_EQUAL(duplicates(), 1);
}

static void a_mandatory_duplicate_is_not_returned(void)
{
	with_cores(not_returned);
}

/* A number is the same whatever its width, and no text. */
static void compared(void)
{
	amqp091_table_add_int32(arguments(), "x-deduplication-header", 7);
	publish_fields("", "q", "int");
	amqp091_table_add_int64(arguments(), "x-deduplication-header", 7);
	publish_fields("", "q", "long");
	publish("7", "text");
	amqp091_table_add_bool(arguments(), "x-deduplication-header", true);
	publish_fields("", "q", "bool");
	arguments();
	publish_fields("", "q", "none");
	publish_fields("", "q", "none");
	CU_ASSERT_EQUAL(ready_in("q"), 5);
	CU_ASSERT_EQUAL(duplicates(), 1);
}

/* Acked and published again in one buffer, time after time, to this queue and to others. */
static void again(void)
{
	declare("other");
	client_confirm_select(&here, 1);
	for (unsigned i = 1; i < 20; i += 2) {
		publish("a", "same");
		expect_confirm(AMQP091_METHOD_BASIC_ACK, i);
		client_ack(&here, 1, get("same"), false);
		add_value("a");
		amqp091_array_open(&table, "CC");
		amqp091_table_add_cstring(&table, NULL, "other");
		amqp091_table_close(&table);
		publish_fields("", "q", "same");
		expect_confirm(i == 1 ? AMQP091_METHOD_BASIC_ACK : AMQP091_METHOD_BASIC_NACK, i + 1);
		CU_ASSERT_EQUAL(ready_in("q"), 1);
		client_ack(&here, 1, get("same"), false);
	}
	CU_ASSERT_EQUAL(duplicates(), 9);
}

static void an_ack_comes_first(void)
{
	with_cores(again);
}

static void values_are_compared(void)
{
	with_cores(compared);
}

/* Nothing is with a client that needs no acks. */
static void not_held(void)
{
	client_consume(&here, 1, "q", "c", true);
	for (unsigned i = 0; i < 3; i++) {
		publish("a", "each");
		client_expect_text(&here, 1, AMQP091_METHOD_BASIC_DELIVER, "each");
	}
	CU_ASSERT_EQUAL(duplicates(), 0);
}

static void without_acks_nothing_is_held(void)
{
	with_cores(not_held);
}

static void of_many(void)
{
	client_consume(&here, 1, "q", "c", false);
	publish("a", "a");
	publish("b", "b");
	publish("c", "c");
	for (unsigned i = 0; i < 3; i++)
		client_expect_text(
			&here, 1, AMQP091_METHOD_BASIC_DELIVER, (const char *[]){"a", "b", "c"}[i]);
	publish("c", "c");
	client_ack(&here, 1, 2, true);
	publish("a", "a");
	publish("b", "b");
	publish("c", "c");
	client_expect_text(&here, 1, AMQP091_METHOD_BASIC_DELIVER, "a");
	client_expect_text(&here, 1, AMQP091_METHOD_BASIC_DELIVER, "b");
	client_expect_nothing(&here);
	CU_ASSERT_EQUAL(duplicates(), 2);
}

static void an_ack_of_many_frees_each(void)
{
	with_cores(of_many);
}

/* Its client goes, and it is back in the queue. */
static void back(void)
{
	publish("a", "first");
	get("first");
	client_drop(&here);
	rig_settle(&rig);
	client_open_at(&here, &rig, 0);
	client_channel(&here, 1);
	publish("a", "again");
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	get("first");
}

static void what_comes_back_is_still_there(void)
{
	with_cores(back);
}

static void purge(const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};

	m.args.queue_purge.queue = str(queue);
	client_method(&here, 1, &m);
	client_expect(&here, 1, AMQP091_METHOD_QUEUE_PURGE_OK);
}

static void after_purge(void)
{
	for (unsigned i = 0; i < 3000; i++) {
		amqp091_table_add_int32(arguments(), "x-deduplication-header", (int32_t)i);
		publish_fields("", "q", "x");
	}
	CU_ASSERT_EQUAL(ready_in("q"), 3000);
	client_confirm_select(&here, 1);
	purge("q");
	for (unsigned i = 3000; i-- > 2990;) {
		amqp091_table_add_int32(arguments(), "x-deduplication-header", (int32_t)i);
		publish_fields("", "q", "x");
	}
	CU_ASSERT_EQUAL(ready_in("q"), 10);
	CU_ASSERT_EQUAL(duplicates(), 0);
	struct client_frame f;
	while (client_next(&here, &f))
		CU_ASSERT_EQUAL(wire_get32(f.payload), AMQP091_METHOD_BASIC_ACK);
}

static void a_purge_frees_values(void)
{
	with_cores(after_purge);
}

/* A queue's time and another one's dead letters. */
static void by_letter(void)
{
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "");
	amqp091_table_add_cstring(&table, "x-dead-letter-routing-key", "q");
	amqp091_table_add_int32(&table, "x-message-ttl", 20);
	declare_more("short");
	for (unsigned i = 0; i < 3; i++) {
		add_value("a");
		publish_fields("", "short", "letter");
		rig_settle(&rig);
		CU_ASSERT_EQUAL(ready_in("short"), 1);
		publish_fields("", "short", "letter");
		CU_ASSERT_EQUAL(ready_in("short"), 1);
		rig_advance(&rig, 30 * MS);
		CU_ASSERT_EQUAL(ready_in("short"), 0);
		CU_ASSERT_EQUAL(ready_in("q"), 1);
	}
	CU_ASSERT_EQUAL(duplicates(), 5);
}

static void a_letter_may_be_a_duplicate(void)
{
	with_cores(by_letter);
}

/* What an exchange has held back meets what has come meanwhile. */
static void late(void)
{
	struct amqp091_method x = {.id = AMQP091_METHOD_EXCHANGE_DECLARE},
			      b = {.id = AMQP091_METHOD_QUEUE_BIND};

	amqp091_table_add_cstring(arguments(), "x-delayed-type", "fanout");
	x.args.exchange_declare.exchange = str("late");
	x.args.exchange_declare.type = str("x-delayed-message");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &x.args.exchange_declare.arguments), 0);
	client_method(&there, 1, &x);
	client_expect(&there, 1, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
	b.args.queue_bind.queue = str("q");
	b.args.queue_bind.exchange = str("late");
	client_method(&there, 1, &b);
	client_expect(&there, 1, AMQP091_METHOD_QUEUE_BIND_OK);
	for (unsigned i = 0; i < 2; i++) {
		add_value("a");
		amqp091_table_add_int32(&table, "x-delay", 20);
		publish_fields("late", "", "late");
	}
	CU_ASSERT_EQUAL(ready_in("q"), 0);
	rig_advance(&rig, 30 * MS);
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	CU_ASSERT_EQUAL(duplicates(), 1);
	publish("a", "again");
	CU_ASSERT_EQUAL(ready_in("q"), 1);
}

static void what_was_held_back_may_be_a_duplicate(void)
{
	with_cores(late);
}

/* Nothing is claimed before the commit, which says that it was not done whole. */
static void in_transaction(void)
{
	client_plain(&here, 1, AMQP091_METHOD_TX_SELECT);
	client_expect(&here, 1, AMQP091_METHOD_TX_SELECT_OK);
	publish("a", "rolled back");
	client_plain(&here, 1, AMQP091_METHOD_TX_ROLLBACK);
	client_expect(&here, 1, AMQP091_METHOD_TX_ROLLBACK_OK);
	publish("a", "first");
	client_plain(&here, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect(&here, 1, AMQP091_METHOD_TX_COMMIT_OK);
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	publish("b", "second");
	publish("a", "again");
	client_plain(&here, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect_refusal(&here, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT,
		"PRECONDITION_FAILED - partial tx completion");
	CU_ASSERT_EQUAL(ready_in("q"), 2);
}

static void transactions_claim_at_commit(void)
{
	with_cores(in_transaction);
}

/* By its key and by CC it is for one queue once, and for each queue with its own opinion. */
static void to_several(void)
{
	declare("other");
	client_declare(&there, 1, "plain");
	for (unsigned i = 0; i < 2; i++) {
		add_value("a");
		amqp091_array_open(&table, i ? "BCC" : "CC");
		amqp091_table_add_cstring(&table, NULL, "q");
		amqp091_table_add_cstring(&table, NULL, "other");
		amqp091_table_add_cstring(&table, NULL, "plain");
		amqp091_table_close(&table);
		publish_fields("", "q", "x");
	}
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	CU_ASSERT_EQUAL(ready_in("other"), 1);
	CU_ASSERT_EQUAL(ready_in("plain"), 2);
	CU_ASSERT_EQUAL(duplicates(), 2);
}

static void several_queues_have_their_own(void)
{
	with_cores(to_several);
}

/* Two publishers, on two cores: one of them comes first. */
static void of_two_one_comes_in(void)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	begin(2);
	add_value("a");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	for (unsigned i = 0; i < 20; i++) {
		client_publish_with(i % 2 ? &here : &there, 1, "q", &p, "x");
		client_publish_with(i % 2 ? &there : &here, 1, "q", &p, "x");
		rig_turn(&rig);
	}
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	CU_ASSERT_EQUAL(duplicates(), 39);
	pair_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_duplicate_is_nacked", a_duplicate_is_nacked},
			{"a_mandatory_duplicate_is_not_returned", a_mandatory_duplicate_is_not_returned},
			{"an_ack_comes_first", an_ack_comes_first},
			{"values_are_compared", values_are_compared},
			{"without_acks_nothing_is_held", without_acks_nothing_is_held},
			{"an_ack_of_many_frees_each", an_ack_of_many_frees_each},
			{"what_comes_back_is_still_there", what_comes_back_is_still_there},
			{"a_purge_frees_values", a_purge_frees_values},
			{"a_letter_may_be_a_duplicate", a_letter_may_be_a_duplicate},
			{"what_was_held_back_may_be_a_duplicate", what_was_held_back_may_be_a_duplicate},
			{"transactions_claim_at_commit", transactions_claim_at_commit},
			{"several_queues_have_their_own", several_queues_have_their_own},
			{"of_two_one_comes_in", of_two_one_comes_in}, {0}});
}
