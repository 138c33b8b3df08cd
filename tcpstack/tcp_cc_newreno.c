/* SPDX-License-Identifier: Apache-2.0 */
/* NewReno: RFC 5681 with the initial window of RFC 6928 and the recovery of RFC 6582. */
#include "tcpstack/tcp_impl.h"

static uint32_t initial_window(const struct tcp_conn *c)
{
	/* RFC 6928 section 2 */
	return min_u32(10u * c->mss, max_u32(2u * c->mss, 14600u));
}

static uint32_t half_flight(const struct tcp_conn *c)
{
	/* RFC 5681 equation 4 */
	return max_u32(c->in_flight / 2, 2u * c->mss);
}

static void newreno_init(struct tcp_conn *c, int syn_lost)
{
	c->ssthresh = UINT32_MAX;
	c->cwnd = syn_lost ? c->mss : initial_window(c); /* RFC 5681 section 3.1 */
	c->cwnd_acked = 0;
}

static void newreno_acked(struct tcp_conn *c, uint32_t bytes)
{
	uint32_t mss = c->mss;

	if (c->cwnd < c->ssthresh) {
		/* RFC 5681 equation 2, with RFC 3465's L of 2 for ACKs that cover much. */
		c->cwnd += min_u32(bytes, 2 * mss);
	} else {
		/* Appropriate byte counting (RFC 3465 section 2.1): a segment more a window's worth of ACKs.
		 */
		c->cwnd_acked += bytes;
		if (c->cwnd_acked >= c->cwnd) {
			c->cwnd_acked -= c->cwnd;
			c->cwnd += mss;
		}
	}
	c->cwnd = min_u32(c->cwnd, 1u << 30);
}

static void newreno_loss(struct tcp_conn *c)
{
	c->ssthresh = half_flight(c);
	c->cwnd = c->ssthresh;
	c->cwnd_acked = 0;
}

static void newreno_recovered(struct tcp_conn *c)
{
	/* RFC 6582 section 3.2 step 3, the first way: no burst after a whole window's ACK. */
	c->cwnd = min_u32(c->ssthresh, max_u32(c->in_flight, c->mss) + c->mss);
}

static void newreno_timeout(struct tcp_conn *c, int again)
{
	if (!again)
		c->ssthresh = half_flight(c);
	c->cwnd = c->mss;
	c->cwnd_acked = 0;
}

static void newreno_idle(struct tcp_conn *c)
{
	/* RFC 5681 section 4.1 */
	c->cwnd = min_u32(c->cwnd, initial_window(c));
}

const struct tcp_cc tcp_cc_newreno = {
	.name = "newreno",
	.init = newreno_init,
	.acked = newreno_acked,
	.loss = newreno_loss,
	.recovered = newreno_recovered,
	.timeout = newreno_timeout,
	.idle = newreno_idle,
};
