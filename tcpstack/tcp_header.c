/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of nearly every segment of a connection over IPv4, Ethernet's to TCP's, written in one go: no
 * options but timestamps, nothing urgent, a neighbour that is known. The others are made layer by layer
 * (tcp_output.c, ipv4.c, neighbour.c, eth.c); tcp_fast_test.c holds the two against each other. */
#include "tcpstack/checksum.h"
#include "tcpstack/neighbour.h"
#include "tcpstack/tcp_impl.h"

enum { IPV4_DF = 0x4000, PSEUDO_BYTES = 8 };

/* The neighbour on the way to a peer that needs no question; NULL: the long way finds out. */
static const struct neighbour *hop_to(struct stack *s, const struct ip_addr *dst)
{
	struct neighbour_hop *hop = neighbour_hop_of(s, dst);

	if (!ip_equal(&hop->dst, dst))
		return neighbour_hop_learn(s, hop, dst);
	return hop->neighbour->state == NEIGHBOUR_STALE ? NULL : hop->neighbour;
}

/* Ones' complement sum of the pseudo header's addresses, as they lie in memory. */
static uint64_t addresses_sum(const struct tcp_tuple *t)
{
	return (t->laddr.word[1] >> 32) + (t->raddr.word[1] >> 32);
}

static uint16_t pseudo_sum(const struct tcp_tuple *t, uint32_t tcp_bytes)
{
	uint64_t sum = addresses_sum(t) + ((uint64_t)__builtin_bswap16((uint16_t)tcp_bytes)) +
		       ((uint64_t)IP_PROTOCOL_TCP << 8);

	return __builtin_bswap16(checksum_fold(sum));
}

static uint8_t *ethernet_put(const struct stack *s, uint8_t *h, const struct neighbour *to)
{
	memcpy(h, to->mac, 6);
	memcpy(h + 6, s->config.mac, 6);
	h += ETH_HEADER_BYTES - 2;
	if (s->config.vlan) {
		wire_put32(h, (uint32_t)ETH_TYPE_VLAN << 16 | s->config.vlan);
		h += ETH_TAG_BYTES;
	}
	wire_put16(h, ETH_TYPE_IPV4);
	return h + 2;
}

/* With its checksum, unless the port makes that. */
static void ipv4_put(const struct tcp_conn *c, uint8_t *h, uint32_t total, uint8_t ecn)
{
	uint8_t ttl = c->hop_limit ? c->hop_limit : IPV4_TTL;

	wire_put64(h, 0x45ull << 56 | (uint64_t)(uint8_t)(c->dscp << 2 | ecn) << 48 | (uint64_t)total << 32 |
			      IPV4_DF);
	wire_put32(h + 8, (uint32_t)ttl << 24 | IP_PROTOCOL_TCP << 16);
	memcpy(h + 12, c->tuple.laddr.bytes + IP_V4_AT, 4);
	memcpy(h + 16, c->tuple.raddr.bytes + IP_V4_AT, 4);
	if (!(c->stack->config.offload_flags & STACK_OFFLOAD_TX_IPV4_CKSUM))
		wire_put16(h + 10, (uint16_t)~checksum_fold(checksum_add(0, h, IPV4_HEADER_BYTES)));
}

static void tcp_put(const struct tcp_conn *c, uint8_t *h, uint32_t seq, uint32_t word)
{
	wire_put32(h, (uint32_t)c->tuple.lport << 16 | c->tuple.rport);
	wire_put32(h + 4, seq);
	wire_put32(h + 8, c->rcv_nxt);
	wire_put32(h + 12, word);
	wire_put32(h + 16, 0);
	if (c->timestamps) {
		wire_put32(h + 20, 0x0101080a);
		wire_put32(h + 24, tcp_timestamp(c));
		wire_put32(h + 28, c->ts_recent);
	}
}

/* What the port is to do, and TCP's checksum. h: TCP's header; total: the packet's length. */
static void sums_put(
	const struct tcp_conn *c, struct rte_mbuf *m, uint8_t *h, uint32_t header, uint32_t total)
{
	uint32_t offloads = c->stack->config.offload_flags, tcp_bytes = total - IPV4_HEADER_BYTES;
	uint64_t flags = 0;

	if (m->tso_segsz) {
		/* Without the length, which the port adds for each piece. */
		flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
		tcp_bytes = 0;
	} else if (offloads & STACK_OFFLOAD_TX_TCP_CKSUM) {
		flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	}
	if (offloads & STACK_OFFLOAD_TX_IPV4_CKSUM)
		flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	wire_put16(h + 16, pseudo_sum(&c->tuple, tcp_bytes));
	if (!(flags & RTE_MBUF_F_TX_TCP_CKSUM)) {
		uint32_t at = m->pkt_len - tcp_bytes;
		wire_put16(h + 16, (uint16_t)~checksum_fold(checksum_add_mbuf(0, m, at, tcp_bytes)));
	}
	m->ol_flags = flags;
	m->tx_offload = rte_mbuf_tx_offload(
		m->pkt_len - total, IPV4_HEADER_BYTES, header, m->tso_segsz, 0, 0, 0);
}

bool tcp_header_plain_take(
	struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags, uint16_t window, uint8_t ecn)
{
	struct stack *s = c->stack;

	if ((flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK || c->urgent_out || c->may_fragment ||
		c->sack_rx.count || c->sack_rx.has_duplicate || s->config.long_way_only ||
		!ip_is_v4(&c->tuple.raddr))
		return false;
	const struct neighbour *to = hop_to(s, &c->tuple.raddr);
	if (!to)
		return false;
	uint32_t header = TCP_HEADER_BYTES + (c->timestamps ? TCP_TIMESTAMP_BYTES : 0);
	uint32_t l2 = ETH_HEADER_BYTES + (s->config.vlan ? ETH_TAG_BYTES : 0);
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)(l2 + IPV4_HEADER_BYTES + header));
	MUST(h);
	uint32_t total = m->pkt_len - l2;
	h = ethernet_put(s, h, to);
	ipv4_put(c, h, total, ecn);
	h += IPV4_HEADER_BYTES;
	tcp_put(c, h, seq, header << 26 | (uint32_t)flags << 16 | window);
	sums_put(c, m, h, header, total);
	COUNT(s, tcp_segments_out);
	stack_transmit_take(s, m);
	return true;
}
