/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/letters.h"

#include <string.h>

void letters_to(const char *key)
{
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "");
	if (key)
		amqp091_table_add_cstring(&table, "x-dead-letter-routing-key", key);
}

void letters_publish(const char *key)
{
	client_publish_with(&here, 1, key,
		&(struct amqp091_basic_properties){
			.flags = AMQP091_BASIC_MESSAGE_ID, .message_id = str("id")},
		"body");
}

struct amqp091_table letters_event(unsigned at)
{
	struct amqp091_value v = {0}, found;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&got.p.headers, "x-death", &found), 0);
	CU_ASSERT_EQUAL_FATAL(found.type, 'A');
	for (unsigned i = 0; i <= at; i++)
		CU_ASSERT_EQUAL_FATAL(amqp091_array_next(&found.array, &v), 1);
	CU_ASSERT_EQUAL_FATAL(v.type, 'F');
	return v.table;
}

unsigned letters_events(void)
{
	struct amqp091_value v, found;
	unsigned n = 0;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&got.p.headers, "x-death", &found), 0);
	while (found.array.len && amqp091_array_next(&found.array, &v) == 1)
		n++;
	return n;
}

void letters_expect_event(unsigned at, const char *queue, const char *reason, int64_t count)
{
	struct amqp091_table t = letters_event(at);
	int64_t n = 0;

	CU_ASSERT_TRUE(pair_text_is(&t, "queue", queue));
	CU_ASSERT_TRUE(pair_text_is(&t, "reason", reason));
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "count", &n), 0);
	CU_ASSERT_EQUAL(n, count);
}

void letters_expect_first(const char *queue, const char *reason)
{
	CU_ASSERT_TRUE(pair_text_is(&got.p.headers, "x-first-death-queue", queue));
	CU_ASSERT_TRUE(pair_text_is(&got.p.headers, "x-first-death-reason", reason));
	CU_ASSERT_TRUE(pair_text_is(&got.p.headers, "x-first-death-exchange", ""));
}

void letters_reject(struct client *c, const char *queue, uint64_t tag)
{
	client_get(c, 1, queue, false);
	client_expect_text(c, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	client_nack(c, 1, tag, false, false);
	rig_settle(&rig);
}

void letters_claim(const char *queue, const char *reason)
{
	amqp091_table_open(&table, NULL);
	amqp091_table_add_cstring(&table, "queue", queue);
	amqp091_table_add_cstring(&table, "reason", reason);
}
