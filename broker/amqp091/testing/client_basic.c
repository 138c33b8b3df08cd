/* SPDX-License-Identifier: Apache-2.0 */
/* The test client's messages and requests. */
#include "broker/amqp091/testing/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void client_publish_method(
	struct client *c, uint16_t channel, const char *exchange, const char *key, bool mandatory)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_PUBLISH};

	m.args.basic_publish = (struct amqp091_basic_publish){str(exchange), str(key), mandatory, false};
	client_method(c, channel, &m);
}

void client_content_header(struct client *c, uint16_t channel, uint64_t body_bytes)
{
	uint8_t frame[64];
	static const uint8_t no_flags[2];
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, body_bytes, no_flags, sizeof(no_flags)};
	uint8_t *end = amqp091_content_header_frame_put(frame, channel, &h);

	client_raw(c, frame, (size_t)(end - frame));
}

void client_content_header_with(struct client *c, uint16_t channel, uint64_t body_bytes, uint32_t table_bytes)
{
	static uint8_t frame[128 * 1024], properties[64 * 1024];
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, body_bytes, properties, table_bytes + 6};

	CU_ASSERT_FATAL(table_bytes >= 7 && table_bytes + 6 <= sizeof(properties));
	wire_put16(properties, AMQP091_BASIC_HEADERS);
	wire_put32(properties + 2, table_bytes);
	memcpy(properties + 6, "\1kS", 3);
	wire_put32(properties + 9, table_bytes - 7);
	uint8_t *end = amqp091_content_header_frame_put(frame, channel, &h);
	client_raw(c, frame, (size_t)(end - frame));
}

void client_body(struct client *c, uint16_t channel, const void *body, uint32_t n)
{
	client_frame(c, AMQP091_FRAME_BODY, channel, body, n);
}

void client_publish_to(struct client *c, uint16_t channel, const char *exchange, const char *key,
	const struct amqp091_basic_properties *properties, const char *body)
{
	static uint8_t payload[16384];
	uint8_t *end;

	memset(payload, 0, 12);
	wire_put16(payload, AMQP091_CLASS_BASIC);
	wire_put64(payload + 4, strlen(body));
	CU_ASSERT_FATAL(amqp091_basic_properties_size(properties) <= sizeof(payload) - 12);
	end = amqp091_basic_properties_put(payload + 12, properties);
	client_publish_method(c, channel, exchange, key, false);
	client_frame(c, AMQP091_FRAME_HEADER, channel, payload, (uint32_t)(end - payload));
	if (*body)
		client_body(c, channel, body, (uint32_t)strlen(body));
}

void client_publish_with(struct client *c, uint16_t channel, const char *key,
	const struct amqp091_basic_properties *properties, const char *body)
{
	client_publish_to(c, channel, "", key, properties, body);
}

void client_publish(struct client *c, uint16_t channel, const char *exchange, const char *key,
	const void *body, uint32_t n)
{
	const uint8_t *at = body;

	client_publish_method(c, channel, exchange, key, false);
	client_content_header(c, channel, n);
	while (n) {
		uint32_t most = c->frame_max - AMQP091_FRAME_OVERHEAD, piece = n < most ? n : most;
		client_body(c, channel, at, piece);
		at += piece;
		n -= piece;
	}
}

const struct amqp091_method *client_expect_content(
	struct client *c, uint16_t channel, uint32_t id, struct client_content *out)
{
	const struct amqp091_method *m = client_expect(c, channel, id);
	struct amqp091_content_header h = {0};
	struct client_frame f;
	uint64_t have = 0;

	CU_ASSERT_TRUE_FATAL(client_next(c, &f));
	CU_ASSERT_EQUAL_FATAL(f.head.type, AMQP091_FRAME_HEADER);
	CU_ASSERT_EQUAL_FATAL(f.head.channel, channel);
	CU_ASSERT_EQUAL_FATAL(amqp091_content_header_decode(f.payload, f.head.size, &h), 0);
	CU_ASSERT_EQUAL(h.class_id, AMQP091_CLASS_BASIC);
	*out = (struct client_content){.bytes = h.body_size, .properties_bytes = h.properties_len};
	out->body = malloc(h.body_size + 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out->body);
	while (have < h.body_size) {
		CU_ASSERT_TRUE_FATAL(client_next(c, &f));
		CU_ASSERT_EQUAL_FATAL(f.head.type, AMQP091_FRAME_BODY);
		CU_ASSERT_EQUAL_FATAL(f.head.channel, channel);
		CU_ASSERT_TRUE_FATAL(f.head.size > 0 && f.head.size <= h.body_size - have);
		memcpy(out->body + have, f.payload, f.head.size);
		have += f.head.size;
		out->frames++;
	}
	out->body[have] = 0;
	return m;
}

void client_content_free(struct client_content *content)
{
	free(content->body);
	content->body = NULL;
}

const struct amqp091_method *client_expect_text(
	struct client *c, uint16_t channel, uint32_t id, const char *text)
{
	struct client_content content;
	const struct amqp091_method *m = client_expect_content(c, channel, id, &content);

	CU_ASSERT_EQUAL(content.bytes, strlen(text));
	CU_ASSERT_STRING_EQUAL((const char *)content.body, text);
	client_content_free(&content);
	return m;
}

void client_declare(struct client *c, uint16_t channel, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	client_method(c, channel, &m);
	client_expect(c, channel, AMQP091_METHOD_QUEUE_DECLARE_OK);
}

uint32_t client_ready_count(struct client *c, uint16_t channel, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	m.args.queue_declare.passive = true;
	client_method(c, channel, &m);
	return client_expect(c, channel, AMQP091_METHOD_QUEUE_DECLARE_OK)
		->args.queue_declare_ok.message_count;
}

void client_bind(struct client *c, uint16_t channel, const char *exchange, const char *queue, const char *key)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	m.args.queue_bind = (struct amqp091_queue_bind){
		.queue = str(queue), .exchange = str(exchange), .routing_key = str(key)};
	client_method(c, channel, &m);
	client_expect(c, channel, AMQP091_METHOD_QUEUE_BIND_OK);
}

void client_delete_slowly(struct client *c, uint16_t channel, const char *queue)
{
	enum { BINDINGS = 400 };
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};
	char key[16];

	client_declare(c, channel, queue);
	for (unsigned i = 0; i < BINDINGS; i++) {
		snprintf(key, sizeof(key), "key.%u", i);
		client_bind(c, channel, "amq.topic", queue, key);
	}
	m.args.queue_delete.queue = str(queue);
	client_method(c, channel, &m);
}

void client_consume(struct client *c, uint16_t channel, const char *queue, const char *tag, bool no_ack)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	m.args.basic_consume.queue = str(queue);
	m.args.basic_consume.consumer_tag = str(tag);
	m.args.basic_consume.no_ack = no_ack;
	client_method(c, channel, &m);
	client_expect(c, channel, AMQP091_METHOD_BASIC_CONSUME_OK);
}

void client_get(struct client *c, uint16_t channel, const char *queue, bool no_ack)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_GET};

	m.args.basic_get = (struct amqp091_basic_get){str(queue), no_ack};
	client_method(c, channel, &m);
}

void client_confirm_select(struct client *c, uint16_t channel)
{
	client_plain(c, channel, AMQP091_METHOD_CONFIRM_SELECT);
	client_expect(c, channel, AMQP091_METHOD_CONFIRM_SELECT_OK);
}

void client_qos(struct client *c, uint16_t channel, uint16_t count, bool global)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_QOS};

	m.args.basic_qos = (struct amqp091_basic_qos){0, count, global};
	client_method(c, channel, &m);
	client_expect(c, channel, AMQP091_METHOD_BASIC_QOS_OK);
}

void client_ack(struct client *c, uint16_t channel, uint64_t tag, bool multiple)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};

	m.args.basic_ack = (struct amqp091_basic_ack){tag, multiple};
	client_method(c, channel, &m);
}

void client_nack(struct client *c, uint16_t channel, uint64_t tag, bool multiple, bool requeue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_NACK};

	m.args.basic_nack = (struct amqp091_basic_nack){tag, multiple, requeue};
	client_method(c, channel, &m);
}
