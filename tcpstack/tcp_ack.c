/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9293 section 3.10.7.4, fifth step: the ACK field; with RFC 5961 section 5, fast retransmit (RFC 5681
 * section 3.2), limited transmit (RFC 3042) and NewReno's recovery (RFC 6582). */
#include "tcpstack/tcp_impl.h"

/* RFC 5681 section 2: five conditions; and a closed window's answers to probes tell of no loss. */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_in *in)
{
	return !tcp_nothing_sent(c) && c->snd_wnd && in->len == 0 && !(in->flags & (TCP_SYN | TCP_FIN)) &&
	       in->ack == c->snd_una && (uint32_t)in->wnd << c->snd_wscale == c->snd_wnd;
}

static void recovery_enter(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_fast_retransmit);
	c->fast_retransmits++;
	c->cc->loss(c);
	c->cwnd = c->ssthresh;
	c->in_recovery = true;
	c->recover = c->snd_nxt;
	tcp_segment_mark_lost(c, tcp_segment_first(c));
	c->dup_bytes = min_u32((uint32_t)TCP_DUP_ACKS * c->mss, c->in_flight);
	c->force_resend = true;
}

static void duplicate_ack(struct tcp_conn *c)
{
	if (c->dup_acks < UINT8_MAX)
		c->dup_acks++;
	/* A segment has left the network: another may enter it. */
	if (c->in_recovery || c->dup_acks < TCP_DUP_ACKS)
		c->dup_bytes = min_u32(c->dup_bytes + c->mss, c->in_flight);
	else if (c->dup_acks == TCP_DUP_ACKS && seq_lt(c->recover, c->snd_una))
		recovery_enter(c);
	tcp_output_want(c);
}

static void recovery_ack(struct tcp_conn *c, uint32_t acked)
{
	if (!seq_lt(c->snd_una, c->recover)) {
		c->in_recovery = false;
		c->force_resend = false;
		c->dup_bytes = 0;
		c->cc->recovered(c);
		return;
	}
	/* A partial ACK: the next segment is lost as well. What it covers had been counted as having left,
	 * but for the resent one. */
	uint32_t counted = acked > c->mss ? acked - c->mss : 0;
	c->dup_bytes -= min_u32(c->dup_bytes, counted);
	tcp_segment_mark_lost(c, tcp_segment_first(c));
	c->force_resend = true;
}

static void cc_acked(struct tcp_conn *c, const struct tcp_acked *acked)
{
	c->cc->acked(c, &(struct tcp_cc_ack){.bytes = acked->bytes,
				.rtt_us = acked->rtt_us,
				.cwnd_limited = c->cwnd_limited,
				.now_us = c->stack->now_us});
}

static void rtt_from_ack(struct tcp_conn *c, const struct tcp_in *in, const struct tcp_acked *acked)
{
	uint32_t rtt_us = acked->rtt_us;

	if (!rtt_us && c->timestamps && in->options.ts_ecr) {
		/* The echo tells which transmission is meant. The last one: a sample. An earlier one: it had
		 * arrived and its ACK was late or lost, so that the timer's doubling was wrong (RFC 4015's
		 * reasoning); a sample would measure the timer. */
		uint32_t ms = tcp_timestamp(c) - in->options.ts_ecr;
		if (ms <= (c->stack->now_us - acked->resent_us) / 1000 + 1)
			rtt_us = max_u32(ms, 1) * 1000;
		c->backoff = 0;
	}
	if (!rtt_us)
		return;
	tcp_rtt_sample(c, rtt_us);
	c->backoff = 0;
}

static void new_ack(struct tcp_conn *c, const struct tcp_in *in)
{
	struct stack *s = c->stack;

	c->snd_una = in->ack;
	c->progress_us = s->now_us;
	struct tcp_acked acked = tcp_segments_acked(c, in->ack);
	rtt_from_ack(c, in, &acked);
	if (c->in_recovery) {
		recovery_ack(c, acked.bytes);
	} else {
		c->dup_bytes = 0;
		if (acked.bytes)
			cc_acked(c, &acked);
		/* It follows, or after 2^31 bytes without a loss it would seem to lie ahead. */
		if (seq_lt(c->recover, c->snd_una))
			c->recover = c->snd_una - 1;
	}
	if (!c->in_recovery)
		c->dup_acks = 0;
	if (tcp_nothing_sent(c)) /* RFC 6298 (5.2) and (5.3) */
		timer_cancel(&s->wheel, &c->rexmt);
	else
		tcp_rexmt_arm(c);
	if (tcp_tx_room_is_back(c))
		tcp_raise(c, TCP_EVENT_WRITABLE);
	tcp_output_want(c);
}

static void window_update(struct tcp_conn *c, const struct tcp_in *in, bool acks_new)
{
	/* Only from a segment that is newer than the last one used: by its number, or, when the peer sent old
	 * text again, by its acknowledgement. Else the window of before would slide on with SND.UNA, beyond
	 * what the peer ever told. */
	if (!(acks_new || seq_lt(c->snd_wl1, in->seq) ||
		    (c->snd_wl1 == in->seq && seq_leq(c->snd_wl2, in->ack))))
		return;
	uint32_t before = c->snd_wnd, edge_before = tcp_snd_edge(c);
	c->snd_wnd = (uint32_t)in->wnd << c->snd_wscale;
	c->snd_wnd_max = max_u32(c->snd_wnd_max, c->snd_wnd);
	c->snd_wl1 = seq_max(c->snd_wl1, in->seq);
	c->snd_wl2 = in->ack;
	if (before == 0 && c->snd_wnd) {
		/* What went out as a probe was outside the window and is gone. */
		tcp_segments_mark_all_lost(c);
		c->backoff = 0;
		timer_cancel(&c->stack->wheel, &c->rexmt);
	}
	if (edge_before != tcp_snd_edge(c) && (c->unsent || c->lost_count))
		tcp_output_want(c);
}

/* What our FIN's acknowledgement leads to. False when the connection has ended. */
static bool fin_acked(struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_FIN_WAIT_1:
		tcp_conn_set_state(c, TCP_FIN_WAIT_2);
		if (!c->app)
			tcp_life_arm(c, c->stack->config.fin_wait_2_us);
		return true;
	case TCP_CLOSING:
		tcp_conn_time_wait(c);
		return true;
	case TCP_LAST_ACK:
		tcp_conn_end(c, TCP_REASON_DONE);
		return false;
	default:
		return true;
	}
}

bool tcp_ack_input(struct tcp_conn *c, const struct tcp_in *in)
{
	struct stack *s = c->stack;

	if (seq_lt(c->snd_nxt, in->ack)) {
		COUNT(s, tcp_ack_unsent);
		tcp_send_challenge_ack(c);
		return false;
	}
	if (seq_lt(in->ack, c->snd_una - c->snd_wnd_max)) {
		COUNT(s, tcp_ack_too_old);
		tcp_send_challenge_ack(c);
		return false;
	}
	if (seq_lt(in->ack, c->snd_una)) {
		COUNT(s, tcp_ack_old);
		return true;
	}
	bool duplicate = is_duplicate(c, in), acks_new = seq_lt(c->snd_una, in->ack);
	if (acks_new)
		new_ack(c, in);
	window_update(c, in, acks_new);
	if (duplicate)
		duplicate_ack(c);
	return !tcp_fin_acked(c) || fin_acked(c);
}
