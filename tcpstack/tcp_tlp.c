/* SPDX-License-Identifier: Apache-2.0 */
/* Tail loss probes: RFC 8985 section 7. When no acknowledgement comes for what was sent last, something is
 * sent that makes the peer tell what it has, well before the retransmission timer. */
#include "tcpstack/tcp_impl.h"

enum {
	/* Peers may hold the acknowledgement of a lone segment back for so long. */
	MAX_ACK_DELAY_US = 200000,
	/* On top of two round trips: in a data centre these end before a peer's scheduler has run. */
	PTO_SLACK_US = 2000,
};

/* Section 7.3: a probe keeps the round trip that it resends for from being measured, so that the next one
 * waits for a measurement. */
static bool is_sampled(const struct tcp_conn *c)
{
	return c->srtt_us && !c->tlp_unsampled;
}

bool tcp_tlp_wanted(const struct tcp_conn *c)
{
	return c->sack && !c->tlp_out && is_sampled(c) && c->recovery == TCP_RECOVERY_NONE &&
	       !c->sacked_count && !c->lost_count && c->state >= TCP_ESTABLISHED && !list_empty(&c->flight);
}

/* One frame is on its way: a FIN rides on the data before it. */
static bool is_alone(const struct tcp_conn *c)
{
	const struct cds_list_head *first = c->flight.next, *last = c->flight.prev;
	const struct tcp_segment *g = caa_container_of(first, struct tcp_segment, sent_link);
	const struct tcp_segment *fin = caa_container_of(last, struct tcp_segment, sent_link);

	return first == last || (first->next == last && fin->control == TCP_FIN &&
					fin->seq == tcp_segment_end(g) && fin->sent_us == g->sent_us);
}

uint64_t tcp_tlp_us(const struct tcp_conn *c)
{
	return 2ull * c->srtt_us + (is_alone(c) ? MAX_ACK_DELAY_US : PTO_SLACK_US);
}

/* Section 7.3: new data where there is some, else what was sent last. */
void tcp_tlp_fire(struct tcp_conn *c)
{
	struct tcp_segment *g = c->unsent;

	if (!g || tcp_window_room(c, g) < tcp_segment_end(g) - g->seq) {
		struct cds_list_head *last = g ? g->link.prev : c->segments.prev;
		g = cds_list_entry(last, struct tcp_segment, link);
	}
	bool again = g->sent;
	if (tcp_segment_send(c, g) == 0) {
		COUNT(c->stack, tcp_tlp);
		c->tlp_out = c->tlp_unsampled = true;
		c->tlp_resent = again;
		c->tlp_end = c->snd_nxt;
	}
	tcp_rexmt_arm(c);
}

/* Section 7.4.2: whether the probe has repaired a loss, which must not pass unnoticed by congestion control.
 */
void tcp_tlp_acked(struct tcp_conn *c, const struct tcp_in *in, const struct tcp_acked *acked)
{
	if (!c->tlp_out || seq_lt(in->ack, c->tlp_end))
		return;
	if (!c->tlp_resent || (acked->dsack && acked->duplicate.end == c->tlp_end)) {
		c->tlp_out = false;
	} else if (seq_lt(c->tlp_end, in->ack)) {
		c->tlp_out = false;
		COUNT(c->stack, tcp_tlp_repaired);
		c->cc->loss(c);
		c->cwnd = min_u32(c->cwnd, c->ssthresh);
		tcp_ecn_reduced(c);
	} else if (!acked->bytes && !in->options.sack_count && !in->len) {
		c->tlp_out = false;
	}
}
