/* SPDX-License-Identifier: Apache-2.0 */
/* What a channel had unsettled when it went goes back to its queues, each as soon as it can: `owner` is a
 * client of the last core, which owns the queues "q" and "plain", `here` one of the first, whose queue "dead"
 * gets the letters. */
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

enum { LETTERS_MAX = 2, RECORDS = 2, MANY = 12 };

static struct rig rig;
static struct client here, owner, leaver;

/* Whatever comes back to q is given up. */
static void declare_q(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	uint8_t bytes[256];
	struct amqp091_table_builder b;

	amqp091_table_build(&b, bytes, sizeof(bytes));
	amqp091_table_add_int32(&b, "x-delivery-limit", 0);
	amqp091_table_add_cstring(&b, "x-dead-letter-exchange", "");
	amqp091_table_add_cstring(&b, "x-dead-letter-routing-key", "dead");
	m.args.queue_declare.queue = str("q");
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &m.args.queue_declare.arguments), 0);
	client_method(&owner, 1, &m);
	client_expect(&owner, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
}

static void begin(void)
{
	struct rig_options o = rig_options();

	o.cores = 2;
	o.letters_max = LETTERS_MAX;
	o.link_records = RECORDS;
	test_begin(&rig, &o);
	client_open_at(&here, &rig, 0);
	client_open_at(&owner, &rig, 1);
	client_open_at(&leaver, &rig, 1);
	client_channel(&here, 1);
	client_channel(&owner, 1);
	client_channel(&leaver, 1);
	client_declare(&here, 1, "dead");
	client_declare(&owner, 1, "plain");
	declare_q();
}

static void finish(void)
{
	client_close(&here);
	client_close(&owner);
	client_close(&leaver);
	test_end(&rig);
}

static void hold(const char *queue, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		client_publish(&owner, 1, "", queue, "body", 4);
	rig_settle(&rig);
	for (unsigned i = 0; i < n; i++) {
		client_get(&leaver, 1, queue, false);
		client_expect_text(&leaver, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	}
}

static void leave(void)
{
	client_plain(&leaver, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect(&leaver, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
}

/* Those of q wait for room for their letters, which the other core does not make: nobody waits behind them.
 */
static void others_go_past_what_waits_for_letters(void)
{
	begin();
	hold("q", MANY);
	hold("plain", MANY);
	rig.cores[0].stopped = true;
	leave();
	CU_ASSERT_EQUAL(client_ready_count(&owner, 1, "plain"), MANY);
	CU_ASSERT_EQUAL(client_ready_count(&owner, 1, "q"), 0);
	CU_ASSERT_TRUE(broker_core_counters(rig.cores[1].core)->dead_letters < MANY - LETTERS_MAX);
	rig.cores[0].stopped = false;
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&here, 1, "dead"), MANY);
	CU_ASSERT_EQUAL(broker_core_counters(rig.cores[1].core)->dead_letters, MANY);
	CU_ASSERT_EQUAL(broker_core_counters(rig.cores[1].core)->dead_letters_lost, 0);
	finish();
}

/* In their old order, though they did not wait in it. */
static void what_went_past_is_in_order(void)
{
	static const char *const bodies[] = {"1", "2", "3"};

	begin();
	for (unsigned i = 0; i < 3; i++)
		client_publish(&owner, 1, "", "plain", bodies[i], 1);
	rig_settle(&rig);
	rig.cores[0].stopped = true;
	for (unsigned i = 0; i < 3; i++) {
		client_get(&leaver, 1, "plain", false);
		client_expect_text(&leaver, 1, AMQP091_METHOD_BASIC_GET_OK, bodies[i]);
		hold("q", MANY / 3);
	}
	leave();
	for (unsigned i = 0; i < 3; i++) {
		client_get(&owner, 1, "plain", true);
		const struct amqp091_method *m = client_expect_text(
			&owner, 1, AMQP091_METHOD_BASIC_GET_OK, bodies[i]);
		CU_ASSERT_TRUE(m->args.basic_get_ok.redelivered);
	}
	rig.cores[0].stopped = false;
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&here, 1, "dead"), MANY);
	finish();
}

/* Nothing wakes its core when there is room. */
static void who_waits_does_not_sleep(void)
{
	begin();
	hold("q", MANY);
	rig.cores[0].stopped = true;
	leave();
	CU_ASSERT_FALSE(rig.cores[1].source->sleep_prepare(rig.cores[1].source));
	rig.cores[0].stopped = false;
	rig_settle(&rig);
	CU_ASSERT_TRUE(rig.cores[1].source->sleep_prepare(rig.cores[1].source));
	CU_ASSERT_EQUAL(client_ready_count(&here, 1, "dead"), MANY);
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"others_go_past_what_waits_for_letters", others_go_past_what_waits_for_letters},
			{"what_went_past_is_in_order", what_went_past_is_in_order},
			{"who_waits_does_not_sleep", who_waits_does_not_sleep}, {0}});
}
