/* SPDX-License-Identifier: Apache-2.0 */
/* A publisher says nearly the same again and again: method and header as before, another body. Where all
 * three frames lie whole in the first receive buffer and match what the channel said last, nothing is parsed.
 * What differs in anything goes the way of every frame; the effect is the same (fast_test.c). */
#include "broker/amqp091/internal.h"

/* Of a content header frame: the body's size, which may differ from one message to the next. */
enum { SIZE_AT = AMQP091_FRAME_HEADER_SIZE + 4, SIZE_END = SIZE_AT + 8 };

void publish_learn_method(struct amqp091_channel *ch, const uint8_t *frame, uint32_t n)
{
	struct publish_template *t = &ch->template;

	t->method_bytes = t->header_bytes = 0;
	if (n > sizeof(t->method))
		return;
	memcpy(t->method, frame, n);
	t->method_bytes = (uint8_t)n;
}

void publish_learn_header(struct amqp091_channel *ch, const uint8_t *frame, uint32_t n)
{
	struct publish_template *t = &ch->template;
	struct amqp091_basic_properties properties;
	const uint32_t head = AMQP091_FRAME_HEADER_SIZE + 12;

	t->header_bytes = 0;
	if (!t->method_bytes || n > sizeof(t->header) || wire_get64(frame + SIZE_AT) >= AMQP091_LARGE_BODY)
		return;
	MUST(amqp091_basic_properties_decode(frame + head, n - head - 1, &properties) == 0);
	memcpy(t->header, frame, n);
	t->header_bytes = (uint8_t)n;
	t->body_bytes_max = (uint32_t)wire_get64(frame + SIZE_AT);
	t->persistent = properties.delivery_mode == 2;
	t->priority = properties.priority;
}

/* How long the content at p is, n octets of which are here; 0 where it is not like the last. */
static uint32_t match(const struct publish_template *t, const uint8_t *p, uint32_t n, uint32_t *body_bytes)
{
	uint32_t head = (uint32_t)t->method_bytes + t->header_bytes + AMQP091_FRAME_HEADER_SIZE;
	const uint8_t *header = p + t->method_bytes, *body = header + t->header_bytes;

	if (n <= head || memcmp(p, t->method, t->method_bytes) != 0 ||
		memcmp(header, t->header, SIZE_AT) != 0 ||
		memcmp(header + SIZE_END, t->header + SIZE_END, t->header_bytes - SIZE_END) != 0)
		return 0;
	uint64_t size = wire_get64(header + SIZE_AT);
	if (size == 0 || size > t->body_bytes_max || body[0] != AMQP091_FRAME_BODY ||
		wire_get16(body + 1) != wire_get16(p + 1) || wire_get32(body + 3) != size ||
		n - head <= size || p[head + size] != AMQP091_FRAME_END)
		return 0;
	*body_bytes = (uint32_t)size;
	return head + (uint32_t)size + 1;
}

/* As publish_header, publish_body and publish_body_end. False: nothing was done. */
static bool publish_like_the_last(struct amqp091_channel *ch, const uint8_t *content, uint32_t body_bytes)
{
	const struct publish_template *t = &ch->template;
	struct content_in *in = &ch->in;
	struct amqp091_server *s = ch->conn->server;
	struct message_cache *cache = conn_cache(ch->conn);
	const uint32_t head = AMQP091_FRAME_HEADER_SIZE + 12;

	if (body_bytes > s->config.message_bytes_max || message_store_full(cache))
		return false;
	struct message_envelope e = {
		.protocol = BROKER_PROTOCOL_AMQP091,
		.persistent = t->persistent,
		.priority = t->priority,
		.exchange = {in->exchange, in->exchange_bytes},
		.routing_key = {in->key, in->key_bytes},
		.properties = {t->header + head, t->header_bytes - head - 1},
		.body_bytes = body_bytes,
		.received_us = s->now_us,
	};
	enum phase before = phase_enter(s->phase, PHASE_MESSAGE);
	struct message *m = message_new(cache, &e);
	if (m)
		message_append(m, content + t->method_bytes + t->header_bytes + AMQP091_FRAME_HEADER_SIZE,
			body_bytes);
	phase_leave(s->phase, before);
	if (!m)
		return false;
	in->message = m;
	in->expected = true;
	s->fast_contents++;
	s->counters.frames_received += AMQP091_CONTENT_FRAMES;
	publish_route(ch);
	return true;
}

static bool may_go_on(struct amqp091_conn *c, const struct amqp091_channel *ch)
{
	return c->state == CONN_RUNNING && c->hold == HOLD_NONE && !ch->closing && !ch->in.expected &&
	       conn_input_left(c) >= AMQP091_CONTENT_FRAMES && (!ch->in.mandatory || conn_may_read(c));
}

bool publish_fast(struct amqp091_conn *c)
{
	const struct rte_mbuf *head = c->transport->rx->head;
	const uint8_t *p = rte_pktmbuf_mtod(head, const uint8_t *);
	uint32_t n = head->data_len, used = 0, bytes, body_bytes;

	if (n < AMQP091_FRAME_HEADER_SIZE || p[0] != AMQP091_FRAME_METHOD || c->body_end || c->server->plain)
		return false;
	struct amqp091_channel *ch = channel_find(c, wire_get16(p + 1));
	if (!ch || !ch->template.header_bytes)
		return false;
	while (may_go_on(c, ch) && (bytes = match(&ch->template, p + used, n - used, &body_bytes))) {
		if (!publish_like_the_last(ch, p + used, body_bytes))
			break;
		conn_charge(c, AMQP091_CONTENT_FRAMES);
		used += bytes;
	}
	if (!used)
		return false;
	c->memory_short = false;
	if (c->state != CONN_DEAD)
		transport_consume(c->transport, used);
	return true;
}
