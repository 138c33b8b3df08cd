/* SPDX-License-Identifier: Apache-2.0 */
/* No congestion control, for a link that joins two machines and nobody else: there is nothing to share, and
 * the peer's window alone bounds what is in flight. Losses are still found and repaired. */
#include "tcpstack/tcp_impl.h"

static void wide_open(struct tcp_conn *c)
{
	c->cwnd = c->ssthresh = TCP_CWND_MAX;
}

static void none_init(struct tcp_conn *c, bool syn_lost)
{
	wide_open(c);
}

static void none_acked(struct tcp_conn *c, const struct tcp_cc_ack *a)
{
}

static uint32_t none_reduced(const struct tcp_conn *c)
{
	return c->cwnd;
}

static void none_timeout(struct tcp_conn *c, bool again)
{
	wide_open(c);
}

static void none_idle(struct tcp_conn *c, uint64_t idle_us)
{
}

const struct tcp_cc tcp_cc_none = {
	.name = "none",
	.init = none_init,
	.acked = none_acked,
	.reduced = none_reduced,
	.loss = wide_open,
	.recovered = wide_open,
	.timeout = none_timeout,
	.undo = wide_open,
	.idle = none_idle,
};
