/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters of messages whose headers say that they have died before: no more is believed than can be. */
#include "broker/amqp091/testing/letters.h"

#include <stdio.h>

/* One that a client made up, or that is none, is not believed more than it can be. */
static void a_strange_x_death_does_no_harm(void)
{
	static const char kinds[] = {'S', 'A', 'a'};

	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		arguments();
		if (kinds[i] == 'S') {
			amqp091_table_add_cstring(&table, "x-death", "no array");
		} else {
			amqp091_array_open(&table, "x-death");
			amqp091_table_add_cstring(&table, NULL, "no table");
			if (kinds[i] == 'a') {
				letters_claim("q", "rejected");
				amqp091_table_add_int32(&table, "count", 41);
				amqp091_table_close(&table);
			}
			amqp091_table_close(&table);
		}
		pair_publish_with("", "q", "body");
		letters_reject(&here, "q", i + 1);
		pair_take("dead");
		letters_expect_event(0, "q", "rejected", kinds[i] == 'a' ? 42 : 1);
		CU_ASSERT_EQUAL(letters_events(), kinds[i] == 'S' ? 1 : 2);
		pair_done();
	}
	pair_end();
}

static void counts_have_an_end_and_a_beginning(void)
{
	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	for (unsigned has_count = 0; has_count < 2; has_count++) {
		arguments();
		amqp091_array_open(&table, "x-death");
		letters_claim("q", "rejected");
		if (has_count)
			amqp091_table_add_int64(&table, "count", INT64_MAX);
		amqp091_table_close(&table);
		amqp091_table_close(&table);
		pair_publish_with("", "q", "body");
		letters_reject(&here, "q", has_count + 1);
		pair_take("dead");
		CU_ASSERT_EQUAL(letters_events(), 1);
		letters_expect_event(0, "q", "rejected", has_count ? INT64_MAX : 1);
		pair_done();
	}
	pair_end();
}

/* It has died before, whatever became of the account of that. */
static void what_is_no_array_leaves_the_first_death_alone(void)
{
	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	arguments();
	amqp091_table_add_cstring(&table, "x-death", "no array");
	amqp091_table_add_cstring(&table, "x-first-death-queue", "long ago");
	pair_publish_with("", "q", "body");
	letters_reject(&here, "q", 1);
	pair_take("dead");
	struct amqp091_value v;
	letters_expect_event(0, "q", "rejected", 1);
	CU_ASSERT_TRUE(pair_text_is(&got.p.headers, "x-first-death-queue", "long ago"));
	CU_ASSERT_EQUAL(amqp091_table_find(&got.p.headers, "x-first-death-reason", &v), AMQP091_ERR_ABSENT);
	pair_done();
	pair_end();
}

/* Whoever has not died has no first death, whatever he says. */
static void a_first_death_is_not_believed(void)
{
	struct amqp091_table rest;
	struct amqp091_shortstr key;
	struct amqp091_value v;
	unsigned n = 0;

	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	arguments();
	amqp091_table_add_cstring(&table, "x-first-death-queue", "never");
	pair_publish_with("", "q", "body");
	letters_reject(&here, "q", 1);
	pair_take("dead");
	letters_expect_first("q", "rejected");
	for (rest = got.p.headers; rest.len && amqp091_table_next(&rest, &key, &v) == 1;)
		n += slice_equals_text(slice_of(key), "x-first-death-queue");
	CU_ASSERT_EQUAL(n, 1);
	pair_done();
	pair_end();
}

/* A queue q whose messages soon expire and go to w, and an x-death that a client begins to write. */
static void account_begin(void)
{
	pair_begin(1);
	letters_to("w");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	pair_declare_with("q");
	client_declare(&there, 1, "w");
	arguments();
	amqp091_array_open(&table, "x-death");
}

/* It goes to q with a message, whose time is over then. */
static void account_end(void)
{
	amqp091_table_close(&table);
	pair_publish_with("", "q", "body");
	rig_advance(&rig, 100000);
}

/* Looked at for each queue, and so only so far: whoever has been through more goes in a circle. */
static void a_long_account_is_a_circle(void)
{
	char name[16];

	for (unsigned more = 0; more < 2; more++) {
		account_begin();
		for (unsigned i = 1; i < LETTER_QUEUES_MAX + more; i++) {
			snprintf(name, sizeof(name), "%u", i);
			letters_claim(name, "expired");
			amqp091_table_close(&table);
		}
		account_end();
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, "w"), !more);
		CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, more);
		pair_end();
	}
}

/* From q by expiry to w, where it claims to have been: a circle, unless something else is said before that.
 */
static void a_claim_that_is_no_table_is_no_circle(void)
{
	for (unsigned strange = 0; strange < 2; strange++) {
		account_begin();
		if (strange)
			amqp091_table_add_cstring(&table, NULL, "no table");
		letters_claim("w", "expired");
		amqp091_table_close(&table);
		account_end();
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, "w"), strange);
		CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, !strange);
		pair_end();
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_strange_x_death_does_no_harm", a_strange_x_death_does_no_harm},
			{"counts_have_an_end_and_a_beginning", counts_have_an_end_and_a_beginning},
			{"what_is_no_array_leaves_the_first_death_alone",
				what_is_no_array_leaves_the_first_death_alone},
			{"a_first_death_is_not_believed", a_first_death_is_not_believed},
			{"a_long_account_is_a_circle", a_long_account_is_a_circle},
			{"a_claim_that_is_no_table_is_no_circle", a_claim_that_is_no_table_is_no_circle},
			{0}});
}
