/* SPDX-License-Identifier: Apache-2.0 */
/* NewReno: RFC 5681 with appropriate byte counting (RFC 3465). */
#include "tcpstack/tcp_impl.h"

enum { SLOW_START_SEGMENTS = 2 }; /* RFC 3465's L */

static uint32_t newreno_reduced(const struct tcp_conn *c)
{
	return tcp_cc_flight(c) / 2;
}

static uint32_t half_flight(const struct tcp_conn *c)
{
	/* RFC 5681 equation 4 */
	return max_u32(newreno_reduced(c), 2u * c->mss);
}

static void newreno_init(struct tcp_conn *c, bool syn_lost)
{
	c->ssthresh = UINT32_MAX;
	c->cwnd = syn_lost ? c->mss : tcp_cc_initial_window(c);
}

static void newreno_acked(struct tcp_conn *c, const struct tcp_cc_ack *a)
{
	uint32_t bytes = a->bytes, *gathered = &c->cc_state.newreno.acked;

	if (!a->cwnd_limited)
		return;
	if (c->cwnd < c->ssthresh)
		bytes = tcp_cc_slow_start(c, bytes, SLOW_START_SEGMENTS);
	if (c->cwnd < c->ssthresh)
		return;
	/* RFC 3465 section 2.1: a segment more a window's worth of ACKs; what one of them covers beyond a
	 * window was sent more than a round trip ago. */
	*gathered += min_u32(bytes, c->cwnd);
	if (*gathered >= c->cwnd) {
		*gathered -= c->cwnd;
		tcp_cc_grow(c, c->mss);
	}
}

static void newreno_loss(struct tcp_conn *c)
{
	tcp_cc_remember(c);
	c->ssthresh = half_flight(c);
	c->cc_state.newreno.acked = 0;
}

static void newreno_timeout(struct tcp_conn *c, bool again)
{
	if (!again) {
		tcp_cc_remember(c);
		c->ssthresh = half_flight(c);
	}
	tcp_cc_timed_out(c);
	c->cc_state.newreno.acked = 0;
}

static void newreno_undo(struct tcp_conn *c)
{
	tcp_cc_restore(c);
}

const struct tcp_cc tcp_cc_newreno = {
	.name = "newreno",
	.init = newreno_init,
	.acked = newreno_acked,
	.reduced = newreno_reduced,
	.loss = newreno_loss,
	.recovered = tcp_cc_recovered,
	.timeout = newreno_timeout,
	.undo = newreno_undo,
	.idle = tcp_cc_idle,
};
