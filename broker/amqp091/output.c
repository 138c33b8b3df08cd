/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection sends. Usually straight into the transport; what finds no room waits in blocks of message
 * memory, and one content larger than the room is written piece by piece from the message itself. */
#include "broker/amqp091/internal.h"

static uint32_t block_room(const struct out_block *b)
{
	return MESSAGE_BLOCK_BYTES - (uint32_t)sizeof(*b) - b->end;
}

bool conn_output_idle(struct amqp091_conn *c)
{
	return !c->content.message && cds_list_empty(&c->before);
}

static struct out_block *block_add(struct amqp091_conn *c, struct cds_list_head *list)
{
	struct out_block *b = message_store_block_take(conn_cache(c));

	if (!b)
		return NULL;
	b->at = b->end = 0;
	cds_list_add_tail(&b->link, list);
	return b;
}

/* Behind everything that waits already. Without memory the connection cannot go on: frames have no gaps. */
static void store(struct amqp091_conn *c, const uint8_t *bytes, uint32_t n)
{
	struct cds_list_head *list = c->content.message ? &c->after : &c->before;
	struct out_block *b = cds_list_empty(list) ? NULL
						   : caa_container_of(list->prev, struct out_block, link);

	while (n) {
		if (!b || block_room(b) == 0)
			b = block_add(c, list);
		if (!b) {
			c->server->counters.closed_without_memory++;
			conn_die(c, true);
			return;
		}
		uint32_t piece = n < block_room(b) ? n : block_room(b);
		memcpy(b->bytes + b->end, bytes, piece);
		b->end = (uint16_t)(b->end + piece);
		bytes += piece;
		n -= piece;
	}
	conn_wait(c);
}

static bool write_now(struct amqp091_conn *c, const uint8_t *bytes, uint32_t n)
{
	if (n > transport_tx_room(c->transport) || transport_write(c->transport, bytes, n) != 0)
		return false;
	c->tx_us = c->server->now_us;
	return true;
}

void conn_send(struct amqp091_conn *c, const uint8_t *bytes, uint32_t n)
{
	if (c->server->stage.conn == c)
		stage_flush(c->server);
	if (c->state == CONN_DEAD)
		return;
	if (conn_output_idle(c) && write_now(c, bytes, n))
		return;
	store(c, bytes, n);
}

void conn_send_method(struct amqp091_conn *c, uint16_t channel, const struct amqp091_method *m)
{
	struct amqp091_server *s = c->server;
	ssize_t n = amqp091_method_frame(s->encode, s->encode_bytes, channel, m);

	MUST(n > 0); /* whatever we send fits the smallest frame-max */
	conn_send(c, s->encode, (uint32_t)n);
}

static uint32_t body_frame_payload(const struct amqp091_conn *c)
{
	return c->frame_max - AMQP091_FRAME_OVERHEAD;
}

/* Writes one body frame if the room takes it whole. A frame need not be as large as frame-max allows: with
 * little room a smaller one is sent, so that a body larger than the send buffer gets through. */
static bool content_frame(struct amqp091_conn *c)
{
	struct content_out *o = &c->content;
	struct amqp091_server *s = c->server;
	uint32_t room = transport_tx_room(c->transport);
	uint64_t most = o->left < body_frame_payload(c) ? o->left : body_frame_payload(c);

	if (room < most + AMQP091_FRAME_OVERHEAD) {
		if (room < AMQP091_DELIVER_ROOM + AMQP091_FRAME_OVERHEAD)
			return false;
		most = room - AMQP091_FRAME_OVERHEAD;
	}
	uint8_t *p = amqp091_frame_header_put(s->encode, AMQP091_FRAME_BODY, o->channel, (uint32_t)most);
	struct message_cursor at = o->at;
	for (uint64_t left = most; left;) {
		struct slice piece = message_body_next(o->message, &at, (uint32_t)left);
		MUST(piece.bytes);
		p = amqp091_put_bytes(p, piece.data, piece.bytes);
		left -= piece.bytes;
	}
	p = amqp091_put8(p, AMQP091_FRAME_END);
	if (!write_now(c, s->encode, (uint32_t)(p - s->encode)))
		return false;
	o->at = at;
	o->left -= most;
	return true;
}

static void content_end(struct amqp091_conn *c)
{
	message_unref(conn_cache(c), c->content.message);
	c->content = (struct content_out){0};
	cds_list_splice(&c->after, c->before.prev);
	CDS_INIT_LIST_HEAD(&c->after);
}

static bool content_pump(struct amqp091_conn *c)
{
	while (c->content.left) {
		if (!content_frame(c)) {
			conn_wait(c);
			return false;
		}
	}
	content_end(c);
	return true;
}

static uint8_t *properties_put(
	uint8_t *p, const struct message *m, const struct amqp091_basic_properties *altered_or_null)
{
	if (altered_or_null)
		return amqp091_basic_properties_put(p, altered_or_null);
	message_properties_copy(m, p);
	return p + message_properties_bytes(m);
}

void conn_send_content_take(struct amqp091_conn *c, uint16_t channel, const struct amqp091_method *m,
	struct message *message, const struct amqp091_basic_properties *altered_or_null)
{
	struct amqp091_server *s = c->server;
	uint32_t properties = altered_or_null ? (uint32_t)amqp091_basic_properties_size(altered_or_null)
					      : message_properties_bytes(message);
	ssize_t n = amqp091_method_frame(s->encode, s->encode_bytes, channel, m);

	MUST(n > 0);
	s->counters.messages_sent++;
	uint8_t *p = s->encode + n;
	/* encode has room for a method frame and a header frame of frame_max each. */
	p = amqp091_frame_header_put(p, AMQP091_FRAME_HEADER, channel, 12 + properties);
	p = amqp091_put64(
		amqp091_put16(amqp091_put16(p, AMQP091_CLASS_BASIC), 0), message_body_bytes(message));
	p = amqp091_put8(properties_put(p, message, altered_or_null), AMQP091_FRAME_END);
	MUST(!c->content.message);
	conn_send(c, s->encode, (uint32_t)(p - s->encode));
	if (c->state == CONN_DEAD) {
		message_unref(conn_cache(c), message);
		return;
	}
	c->content = (struct content_out){
		.message = message, .left = message_body_bytes(message), .channel = channel};
	if (cds_list_empty(&c->before))
		content_pump(c);
	else
		conn_wait(c);
}

static bool before_pump(struct amqp091_conn *c)
{
	while (!cds_list_empty(&c->before)) {
		struct out_block *b = cds_list_first_entry(&c->before, struct out_block, link);
		uint32_t left = (uint32_t)(b->end - b->at), room = transport_tx_room(c->transport);
		uint32_t piece = left < room ? left : room;
		if (piece == 0 || !write_now(c, b->bytes + b->at, piece))
			return false;
		b->at = (uint16_t)(b->at + piece);
		if (b->at == b->end) {
			cds_list_del(&b->link);
			message_store_block_give(conn_cache(c), b);
		}
	}
	return true;
}

static void consumers_wake(struct amqp091_conn *c)
{
	struct amqp091_channel *ch;

	cds_list_for_each_entry (ch, &c->channels, link)
		channel_wake(ch);
}

void conn_pump(struct amqp091_conn *c)
{
	while (c->state != CONN_DEAD && !conn_output_idle(c)) {
		if (!before_pump(c) || (c->content.message && !content_pump(c))) {
			conn_wait(c);
			return;
		}
	}
	if (c->state == CONN_DEAD)
		return;
	if (c->state == CONN_DRAINING) {
		transport_shutdown(c->transport);
		return;
	}
	consumers_wake(c);
	if (c->hold == HOLD_OUTPUT) {
		c->hold = HOLD_NONE;
		conn_input(c);
	}
}

static void blocks_free(struct amqp091_conn *c, struct cds_list_head *list)
{
	while (!cds_list_empty(list)) {
		struct out_block *b = cds_list_first_entry(list, struct out_block, link);
		cds_list_del(&b->link);
		message_store_block_give(conn_cache(c), b);
	}
}

void conn_output_clear(struct amqp091_conn *c)
{
	blocks_free(c, &c->before);
	blocks_free(c, &c->after);
	if (c->content.message)
		message_unref(conn_cache(c), c->content.message);
	c->content = (struct content_out){0};
}
