/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9293 section 3.10.7.4, sixth to eighth step: the urgent pointer, the text, the FIN; and the two
 * decisions that follow from them: when to acknowledge and what window to tell. */
#include <errno.h>

#include "tcpstack/tcp_impl.h"

enum {
	COALESCE_FROM_SEGMENTS = 16, /* a reader that keeps up costs no copy */
};

uint16_t tcp_window_syn(struct tcp_conn *c)
{
	/* Never scaled (RFC 7323 section 2.2). What other segments said meanwhile, in their unit, stands. */
	uint32_t window = min_u32(c->stack->config.rx_buffer_bytes, (uint32_t)UINT16_MAX);
	uint32_t told = tcp_window_field(window, c->rcv_wscale) << c->rcv_wscale;

	c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + told);
	return (uint16_t)window;
}

/* The right edge that we could tell: a multiple of the window's unit behind rcv_nxt. half: of the window that
 * there would be with everything read, RFC 9293 section 3.8.6.2.2's Fr * RCV.BUFF. */
static uint32_t window_edge(const struct tcp_conn *c, uint32_t *half)
{
	uint32_t size = c->stack->config.rx_buffer_bytes;
	uint32_t room = size > c->rx.bytes ? size - c->rx.bytes : 0;

	room = min_u32(room, tcp_memory_window(c));
	*half = min_u32(size, room + c->rx.bytes) / 2;
	room = min_u32(room, (uint32_t)UINT16_MAX << c->rcv_wscale);
	return c->rcv_nxt + (room >> c->rcv_wscale << c->rcv_wscale);
}

uint16_t tcp_window(struct tcp_conn *c)
{
	uint32_t half, edge = window_edge(c, &half);
	uint32_t step = min_u32(max_u32(half, 1), (uint32_t)c->mss);

	/* RFC 9293 section 3.8.6.2.2: the edge moves in worthwhile steps, and never back: rounding is
	 * upwards. */
	if (seq_diff(edge, c->rcv_adv) < (int32_t)step)
		edge = c->rcv_adv;
	uint32_t field = seq_lt(c->rcv_nxt, edge) ? tcp_window_field(edge - c->rcv_nxt, c->rcv_wscale) : 0;
	field = min_u32(field, (uint32_t)UINT16_MAX);
	c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + (field << c->rcv_wscale));
	return (uint16_t)field;
}

bool tcp_window_update_worth(const struct tcp_conn *c, uint32_t step)
{
	/* What a SYN could not tell, the first data's acknowledgement does. */
	if (c->state < TCP_ESTABLISHED || c->fin_received || c->bytes_in == 0)
		return false;
	uint32_t half, edge = window_edge(c, &half);
	return seq_diff(edge, c->rcv_adv) >= (int32_t)min_u32(max_u32(half, 1), step);
}

bool tcp_window_waits(const struct tcp_conn *c)
{
	uint32_t open = c->rcv_adv - c->rcv_nxt;

	return c->state >= TCP_ESTABLISHED && !c->fin_received && open < c->peer_mss &&
	       tcp_memory_window(c) < c->stack->config.rx_buffer_bytes / 2;
}

/* A short wait suffices for an answer that the application has at hand; behind a long path one more round
 * trip is no harm. Far below 200 ms at any rate where the path is short: peers' retransmission timers begin
 * there. */
static uint32_t delayed_ack_us(const struct tcp_conn *c)
{
	return min_u32(c->delayed_ack_us, max_u32(TCP_DELAYED_ACK_US, c->srtt_us));
}

static void ack_delay(struct tcp_conn *c)
{
	if (!timer_armed(&c->ack_timer))
		timer_arm(&c->stack->wheel, &c->ack_timer, c->stack->now_us + delayed_ack_us(c));
}

void tcp_ack_due(struct tcp_conn *c, bool now)
{
	if (now || c->delayed_ack_us == 0)
		c->ack_now = true;
	else
		ack_delay(c);
	tcp_output_want(c);
}

/* For what can wait: most segments that are not acknowledged at once let nothing leave. */
static void ack_due_later(struct tcp_conn *c)
{
	ack_delay(c);
	if (tcp_output_has_work(c) || c->rcv_adv - c->rcv_nxt < c->peer_mss || tcp_window_update_due(c))
		tcp_output_want(c);
}

/* A small segment's bytes move into the last buffer's free room, when many buffers are held already: a peer
 * that sends bytes one by one must not pin a pool. So do larger ones when buffers are short. */
static bool coalesce_take(struct tcp_conn *c, struct rte_mbuf *m)
{
	bool small = c->rx.segments >= COALESCE_FROM_SEGMENTS && m->data_len <= TCP_COALESCE_BYTES_MAX;

	if (!(small || tcp_memory_tight(c)) || !tcp_buffer_append(c->rx.tail, m))
		return false;
	c->rx.bytes += m->data_len;
	COUNT(c->stack, tcp_rx_coalesced);
	rte_pktmbuf_free(m);
	return true;
}

/* Cuts off what was received before and what lies beyond the window. False when a FIN in it is out of reach.
 */
static bool trim_to_window(struct tcp_conn *c, struct tcp_in *in)
{
	uint32_t old = seq_lt(in->seq, c->rcv_nxt) ? min_u32(c->rcv_nxt - in->seq, in->len) : 0;
	bool fin_fits = true;

	if (old && c->sack) {
		tcp_sack_rx_duplicate(&c->sack_rx, in->seq, in->seq + old);
		tcp_ack_due(c, true);
	}
	frame_trim_front(in->m, old);
	in->seq += old;
	in->len -= old;
	int32_t room = seq_diff(c->rcv_adv, in->seq);
	uint32_t keep = room <= 0 ? 0 : min_u32((uint32_t)room, in->len);
	if (keep < in->len) {
		COUNT(c->stack, tcp_out_of_window);
		fin_fits = false;
		frame_truncate(in->m, keep);
		in->len = keep;
		c->ack_now = true;
	}
	if (c->fin_known && seq_lt(c->fin_seq, in->seq + in->len)) {
		COUNT(c->stack, tcp_data_after_fin);
		keep = seq_lt(in->seq, c->fin_seq) ? c->fin_seq - in->seq : 0;
		frame_truncate(in->m, keep);
		in->len = keep;
	}
	return fin_fits;
}

static void rx_append_take(struct tcp_conn *c, struct rte_mbuf *m)
{
	if (!c->rx.tail || !coalesce_take(c, m))
		chain_append_take(&c->rx, m);
	tcp_memory_account(c);
}

/* Cuts the segment to the buffers that may be held, since the same comes again as long as nothing of it is
 * taken. False where that is none. */
static bool trim_to_memory(struct tcp_conn *c, struct tcp_in *in)
{
	uint32_t keep = 0, n = 1;

	for (struct rte_mbuf *m = in->m; m && tcp_memory_may_hold(c, n); m = m->next, n++)
		keep += m->data_len;
	if (!keep)
		return false;
	COUNT(c->stack, tcp_rx_memory_dropped);
	frame_truncate(in->m, keep);
	in->len = keep;
	c->ack_now = true;
	return true;
}

/* Whether there are buffers for data right at rcv_nxt, or some of it. What waits out of order gives way to
 * it: that can be sent again, this holds everything up. */
static bool in_order_fits(struct tcp_conn *c, struct tcp_in *in)
{
	uint32_t n = tcp_buffers_of(in->m);

	if (c->rx.tail && !tcp_memory_may_hold(c, n) && tcp_buffer_has_room(c->rx.tail, in->m))
		return true;
	while (!tcp_memory_may_hold(c, n)) {
		if (!c->reass.segments)
			return trim_to_memory(c, in);
		uint32_t from = tcp_reass_drop_last(&c->reass, c->stack->reass_pool);
		tcp_sack_rx_cut(&c->sack_rx, from);
		tcp_memory_account(c);
		COUNT(c->stack, tcp_out_of_order_pruned);
	}
	return true;
}

/* What waited for the gap that was closed: small segments are copied together here as well. */
static void reass_pull(struct tcp_conn *c)
{
	struct chain ready;

	chain_init(&ready);
	c->bytes_in += tcp_reass_pull(&c->reass, c->stack->reass_pool, &c->rcv_nxt, &ready);
	while (ready.head) {
		struct rte_mbuf *m = ready.head;
		ready.head = m->next;
		m->next = NULL;
		m->nb_segs = 1;
		m->pkt_len = m->data_len;
		rx_append_take(c, m);
	}
	tcp_sack_rx_advance(&c->sack_rx, c->rcv_nxt);
	tcp_memory_account(c);
}

/* The peer's window is small at the start, after a loss and after a pause, and grows by ACKs: then they leave
 * at once. */
static bool quick(struct tcp_conn *c)
{
	if (!c->quick_acks)
		return false;
	c->quick_acks--;
	return true;
}

/* A frame that holds more than our MSS is several segments, which the port or the peer's device has put
 * together: it counts for so many, or acknowledgements would come once in hundreds of kilobytes. */
static void peer_mss_learn(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t buffers = tcp_buffers_of(in->m), most = tcp_own_mss(c->stack, &c->tuple.raddr);

	c->peer_mss = min_u32(in->len, most);
	c->peer_buffers = in->len <= most ? buffers : (uint32_t)((uint64_t)buffers * most / in->len) + 1;
}

/* Learns from the lengths and times of segments. */
static void segment_measure(struct tcp_conn *c, const struct tcp_in *in)
{
	uint64_t now_us = c->stack->now_us;

	if (in->len > c->peer_mss || (in->len == c->last_len && in->len >= TCP_MSS_DEFAULT))
		peer_mss_learn(c, in);
	c->last_len = in->len;
	if (now_us - c->data_us > c->rto_us)
		c->quick_acks = c->quick_acks_max;
	c->data_us = now_us;
}

/* RFC 2883 section 4.2: of a segment that had arrived in part the first such part is told. */
static void duplicate_part(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t start = in->seq, end = in->seq + in->len;

	if (c->sack && !c->sack_rx.has_duplicate && tcp_sack_rx_overlap(&c->sack_rx, &start, &end))
		tcp_sack_rx_duplicate(&c->sack_rx, start, end);
}

static void in_order_take(struct tcp_conn *c, struct tcp_in *in)
{
	bool gap = c->reass.segments != 0;

	if (gap)
		duplicate_part(c, in);
	c->rcv_nxt += in->len;
	c->bytes_in += in->len;
	rx_append_take(c, in->m);
	in->m = NULL;
	if (gap)
		reass_pull(c);
	/* RFC 5681 section 4.2: every second full segment, and whatever fills a gap, at once. */
	c->unacked_bytes += in->len;
	if (gap)
		c->quick_acks = c->quick_acks_max;
	if (quick(c) || gap || c->unacked_bytes >= 2 * c->peer_mss || c->delayed_ack_us == 0)
		tcp_ack_due(c, true);
	else
		ack_due_later(c);
	tcp_raise(c, TCP_EVENT_READABLE);
}

void tcp_text_expected_take(struct tcp_conn *c, struct tcp_in *in)
{
	segment_measure(c, in);
	in_order_take(c, in);
}

/* How many segments may wait out of order: no more than half of what the other connections leave. */
static uint32_t reass_segments_allowed(const struct tcp_conn *c)
{
	struct pool_stats p = pool_stats(c->stack->reass_pool);
	uint32_t half = (p.capacity - p.used + c->reass.segments + 1) / 2;

	return min_u32(c->stack->config.reass_conn_segments_max, half);
}

static int reass_insert(struct tcp_conn *c, struct tcp_in *in)
{
	struct stack *s = c->stack;
	uint32_t n = tcp_buffers_of(in->m);

	/* The segment that fills the gap must find room. */
	if (!tcp_memory_may_hold(c, n + c->peer_buffers)) {
		COUNT(s, tcp_rx_memory_dropped);
		return -ENOMEM;
	}
	int error = tcp_reass_insert_take(
		&c->reass, s->reass_pool, reass_segments_allowed(c), in->seq, in->m);
	in->m = NULL;
	tcp_memory_account(c);
	if (error == 0)
		COUNT(s, tcp_out_of_order);
	else if (error == -EEXIST)
		COUNT(s, tcp_duplicate_data);
	else
		COUNT(s, tcp_out_of_order_full);
	return error;
}

static void out_of_order_take(struct tcp_conn *c, struct tcp_in *in)
{
	uint32_t end = in->seq + in->len;

	duplicate_part(c, in);
	int error = reass_insert(c, in);
	if (c->sack && error == -EEXIST)
		tcp_sack_rx_duplicate(&c->sack_rx, in->seq, end);
	/* A duplicate's block is told first as well (RFC 2883 section 4). */
	if (c->sack && (error == 0 || error == -EEXIST))
		tcp_sack_rx_add(&c->sack_rx, in->seq, end);
	c->quick_acks = c->quick_acks_max;
	/* One duplicate ACK each, at once: the sender counts them (RFC 5681 section 4.2). */
	tcp_send_ack(c);
}

/* Text in the window. What there is no memory for stays unacknowledged, and comes again. */
static void text_take(struct tcp_conn *c, struct tcp_in *in)
{
	segment_measure(c, in);
	if (in->seq != c->rcv_nxt)
		out_of_order_take(c, in);
	else if (in_order_fits(c, in))
		in_order_take(c, in);
	else
		COUNT(c->stack, tcp_rx_memory_dropped);
}

/* Eighth step. */
static void fin_reached(struct tcp_conn *c)
{
	c->rcv_nxt++;
	c->fin_received = true;
	tcp_reass_clear(&c->reass, c->stack->reass_pool);
	tcp_memory_account(c);
	tcp_raise(c, TCP_EVENT_PEER_CLOSED);
	tcp_ack_due(c, true);
	switch (c->state) {
	case TCP_ESTABLISHED:
		tcp_conn_set_state(c, TCP_CLOSE_WAIT);
		break;
	case TCP_FIN_WAIT_1:
		tcp_conn_set_state(c, TCP_CLOSING);
		break;
	case TCP_FIN_WAIT_2:
		tcp_conn_time_wait(c);
		break;
	default:
		MUST(!"a FIN is taken in these states alone");
	}
}

void tcp_text_input(struct tcp_conn *c, struct tcp_in *in)
{
	struct stack *s = c->stack;
	bool fin = in->flags & TCP_FIN;

	if (in->flags & TCP_URG)
		tcp_urgent_input(c, in);
	if (in->len == 0 && !fin)
		return;
	tcp_ecn_text(c, in);
	if (c->fin_received) {
		COUNT(s, tcp_data_after_fin);
		tcp_ack_due(c, true);
		return;
	}
	if (!trim_to_window(c, in))
		fin = false;
	if (fin && !c->fin_known) {
		c->fin_known = true;
		c->fin_seq = in->seq + in->len;
		tcp_reass_cut(&c->reass, c->stack->reass_pool, c->fin_seq);
		tcp_sack_rx_cut(&c->sack_rx, c->fin_seq);
		tcp_memory_account(c);
	}
	if (in->len && !c->app) {
		COUNT(s, tcp_data_closed);
		tcp_send_control(c, tcp_snd_seq(c), TCP_RST | TCP_ACK);
		tcp_conn_end(c, TCP_REASON_ABORTED);
		return;
	}
	if (in->len)
		text_take(c, in);
	else
		tcp_ack_due(c, true);
	if (c->fin_known && c->rcv_nxt == c->fin_seq)
		fin_reached(c);
}
