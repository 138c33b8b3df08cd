/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as frames: Ethernet with or without a VLAN tag, IPv4 or IPv6, whole or a fragment. */
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/segment.h"

enum { FIN = 1, SYN = 2, ACK = 16 };
enum { ETH = 14, VLAN = 4, IP4 = 20, IP6 = 40, TCP = 20, FRAGMENT = 8 };
enum { TYPE_IP4 = 0x0800, TYPE_IP6 = 0x86dd, TYPE_VLAN = 0x8100, PROTOCOL_TCP = 6, PROTOCOL_FRAGMENT = 44 };

const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2}, stack_mac[6] = {2, 0, 0, 0, 0, 1};

uint8_t segment_byte(int64_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8));
}

static struct ip_addr end_addr(bool v6, uint8_t last)
{
	uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = last};

	return v6 ? ip_v6(bytes) : ip_v4((uint32_t)(PEER_ADDR & ~255) | last);
}

struct ip_addr segment_peer_addr(bool v6)
{
	return end_addr(v6, 2);
}

struct ip_addr segment_stack_addr(bool v6)
{
	return end_addr(v6, 1);
}

uint32_t segment_eth_header(uint8_t *frame, uint16_t vlan, bool v6)
{
	uint8_t *type = frame + 12;

	memcpy(frame, stack_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	if (vlan) {
		wire_put16(type, TYPE_VLAN);
		wire_put16(type + 2, vlan);
		type += VLAN;
	}
	wire_put16(type, v6 ? TYPE_IP6 : TYPE_IP4);
	return vlan ? ETH + VLAN : ETH;
}

/* What the stack's numbers on the connection to a port of the peer's are relative to. */
static uint32_t stack_isn(const struct segment_base *base, uint16_t peer_port)
{
	return base->isn_of_port ? base->isn_of_port[peer_port] : base->stack_isn;
}

static uint32_t tcp_put(const struct segment *g, const struct segment_base *base, bool from_stack,
	const struct ip_addr *src, const struct ip_addr *dst, uint8_t *tcp)
{
	uint32_t header = TCP + g->options_n, n = header + g->len;
	uint32_t isn = stack_isn(base, g->peer_port);
	uint32_t own_isn = from_stack ? isn : base->peer_isn;
	uint32_t other_isn = from_stack ? base->peer_isn : isn;

	memset(tcp, 0, TCP);
	wire_put16(tcp, from_stack ? g->stack_port : g->peer_port);
	wire_put16(tcp + 2, from_stack ? g->peer_port : g->stack_port);
	wire_put32(tcp + 4, own_isn + (uint32_t)g->seq);
	if (g->has_ack)
		wire_put32(tcp + 8, other_isn + (uint32_t)g->ack);
	tcp[12] = (uint8_t)(((g->doff >= 0 ? (uint32_t)g->doff : header / 4) << 4) | (g->reserved & 15));
	tcp[13] = g->flags;
	wire_put16(tcp + 14, (uint16_t)g->win);
	wire_put16(tcp + 18, (uint16_t)g->urg);
	memcpy(tcp + TCP, g->options, g->options_n);
	for (uint32_t i = 0; i < g->len; i++)
		tcp[header + i] = segment_byte(g->seq + !!(g->flags & SYN) + i);
	uint64_t sum = checksum_pseudo(src, dst, PROTOCOL_TCP, n);
	wire_put16(tcp + 16, (uint16_t)(~checksum_fold(checksum_add(sum, tcp, n)) + g->bad_sum));
	return n;
}

static void ip4_checksum(const struct segment *g, uint8_t *ip)
{
	wire_put16(ip + 10, 0);
	wire_put16(ip + 10, (uint16_t)(~checksum_fold(checksum_add(0, ip, IP4)) + g->bad_ip_sum));
}

static void ip4_put(const struct segment *g, const struct ip_addr *src, const struct ip_addr *dst,
	uint32_t payload, uint8_t *ip)
{
	memset(ip, 0, IP4);
	ip[0] = 0x45;
	ip[1] = g->ecn;
	wire_put16(ip + 2, (uint16_t)(g->iplen >= 0 ? (uint32_t)g->iplen : IP4 + payload));
	wire_put16(ip + 4, (uint16_t)g->id);
	ip[8] = g->ttl || g->has_ttl ? g->ttl : 64;
	ip[9] = PROTOCOL_TCP;
	wire_put32(ip + 12, ip_to_v4(src));
	wire_put32(ip + 16, ip_to_v4(dst));
	ip4_checksum(g, ip);
}

static void ip6_put(const struct segment *g, const struct ip_addr *src, const struct ip_addr *dst,
	uint32_t payload, uint8_t *ip)
{
	memset(ip, 0, IP6);
	wire_put32(ip, 6u << 28 | (uint32_t)g->ecn << 20);
	wire_put16(ip + 4, (uint16_t)(g->iplen >= 0 ? (uint32_t)g->iplen : payload));
	ip[6] = PROTOCOL_TCP;
	ip[7] = g->ttl || g->has_ttl ? g->ttl : 64;
	memcpy(ip + 8, src->bytes, 16);
	memcpy(ip + 24, dst->bytes, 16);
}

uint32_t segment_to_packet(const struct segment *g, const struct segment_base *base, bool from_stack,
	uint8_t *packet, uint32_t *header)
{
	struct ip_addr src = from_stack ? segment_stack_addr(base->v6) : segment_peer_addr(base->v6);
	struct ip_addr dst = from_stack ? segment_peer_addr(base->v6) : segment_stack_addr(base->v6);

	if (!ip_is_unspecified(&g->src))
		src = g->src;
	if (!ip_is_unspecified(&g->dst))
		dst = g->dst;
	*header = ip_is_v4(&src) ? IP4 : IP6;
	uint32_t n = tcp_put(g, base, from_stack, &src, &dst, packet + *header);
	if (ip_is_v4(&src))
		ip4_put(g, &src, &dst, n, packet);
	else
		ip6_put(g, &src, &dst, n, packet);
	return *header + n;
}

/* Cuts a packet down to the fragment that g speaks of. Returns its length. */
static uint32_t fragment_put(const struct segment *g, uint8_t *ip, uint32_t header, uint32_t n)
{
	uint32_t payload = n - header, to = g->fragment_to ? g->fragment_to : payload,
		 from = g->fragment_from;
	bool more = g->fragment_to && to < payload;
	uint8_t *data = ip + header;

	to = to > payload ? payload : to;
	from = from > to ? to : from;
	memmove(data, data + from, to - from);
	if (header == IP4) {
		wire_put16(ip + 2, (uint16_t)(IP4 + to - from));
		wire_put16(ip + 6, (uint16_t)((more ? 0x2000 : 0) | from / 8));
		ip4_checksum(g, ip);
		return header + to - from;
	}
	memmove(data + FRAGMENT, data, to - from);
	data[0] = ip[6];
	data[1] = 0;
	wire_put16(data + 2, (uint16_t)((from & ~7u) | more));
	wire_put32(data + 4, g->id);
	ip[6] = PROTOCOL_FRAGMENT;
	wire_put16(ip + 4, (uint16_t)(FRAGMENT + to - from));
	return header + FRAGMENT + to - from;
}

uint32_t segment_to_frame(const struct segment *g, const struct segment_base *base, uint8_t *frame)
{
	bool v6 = ip_is_unspecified(&g->src) ? base->v6 : !ip_is_v4(&g->src);
	uint32_t eth = segment_eth_header(frame, g->vlan, v6), header;
	uint32_t n = segment_to_packet(g, base, false, frame + eth, &header);

	if (g->fragment)
		n = fragment_put(g, frame + eth, header, n);
	return eth + n - (uint32_t)g->cut;
}

/* Where the layers of a frame from the stack begin. */
struct layers {
	const uint8_t *ip, *tcp;
	uint32_t ip_n, l4_n;
	bool v6;
	uint16_t vlan;
	struct ip_addr src, dst;
};

/* False when it is no TCP segment. */
static bool layers_find(struct layers *l, const uint8_t *frame, uint32_t n)
{
	bool tagged = n >= ETH + VLAN && wire_get16(frame + 12) == TYPE_VLAN;
	uint32_t eth = tagged ? ETH + VLAN : ETH;

	if (n < eth + IP4 + TCP)
		return false;
	uint16_t type = wire_get16(frame + eth - 2);
	*l = (struct layers){.ip = frame + eth, .ip_n = n - eth, .v6 = type == TYPE_IP6};
	l->vlan = tagged ? wire_get16(frame + ETH) & 0xfff : 0;
	if (l->v6) {
		if (l->ip_n < IP6 + TCP || l->ip[6] != PROTOCOL_TCP)
			return false;
		l->tcp = l->ip + IP6;
		l->src = ip_v6(l->ip + 8);
		l->dst = ip_v6(l->ip + 24);
	} else {
		if (type != TYPE_IP4 || l->ip[9] != PROTOCOL_TCP)
			return false;
		l->tcp = l->ip + IP4;
		l->src = ip_v4(wire_get32(l->ip + 12));
		l->dst = ip_v4(wire_get32(l->ip + 16));
	}
	l->l4_n = l->ip_n - (uint32_t)(l->tcp - l->ip);
	return true;
}

static const char *frame_broken(const struct layers *l, const uint8_t *frame)
{
	uint32_t stated = l->v6 ? IP6 + wire_get16(l->ip + 4) : wire_get16(l->ip + 2);

	if (memcmp(frame, peer_mac, 6) || memcmp(frame + 6, stack_mac, 6))
		return "Ethernet addresses";
	if (stated != l->ip_n || (l->tcp[12] >> 4) * 4u > l->l4_n || l->tcp[12] >> 4 < 5 || l->tcp[12] & 15)
		return "lengths";
	if (!l->v6 && (l->ip[0] != 0x45 || checksum_fold(checksum_add(0, l->ip, IP4)) != 0xffff))
		return "the IPv4 checksum";
	if (!l->v6 && wire_get16(l->ip + 6) & 0x3fff)
		return "the fragment's offset";
	uint64_t sum = checksum_pseudo(&l->src, &l->dst, PROTOCOL_TCP, l->l4_n);
	if (checksum_fold(checksum_add(sum, l->tcp, l->l4_n)) != 0xffff)
		return "the TCP checksum";
	return NULL;
}

bool segment_from_frame(
	struct segment *g, struct segment_base *base, const uint8_t *frame, uint32_t n, const char **broken)
{
	struct layers l;

	if (!layers_find(&l, frame, n))
		return false;
	*broken = frame_broken(&l, frame);
	const uint8_t *tcp = l.tcp;
	uint32_t header = (tcp[12] >> 4) * 4u;
	*g = (struct segment){
		.flags = tcp[13],
		.stack_port = wire_get16(tcp),
		.peer_port = wire_get16(tcp + 2),
		.len = l.l4_n - header,
		.has_ack = tcp[13] & ACK,
		.has_win = true,
		.win = wire_get16(tcp + 14),
		.urg = wire_get16(tcp + 18),
		.has_options = true,
		.has_ecn = true,
		.ecn = l.v6 ? wire_get16(l.ip) >> 4 & 3 : l.ip[1] & 3,
		.has_urg = true,
		.has_dscp = true,
		.dscp = l.v6 ? wire_get16(l.ip) >> 6 & 63 : l.ip[1] >> 2,
		.has_ttl = true,
		.ttl = l.v6 ? l.ip[7] : l.ip[8],
		.has_vlan = true,
		.vlan = l.vlan,
		.src = l.src,
		.dst = l.dst,
	};
	if (*broken)
		return true;
	base->stack_isn = g->flags & SYN ? wire_get32(tcp + 4) : stack_isn(base, g->peer_port);
	if (base->isn_of_port)
		base->isn_of_port[g->peer_port] = base->stack_isn;
	segment_options_text(g, base, tcp + TCP, header - TCP);
	g->seq = (int32_t)(wire_get32(tcp + 4) - base->stack_isn);
	g->ack = g->has_ack ? (int32_t)(wire_get32(tcp + 8) - base->peer_isn) : 0;
	for (uint32_t i = 0; i < g->len; i++)
		if (tcp[header + i] != segment_byte(g->seq + !!(g->flags & SYN) + i))
			*broken = "a payload byte";
	return true;
}
