/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/router.h"

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/checksum.h"

enum {
	ETH_BYTES = 14,
	ARP_BYTES = 28,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_CHECKSUM_AT = 16,
	ICMP_BYTES = 8,
	QUOTED_BYTES = 20,
	ICMP_UNREACHABLE = 3,
	ICMP_FRAGMENTATION_NEEDED = 4,
	PROTOCOL_ICMP = 1,
	ICMPV6_TOO_BIG = 2,
	PROTOCOL_TCP = 6,
	PROTOCOL_ICMPV6 = 58,
};

struct rte_mbuf *sim_router_arp_answer(struct rte_mempool *pool, const struct sim_frame *request,
	const struct ip_addr *router, const uint8_t router_mac[6])
{
	const uint8_t *q = request->bytes + request->l3_at;
	struct rte_mbuf *m;

	if (request->type != 0x0806 || request->length < request->l3_at + ARP_BYTES ||
		wire_get16(q + 6) != 1 || wire_get32(q + 24) != ip_to_v4(router) ||
		!(m = rte_pktmbuf_alloc(pool)))
		return NULL;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, ETH_BYTES + ARP_BYTES);
	memcpy(p, request->bytes + 6, 6);
	memcpy(p + 6, router_mac, 6);
	memcpy(p + 12, (const uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, 10);
	memcpy(p + 22, router_mac, 6);
	wire_put32(p + 28, ip_to_v4(router));
	memcpy(p + 32, q + 8, 10);
	*sim_mark(m) = 0;
	return m;
}

static void ipv4_prepend(
	struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, IPV4_BYTES);

	MUST(p);
	memset(p, 0, IPV4_BYTES);
	p[0] = 0x45;
	wire_put16(p + 2, (uint16_t)m->pkt_len);
	p[8] = 64;
	p[9] = protocol;
	wire_put32(p + 12, ip_to_v4(src));
	wire_put32(p + 16, ip_to_v4(dst));
	wire_put16(p + 10, (uint16_t)~checksum_fold(checksum_add(0, p, IPV4_BYTES)));
}

static void ipv6_prepend(
	struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, IPV6_BYTES);

	MUST(p);
	memset(p, 0, IPV6_BYTES);
	p[0] = 0x60;
	wire_put16(p + 4, (uint16_t)(m->pkt_len - IPV6_BYTES));
	p[6] = protocol;
	p[7] = 64;
	memcpy(p + 8, src->bytes, 16);
	memcpy(p + 24, dst->bytes, 16);
}

void sim_router_ip_prepend(
	struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol)
{
	uint8_t *l4 = rte_pktmbuf_mtod(m, uint8_t *);
	uint32_t bytes = m->pkt_len, at = protocol == PROTOCOL_TCP ? TCP_CHECKSUM_AT : 2;
	uint64_t sum = protocol == PROTOCOL_ICMP ? 0 : checksum_pseudo(src, dst, protocol, bytes);

	wire_put16(l4 + at, 0);
	wire_put16(l4 + at, (uint16_t)~checksum_fold(checksum_add(sum, l4, bytes)));
	if (ip_is_v4(src))
		ipv4_prepend(m, src, dst, protocol);
	else
		ipv6_prepend(m, src, dst, protocol);
}

struct rte_mbuf *sim_router_too_big(
	struct rte_mempool *pool, const struct sim_frame *f, const struct ip_addr *router, uint32_t mtu)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint16_t quoted = (uint16_t)(f->l4_at - f->l3_at + QUOTED_BYTES);
	bool v4 = f->version == 4;

	if (!m)
		return NULL;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ICMP_BYTES + quoted));
	memset(p, 0, ICMP_BYTES);
	p[0] = v4 ? ICMP_UNREACHABLE : ICMPV6_TOO_BIG;
	p[1] = v4 ? ICMP_FRAGMENTATION_NEEDED : 0;
	wire_put16(p + 6, (uint16_t)mtu);
	memcpy(p + ICMP_BYTES, f->bytes + f->l3_at, quoted);
	sim_router_ip_prepend(m, router, &f->src, v4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
	p = (uint8_t *)rte_pktmbuf_prepend(m, ETH_BYTES);
	wire_put16(p + 12, f->type);
	*sim_mark(m) = 0;
	return m;
}
