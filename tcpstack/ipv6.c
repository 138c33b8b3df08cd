/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6 (RFC 8200): header checks on receipt, the walk over extension headers, the header on sending. */
#include "tcpstack/frag.h"

enum {
	NEXT_HOP_BY_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_NONE = 59,
	NEXT_DESTINATION = 60,
	FRAGMENT_HEADER_BYTES = 8,
	EXTENSIONS_MAX = 8, /* headers in one packet: each costs time, none is needed */
	OPTION_PAD1 = 0,
	OPTION_PADN = 1,
	OPTION_ROUTER_ALERT = 5,
	OPTION_JUMBO = 0xc2,
	ICMPV6_TYPE_NS = 135,
	ICMPV6_TYPE_NA = 136,
};

bool ipv6_is_on_link(const struct stack *s, const struct ip_addr *a)
{
	if (ip_is_link_local(a) || ip_on_link(s, a))
		return true;
	for (unsigned i = 0; i < ND_PREFIXES_MAX; i++)
		if (s->nd.prefixes[i].until_us > s->now_us &&
			ip_in_prefix(a, &s->nd.prefixes[i].prefix, s->nd.prefixes[i].bits))
			return true;
	return false;
}

/* All nodes of the link, and the solicited-node groups of our addresses (RFC 4291 section 2.7.1). */
static bool group_is_ours(const struct stack *s, const struct ip_addr *a)
{
	static const uint8_t link[8] = {0xff, 2}, node[5] = {0, 0, 0, 1, 0xff};

	if (memcmp(a->bytes, link, 8))
		return false;
	if (wire_get32(a->bytes + 8) == 0 && wire_get32(a->bytes + 12) == 1)
		return true;
	if (memcmp(a->bytes + 8, node, 5))
		return false;
	for (unsigned i = 0; i < s->own_count; i++)
		if (!ip_is_v4(&s->own[i].address) && !memcmp(s->own[i].address.bytes + 13, a->bytes + 13, 3))
			return true;
	return false;
}

/* Sources that no packet on a wire may have. */
bool ipv6_source_impossible(const struct ip_addr *a)
{
	return ip_is_multicast(a) || ip_is_v6_loopback(a) || ip_is_v4(a);
}

/* Two messages alone come from nowhere, or from an address of ours: who tests whether an address is free
 * (RFC 4862 section 5.4.3), and another station that claims it. */
static bool source_good(
	const struct stack *s, const struct rte_mbuf *m, const struct ip_packet *ip, uint8_t next)
{
	bool nowhere = ip_is_unspecified(&ip->src);

	if (!nowhere && !ip_is_ours(s, &ip->src))
		return true;
	if (next != IP_PROTOCOL_ICMPV6 || m->data_len == 0)
		return false;
	return *rte_pktmbuf_mtod(m, const uint8_t *) == (nowhere ? ICMPV6_TYPE_NS : ICMPV6_TYPE_NA);
}

/* A walk over a packet's headers. */
struct walk {
	uint8_t next;	  /* the kind of header that m's data starts with */
	uint32_t next_at; /* where the packet says so */
	uint32_t back;	  /* m's data stands so far behind the packet's start */
};

/* What of a packet we do not know: RFC 4443 section 3.4. */
enum { PROBLEM_FIELD, PROBLEM_HEADER, PROBLEM_OPTION, PROBLEM_FIRST_FRAGMENT };
static void problem_tell(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, uint32_t back,
	uint8_t code, uint32_t at)
{
	icmp_error_send(s, m, back, ip,
		&(struct icmp_error){
			.type = 4, .code = code, .pointer = at, .to_groups = code == PROBLEM_OPTION});
}

/* RFC 4443 section 2.4 (e.1): what the header at p, of n bytes, precedes is an error itself. */
static bool precedes_error(struct rte_mbuf *m, const uint8_t *p, uint32_t n)
{
	return p[0] == IP_PROTOCOL_ICMPV6 && (p + n >= frame_data(m) + m->data_len || p[n] < 128);
}

/* RFC 8200 section 4.2: the upper two bits of an option's type say what to do with a packet whose option is
 * not known; 00 goes on. n bytes of options at p. */
static bool options_good(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, uint32_t back,
	const uint8_t *header, uint32_t header_bytes)
{
	const uint8_t *p = header + 2;
	uint32_t n = header_bytes - 2;

	while (n) {
		if (p[0] == OPTION_PAD1) {
			p++, n--;
			continue;
		}
		if (n < 2 || p[1] + 2u > n) {
			COUNT(s, ipv6_extension);
			return false;
		}
		if (p[0] >> 6) {
			/* 10 asks for an answer, 11 unless it was sent to a group. */
			bool answer = p[0] >> 6 == 2 || (p[0] >> 6 == 3 && !ip_is_multicast(&ip->dst));
			if (answer && !precedes_error(m, header, header_bytes))
				problem_tell(
					s, m, ip, back, PROBLEM_OPTION, back + (uint32_t)(p - frame_data(m)));
			COUNT(s, ipv6_option);
			return false;
		}
		n -= p[1] + 2u;
		p += p[1] + 2u;
	}
	return true;
}

/* One extension header of n bytes at p. */
static bool extension_good(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip,
	const struct walk *w, const uint8_t *p, uint32_t n)
{
	if (w->next == NEXT_ROUTING) {
		/* With nothing left to visit it is history (section 4.4); else we would be a router, and of
		 * type 0 a weapon (RFC 5095). */
		if (p[3] == 0)
			return true;
		if (!precedes_error(m, p, n))
			problem_tell(s, m, ip, w->back, PROBLEM_FIELD,
				w->back + (uint32_t)(p - frame_data(m)) + 2);
		COUNT(s, ipv6_routing);
		return false;
	}
	return options_good(s, m, ip, w->back, p, n);
}

/* Walks to the protocol above, and cuts off what it passed. False where the packet is to be dropped
 * (counted). */
static bool extensions_cut(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, struct walk *w)
{
	uint32_t at = 0;

	for (unsigned i = 0;; i++) {
		const uint8_t *p = frame_data(m) + at;
		if (w->next != NEXT_HOP_BY_HOP && w->next != NEXT_ROUTING && w->next != NEXT_DESTINATION)
			break;
		if (w->next == NEXT_HOP_BY_HOP && i) { /* RFC 8200 section 4: as if it were not known */
			problem_tell(s, m, ip, w->back, PROBLEM_HEADER, w->next_at);
			COUNT(s, ipv6_extension);
			return false;
		}
		if (i == EXTENSIONS_MAX || at + 8 > m->pkt_len) {
			COUNT(s, ipv6_extension);
			return false;
		}
		uint32_t n = at + 8 <= m->data_len ? (p[1] + 1u) * 8 : 8;
		if (at + n > m->pkt_len) {
			COUNT(s, ipv6_extension);
			return false;
		}
		if (at + n > m->data_len) {
			COUNT(s, header_split);
			return false;
		}
		if (!extension_good(s, m, ip, w, p, n))
			return false;
		w->next = p[0];
		w->next_at = w->back + at;
		at += n;
	}
	rte_pktmbuf_adj(m, (uint16_t)at);
	w->back += at;
	return true;
}

static void payload_take(struct stack *s, struct rte_mbuf *m, struct ip_packet *ip, struct walk w);

/* Whether the first header, next, and all that follow it to the end of the protocol's above are in m (RFC
 * 7112). *told_of is false where its sender must not be told of a fault: it may be an error itself. */
static bool headers_in(struct rte_mbuf *m, uint8_t next, bool *told_of)
{
	uint32_t at = 0;

	*told_of = true;
	for (unsigned i = 0; i < EXTENSIONS_MAX; i++) {
		const uint8_t *p = frame_data(m) + at;
		if (next == IP_PROTOCOL_TCP)
			return at + 20 <= m->pkt_len;
		if (next == IP_PROTOCOL_ICMPV6)
			*told_of = at < m->data_len && *p >= 128;
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION)
			return at + 8 <= m->pkt_len;
		if (at + 8 > m->data_len)
			return false;
		next = p[0];
		at += (p[1] + 1u) * 8;
	}
	return true; /* too many: found when it is whole */
}

/* RFC 8200 section 4.5: a fragment that cannot belong to any packet, of which its sender is told. True where
 * in is such a one (counted); m stays the caller's. */
static bool fragment_bad(struct stack *s, struct rte_mbuf *m, const struct frag_in *in)
{
	uint32_t header = in->back - FRAGMENT_HEADER_BYTES;
	bool told_of = in->next == IP_PROTOCOL_TCP;
	bool headers = in->offset || headers_in(m, in->next, &told_of);

	if (in->more && m->pkt_len % 8) {
		if (told_of)
			problem_tell(s, m, &in->ip, in->back, PROBLEM_FIELD, 4); /* the payload's length */
		COUNT(s, frag_malformed);
	} else if (header - IPV6_HEADER_BYTES + in->offset + m->pkt_len > UINT16_MAX) {
		if (told_of)
			problem_tell(s, m, &in->ip, in->back, PROBLEM_FIELD, header + 2); /* the offset */
		COUNT(s, frag_malformed);
	} else if (!headers) {
		if (told_of)
			problem_tell(s, m, &in->ip, in->back, PROBLEM_FIRST_FRAGMENT, 0);
		COUNT(s, frag_tiny);
	} else {
		return false;
	}
	return true;
}

/* m's data starts at a fragment header, back bytes behind the packet's start. */
static void fragment_take(struct stack *s, struct rte_mbuf *m, struct ip_packet *ip, uint32_t back)
{
	const uint8_t *p = frame_data(m);
	struct frag_whole whole;

	COUNT(s, frag_in);
	if (m->data_len < FRAGMENT_HEADER_BYTES || ip->fragmented) {
		DROP(s, m, frag_malformed);
		return;
	}
	uint16_t word = wire_get16(p + 2);
	struct frag_in in = {.ip = *ip,
		.id = wire_get32(p + 4),
		.back = back + FRAGMENT_HEADER_BYTES,
		.offset = word & 0xfff8,
		.more = word & 1,
		.next = p[0]};
	rte_pktmbuf_adj(m, FRAGMENT_HEADER_BYTES);
	if (in.offset == 0 && !in.more) { /* RFC 6946: whole by itself, whatever else is going on */
		ip->fragmented = true;
		payload_take(s, m, ip, (struct walk){.next = in.next});
	} else if (fragment_bad(s, m, &in)) {
		rte_pktmbuf_free(m);
	} else if (frag_input_take(s, m, &in, &whole) && !frag_hand_over_take(s, &whole)) {
		payload_take(s, whole.m, &whole.ip, (struct walk){.next = whole.next});
	}
}

static void payload_take(struct stack *s, struct rte_mbuf *m, struct ip_packet *ip, struct walk w)
{
	if (!extensions_cut(s, m, ip, &w)) {
		rte_pktmbuf_free(m);
		return;
	}
	uint8_t next = w.next;
	ip->length = m->pkt_len;
	if (next == NEXT_FRAGMENT && !ip_is_unspecified(&ip->src) && !ip_is_multicast(&ip->dst)) {
		fragment_take(s, m, ip, w.back);
	} else if (!source_good(s, m, ip, next)) {
		DROP(s, m, ipv6_source);
	} else if (next == IP_PROTOCOL_TCP && !ip_is_multicast(&ip->dst)) {
		tcp_input_take(s, m, ip);
	} else if (next == IP_PROTOCOL_ICMPV6) {
		icmp6_input_take(s, m, ip);
	} else {
		if (next != NEXT_NONE)
			problem_tell(s, m, ip, w.back, PROBLEM_HEADER, w.next_at);
		DROP(s, m, ipv6_protocol);
	}
}

void ipv6_input_take(struct stack *s, struct rte_mbuf *m, bool to_group)
{
	const uint8_t *h = frame_data(m);

	if (m->data_len < IPV6_HEADER_BYTES) {
		DROP(s, m, ipv6_short);
		return;
	}
	if (h[0] >> 4 != 6) {
		DROP(s, m, ipv6_version);
		return;
	}
	uint32_t total = IPV6_HEADER_BYTES + wire_get16(h + 4);
	if (total > m->pkt_len) {
		DROP(s, m, ipv6_short);
		return;
	}
	struct ip_packet ip = {
		.src = ip_v6(h + 8), .dst = ip_v6(h + 24), .ecn = h[1] >> 4 & 3, .hop_limit = h[7]};
	bool group = ip_is_multicast(&ip.dst);
	if (to_group && !group) {
		DROP(s, m, eth_broadcast);
		return;
	}
	if (group ? !group_is_ours(s, &ip.dst) : !ip_is_ours(s, &ip.dst)) {
		DROP(s, m, ipv6_not_ours);
		return;
	}
	if (ipv6_source_impossible(&ip.src)) {
		DROP(s, m, ipv6_source);
		return;
	}
	uint8_t next = h[6];
	frame_truncate(m, total); /* short frames are padded on the link */
	rte_pktmbuf_adj(m, IPV6_HEADER_BYTES);
	payload_take(s, m, &ip, (struct walk){.next = next, .next_at = 6, .back = IPV6_HEADER_BYTES});
}

void ipv6_header_put(const struct stack *s, struct rte_mbuf *m, const struct ip_send *to)
{
	uint32_t length = m->pkt_len;
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, IPV6_HEADER_BYTES);

	MUST(h);
	wire_put32(h, 6u << 28 | (uint32_t)(to->dscp << 2 | to->ecn) << 20 | (to->flow_label & 0xfffff));
	wire_put16(h + 4, (uint16_t)length);
	h[6] = to->protocol;
	h[7] = to->hop_limit ? to->hop_limit : s->nd.hop_limit;
	memcpy(h + 8, to->src.bytes, 16);
	memcpy(h + 24, to->dst.bytes, 16);
	m->ol_flags = to->l4_offload_flags;
	m->l3_len = IPV6_HEADER_BYTES;
	if (to->l4_offload_flags)
		m->ol_flags |= RTE_MBUF_F_TX_IPV6;
}
