/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: what the peer's window, the congestion window and silly window avoidance (RFC 9293
 * section 3.8.6.2.1) allow, lost segments first; acknowledgements ride on data where there is some. */
#include <errno.h>

#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"

/* Puts the TCP header in front of the payload in m and sends the packet. */
static void header_put(struct stack *s, struct rte_mbuf *m, const struct tcp_tuple *t, uint32_t seq,
	uint32_t ack, uint8_t flags, uint16_t window, uint16_t urgent, const struct tcp_options *options,
	const struct ip_send *how)
{
	uint8_t opts[TCP_OPTIONS_BYTES_MAX];
	uint32_t opts_n = tcp_options_write(opts, options), header = TCP_HEADER_BYTES + opts_n;
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)header);
	uint64_t sum = checksum_pseudo(&t->laddr, &t->raddr, IP_PROTOCOL_TCP, m->pkt_len);
	struct ip_send to = *how;

	to.src = t->laddr;
	to.dst = t->raddr;
	to.protocol = IP_PROTOCOL_TCP;
	MUST(h);
	wire_put16(h, t->lport);
	wire_put16(h + 2, t->rport);
	wire_put32(h + 4, seq);
	wire_put32(h + 8, ack);
	h[12] = (uint8_t)(header / 4 << 4);
	h[13] = flags;
	wire_put16(h + 14, window);
	wire_put16(h + 16, 0);
	wire_put16(h + 18, urgent);
	memcpy(h + TCP_HEADER_BYTES, opts, opts_n);
	if (m->tso_segsz) {
		/* Without the length, which the port adds for each piece. */
		to.l4_offload_flags = RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
		wire_put16(h + 16, checksum_fold(checksum_pseudo(&t->laddr, &t->raddr, IP_PROTOCOL_TCP, 0)));
	} else if (s->config.offload_flags & STACK_OFFLOAD_TX_TCP_CKSUM) {
		to.l4_offload_flags = RTE_MBUF_F_TX_TCP_CKSUM;
		wire_put16(h + 16, checksum_fold(sum));
	} else {
		wire_put16(h + 16, (uint16_t)~checksum_fold(checksum_add(sum, h, m->pkt_len)));
	}
	m->l4_len = header;
	COUNT(s, tcp_segments_out);
	ip_output_take(s, m, &to);
}

/* Blocks go where payload leaves room for them: what arrives out of order is told by an empty segment at
 * once. */
static void sack_put(struct tcp_conn *c, uint32_t payload_bytes, struct tcp_options *o)
{
	uint32_t used = c->timestamps ? TCP_TIMESTAMP_BYTES : 0, left = TCP_OPTIONS_BYTES_MAX - used;

	if (payload_bytes)
		left = min_u32(left, payload_bytes < c->mss ? c->mss - payload_bytes : 0);
	if (c->sack_rx.has_duplicate)
		COUNT(c->stack, tcp_dsack_out);
	tcp_sack_rx_write(&c->sack_rx, left, o);
}

static void syn_options(const struct tcp_conn *c, struct tcp_options *o)
{
	const struct stack *s = c->stack;

	o->has_mss = true;
	o->mss = tcp_own_mss(s, &c->tuple.raddr);
	o->has_wscale = c->state == TCP_SYN_SENT ? s->config.window_scaling : c->rcv_wscale || c->snd_wscale;
	o->wscale = c->rcv_wscale;
	/* In answer to a SYN only what that one offered (RFC 2018 section 2). */
	o->has_sack_permitted = c->state == TCP_SYN_SENT ? s->config.sack : c->sack;
}

/* Whatever is in it. */
static void transmit_any_take(
	struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags, uint16_t window, uint8_t ecn)
{
	struct stack *s = c->stack;
	struct tcp_options o = {.has_timestamp = c->timestamps, .ts_val = tcp_timestamp(c)};

	if (flags & TCP_SYN)
		syn_options(c, &o);
	else if (c->sack && (flags & TCP_ACK) && !(flags & TCP_RST))
		sack_put(c, m->pkt_len, &o);
	if (flags & TCP_ACK)
		o.ts_ecr = c->ts_recent;
	struct ip_send how = {.ecn = ecn,
		.dscp = c->dscp,
		.hop_limit = c->hop_limit,
		.flow_label = c->flow_label,
		.may_fragment = c->may_fragment};
	uint16_t urgent = flags & (TCP_SYN | TCP_RST) ? 0 : tcp_urgent_pointer(c, seq);
	if (urgent)
		flags |= TCP_URG;
	header_put(s, m, &c->tuple, seq, flags & TCP_ACK ? c->rcv_nxt : 0, flags, window, urgent, &o, &how);
}

void tcp_transmit_take(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags, uint8_t ecn)
{
	uint16_t window;

	if (flags & TCP_SYN) {
		flags |= tcp_ecn_syn_flags(c);
		window = tcp_window_syn(c);
	} else {
		window = tcp_window(c);
		if (c->ecn_echo && !(flags & TCP_RST))
			flags |= TCP_ECE;
	}
	if (flags & TCP_ACK) {
		c->last_ack_sent = c->rcv_nxt;
		c->ack_now = false;
		c->unacked_bytes = 0;
		timer_rest(&c->stack->wheel, &c->ack_timer);
	}
	c->segments_out++;
	if (!tcp_header_plain_take(c, m, seq, flags, window, ecn))
		transmit_any_take(c, m, seq, flags, window, ecn);
}

int tcp_send_control(struct tcp_conn *c, uint32_t seq, uint8_t flags)
{
	struct rte_mbuf *m = stack_tx_alloc(c->stack);

	if (!m)
		return -ENOBUFS;
	if (flags & TCP_RST)
		COUNT(c->stack, tcp_rst_out);
	tcp_transmit_take(c, m, seq, flags, IP_ECN_NOT_ECT);
	return 0;
}

void tcp_send_ack(struct tcp_conn *c)
{
	if (tcp_send_control(c, tcp_snd_seq(c), TCP_ACK) == 0)
		return;
	c->ack_now = true;
	tcp_starved(c);
}

void tcp_send_paced_ack(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (s->now_us < c->challenge_next_us) {
		COUNT(s, tcp_challenge_limited);
		return;
	}
	c->challenge_next_us = s->now_us + s->config.challenge_interval_us;
	COUNT(s, tcp_challenge_acks);
	tcp_send_ack(c);
}

/* How many challenge ACKs this second has: somewhere between half the limit and all of it, or the exact count
 * that is left would tell an attacker with a connection of his own what happens on others (RFC 5961 section
 * 7's limit is shared). */
static void challenge_refill(struct stack *s)
{
	uint32_t limit = s->config.challenge_acks_per_s;
	uint64_t second = s->now_us / 1000000;

	if (second == s->challenge_second)
		return;
	s->challenge_second = second;
	s->challenge_left = limit - (uint32_t)(tcp_hash(s, TCP_HASH_CHALLENGE,
						       &(struct tcp_tuple){.laddr.word[0] = second}) %
					       (limit / 2 + 1));
}

bool tcp_challenge_allowed(struct stack *s, uint64_t *next_us)
{
	challenge_refill(s);
	if (!s->challenge_left || s->now_us < *next_us) {
		COUNT(s, tcp_challenge_limited);
		return false;
	}
	s->challenge_left--;
	*next_us = s->now_us + s->config.challenge_interval_us;
	COUNT(s, tcp_challenge_acks);
	return true;
}

void tcp_send_challenge_ack(struct tcp_conn *c)
{
	if (tcp_challenge_allowed(c->stack, &c->challenge_next_us))
		tcp_send_ack(c);
}

int tcp_send_bare(struct stack *s, const struct tcp_tuple *t, uint32_t seq, uint32_t ack, uint8_t flags,
	uint16_t window, const struct tcp_options *options)
{
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (!m)
		return -ENOBUFS;
	header_put(s, m, t, seq, ack, flags, window, 0, options,
		&(struct ip_send){.flow_label = tcp_flow_label(s, t)});
	return 0;
}

void tcp_send_reset_reply(struct stack *s, const struct tcp_in *in)
{
	/* RFC 7323 section 5.2: what caused it is echoed, and nothing is told. */
	struct tcp_options o = {.has_timestamp = in->options.has_timestamp && s->config.timestamps,
		.ts_ecr = in->options.ts_val};
	struct tcp_tuple t = tcp_in_tuple(in);
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (!m)
		return;
	COUNT(s, tcp_rst_out);
	struct ip_send how = {.flow_label = tcp_flow_label(s, &t)};
	if (in->flags & TCP_ACK)
		header_put(s, m, &t, in->ack, 0, TCP_RST, 0, 0, &o, &how);
	else
		header_put(s, m, &t, 0, tcp_in_end(in), TCP_RST | TCP_ACK, 0, 0, &o, &how);
}

/* A buffer with g's payload that the driver does not hold, with a reference for it; or NULL. */
static struct rte_mbuf *payload_buffer(struct tcp_conn *c, struct tcp_segment *g)
{
	struct rte_mbuf *m = g->m;

	if (m && rte_mbuf_refcnt_read(m) == 1) {
		m->data_off = g->off;
		m->data_len = g->len;
		m->pkt_len = g->len;
		m->nb_segs = 1;
		m->next = NULL;
		rte_mbuf_refcnt_update(m, 1);
		return m;
	}
	struct rte_mbuf *copy = stack_tx_alloc(c->stack);
	if (copy && m) {
		COUNT(c->stack, tcp_resent_copied);
		memcpy(rte_pktmbuf_append(copy, g->len), (uint8_t *)m->buf_addr + g->off, g->len);
	}
	return copy;
}

/* The FIN travels with the last data, the first time as well as after a timeout took both. */
static bool fin_rides(const struct tcp_conn *c, const struct tcp_segment *g)
{
	return c->fin_queued && g->len && g->link.next == &c->fin.link && c->fin.sent == g->sent &&
	       c->fin.lost == c->fin.sent && seq_lt(c->fin.seq, tcp_snd_edge(c));
}

static void segment_sent(struct tcp_conn *c, struct tcp_segment *g)
{
	struct stack *s = c->stack;

	if (g->sent) {
		COUNT(s, tcp_resent);
		c->resent++;
		g->resent = true;
		c->undo_resent += c->undo_possible;
	} else {
		if (tcp_nothing_sent(c))
			c->progress_us = s->now_us;
		c->unsent = g->link.next == &c->segments
				    ? NULL
				    : cds_list_entry(g->link.next, struct tcp_segment, link);
		c->snd_nxt = tcp_segment_end(g);
		c->bytes_out += g->len;
	}
	tcp_segment_mark_sent(c, g);
	if (c->recovery == TCP_RECOVERY_FAST)
		c->prr.out += g->len;
	c->sent_us = s->now_us;
	if (!timer_armed(&c->rexmt)) /* RFC 6298 (5.1) */
		tcp_rexmt_arm(c);
	else if (g->resent && g->seq == c->snd_una)
		tcp_rexmt_postpone(c);
}

void tcp_syn_was_sent(struct tcp_conn *c, uint64_t sent_us, bool resent)
{
	segment_sent(c, &c->syn);
	c->syn.sent_us = sent_us;
	c->syn.resent = resent;
}

/* Others may follow it on the train. */
static int segment_send(struct tcp_conn *c, struct tcp_segment *g, struct tcp_train *train)
{
	if (!tcp_pmtu_fits(c, g))
		g = tcp_segment_split(c, g, c->mss);
	struct rte_mbuf *m = g ? payload_buffer(c, g) : NULL;

	if (!m) {
		tcp_starved(c);
		return -ENOBUFS;
	}
	uint8_t flags = g->control | TCP_ACK;
	bool with_fin = fin_rides(c, g);
	if (with_fin)
		flags |= TCP_FIN;
	if (g->control == TCP_SYN && c->state == TCP_SYN_SENT)
		flags = TCP_SYN;
	/* Pushed where the application's data ends for now (RFC 9293 section 3.9.1.2). */
	if (g->len && tcp_segment_end(g) == c->tx_end - c->fin_queued)
		flags |= TCP_PSH;
	uint8_t ecn = tcp_ecn_data(c, g, &flags);
	segment_sent(c, g);
	if (with_fin)
		segment_sent(c, &c->fin);
	tcp_train_add_take(c, train, m, g->seq, flags, ecn);
	return 0;
}

int tcp_segment_send(struct tcp_conn *c, struct tcp_segment *g)
{
	struct tcp_train train = {0};
	int error = segment_send(c, g, &train);

	tcp_train_leave(c, &train);
	return error;
}

static bool cwnd_allows(struct tcp_conn *c, uint32_t n)
{
	if (c->in_flight + n <= c->cwnd + c->dup_bytes)
		return true;
	c->cwnd_limited = true;
	return false;
}

/* Sends lost segments again. False when something keeps new data from being sent. */
static bool output_lost(struct tcp_conn *c)
{
	if (c->frto == 2) /* whether they are lost is being found out with new data */
		return true;
	while (!list_empty(&c->lost)) {
		struct tcp_segment *g = cds_list_first_entry(&c->lost, struct tcp_segment, sent_link);
		if (!c->force_resend && c->in_flight && !cwnd_allows(c, min_u32(g->len, (uint32_t)c->mss)))
			return false;
		uint32_t room = tcp_window_room(c, g);
		if (g->control == 0 && room == 0)
			return false; /* the peer shrank its window: the timer probes */
		if (room < g->len) {
			g = tcp_segment_split(c, g, room);
			if (!g) {
				tcp_starved(c);
				return false;
			}
		}
		if (tcp_segment_send(c, g))
			return false;
		c->force_resend = false;
	}
	return true;
}

/* Whether a partial segment has to wait; not for ever. */
static bool held(struct tcp_conn *c)
{
	if (c->hold_over)
		return false;
	if (!timer_armed(&c->hold))
		timer_arm(&c->stack->wheel, &c->hold, c->stack->now_us + TCP_HOLD_US);
	return true;
}

/* Whether less than a segment can be sent from g on, and it should wait until there is more. */
static bool too_little(struct tcp_conn *c, const struct tcp_segment *g)
{
	uint32_t data = c->tx_end - c->fin_queued - g->seq, usable = min_u32(data, tcp_snd_edge(c) - g->seq);

	if (usable >= c->mss)
		return false;
	/* RFC 9293 section 3.8.6.2.1: not all that there is, nor half of the largest window seen. */
	if (usable < data && usable < c->snd_wnd_max / 2 && held(c))
		return true;
	/* Until all before it is acknowledged (Nagle, RFC 9293 section 3.7.4), or something comes behind it;
	 * the last of a connection waits for neither. */
	if (c->fin_queued)
		return false;
	return (!c->nodelay && !tcp_nothing_sent(c)) || (c->corked && held(c));
}

/* True when g may leave for the first time, cut to *n bytes. */
static bool new_segment_allowed(struct tcp_conn *c, const struct tcp_segment *g, uint32_t *n)
{
	*n = g->len;
	if (g->control == TCP_SYN)
		return true;
	if (g->control == TCP_FIN)
		return seq_lt(g->seq, tcp_snd_edge(c)) || tcp_nothing_sent(c);
	*n = tcp_window_room(c, g);
	if (*n == 0 || too_little(c, g))
		return false;
	return cwnd_allows(c, *n);
}

/* False when memory ran out. */
static bool new_segments_send(struct tcp_conn *c, struct tcp_train *train)
{
	struct tcp_segment *g;
	uint32_t n;

	while ((g = c->unsent) && new_segment_allowed(c, g, &n)) {
		if (n < g->len) {
			g = tcp_segment_split(c, g, n);
			if (!g) {
				tcp_starved(c);
				return false;
			}
		}
		if (segment_send(c, g, train))
			return false;
		timer_cancel(&c->stack->wheel, &c->hold);
	}
	return true;
}

static void output_new(struct tcp_conn *c)
{
	struct tcp_segment *first = c->unsent;
	struct tcp_train train = {0};
	bool armed = timer_armed(&c->rexmt);

	if (tcp_ecn_held(c))
		return;
	tcp_pmtu_probe(c);
	bool all = new_segments_send(c, &train);
	tcp_train_leave(c, &train);
	if (!all)
		return;
	c->hold_over = false;
	/* A probe waits for the last that left; the first to leave has armed the timer for itself. */
	if (c->unsent != first && (armed || c->snd_nxt != tcp_segment_end(first)) && timer_armed(&c->rexmt) &&
		c->rexmt_kind != TCP_REXMT_REORDER)
		tcp_rexmt_schedule(c);
}

/* RFC 5681 section 4.1: before sending begins again. */
static void idle_end(struct tcp_conn *c)
{
	uint64_t idle_us = c->stack->now_us - c->sent_us;

	if (c->in_flight == 0 && c->srtt_us && idle_us > c->rto_us && !c->lost_count)
		c->cc->idle(c, idle_us);
}

void tcp_output(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	c->cwnd_limited = false;
	if (c->unsent || c->lost_count) {
		idle_end(c);
		tcp_pmtu_refresh(c);
		if (output_lost(c))
			output_new(c);
	}
	/* What is queued never waits for the peer alone: the timer sends it again, or asks for a
	 * window or a buffer. */
	if (!list_empty(&c->segments) && !timer_armed(&c->rexmt) && !timer_armed(&c->hold)) {
		if (tcp_nothing_sent(c)) /* the wait begins now, however long it was quiet */
			c->progress_us = s->now_us;
		tcp_rexmt_arm(c);
	}
	if (tcp_window_waits(c) && !tcp_window_update_due(c))
		tcp_memory_wait(c);
	if (c->ack_now || tcp_window_update_due(c))
		tcp_send_ack(c);
}

void tcp_output_want(struct tcp_conn *c)
{
	if (c->state != TCP_CLOSED && list_empty(&c->output_link))
		cds_list_add_tail(&c->output_link, &c->stack->output);
}

void tcp_output_all(struct stack *s)
{
	while (!list_empty(&s->output)) {
		struct tcp_conn *c = cds_list_first_entry(&s->output, struct tcp_conn, output_link);
		cds_list_del_init(&c->output_link);
		tcp_output(c);
	}
}
