/* SPDX-License-Identifier: Apache-2.0 */
/* Header prediction: nearly every segment is the one that its connection waits for, and of most checks of the
 * long way (eth.c, ipv4.c, ipv6.c, tcp_input.c) nothing but a few comparisons is left then. A frame is taken
 * here only when the long way would do the same with it: everything that is unusual, or wrong, goes that way
 * and finds nothing changed. tcp_fast_test.c holds the two against each other.
 *
 * With many connections each segment finds its connection's memory cold, and a miss costs as much as a
 * hundred instructions. So a burst is looked over first, one step of the way to the connections at a time,
 * and misses overlap. */
#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"

enum {
	FRAME_BYTES_MIN = ETH_HEADER_BYTES + IPV4_HEADER_BYTES + TCP_HEADER_BYTES,
	/* The word of TCP's header with its length and flags; PSH says nothing to us. */
	WORD_PLAIN = 5 << 12 | TCP_ACK,
	WORD_TIMESTAMP = 8 << 12 | TCP_ACK,
	TIMESTAMP_HEAD = 0x0101080a, /* NOP NOP, kind 8, length 10 */
	IPV4_FRAGMENT = 0x3fff,	     /* MF or an offset */
};

/* What a frame's headers say. */
struct glance {
	struct cds_list_head *bucket; /* NULL: it goes the long way */
	struct tcp_tuple tuple;
	uint32_t ack;
	uint16_t tcp_at, tcp_bytes; /* from the frame's beginning; TCP's header and text */
	uint8_t ecn;
	bool text; /* some of it is */
};

/* The type behind a tag of ours, or 0; *at moves behind the tag. */
static uint16_t tagged_type(const struct stack *s, const struct rte_mbuf *m, uint16_t type, uint32_t *at)
{
	const uint8_t *h = rte_pktmbuf_mtod(m, const uint8_t *);

	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
		return (m->vlan_tci & ETH_VLAN_MASK) == s->config.vlan ? type : 0;
	if (type != ETH_TYPE_VLAN || (wire_get16(h + ETH_HEADER_BYTES) & ETH_VLAN_MASK) != s->config.vlan)
		return s->config.vlan ? 0 : type;
	*at += ETH_TAG_BYTES;
	return wire_get16(h + *at - 2);
}

/* Without options, whole, TCP. Returns the packet's length, 0 where it is not of this kind. */
static uint32_t look_v4(const struct stack *s, const uint8_t *ip, struct glance *g)
{
	uint64_t head = wire_get64(ip);
	uint32_t src, dst;

	if (head >> 56 != 0x45 || head & IPV4_FRAGMENT || ip[9] != IP_PROTOCOL_TCP)
		return 0;
	memcpy(&src, ip + 12, 4);
	memcpy(&dst, ip + 16, 4);
	g->ecn = head >> 48 & 3;
	g->tuple.raddr = ip_v4_raw(src);
	g->tuple.laddr = ip_v4_raw(dst);
	g->tuple.rport = wire_get16(ip + IPV4_HEADER_BYTES);
	g->tuple.lport = wire_get16(ip + IPV4_HEADER_BYTES + 2);
	g->bucket = tcp_table_bucket_v4(s, &g->tuple);
	return head >> 32 & 0xffff;
}

static uint32_t look_v6(const struct stack *s, const uint8_t *ip, struct glance *g)
{
	uint64_t head = wire_get64(ip);

	if (head >> 60 != 6 || ip[6] != IP_PROTOCOL_TCP)
		return 0;
	g->ecn = head >> 52 & 3;
	g->tuple.raddr = ip_v6(ip + 8);
	g->tuple.laddr = ip_v6(ip + 24);
	g->tuple.rport = wire_get16(ip + IPV6_HEADER_BYTES);
	g->tuple.lport = wire_get16(ip + IPV6_HEADER_BYTES + 2);
	if (!ip_is_ours(s, &g->tuple.laddr))
		return 0;
	g->bucket = tcp_table_bucket(s, &g->tuple);
	return IPV6_HEADER_BYTES + (head >> 16 & 0xffff);
}

/* Ethernet and IP. Which addresses are impossible was asked when the connection was made; that does not
 * change. */
static void look(const struct stack *s, const struct rte_mbuf *m, struct glance *g)
{
	const uint8_t *h = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t at = ETH_HEADER_BYTES, header, total = 0;

	g->bucket = NULL;
	if (m->data_len < FRAME_BYTES_MIN)
		return;
	uint64_t from = wire_get64(h + 6);
	uint16_t type = (uint16_t)from;
	if (wire_get64(h) >> 16 != s->mac || from >> 16 == s->mac || from >> 56 & 1)
		return;
	if (s->config.vlan || m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
		type = tagged_type(s, m, type, &at);
	if (type == ETH_TYPE_IPV4) {
		header = IPV4_HEADER_BYTES;
		total = look_v4(s, h + at, g);
	} else if (type == ETH_TYPE_IPV6) {
		header = IPV6_HEADER_BYTES;
		if (m->data_len >= at + header + TCP_HEADER_BYTES)
			total = look_v6(s, h + at, g);
	} else {
		return;
	}
	/* Padding is cut off a single buffer alone. */
	if (total < header + TCP_HEADER_BYTES || at + total > m->pkt_len ||
		(at + total < m->pkt_len && m->nb_segs > 1)) {
		g->bucket = NULL;
		return;
	}
	g->tcp_at = (uint16_t)(at + header);
	g->tcp_bytes = (uint16_t)(total - header);
	g->ack = wire_get32(h + g->tcp_at + 8);
	g->text = g->tcp_bytes > (h[g->tcp_at + 12] >> 4) * 4;
}

/* The youngest one of the tuple, where that is a connection. */
static struct tcp_conn *find(const struct glance *g)
{
	struct tcp_node *node;

	cds_list_for_each_entry (node, g->bucket, bucket_link)
		if (tcp_tuple_same(&node->tuple, &g->tuple))
			return node->kind == TCP_KIND_CONN ? caa_container_of(node, struct tcp_conn, node)
							   : NULL;
	return NULL;
}

static bool port_found_sums_good(const struct stack *s, const struct rte_mbuf *m)
{
	uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK,
		 l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	return s->config.offload_flags & STACK_OFFLOAD_RX_CKSUM &&
	       (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD || ip == RTE_MBUF_F_RX_IP_CKSUM_NONE) &&
	       (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE);
}

/* By hand; the port's word is the long way's to judge where it is no plain yes. */
static bool sums_good(const struct rte_mbuf *m, const struct glance *g)
{
	const uint8_t *h = rte_pktmbuf_mtod(m, const uint8_t *);
	uint64_t sum = checksum_pseudo(&g->tuple.laddr, &g->tuple.raddr, IP_PROTOCOL_TCP, g->tcp_bytes);

	if (m->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK))
		return false;
	if (ip_is_v4(&g->tuple.raddr) && checksum_fold(checksum_add(0, h + g->tcp_at - IPV4_HEADER_BYTES,
						 IPV4_HEADER_BYTES)) != 0xffff)
		return false;
	return checksum_fold(checksum_add_mbuf(sum, m, g->tcp_at, g->tcp_bytes)) == 0xffff;
}

/* The options, which are timestamps or none as agreed on. Returns the header's length; 0: something else. */
static uint32_t header_usual(const struct tcp_conn *c, const uint8_t *h, uint32_t room, struct tcp_in *in)
{
	uint16_t word = wire_get16(h + 12) & (uint16_t)~TCP_PSH;

	in->options.ts_ecr = 0;
	if (!c->timestamps)
		return word == WORD_PLAIN && room >= TCP_HEADER_BYTES ? TCP_HEADER_BYTES : 0;
	if (word != WORD_TIMESTAMP || room < TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES ||
		wire_get32(h + TCP_HEADER_BYTES) != TIMESTAMP_HEAD)
		return 0;
	in->options.ts_val = wire_get32(h + 24);
	in->options.ts_ecr = wire_get32(h + 28);
	return seq_lt(in->options.ts_val, c->ts_recent) ? 0 : TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES;
}

/* Text is right at rcv_nxt, within the window and finds memory. */
static bool text_expected(const struct tcp_conn *c, const struct tcp_in *in, const struct glance *g)
{
	return in->len <= c->rcv_adv - c->rcv_nxt && c->app && !c->fin_known &&
	       !(c->ecn && g->ecn == IP_ECN_CE) && tcp_memory_may_hold(c, in->m->nb_segs);
}

/* It acknowledges something that was sent, and nothing is being repaired. */
static bool ack_expected(const struct tcp_conn *c, const struct tcp_in *in)
{
	return in->ack - c->snd_una <= c->snd_nxt - c->snd_una && c->recovery == TCP_RECOVERY_NONE &&
	       !c->sacked_count && !c->lost_count && !c->tlp_out;
}

/* Whether the segment is the one that c waits for. */
static bool expected(const struct tcp_conn *c, const struct tcp_in *in, const struct glance *g)
{
	if (c->state != TCP_ESTABLISHED || in->seq != c->rcv_nxt)
		return false;
	if (in->len && !text_expected(c, in, g))
		return false;
	return in->ack == c->snd_una ? in->len != 0 : ack_expected(c, in);
}

/* The steps of tcp_input.c's synchronised_input, as far as they do anything. */
static void segment_take(struct tcp_conn *c, struct tcp_in *in)
{
	struct stack *s = c->stack;

	COUNT(s, tcp_segments_in);
	COUNT(s, tcp_predicted);
	c->segments_in++;
	c->heard_us = s->now_us;
	c->keepalives = 0;
	if (in->ack == c->snd_una)
		tcp_window_told(c, in, false);
	else
		tcp_ack_expected(c, in);
	tcp_timestamp_note(c, in);
	if (in->len)
		tcp_text_expected_take(c, in);
	else
		rte_pktmbuf_free(in->m);
}

/* False: it is not the expected one, and nothing has happened. */
static bool fast_take(struct stack *s, struct rte_mbuf *m, const struct glance *g)
{
	struct tcp_conn *c = find(g);
	const uint8_t *h = rte_pktmbuf_mtod_offset(m, const uint8_t *, g->tcp_at);
	struct tcp_in in;

	if (!c)
		return false;
	uint32_t header = header_usual(c, h, m->data_len - g->tcp_at, &in);
	if (!header || header > g->tcp_bytes)
		return false;
	in.m = m;
	in.seq = wire_get32(h + 4);
	in.ack = g->ack;
	in.wnd = wire_get16(h + 14);
	in.len = g->tcp_bytes - header;
	in.flags = TCP_ACK;
	in.options.has_timestamp = c->timestamps;
	in.options.sack_count = 0;
	if (!expected(c, &in, g) || (!port_found_sums_good(s, m) && !sums_good(m, g)))
		return false;
	m->data_off += (uint16_t)(g->tcp_at + header);
	m->data_len -= (uint16_t)(g->tcp_at + header);
	if (m->nb_segs == 1)
		m->data_len = (uint16_t)in.len;
	m->pkt_len = in.len;
	segment_take(c, &in);
	return true;
}

static inline void prefetch_lines(const void *object, unsigned lines)
{
#pragma GCC unroll 16
	for (unsigned i = 0; i < 16; i++)
		if (lines >> i & 1)
			rte_prefetch0((const uint8_t *)object + i * RTE_CACHE_LINE_SIZE);
}

/* The first of a glance's bucket (few have a second one), where that is a connection. */
static const struct tcp_conn *first_of(const struct glance *g)
{
	if (!g->bucket || g->bucket->next == g->bucket)
		return NULL;
	const struct tcp_node *node = cds_list_entry(g->bucket->next, struct tcp_node, bucket_link);
	return node->kind == TCP_KIND_CONN ? caa_container_of(node, struct tcp_conn, node) : NULL;
}

/* Nothing is decided here. */
static void burst_look(const struct stack *s, struct rte_mbuf **frames, unsigned n, struct glance *glance)
{
	const struct tcp_conn *acked[STACK_BURST];
	unsigned acks = 0;

	for (unsigned i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], const void *));
	for (unsigned i = 0; i < n; i++) {
		look(s, frames[i], &glance[i]);
		rte_prefetch0(glance[i].bucket); /* of NULL it does nothing */
	}
	/* What is no connection is smaller, and no fault follows from fetching behind it. */
	for (unsigned i = 0; i < n; i++)
		if (glance[i].bucket && glance[i].text)
			prefetch_lines(glance[i].bucket->next, TCP_LINES_TEXT);
		else if (glance[i].bucket)
			prefetch_lines(glance[i].bucket->next, TCP_LINES_ACK);
	for (unsigned i = 0; i < n; i++) {
		const struct tcp_conn *c = first_of(&glance[i]);
		if (!c || c->snd_una == glance[i].ack)
			continue;
		if (glance[i].text)
			prefetch_lines(c, TCP_LINES_ACK & ~TCP_LINES_TEXT);
		acked[acks++] = c;
	}
	/* What will be released. */
	for (unsigned i = 0; i < acks; i++)
		rte_prefetch0(acked[i]->segments.next);
}

void tcp_burst_take(struct stack *s, struct rte_mbuf **frames, unsigned n)
{
	struct glance glance[STACK_BURST];

	burst_look(s, frames, n, glance);
	for (unsigned i = 0; i < n; i++)
		if (!glance[i].bucket || s->config.long_way_only || !fast_take(s, frames[i], &glance[i]))
			eth_input_take(s, frames[i]);
}
