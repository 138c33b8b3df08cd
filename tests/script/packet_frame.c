/* SPDX-License-Identifier: Apache-2.0 */
/* The layers below TCP and ICMP on the wire: Ethernet with or without a VLAN tag, IPv4 or IPv6, whole or a
 * fragment. */
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/packet.h"

enum { ETH = 14, VLAN = 4, IP4 = 20, IP6 = 40, FRAGMENT = 8 };
enum { TYPE_IP4 = 0x0800, TYPE_IP6 = 0x86dd, TYPE_VLAN = 0x8100, NEXT_HOP = 0, NEXT_FRAGMENT = 44 };

static struct ip_addr end_addr(bool v6, uint8_t last)
{
	uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = last};

	return v6 ? ip_v6(bytes) : ip_v4(0x0a000000u | last);
}

struct ip_addr segment_peer_addr(bool v6)
{
	return end_addr(v6, 2);
}

struct ip_addr segment_stack_addr(bool v6)
{
	return end_addr(v6, 1);
}

void packet_ends(const struct packet *p, bool v6, struct ip_addr *src, struct ip_addr *dst)
{
	*src = p->has_src ? p->src : segment_peer_addr(v6);
	*dst = p->has_dst ? p->dst : segment_stack_addr(v6);
}

uint32_t packet_headers(const struct packet *p, bool v6)
{
	return v6 ? IP6 + p->ext_n : IP4 + p->options_n;
}

static uint8_t ttl_of(const struct packet *p)
{
	return p->ttl || p->has_ttl ? p->ttl : 64;
}

static void ip4_checksum(const struct packet *p, uint8_t *ip, uint32_t header)
{
	wire_put16(ip + 10, 0);
	wire_put16(ip + 10, (uint16_t)(~checksum_fold(checksum_add(0, ip, header)) + p->bad_sum));
}

static uint32_t ip4_put(const struct packet *p, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t protocol, uint8_t *ip, uint32_t n)
{
	uint32_t header = packet_headers(p, false);

	memset(ip, 0, IP4);
	ip[0] = (uint8_t)((p->version ? p->version : 4) << 4 | (p->has_ihl ? p->ihl : header / 4));
	ip[1] = (uint8_t)(p->dscp << 2 | p->ecn);
	wire_put16(ip + 2, (uint16_t)(p->has_iplen ? p->iplen : header + n));
	wire_put16(ip + 4, (uint16_t)p->id);
	ip[8] = ttl_of(p);
	ip[9] = protocol;
	wire_put32(ip + 12, ip_to_v4(src));
	wire_put32(ip + 16, ip_to_v4(dst));
	memcpy(ip + IP4, p->options, p->options_n);
	ip4_checksum(p, ip, header);
	return header + n;
}

static uint32_t ip6_put(const struct packet *p, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t protocol, uint8_t *ip, uint32_t n)
{
	uint8_t *next = ip + 6, *at = ip + IP6;

	memset(ip, 0, IP6);
	wire_put32(
		ip, (uint32_t)(p->version ? p->version : 6) << 28 | (uint32_t)(p->dscp << 2 | p->ecn) << 20);
	wire_put16(ip + 4, (uint16_t)(p->has_iplen ? p->iplen : p->ext_n + n));
	ip[7] = ttl_of(p);
	memcpy(ip + 8, src->bytes, 16);
	memcpy(ip + 24, dst->bytes, 16);
	memcpy(at, p->ext, p->ext_n);
	for (unsigned i = 0; i < p->ext_count; i++) {
		*next = p->ext_kind[i];
		next = at;
		at += (at[1] + 1u) * 8;
	}
	*next = protocol;
	return IP6 + p->ext_n + n;
}

/* Cuts a packet down to the fragment that p speaks of. Returns its length. */
static uint32_t fragment_put(const struct packet *p, bool v6, uint8_t *ip, uint32_t n)
{
	uint32_t header = v6 ? IP6 : packet_headers(p, false);
	uint32_t payload = n - header, to = p->fragment_to ? p->fragment_to : payload,
		 from = p->fragment_from;
	bool more = p->fragment_to && to < payload;
	uint8_t *data = ip + header;

	to = to > payload ? payload : to;
	from = from > to ? to : from;
	memmove(data, data + from, to - from);
	uint32_t at = p->has_at ? p->fragment_at : from;
	if (!v6) {
		wire_put16(ip + 2, (uint16_t)(header + to - from));
		wire_put16(ip + 6, (uint16_t)((more ? 0x2000 : 0) | at / 8));
		ip4_checksum(p, ip, header);
		return header + to - from;
	}
	memmove(data + FRAGMENT, data, to - from);
	data[0] = ip[6];
	data[1] = 0;
	wire_put16(data + 2, (uint16_t)((at & ~7u) | more));
	wire_put32(data + 4, p->id);
	ip[6] = NEXT_FRAGMENT;
	wire_put16(ip + 4, (uint16_t)(FRAGMENT + to - from));
	return header + FRAGMENT + to - from;
}

uint32_t packet_put(const struct packet *p, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t protocol, uint8_t *ip, uint32_t n)
{
	bool v6 = !ip_is_v4(dst);

	if (p->protocol)
		protocol = p->protocol;
	n = v6 ? ip6_put(p, src, dst, protocol, ip, n) : ip4_put(p, src, dst, protocol, ip, n);
	return p->fragment ? fragment_put(p, v6, ip, n) : n;
}

uint32_t packet_eth(const struct packet *p, uint16_t type, uint8_t *frame)
{
	uint8_t *at = frame + 12;

	memcpy(frame, p->has_eth_dst ? p->eth_dst : stack_mac, 6);
	memcpy(frame + 6, p->has_eth_src ? p->eth_src : peer_mac, 6);
	if (p->vlan) {
		wire_put16(at, TYPE_VLAN);
		wire_put16(at + 2, p->vlan);
		at += VLAN;
	}
	wire_put16(at, type);
	return (uint32_t)(at + 2 - frame);
}

uint32_t packet_frame(
	const struct packet *p, bool v6, uint8_t protocol, const uint8_t *payload, uint32_t n, uint8_t *frame)
{
	struct ip_addr src, dst;

	v6 = p->has_dst ? !ip_is_v4(&p->dst) : p->has_src ? !ip_is_v4(&p->src) : v6;
	packet_ends(p, v6, &src, &dst);
	uint32_t eth = ETH + (p->vlan ? VLAN : 0);
	memmove(frame + eth + packet_headers(p, v6), payload, n);
	packet_eth(p, v6 ? TYPE_IP6 : TYPE_IP4, frame);
	n = eth + packet_put(p, &src, &dst, protocol, frame + eth, n);
	return p->cut < n ? n - p->cut : 0;
}

static bool ip4_read(struct packet_seen *s)
{
	const uint8_t *ip = s->ip;
	uint32_t header = s->ip_n >= IP4 ? (ip[0] & 15u) * 4 : 0;

	if (header < IP4 || header > s->ip_n)
		return false;
	s->p.ecn = ip[1] & 3;
	s->p.dscp = ip[1] >> 2;
	s->p.ttl = ip[8];
	s->protocol = ip[9];
	s->p.src = ip_v4(wire_get32(ip + 12));
	s->p.dst = ip_v4(wire_get32(ip + 16));
	s->payload = ip + header;
	return true;
}

static bool ip6_read(struct packet_seen *s)
{
	const uint8_t *ip = s->ip;

	if (s->ip_n < IP6 + 8)
		return false;
	s->p.ecn = wire_get16(ip) >> 4 & 3;
	s->p.dscp = wire_get16(ip) >> 6 & 63;
	s->p.ttl = ip[7];
	s->protocol = ip[6];
	s->p.src = ip_v6(ip + 8);
	s->p.dst = ip_v6(ip + 24);
	s->payload = ip + IP6;
	s->hop_options = s->protocol == NEXT_HOP;
	if (s->hop_options) {
		s->protocol = ip[IP6];
		s->payload += (ip[IP6 + 1] + 1u) * 8;
	}
	return s->payload <= ip + s->ip_n;
}

bool packet_read(struct packet_seen *s, const uint8_t *frame, uint32_t n)
{
	uint32_t eth = n >= ETH + VLAN && wire_get16(frame + 12) == TYPE_VLAN ? ETH + VLAN : ETH;

	*s = (struct packet_seen){0};
	if (n < eth)
		return false;
	s->type = wire_get16(frame + eth - 2);
	memcpy(s->p.eth_dst, frame, 6);
	memcpy(s->p.eth_src, frame + 6, 6);
	s->p.vlan = eth > ETH ? wire_get16(frame + ETH) & 0xfff : 0;
	s->p.has_eth_dst = s->p.has_eth_src = s->p.has_vlan = true;
	s->payload = frame + eth;
	s->payload_n = n - eth;
	if (s->type != TYPE_IP4 && s->type != TYPE_IP6)
		return true;
	s->ip = s->payload;
	s->ip_n = n - eth;
	s->p.has_ecn = s->p.has_dscp = s->p.has_ttl = s->p.has_src = s->p.has_dst = true;
	if (!(s->type == TYPE_IP4 ? ip4_read(s) : ip6_read(s)))
		return false;
	s->payload_n = s->ip_n - (uint32_t)(s->payload - s->ip);
	return true;
}
