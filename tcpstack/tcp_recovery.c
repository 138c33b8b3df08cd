/* SPDX-License-Identifier: Apache-2.0 */
/* What losses do to a connection. With SACK they are found by RACK (tcp_rack.c) and repaired under
 * Proportional Rate Reduction (RFC 9937); without, by duplicate ACKs and NewReno's partial ones (RFC 5681
 * section 3.2, RFC 6582, RFC 3042). A timeout is tried for being spurious (F-RTO, RFC 5682), and what
 * duplicates prove to have been wrong is undone (RFC 2883, RFC 3708). */
#include "tcpstack/tcp_impl.h"

static void undo_begin(struct tcp_conn *c)
{
	c->undo_possible = true;
	c->undo_from = c->snd_una;
	c->undo_resent = 0;
}

static void undo(struct tcp_conn *c)
{
	c->cc->undo(c);
	tcp_segments_unmark_lost(c);
	c->recovery = TCP_RECOVERY_NONE;
	c->frto = 0;
	c->force_resend = false;
	c->undo_possible = false;
	c->dup_bytes = 0;
	c->dup_acks = 0;
	tcp_output_want(c);
}

static void fast_enter(struct tcp_conn *c, const struct tcp_acked *acked)
{
	COUNT(c->stack, tcp_fast_retransmit);
	c->fast_retransmits++;
	c->cc->loss(c);
	tcp_ecn_reduced(c);
	c->recovery = TCP_RECOVERY_FAST;
	c->recover = c->snd_nxt;
	c->tlp_out = false;
	undo_begin(c);
	/* RFC 9937 section 6.1: what was outstanding before this acknowledgement. */
	c->prr = (struct tcp_prr){
		.recover_fs = max_u32(c->snd_nxt - c->snd_una - c->sacked_bytes + acked->delivered, 1)};
}

static void leave(struct tcp_conn *c)
{
	if (c->recovery == TCP_RECOVERY_FAST)
		c->cc->recovered(c);
	c->recovery = TCP_RECOVERY_NONE;
	c->frto = 0;
	c->force_resend = false;
	c->dup_bytes = 0;
	c->dup_acks = 0;
}

/* RFC 9937 section 6.2. lost: this acknowledgement told of more losses. */
static void reduce_rate(struct tcp_conn *c, const struct tcp_acked *acked, bool lost)
{
	struct tcp_prr *p = &c->prr;
	uint64_t out;

	if (!acked->delivered)
		return;
	p->delivered += acked->delivered;
	if (c->in_flight > c->ssthresh) {
		uint64_t due = ((uint64_t)p->delivered * c->ssthresh + p->recover_fs - 1) / p->recover_fs;
		out = due > p->out ? due - p->out : 0;
	} else {
		out = max_u32(p->delivered > p->out ? p->delivered - p->out : 0, acked->delivered);
		if (acked->bytes && !lost)
			out += c->mss;
		out = min_u64(out, (uint64_t)c->ssthresh - c->in_flight);
	}
	/* The first retransmission is not held up. */
	if (p->out == 0)
		out = max_u64(out, (uint64_t)c->mss);
	c->cwnd = (uint32_t)min_u64(c->in_flight + out, 1u << 30);
}

/* The echo shows that the first transmission of what was sent again has arrived. */
static bool echo_of_first(const struct tcp_conn *c, const struct tcp_acked *acked)
{
	return acked->resent_us && acked->has_ts_ecr &&
	       seq_lt(acked->ts_ecr, tcp_timestamp_at(c, acked->resent_us));
}

/* RFC 5682 step 2, the first acknowledgement after a timeout: what was sent again has arrived, new data goes
 * out, and the next one will tell. Where none can, timestamps may tell at once (its appendix A, RFC 3522). */
static bool spurious_at_first(struct tcp_conn *c, const struct tcp_acked *acked, bool duplicate)
{
	const struct tcp_segment *first = tcp_segment_first(c);
	bool sendable = c->unsent && tcp_window_room(c, c->unsent) == c->unsent->len;

	if (!acked->bytes) {
		if (duplicate && !c->sack)
			c->frto = 0;
		return false;
	}
	/* Not all of it: no sign of anything (step 2a). */
	bool part = first && first->resent && !first->lost && !c->sack;
	c->frto = sendable && !part ? 2 : 0;
	return !sendable && echo_of_first(c, acked);
}

/* Step 3, the second one: what was in flight when the timer fired and arrives without being sent again proves
 * that the timer was early, unless what went out since has arrived as well. */
static bool spurious_at_second(struct tcp_conn *c, const struct tcp_acked *acked, bool duplicate)
{
	if (!acked->segments && !duplicate)
		return false;
	c->frto = 0;
	return acked->original && !acked->beyond && (c->sack || acked->bytes);
}

static void timeout_judge(struct tcp_conn *c, const struct tcp_acked *acked, bool duplicate)
{
	bool spurious = c->frto == 1   ? spurious_at_first(c, acked, duplicate)
			: c->frto == 2 ? spurious_at_second(c, acked, duplicate)
				       : false;

	if (spurious) {
		COUNT(c->stack, tcp_spurious_rto);
		if (acked->sent_us)
			tcp_rack_original(c, acked);
		undo(c);
		c->recover = c->snd_una; /* duplicates tell of losses again */
	}
	if (c->recovery == TCP_RECOVERY_RTO)
		tcp_output_want(c);
}

static void sack_ack(struct tcp_conn *c, const struct tcp_in *in, const struct tcp_acked *acked, bool left)
{
	uint32_t lost_before = c->lost_count;

	/* Nothing is missing, nothing was sent twice: what nearly every acknowledgement finds. */
	if (c->recovery == TCP_RECOVERY_NONE && !c->sacked_count && !c->tlp_out && !acked->dsack && !left)
		return;
	tcp_tlp_acked(c, in, acked);
	tcp_rack_round(c, acked->dsack, left);
	if (acked->all_duplicate) {
		COUNT(c->stack, tcp_spurious_recovery);
		undo(c);
	}
	if (!acked->segments && c->recovery == TCP_RECOVERY_NONE)
		return;
	uint32_t later_us = tcp_rack_detect(c);
	bool lost = c->lost_count > lost_before && !tcp_pmtu_probe_alone_lost(c);
	if (lost && c->recovery == TCP_RECOVERY_NONE) {
		COUNT(c->stack, tcp_sack_recovery);
		fast_enter(c, acked);
	}
	if (c->recovery == TCP_RECOVERY_FAST)
		reduce_rate(c, acked, lost);
	tcp_reorder_arm(c, later_us);
	tcp_output_want(c);
}

/* Without SACK: a segment has left the network, another may enter it. */
static void duplicate_ack(struct tcp_conn *c, const struct tcp_acked *acked)
{
	if (c->dup_acks < UINT8_MAX)
		c->dup_acks++;
	if (c->recovery == TCP_RECOVERY_FAST || c->dup_acks < TCP_DUP_ACKS) {
		c->dup_bytes = min_u32(c->dup_bytes + c->mss, c->in_flight);
	} else if (c->dup_acks == TCP_DUP_ACKS && c->recovery == TCP_RECOVERY_NONE &&
		   seq_lt(c->recover, c->snd_una)) {
		tcp_segment_mark_lost(c, tcp_segment_first(c));
		if (!tcp_pmtu_probe_alone_lost(c)) {
			fast_enter(c, acked);
			c->cwnd = c->ssthresh;
		}
		c->dup_bytes = min_u32((uint32_t)TCP_DUP_ACKS * c->mss, c->in_flight);
		c->force_resend = true;
	}
	tcp_output_want(c);
}

/* Without SACK: the next segment is lost as well. What the ACK covers had been counted as having left, but
 * for the resent one. */
static void partial_ack(struct tcp_conn *c, const struct tcp_acked *acked)
{
	uint32_t counted = acked->bytes > c->mss ? acked->bytes - c->mss : 0;

	c->dup_bytes -= min_u32(c->dup_bytes, counted);
	tcp_segment_mark_lost(c, tcp_segment_first(c));
	c->force_resend = true;
}

/* The peer acknowledges up to something that it said to have: it has thrown it away (RFC 2018 section 8). */
static void reneging_check(struct tcp_conn *c)
{
	struct tcp_segment *first = tcp_segment_first(c);

	if (!first || !first->sacked)
		return;
	COUNT(c->stack, tcp_sack_reneged);
	tcp_segments_unsack(c);
}

void tcp_recovery_ack(
	struct tcp_conn *c, const struct tcp_in *in, const struct tcp_acked *acked, bool duplicate)
{
	bool left = c->recovery != TCP_RECOVERY_NONE && !seq_lt(c->snd_una, c->recover);

	reneging_check(c);
	if (c->recovery == TCP_RECOVERY_RTO && (!left || c->frto == 2))
		timeout_judge(c, acked, duplicate);
	if (left)
		leave(c);
	if (c->sack)
		sack_ack(c, in, acked, left);
	else if (duplicate)
		duplicate_ack(c, acked);
	else if (acked->bytes && c->recovery == TCP_RECOVERY_FAST)
		partial_ack(c, acked);
	else if (acked->bytes && c->recovery == TCP_RECOVERY_NONE)
		c->dup_bytes = 0;
}

void tcp_recovery_reorder_fire(struct tcp_conn *c)
{
	static const struct tcp_acked nothing;
	uint32_t lost_before = c->lost_count, later_us = tcp_rack_detect(c);

	if (c->lost_count > lost_before && c->recovery == TCP_RECOVERY_NONE &&
		!tcp_pmtu_probe_alone_lost(c)) {
		COUNT(c->stack, tcp_sack_recovery);
		fast_enter(c, &nothing);
		/* No acknowledgement paces this first one. */
		c->cwnd = c->in_flight + c->mss;
	}
	tcp_rexmt_schedule(c);
	tcp_reorder_arm(c, later_us);
	tcp_output_want(c);
}

void tcp_recovery_timeout(struct tcp_conn *c)
{
	struct tcp_segment *first = tcp_segment_first(c);
	bool resent = first->resent, again = first->timed_out,
	     fresh = !resent && c->recovery == TCP_RECOVERY_NONE;

	COUNT(c->stack, tcp_rto);
	c->timeouts++;
	tcp_pmtu_timeout(c);
	if (c->state >= TCP_ESTABLISHED) {
		reneging_check(c);
		tcp_segments_unsack(c); /* RFC 2018 section 5.1 */
		c->cc->timeout(c, again);
		tcp_ecn_reduced(c);
		if (!again)
			undo_begin(c);
		c->recovery = TCP_RECOVERY_RTO;
		c->frto = fresh;
		c->recover = c->snd_nxt; /* RFC 6582 section 4: duplicates of before say nothing new */
	}
	first->timed_out = true;
	c->dup_acks = 0;
	c->tlp_out = false;
	if (c->sack)
		tcp_rack_timeout(c);
	else
		tcp_segments_mark_lost(c, UINT64_MAX);
	c->force_resend = true;
	tcp_output_want(c);
}
