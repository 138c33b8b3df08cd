/* SPDX-License-Identifier: Apache-2.0 */
/* Urgent data: RFC 9293 section 3.8.5, read in line as RFC 6093 section 6 asks. The pointer leads to the
 * octet behind the urgent data. */
#include "tcpstack/tcp_impl.h"

/* Where the application's reading stands. */
static uint32_t read_seq(const struct tcp_conn *c)
{
	return c->rcv_nxt - c->fin_received - c->rx.bytes;
}

void tcp_urgent_input(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t up = in->seq + in->urgent;

	COUNT(c->stack, tcp_urgent);
	if (c->state > TCP_FIN_WAIT_2 || c->fin_received)
		return;
	/* Sixth step: RCV.UP moves forward alone, and matters while it lies ahead of the reader. */
	if (!seq_lt(read_seq(c), up) || (c->urgent_in && !seq_lt(c->rcv_up, up)))
		return;
	c->urgent_in = true;
	c->rcv_up = up;
	tcp_raise(c, TCP_EVENT_URGENT);
}

uint32_t tcp_conn_urgent_in(const struct tcp_conn *c)
{
	int32_t n = c->urgent_in ? seq_diff(c->rcv_up, read_seq(c)) : 0;

	return n > 0 ? (uint32_t)n : 0;
}

void tcp_conn_urgent_out(struct tcp_conn *c)
{
	c->urgent_out = true;
	c->snd_up = c->tx_end - c->fin_queued;
}

uint16_t tcp_urgent_pointer(struct tcp_conn *c, uint32_t seq)
{
	if (!c->urgent_out)
		return 0;
	if (seq_leq(c->snd_up, c->snd_una)) {
		c->urgent_out = false;
		return 0;
	}
	int32_t ahead = seq_diff(c->snd_up, seq);
	return ahead <= 0 ? 0 : (uint16_t)min_u32((uint32_t)ahead, (uint32_t)UINT16_MAX);
}
