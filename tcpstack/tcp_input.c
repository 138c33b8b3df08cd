/* SPDX-License-Identifier: Apache-2.0 */
/* A segment arrives: RFC 9293 section 3.10.7, step by step, with RFC 7323's PAWS and RFC 5961's answers to
 * blind attacks. */
#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"

/* Timestamps older than this say nothing: RFC 7323 section 5.5. */
#define PAWS_VALID_US (24ull * 86400 * 1000000)

static bool checksum_good(const struct stack *s, const struct rte_mbuf *m, const struct ip_packet *ip)
{
	if (s->config.offload_flags & STACK_OFFLOAD_RX_CKSUM) {
		uint64_t f = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
		/* NONE: the field is not filled in, as between hosts on one machine, but the data is whole.
		 */
		if (f == RTE_MBUF_F_RX_L4_CKSUM_GOOD || f == RTE_MBUF_F_RX_L4_CKSUM_NONE)
			return true;
		if (f == RTE_MBUF_F_RX_L4_CKSUM_BAD)
			return false;
	}
	uint64_t sum = checksum_pseudo(&ip->src, &ip->dst, IP_PROTOCOL_TCP, ip->length);
	return checksum_fold(checksum_add_mbuf(sum, m, 0, ip->length)) == 0xffff;
}

/* SYN-SENT: section 3.10.7.3. */
static void syn_sent_input(struct tcp_conn *c, struct tcp_in *in)
{
	struct stack *s = c->stack;
	bool acks = in->flags & TCP_ACK;

	/* first: the ACK */
	if (acks && (!seq_lt(c->iss, in->ack) || seq_lt(c->snd_nxt, in->ack))) {
		COUNT(s, tcp_ack_unsent);
		if (!(in->flags & TCP_RST))
			tcp_send_reset_reply(s, in);
		return;
	}
	/* second: the RST */
	if (in->flags & TCP_RST) {
		if (!acks) {
			COUNT(s, tcp_rst_ignored);
			return;
		}
		COUNT(s, tcp_rst_in);
		tcp_conn_end(c, TCP_REASON_REFUSED);
		return;
	}
	/* fourth: the SYN */
	if (!(in->flags & TCP_SYN)) {
		COUNT(s, tcp_no_ack_flag);
		return;
	}
	c->heard_us = s->now_us;
	c->irs = in->seq;
	c->rcv_nxt = c->rcv_adv = c->last_ack_sent = in->seq + 1;
	struct tcp_syn_options peer = tcp_syn_options_of(s, &in->options, &in->src);
	peer.ecn = tcp_ecn_agreed(c, in->flags);
	tcp_conn_negotiate(c, &peer);
	/* Our SYN told a window already. */
	tcp_window_syn(c);
	c->snd_wnd = c->snd_wnd_max = in->wnd;
	c->snd_wl1 = in->seq;
	c->snd_wl2 = in->ack;
	if (!acks) {
		/* Both opened at once: our SYN goes out again, with the ACK. */
		tcp_conn_set_state(c, TCP_SYN_RCVD);
		tcp_segment_mark_lost(c, &c->syn);
		c->force_resend = true;
		tcp_output_want(c);
		return;
	}
	c->snd_una = in->ack;
	struct tcp_acked acked = {0};
	tcp_segments_acked(c, in->ack, &acked);
	if (acked.sent_us)
		tcp_rtt_sample(c, (uint32_t)min_u64(s->now_us - acked.sent_us, 1u << 30));
	timer_cancel(&s->wheel, &c->rexmt);
	tcp_conn_established(c);
	tcp_ack_due(c, true);
	in->seq++;
	in->flags &= (uint8_t)~TCP_SYN;
	tcp_text_input(c, in);
}

bool tcp_paws_old(const struct stack *s, uint32_t recent, uint64_t recent_us, uint32_t val)
{
	return seq_lt(val, recent) && s->now_us - recent_us < PAWS_VALID_US;
}

/* First step, PAWS: false drops the segment. */
static bool paws_good(struct tcp_conn *c, const struct tcp_in *in)
{
	struct stack *s = c->stack;

	if (!c->timestamps || (in->flags & TCP_RST))
		return true;
	if (!in->options.has_timestamp) {
		COUNT(s, tcp_no_timestamp); /* RFC 7323 section 3.2 */
		/* A peer that has begun anew learns of us: RFC 5961 section 4.2. */
		if (in->flags & TCP_SYN)
			tcp_send_challenge_ack(c);
		return false;
	}
	if (tcp_paws_old(s, c->ts_recent, c->ts_recent_us, in->options.ts_val)) {
		COUNT(s, tcp_paws);
		if (in->len || (in->flags & TCP_FIN))
			tcp_send_ack(c);
		else
			tcp_send_challenge_ack(c);
		return false;
	}
	return true;
}

/* With a closed window a segment right at nxt passes for its ACK and its RST (MUST-66); its text is cut off
 * later. */
bool tcp_in_window(const struct tcp_in *in, uint32_t nxt, uint32_t edge)
{
	uint32_t end = tcp_in_end(in);

	if (in->seq == nxt)
		return true;
	if (end == in->seq)
		/* One past the window as well: a peer whose full window was lost acknowledges from there. But
		 * no reset (RFC 5961 section 3.2). */
		return seq_lt(nxt, in->seq) && seq_lt(in->seq, edge + !(in->flags & TCP_RST));
	return seq_lt(nxt, end) && seq_lt(in->seq, edge);
}

static void sequence_bad(struct tcp_conn *c, const struct tcp_in *in)
{
	struct stack *s = c->stack;

	COUNT(s, tcp_out_of_window);
	if (in->flags & TCP_RST) {
		COUNT(s, tcp_rst_ignored);
		return;
	}
	if (c->state == TCP_SYN_RCVD && (in->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && in->seq == c->irs) {
		/* The peer's SYN again: it has not seen ours. */
		tcp_segment_mark_lost(c, &c->syn);
		tcp_output_want(c);
		return;
	}
	if (c->sack && in->len && seq_lt(in->seq, c->rcv_nxt))
		tcp_sack_rx_duplicate(&c->sack_rx, in->seq,
			seq_lt(c->rcv_nxt, in->seq + in->len) ? c->rcv_nxt : in->seq + in->len);
	/* What occupies sequence space is sent again until it is acknowledged; anything else could echo for
	 * ever, or is a keepalive: to leave that unanswered, because others used up what all share, would
	 * end the connection. */
	if (in->len || (in->flags & TCP_FIN) || c->state == TCP_SYN_RCVD)
		tcp_send_ack(c);
	else if (in->flags & TCP_SYN)
		tcp_send_challenge_ack(c);
	else
		tcp_send_paced_ack(c);
}

/* Second step: RST, by RFC 5961 section 3.2. */
static void reset_input(struct tcp_conn *c, const struct tcp_in *in)
{
	struct stack *s = c->stack;

	if (in->seq != c->rcv_nxt) {
		COUNT(s, tcp_rst_ignored);
		tcp_send_challenge_ack(c);
		return;
	}
	COUNT(s, tcp_rst_in);
	tcp_conn_end(c, c->state == TCP_SYN_RCVD ? TCP_REASON_REFUSED : TCP_REASON_RESET);
}

/* The window of the segment that acknowledged our SYN, whatever came before. */
static void window_begin(struct tcp_conn *c, const struct tcp_in *in)
{
	c->snd_wnd = (uint32_t)in->wnd << c->snd_wscale;
	c->snd_wnd_max = max_u32(c->snd_wnd_max, c->snd_wnd);
	c->snd_wl1 = in->seq;
	c->snd_wl2 = in->ack;
}

/* Fifth step in SYN-RECEIVED. False drops the segment. */
static bool syn_rcvd_ack(struct tcp_conn *c, const struct tcp_in *in)
{
	if (!seq_lt(c->snd_una, in->ack) || seq_lt(c->snd_nxt, in->ack)) {
		COUNT(c->stack, tcp_ack_unsent);
		tcp_send_reset_reply(c->stack, in);
		return false;
	}
	tcp_conn_established(c);
	window_begin(c, in);
	return true;
}

/* RFC 7323 section 4.3 (2), but only once the ACK has been found good: who guesses numbers (RFC 5961) would
 * otherwise make the peer's own timestamps look old. */
void tcp_timestamp_note(struct tcp_conn *c, const struct tcp_in *in)
{
	if (!c->timestamps || !in->options.has_timestamp || seq_lt(c->last_ack_sent, in->seq))
		return;
	c->ts_recent = in->options.ts_val;
	c->ts_recent_us = c->stack->now_us;
}

/* From the fifth step on, in a state that has an ACK of our SYN. */
static void acked_input(struct tcp_conn *c, struct tcp_in *in)
{
	if (!tcp_ack_input(c, in))
		return;
	tcp_timestamp_note(c, in);
	/* sixth, seventh, eighth: URG, text, FIN */
	tcp_text_input(c, in);
}

void tcp_opening_input(struct tcp_conn *c, struct tcp_in *in)
{
	c->segments_in++;
	window_begin(c, in);
	acked_input(c, in);
}

/* All other states: section 3.10.7.4. */
static void synchronised_input(struct tcp_conn *c, struct tcp_in *in)
{
	struct stack *s = c->stack;

	/* first: sequence number */
	if (!paws_good(c, in))
		return;
	if (!tcp_in_window(in, c->rcv_nxt, c->rcv_adv)) {
		sequence_bad(c, in);
		return;
	}
	c->heard_us = s->now_us;
	c->keepalives = 0;
	/* second: RST */
	if (in->flags & TCP_RST) {
		reset_input(c, in);
		return;
	}
	/* third, security, is not done; fourth: SYN, by RFC 5961 section 4.2 */
	if (in->flags & TCP_SYN) {
		COUNT(s, tcp_syn_in_window);
		tcp_send_challenge_ack(c);
		return;
	}
	/* fifth: ACK */
	if (!(in->flags & TCP_ACK)) {
		COUNT(s, tcp_no_ack_flag);
		return;
	}
	if (c->state == TCP_SYN_RCVD && !syn_rcvd_ack(c, in))
		return;
	acked_input(c, in);
}

static void conn_input(struct tcp_conn *c, struct tcp_in *in)
{
	c->segments_in++;
	if (c->state == TCP_SYN_SENT)
		syn_sent_input(c, in);
	else
		synchronised_input(c, in);
}

static void segment_input(struct stack *s, struct tcp_in *in)
{
	struct tcp_tuple t = tcp_in_tuple(in);
	struct tcp_node *node = tcp_node_find(s, &t);

	if (node) {
		if (node->kind == TCP_KIND_CONN)
			conn_input(caa_container_of(node, struct tcp_conn, node), in);
		else if (node->kind == TCP_KIND_REQUEST)
			tcp_request_input(s, tcp_request_of(node), in);
		else
			tcp_time_wait_input(s, node, in);
		return;
	}
	struct tcp_listener *l = tcp_listener_find(s, &in->dst, in->dport);
	if (l) {
		tcp_listener_input(s, l, in, 0);
		return;
	}
	/* CLOSED: section 3.10.7.1 */
	if (in->flags & TCP_RST) {
		COUNT(s, tcp_no_conn_rst);
		return;
	}
	COUNT(s, tcp_no_conn);
	tcp_send_reset_reply(s, in);
}

void tcp_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	if (ip->length < TCP_HEADER_BYTES) {
		DROP(s, m, tcp_short);
		return;
	}
	const uint8_t *h = frame_data(m);
	uint32_t header = m->data_len < TCP_HEADER_BYTES ? TCP_HEADER_BYTES : (h[12] >> 4) * 4u;
	if (header < TCP_HEADER_BYTES || header > ip->length) {
		DROP(s, m, tcp_short);
		return;
	}
	if (header > m->data_len) {
		DROP(s, m, header_split);
		return;
	}
	if (!checksum_good(s, m, ip)) {
		DROP(s, m, tcp_checksum);
		return;
	}
	struct tcp_in in = {
		.m = m,
		.src = ip->src,
		.dst = ip->dst,
		.sport = wire_get16(h),
		.dport = wire_get16(h + 2),
		.seq = wire_get32(h + 4),
		.ack = wire_get32(h + 8),
		.flags = h[13],
		.ecn = ip->ecn,
		.wnd = wire_get16(h + 14),
		.urgent = wire_get16(h + 18),
		.len = ip->length - header,
	};
	if (tcp_options_parse(
		    &in.options, h + TCP_HEADER_BYTES, header - TCP_HEADER_BYTES, in.flags & TCP_SYN)) {
		DROP(s, m, tcp_options);
		return;
	}
	COUNT(s, tcp_segments_in);
	if (in.options.wscale_cut)
		COUNT(s, tcp_wscale_cut);
	rte_pktmbuf_adj(m, (uint16_t)header);
	segment_input(s, &in);
	rte_pktmbuf_free(in.m); /* unless its text was taken */
}
