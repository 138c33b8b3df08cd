/* SPDX-License-Identifier: Apache-2.0 */
/* Loss detection by time: RFC 8985 section 6. A segment is lost when one that was sent sufficiently later has
 * arrived; how much later is the reordering window's to say. The flight list is in order of sending, so that
 * what is lost stands at its head. */
#include "tcpstack/tcp_impl.h"

enum {
	DUP_THRESHOLD = 3,
	REO_PERSIST = 16, /* recoveries that a widened window lasts */
	MIN_RTT_LIFE_US = 300000000,
};

/* Section 5.2: of two segments sent at one time the higher one counts as the later. */
static bool sent_after(uint64_t a_us, uint32_t a_end, uint64_t b_us, uint32_t b_end)
{
	return a_us > b_us || (a_us == b_us && seq_lt(b_end, a_end));
}

void tcp_rack_init(struct tcp_conn *c)
{
	c->rack = (struct tcp_rack){.reo_mult = 1, .fack = c->iss, .end = c->iss};
}

void tcp_rack_min_rtt(struct tcp_conn *c, uint32_t rtt_us)
{
	struct tcp_rack *r = &c->rack;

	if (r->min_rtt_us && rtt_us > r->min_rtt_us && c->stack->now_us - r->min_rtt_at_us < MIN_RTT_LIFE_US)
		return;
	r->min_rtt_us = max_u32(rtt_us, 1);
	r->min_rtt_at_us = c->stack->now_us;
}

/* Whether what arrived of a segment that was sent twice was its first transmission (step 2). */
static bool was_original(const struct tcp_conn *c, const struct tcp_segment *g, const struct tcp_acked *acked)
{
	uint64_t now_us = c->stack->now_us;

	if (acked->has_ts_ecr && seq_lt(acked->ts_ecr, tcp_timestamp_at(c, g->sent_us)))
		return true;
	return now_us - g->sent_us < c->rack.min_rtt_us;
}

void tcp_rack_delivered(struct tcp_conn *c, const struct tcp_segment *g, const struct tcp_acked *acked)
{
	struct tcp_rack *r = &c->rack;
	uint32_t end = tcp_segment_end(g);

	/* step 3 */
	if (seq_lt(r->fack, end)) {
		r->fack = end;
	} else if (seq_lt(end, r->fack) && !g->resent) {
		r->reordering_seen = true;
		COUNT(c->stack, tcp_reordering);
	}
	/* step 2 */
	if (g->resent && was_original(c, g, acked))
		return;
	if (!sent_after(g->sent_us, end, r->sent_us, r->end))
		return;
	r->sent_us = g->sent_us;
	r->end = end;
	r->rtt_us = (uint32_t)min_u64(c->stack->now_us - g->sent_us, 1u << 30);
}

void tcp_rack_original(struct tcp_conn *c, const struct tcp_acked *acked)
{
	c->rack.sent_us = acked->sent_us;
	c->rack.end = c->rack.fack;
	c->rack.rtt_us = (uint32_t)min_u64(c->stack->now_us - acked->sent_us, 1u << 30);
}

void tcp_rack_round(struct tcp_conn *c, bool dsack, bool left)
{
	struct tcp_rack *r = &c->rack;

	if (r->in_dsack_round && seq_leq(r->dsack_round, c->snd_una))
		r->in_dsack_round = false;
	if (dsack && !r->in_dsack_round) {
		r->in_dsack_round = true;
		r->dsack_round = c->snd_nxt;
		r->reo_persist = REO_PERSIST;
		if (r->reo_mult < UINT8_MAX)
			r->reo_mult++;
	} else if (left && r->reo_persist && --r->reo_persist == 0) {
		r->reo_mult = 1;
	}
}

uint32_t tcp_rack_reo_wnd_us(const struct tcp_conn *c)
{
	const struct tcp_rack *r = &c->rack;

	/* Step 4: without reordering three segments that arrived are proof enough (RFC 5681's threshold). */
	if (!r->reordering_seen && (c->recovery != TCP_RECOVERY_NONE || c->sacked_count >= DUP_THRESHOLD))
		return 0;
	return (uint32_t)min_u64((uint64_t)r->reo_mult * r->min_rtt_us / 4, (uint64_t)c->srtt_us);
}

/* Section 6.3 */
void tcp_rack_timeout(struct tcp_conn *c)
{
	uint64_t wait_us = (uint64_t)c->rack.rtt_us + tcp_rack_reo_wnd_us(c);

	tcp_segments_mark_lost(c, c->stack->now_us - wait_us);
}

uint32_t tcp_rack_detect(struct tcp_conn *c)
{
	const struct tcp_rack *r = &c->rack;
	uint64_t wait_us = (uint64_t)r->rtt_us + tcp_rack_reo_wnd_us(c), now_us = c->stack->now_us;
	struct tcp_segment *g, *next;

	cds_list_for_each_entry_safe (g, next, &c->flight, sent_link) {
		if (!sent_after(r->sent_us, r->end, g->sent_us, tcp_segment_end(g)))
			break;
		/* Those behind it were sent later still. */
		if (now_us < g->sent_us + wait_us)
			return (uint32_t)min_u64(g->sent_us + wait_us - now_us, 1u << 30);
		COUNT(c->stack, tcp_rack_lost);
		tcp_segment_mark_lost(c, g);
	}
	return 0;
}
