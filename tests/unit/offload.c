/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/offload.h"

#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tcpstack/stack.h"

enum { ETH = 14, VLAN = 4, IP4 = 20, IP6 = 40, PROTOCOL_TCP = 6, FIN = 1, PSH = 8, CWR = 128 };

/* Where the headers of a complete frame lie. */
struct headers {
	uint32_t ip, tcp, payload; /* offsets */
	bool v6;
};

static struct headers headers_of(const uint8_t *f)
{
	struct headers h = {.ip = wire_get16(f + 12) == 0x8100 ? ETH + VLAN : ETH};

	h.v6 = wire_get16(f + h.ip - 2) == 0x86dd;
	h.tcp = h.ip + (h.v6 ? IP6 : IP4);
	h.payload = h.tcp + (f[h.tcp + 12] >> 4) * 4u;
	return h;
}

static const char *checksums_fill(uint8_t *f, uint32_t n, uint64_t flags)
{
	struct headers h = headers_of(f);

	if (flags & RTE_MBUF_F_TX_IP_CKSUM && !h.v6) {
		if (wire_get16(f + h.ip + 10))
			return "the IPv4 checksum's field is not 0 where the port fills it";
		wire_put16(f + h.ip + 10, (uint16_t)~checksum_fold(checksum_add(0, f + h.ip, IP4)));
	}
	if ((flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM)
		wire_put16(f + h.tcp + 16, (uint16_t)~checksum_fold(checksum_add(0, f + h.tcp, n - h.tcp)));
	return NULL;
}

/* One of the segments of a large one: n bytes of payload from offset at. */
static void piece_send(const struct offload_port *p, const uint8_t *f, const struct headers *h, uint32_t at,
	uint32_t n, bool last)
{
	static uint8_t piece[UINT16_MAX];
	uint8_t *tcp = piece + h->tcp;
	uint32_t length = h->payload + n, l4 = length - h->tcp;
	struct ip_addr src, dst;

	memcpy(piece, f, h->payload);
	memcpy(piece + h->payload, f + h->payload + at, n);
	if (h->v6) {
		wire_put16(piece + h->ip + 4, (uint16_t)(length - h->tcp));
		src = ip_v6(piece + h->ip + 8);
		dst = ip_v6(piece + h->ip + 24);
	} else {
		wire_put16(piece + h->ip + 2, (uint16_t)(length - h->ip));
		wire_put16(piece + h->ip + 10, 0);
		wire_put16(piece + h->ip + 10, (uint16_t)~checksum_fold(checksum_add(0, piece + h->ip, IP4)));
		src = ip_v4(wire_get32(piece + h->ip + 12));
		dst = ip_v4(wire_get32(piece + h->ip + 16));
	}
	wire_put32(tcp + 4, wire_get32(tcp + 4) + at);
	if (!last)
		tcp[13] &= (uint8_t) ~(FIN | PSH);
	if (at)
		tcp[13] &= (uint8_t)~CWR;
	wire_put16(tcp + 16, 0);
	wire_put16(tcp + 16, (uint16_t)~checksum_fold(
				     checksum_add(checksum_pseudo(&src, &dst, PROTOCOL_TCP, l4), tcp, l4)));
	p->out(p->ctx, piece, length);
}

static const char *large_send(const struct offload_port *p, const uint8_t *f, uint32_t n, uint32_t size)
{
	struct headers h = headers_of(f);
	uint32_t payload = n - h.payload;

	/* Some ports send garbage for a large segment of one piece. */
	if (size == 0 || payload <= size)
		return "a segment is to be cut that is one piece";
	for (uint32_t at = 0; at < payload; at += size) {
		bool last = payload - at <= size;
		piece_send(p, f, &h, at, last ? payload - at : size, last);
	}
	return NULL;
}

const char *offload_send(const struct offload_port *p, const struct rte_mbuf *m)
{
	static uint8_t frame[UINT16_MAX];
	uint64_t l4 = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;

	if (m->pkt_len > sizeof(frame))
		return "a frame of more than 64 KiB";
	if (m->nb_segs > 1 && !(p->flags & STACK_OFFLOAD_MULTI_SEG))
		return "a frame in several buffers for a port that takes one";
	if ((m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM && !(p->flags & STACK_OFFLOAD_TX_IPV4_CKSUM)) ||
		(l4 && !(p->flags & STACK_OFFLOAD_TX_TCP_CKSUM)) ||
		(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG && !(p->flags & STACK_OFFLOAD_TX_TSO)))
		return "work for a port that does not do it";
	const void *data = rte_pktmbuf_read(m, 0, m->pkt_len, frame);
	if (data != frame)
		memcpy(frame, data, m->pkt_len);
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		return large_send(p, frame, m->pkt_len, m->tso_segsz);
	const char *wrong = checksums_fill(frame, m->pkt_len, m->ol_flags);
	p->out(p->ctx, frame, m->pkt_len);
	return wrong;
}
