/* SPDX-License-Identifier: Apache-2.0 */
/* Path MTU discovery: RFC 1191 and RFC 8201 where routers tell, RFC 4821 and RFC 8899 where they are silent.
 *
 * A router's word is taken when it is about something in flight that was larger than it says (RFC 5927
 * section 7). Two timeouts in a row of a segment that need not fit are taken for a black hole: the next lower
 * step is tried. Ten minutes after the last reduction, and two after it went well, one segment is made
 * larger: when it arrives, so large they all become. Lost ones are cut to the new size when they leave again.
 *
 * IPv4 packets carry DF, but where a router tells of less than 576 bytes: then we stay at 576 and let it cut
 * them. IPv6 has no path below 1280. */
#include "tcpstack/tcp_impl.h"

enum {
	PMTU_V4_FLOOR = 576,
	PMTU_V4_LEAST = 68,
	PROBE_GAIN_MIN = 32,
	/* In a row, before a black hole is suspected; paths that take less than 1280 bytes are rare. */
	TIMEOUTS = 2,
	TIMEOUTS_SMALL = 4,
};

static uint32_t headers(const struct tcp_conn *c)
{
	return ip_header_bytes(&c->tuple.raddr) + TCP_HEADER_BYTES +
	       (c->timestamps ? TCP_TIMESTAMP_BYTES : 0u);
}

static uint32_t mss_of(const struct tcp_conn *c, uint32_t mtu)
{
	uint32_t options = c->timestamps ? TCP_TIMESTAMP_BYTES : 0;

	return min_u32(c->mss_peer - options, mtu - headers(c));
}

static uint16_t floor_of(const struct tcp_conn *c)
{
	return ip_is_v4(&c->tuple.raddr) ? PMTU_V4_FLOOR : IPV6_MTU_MIN;
}

void tcp_pmtu_init(struct tcp_conn *c)
{
	uint16_t known = pmtu_get(c->stack, &c->tuple.raddr), least = floor_of(c);

	c->may_fragment = known < least;
	c->path_mtu = known < least ? least : known;
	c->mss = (uint16_t)mss_of(c, c->path_mtu);
	c->pmtu_seen = c->stack->pmtu_lowered;
	c->pmtu_raise_us = c->stack->now_us + PMTU_US;
}

/* What is in flight and too large will not arrive: it is sent again, in pieces, and says nothing about
 * congestion (RFC 8201 section 5.4). */
static void resend_large(struct tcp_conn *c)
{
	struct tcp_segment *g;

	cds_list_for_each_entry (g, &c->segments, link) {
		if (!g->sent)
			break;
		if (g->len > c->mss)
			tcp_segment_mark_lost(c, g);
	}
	c->force_resend |= c->lost_count != 0;
	tcp_output_want(c);
}

static void lower(struct tcp_conn *c, uint32_t mtu)
{
	uint32_t before = c->mss;
	uint16_t least = floor_of(c);

	if (mtu < least)
		c->may_fragment = true;
	c->path_mtu = mtu < least ? least : (uint16_t)mtu;
	c->mss = (uint16_t)mss_of(c, c->path_mtu);
	/* An initial window is so many segments, not bytes (RFC 5681 section 3.1); later ones stay as they
	 * are (RFC 8201 section 5.4). */
	if (!c->delivered_bytes)
		c->cwnd = max_u32((uint32_t)((uint64_t)c->cwnd * c->mss / before), c->mss);
	c->pmtu_probe = 0;
	c->pmtu_raise_us = c->stack->now_us + PMTU_US;
}

/* RFC 8201 section 5.2: every connection on the path learns, but sends again only what it knows to be lost.
 */
void tcp_pmtu_refresh(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (c->pmtu_seen == s->pmtu_lowered)
		return;
	c->pmtu_seen = s->pmtu_lowered;
	uint32_t known = pmtu_get(s, &c->tuple.raddr);
	if (known < c->path_mtu && !c->may_fragment)
		lower(c, known);
}

/* Routers of before RFC 1191 tell no size: the next one that links have (its section 7). */
static uint32_t plateau_below(uint32_t total)
{
	static const uint16_t plateau[] = {8166, 4352, 2002, 1492, 1006};

	for (unsigned i = 0; i < sizeof(plateau) / sizeof(plateau[0]); i++)
		if (plateau[i] < total)
			return plateau[i];
	return PMTU_V4_FLOOR;
}

void tcp_pmtu_told(struct tcp_conn *c, const struct tcp_icmp *e)
{
	struct stack *s = c->stack;
	bool v4 = ip_is_v4(&c->tuple.raddr);
	uint32_t mtu = e->mtu ? e->mtu : plateau_below(e->total);

	/* The packet must not have fit; a path of IPv6 takes 1280 (RFC 8201 section 4). */
	if (mtu < (v4 ? PMTU_V4_LEAST : IPV6_MTU_MIN) || mtu >= e->total) {
		COUNT(s, tcp_pmtu_ignored);
		return;
	}
	tcp_pmtu_refresh(c); /* the least counts, RFC 4821 section 5.2 */
	if (mtu >= (c->may_fragment ? PMTU_V4_LEAST : c->path_mtu)) {
		/* Nothing new of the path, but what was larger is gone: a probe, or what left before others
		 * had learnt it. */
		COUNT(s, tcp_pmtu_ignored);
		resend_large(c);
		return;
	}
	COUNT(s, tcp_pmtu_lowered);
	pmtu_set(s, &c->tuple.raddr, (uint16_t)mtu);
	lower(c, mtu);
	resend_large(c);
	if (c->may_fragment)
		tcp_segments_mark_lost(c, UINT64_MAX);
}

void tcp_pmtu_timeout(struct tcp_conn *c)
{
	static const uint16_t step[] = {1280, 1024, PMTU_V4_FLOOR};
	struct tcp_segment *g = tcp_segment_first(c);
	uint16_t least = floor_of(c), mtu = least;

	uint32_t bytes = g->len + headers(c);

	/* Not the timer's doublings: what arrives behind the first segment, and is selectively acknowledged,
	 * ends those. */
	if (c->pmtu_vain_una != c->snd_una)
		c->pmtu_vain = 0;
	c->pmtu_vain_una = c->snd_una;
	c->pmtu_vain += c->pmtu_vain < UINT8_MAX;
	if (c->state < TCP_ESTABLISHED || g->len <= mss_of(c, least) || c->path_mtu <= least)
		return;
	if (c->pmtu_vain < (bytes > IPV6_MTU_MIN ? TIMEOUTS : TIMEOUTS_SMALL))
		return;
	/* A full segment that the peer says to have shows that it is not the size. */
	if (c->pmtu_full_us >= c->progress_us)
		return;
	for (unsigned i = 0; i < sizeof(step) / sizeof(step[0]); i++)
		if (step[i] < c->path_mtu && mss_of(c, step[i]) < g->len) {
			mtu = step[i] > least ? step[i] : least;
			break;
		}
	if (mss_of(c, mtu) >= c->mss)
		return;
	COUNT(c->stack, tcp_pmtu_black_hole);
	c->pmtu_untold = true; /* the cache learns of it when something arrives */
	lower(c, mtu);
	resend_large(c);
}

void tcp_pmtu_delivered(struct tcp_conn *c, const struct tcp_segment *g)
{
	if (g->len >= c->mss)
		c->pmtu_full_us = g->sent_us;
}

void tcp_pmtu_acked(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (c->pmtu_untold && !c->backoff) {
		c->pmtu_untold = false;
		pmtu_set(s, &c->tuple.raddr, c->path_mtu);
	}
	if (!c->pmtu_probe || seq_lt(c->snd_una, c->pmtu_probe_end))
		return;
	COUNT(s, tcp_pmtu_raised);
	c->path_mtu = c->pmtu_probe;
	c->mss = (uint16_t)mss_of(c, c->path_mtu);
	c->pmtu_probe = 0;
	c->pmtu_raise_us = s->now_us + PMTU_RAISED_US;
	pmtu_set(s, &c->tuple.raddr, c->path_mtu);
}

/* Moves the front of next behind g's payload. */
static void enlarge(struct tcp_conn *c, struct tcp_segment *g, struct tcp_segment *next, uint32_t n)
{
	memcpy((uint8_t *)g->m->buf_addr + g->off + g->len, (uint8_t *)next->m->buf_addr + next->off, n);
	g->len += (uint16_t)n;
	next->seq += n;
	next->off += (uint16_t)n;
	next->len -= (uint16_t)n;
}

void tcp_pmtu_probe(struct tcp_conn *c)
{
	struct stack *s = c->stack;
	struct tcp_segment *g = c->unsent, *next = g ? tcp_segment_next(c, g) : NULL;
	uint32_t link = ip_mtu(s, &c->tuple.raddr);

	/* RFC 4821 section 7.4: nor while something may be lost. */
	if (c->pmtu_probe || s->now_us < c->pmtu_raise_us || c->recovery != TCP_RECOVERY_NONE ||
		c->lost_count || c->sacked_count || c->dup_acks || c->may_fragment)
		return;
	uint32_t most = mss_of(c, link);
	if (most <
		(uint32_t)c->mss + PROBE_GAIN_MIN) { /* nothing to be gained: not asked again for a while */
		c->pmtu_raise_us = s->now_us + PMTU_US;
		return;
	}
	if (!next || g->control || next->control || g->len != c->mss || next->len < 2 * PROBE_GAIN_MIN)
		return;
	uint32_t room = g->m->buf_len - g->off - (uint32_t)g->len;
	uint32_t n = min_u32(min_u32(most - c->mss, next->len - 1u), room);
	if (n < PROBE_GAIN_MIN || tcp_window_room(c, g) < g->len ||
		(uint32_t)seq_diff(tcp_snd_edge(c), g->seq) < g->len + n)
		return;
	COUNT(s, tcp_pmtu_probes);
	enlarge(c, g, next, n);
	c->pmtu_probe = (uint16_t)(g->len + headers(c));
	c->pmtu_probe_end = tcp_segment_end(g);
}

bool tcp_pmtu_probe_alone_lost(const struct tcp_conn *c)
{
	if (!c->pmtu_probe || c->lost_count != 1)
		return false;
	const struct tcp_segment *g = cds_list_first_entry(&c->lost, struct tcp_segment, sent_link);
	return tcp_segment_end(g) == c->pmtu_probe_end && g->len > c->mss;
}

bool tcp_pmtu_fits(struct tcp_conn *c, const struct tcp_segment *g)
{
	if (g->len <= c->mss)
		return true;
	if (!c->pmtu_probe || tcp_segment_end(g) != c->pmtu_probe_end)
		return false;
	if (!g->sent)
		return true;
	/* It was lost, perhaps for its size: not tried again for a while. */
	COUNT(c->stack, tcp_pmtu_probe_lost);
	c->pmtu_probe = 0;
	c->pmtu_raise_us = c->stack->now_us + PMTU_US;
	return false;
}
