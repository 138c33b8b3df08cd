/* SPDX-License-Identifier: Apache-2.0 */
/* The headers CC and BCC: further routing keys of a message. */
#include "broker/amqp091/testing/rig_test.h"
#include "broker/core/core.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;
static struct client client;

/* Header tables are built here. */
static uint8_t octets[70000];
static struct amqp091_table_builder table;

static void begin(void)
{
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "a");
	client_declare(&client, 1, "b");
	client_declare(&client, 1, "c");
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void headers_begin(void)
{
	amqp091_table_build(&table, octets, sizeof(octets));
}

static void headers_array(const char *name, const char *first, const char *second)
{
	amqp091_array_open(&table, name);
	amqp091_table_add_cstring(&table, NULL, first);
	if (second)
		amqp091_table_add_cstring(&table, NULL, second);
	amqp091_table_close(&table);
}

/* A mandatory message to the default exchange with the headers built, between two other properties. */
static void publish_to(const char *key, const char *body)
{
	static uint8_t properties[sizeof(octets) + 32], frame[sizeof(properties) + 32];
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, strlen(body), properties, 0};
	struct amqp091_table headers;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&table, &headers), 0);
	wire_put16(properties, AMQP091_BASIC_CONTENT_TYPE | AMQP091_BASIC_HEADERS | AMQP091_BASIC_TYPE);
	memcpy(properties + 2, "\4text", 5);
	wire_put32(properties + 7, headers.len);
	memcpy(properties + 11, headers.data, headers.len);
	memcpy(properties + 11 + headers.len, "\4kind", 5);
	h.properties_len = headers.len + 16;
	client_publish_method(&client, 1, "", key, true);
	client_raw(&client, frame, (size_t)(amqp091_content_header_frame_put(frame, 1, &h) - frame));
	if (*body)
		client_body(&client, 1, body, (uint32_t)strlen(body));
}

/* What one queue got: the body, the properties around, and how many octets of headers. */
static void expect_got(const char *queue, const char *body, uint32_t headers_bytes)
{
	struct amqp091_basic_properties p;
	uint8_t block[256];
	struct message *m = rig_take(&rig, queue);
	struct message_cursor at = {0};

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_FATAL(message_properties_bytes(m) <= sizeof(block));
	message_properties_copy(m, block);
	CU_ASSERT_EQUAL_FATAL(amqp091_basic_properties_decode(block, message_properties_bytes(m), &p), 0);
	CU_ASSERT_EQUAL(p.headers.len, headers_bytes);
	CU_ASSERT_TRUE(p.flags & AMQP091_BASIC_HEADERS);
	CU_ASSERT_EQUAL(
		amqp091_table_find(&p.headers, "BCC", &(struct amqp091_value){0}), AMQP091_ERR_ABSENT);
	CU_ASSERT_TRUE(p.type.len == 4 && memcmp(p.type.data, "kind", 4) == 0);
	CU_ASSERT_TRUE(p.content_type.len == 4 && memcmp(p.content_type.data, "text", 4) == 0);
	if (*body) {
		struct slice found = message_body_next(m, &at, 100);
		CU_ASSERT_TRUE(slice_equals_text(found, body));
	}
	message_unref(broker_core_cache(rig.core), m);
}

static void counts(uint32_t a, uint32_t b, uint32_t c)
{
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "a"), a);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "b"), b);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "c"), c);
}

static void all_keys_route(void)
{
	begin();
	for (unsigned round = 0; round < 3; round++) {
		headers_begin();
		headers_array("CC", "b", "a");
		amqp091_table_add_int32(&table, "kept", 1);
		headers_array("BCC", "c", "none");
		publish_to("a", round ? "body" : "");
		counts(1, 1, 1);
		/* CC: 3 + 1 + 4 + 2 * 6; kept: 5 + 1 + 4. */
		expect_got("a", round ? "body" : "", 30);
		expect_got("b", round ? "body" : "", 30);
		expect_got("c", round ? "body" : "", 30);
	}
	/* Like the last but for its keys. */
	headers_begin();
	headers_array("CC", "c", "a");
	publish_to("a", "body");
	headers_begin();
	headers_array("CC", "b", "b");
	publish_to("a", "body");
	counts(2, 1, 1);
	finish();
}

static void only_hidden(void)
{
	begin();
	headers_begin();
	headers_array("BCC", "b", NULL);
	publish_to("none", "x");
	counts(0, 1, 0);
	expect_got("b", "x", 0);
	headers_begin();
	headers_array("CC", "none", NULL);
	headers_array("BCC", "nor this", NULL);
	publish_to("none", "back");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_RETURN, "back");
	finish();
}

static void other_elements_are_passed_over(void)
{
	begin();
	headers_begin();
	amqp091_array_open(&table, "CC");
	amqp091_table_add_int32(&table, NULL, 1);
	amqp091_table_add_cstring(&table, NULL, "b");
	amqp091_table_add_bool(&table, NULL, true);
	amqp091_table_add_value(&table, (struct amqp091_shortstr){0},
		&(struct amqp091_value){.type = 'x', .bytes = {(const uint8_t *)"c", 1}});
	amqp091_array_open(&table, NULL);
	amqp091_table_add_cstring(&table, NULL, "c");
	amqp091_table_close(&table);
	amqp091_table_close(&table);
	publish_to("a", "x");
	counts(1, 1, 0);
	headers_begin();
	amqp091_array_open(&table, "BCC");
	amqp091_table_close(&table);
	publish_to("a", "x");
	counts(2, 1, 0);
	finish();
}

static void expect_refused(const char *text)
{
	publish_to("a", "x");
	const struct amqp091_method *m = client_expect(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	const struct amqp091_channel_close *close = &m->args.channel_close;

	CU_ASSERT_EQUAL(close->reply_code, AMQP091_REPLY_PRECONDITION_FAILED);
	CU_ASSERT_EQUAL(close->class_id, 60);
	CU_ASSERT_EQUAL(close->method_id, 40);
	CU_ASSERT_TRUE(
		slice_equals_text((struct slice){close->reply_text.data, close->reply_text.len}, text));
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	client_channel(&client, 1);
}

static void refusals(void)
{
	char key[257];

	begin();
	headers_begin();
	amqp091_table_add_cstring(&table, "CC", "b");
	expect_refused("PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}");
	headers_begin();
	headers_array("CC", "b", NULL);
	amqp091_table_add_int32(&table, "BCC", 1);
	expect_refused(
		"PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"BCC\",signedint}");
	headers_begin();
	memset(key, 'k', 256);
	key[256] = 0;
	headers_array("CC", key, NULL);
	expect_refused(
		"PRECONDITION_FAILED - invalid message: a routing key in CC is longer than 255 octets");
	headers_begin();
	amqp091_array_open(&table, "BCC");
	for (unsigned i = 0; i < 1025; i++)
		amqp091_table_add_cstring(&table, NULL, "b");
	amqp091_table_close(&table);
	expect_refused("PRECONDITION_FAILED - invalid message: CC and BCC have more than 1024 elements");
	headers_begin();
	for (unsigned header = 0; header < 2; header++) {
		amqp091_array_open(&table, header ? "BCC" : "CC");
		for (unsigned i = 0; i < 512 + header; i++)
			amqp091_table_add_cstring(&table, NULL, "b");
		amqp091_table_close(&table);
	}
	expect_refused("PRECONDITION_FAILED - invalid message: CC and BCC have more than 1024 elements");
	counts(0, 0, 0);
	finish();
}

/* More keys than a slice looks at, held between slices. */
static void many_keys_go_in_slices(void)
{
	char name[16];

	begin();
	headers_begin();
	amqp091_array_open(&table, "BCC");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "none-%u", i);
		amqp091_table_add_cstring(&table, NULL, i == 999 ? "c" : name);
	}
	amqp091_table_close(&table);
	rig.core->route->slice = 16;
	rig.core->fan_out.found->slice = 16;
	publish_to("a", "x");
	rig_settle(&rig);
	rig.core->route->slice = ROUTE_SLICE;
	rig.core->fan_out.found->slice = ROUTE_SLICE;
	counts(1, 0, 1);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->fan_outs, 1);
	finish();
}

/* A message that is looked up a thousand times counts for more than one frame of the turn's. */
static void many_keys_count_for_the_turn_with(bool tx)
{
	enum { MESSAGES = 40 };

	begin();
	if (tx) {
		client_plain(&client, 1, AMQP091_METHOD_TX_SELECT);
		client_expect(&client, 1, AMQP091_METHOD_TX_SELECT_OK);
	}
	headers_begin();
	amqp091_array_open(&table, "CC");
	for (unsigned i = 0; i < 1024; i++)
		amqp091_table_add_cstring(&table, NULL, "x");
	amqp091_table_close(&table);
	client.link.rx_limit = 1 << 20;
	for (unsigned i = 0; i < MESSAGES; i++)
		publish_to("a", "x");
	if (tx) {
		rig_settle(&rig);
		client_plain(&client, 1, AMQP091_METHOD_TX_COMMIT);
	}
	rig_turn(&rig);
	CU_ASSERT_TRUE(rig.core->stats.published <= MESSAGES / 2);
	rig_settle(&rig);
	if (tx)
		client_expect(&client, 1, AMQP091_METHOD_TX_COMMIT_OK);
	counts(MESSAGES, 0, 0);
	finish();
}

static void many_keys_count_for_the_turn(void)
{
	many_keys_count_for_the_turn_with(false);
	many_keys_count_for_the_turn_with(true);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"all_keys_route", all_keys_route}, {"only_hidden", only_hidden},
			{"other_elements_are_passed_over", other_elements_are_passed_over},
			{"refusals", refusals}, {"many_keys_go_in_slices", many_keys_go_in_slices},
			{"many_keys_count_for_the_turn", many_keys_count_for_the_turn}, {0}});
}
