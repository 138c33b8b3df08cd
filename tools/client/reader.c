/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/reader.h"

#include <string.h>

enum {
	DELIVER_TAG_AT = AMQP091_FRAME_HEADER_SIZE + 4 + 1, /* and the consumer's tag before it */
	TAG_AND_FLAG = 8 + 1,
	CONTENT_HEAD = 12,
};

void reader_init(struct reader *r, const struct reader_app *app, void *ctx)
{
	*r = (struct reader){.app = app, .ctx = ctx};
}

static void broken(struct reader *r, const char *why)
{
	if (r->stopped)
		return;
	r->stopped = true;
	r->app->broken(r->ctx, why);
}

static void deliver(struct reader *r, const struct reader_delivery *d)
{
	r->deliveries++;
	r->app->delivery(r->ctx, d);
}

static void delivery_begun(struct reader *r, const struct amqp091_basic_deliver *m)
{
	r->delivery = (struct reader_delivery){.tag = m->delivery_tag,
		.consumer = m->consumer_tag.len ? (char)m->consumer_tag.data[0] : '\0',
		.redelivered = m->redelivered};
}

/* A method's payload, of which n bytes are there. */
static void method_taken(
	struct reader *r, uint16_t channel, const uint8_t *payload, uint32_t n, uint32_t size)
{
	struct amqp091_method m = {0};

	if (size < 4) {
		broken(r, "a method frame without a method");
		return;
	}
	bool decoded = n == size && amqp091_method_decode(payload, n, &m) == 0;
	m.id = wire_get32(payload);
	bool is_delivery = m.id == AMQP091_METHOD_BASIC_DELIVER;
	if (is_delivery && !decoded) {
		broken(r, "a delivery that cannot be read");
		return;
	}
	const struct amqp091_method_info *info = amqp091_method_info(m.id);
	if (info && info->content) {
		r->content = READER_HEADER_NEXT;
		r->content_other = !is_delivery;
	}
	if (is_delivery)
		delivery_begun(r, &m.args.basic_deliver);
	else
		r->app->method(r->ctx, channel, &m, decoded);
}

static void content_over(struct reader *r)
{
	r->content = READER_NO_CONTENT;
	r->delivery.body = r->body;
	if (!r->content_other)
		deliver(r, &r->delivery);
}

static void frame_taken(struct reader *r, const struct amqp091_frame *f, const uint8_t *payload, uint32_t n)
{
	r->frames++;
	if (f->type == AMQP091_FRAME_METHOD) {
		if (r->content != READER_NO_CONTENT)
			broken(r, "a method within a content");
		else
			method_taken(r, f->channel, payload, n, f->size);
		r->delivery.wire_bytes = f->size + AMQP091_FRAME_OVERHEAD;
		return;
	}
	r->delivery.wire_bytes += f->size + AMQP091_FRAME_OVERHEAD;
	if (f->type == AMQP091_FRAME_HEADER) {
		if (r->content != READER_HEADER_NEXT || f->size < CONTENT_HEAD) {
			broken(r, "a content header that belongs to nothing");
			return;
		}
		r->body_left = r->delivery.bytes = wire_get64(payload + 4);
		r->content = READER_BODY_NEXT;
	} else if (f->type == AMQP091_FRAME_BODY) {
		if (r->content != READER_BODY_NEXT || f->size > r->body_left) {
			broken(r, "a body that belongs to nothing");
			return;
		}
		uint32_t room = READER_BODY_MAX - r->delivery.shown, piece = n < room ? n : room;
		if (piece)
			memcpy(r->body + r->delivery.shown, payload, piece);
		r->delivery.shown += piece;
		r->body_left -= f->size;
	}
	if (r->content == READER_BODY_NEXT && r->body_left == 0)
		content_over(r);
}

/* How much of a frame's payload is collected before the rest may pass. */
static uint32_t wanted_of(const struct amqp091_frame *f)
{
	uint32_t most = f->type == AMQP091_FRAME_METHOD	  ? READER_METHOD_MAX
			: f->type == AMQP091_FRAME_HEADER ? CONTENT_HEAD
							  : READER_BODY_MAX;

	return f->size < most ? f->size : most;
}

static void head_grown(struct reader *r)
{
	struct amqp091_frame f = amqp091_frame_header_get(r->head);

	if (r->have == AMQP091_FRAME_HEADER_SIZE) {
		if (amqp091_frame_header_check(&f, 0)) {
			broken(r, "no frame of AMQP 0-9-1");
			return;
		}
		r->want = AMQP091_FRAME_HEADER_SIZE + wanted_of(&f);
		if (r->have < r->want)
			return;
	}
	uint32_t n = r->have - AMQP091_FRAME_HEADER_SIZE;
	r->left = (uint64_t)f.size - n + 1;
	r->have = 0;
	frame_taken(r, &f, r->head + AMQP091_FRAME_HEADER_SIZE, n);
}

/* Some of the bytes of a frame that comes in pieces; how many. */
static uint32_t take_piece(struct reader *r, const uint8_t *p, uint32_t n)
{
	if (r->left) {
		uint32_t piece = r->left < n ? (uint32_t)r->left : n;
		r->left -= piece;
		if (r->left == 0 && p[piece - 1] != AMQP091_FRAME_END)
			broken(r, "a frame without its end");
		return piece;
	}
	if (r->have == 0)
		r->want = AMQP091_FRAME_HEADER_SIZE;
	uint32_t missing = r->want - r->have, piece = missing < n ? missing : n;
	memcpy(r->head + r->have, p, piece);
	r->have += piece;
	if (r->have == r->want)
		head_grown(r);
	return piece;
}

/* A delivery that is here whole: it is the shape that the next ones are compared with. Its length; 0: it is
 * not. */
static uint32_t take_whole_delivery(struct reader *r, const uint8_t *p, uint32_t n, uint32_t method_bytes,
	const struct amqp091_basic_deliver *m)
{
	struct amqp091_frame f;
	struct amqp091_content_header h;
	uint32_t at = method_bytes;
	int64_t used = amqp091_frame_parse(p + at, n - at, 0, &f);

	if (used <= 0 || f.type != AMQP091_FRAME_HEADER ||
		amqp091_content_header_decode(p + at + AMQP091_FRAME_HEADER_SIZE, f.size, &h))
		return 0;
	at += (uint32_t)used;
	if (h.body_size) {
		used = amqp091_frame_parse(p + at, n - at, 0, &f);
		if (used <= 0 || f.type != AMQP091_FRAME_BODY || f.size != h.body_size)
			return 0;
		at += (uint32_t)used;
	}
	uint32_t body_at = h.body_size ? at - 1 - f.size : at;
	delivery_begun(r, m);
	r->delivery.bytes = h.body_size;
	r->delivery.body = p + body_at;
	r->delivery.shown = (uint32_t)h.body_size;
	r->delivery.wire_bytes = at;
	r->shape_length = 0;
	if (body_at <= READER_SHAPE_MAX && h.body_size) {
		memcpy(r->shape, p, body_at);
		r->shape_bytes = body_at;
		r->shape_tag_at = DELIVER_TAG_AT + m->consumer_tag.len;
		r->shape_length = at;
	}
	r->frames += h.body_size ? 3 : 2;
	deliver(r, &r->delivery);
	return at;
}

/* A frame, or a delivery, that is here whole; how long it was, or 0. */
static uint32_t take_whole(struct reader *r, const uint8_t *p, uint32_t n)
{
	struct amqp091_frame f;
	int64_t used = amqp091_frame_parse(p, n, 0, &f);

	if (used <= 0 || f.type != AMQP091_FRAME_METHOD || f.size < 4)
		return 0;
	const uint8_t *payload = p + AMQP091_FRAME_HEADER_SIZE;
	if (wire_get32(payload) == AMQP091_METHOD_BASIC_DELIVER) {
		struct amqp091_basic_deliver m;
		if (amqp091_decode_basic_deliver(payload + 4, f.size - 4, &m))
			return 0;
		return take_whole_delivery(r, p, n, (uint32_t)used, &m);
	}
	frame_taken(r, &f, payload, f.size);
	return (uint32_t)used;
}

static inline bool is_alike(const struct reader *r, const uint8_t *p)
{
	uint32_t tag_at = r->shape_tag_at, after = tag_at + TAG_AND_FLAG;

	return !memcmp(p, r->shape, tag_at) && !memcmp(p + after, r->shape + after, r->shape_bytes - after) &&
	       p[r->shape_length - 1] == AMQP091_FRAME_END;
}

static inline uint32_t take_alike(struct reader *r, const uint8_t *p, uint32_t n)
{
	if (!r->shape_length || n < r->shape_length || !is_alike(r, p))
		return 0;
	struct reader_delivery d = {.tag = wire_get64(p + r->shape_tag_at),
		.consumer = (char)r->shape[DELIVER_TAG_AT],
		.redelivered = p[r->shape_tag_at + 8] & 1,
		.bytes = r->shape_length - 1 - r->shape_bytes,
		.body = p + r->shape_bytes,
		.shown = r->shape_length - 1 - r->shape_bytes,
		.wire_bytes = r->shape_length};
	r->frames += 3;
	deliver(r, &d);
	return r->shape_length;
}

void reader_take_bytes(struct reader *r, const uint8_t *p, uint32_t n)
{
	r->bytes += n;
	while (n && !r->stopped) {
		uint32_t used = 0;
		if (reader_at_rest(r)) {
			used = take_alike(r, p, n);
			if (!used)
				used = take_whole(r, p, n);
		}
		if (!used)
			used = take_piece(r, p, n);
		p += used;
		n -= used;
	}
}

void reader_take(struct reader *r, const struct chain *c)
{
	for (const struct rte_mbuf *m = c->head; m && !r->stopped; m = m->next)
		reader_take_bytes(r, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
}
