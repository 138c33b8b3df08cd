/* SPDX-License-Identifier: Apache-2.0 */
/* What congestion control algorithms have in common. */
#include "tcpstack/tcp_impl.h"

const struct tcp_cc *tcp_cc_by_name(const char *name)
{
	static const struct tcp_cc *const all[] = {&tcp_cc_cubic, &tcp_cc_newreno, &tcp_cc_none};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i]->name, name))
			return all[i];
	return NULL;
}

uint32_t tcp_cc_initial_window(const struct tcp_conn *c)
{
	/* RFC 6928 section 2: ten segments, or 14600 bytes of larger ones, but two at least. */
	uint32_t segments = c->stack->config.initial_window_segments;

	return min_u32(segments * c->mss, max_u32(2u * c->mss, segments * 1460));
}

uint32_t tcp_cc_flight(const struct tcp_conn *c)
{
	return min_u32(c->snd_nxt - c->snd_una, c->cwnd);
}

void tcp_cc_grow(struct tcp_conn *c, uint32_t bytes)
{
	c->cwnd = (uint32_t)min_u64((uint64_t)c->cwnd + bytes, TCP_CWND_MAX);
}

uint32_t tcp_cc_slow_start(struct tcp_conn *c, uint32_t bytes, uint32_t segments_max)
{
	uint32_t segments = c->cc_prior.timed_out ? 1 : segments_max, room = c->ssthresh - c->cwnd;
	uint32_t counted = min_u32(bytes, segments * c->mss), step = min_u32(counted, room);

	tcp_cc_grow(c, step);
	if (step < room)
		return 0;
	c->cc_prior.timed_out = false;
	return counted - step;
}

void tcp_cc_remember(struct tcp_conn *c)
{
	c->cc_prior = (struct tcp_cc_prior){.valid = true, .cwnd = c->cwnd, .ssthresh = c->ssthresh};
}

void tcp_cc_timed_out(struct tcp_conn *c)
{
	c->cc_prior.timed_out = true;
	c->cwnd = c->mss;
}

bool tcp_cc_restore(struct tcp_conn *c)
{
	if (!c->cc_prior.valid)
		return false;
	c->cc_prior.valid = c->cc_prior.timed_out = false;
	if (c->cwnd >= c->cc_prior.cwnd)
		return false;
	c->cwnd = max_u32(c->cwnd, c->cc_prior.cwnd);
	c->ssthresh = c->cc_prior.ssthresh;
	return true;
}

void tcp_cc_recovered(struct tcp_conn *c)
{
	/* RFC 6582 section 3.2 step 3: ssthresh, but no burst beyond what a connection may start with when
	 * one ACK covered the whole window. Slow start covers the rest. */
	c->cwnd = min_u32(c->ssthresh, c->in_flight + tcp_cc_initial_window(c));
}

void tcp_cc_idle(struct tcp_conn *c, uint64_t idle_us)
{
	/* RFC 5681 section 4.1: the restart window; RFC 2861: what is known of the path is kept in ssthresh,
	 * so that slow start leads back most of the way. */
	c->ssthresh = max_u32(c->ssthresh, c->cwnd / 4 * 3);
	c->cwnd = min_u32(c->cwnd, tcp_cc_initial_window(c));
}
