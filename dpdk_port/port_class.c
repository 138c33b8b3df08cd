/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_class.h"
#include "runtime/wire.h"

#include <string.h>

enum {
	ETHER_BYTES = 14,
	TAG_BYTES = 4,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	IPV4_BYTES = 20,
	IPV4_FRAGMENT = 0x3fff, /* more follow, or an offset */
	IPV4_OFFSET = 0x1fff,
	IPV6_BYTES = 40,
	PORTS_BYTES = 4,
	ICMP_BYTES = 8,
	HEADERS_MAX = 8, /* of extension headers; the stack takes no more either */
};

enum { HOP_BY_HOP = 0, ICMP = 1, TCP = 6, ROUTING = 43, FRAGMENT = 44, ICMPV6 = 58, OPTIONS = 60 };

/* What is left of a frame. */
struct view {
	const uint8_t *p;
	uint32_t n;
};

static bool skip(struct view *v, uint32_t n)
{
	if (v->n < n)
		return false;
	v->p += n;
	v->n -= n;
	return true;
}

/* The quoted packet left us: its peer is where it went. addresses and ports are turned round. */
static enum port_class quoted(const struct toeplitz *t, const uint8_t *addresses, const uint8_t *ports,
	unsigned address_bytes, uint32_t *hash)
{
	uint8_t turned[32], turned_ports[PORTS_BYTES];

	memcpy(turned, addresses + address_bytes, address_bytes);
	memcpy(turned + address_bytes, addresses, address_bytes);
	memcpy(turned_ports, ports + 2, 2);
	memcpy(turned_ports + 2, ports, 2);
	*hash = address_bytes == 4 ? toeplitz_v4(t, turned, turned_ports)
				   : toeplitz_v6(t, turned, turned_ports);
	return PORT_CLASS_HASH;
}

/* v: the ICMP header and what it quotes. */
static enum port_class icmp_v4(const struct toeplitz *t, struct view v, uint32_t *hash)
{
	if (v.n < ICMP_BYTES + IPV4_BYTES)
		return PORT_CLASS_FIRST;
	uint8_t type = v.p[0];
	if (type != 3 && type != 4 && type != 5 && type != 11 && type != 12)
		return PORT_CLASS_FIRST;
	const uint8_t *ip = v.p + ICMP_BYTES;
	uint32_t header = (ip[0] & 15u) * 4;
	if (header < IPV4_BYTES || ip[9] != TCP || (wire_get16(ip + 6) & IPV4_OFFSET) ||
		!skip(&v, ICMP_BYTES + header) || v.n < PORTS_BYTES)
		return PORT_CLASS_FIRST;
	return quoted(t, ip + 12, v.p, 4, hash);
}

static enum port_class ipv4(const struct toeplitz *t, struct view v, uint32_t *hash)
{
	if (v.n < IPV4_BYTES)
		return PORT_CLASS_FIRST;
	const uint8_t *ip = v.p;
	uint32_t header = (ip[0] & 15u) * 4;
	if (wire_get16(ip + 6) & IPV4_FRAGMENT) {
		*hash = toeplitz_v4(t, ip + 12, NULL);
		return PORT_CLASS_HASH;
	}
	if (header < IPV4_BYTES || !skip(&v, header))
		return PORT_CLASS_FIRST;
	if (ip[9] == ICMP)
		return icmp_v4(t, v, hash);
	if (ip[9] != TCP || v.n < PORTS_BYTES)
		return PORT_CLASS_FIRST;
	*hash = toeplitz_v4(t, ip + 12, v.p);
	return PORT_CLASS_HASH;
}

/* Past the extension headers of a packet whose first header behind IPv6's is next. Returns the protocol, or
 * FRAGMENT for a piece of a datagram, or -1. */
static int extensions_skip(struct view *v, uint8_t next)
{
	for (unsigned i = 0; i < HEADERS_MAX; i++) {
		if (next != HOP_BY_HOP && next != ROUTING && next != OPTIONS && next != FRAGMENT)
			return next;
		if (v->n < 8)
			return -1;
		/* RFC 6946: a fragment that is the whole datagram is no fragment. */
		if (next == FRAGMENT && (wire_get16(v->p + 2) & 0xfff9))
			return FRAGMENT;
		uint32_t bytes = next == FRAGMENT ? 8 : (v->p[1] + 1u) * 8;
		next = v->p[0];
		if (!skip(v, bytes))
			return -1;
	}
	return -1;
}

static enum port_class icmp_v6(const struct toeplitz *t, struct view v, uint32_t *hash)
{
	if (v.n < ICMP_BYTES)
		return PORT_CLASS_FIRST;
	uint8_t type = v.p[0];
	if (type >= 133 && type <= 137)
		return PORT_CLASS_ALL;
	if (type > 127 || !skip(&v, ICMP_BYTES) || v.n < IPV6_BYTES)
		return PORT_CLASS_FIRST;
	const uint8_t *ip = v.p;
	skip(&v, IPV6_BYTES);
	if (extensions_skip(&v, ip[6]) != TCP || v.n < PORTS_BYTES)
		return PORT_CLASS_FIRST;
	return quoted(t, ip + 8, v.p, 16, hash);
}

static enum port_class ipv6(const struct toeplitz *t, struct view v, uint32_t *hash)
{
	if (v.n < IPV6_BYTES)
		return PORT_CLASS_FIRST;
	const uint8_t *ip = v.p;
	skip(&v, IPV6_BYTES);
	int protocol = ip[6] == TCP ? TCP : extensions_skip(&v, ip[6]);
	if (protocol == FRAGMENT) {
		*hash = toeplitz_v6(t, ip + 8, NULL);
		return PORT_CLASS_HASH;
	}
	if (protocol == ICMPV6)
		return icmp_v6(t, v, hash);
	if (protocol != TCP || v.n < PORTS_BYTES)
		return PORT_CLASS_FIRST;
	*hash = toeplitz_v6(t, ip + 8, v.p);
	return PORT_CLASS_HASH;
}

enum port_class port_classify(const struct toeplitz *t, const struct rte_mbuf *m, uint32_t *hash)
{
	struct view v = {rte_pktmbuf_mtod(m, const uint8_t *), m->data_len};

	if (v.n < ETHER_BYTES)
		return PORT_CLASS_FIRST;
	uint16_t type = wire_get16(v.p + 12);
	skip(&v, ETHER_BYTES);
	if (type == TYPE_VLAN && !(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)) {
		if (v.n < TAG_BYTES)
			return PORT_CLASS_FIRST;
		type = wire_get16(v.p + 2);
		skip(&v, TAG_BYTES);
	}
	if (type == TYPE_IPV4)
		return ipv4(t, v, hash);
	if (type == TYPE_IPV6)
		return ipv6(t, v, hash);
	return type == TYPE_ARP ? PORT_CLASS_ALL : PORT_CLASS_FIRST;
}
