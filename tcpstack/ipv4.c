/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 (RFC 791, RFC 1122 section 3.2.1): header checks on receipt, the header on sending. */
#include "tcpstack/checksum.h"
#include "tcpstack/frag.h"

enum { IPV4_DF = 0x4000, IPV4_MF = 0x2000, IPV4_OFFSET = 0x1fff, IPV4_MF_OR_OFFSET = 0x3fff };

/* Sources that no packet on a wire may have (RFC 1122 section 3.2.1.3, RFC 6890): ourselves, and the own
 * network's number and broadcast address, which no host of it has (a /31 has neither, RFC 3021). */
bool ipv4_source_impossible(const struct stack *s, uint32_t src)
{
	struct ip_addr a = ip_v4(src);
	const struct ip_own *own = ip_on_link(s, &a);
	uint32_t host_bits = !own || own->prefix_bits >= 31 ? 0 : ~0u >> own->prefix_bits;
	uint32_t host = src & host_bits;

	if (host_bits && (host == 0 || host == host_bits))
		return true;
	return src >> 24 == 0 || src >> 24 == 127 || src >> 28 >= 0xe || ip_is_ours(s, &a);
}

static bool header_checksum_good(
	const struct stack *s, const struct rte_mbuf *m, const uint8_t *h, uint32_t n)
{
	if (s->config.offload_flags & STACK_OFFLOAD_RX_CKSUM) {
		uint64_t f = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
		if (f == RTE_MBUF_F_RX_IP_CKSUM_GOOD || f == RTE_MBUF_F_RX_IP_CKSUM_NONE)
			return true;
		if (f == RTE_MBUF_F_RX_IP_CKSUM_BAD)
			return false;
	}
	return checksum_fold(checksum_add(0, h, n)) == 0xffff;
}

/* back: m's data stands so far behind the header. */
static void upper_take(
	struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, uint8_t protocol, uint32_t back)
{
	/* Type 3: unreachable, code 2: protocol. */
	static const struct icmp_error unreachable = {.type = 3, .code = 2};

	if (protocol == IP_PROTOCOL_TCP) {
		tcp_input_take(s, m, ip);
	} else if (protocol == IP_PROTOCOL_ICMP) {
		icmp_input_take(s, m, ip);
	} else {
		icmp_error_send(s, m, back, ip, &unreachable);
		DROP(s, m, ipv4_protocol);
	}
}

/* RFC 1858 section 3, RFC 3128: a first fragment without all of TCP's header, and one that would write over
 * it, are made to slip past filters. */
static bool tiny(const struct rte_mbuf *m, uint16_t word, uint8_t protocol)
{
	uint16_t offset = word & IPV4_OFFSET;

	if (protocol != IP_PROTOCOL_TCP)
		return false;
	return offset == 1 || (offset == 0 && m->pkt_len < 20);
}

/* h: the header, of n bytes, which m's data, the fragment's payload, stands behind. */
static void fragment_take(
	struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, const uint8_t *h, uint32_t n)
{
	uint16_t word = wire_get16(h + 6);
	uint8_t protocol = h[9];
	struct frag_in in = {.ip = *ip,
		.id = wire_get16(h + 4),
		.back = n,
		.offset = (uint16_t)((word & IPV4_OFFSET) * 8),
		.more = word & IPV4_MF,
		.next = protocol};
	struct frag_whole whole;

	COUNT(s, frag_in);
	if (tiny(m, word, protocol))
		DROP(s, m, frag_tiny);
	else if (frag_input_take(s, m, &in, &whole) && !frag_hand_over_take(s, &whole))
		upper_take(s, whole.m, &whole.ip, whole.next, 0);
}

void ipv4_input_take(struct stack *s, struct rte_mbuf *m)
{
	const uint8_t *h = frame_data(m);

	if (m->data_len < IPV4_HEADER_BYTES) {
		DROP(s, m, ipv4_short);
		return;
	}
	uint32_t header = (h[0] & 15u) * 4, total = wire_get16(h + 2);
	if (h[0] >> 4 != 4 || header < IPV4_HEADER_BYTES) {
		DROP(s, m, ipv4_version);
		return;
	}
	if (total < header || total > m->pkt_len) {
		DROP(s, m, ipv4_short);
		return;
	}
	if (header > m->data_len) {
		DROP(s, m, header_split);
		return;
	}
	if (!header_checksum_good(s, m, h, header)) {
		DROP(s, m, ipv4_checksum);
		return;
	}
	struct ip_packet ip = {.src = ip_v4(wire_get32(h + 12)),
		.dst = ip_v4(wire_get32(h + 16)),
		.length = total - header,
		.ecn = h[1] & 3,
		.hop_limit = h[8]};
	if (!ip_is_ours(s, &ip.dst)) {
		DROP(s, m, ipv4_not_ours);
		return;
	}
	if (ipv4_source_impossible(s, ip_to_v4(&ip.src))) {
		DROP(s, m, ipv4_source);
		return;
	}
	frame_truncate(m, total); /* short frames are padded on the link */
	rte_pktmbuf_adj(m, (uint16_t)header);
	if (wire_get16(h + 6) & IPV4_MF_OR_OFFSET)
		fragment_take(s, m, &ip, h, header);
	else
		upper_take(s, m, &ip, h[9], header);
}

void ipv4_header_put(struct stack *s, struct rte_mbuf *m, const struct ip_send *to)
{
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, IPV4_HEADER_BYTES);
	MUST(h);
	h[0] = 0x45;
	h[1] = (uint8_t)(to->dscp << 2 | to->ecn);
	wire_put16(h + 2, (uint16_t)m->pkt_len);
	/* An atomic datagram needs no number: RFC 6864 section 4.1. */
	wire_put16(h + 4, to->may_fragment ? s->ipv4_id++ : 0);
	wire_put16(h + 6, to->may_fragment ? 0 : IPV4_DF);
	h[8] = to->hop_limit ? to->hop_limit : IPV4_TTL;
	h[9] = to->protocol;
	wire_put16(h + 10, 0);
	wire_put32(h + 12, ip_to_v4(&to->src));
	wire_put32(h + 16, ip_to_v4(&to->dst));
	m->ol_flags = to->l4_offload_flags;
	m->l3_len = IPV4_HEADER_BYTES;
	if (to->l4_offload_flags)
		m->ol_flags |= RTE_MBUF_F_TX_IPV4;
	if (s->config.offload_flags & STACK_OFFLOAD_TX_IPV4_CKSUM)
		m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	else
		wire_put16(h + 10, (uint16_t)~checksum_fold(checksum_add(0, h, IPV4_HEADER_BYTES)));
}
