/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/soak/frames.h"

#include "runtime/wire.h"

#include <stdlib.h>
#include <string.h>

enum { FRAME_END = 0xce, FRAME_BYTES_MAX = 1 << 17 };

static uint8_t *room(struct out *o, size_t n)
{
	if (o->n + n > o->room) {
		o->room = (o->n + n) * 2;
		o->p = realloc(o->p, o->room);
		if (!o->p)
			abort();
	}
	o->n += n;
	return o->p + o->n - n;
}

void out_raw(struct out *o, const void *p, size_t n)
{
	if (n)
		memcpy(room(o, n), p, n);
}

static void put8(struct out *o, uint8_t v)
{
	*room(o, 1) = v;
}

static void put16(struct out *o, uint16_t v)
{
	wire_put16(room(o, 2), v);
}

static void put32(struct out *o, uint32_t v)
{
	wire_put32(room(o, 4), v);
}

static void put64(struct out *o, uint64_t v)
{
	wire_put64(room(o, 8), v);
}

static void put_text(struct out *o, const char *text)
{
	put8(o, (uint8_t)strlen(text));
	out_raw(o, text, strlen(text));
}

/* A table's entry whose value is a text. */
static void put_entry(struct out *o, const char *name, const char *value)
{
	put_text(o, name);
	put8(o, 'S');
	put32(o, (uint32_t)strlen(value));
	out_raw(o, value, strlen(value));
}

static size_t table_begin(struct out *o)
{
	put32(o, 0);
	return o->n;
}

static void table_end(struct out *o, size_t at)
{
	wire_put32(o->p + at - 4, (uint32_t)(o->n - at));
}

/* Returns where the payload begins, for end. */
static size_t begin(struct out *o, uint8_t type, uint16_t channel)
{
	put8(o, type);
	put16(o, channel);
	put32(o, 0);
	return o->n;
}

static size_t method(struct out *o, uint16_t channel, uint16_t class_id, uint16_t method_id)
{
	size_t at = begin(o, FRAME_METHOD, channel);

	put16(o, class_id);
	put16(o, method_id);
	return at;
}

static void end(struct out *o, size_t at)
{
	wire_put32(o->p + at - 4, (uint32_t)(o->n - at));
	put8(o, FRAME_END);
}

void say_hello(struct out *o, uint16_t heartbeat_s)
{
	out_raw(o, "AMQP\0\0\x09\x01", 8);
	size_t at = method(o, 0, 10, 11);
	put32(o, 0);
	put_text(o, "PLAIN");
	put32(o, 12);
	out_raw(o, "\0guest\0guest", 12);
	put_text(o, "en_US");
	end(o, at);
	at = method(o, 0, 10, 31);
	put16(o, 2047);
	put32(o, 131072);
	put16(o, heartbeat_s);
	end(o, at);
	at = method(o, 0, 10, 40);
	put_text(o, "/");
	put_text(o, "");
	put8(o, 0);
	end(o, at);
}

void say_heartbeat(struct out *o)
{
	end(o, begin(o, FRAME_HEARTBEAT, 0));
}

static void say_end(struct out *o, uint16_t channel, uint16_t class_id, uint16_t method_id)
{
	size_t at = method(o, channel, class_id, method_id);

	put16(o, 200);
	put_text(o, "bye");
	put32(o, 0);
	end(o, at);
}

void say_close(struct out *o)
{
	say_end(o, 0, 10, 50);
}

void say_close_ok(struct out *o)
{
	end(o, method(o, 0, 10, 51));
}

void say_channel_open(struct out *o, uint16_t channel)
{
	size_t at = method(o, channel, 20, 10);

	put_text(o, "");
	end(o, at);
}

void say_channel_close(struct out *o, uint16_t channel)
{
	say_end(o, channel, 20, 40);
}

void say_channel_close_ok(struct out *o, uint16_t channel)
{
	end(o, method(o, channel, 20, 41));
}

void say_exchange_declare(
	struct out *o, uint16_t channel, const char *name, const char *type, bool auto_delete)
{
	size_t at = method(o, channel, 40, 10);

	put16(o, 0);
	put_text(o, name);
	put_text(o, type);
	put8(o, auto_delete ? 4 : 0);
	put32(o, 0);
	end(o, at);
}

void say_exchange_delete(struct out *o, uint16_t channel, const char *name)
{
	size_t at = method(o, channel, 40, 20);

	put16(o, 0);
	put_text(o, name);
	put8(o, 0);
	end(o, at);
}

void say_queue_declare(struct out *o, uint16_t channel, const char *name, unsigned bits)
{
	size_t at = method(o, channel, 50, 10);

	put16(o, 0);
	put_text(o, name);
	put8(o, (uint8_t)bits);
	put32(o, 0);
	end(o, at);
}

static void binding(struct out *o, const char *queue, const char *exchange, const char *key)
{
	put16(o, 0);
	put_text(o, queue);
	put_text(o, exchange);
	put_text(o, key);
}

static void match(struct out *o, const char *header)
{
	size_t at = table_begin(o);

	if (header) {
		put_entry(o, "x-match", "all");
		put_entry(o, "id", header);
	}
	table_end(o, at);
}

void say_queue_bind(struct out *o, uint16_t channel, const char *queue, const char *exchange, const char *key,
	const char *header)
{
	size_t at = method(o, channel, 50, 20);

	binding(o, queue, exchange, key);
	put8(o, 0);
	match(o, header);
	end(o, at);
}

void say_queue_unbind(struct out *o, uint16_t channel, const char *queue, const char *exchange,
	const char *key, const char *header)
{
	size_t at = method(o, channel, 50, 50);

	binding(o, queue, exchange, key);
	match(o, header);
	end(o, at);
}

void say_queue_purge(struct out *o, uint16_t channel, const char *name)
{
	size_t at = method(o, channel, 50, 30);

	put16(o, 0);
	put_text(o, name);
	put8(o, 0);
	end(o, at);
}

void say_queue_delete(struct out *o, uint16_t channel, const char *name, bool no_wait)
{
	size_t at = method(o, channel, 50, 40);

	put16(o, 0);
	put_text(o, name);
	put8(o, no_wait ? 4 : 0);
	end(o, at);
}

void say_qos(struct out *o, uint16_t channel, uint16_t count)
{
	size_t at = method(o, channel, 60, 10);

	put32(o, 0);
	put16(o, count);
	put8(o, 0);
	end(o, at);
}

void say_consume(struct out *o, uint16_t channel, const char *queue, const char *tag, bool no_ack)
{
	size_t at = method(o, channel, 60, 20);

	put16(o, 0);
	put_text(o, queue);
	put_text(o, tag);
	put8(o, no_ack ? 2 : 0);
	put32(o, 0);
	end(o, at);
}

void say_cancel(struct out *o, uint16_t channel, const char *tag)
{
	size_t at = method(o, channel, 60, 30);

	put_text(o, tag);
	put8(o, 0);
	end(o, at);
}

void say_get(struct out *o, uint16_t channel, const char *queue, bool no_ack)
{
	size_t at = method(o, channel, 60, 70);

	put16(o, 0);
	put_text(o, queue);
	put8(o, no_ack);
	end(o, at);
}

void say_ack(struct out *o, uint16_t channel, uint64_t tag, bool multiple)
{
	size_t at = method(o, channel, 60, 80);

	put64(o, tag);
	put8(o, multiple);
	end(o, at);
}

void say_nack(struct out *o, uint16_t channel, uint64_t tag, bool requeue)
{
	size_t at = method(o, channel, 60, 120);

	put64(o, tag);
	put8(o, requeue ? 2 : 0);
	end(o, at);
}

void say_recover(struct out *o, uint16_t channel)
{
	size_t at = method(o, channel, 60, 110);

	put8(o, 1);
	end(o, at);
}

void say_confirm_select(struct out *o, uint16_t channel)
{
	size_t at = method(o, channel, 85, 10);

	put8(o, 0);
	end(o, at);
}

static void content_header(struct out *o, uint16_t channel, const struct publish *p)
{
	size_t at = begin(o, FRAME_HEADER, channel);

	put16(o, 60);
	put16(o, 0);
	put64(o, p->body_bytes);
	put16(o, p->header ? 0x2000 : 0);
	if (p->header) {
		size_t table = table_begin(o);
		put_entry(o, "id", p->header);
		table_end(o, table);
	}
	end(o, at);
}

void say_publish(struct out *o, uint16_t channel, const struct publish *p)
{
	size_t at = method(o, channel, 60, 40);

	put16(o, 0);
	put_text(o, p->exchange);
	put_text(o, p->key);
	put8(o, p->mandatory);
	end(o, at);
	content_header(o, channel, p);
	at = begin(o, FRAME_BODY, channel);
	out_raw(o, p->head, p->head_bytes);
	memset(room(o, p->body_bytes - p->head_bytes), 's', p->body_bytes - p->head_bytes);
	end(o, at);
}

long frame_next(const uint8_t *data, size_t n, struct frame *out)
{
	if (n < FRAME_OVERHEAD)
		return 0;
	out->type = data[0];
	out->channel = wire_get16(data + 1);
	out->n = wire_get32(data + 3);
	out->p = data + 7;
	if (out->n > FRAME_BYTES_MAX)
		return -1;
	if (n < (size_t)out->n + FRAME_OVERHEAD)
		return 0;
	return data[7 + out->n] == FRAME_END ? (long)out->n + FRAME_OVERHEAD : -1;
}

uint32_t frame_method(const struct frame *f)
{
	return f->n < 4 ? 0 : wire_get32(f->p);
}
