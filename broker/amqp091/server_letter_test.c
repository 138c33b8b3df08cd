/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters as octets: their headers, and where they go. */
#include "broker/amqp091/testing/letters.h"

static void a_rejected_one_with(uint32_t cores)
{
	pair_begin(cores);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	letters_publish("q");
	rig_settle(&rig);
	letters_reject(&here, "q", 1);
	pair_take("dead");
	letters_expect_event(0, "q", "rejected", 1);
	CU_ASSERT_EQUAL(letters_events(), 1);
	letters_expect_first("q", "rejected");
	struct amqp091_table t = letters_event(0);
	struct amqp091_value v;
	CU_ASSERT_TRUE(pair_text_is(&t, "exchange", ""));
	CU_ASSERT_EQUAL(amqp091_table_find(&t, "time", &v), 0);
	CU_ASSERT_EQUAL(v.type, 'T');
	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&t, "routing-keys", &v), 0);
	struct amqp091_table keys = v.array;
	CU_ASSERT_EQUAL(amqp091_array_next(&keys, &v), 1);
	CU_ASSERT_TRUE(v.type == 'S' && v.bytes.len == 1 && *v.bytes.data == 'q');
	CU_ASSERT_EQUAL(keys.len, 0);
	CU_ASSERT_TRUE(got.p.message_id.len == 2);
	CU_ASSERT_EQUAL(message_exchange(got.message).bytes, 0);
	CU_ASSERT_EQUAL(message_routing_key(got.message).bytes, 4);
	pair_done();
	pair_end();
}

static void a_rejected_one(void)
{
	a_rejected_one_with(1);
	a_rejected_one_with(2);
}

static void an_expired_one_loses_its_expiration(void)
{
	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	client_publish_with(&here, 1, "q",
		&(struct amqp091_basic_properties){
			.flags = AMQP091_BASIC_EXPIRATION, .expiration = str("10")},
		"body");
	rig_advance(&rig, 50000);
	pair_take("dead");
	letters_expect_event(0, "q", "expired", 1);
	struct amqp091_table t = letters_event(0);
	CU_ASSERT_TRUE(pair_text_is(&t, "original-expiration", "10"));
	CU_ASSERT_FALSE(got.p.flags & AMQP091_BASIC_EXPIRATION);
	CU_ASSERT_FALSE(message_expires(got.message));
	pair_done();
	pair_end();
}

/* From q to w by rejection, back by expiry, and so on: one event for each queue and reason, the last one in
 * front. */
static void events_are_counted(void)
{
	pair_begin(1);
	letters_to("w");
	pair_declare_with("q");
	letters_to("q");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	pair_declare_with("w");
	letters_publish("q");
	rig_settle(&rig);
	for (unsigned i = 1; i <= 3; i++) {
		letters_reject(&here, "q", i);
		rig_advance(&rig, 50000);
	}
	pair_take("q");
	CU_ASSERT_EQUAL(letters_events(), 2);
	letters_expect_event(0, "w", "expired", 3);
	letters_expect_event(1, "q", "rejected", 3);
	letters_expect_first("q", "rejected");
	pair_done();
	pair_end();
}

/* Another reason is another event, though the queue is the same. */
static void each_reason_is_an_event(void)
{
	pair_begin(1);
	letters_to("w");
	amqp091_table_add_int32(&table, "x-message-ttl", 100);
	pair_declare_with("q");
	letters_to("q");
	pair_declare_with("w");
	letters_publish("q");
	rig_settle(&rig);
	letters_reject(&here, "q", 1);
	letters_reject(&here, "w", 2);
	rig_advance(&rig, 150000);
	pair_take("w");
	CU_ASSERT_EQUAL(letters_events(), 3);
	letters_expect_event(0, "q", "expired", 1);
	letters_expect_event(1, "w", "rejected", 1);
	letters_expect_event(2, "q", "rejected", 1);
	pair_done();
	pair_end();
}

static void a_letter_is_what_the_message_was(void)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_DELIVERY_MODE | AMQP091_BASIC_PRIORITY,
		.delivery_mode = 2,
		.priority = 7};

	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	for (unsigned i = 0; i < 2; i++) {
		p.delivery_mode = i ? 1 : 2;
		p.priority = i ? 0 : 7;
		client_publish_with(&here, 1, "q", &p, "body");
		rig_settle(&rig);
		letters_reject(&here, "q", i + 1);
		pair_take("dead");
		CU_ASSERT_EQUAL(message_persistent(got.message), i == 0);
		CU_ASSERT_EQUAL(message_priority(got.message), i ? 0 : 7);
		CU_ASSERT_EQUAL(got.p.delivery_mode, p.delivery_mode);
		pair_done();
	}
	pair_end();
}

/* It begins to live when the message dies. */
static void a_letter_is_young(void)
{
	pair_begin(1);
	letters_to("brief");
	pair_declare_with("q");
	amqp091_table_add_int32(arguments(), "x-message-ttl", 100);
	pair_declare_with("brief");
	letters_publish("q");
	rig_advance(&rig, 500000);
	letters_reject(&here, "q", 1);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "brief"), 1);
	rig_advance(&rig, 150000);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "brief"), 0);
	pair_end();
}

static void a_circle_of_expiry_ends(void)
{
	pair_begin(1);
	letters_to("w");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	pair_declare_with("q");
	letters_to("q");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	pair_declare_with("w");
	letters_publish("q");
	rig_advance(&rig, 100000);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "w"), 0);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters, 2);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 1);
	pair_end();
}

/* One after the other, of queues of the same names. */
static void letters_stay_in_their_vhost(void)
{
	static const char *const vhosts[] = {"/", "other"};
	struct rig_options o = rig_options();
	struct client_options in_other = client_options();
	struct client *const clients[] = {&there, &here};

	o.vhosts = vhosts;
	o.vhost_count = 2;
	in_other.vhost = "other";
	test_begin(&rig, &o);
	client_open(&there, &rig);
	client_open_with(&here, &rig, &in_other);
	for (unsigned i = 0; i < 2; i++) {
		struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
		client_channel(clients[i], 1);
		letters_to("dead");
		m.args.queue_declare.queue = str("q");
		CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
		client_method(clients[i], 1, &m);
		client_expect(clients[i], 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
		client_declare(clients[i], 1, "dead");
	}
	for (unsigned i = 0; i < 4; i++) {
		struct client *c = clients[i % 2], *not = clients[!(i % 2)];
		client_publish(c, 1, "", "q", "body", 4);
		rig_settle(&rig);
		letters_reject(c, "q", i / 2 + 1);
		CU_ASSERT_EQUAL(client_ready_count(c, 1, "dead"), i / 2 + 1);
		CU_ASSERT_EQUAL(client_ready_count(not, 1, "dead"), (i + 1) / 2);
	}
	pair_end();
}

static void one_that_nobody_takes_is_counted(void)
{
	pair_begin(1);
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "nowhere");
	pair_declare_with("q");
	letters_publish("q");
	rig_settle(&rig);
	letters_reject(&here, "q", 1);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 1);
	pair_end();
}

static void a_transaction_rejects_at_commit(void)
{
	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	letters_publish("q");
	rig_settle(&rig);
	client_plain(&here, 1, AMQP091_METHOD_TX_SELECT);
	client_expect(&here, 1, AMQP091_METHOD_TX_SELECT_OK);
	letters_reject(&here, "q", 1);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), 0);
	client_plain(&here, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect(&here, 1, AMQP091_METHOD_TX_COMMIT_OK);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), 1);
	pair_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_rejected_one", a_rejected_one},
			{"an_expired_one_loses_its_expiration", an_expired_one_loses_its_expiration},
			{"events_are_counted", events_are_counted},
			{"each_reason_is_an_event", each_reason_is_an_event},
			{"a_letter_is_what_the_message_was", a_letter_is_what_the_message_was},
			{"a_letter_is_young", a_letter_is_young},
			{"a_circle_of_expiry_ends", a_circle_of_expiry_ends},
			{"letters_stay_in_their_vhost", letters_stay_in_their_vhost},
			{"one_that_nobody_takes_is_counted", one_that_nobody_takes_is_counted},
			{"a_transaction_rejects_at_commit", a_transaction_rejects_at_commit}, {0}});
}
