/* SPDX-License-Identifier: Apache-2.0 */
/* SYN cookies: a request is held by nobody, its facts travel in the number and the timestamp of our SYN and
 * come back with the peer's ACK (RFC 4987 section 3.6). The number is, from the top: 27 bits of a keyed hash
 * over the two ends, the peer's number and the other two; 2 bits of the time; 3 bits for the peer's MSS. The
 * timestamp's low bits hold what needs a peer with timestamps anyway; without one there is no window scale.
 */
#include "tcpstack/tcp_impl.h"

enum {
	MSS_BITS = 3,
	TIME_BITS = 2,
	LOW_BITS = MSS_BITS + TIME_BITS,
	TS_BITS = 6,
	TS_WSCALE = 15, /* four bits; this value: none */
	TS_SACK = 16,
	TS_ECN = 32,
};

/* What peers have, over IPv4 and IPv6: plain and jumbo links, tunnels, the least. */
static const uint16_t mss_table[1 << MSS_BITS] = {TCP_MSS_MIN, 536, 1220, 1360, 1440, 1460, 8940, 8960};

static unsigned mss_index(uint16_t mss)
{
	unsigned i = (1 << MSS_BITS) - 1;

	while (i && mss_table[i] > mss)
		i--;
	return i;
}

static uint32_t cookie_time(const struct stack *s)
{
	return (uint32_t)(s->now_us / TCP_COOKIE_STEP_US);
}

static uint32_t cookie(
	const struct stack *s, const struct tcp_tuple *t, uint32_t irs, uint32_t time, unsigned mss)
{
	uint32_t low = (time & ((1 << TIME_BITS) - 1)) << MSS_BITS | mss;
	struct {
		struct ip_addr laddr, raddr;
		uint16_t lport, rport;
		uint32_t irs, time, low, purpose, zero;
	} what = {t->laddr, t->raddr, t->lport, t->rport, irs, time, low, TCP_HASH_COOKIE, 0};
	_Static_assert(sizeof(what) == 56, "no hole is hashed");

	return (uint32_t)siphash(&s->config.key, &what, sizeof(what)) << LOW_BITS | low;
}

/* A timestamp of the last 64 ms whose low bits are the options: never one of the future, or the connection's
 * next ones would look old (RFC 7323 section 5.3). */
static uint32_t timestamp_with(uint32_t now, uint32_t bits)
{
	uint32_t v = (now & ~((1u << TS_BITS) - 1)) | bits;

	return seq_lt(now, v) ? v - (1u << TS_BITS) : v;
}

static uint32_t ts_bits(const struct tcp_syn_options *peer)
{
	return (peer->has_wscale ? peer->wscale : TS_WSCALE) | (peer->sack_permitted ? TS_SACK : 0) |
	       (peer->ecn ? TS_ECN : 0);
}

void tcp_cookie_send(struct stack *s, struct tcp_listener *l, const struct tcp_in *in)
{
	struct tcp_tuple t = tcp_in_tuple(in);
	struct tcp_syn_options peer = tcp_syn_options_of(s, &in->options, &in->src);
	peer.ecn = peer.has_timestamp && tcp_ecn_asked(l->options.ecn, in->flags);
	uint32_t iss = cookie(s, &t, in->seq, cookie_time(s), mss_index(peer.mss));
	uint32_t now = tcp_clock_ms(s) + tcp_ts_offset(s, &t);
	struct tcp_options o = {
		.has_mss = true,
		.mss = tcp_own_mss(s, &t.raddr),
		.has_timestamp = peer.has_timestamp,
		.ts_val = timestamp_with(now, ts_bits(&peer)),
		.ts_ecr = peer.ts_val,
		.has_wscale = peer.has_timestamp && peer.has_wscale,
		.wscale = tcp_own_wscale(s),
		.has_sack_permitted = peer.has_timestamp && peer.sack_permitted,
	};
	uint16_t window = (uint16_t)min_u32(s->config.rx_buffer_bytes, (uint32_t)UINT16_MAX);

	uint8_t flags = TCP_SYN | TCP_ACK | (peer.ecn ? TCP_ECE : 0);
	if (tcp_send_bare(s, &t, iss, in->seq + 1, flags, window, &o))
		return;
	COUNT(s, tcp_cookie_sent);
	l->cookie_until_us = s->now_us + TCP_COOKIE_VALID_US;
}

static struct tcp_syn_options options_back(const struct tcp_in *in, unsigned mss)
{
	uint32_t bits = in->options.ts_ecr & ((1u << TS_BITS) - 1);
	struct tcp_syn_options peer = {
		.mss = mss_table[mss],
		.has_timestamp = in->options.has_timestamp,
		.ts_val = in->options.ts_val,
	};

	if (!peer.has_timestamp)
		return peer;
	peer.sack_permitted = bits & TS_SACK;
	peer.ecn = bits & TS_ECN;
	peer.has_wscale = (bits & 15) != TS_WSCALE;
	peer.wscale = peer.has_wscale ? bits & 15 : 0;
	return peer;
}

bool tcp_cookie_input(struct stack *s, struct tcp_listener *l, struct tcp_in *in)
{
	struct tcp_tuple t = tcp_in_tuple(in);
	uint32_t iss = in->ack - 1, irs = in->seq - 1, now = cookie_time(s);
	uint32_t age = (now - (iss >> MSS_BITS)) & ((1 << TIME_BITS) - 1);
	unsigned mss = iss & ((1 << MSS_BITS) - 1);

	if (s->now_us >= l->cookie_until_us)
		return false;
	if (age > 1 || cookie(s, &t, irs, now - age, mss) != iss) {
		COUNT(s, tcp_cookie_bad);
		return false;
	}
	/* Without a free connection the ACK counts as lost: the peer's data brings the cookie again. */
	if (!tcp_conn_room(s))
		return true;
	struct tcp_opening o = {
		.listener = l,
		.irs = irs,
		.iss = iss,
		.peer_wnd = in->wnd,
		.peer = options_back(in, mss),
		.ts_recent_us = s->now_us,
	};
	COUNT(s, tcp_cookie_accepted);
	tcp_opening_accept(s, &t, &o, in);
	return true;
}
