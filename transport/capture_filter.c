/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/capture_filter.h"

#include <string.h>

#include "runtime/wire.h"

enum {
	ETHER_BYTES = 14,
	VLAN_BYTES = 4,
	VLAN_TAGS_MAX = 2,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_IPV6 = 0x86dd,
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_ICMPV6 = 58,
	IPV6_HEADER_BYTES = 40,
	IPV6_EXTENSIONS_MAX = 8,
	ICMP_HEADER_BYTES = 8,
};

/* What of a frame the conditions are about. */
struct seen {
	uint8_t family; /* 0: no address was found */
	uint8_t address_bytes;
	const uint8_t *src, *dst,
		*third; /* third: a solicitation's target, the sender of an error, or NULL */
	bool tcp;
	uint16_t sport, dport;
};

static bool ipv4_read(struct seen *s, const uint8_t *p, uint32_t n, bool quoted);
static bool ipv6_read(struct seen *s, const uint8_t *p, uint32_t n, bool quoted);

static void ports_read(struct seen *s, const uint8_t *p, uint32_t n)
{
	if (n < 4)
		return;
	s->tcp = true;
	s->sport = wire_get16(p);
	s->dport = wire_get16(p + 2);
}

/* An error goes to the source of what it quotes, so the quoted addresses and the sender's are all there are.
 */
static void error_read(struct seen *s, const uint8_t *p, uint32_t n)
{
	struct seen inner = {0};
	bool known = s->family == 4 ? ipv4_read(&inner, p, n, true) : ipv6_read(&inner, p, n, true);

	if (!known || !inner.tcp)
		return;
	inner.third = s->src;
	*s = inner;
}

static void icmp_read(struct seen *s, const uint8_t *p, uint32_t n)
{
	if (n < ICMP_HEADER_BYTES)
		return;
	bool is_error = p[0] == 3 || p[0] == 4 || p[0] == 11 || p[0] == 12;
	if (is_error)
		error_read(s, p + ICMP_HEADER_BYTES, n - ICMP_HEADER_BYTES);
}

static void icmpv6_read(struct seen *s, const uint8_t *p, uint32_t n)
{
	if (n < ICMP_HEADER_BYTES)
		return;
	if (p[0] < 128)
		error_read(s, p + ICMP_HEADER_BYTES, n - ICMP_HEADER_BYTES);
	else if ((p[0] == 135 || p[0] == 136) && n >= ICMP_HEADER_BYTES + 16)
		s->third = p + ICMP_HEADER_BYTES;
}

static bool ipv4_read(struct seen *s, const uint8_t *p, uint32_t n, bool quoted)
{
	uint32_t header = n >= 20 ? (p[0] & 15) * 4u : 0;

	if (header < 20 || p[0] >> 4 != 4)
		return false;
	*s = (struct seen){.family = 4, .address_bytes = 4, .src = p + 12, .dst = p + 16};
	if (header > n || (wire_get16(p + 6) & 0x1fff))
		return true;
	if (p[9] == PROTOCOL_TCP)
		ports_read(s, p + header, n - header);
	else if (p[9] == PROTOCOL_ICMP && !quoted)
		icmp_read(s, p + header, n - header);
	return true;
}

static bool ipv6_read(struct seen *s, const uint8_t *p, uint32_t n, bool quoted)
{
	uint32_t at = IPV6_HEADER_BYTES;

	if (n < IPV6_HEADER_BYTES || p[0] >> 4 != 6)
		return false;
	*s = (struct seen){.family = 6, .address_bytes = 16, .src = p + 8, .dst = p + 24};
	uint8_t next = p[6];
	for (unsigned i = 0; i < IPV6_EXTENSIONS_MAX && at <= n; i++) {
		if (next == PROTOCOL_TCP)
			return ports_read(s, p + at, n - at), true;
		if (next == PROTOCOL_ICMPV6)
			return quoted ? true : (icmpv6_read(s, p + at, n - at), true);
		bool fragment = next == 44;
		if ((!fragment && next != 0 && next != 43 && next != 60) || n - at < 8)
			return true;
		if (fragment && (wire_get16(p + at + 2) & 0xfff8))
			return true;
		next = p[at];
		at += fragment ? 8 : (p[at + 1] + 1u) * 8;
	}
	return true;
}

static void arp_read(struct seen *s, const uint8_t *p, uint32_t n)
{
	if (n < 28 || wire_get16(p + 2) != TYPE_IPV4)
		return;
	*s = (struct seen){.family = 4, .address_bytes = 4, .src = p + 14, .dst = p + 24};
}

static void frame_read(struct seen *s, const uint8_t *p, uint32_t n)
{
	if (n < ETHER_BYTES)
		return;
	uint16_t type = wire_get16(p + 12);
	uint32_t at = ETHER_BYTES;
	for (unsigned i = 0; i < VLAN_TAGS_MAX && (type == TYPE_VLAN || type == TYPE_QINQ); i++) {
		if (n - at < VLAN_BYTES)
			return;
		type = wire_get16(p + at + 2);
		at += VLAN_BYTES;
	}
	if (type == TYPE_IPV4)
		ipv4_read(s, p + at, n - at, false);
	else if (type == TYPE_IPV6)
		ipv6_read(s, p + at, n - at, false);
	else if (type == TYPE_ARP)
		arp_read(s, p + at, n - at);
}

static bool address_match(const struct capture_address *want, const uint8_t *a)
{
	unsigned whole = want->prefix_bits / 8, rest = want->prefix_bits % 8;

	if (!a || memcmp(want->bytes, a, whole) != 0)
		return false;
	return rest == 0 || (want->bytes[whole] ^ a[whole]) >> (8 - rest) == 0;
}

static bool end_match(const struct capture_filter *f, unsigned end, const uint8_t *address, uint16_t port)
{
	return f->conn[end].port == port && address_match(&f->conn[end].address, address);
}

static bool conn_match(const struct capture_filter *f, const struct seen *s)
{
	if (!s->tcp || s->family != f->conn[0].address.family)
		return false;
	return (end_match(f, 0, s->src, s->sport) && end_match(f, 1, s->dst, s->dport)) ||
	       (end_match(f, 1, s->src, s->sport) && end_match(f, 0, s->dst, s->dport));
}

bool capture_filter_match(const struct capture_filter *f, const uint8_t *frame, uint32_t bytes)
{
	struct seen s = {0};

	if (!f->host.family && !f->tcp_port && !f->has_conn)
		return true;
	frame_read(&s, frame, bytes);
	if (f->host.family && (s.family != f->host.family ||
				      !(address_match(&f->host, s.src) || address_match(&f->host, s.dst) ||
					      address_match(&f->host, s.third))))
		return false;
	if (f->tcp_port && !(s.tcp && (s.sport == f->tcp_port || s.dport == f->tcp_port)))
		return false;
	return !f->has_conn || conn_match(f, &s);
}
