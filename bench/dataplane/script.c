/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/script.h"

#include "broker/amqp091/codec.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

enum { METHOD_ROOM = 512 };

void script_free(struct script *s)
{
	free(s->bytes);
	*s = (struct script){0};
}

static uint8_t *room(struct script *s, size_t n)
{
	if (s->count + n > s->room) {
		s->room = (s->count + n) * 2;
		s->bytes = realloc(s->bytes, s->room);
		MUST(s->bytes);
	}
	return s->bytes + s->count;
}

static void method(struct script *s, uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(room(s, METHOD_ROOM), METHOD_ROOM, channel, m);

	MUST(n > 0);
	s->count += (size_t)n;
}

static struct amqp091_shortstr str(const char *text)
{
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)strlen(text)};
}

void script_open(struct script *s)
{
	static const uint8_t guest[] = "\0guest\0guest";
	struct amqp091_method start = {.id = AMQP091_METHOD_CONNECTION_START_OK},
			      tune = {.id = AMQP091_METHOD_CONNECTION_TUNE_OK},
			      open = {.id = AMQP091_METHOD_CONNECTION_OPEN};

	memcpy(room(s, AMQP091_PROTOCOL_HEADER_SIZE), AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	s->count += AMQP091_PROTOCOL_HEADER_SIZE;
	start.args.connection_start_ok.mechanism = str("PLAIN");
	start.args.connection_start_ok.response = (struct amqp091_longstr){guest, sizeof(guest) - 1};
	start.args.connection_start_ok.locale = str("en_US");
	method(s, 0, &start);
	tune.args.connection_tune_ok = (struct amqp091_connection_tune_ok){
		.channel_max = 2047, .frame_max = 131072, .heartbeat = 60};
	method(s, 0, &tune);
	open.args.connection_open.virtual_host = str("/");
	method(s, 0, &open);
	method(s, 1, &(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_OPEN});
}

void script_confirm_select(struct script *s)
{
	method(s, 1, &(struct amqp091_method){.id = AMQP091_METHOD_CONFIRM_SELECT});
}

void script_declare_exchange(struct script *s, const char *name, const char *type)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	m.args.exchange_declare.exchange = str(name);
	m.args.exchange_declare.type = str(type);
	method(s, 1, &m);
}

void script_declare(struct script *s, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	method(s, 1, &m);
}

void script_bind(struct script *s, const char *queue, const char *exchange, const char *key)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	m.args.queue_bind.queue = str(queue);
	m.args.queue_bind.exchange = str(exchange);
	m.args.queue_bind.routing_key = str(key);
	m.args.queue_bind.no_wait = true;
	method(s, 1, &m);
}

void script_consume(struct script *s, const char *queue, bool no_ack)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	m.args.basic_consume.queue = str(queue);
	m.args.basic_consume.consumer_tag = str(queue);
	m.args.basic_consume.no_ack = no_ack;
	method(s, 1, &m);
}

void script_qos(struct script *s, uint16_t count)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_QOS};

	m.args.basic_qos.prefetch_count = count;
	method(s, 1, &m);
}

void script_publish(struct script *s, const char *exchange, const char *key, unsigned bytes)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_PUBLISH};
	static const uint8_t no_properties[2];
	struct amqp091_content_header h = {.class_id = AMQP091_CLASS_BASIC,
		.body_size = bytes,
		.properties = no_properties,
		.properties_len = sizeof(no_properties)};

	m.args.basic_publish.exchange = str(exchange);
	m.args.basic_publish.routing_key = str(key);
	method(s, 1, &m);
	uint8_t *p = room(s, amqp091_content_header_frame_size(sizeof(no_properties)) + bytes + 8);
	uint8_t *at = amqp091_content_header_frame_put(p, 1, &h);
	if (bytes) {
		at = amqp091_frame_header_put(at, AMQP091_FRAME_BODY, 1, bytes);
		memset(at, 'x', bytes);
		at = amqp091_put8(at + bytes, AMQP091_FRAME_END);
	}
	s->count += (size_t)(at - p);
}

void script_ack_put(uint8_t *p, uint64_t tag, bool multiple)
{
	struct amqp091_basic_ack ack = {.delivery_tag = tag, .multiple = multiple};

	MUST(amqp091_frame_basic_ack(p, SCRIPT_ACK_BYTES, 1, &ack) == SCRIPT_ACK_BYTES);
}
