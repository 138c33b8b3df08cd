/* SPDX-License-Identifier: Apache-2.0 */
/* What a consumer is given resembles what it was given last: method and header are copied from there, and the
 * few octets that differ are put in. Deliveries to one connection gather in the server's stage and are
 * written together. What does not fit this goes the way of all output; the octets are the same (fast_test.c).
 */
#include "broker/amqp091/internal.h"

void stage_drop(struct amqp091_conn *c)
{
	struct stage *g = &c->server->stage;

	if (g->conn == c)
		*g = (struct stage){.bytes = g->bytes};
}

void stage_flush(struct amqp091_server *s)
{
	struct stage *g = &s->stage;
	struct amqp091_conn *c = g->conn;
	uint32_t n = g->count;

	g->conn = NULL; /* what is sent next is no longer behind it */
	g->count = 0;
	if (c && n)
		conn_send(c, g->bytes, n);
}

uint32_t conn_deliver_room(struct amqp091_conn *c)
{
	struct stage *g = &c->server->stage;

	if (g->conn == c) {
		if (g->room - g->count >= AMQP091_DELIVER_ROOM)
			return g->room - g->count;
		/* Who is told that there is too little is woken when there is more: the transport must know.
		 */
		stage_flush(c->server);
		if (c->state == CONN_DEAD || !conn_output_idle(c))
			return 0;
	}
	return transport_tx_room(c->transport);
}

/* A place for n octets behind what is staged, or NULL where they have to go another way. */
static uint8_t *stage_place(struct amqp091_conn *c, uint32_t n)
{
	struct stage *g = &c->server->stage;

	if (g->conn != c || g->count + n > STAGE_BYTES) {
		stage_flush(c->server);
		if (c->state == CONN_DEAD || !conn_output_idle(c))
			return NULL;
		g->conn = c;
		g->room = transport_tx_room(c->transport);
	}
	if (n > STAGE_BYTES || n > g->room - g->count)
		return NULL;
	return g->bytes + g->count;
}

static struct amqp091_shortstr part(struct slice names, uint32_t at, uint32_t n)
{
	return (struct amqp091_shortstr){names.data + at, (uint8_t)n};
}

static bool learn(struct amqp091_consumer *k, const struct message_head *h)
{
	struct deliver_template *t = &k->template;
	struct amqp091_basic_deliver d = {.consumer_tag = {k->tag, k->tag_bytes},
		.exchange = part(h->names, 0, h->exchange_bytes),
		.routing_key = part(h->names, h->exchange_bytes, h->names.bytes - h->exchange_bytes)};
	struct amqp091_content_header header = {.class_id = AMQP091_CLASS_BASIC,
		.properties = h->properties.data,
		.properties_len = h->properties.bytes};

	t->count = 0;
	if (h->names.bytes > sizeof(t->names) || h->properties.bytes > sizeof(t->properties))
		return false;
	ssize_t n = amqp091_frame_basic_deliver(t->bytes, sizeof(t->bytes), k->channel->number, &d);
	if (n < 0 || (size_t)n + amqp091_content_header_frame_size(h->properties.bytes) > sizeof(t->bytes))
		return false;
	memcpy(t->names, h->names.data, h->names.bytes);
	memcpy(t->properties, h->properties.data, h->properties.bytes);
	t->names_id = h->names_id;
	t->names_bytes = (uint8_t)h->names.bytes;
	t->exchange_bytes = h->exchange_bytes;
	t->properties_bytes = (uint8_t)h->properties.bytes;
	t->tag_at = (uint16_t)(AMQP091_FRAME_HEADER_SIZE + 4 + 1 + k->tag_bytes);
	t->size_at = (uint16_t)(n + AMQP091_FRAME_HEADER_SIZE + 4);
	uint8_t *end = amqp091_content_header_frame_put(t->bytes + n, k->channel->number, &header);
	t->count = (uint16_t)(end - t->bytes);
	return true;
}

static bool same_names(struct deliver_template *t, const struct message_head *h)
{
	if (t->names_id && t->names_id == h->names_id)
		return true;
	if (t->exchange_bytes != h->exchange_bytes || t->names_bytes != h->names.bytes ||
		memcmp(t->names, h->names.data, h->names.bytes) != 0)
		return false;
	t->names_id = h->names_id;
	return true;
}

static bool resembles(struct deliver_template *t, const struct message_head *h)
{
	return t->count && same_names(t, h) && t->properties_bytes == h->properties.bytes &&
	       bytes_alike(t->properties, h->properties.data, h->properties.bytes);
}

static void write_body(
	uint8_t *p, uint16_t channel, const struct message *m, const uint8_t *in_one_or_null, uint32_t n)
{
	struct message_cursor at = {0};

	p = amqp091_frame_header_put(p, AMQP091_FRAME_BODY, channel, n);
	if (in_one_or_null) {
		memcpy(p, in_one_or_null, n);
		p[n] = AMQP091_FRAME_END;
		return;
	}
	for (uint32_t left = n; left;) {
		struct slice piece = message_body_next(m, &at, left);
		MUST(piece.bytes);
		memcpy(p, piece.data, piece.bytes);
		p += piece.bytes;
		left -= piece.bytes;
	}
	*p = AMQP091_FRAME_END;
}

bool deliver_fast(struct amqp091_consumer *k, const struct delivery *d)
{
	struct deliver_template *t = &k->template;
	struct amqp091_channel *ch = k->channel;
	struct amqp091_conn *c = ch->conn;
	struct message *m = d->message;
	struct message_head head;
	uint64_t body = message_body_bytes(m);

	if (c->server->plain || !message_head(m, &head) || body > STAGE_BODY_MAX ||
		body + AMQP091_FRAME_OVERHEAD > c->frame_max || (!resembles(t, &head) && !learn(k, &head)) ||
		t->count > c->frame_max)
		return false;
	uint32_t n = t->count + (body ? (uint32_t)body + AMQP091_FRAME_OVERHEAD : 0);
	uint8_t *p = stage_place(c, n);
	if (!p)
		return false;
	memcpy(p, t->bytes, t->count);
	wire_put64(p + t->tag_at, k->consumer.no_ack ? ch->tag_next++ : unacked_add(ch, k, d)->tag);
	p[t->tag_at + 8] = d->redelivered;
	wire_put64(p + t->size_at, body);
	if (body)
		write_body(p + t->count, ch->number, m, head.body_or_null, (uint32_t)body);
	c->server->stage.count += n;
	c->server->counters.messages_sent++;
	c->server->fast_deliveries++;
	if (k->consumer.no_ack)
		message_unref(conn_cache(c), m);
	return true;
}
