/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/script.h"

#include "broker/amqp091/codec.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

enum { METHOD_ROOM = 1024, FRAME_MAX = 131072, LOGIN_MAX = 255 };

void script_free(struct script *s)
{
	free(s->bytes);
	*s = (struct script){0};
}

void script_clear(struct script *s)
{
	s->count = 0;
	s->answers = 0;
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

void script_raw(struct script *s, const void *bytes, size_t n)
{
	if (n)
		memcpy(room(s, n), bytes, n);
	s->count += n;
}

static void method(struct script *s, uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(room(s, METHOD_ROOM), METHOD_ROOM, channel, m);

	MUST(n > 0);
	s->count += (size_t)n;
}

static uint16_t channel_of(const struct script *s)
{
	return s->channel ? s->channel : 1;
}

/* One that the broker answers. */
static void ask(struct script *s, const struct amqp091_method *m)
{
	method(s, channel_of(s), m);
	s->answers++;
}

static struct amqp091_shortstr str(const char *text)
{
	size_t n = strlen(text);

	MUST(n <= UINT8_MAX);
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)n};
}

void script_protocol_header(struct script *s)
{
	script_raw(s, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
}

/* So that a refused login is told, and a consumer that is cancelled. */
static struct amqp091_table client_properties(uint8_t *memory, uint32_t bytes)
{
	static const char *const capabilities[] = {
		"authentication_failure_close", "consumer_cancel_notify", "publisher_confirms", "basic.nack"};
	struct amqp091_table_builder b;
	struct amqp091_table table;

	amqp091_table_build(&b, memory, bytes);
	amqp091_table_add_cstring(&b, "product", "Godwit's tools");
	amqp091_table_add_cstring(&b, "version", GODWIT_VERSION);
	amqp091_table_open(&b, "capabilities");
	for (unsigned i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		amqp091_table_add_bool(&b, capabilities[i], true);
	amqp091_table_close(&b);
	MUST(amqp091_table_finish(&b, &table) == 0);
	return table;
}

void script_start_ok(struct script *s, const char *user, const char *password)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_START_OK};
	uint8_t login[2 * LOGIN_MAX + 2], properties[256];
	size_t user_bytes = strlen(user), password_bytes = strlen(password);

	MUST(user_bytes <= LOGIN_MAX && password_bytes <= LOGIN_MAX);
	login[0] = 0;
	memcpy(login + 1, user, user_bytes);
	login[1 + user_bytes] = 0;
	memcpy(login + 2 + user_bytes, password, password_bytes);
	m.args.connection_start_ok.client_properties = client_properties(properties, sizeof(properties));
	m.args.connection_start_ok.mechanism = str("PLAIN");
	m.args.connection_start_ok.response = (struct amqp091_longstr){
		login, (uint32_t)(2 + user_bytes + password_bytes)};
	m.args.connection_start_ok.locale = str("en_US");
	method(s, 0, &m);
}

void script_tune_ok(struct script *s, uint16_t channel_max, uint32_t frame_max, uint16_t heartbeat_s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_TUNE_OK};

	m.args.connection_tune_ok = (struct amqp091_connection_tune_ok){
		.channel_max = channel_max, .frame_max = frame_max, .heartbeat = heartbeat_s};
	method(s, 0, &m);
}

void script_connection_open(struct script *s, const char *vhost)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_OPEN};

	m.args.connection_open.virtual_host = str(vhost);
	method(s, 0, &m);
}

void script_channel_open(struct script *s)
{
	ask(s, &(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_OPEN});
}

void script_open(struct script *s)
{
	script_protocol_header(s);
	script_start_ok(s, "guest", "guest");
	script_tune_ok(s, 2047, 131072, 60);
	script_connection_open(s, "/");
	script_channel_open(s);
}

void script_close(struct script *s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	m.args.connection_close.reply_code = AMQP091_REPLY_SUCCESS;
	m.args.connection_close.reply_text = str("done");
	method(s, 0, &m);
}

void script_confirm_select(struct script *s)
{
	ask(s, &(struct amqp091_method){.id = AMQP091_METHOD_CONFIRM_SELECT});
}

void script_tx_select(struct script *s)
{
	ask(s, &(struct amqp091_method){.id = AMQP091_METHOD_TX_SELECT});
}

void script_tx_commit(struct script *s)
{
	ask(s, &(struct amqp091_method){.id = AMQP091_METHOD_TX_COMMIT});
}

void script_declare_exchange(struct script *s, const char *name, const char *type)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	m.args.exchange_declare.exchange = str(name);
	m.args.exchange_declare.type = str(type);
	ask(s, &m);
}

void script_declare(struct script *s, const char *queue, unsigned flags)
{
	script_declare_with(s, queue, flags, &(struct amqp091_table){0});
}

void script_declare_with(
	struct script *s, const char *queue, unsigned flags, const struct amqp091_table *arguments)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.arguments = *arguments;
	m.args.queue_declare.queue = str(queue);
	m.args.queue_declare.durable = flags & SCRIPT_DURABLE;
	m.args.queue_declare.exclusive = flags & SCRIPT_EXCLUSIVE;
	m.args.queue_declare.auto_delete = flags & SCRIPT_AUTO_DELETE;
	ask(s, &m);
}

void script_purge(struct script *s, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};

	m.args.queue_purge.queue = str(queue);
	ask(s, &m);
}

void script_delete(struct script *s, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	m.args.queue_delete.queue = str(queue);
	ask(s, &m);
}

void script_bind(struct script *s, const char *queue, const char *exchange, const char *key)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	m.args.queue_bind.queue = str(queue);
	m.args.queue_bind.exchange = str(exchange);
	m.args.queue_bind.routing_key = str(key);
	m.args.queue_bind.no_wait = true;
	method(s, channel_of(s), &m);
}

void script_consume(struct script *s, const char *queue, const char *tag, bool no_ack)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	m.args.basic_consume.queue = str(queue);
	m.args.basic_consume.consumer_tag = str(tag);
	m.args.basic_consume.no_ack = no_ack;
	ask(s, &m);
}

void script_qos(struct script *s, uint16_t count)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_QOS};

	m.args.basic_qos.prefetch_count = count;
	ask(s, &m);
}

static void content_begin(struct script *s, const char *exchange, const char *key, size_t bytes, bool durable)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_PUBLISH};
	static const uint8_t none[2], persistent[3] = {AMQP091_BASIC_DELIVERY_MODE >> 8, 0, 2};
	struct amqp091_content_header h = {.class_id = AMQP091_CLASS_BASIC,
		.body_size = bytes,
		.properties = durable ? persistent : none,
		.properties_len = durable ? sizeof(persistent) : sizeof(none)};

	m.args.basic_publish.exchange = str(exchange);
	m.args.basic_publish.routing_key = str(key);
	method(s, channel_of(s), &m);
	uint8_t *p = room(s, amqp091_content_header_frame_size(h.properties_len));
	s->count += (size_t)(amqp091_content_header_frame_put(p, channel_of(s), &h) - p);
}

/* Where body is NULL: x's. */
static void body_frame(struct script *s, const char *body_or_null, size_t bytes)
{
	uint8_t *p = room(s, bytes + AMQP091_FRAME_OVERHEAD);
	uint8_t *at = amqp091_frame_header_put(p, AMQP091_FRAME_BODY, channel_of(s), (uint32_t)bytes);

	if (body_or_null)
		memcpy(at, body_or_null, bytes);
	else
		memset(at, 'x', bytes);
	at = amqp091_put8(at + bytes, AMQP091_FRAME_END);
	s->count += (size_t)(at - p);
}

size_t script_publish(struct script *s, const char *exchange, const char *key, size_t bytes, bool durable)
{
	size_t from = s->count, most = (s->frame_max ? s->frame_max : FRAME_MAX) - AMQP091_FRAME_OVERHEAD;

	content_begin(s, exchange, key, bytes, durable);
	size_t body_at = s->count - from + AMQP091_FRAME_HEADER_SIZE;
	while (bytes) {
		size_t piece = bytes < most ? bytes : most;
		body_frame(s, NULL, piece);
		bytes -= piece;
	}
	return body_at;
}

void script_publish_text(struct script *s, const char *exchange, const char *key, const char *text)
{
	content_begin(s, exchange, key, strlen(text), false);
	if (*text)
		body_frame(s, text, strlen(text));
}

void script_ack_put(uint8_t *p, uint64_t tag, bool multiple)
{
	struct amqp091_basic_ack ack = {.delivery_tag = tag, .multiple = multiple};

	MUST(amqp091_frame_basic_ack(p, SCRIPT_ACK_BYTES, 1, &ack) == SCRIPT_ACK_BYTES);
}
