/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors that come in, of either version: what they mean to TCP, and which packet of ours they quote
 * (RFC 792, RFC 1122 section 3.2.2, RFC 4443 section 3). tcp_icmp.c decides whether to believe them. */
#include "tcpstack/tcp_impl.h"

enum {
	ICMP_HEADER_BYTES = 8,
	QUOTED_TCP_BYTES = 8, /* ports and sequence number: what every router gives back */
	V4_UNREACHABLE = 3,
	V4_QUENCH = 4,
	V4_TIME_EXCEEDED = 11,
	V4_PARAMETER = 12,
	V6_UNREACHABLE = 1,
	V6_TOO_BIG = 2,
	V6_TIME_EXCEEDED = 3,
	V6_PARAMETER = 4,
};

/* RFC 1122 section 4.2.3.9: network and host unreachable pass, as do the unclear ones; who is told that there
 * is no such protocol or port, or that it may not, is told for good. */
static enum tcp_icmp_kind kind_v4(uint8_t type, uint8_t code)
{
	if (type == V4_QUENCH)
		return TCP_ICMP_IGNORED; /* RFC 6633 */
	if (type != V4_UNREACHABLE)
		return TCP_ICMP_SOFT;
	switch (code) {
	case 2:
	case 3:
		return TCP_ICMP_REFUSED;
	case 4:
		return TCP_ICMP_TOO_BIG;
	case 9:
	case 10:
	case 13:
		return TCP_ICMP_PROHIBITED;
	default:
		return TCP_ICMP_SOFT;
	}
}

static enum tcp_icmp_kind kind_v6(uint8_t type, uint8_t code)
{
	if (type == V6_TOO_BIG)
		return TCP_ICMP_TOO_BIG;
	if (type == V6_PARAMETER && code == 1)
		return TCP_ICMP_REFUSED; /* no such protocol there */
	if (type != V6_UNREACHABLE)
		return TCP_ICMP_SOFT;
	if (code == 4)
		return TCP_ICMP_REFUSED;
	return code == 1 || code == 5 || code == 6 ? TCP_ICMP_PROHIBITED : TCP_ICMP_SOFT;
}

/* Where TCP's header begins in the quoted packet of n bytes at p, or 0. */
static uint32_t quote_v4(const uint8_t *p, uint32_t n, struct tcp_icmp *e)
{
	uint32_t header = n < IPV4_HEADER_BYTES ? 0 : (p[0] & 15u) * 4;

	if (header < IPV4_HEADER_BYTES || p[0] >> 4 != 4 || p[9] != IP_PROTOCOL_TCP ||
		(wire_get16(p + 6) & 0x1fff))
		return 0;
	e->tuple.laddr = ip_v4(wire_get32(p + 12));
	e->tuple.raddr = ip_v4(wire_get32(p + 16));
	e->total = wire_get16(p + 2);
	return header;
}

/* We send no extension headers. */
static uint32_t quote_v6(const uint8_t *p, uint32_t n, struct tcp_icmp *e)
{
	if (n < IPV6_HEADER_BYTES || p[0] >> 4 != 6 || p[6] != IP_PROTOCOL_TCP)
		return 0;
	e->tuple.laddr = ip_v6(p + 8);
	e->tuple.raddr = ip_v6(p + 24);
	e->total = IPV6_HEADER_BYTES + wire_get16(p + 4);
	return IPV6_HEADER_BYTES;
}

bool icmp_is_error(bool v4, uint8_t type)
{
	if (v4)
		return type == V4_UNREACHABLE || type == V4_QUENCH || type == V4_TIME_EXCEEDED ||
		       type == V4_PARAMETER;
	return type >= V6_UNREACHABLE && type <= V6_PARAMETER;
}

/* TCP hears what e says about the packet of which the first n bytes are at p. */
static void quoted_tell(struct stack *s, const uint8_t *p, uint32_t n, bool v4, struct tcp_icmp *e)
{
	uint32_t at = v4 ? quote_v4(p, n, e) : quote_v6(p, n, e);

	if (!at || at + QUOTED_TCP_BYTES > n || !ip_is_ours(s, &e->tuple.laddr)) {
		COUNT(s, icmp_error_quote);
		return;
	}
	if (e->kind == TCP_ICMP_IGNORED) {
		COUNT(s, icmp_quench_ignored);
		return;
	}
	e->tuple.lport = wire_get16(p + at);
	e->tuple.rport = wire_get16(p + at + 2);
	e->seq = wire_get32(p + at + 4);
	tcp_icmp_input(s, e);
}

void icmp_error_input(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	const uint8_t *h = frame_data(m), *p = h + ICMP_HEADER_BYTES;
	uint32_t n = min_u32(m->data_len, ip->length) - ICMP_HEADER_BYTES;
	bool v4 = ip_is_v4(&ip->dst);
	struct tcp_icmp e = {.kind = v4 ? kind_v4(h[0], h[1]) : kind_v6(h[0], h[1]),
		.mtu = v4 ? wire_get16(h + 6) : wire_get32(h + 4)};

	COUNT(s, icmp_errors_in);
	quoted_tell(s, p, n, v4, &e);
}

void icmp_undelivered(struct stack *s, struct rte_mbuf *m)
{
	const uint8_t *p = frame_data(m);
	bool v4 = m->data_len && p[0] >> 4 == 4;
	uint8_t protocol = m->data_len < IPV4_HEADER_BYTES ? 0 : v4 ? p[9] : p[6];
	struct tcp_icmp e = {.kind = TCP_ICMP_SOFT};

	if (protocol == IP_PROTOCOL_TCP)
		quoted_tell(s, p, m->data_len, v4, &e);
}
