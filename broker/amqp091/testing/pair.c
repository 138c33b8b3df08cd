/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/pair.h"

#include <string.h>

struct rig rig;
struct client here, there;
struct amqp091_table_builder table;
struct pair_got got;

static uint8_t table_bytes[32768];

void pair_begin_with(const struct rig_options *o)
{
	test_begin(&rig, o);
	client_open_at(&here, &rig, 0);
	client_open_at(&there, &rig, rig.core_count - 1);
	client_channel(&here, 1);
	client_channel(&there, 1);
}

void pair_begin(uint32_t cores)
{
	struct rig_options o = rig_options();

	o.cores = cores;
	pair_begin_with(&o);
}

void pair_end(void)
{
	client_close(&here);
	client_close(&there);
	test_end(&rig);
}

struct amqp091_table_builder *arguments(void)
{
	amqp091_table_build(&table, table_bytes, sizeof(table_bytes));
	return &table;
}

void pair_add_key(const char *header, const char *key)
{
	amqp091_array_open(&table, header);
	amqp091_table_add_cstring(&table, NULL, key);
	amqp091_table_close(&table);
}

void pair_declare_with(const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
}

void pair_bind(const char *exchange, const char *queue, const char *key)
{
	client_bind(&there, 1, exchange, queue, key);
}

void pair_publish_with(const char *exchange, const char *key, const char *body)
{
	struct amqp091_basic_properties p = {
		.flags = AMQP091_BASIC_HEADERS | AMQP091_BASIC_MESSAGE_ID, .message_id = str("id")};

	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &p.headers), 0);
	client_publish_to(&here, 1, exchange, key, &p, body);
	rig_settle(&rig);
}

void pair_take(const char *queue)
{
	rig_settle(&rig);
	got.message = rig_take(&rig, queue);
	CU_ASSERT_PTR_NOT_NULL_FATAL(got.message);
	uint32_t n = message_properties_bytes(got.message);
	CU_ASSERT_FATAL(n <= sizeof(got.block));
	message_properties_copy(got.message, got.block);
	CU_ASSERT_EQUAL_FATAL(amqp091_basic_properties_decode(got.block, n, &got.p), 0);
}

void pair_done(void)
{
	message_unref(broker_core_cache(rig.cores[rig.core_count - 1].core), got.message);
}

bool pair_got_has(const char *header)
{
	return amqp091_table_find(&got.p.headers, header, &(struct amqp091_value){0}) == 0;
}

bool pair_text_is(const struct amqp091_table *t, const char *key, const char *text)
{
	struct amqp091_longstr s;

	return amqp091_table_get_string(t, key, &s) == 0 && s.len == strlen(text) &&
	       memcmp(s.data, text, s.len) == 0;
}
