/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tcpstack/peer.h"

#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/checksum.h"

enum {
	ETH_BYTES = 14,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	TIMESTAMP_BYTES = 12,
	SYN_OPTION_BYTES = 20,
	PORT_FIRST = 1024,
	PORTS = 50000, /* an address of the peer */
	/* Of both more than a burst takes: the window stays open. */
	RX_BUFFERS = 1 << 16,
	RX_BUFFERS_A_CONN = 4,
	SENT_MAX = 4096,
	HUGEPAGE_BYTES = 2 << 20,
};

static const uint8_t stack_mac[6] = {2, 'G', 'w', 0, 0, 1}, peer_mac[6] = {2, 'G', 'w', 0, 0, 2};
static const uint32_t stack_addr = 0x0a090001, gateway = 0x0a090002, peer_net = 0xac100001;

/* Connections lie in memory as they do where a broker has hugepages: without, 100,000 of them measure the
 * misses of the TLB. */
static void *huge_alloc(void *ctx, size_t bytes, size_t align)
{
	(void)ctx;
	(void)align;
	bytes = (bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
	void *p = aligned_alloc(HUGEPAGE_BYTES, bytes);
	if (p)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static void huge_release(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	free(p);
}

static const struct pool_memory huge_memory = {.alloc = huge_alloc, .release = huge_release};

static void on_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct peer *p = ctx;

	MUST(p->sent_count + n <= SENT_MAX);
	memcpy(p->sent + p->sent_count, frames, n * sizeof(*frames));
	p->sent_count += n;
}

static struct ip_addr address_v6(uint32_t host)
{
	struct ip_addr a = {.bytes = {0xfd, 9}};

	wire_put32(a.bytes + 12, host);
	return a;
}

static struct ip_addr address(const struct peer *p, uint32_t host)
{
	return p->ipv6 ? address_v6(host) : ip_v4(host);
}

static unsigned index_of(const struct peer *p, const struct ip_addr *a, uint16_t port)
{
	uint32_t host = wire_get32(a->bytes + 12) - peer_net;
	unsigned i = host % 64 * PORTS + (unsigned)(port - PORT_FIRST);

	(void)p;
	return i;
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	struct peer *p = ctx;
	struct ip_addr a = tcp_conn_peer_addr(c);

	p->conns[index_of(p, &a, tcp_conn_peer_port(c))].conn = c;
	tcp_conn_set_user(c, p);
}

static void on_readable(struct tcp_conn *c)
{
	struct peer *p = tcp_conn_user(c);
	uint32_t n = tcp_conn_rx(c)->bytes;

	p->consumed_bytes += n;
	tcp_conn_rx_consume(c, n);
}

static void on_peer_closed(struct tcp_conn *c)
{
	tcp_conn_close(c);
}

static const struct tcp_app app = {
	.accepted = on_accepted, .readable = on_readable, .peer_closed = on_peer_closed};

void peer_init(struct peer *p, const struct peer_options *o)
{
	struct stack_config c;

	*p = (struct peer){.conn_count = o->conns, .offloads = o->offloads, .ipv6 = o->ipv6, .ts = 1000};
	p->now_us = 1000000;
	p->conns = calloc(o->conns, sizeof(*p->conns));
	p->sent = calloc(SENT_MAX, sizeof(struct rte_mbuf *));
	p->seen = calloc(SENT_MAX, sizeof(*p->seen));
	p->rx_pool = port_pool_create("bench_rx", 4095, port_pool_room(1500), -1);
	p->tx_pool = port_pool_create("bench_tx", 8191 + o->mbufs_tx, port_pool_room(1500), -1);
	MUST(p->conns && p->sent && p->seen && p->rx_pool && p->tx_pool);
	stack_config_defaults(&c);
	memcpy(c.mac, stack_mac, 6);
	stack_config_add(&c, ip_v4(stack_addr), 30);
	stack_config_add(&c, address_v6(stack_addr), 126);
	c.gateway_v4 = ip_v4(gateway);
	c.gateway_v6 = address_v6(gateway);
	c.tx_pool = p->tx_pool;
	c.tx_segments_max = 8191 + o->mbufs_tx;
	c.rx_buffers_max = RX_BUFFERS_A_CONN * o->conns + RX_BUFFERS; /* counted, as in a broker */
	c.conn_max = o->conns + 1024;
	c.keepalive_us = o->keepalive_us;
	c.quick_acks = 0; /* of a connection's beginning, which few of very many leave behind in a run */
	c.arp_lifetime_us = UINT32_MAX;
	c.dad_transmits = 0; /* addresses of IPv6 are used at once */
	c.key = (struct siphash_key){1, 2};
	c.memory = &huge_memory;
	c.tx = on_tx;
	c.tx_ctx = p;
	if (o->offloads)
		c.offload_flags = STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM |
				  STACK_OFFLOAD_RX_CKSUM | STACK_OFFLOAD_MULTI_SEG;
	p->stack = stack_create(&c, p->now_us);
	MUST(p->stack);
	MUST(tcp_listen(p->stack, NULL, PEER_PORT, NULL, &app, p, NULL) == 0);
}

void peer_fini(struct peer *p)
{
	peer_listen(p);
	stack_destroy(p->stack);
	free(p->conns);
	free(p->sent);
	free(p->seen);
	rte_mempool_free(p->rx_pool);
	rte_mempool_free(p->tx_pool);
}

static struct rte_mbuf *frame_empty(struct peer *p, uint16_t type, uint32_t bytes)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->rx_pool);

	MUST(m);
	uint8_t *h = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ETH_BYTES + bytes));
	MUST(h);
	memcpy(h, stack_mac, 6);
	memcpy(h + 6, peer_mac, 6);
	wire_put16(h + 12, type);
	return m;
}

static uint32_t options_put(struct peer *p, uint8_t *o, const struct peer_conn *c, bool syn)
{
	if (syn) {
		wire_put32(o, 2 << 24 | 4 << 16 | (p->ipv6 ? 1440 : 1460));
		wire_put32(o + 4, 0x01030307);
		o += 8;
	}
	wire_put32(o, syn ? 0x0402080a : 0x0101080a); /* SACK is permitted */
	wire_put32(o + 4, p->ts);
	wire_put32(o + 8, c->ts_echo);
	return syn ? SYN_OPTION_BYTES : TIMESTAMP_BYTES;
}

static void ip_put(
	struct peer *p, uint8_t *h, uint32_t n, const struct ip_addr *src, const struct ip_addr *dst)
{
	if (p->ipv6) {
		wire_put32(h, 6u << 28);
		wire_put16(h + 4, (uint16_t)n);
		h[6] = 6;
		h[7] = 64;
		memcpy(h + 8, src->bytes, 16);
		memcpy(h + 24, dst->bytes, 16);
		return;
	}
	memset(h, 0, IPV4_BYTES);
	h[0] = 0x45;
	wire_put16(h + 2, (uint16_t)(IPV4_BYTES + n));
	h[6] = 0x40;
	h[8] = 64;
	h[9] = 6;
	wire_put32(h + 12, ip_to_v4(src));
	wire_put32(h + 16, ip_to_v4(dst));
	if (!p->offloads)
		wire_put16(h + 10, (uint16_t)~checksum_fold(checksum_add(0, h, IPV4_BYTES)));
}

struct rte_mbuf *peer_frame(struct peer *p, unsigned i, uint8_t flags, uint32_t n)
{
	struct peer_conn *c = &p->conns[i];
	bool syn = flags & PEER_SYN;
	uint32_t ip = p->ipv6 ? IPV6_BYTES : IPV4_BYTES;
	uint32_t header = TCP_BYTES + (syn ? SYN_OPTION_BYTES : TIMESTAMP_BYTES);
	struct rte_mbuf *m = frame_empty(p, p->ipv6 ? 0x86dd : 0x0800, ip + header + n);
	uint8_t *h = rte_pktmbuf_mtod_offset(m, uint8_t *, ETH_BYTES), *t = h + ip;
	/* Each incarnation of a connection comes from another address. */
	struct ip_addr src = address(p, peer_net + 64 * (p->incarnation % 4096) + i / PORTS);
	struct ip_addr dst = address(p, stack_addr);

	wire_put16(t, (uint16_t)(PORT_FIRST + i % PORTS));
	wire_put16(t + 2, PEER_PORT);
	wire_put32(t + 4, c->seq);
	wire_put32(t + 8, c->ack);
	options_put(p, t + TCP_BYTES, c, syn);
	t[12] = (uint8_t)(header / 4 << 4);
	t[13] = flags;
	wire_put16(t + 14, syn ? 65535 : 8192);
	wire_put32(t + 16, 0);
	ip_put(p, h, header + n, &src, &dst);
	if (p->offloads) {
		m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	} else {
		uint64_t sum = checksum_pseudo(&src, &dst, 6, header + n);
		wire_put16(t + 16, (uint16_t)~checksum_fold(checksum_add(sum, t, header + n)));
	}
	c->seq += n + syn + !!(flags & PEER_FIN);
	return m;
}

static void arp_answer(struct peer *p)
{
	struct rte_mbuf *m = frame_empty(p, 0x0806, 28);
	uint8_t *a = rte_pktmbuf_mtod_offset(m, uint8_t *, ETH_BYTES);

	wire_put32(a, 0x00010800);
	wire_put32(a + 4, 0x06040002);
	memcpy(a + 8, peer_mac, 6);
	wire_put32(a + 14, gateway);
	memcpy(a + 18, stack_mac, 6);
	wire_put32(a + 24, stack_addr);
	stack_input(p->stack, &m, 1, p->now_us);
	stack_output(p->stack, p->now_us);
}

/* An advertisement for what was solicited (RFC 4861 section 4.4). */
static void nd_answer(struct peer *p, const uint8_t *solicitation)
{
	enum { BYTES = 32 };
	struct rte_mbuf *m = frame_empty(p, 0x86dd, IPV6_BYTES + BYTES);
	uint8_t *h = rte_pktmbuf_mtod_offset(m, uint8_t *, ETH_BYTES), *a = h + IPV6_BYTES;
	struct ip_addr src = ip_v6(solicitation + IPV6_BYTES + 8), dst = ip_v6(solicitation + 8);

	if (ip_is_unspecified(&dst)) { /* it only asks whether its own address is free */
		rte_pktmbuf_free(m);
		return;
	}
	ip_put(p, h, BYTES, &src, &dst);
	h[6] = 58;
	h[7] = 255;
	memset(a, 0, BYTES);
	a[0] = 136;
	a[4] = 0x60;
	memcpy(a + 8, src.bytes, 16);
	a[24] = 2;
	a[25] = 1;
	memcpy(a + 26, peer_mac, 6);
	uint64_t sum = checksum_pseudo(&src, &dst, 58, BYTES);
	wire_put16(a + 2, (uint16_t)~checksum_fold(checksum_add(sum, a, BYTES)));
	stack_input(p->stack, &m, 1, p->now_us);
	stack_output(p->stack, p->now_us);
}

static void segment_seen(struct peer *p, const uint8_t *h)
{
	bool v6 = h[0] >> 4 == 6;
	const uint8_t *t = h + (v6 ? IPV6_BYTES : IPV4_BYTES);
	struct ip_addr to = v6 ? ip_v6(h + 24) : ip_v4(wire_get32(h + 16));
	uint32_t header = (t[12] >> 4) * 4u;
	uint32_t n = (v6 ? wire_get16(h + 4) : wire_get16(h + 2) - (uint32_t)IPV4_BYTES) - header;
	struct peer_conn *c = &p->conns[index_of(p, &to, wire_get16(t + 2))];

	p->acks_seen += n == 0;
	if (!p->acknowledges_not)
		c->ack = wire_get32(t + 4) + n + !!(t[13] & PEER_SYN) + !!(t[13] & PEER_FIN);
	if (n && p->seen_count < SENT_MAX)
		p->seen[p->seen_count++] = (struct peer_seen){(unsigned)(c - p->conns), c->ack};
	c->established |= (t[13] & PEER_SYN) != 0;
	c->finished |= (t[13] & PEER_FIN) != 0;
	/* On a SYN-ACK the timestamps follow the MSS. */
	const uint8_t *o = t + TCP_BYTES + (t[13] & PEER_SYN ? 8 : 4);
	if (header > TCP_BYTES)
		c->ts_echo = wire_get32(o);
}

void peer_listen(struct peer *p)
{
	for (unsigned i = 0; i < p->sent_count; i++) {
		struct rte_mbuf *m = p->sent[i];
		const uint8_t *h = rte_pktmbuf_mtod(m, const uint8_t *);
		uint16_t type = wire_get16(h + 12);
		const uint8_t *ip = h + ETH_BYTES;
		if (type == 0x0806 && wire_get32(ip + 24) == gateway)
			arp_answer(p);
		else if (type == 0x86dd && ip[6] == 58 && ip[IPV6_BYTES] == 135)
			nd_answer(p, ip);
		else if (type != 0x0806 && (type != 0x86dd || ip[6] == 6))
			segment_seen(p, ip);
	}
	rte_pktmbuf_free_bulk(p->sent, p->sent_count);
	p->sent_count = 0;
}

unsigned peer_acknowledge(struct peer *p, struct rte_mbuf **frames, unsigned n)
{
	n = RTE_MIN(n, p->seen_count);
	for (unsigned i = 0; i < n; i++) {
		struct peer_conn *c = &p->conns[p->seen[i].conn];
		c->ack = p->seen[i].ack;
		frames[i] = peer_frame(p, p->seen[i].conn, PEER_ACK, 0);
	}
	p->seen_count -= n;
	memmove(p->seen, p->seen + n, p->seen_count * sizeof(*p->seen));
	return n;
}

void peer_open(struct peer *p, unsigned first, unsigned n)
{
	struct rte_mbuf *frames[STACK_BURST];

	if (!p->resolved && n > 1) {
		/* The first answer waits for the gateway's address; a burst of them would not fit there. */
		peer_open(p, first, 1);
		first++, n--;
	}
	for (unsigned i = 0; i < n; i++)
		frames[i] = peer_frame(p, first + i, PEER_SYN, 0);
	stack_input(p->stack, frames, n, p->now_us);
	stack_output(p->stack, p->now_us);
	peer_listen(p);
	p->resolved = true;
	for (unsigned i = 0; i < n; i++) {
		MUST(p->conns[first + i].established);
		frames[i] = peer_frame(p, first + i, PEER_ACK, 0);
	}
	stack_input(p->stack, frames, n, p->now_us);
	stack_output(p->stack, p->now_us);
	peer_listen(p);
	for (unsigned i = 0; i < n; i++)
		MUST(p->conns[first + i].conn);
}
