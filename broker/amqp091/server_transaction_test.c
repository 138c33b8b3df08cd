/* SPDX-License-Identifier: Apache-2.0 */
/* Class tx, as octets. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

static struct rig rig;
static struct client client, other;

static void begin_with(const struct rig_options *o)
{
	test_begin(&rig, o);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
}

static void ask(uint32_t id, uint32_t answer)
{
	client_plain(&client, 1, id);
	client_expect(&client, 1, answer);
}

static void begin_tx_with(const struct rig_options *o)
{
	begin_with(o);
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
}

static void begin_tx(void)
{
	begin_tx_with(NULL);
}

static void commit(void)
{
	ask(AMQP091_METHOD_TX_COMMIT, AMQP091_METHOD_TX_COMMIT_OK);
}

static void roll_back(void)
{
	ask(AMQP091_METHOD_TX_ROLLBACK, AMQP091_METHOD_TX_ROLLBACK_OK);
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void publish(const char *body)
{
	client_publish(&client, 1, "", "q", body, (uint32_t)strlen(body));
}

static void expect_got(uint64_t tag, const char *body)
{
	const struct amqp091_method *m = client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, body);

	CU_ASSERT_EQUAL(m->args.basic_get_ok.delivery_tag, tag);
}

static void get(uint64_t tag, const char *body)
{
	client_get(&client, 1, "q", false);
	expect_got(tag, body);
}

/* What is there and what another client would get. */
static uint32_t ready(void)
{
	return client_ready_count(&client, 1, "q");
}

/* Many of them are some turns' work before the commit as well. */
static void settlements_are_kept_in_slices(void)
{
	enum { N = 2 * AMQP091_INPUT_BUDGET };
	struct rig_options o = rig_options();

	o.server.unacked_max = N;
	begin_with(&o);
	client_consume(&client, 1, "q", "c", false);
	for (unsigned i = 0; i < N; i++)
		publish("x");
	for (unsigned i = 0; i < N; i++)
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "x");
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	client_ack(&client, 1, N, true);
	rig_turn(&rig);
	struct amqp091_conn *c = cds_list_first_entry(&rig.server->conns, struct amqp091_conn, link);
	struct amqp091_channel *ch = cds_list_first_entry(&c->channels, struct amqp091_channel, link);
	unsigned n = 0;
	for (struct cds_list_head *at = ch->unacked.next; at != &ch->unacked; at = at->next)
		n++;
	CU_ASSERT_EQUAL(n, N - AMQP091_INPUT_BUDGET);
	commit();
	CU_ASSERT_EQUAL(ready(), 0);
	finish();
}

static void publishes_wait_for_commit(void)
{
	begin_tx();
	publish("a");
	publish("b");
	CU_ASSERT_EQUAL(ready(), 0);
	commit();
	CU_ASSERT_EQUAL(ready(), 2);
	get(1, "a");
	get(2, "b");
	client_ack(&client, 1, 2, true);
	commit();
	finish();
}

static void nothing_goes_the_fast_way(void)
{
	begin_with(NULL);
	for (int i = 0; i < 3; i++)
		publish("before");
	CU_ASSERT_EQUAL(ready(), 3);
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	for (int i = 0; i < 5; i++)
		publish("before");
	CU_ASSERT_EQUAL(ready(), 3);
	commit();
	CU_ASSERT_EQUAL(ready(), 8);
	finish();
}

static void a_rollback_forgets_publishes(void)
{
	begin_tx();
	publish("a");
	roll_back();
	publish("b");
	commit();
	CU_ASSERT_EQUAL(ready(), 1);
	get(1, "b");
	finish();
}

static void acks_count_at_commit(void)
{
	begin_tx();
	publish("a");
	publish("b");
	commit();
	get(1, "a");
	get(2, "b");
	client_ack(&client, 1, 1, false);
	client_drop(&client);
	rig_settle(&rig);
	client_open(&client, &rig);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(ready(), 2);
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	get(1, "a");
	client_ack(&client, 1, 1, false);
	commit();
	client_drop(&client);
	rig_settle(&rig);
	client_open(&client, &rig);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(ready(), 1);
	finish();
}

/* In whatever order they were settled; and no turn looks through all of them. */
static void a_rollback_of_many_goes_in_slices(void)
{
	enum { MANY = 24000 };
	struct rig_options o = rig_options();

	o.server.unacked_max = MANY;
	begin_with(&o);
	for (unsigned i = 0; i < MANY; i++)
		publish("a");
	rig_settle(&rig);
	client_consume(&client, 1, "q", "c", false);
	for (unsigned i = 0; i < MANY; i++)
		client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "a");
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	for (unsigned i = MANY / 2; i < MANY; i++)
		client_ack(&client, 1, i + 1, false);
	client_ack(&client, 1, MANY / 4, false);
	for (unsigned i = MANY / 4 + 100; i > MANY / 4; i--)
		client_ack(&client, 1, i, false);
	rig_settle(&rig);
	client_plain(&client, 1, AMQP091_METHOD_TX_ROLLBACK);
	unsigned turns = 0;
	while (client.link.out.at == client.link.out.end && turns < 200) {
		rig_turn(&rig);
		turns++;
	}
	CU_ASSERT_TRUE(turns > 10);
	client_expect(&client, 1, AMQP091_METHOD_TX_ROLLBACK_OK);
	struct amqp091_channel *ch = channel_find(
		cds_list_first_entry(&rig.server->conns, struct amqp091_conn, link), 1);
	struct unacked *u;
	uint64_t tag = 0;
	cds_list_for_each_entry (u, &ch->unacked, link)
		CU_ASSERT_EQUAL(u->tag, ++tag);
	CU_ASSERT_EQUAL(tag, MANY);
	finish();
}

/* Not while the transaction keeps it. */
static void a_lifetime_begins_at_commit(void)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_EXPIRATION, .expiration = str("100")};

	begin_tx();
	client_publish_with(&client, 1, "q", &p, "a");
	rig_settle(&rig);
	rig_advance(&rig, 150000);
	commit();
	rig_advance(&rig, 90000);
	CU_ASSERT_EQUAL(ready(), 1);
	rig_advance(&rig, 20000);
	CU_ASSERT_EQUAL(ready(), 0);
	finish();
}

static void an_ack_twice_is_one_too_many(void)
{
	begin_tx();
	publish("a");
	commit();
	get(1, "a");
	client_ack(&client, 1, 1, false);
	client_ack(&client, 1, 1, false);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_ACK);
	finish();
}

/* Back among the unsettled, in their order, so that a multiple ack means them again. */
static void a_rollback_forgets_settlements(void)
{
	static const char *const bodies[] = {"1", "2", "3", "4", "5"};

	begin_tx();
	for (unsigned i = 0; i < 5; i++)
		publish(bodies[i]);
	commit();
	for (unsigned i = 0; i < 5; i++)
		get(i + 1, bodies[i]);
	client_ack(&client, 1, 4, false);
	client_nack(&client, 1, 2, true, false);
	client_nack(&client, 1, 5, false, true);
	CU_ASSERT_EQUAL(ready(), 0);
	roll_back();
	CU_ASSERT_EQUAL(ready(), 0);
	client_ack(&client, 1, 3, true);
	client_nack(&client, 1, 5, true, true);
	commit();
	CU_ASSERT_EQUAL(ready(), 2);
	get(6, "4");
	get(7, "5");
	client_ack(&client, 1, 7, true);
	commit();
	CU_ASSERT_EQUAL(ready(), 0);
	finish();
}

/* What the channel's prefetch held back from another consumer of its. */
static void a_commit_lets_other_consumers_go_on(void)
{
	begin_tx();
	client_declare(&client, 1, "r");
	client_qos(&client, 1, 1, true);
	client_consume(&client, 1, "q", "a", false);
	client_consume(&client, 1, "r", "b", false);
	publish("1");
	client_publish(&client, 1, "", "r", "2", 1);
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect(&client, 1, AMQP091_METHOD_TX_COMMIT_OK);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "1");
	client_ack(&client, 1, 1, false);
	client_expect_nothing(&client);
	commit();
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_DELIVER, "2");
	client_ack(&client, 1, 2, false);
	commit();
	finish();
}

static void a_rejected_one_goes_back_at_commit(void)
{
	begin_tx();
	publish("a");
	publish("b");
	commit();
	get(1, "a");
	get(2, "b");
	client_nack(&client, 1, 1, false, true);
	client_nack(&client, 1, 2, false, false);
	CU_ASSERT_EQUAL(ready(), 0);
	commit();
	CU_ASSERT_EQUAL(ready(), 1);
	finish();
}

/* RabbitMQ: basic.recover does not ask a transaction, nor does it touch what that has settled. */
static void recover_is_at_once(void)
{
	begin_tx();
	publish("a");
	publish("b");
	commit();
	get(1, "a");
	get(2, "b");
	client_ack(&client, 1, 1, false);
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};
	m.args.basic_recover.requeue = true;
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_BASIC_RECOVER_OK);
	CU_ASSERT_EQUAL(ready(), 1);
	roll_back();
	client_nack(&client, 1, 1, false, true);
	commit();
	CU_ASSERT_EQUAL(ready(), 2);
	get(3, "a");
	finish();
}

static void the_unroutable_come_back_at_commit(void)
{
	begin_tx();
	client_publish_method(&client, 1, "", "nobody", true);
	client_content_header(&client, 1, 1);
	client_body(&client, 1, "x", 1);
	publish("a");
	CU_ASSERT_EQUAL(ready(), 0);
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_RETURN, "x");
	client_expect(&client, 1, AMQP091_METHOD_TX_COMMIT_OK);
	CU_ASSERT_EQUAL(ready(), 1);
	finish();
}

static void modes_do_not_mix(void)
{
	begin_with(NULL);
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT,
		"PRECONDITION_FAILED - channel is not transactional");
	client_plain(&client, 1, AMQP091_METHOD_TX_ROLLBACK);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_ROLLBACK,
		"PRECONDITION_FAILED - channel is not transactional");
	client_confirm_select(&client, 1);
	client_plain(&client, 1, AMQP091_METHOD_TX_SELECT);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_SELECT,
		"PRECONDITION_FAILED - cannot switch from confirm to tx mode");
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	client_plain(&client, 1, AMQP091_METHOD_CONFIRM_SELECT);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_CONFIRM_SELECT,
		"PRECONDITION_FAILED - cannot switch from tx to confirm mode");
	finish();
}

static void an_unknown_exchange_is_told_at_once(void)
{
	begin_tx();
	publish("a");
	client_publish(&client, 1, "nowhere", "q", "x", 1);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(ready(), 0);
	finish();
}

static void a_refusing_queue_fails_the_commit(void)
{
	static uint8_t bytes[256];
	struct amqp091_table_builder table;
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	begin_tx();
	amqp091_table_build(&table, bytes, sizeof(bytes));
	amqp091_table_add_int32(&table, "x-max-length", 1);
	amqp091_table_add_cstring(&table, "x-overflow", "reject-publish");
	m.args.queue_declare.queue = str("short");
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
	client_method(&client, 1, &m);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	for (unsigned i = 0; i < 2; i++)
		client_publish(&client, 1, "", "short", "x", 1);
	publish("a");
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect_refusal(&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT,
		"PRECONDITION_FAILED - partial tx completion");
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "short"), 1);
	CU_ASSERT_EQUAL(ready(), 1);
	finish();
}

/* Publishers wait while memory is short; one that holds it itself would wait for ever. */
static void a_transaction_is_no_larger_than_a_part_of_memory(void)
{
	static uint8_t body[64 * 1024];
	uint32_t sent = 0;
	struct client_frame f;

	begin_tx();
	for (; sent < 256; sent++) {
		client_publish(&client, 1, "", "q", body, sizeof(body));
		if (rig_settle(&rig), client_next(&client, &f))
			break;
	}
	CU_ASSERT_TRUE(sent >= 16 && sent < 64); /* of 8 MiB */
	CU_ASSERT_EQUAL(f.head.type, AMQP091_FRAME_METHOD);
	CU_ASSERT_EQUAL(wire_get32(f.payload), AMQP091_METHOD_CHANNEL_CLOSE);
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(rig.server->kept_bytes, 0);
	CU_ASSERT_EQUAL(pool_stats(rig.server->kept_pool).used, 0);
	finish();
}

static void a_transaction_has_no_more_messages_than_places(void)
{
	uint32_t sent = 0;
	struct client_frame f;

	begin_tx();
	for (; sent < 2000; sent++) {
		publish("x");
		if (rig_settle(&rig), client_next(&client, &f))
			break;
	}
	CU_ASSERT_EQUAL(sent, 1000);
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(pool_stats(rig.server->kept_pool).used, 0);
	finish();
}

static void a_long_commit_takes_turns(void)
{
	begin_tx();
	for (unsigned i = 0; i < 1000; i++)
		publish("x");
	rig_settle(&rig);
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	rig_turn(&rig);
	/* Its share of a turn is used up. */
	CU_ASSERT_TRUE(pool_stats(rig.server->kept_pool).used > 0);
	CU_ASSERT_TRUE(pool_stats(rig.server->kept_pool).used < 1000);
	client_expect(&client, 1, AMQP091_METHOD_TX_COMMIT_OK);
	CU_ASSERT_EQUAL(ready(), 1000);
	for (unsigned i = 0; i < 1000; i++)
		get(i + 1, "x");
	client_ack(&client, 1, 0, true);
	roll_back();
	CU_ASSERT_EQUAL(ready(), 0);
	client_ack(&client, 1, 1000, true);
	commit();
	client_ack(&client, 1, 0, true);
	CU_ASSERT_EQUAL(ready(), 0);
	finish();
}

static void a_client_that_goes_takes_its_transaction_along(void)
{
	begin_tx();
	for (unsigned i = 0; i < 900; i++)
		publish("x");
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	rig_turn(&rig);
	CU_ASSERT_TRUE(pool_stats(rig.server->kept_pool).used > 0);
	client_drop(&client);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(pool_stats(rig.server->kept_pool).used, 0);
	client_open(&client, &rig);
	client_channel(&client, 1);
	CU_ASSERT_TRUE(ready() < 900);
	finish();
}

/* commit-ok: the queues of other cores have the messages. */
static void commit_ok_waits_for_other_cores(void)
{
	struct rig_options o = rig_options();

	o.cores = 2;
	test_begin(&rig, &o);
	client_open_at(&other, &rig, 1);
	client_channel(&other, 1);
	client_declare(&other, 1, "q");
	client_open(&client, &rig);
	client_channel(&client, 1);
	ask(AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_SELECT_OK);
	publish("a");
	rig.cores[1].stopped = true;
	client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	for (int i = 0; i < 5; i++)
		rig_turn(&rig);
	CU_ASSERT_EQUAL(client.link.out.end, client.link.out.at);
	rig.cores[1].stopped = false;
	client_expect(&client, 1, AMQP091_METHOD_TX_COMMIT_OK);
	CU_ASSERT_EQUAL(client_ready_count(&other, 1, "q"), 1);
	client_close(&other);
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"publishes_wait_for_commit", publishes_wait_for_commit},
			{"nothing_goes_the_fast_way", nothing_goes_the_fast_way},
			{"a_rollback_forgets_publishes", a_rollback_forgets_publishes},
			{"acks_count_at_commit", acks_count_at_commit},
			{"a_rollback_of_many_goes_in_slices", a_rollback_of_many_goes_in_slices},
			{"a_lifetime_begins_at_commit", a_lifetime_begins_at_commit},
			{"an_ack_twice_is_one_too_many", an_ack_twice_is_one_too_many},
			{"settlements_are_kept_in_slices", settlements_are_kept_in_slices},
			{"a_rollback_forgets_settlements", a_rollback_forgets_settlements},
			{"a_commit_lets_other_consumers_go_on", a_commit_lets_other_consumers_go_on},
			{"a_rejected_one_goes_back_at_commit", a_rejected_one_goes_back_at_commit},
			{"recover_is_at_once", recover_is_at_once},
			{"the_unroutable_come_back_at_commit", the_unroutable_come_back_at_commit},
			{"modes_do_not_mix", modes_do_not_mix},
			{"an_unknown_exchange_is_told_at_once", an_unknown_exchange_is_told_at_once},
			{"a_refusing_queue_fails_the_commit", a_refusing_queue_fails_the_commit},
			{"a_transaction_is_no_larger_than_a_part_of_memory",
				a_transaction_is_no_larger_than_a_part_of_memory},
			{"a_transaction_has_no_more_messages_than_places",
				a_transaction_has_no_more_messages_than_places},
			{"a_long_commit_takes_turns", a_long_commit_takes_turns},
			{"a_client_that_goes_takes_its_transaction_along",
				a_client_that_goes_takes_its_transaction_along},
			{"commit_ok_waits_for_other_cores", commit_ok_waits_for_other_cores}, {0}});
}
