/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters and routing keys: the queue's, the message's own, those of CC and BCC. */
#include "broker/amqp091/testing/letters.h"

#include <string.h>

/* The routing keys of an event: the message's own, then that of CC, and no other. */
static void expect_keys(unsigned at, const char *first, const char *second)
{
	struct amqp091_table t = letters_event(at);
	struct amqp091_value v;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&t, "routing-keys", &v), 0);
	struct amqp091_table keys = v.array;
	for (unsigned i = 0; i < 2; i++) {
		const char *key = i ? second : first;
		CU_ASSERT_EQUAL_FATAL(amqp091_array_next(&keys, &v), 1);
		CU_ASSERT_TRUE(v.bytes.len == strlen(key) && memcmp(v.bytes.data, key, v.bytes.len) == 0);
	}
	CU_ASSERT_EQUAL(keys.len, 0);
}

/* Queues that give up to amq.direct under the message's own keys. */
static void declare_to_direct(const char *queue)
{
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "amq.direct");
	pair_declare_with(queue);
}

/* Its own keys where the queue names none: CC stays and counts. */
static void further_keys_count(void)
{
	pair_begin(1);
	declare_to_direct("q");
	client_declare(&there, 1, "a");
	client_declare(&there, 1, "b");
	pair_bind("amq.direct", "a", "q");
	pair_bind("amq.direct", "b", "more");
	arguments();
	pair_add_key("CC", "more");
	pair_publish_with("", "q", "body");
	letters_reject(&here, "q", 1);
	pair_take("a");
	CU_ASSERT_TRUE(pair_got_has("CC"));
	pair_done();
	pair_take("b");
	pair_done();
	pair_end();
}

static void a_key_of_the_queues_replaces_them(void)
{
	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	arguments();
	pair_add_key("CC", "more");
	amqp091_table_add_cstring(&table, "mine", "stays");
	pair_publish_with("", "q", "body");
	letters_reject(&here, "q", 1);
	pair_take("dead");
	CU_ASSERT_FALSE(pair_got_has("CC"));
	CU_ASSERT_TRUE(pair_text_is(&got.p.headers, "mine", "stays"));
	expect_keys(0, "q", "more");
	pair_done();
	pair_end();
}

/* With CC "cc" and BCC "bcc". */
static void publish_with_keys(const char *key)
{
	arguments();
	pair_add_key("CC", "cc");
	pair_add_key("BCC", "bcc");
	pair_publish_with("", key, "body");
}

/* They are remembered from death to death, and no header tells of them. */
static void hidden_keys_count_and_stay_hidden_with(uint32_t cores)
{
	static const char *const queues[] = {"a", "b", "c"}, *const keys[] = {"q", "cc", "bcc"};

	pair_begin(cores);
	declare_to_direct("q");
	declare_to_direct("c");
	client_declare(&there, 1, "a");
	client_declare(&there, 1, "b");
	for (unsigned i = 0; i < 3; i++)
		pair_bind("amq.direct", queues[i], keys[i]);
	publish_with_keys("q");
	for (unsigned death = 1; death <= 2; death++) {
		letters_reject(&here, death == 1 ? "q" : "c", death);
		for (unsigned i = 0; i < 3; i++) {
			if (death == 1 && i == 2)
				continue; /* it dies there once more */
			pair_take(queues[i]);
			CU_ASSERT_EQUAL(letters_events(), death);
			for (unsigned at = 0; at < death; at++)
				expect_keys(at, "q", "cc");
			CU_ASSERT_TRUE(pair_got_has("CC") && !pair_got_has("BCC"));
			pair_done();
		}
	}
	pair_end();
}

static void hidden_keys_count_and_stay_hidden(void)
{
	hidden_keys_count_and_stay_hidden_with(1);
	hidden_keys_count_and_stay_hidden_with(2);
}

/* A key of the queue's replaces them for good. */
static void hidden_keys_are_replaced(void)
{
	pair_begin(1);
	letters_to("w");
	pair_declare_with("q");
	declare_to_direct("w");
	client_declare(&there, 1, "a");
	client_declare(&there, 1, "c");
	pair_bind("amq.direct", "a", "w");
	pair_bind("amq.direct", "c", "bcc");
	pair_bind("amq.direct", "c", "cc");
	publish_with_keys("q");
	letters_reject(&here, "q", 1);
	letters_reject(&here, "w", 2);
	pair_take("a");
	CU_ASSERT_EQUAL(letters_events(), 2);
	CU_ASSERT_TRUE(!pair_got_has("CC") && !pair_got_has("BCC"));
	pair_done();
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "c"), 0);
	pair_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"further_keys_count", further_keys_count},
			{"a_key_of_the_queues_replaces_them", a_key_of_the_queues_replaces_them},
			{"hidden_keys_count_and_stay_hidden", hidden_keys_count_and_stay_hidden},
			{"hidden_keys_are_replaced", hidden_keys_are_replaced}, {0}});
}
