/* SPDX-License-Identifier: Apache-2.0 */
/* Explicit congestion notification: RFC 3168 section 6, with RFC 8311's words on it (its relaxations, another
 * answer to CE than to a loss and ECT on control packets, are not made use of). */
#include "tcpstack/tcp_impl.h"

enum { BOTH = TCP_ECE | TCP_CWR };

/* Section 6.1.1. A SYN that had to be sent again asks for nothing: someone on the way may not like to be
 * asked (section 6.1.1.1). */
uint8_t tcp_ecn_syn_flags(const struct tcp_conn *c)
{
	if (c->state == TCP_SYN_SENT)
		return c->ecn_mode == STACK_ECN_ON && !c->syn.resent ? BOTH : 0;
	return c->ecn ? TCP_ECE : 0;
}

bool tcp_ecn_asked(enum stack_ecn mode, uint8_t flags)
{
	return mode != STACK_ECN_OFF && (flags & BOTH) == BOTH;
}

bool tcp_ecn_agreed(const struct tcp_conn *c, uint8_t flags)
{
	if (!(flags & TCP_ACK))
		return tcp_ecn_asked(c->ecn_mode, flags);
	return c->ecn_mode == STACK_ECN_ON && !c->syn.resent && (flags & BOTH) == TCP_ECE;
}

/* Section 6.1.3: from the first mark until the sender says that it has reduced its window, every ACK echoes
 * it. A segment with both says: reduced, and marked again. */
void tcp_ecn_text(struct tcp_conn *c, const struct tcp_in *in)
{
	if (!c->ecn || !in->len)
		return;
	if (in->flags & TCP_CWR)
		c->ecn_echo = false;
	if (in->ecn != IP_ECN_CE)
		return;
	COUNT(c->stack, tcp_ecn_ce_in);
	if (!c->ecn_echo)
		tcp_ack_due(c, true);
	c->ecn_echo = true;
}

void tcp_ecn_reduced(struct tcp_conn *c)
{
	c->ecn_recover = c->snd_nxt;
	c->ecn_cwr_due = c->ecn;
}

/* Section 6.1.2: as a loss, but nothing is sent again; once a window, whatever it was reduced for. */
bool tcp_ecn_echoed(struct tcp_conn *c, const struct tcp_in *in)
{
	if (!c->ecn || !(in->flags & TCP_ECE))
		return false;
	COUNT(c->stack, tcp_ecn_ece_in);
	if (c->recovery != TCP_RECOVERY_NONE || !seq_lt(c->ecn_recover, in->ack))
		return false;
	uint32_t reduced = c->cc->reduced(c);
	c->cc->loss(c);
	/* There is no smaller window than one segment: time is what is left to give (the same section). */
	c->ecn_hold = c->cwnd <= c->mss;
	/* Down to one segment, where ssthresh ends at two (RFC 9438 section 4.6). */
	c->cwnd = min_u32(c->cwnd, max_u32(reduced, c->mss));
	tcp_ecn_reduced(c);
	return true;
}

bool tcp_ecn_held(struct tcp_conn *c)
{
	if (c->ecn_hold && !timer_armed(&c->rexmt))
		tcp_rexmt_arm(c);
	return c->ecn_hold;
}

/* Section 6.1.5 and 6.1.6: what is sent again, or beyond the peer's window, must not be marked: the peer
 * could not tell it from an attacker's. */
uint8_t tcp_ecn_data(struct tcp_conn *c, const struct tcp_segment *g, uint8_t *flags)
{
	if (!c->ecn || !g->len || g->sent || !seq_lt(g->seq, tcp_snd_edge(c)))
		return IP_ECN_NOT_ECT;
	if (c->ecn_cwr_due) {
		COUNT(c->stack, tcp_ecn_cwr_out);
		c->ecn_cwr_due = false;
		*flags |= TCP_CWR;
	}
	return IP_ECN_ECT0;
}
