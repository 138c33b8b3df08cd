/* SPDX-License-Identifier: Apache-2.0 */
/* Round-trip time and retransmission timeout: RFC 6298, in microseconds. */
#include "tcpstack/tcp_impl.h"

enum { CLOCK_GRANULARITY_US = TIMER_TICK_US };

static void rto_clamp(struct tcp_conn *c, uint64_t rto_us)
{
	uint64_t min = c->rto_us_min, max = c->stack->config.rto_us_max;

	c->rto_us = (uint32_t)min_u64(max_u64(rto_us, min), max);
}

void tcp_rtt_init(struct tcp_conn *c)
{
	c->srtt_us = 0;
	c->rttvar_us = 0;
	c->backoff = 0;
	c->rto_us = c->stack->config.rto_us_initial; /* (2.1) */
}

void tcp_rtt_sample(struct tcp_conn *c, uint32_t rtt_us)
{
	if (rtt_us == 0)
		rtt_us = 1;
	c->tlp_unsampled = false;
	if (c->srtt_us == 0) { /* (2.2) */
		c->srtt_us = rtt_us;
		c->rttvar_us = rtt_us / 2;
	} else { /* (2.3) */
		uint32_t delta = c->srtt_us > rtt_us ? c->srtt_us - rtt_us : rtt_us - c->srtt_us;
		c->rttvar_us = (uint32_t)((3ull * c->rttvar_us + delta) / 4);
		c->srtt_us = (uint32_t)((7ull * c->srtt_us + rtt_us) / 8);
	}
	/* A sample an ACK soon leaves no variance, and beyond rto_us_min nothing but the round trip: a
	 * quarter of that is left for a path that changes (RFC 7323 appendix G's concern). */
	uint64_t spread_us = max_u64(4ull * c->rttvar_us, c->srtt_us / 4);
	rto_clamp(c, c->srtt_us + max_u64(spread_us, (uint64_t)CLOCK_GRANULARITY_US));
}

uint64_t tcp_rto_backed_off_us(const struct tcp_conn *c)
{
	uint64_t rto = (uint64_t)c->rto_us << min_u64(c->backoff, 20);

	return min_u64(rto, (uint64_t)c->stack->config.rto_us_max);
}
