/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9293 section 3.10.7.4, fifth step: the ACK field; with RFC 5961 section 5. What losses it tells of is
 * tcp_recovery.c's. */
#include "tcpstack/tcp_impl.h"

/* RFC 5681 section 2: five conditions; and a closed window's answers to probes tell of no loss. */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_in *in)
{
	return !tcp_nothing_sent(c) && c->snd_wnd && in->len == 0 && !(in->flags & (TCP_SYN | TCP_FIN)) &&
	       in->ack == c->snd_una && (uint32_t)in->wnd << c->snd_wscale == c->snd_wnd;
}

static void rtt_from_ack(struct tcp_conn *c, struct tcp_acked *acked)
{
	uint64_t now_us = c->stack->now_us;
	uint32_t rtt_us = 0;

	if (acked->resent_us && acked->has_ts_ecr) {
		/* The echo tells which transmission is meant. The last one: a sample. An earlier one: it had
		 * arrived and its ACK was late or lost, so that the timer's doubling was wrong (RFC 4015's
		 * reasoning); a sample would measure the timer. */
		uint32_t ms = tcp_timestamp(c) - acked->ts_ecr;
		if (ms <= (now_us - acked->resent_us) / 1000 + 1)
			rtt_us = max_u32(ms, 1) * 1000;
		c->backoff = 0;
	} else if (acked->sent_us && !acked->resent_us) {
		rtt_us = (uint32_t)min_u64(max_u64(now_us - acked->sent_us, 1), 1u << 30);
		tcp_rack_min_rtt(c, rtt_us);
	}
	acked->rtt_us = rtt_us;
	if (!rtt_us)
		return;
	tcp_rtt_sample(c, rtt_us);
	c->backoff = 0;
}

static void cc_acked(struct tcp_conn *c, const struct tcp_acked *acked)
{
	c->cc->acked(c, &(struct tcp_cc_ack){.bytes = acked->bytes,
				.rtt_us = acked->rtt_us,
				/* After a timeout more waits than cwnd lets go, even where the window is
				   smaller still. */
				.cwnd_limited = c->cwnd_limited || c->recovery == TCP_RECOVERY_RTO,
				.now_us = c->stack->now_us});
}

static void new_ack(struct tcp_conn *c, const struct tcp_in *in, struct tcp_acked *acked)
{
	struct stack *s = c->stack;

	c->snd_una = in->ack;
	c->progress_us = s->now_us;
	neighbour_confirm(s, &c->tuple.raddr);
	tcp_pmtu_acked(c);
	tcp_segments_acked(c, in->ack, acked);
	/* It follows, or after 2^31 bytes without a loss it would seem to lie ahead. */
	if (c->recovery == TCP_RECOVERY_NONE) {
		c->dup_acks = 0;
		if (seq_lt(c->recover, c->snd_una))
			c->recover = c->snd_una - 1;
		if (seq_lt(c->ecn_recover, c->snd_una))
			c->ecn_recover = c->snd_una - 1;
	}
}

/* RFC 6298 (5.2) and (5.3) */
static void timer_after_ack(struct tcp_conn *c)
{
	if (tcp_nothing_sent(c))
		timer_rest(&c->stack->wheel, &c->rexmt);
	else
		tcp_rexmt_arm(c);
}

void tcp_window_change(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t before = c->snd_wnd;

	c->snd_wnd = (uint32_t)in->wnd << c->snd_wscale;
	c->snd_wnd_max = max_u32(c->snd_wnd_max, c->snd_wnd);
	if (before == 0) {
		/* What went out as a probe was outside the window and is gone. */
		tcp_segments_mark_lost(c, UINT64_MAX);
		c->backoff = 0;
		timer_rest(&c->stack->wheel, &c->rexmt);
	}
	if (c->unsent || c->lost_count)
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
		return false;
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
	bool duplicate = is_duplicate(c, in), advances = seq_lt(c->snd_una, in->ack);
	bool reduced = tcp_ecn_echoed(c, in);
	struct tcp_acked acked = {
		.ts_ecr = in->options.ts_ecr, .has_ts_ecr = c->timestamps && in->options.ts_ecr};
	/* In this order sequence numbers arrive rising, or RACK would take it for reordering. */
	if (advances)
		new_ack(c, in, &acked);
	if (in->options.sack_count && c->sack)
		tcp_sack_input(c, in, &acked);
	if (acked.segments)
		rtt_from_ack(c, &acked);
	c->delivered_bytes += acked.delivered;
	/* RFC 3168 section 6.1.2: an echo lets nothing grow */
	if (acked.bytes && c->recovery != TCP_RECOVERY_FAST && !(c->ecn && in->flags & TCP_ECE))
		cc_acked(c, &acked);
	tcp_window_told(c, in, advances);
	if (advances)
		timer_after_ack(c);
	if (reduced && c->ecn_hold)
		tcp_rexmt_arm(c);
	if (advances || acked.segments || acked.dsack || duplicate)
		tcp_recovery_ack(c, in, &acked, duplicate);
	if (advances && tcp_tx_room_is_back(c))
		tcp_raise(c, TCP_EVENT_WRITABLE);
	if (advances && tcp_output_has_work(c))
		tcp_output_want(c);
	return !tcp_fin_acked(c) || fin_acked(c);
}

void tcp_ack_expected(struct tcp_conn *c, const struct tcp_in *in)
{
	struct tcp_acked acked = {
		.ts_ecr = in->options.ts_ecr, .has_ts_ecr = c->timestamps && in->options.ts_ecr};

	new_ack(c, in, &acked);
	if (acked.segments)
		rtt_from_ack(c, &acked);
	c->delivered_bytes += acked.delivered;
	if (acked.bytes)
		cc_acked(c, &acked);
	tcp_window_told(c, in, true);
	timer_after_ack(c);
	if (!c->sack && acked.bytes)
		c->dup_bytes = 0;
	if (tcp_tx_room_is_back(c))
		tcp_raise(c, TCP_EVENT_WRITABLE);
	if (tcp_output_has_work(c))
		tcp_output_want(c);
}
