/* SPDX-License-Identifier: Apache-2.0 */
/* New segments that leave in one call are handed to a port that can do TSO as one large frame, which it cuts:
 * a buffer with the headers, and behind it the segments' own buffers. Each stays an entry of the scoreboard
 * of its own, was let go by cwnd and window on its own, and is sent again on its own. The port repeats the
 * headers: what differs between segments beyond the number, and PSH and FIN on the last, does not go
 * together. */
#include "tcpstack/tcp_impl.h"

enum {
	NEEDED = STACK_OFFLOAD_TX_TSO | STACK_OFFLOAD_TX_TCP_CKSUM | STACK_OFFLOAD_MULTI_SEG,
	/* IPv4 counts its own header, in 16 bits; IPv6 does not. */
	BYTES_MAX = UINT16_MAX - IPV4_HEADER_BYTES - TCP_HEADER_BYTES - TCP_OPTIONS_BYTES_MAX,
};

void tcp_train_leave(struct tcp_conn *c, struct tcp_train *t)
{
	if (!t->count)
		return;
	/* A port may send garbage when it is asked to cut what is one segment. */
	if (t->count > 1) {
		t->m->tso_segsz = t->size;
		COUNT(c->stack, tcp_large_out);
	}
	c->segments_out += t->count - 1u;
	c->stack->counters[STACK_COUNTER_tcp_segments_out] += t->count - 1u;
	t->count = 0;
	tcp_transmit_take(c, t->m, t->seq, t->flags, t->ecn);
}

/* SACK blocks go where a segment leaves room for them, so a shorter one may have more options than the rest.
 */
static bool same_options(const struct tcp_conn *c, uint32_t n)
{
	return n >= c->mss || !(c->sack_rx.count || c->sack_rx.has_duplicate);
}

static bool joins(const struct tcp_conn *c, const struct tcp_train *t, uint32_t n, uint32_t seq,
	uint8_t flags, uint8_t ecn)
{
	return t->count && t->bytes == (uint32_t)t->count * t->size && n <= t->size &&
	       seq == t->seq + t->bytes && !(t->flags & (TCP_PSH | TCP_FIN)) && !(flags & TCP_CWR) &&
	       ecn == t->ecn && t->count + 2u <= c->stack->config.tso_segments_max &&
	       t->bytes + n <= BYTES_MAX && same_options(c, t->size) && same_options(c, n);
}

/* Puts an empty buffer for the headers in front. False without memory. */
static bool header_add(struct tcp_conn *c, struct tcp_train *t)
{
	struct rte_mbuf *header = stack_tx_alloc(c->stack);

	if (!header)
		return false;
	header->next = t->m;
	header->nb_segs = 2;
	header->pkt_len = t->m->data_len;
	t->tail = t->m;
	t->m = header;
	return true;
}

/* To a port that cuts nothing it goes at once. */
void tcp_train_add_take(
	struct tcp_conn *c, struct tcp_train *t, struct rte_mbuf *m, uint32_t seq, uint8_t flags, uint8_t ecn)
{
	uint16_t n = m->data_len;

	if ((c->stack->config.offload_flags & NEEDED) != NEEDED) {
		tcp_transmit_take(c, m, seq, flags, ecn);
		return;
	}
	if (!joins(c, t, n, seq, flags, ecn) || (t->count == 1 && !header_add(c, t))) {
		tcp_train_leave(c, t);
		*t = (struct tcp_train){
			.m = m, .seq = seq, .bytes = n, .size = n, .count = 1, .flags = flags, .ecn = ecn};
		/* Alone: an empty segment, an urgent pointer (which counts from the segment that carries it),
		 * what has a number because it may be fragmented. */
		if (!n || c->urgent_out || c->may_fragment)
			tcp_train_leave(c, t);
		return;
	}
	t->tail->next = m;
	t->tail = m;
	t->m->nb_segs++;
	t->m->pkt_len += n;
	t->bytes += n;
	t->count++;
	t->flags |= flags;
}
