/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as frames, and back. */
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/segment.h"

enum { FIN = 1, SYN = 2, ACK = 16 };
enum { IP4 = 20, IP6 = 40, TCP = 20 };
enum { TYPE_IP4 = 0x0800, TYPE_IP6 = 0x86dd, PROTOCOL_TCP = 6 };

uint8_t segment_byte(int64_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8));
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

uint32_t segment_to_packet(const struct segment *g, const struct segment_base *base, bool from_stack,
	uint8_t *packet, uint32_t *header)
{
	struct ip_addr src, dst;
	bool v6 = g->below.has_src ? !ip_is_v4(&g->below.src) : base->v6;

	packet_ends(&g->below, v6, &src, &dst);
	if (from_stack) {
		src = g->below.has_src ? g->below.src : segment_stack_addr(v6);
		dst = g->below.has_dst ? g->below.dst : segment_peer_addr(v6);
	}
	*header = packet_headers(&g->below, !ip_is_v4(&dst));
	uint32_t n = tcp_put(g, base, from_stack, &src, &dst, packet + *header);
	return packet_put(&g->below, &src, &dst, PROTOCOL_TCP, packet, n);
}

uint32_t segment_to_frame(const struct segment *g, const struct segment_base *base, uint8_t *frame)
{
	bool v6 = g->below.has_src ? !ip_is_v4(&g->below.src) : base->v6;
	uint32_t eth = packet_eth(&g->below, v6 ? TYPE_IP6 : TYPE_IP4, frame), header;
	uint32_t n = eth + segment_to_packet(g, base, false, frame + eth, &header);

	return g->below.cut < n ? n - g->below.cut : 0;
}

static const char *frame_broken(const struct packet_seen *l)
{
	const uint8_t *tcp = l->payload;
	bool v6 = l->type == TYPE_IP6;
	uint32_t stated = v6 ? IP6 + wire_get16(l->ip + 4) : wire_get16(l->ip + 2);

	if (memcmp(l->p.eth_dst, peer_mac, 6) || memcmp(l->p.eth_src, stack_mac, 6))
		return "Ethernet addresses";
	if (stated != l->ip_n || (tcp[12] >> 4) * 4u > l->payload_n || tcp[12] >> 4 < 5 || tcp[12] & 15)
		return "lengths";
	if (!v6 && (l->ip[0] != 0x45 || checksum_fold(checksum_add(0, l->ip, IP4)) != 0xffff))
		return "the IPv4 checksum";
	if (!v6 && wire_get16(l->ip + 6) & 0x3fff)
		return "the fragment's offset";
	uint64_t sum = checksum_pseudo(&l->p.src, &l->p.dst, PROTOCOL_TCP, l->payload_n);
	if (checksum_fold(checksum_add(sum, tcp, l->payload_n)) != 0xffff)
		return "the TCP checksum";
	return NULL;
}

bool segment_from_frame(
	struct segment *g, struct segment_base *base, const uint8_t *frame, uint32_t n, const char **broken)
{
	struct packet_seen l;

	if (!packet_read(&l, frame, n) || !l.ip || l.protocol != PROTOCOL_TCP || l.payload_n < TCP)
		return false;
	*broken = frame_broken(&l);
	const uint8_t *tcp = l.payload;
	uint32_t header = (tcp[12] >> 4) * 4u;
	*g = (struct segment){
		.flags = tcp[13],
		.stack_port = wire_get16(tcp),
		.peer_port = wire_get16(tcp + 2),
		.len = l.payload_n - header,
		.has_ack = tcp[13] & ACK,
		.has_win = true,
		.win = wire_get16(tcp + 14),
		.urg = wire_get16(tcp + 18),
		.has_options = true,
		.has_urg = true,
		.below = l.p,
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
