/* SPDX-License-Identifier: Apache-2.0 */
/* A client that acknowledges says little else: frames of one length that lie one behind the other in the
 * receive buffer. They are acted upon without being parsed field by field, and consumed together. The effect
 * is that of the plain way (fast_test.c). */
#include "broker/amqp091/internal.h"

enum { ACK_PAYLOAD_BYTES = 4 + 8 + 1, ACK_BYTES = ACK_PAYLOAD_BYTES + AMQP091_FRAME_OVERHEAD };

/* A whole basic.ack on this channel. */
static bool is_ack(const uint8_t *p, uint16_t channel)
{
	return p[0] == AMQP091_FRAME_METHOD && wire_get16(p + 1) == channel &&
	       wire_get32(p + 3) == ACK_PAYLOAD_BYTES &&
	       wire_get32(p + AMQP091_FRAME_HEADER_SIZE) == AMQP091_METHOD_BASIC_ACK &&
	       p[ACK_BYTES - 1] == AMQP091_FRAME_END;
}

static bool may_settle(struct amqp091_conn *c, const struct amqp091_channel *ch)
{
	return c->state == CONN_RUNNING && c->hold == HOLD_NONE && conn_input_left(c) && !ch->closing &&
	       !ch->in.expected;
}

bool settle_fast(struct amqp091_conn *c)
{
	const struct rte_mbuf *head = c->transport->rx->head;
	const uint8_t *p = rte_pktmbuf_mtod(head, const uint8_t *);
	uint32_t n = head->data_len, used = 0;

	if (n < ACK_BYTES || c->body_end || c->server->plain || !is_ack(p, wire_get16(p + 1)))
		return false;
	struct amqp091_channel *ch = channel_find(c, wire_get16(p + 1));
	if (!ch)
		return false;
	while (n - used >= ACK_BYTES && is_ack(p + used, ch->number) && may_settle(c, ch)) {
		uint64_t tag = wire_get64(p + used + AMQP091_FRAME_HEADER_SIZE + 4);
		bool multiple = p[used + ACK_BYTES - 2] & 1;
		if (unacked_settle_tags(ch, tag, multiple, true, false, AMQP091_METHOD_BASIC_ACK) ==
			SETTLE_AGAIN) {
			conn_hold(c, HOLD_TURN);
			break;
		}
		conn_charge(c, 1);
		c->server->counters.frames_received++;
		used += ACK_BYTES;
	}
	if (!used)
		return c->hold != HOLD_NONE;
	c->memory_short = false;
	c->server->fast_settled += used / ACK_BYTES;
	if (c->state != CONN_DEAD)
		transport_consume(c->transport, used);
	return true;
}
