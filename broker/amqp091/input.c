/* SPDX-License-Identifier: Apache-2.0 */
/* From received bytes to frames: the protocol header, then frame after frame, body bytes as they come. */
#include "broker/amqp091/internal.h"

#include "runtime/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { AMQP091_METHOD_ID_BYTES = 4 }; /* class and method, in front of a method's arguments */

enum step { STEP_ON, STEP_WAIT };

void conn_hold(struct amqp091_conn *c, enum hold why)
{
	if (why == HOLD_MEMORY && !c->memory_short) {
		c->memory_short = true;
		c->server->counters.held_for_memory++;
	}
	c->hold = why;
	c->server->turn_short |= why == HOLD_TURN || why == HOLD_ROUTE;
	conn_wait(c);
	if (why == HOLD_MEMORY)
		blocked_tell(c);
}

static uint32_t less(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

/* Half of the turn is kept for those that have waited since the last one: those that the transports still
 * bring come before them. */
uint32_t conn_input_left(struct amqp091_conn *c)
{
	struct amqp091_server *s = c->server;
	bool others_wait = !s->retrying && !cds_list_empty(&s->waiting);
	uint32_t of_all = less(s->turn_left, others_wait ? AMQP091_TURN_BUDGET / 2 : 0);

	if (c->input_turn != s->turn) {
		c->input_turn = s->turn;
		c->input_left = AMQP091_INPUT_BUDGET;
	}
	return c->input_left < of_all ? c->input_left : of_all;
}

/* A frame may settle deliveries until nothing is left: then it costs nothing itself. */
void conn_charge(struct amqp091_conn *c, uint32_t n)
{
	c->input_left = less(c->input_left, n);
	c->server->turn_left = less(c->server->turn_left, n);
}

void conn_answered(struct amqp091_conn *c)
{
	c->server->gets -= c->asked_get;
	c->asked_get = false;
	c->call = NULL;
	c->asking = NULL;
	if (c->hold != HOLD_CALL)
		return;
	c->hold = HOLD_NONE;
	conn_wait(c);
}

void conn_wait(struct amqp091_conn *c)
{
	if (cds_list_empty(&c->waiting))
		cds_list_add_tail(&c->waiting, &c->server->waiting);
}

/* RabbitMQ's texts, but for the octets of the payload, which is not there yet, or has been passed on. */
__attribute__((format(printf, 2, 3))) static void frame_lost(struct amqp091_conn *c, const char *fmt, ...)
{
	char what[AMQP091_TEXT_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	c->server->counters.frames_malformed++;
	c->stream_lost = true;
	conn_exception(c, AMQP091_REPLY_FRAME_ERROR, 0, "%s", what);
	conn_drain(c);
}

/* 4.2.2: anything but the header of a protocol spoken here is answered with that header,
 * and the connection is closed. */
static enum step protocol_header(struct amqp091_conn *c)
{
	struct chain *rx = c->transport->rx;
	uint8_t got[AMQP091_PROTOCOL_HEADER_SIZE];
	uint32_t n = rx->bytes < sizeof(got) ? rx->bytes : (uint32_t)sizeof(got);

	chain_copy(rx, 0, got, n);
	if (memcmp(got, AMQP091_PROTOCOL_HEADER, n) == 0) {
		if (n < sizeof(got))
			return STEP_WAIT;
		transport_consume(c->transport, n);
		conn_open_handshake(c);
		return STEP_ON;
	}
	conn_send(c, (const uint8_t *)AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	conn_drain(c);
	return STEP_ON;
}

static void method_frame(struct amqp091_conn *c, uint16_t channel, const uint8_t *payload, uint32_t n)
{
	struct amqp091_method m;
	int error = amqp091_method_decode(payload, n, &m);

	if (error && n < AMQP091_METHOD_ID_BYTES) {
		frame_lost(c, "type %u: unknown_frame", AMQP091_FRAME_METHOD);
		return;
	}
	if (error) {
		uint32_t id = wire_get32(payload);
		c->server->counters.frames_malformed++;
		conn_exception(c, amqp091_error_reply(error), id,
			"method %u.%u on channel %u could not be decoded", id >> 16, id & 0xffff, channel);
		return;
	}
	if (channel == 0)
		conn_method(c, &m);
	else
		channel_method(c, channel, &m);
}

static void frame_misplaced(struct amqp091_conn *c, uint8_t type, uint16_t channel)
{
	conn_exception(c, AMQP091_REPLY_UNEXPECTED_FRAME, 0, "type %u on channel %u%s", type, channel,
		c->state == CONN_RUNNING ? "" : " before connection.open");
}

/* The channel of a content frame: NULL where it is not open (an exception was raised) or is closing (after
 * channel.close everything but close and close-ok is discarded, class channel). */
static struct amqp091_channel *content_channel(struct amqp091_conn *c, uint16_t number, uint8_t type)
{
	struct amqp091_channel *ch = channel_find(c, number);

	if (!ch) {
		if (number && c->state == CONN_RUNNING)
			conn_exception(c, AMQP091_REPLY_UNEXPECTED_FRAME, 0,
				"expected method frame, got non method frame instead");
		else
			frame_misplaced(c, type, number);
		return NULL;
	}
	return ch->closing ? NULL : ch;
}

/* False: the frame has to be offered again. */
static bool header_frame(struct amqp091_conn *c, uint16_t number, const uint8_t *payload, uint32_t n)
{
	struct amqp091_channel *ch = content_channel(c, number, AMQP091_FRAME_HEADER);

	return ch ? publish_header(ch, payload, n) : true;
}

/* True: go on with the whole frame, which has arrived. */
static bool state_takes_frame(struct amqp091_conn *c, const struct amqp091_frame *f, const uint8_t *payload)
{
	if (f->type == AMQP091_FRAME_HEARTBEAT) {
		if (f->channel != 0)
			frame_lost(c, "heartbeat on a channel other than 0");
		else if (f->size)
			frame_lost(c, "type %u: unknown_frame", f->type);
		return false;
	}
	if (c->state == CONN_RUNNING)
		return true;
	if (c->state <= CONN_OPEN && f->channel) {
		frame_misplaced(c, f->type, f->channel);
		return false;
	}
	if (c->state == CONN_CLOSING) {
		uint32_t id = f->type == AMQP091_FRAME_METHOD && f->size >= 4 ? wire_get32(payload) : 0;
		return f->channel == 0 &&
		       (id == AMQP091_METHOD_CONNECTION_CLOSE_OK || id == AMQP091_METHOD_CONNECTION_CLOSE);
	}
	return true;
}

/* What was accepted as it is, so that its like need not be parsed again. */
static void learn(struct amqp091_conn *c, const struct amqp091_frame *f, const uint8_t *frame)
{
	struct amqp091_channel *ch = c->state == CONN_RUNNING ? channel_find(c, f->channel) : NULL;

	if (!ch || !ch->in.expected)
		return;
	if (f->type == AMQP091_FRAME_METHOD)
		publish_learn_method(ch, frame, f->size + AMQP091_FRAME_OVERHEAD);
	else if (f->type == AMQP091_FRAME_HEADER && ch->in.message)
		publish_learn_header(ch, frame, f->size + AMQP091_FRAME_OVERHEAD);
}

static enum step whole_frame(struct amqp091_conn *c, const struct amqp091_frame *f)
{
	struct chain *rx = c->transport->rx;
	uint32_t total = f->size + AMQP091_FRAME_OVERHEAD;

	if (rx->bytes < total)
		return STEP_WAIT;
	const uint8_t *p = chain_peek(rx, total, c->server->scratch);
	const uint8_t *payload = p + AMQP091_FRAME_HEADER_SIZE;
	if (p[total - 1] != AMQP091_FRAME_END) {
		frame_lost(c, "type %u: {invalid_frame_end_marker,%u}", f->type, p[total - 1]);
		return STEP_ON;
	}
	if (state_takes_frame(c, f, payload)) {
		if (f->type == AMQP091_FRAME_METHOD) {
			method_frame(c, f->channel, payload, f->size);
			if (c->frame_again) {
				c->frame_again = false;
				conn_hold(c, HOLD_TURN);
				return STEP_WAIT;
			}
		} else if (!header_frame(c, f->channel, payload, f->size)) {
			conn_hold(c, HOLD_MEMORY);
			return STEP_WAIT;
		}
		learn(c, f, p);
	}
	c->memory_short = false;
	conn_charge(c, 1);
	c->server->counters.frames_received++;
	if (c->state != CONN_DEAD)
		transport_consume(c->transport, total);
	return STEP_ON;
}

static enum step body_begin(struct amqp091_conn *c, const struct amqp091_frame *f)
{
	if (c->state != CONN_CLOSING) {
		struct amqp091_channel *ch = content_channel(c, f->channel, AMQP091_FRAME_BODY);
		if (ch && !publish_accepts_body(ch, f->size))
			ch = NULL; /* an exception was raised: what follows is dropped */
		if (c->state == CONN_DEAD)
			return STEP_WAIT;
	}
	conn_charge(c, 1);
	c->server->counters.frames_received++;
	transport_consume(c->transport, AMQP091_FRAME_HEADER_SIZE);
	c->body_left = f->size;
	c->body_channel = f->channel;
	c->body_end = true;
	return STEP_ON;
}

/* The channel may have gone or begun to close in the middle of a body: then its bytes are dropped. */
static struct amqp091_channel *body_taker(struct amqp091_conn *c)
{
	struct amqp091_channel *ch = c->state == CONN_RUNNING ? channel_find(c, c->body_channel) : NULL;

	return ch && !ch->closing ? ch : NULL;
}

static enum step body_bytes(struct amqp091_conn *c)
{
	struct chain *rx = c->transport->rx;
	struct amqp091_channel *ch = body_taker(c);

	if (c->body_left) {
		uint32_t piece = rx->head->data_len < c->body_left ? rx->head->data_len : c->body_left;
		if (ch)
			publish_body(ch, rte_pktmbuf_mtod(rx->head, const uint8_t *), piece);
		c->body_left -= piece;
		transport_consume(c->transport, piece);
		return STEP_ON;
	}
	uint8_t end = *rte_pktmbuf_mtod(rx->head, const uint8_t *);
	if (end != AMQP091_FRAME_END) {
		frame_lost(c, "type %u: {invalid_frame_end_marker,%u}", AMQP091_FRAME_BODY, end);
		return STEP_ON;
	}
	transport_consume(c->transport, 1);
	c->body_end = false;
	if (ch)
		publish_body_end(ch);
	return STEP_ON;
}

static uint32_t frame_limit(const struct amqp091_conn *c)
{
	return c->frame_max ? c->frame_max : AMQP091_FRAME_MAX_BEFORE_TUNE;
}

static enum step next_frame(struct amqp091_conn *c)
{
	struct chain *rx = c->transport->rx;
	uint8_t head[AMQP091_FRAME_HEADER_SIZE];

	if (c->body_end)
		return body_bytes(c);
	if (rx->bytes < sizeof(head))
		return STEP_WAIT;
	struct amqp091_frame f = amqp091_frame_header_get(chain_peek(rx, sizeof(head), head));
	switch (amqp091_frame_header_check(&f, frame_limit(c) + AMQP091_FRAME_TOLERANCE)) {
	case 0:
		break;
	case AMQP091_ERR_FRAME_SIZE:
		frame_lost(c, "type %u, all octets = <<>>: {frame_too_large,%u,%u}", f.type, f.size,
			frame_limit(c) - AMQP091_FRAME_OVERHEAD);
		return STEP_ON;
	default:
		frame_lost(c, "type %u: unknown_frame", f.type);
		return STEP_ON;
	}
	if (f.type == AMQP091_FRAME_BODY)
		return body_begin(c, &f);
	return whole_frame(c, &f);
}

bool conn_may_read(struct amqp091_conn *c)
{
	if (conn_output_idle(c) && transport_tx_room(c->transport) >= AMQP091_INPUT_ROOM)
		return true;
	conn_hold(c, HOLD_OUTPUT);
	return false;
}

/* A body frame that was begun has been charged. */
static bool has_share(struct amqp091_conn *c)
{
	if (c->body_end || conn_input_left(c))
		return true;
	conn_hold(c, HOLD_TURN);
	return false;
}

static void read_frames(struct amqp091_conn *c)
{
	enum step step = STEP_ON;

	while (step == STEP_ON && c->state != CONN_DEAD && c->transport->rx->bytes) {
		if (c->state >= CONN_CLOSED || c->stream_lost) {
			transport_consume(c->transport, c->transport->rx->bytes);
			return;
		}
		if (c->hold != HOLD_NONE || !has_share(c) || !conn_may_read(c))
			return;
		if (c->state == CONN_AUTH)
			return; /* the answer resumes */
		if (c->state == CONN_HEADER)
			step = protocol_header(c);
		else if (!publish_fast(c) && !settle_fast(c))
			step = next_frame(c);
	}
}

void conn_input(struct amqp091_conn *c)
{
	read_frames(c);
	/* AMQP has no half-closed connections: whoever ends without connection.close is gone. What came
	 * before the FIN is acted upon all the same, when it was held back as well. */
	if (c->peer_ended && c->hold == HOLD_NONE && c->state != CONN_AUTH) {
		conn_drain(c);
		read_frames(c); /* half a frame is all that can be left: dropped, or the transport would wait
				   for it */
	}
}
