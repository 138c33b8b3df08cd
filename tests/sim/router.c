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
	ND_HOPS = 255,
	ROUTER_SOLICIT = 133,
	ROUTER_ADVERT = 134,
	NEIGHBOUR_SOLICIT = 135,
	NEIGHBOUR_ADVERT = 136,
	SOURCE_MAC = 1,
	TARGET_MAC = 2,
	ND_OPTION_BYTES = 8,
	LIFETIME_S = 9000,
};

struct rte_mbuf *sim_router_arp_answer(
	struct rte_mempool *pool, const struct sim_frame *request, const struct sim_router *r)
{
	const uint8_t *q = request->bytes + request->l3_at;
	struct rte_mbuf *m;

	if (request->type != 0x0806 || request->length < request->l3_at + ARP_BYTES ||
		wire_get16(q + 6) != 1 || wire_get32(q + 24) != ip_to_v4(&r->address) ||
		!(m = rte_pktmbuf_alloc(pool)))
		return NULL;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, ETH_BYTES + ARP_BYTES);
	memcpy(p, request->bytes + 6, 6);
	memcpy(p + 6, r->mac, 6);
	memcpy(p + 12, (const uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, 10);
	memcpy(p + 22, r->mac, 6);
	wire_put32(p + 28, ip_to_v4(&r->address));
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
	uint32_t bytes = m->pkt_len, at = protocol == SIM_PROTOCOL_TCP ? TCP_CHECKSUM_AT : 2;
	uint64_t sum = protocol == PROTOCOL_ICMP ? 0 : checksum_pseudo(src, dst, protocol, bytes);

	wire_put16(l4 + at, 0);
	wire_put16(l4 + at, (uint16_t)~checksum_fold(checksum_add(sum, l4, bytes)));
	if (ip_is_v4(src))
		ipv4_prepend(m, src, dst, protocol);
	else
		ipv6_prepend(m, src, dst, protocol);
}

/* Ethernet's header; the destination is the caller's. */
static uint8_t *ethernet_prepend(struct rte_mbuf *m, const struct sim_router *r, uint16_t type)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, ETH_BYTES);

	memcpy(p + 6, r->mac, 6);
	wire_put16(p + 12, type);
	*sim_mark(m) = 0;
	return p;
}

static void nd_option(uint8_t *p, uint8_t kind, const struct sim_router *r)
{
	p[0] = kind;
	p[1] = 1;
	memcpy(p + 2, r->mac, 6);
}

/* m holds a message; it goes to the sender of to, or to all nodes (NULL). */
static struct rte_mbuf *nd_finish(
	struct rte_mbuf *m, const struct sim_router *r, const struct ip_addr *src, const struct sim_frame *to)
{
	const struct ip_addr all_nodes = ip_v6((const uint8_t[16]){0xff, 2, [15] = 1});

	sim_router_ip_prepend(m, src, to ? &to->src : &all_nodes, SIM_PROTOCOL_ICMPV6);
	rte_pktmbuf_mtod(m, uint8_t *)[7] = ND_HOPS;
	uint8_t *p = ethernet_prepend(m, r, 0x86dd);
	memcpy(p, to ? to->bytes + 6 : (const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 6);
	return m;
}

static uint8_t icmp_type(const struct sim_frame *f)
{
	return f->protocol == SIM_PROTOCOL_ICMPV6 && f->l4_bytes >= ICMP_BYTES ? f->bytes[f->l4_at] : 0;
}

bool sim_router_solicited(const struct sim_frame *f)
{
	return icmp_type(f) == ROUTER_SOLICIT;
}

struct rte_mbuf *sim_router_nd_answer(
	struct rte_mempool *pool, const struct sim_frame *f, const struct sim_router *r)
{
	struct rte_mbuf *m;

	if (icmp_type(f) != NEIGHBOUR_SOLICIT || f->l4_bytes < ICMP_BYTES + 16 || ip_is_unspecified(&f->src))
		return NULL;
	struct ip_addr target = ip_v6(f->bytes + f->l4_at + ICMP_BYTES);
	if ((!ip_equal(&target, &r->address) && !ip_equal(&target, &r->link_local)) ||
		!(m = rte_pktmbuf_alloc(pool)))
		return NULL;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, ICMP_BYTES + 16 + ND_OPTION_BYTES);
	memset(p, 0, ICMP_BYTES);
	p[0] = NEIGHBOUR_ADVERT;
	p[4] = 0xe0; /* a router, solicited, overriding */
	memcpy(p + ICMP_BYTES, target.bytes, 16);
	nd_option(p + ICMP_BYTES + 16, TARGET_MAC, r);
	return nd_finish(m, r, &target, f);
}

struct rte_mbuf *sim_router_advert(struct rte_mempool *pool, const struct sim_router *r)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (!m)
		return NULL;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, ICMP_BYTES + 8 + ND_OPTION_BYTES);
	memset(p, 0, ICMP_BYTES + 8);
	p[0] = ROUTER_ADVERT;
	p[4] = 64;
	wire_put16(p + 6, LIFETIME_S);
	nd_option(p + ICMP_BYTES + 8, SOURCE_MAC, r);
	return nd_finish(m, r, &r->link_local, NULL);
}

struct rte_mbuf *sim_router_too_big(
	struct rte_mempool *pool, const struct sim_frame *f, const struct sim_router *r, uint32_t mtu)
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
	sim_router_ip_prepend(m, &r->address, &f->src, v4 ? PROTOCOL_ICMP : SIM_PROTOCOL_ICMPV6);
	ethernet_prepend(m, r, f->type);
	return m;
}
