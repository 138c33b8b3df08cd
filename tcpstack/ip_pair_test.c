/* SPDX-License-Identifier: Apache-2.0 */
/* Two stacks over every kind of IP: TCP connects, carries data both ways and closes; the wire is a queue of
 * frames, looked at as they pass. */
#include "tcpstack/checksum.h"
#include "tcpstack/neighbour.h"
#include "tcpstack/tcp.h"
#include "tests/unit/unit.h"

enum { PORT = 5672, WIRE_MAX = 4096 };

struct end {
	struct stack *stack;
	struct rte_mempool *pool;
	struct ip_addr addr;
	struct rte_mbuf *queue[WIRE_MAX]; /* on their way to it */
	unsigned n;
	struct end *other;
};

static struct end a, b;
static struct rte_mempool *rx_pool;
static uint64_t now_us;
static struct tcp_conn *server, *client;
static unsigned connected, closed;
static uint32_t flow_label; /* the last TCP packet's from a */
static unsigned flow_labels, header_bytes;

static uint32_t tcp_at(const uint8_t *p, uint32_t ip_at)
{
	if (p[ip_at] >> 4 == 4)
		return p[ip_at + 9] == IP_PROTOCOL_TCP ? ip_at + 20 : 0;
	return p[ip_at + 6] == IP_PROTOCOL_TCP ? ip_at + 40 : 0;
}

static void look(struct rte_mbuf *m)
{
	const uint8_t *p = frame_data(m);
	uint32_t ip_at = wire_get16(p + 12) == ETH_TYPE_VLAN ? 18 : 14;

	if (wire_get16(p + ip_at - 2) == ETH_TYPE_ARP || !tcp_at(p, ip_at))
		return;
	header_bytes = tcp_at(p, ip_at);
	uint32_t label = wire_get32(p + ip_at) & 0xfffff;
	if (p[ip_at] >> 4 == 6 && label != flow_label) {
		flow_label = label;
		flow_labels++;
	}
}

/* What a port with the offloads does: fills in the checksums of marked frames. */
static void offload(struct rte_mbuf *m)
{
	uint8_t *p = frame_data(m), *ip = p + m->l2_len;

	if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM)
		wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, m->l3_len)));
	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM) {
		uint32_t at = m->l2_len + m->l3_len;
		CU_ASSERT_EQUAL(!(m->ol_flags & RTE_MBUF_F_TX_IPV6), ip[0] >> 4 == 4);
		wire_put16(
			p + at + 16, (uint16_t)~checksum_fold(checksum_add_mbuf(0, m, at, m->pkt_len - at)));
	}
}

static void tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct end *from = ctx, *to = from->other;

	for (unsigned i = 0; i < n; i++) {
		uint8_t *room;
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);
		MUST(m && to->n < WIRE_MAX);
		if (from == &a)
			look(frames[i]);
		offload(frames[i]);
		room = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)frames[i]->pkt_len);
		MUST(room);
		uint32_t at = 0;
		for (struct rte_mbuf *g = frames[i]; g; at += g->data_len, g = g->next)
			memcpy(room + at, frame_data(g), g->data_len);
		to->queue[to->n++] = m;
		rte_pktmbuf_free(frames[i]);
	}
}

static void deliver(struct end *e)
{
	unsigned n = e->n;
	static struct rte_mbuf *burst[WIRE_MAX];

	memcpy(burst, e->queue, n * sizeof(burst[0]));
	e->n = 0;
	for (unsigned i = 0; i < n; i += STACK_BURST)
		stack_input(e->stack, burst + i, RTE_MIN(n - i, (unsigned)STACK_BURST), now_us);
}

static void turn(void)
{
	struct end *ends[] = {&a, &b};

	for (unsigned i = 0; i < 2; i++)
		deliver(ends[i]);
	for (unsigned i = 0; i < 2; i++) {
		stack_output(ends[i]->stack, now_us);
		stack_timers(ends[i]->stack, now_us, 1000);
	}
	now_us += 100;
}

static void run_for(uint64_t us)
{
	for (uint64_t until = now_us + us; now_us < until;)
		turn();
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	server = c;
}

static void on_connected(struct tcp_conn *c, int error)
{
	CU_ASSERT_EQUAL(error, 0);
	connected++;
}

static void on_closed(struct tcp_conn *c, int reason)
{
	CU_ASSERT_EQUAL(reason, TCP_REASON_DONE);
	closed++;
}

static const struct tcp_app app = {.accepted = on_accepted, .connected = on_connected, .closed = on_closed};

struct variant {
	bool v6, dad, offloads, link_local;
	uint16_t vlan, mtu, mss;
};

static void make(struct end *e, uint8_t last, const struct variant *v)
{
	struct stack_config c;

	stack_config_defaults(&c);
	memcpy(c.mac, (uint8_t[]){2, 0, 0, 0, 0, last}, 6);
	e->addr = v->v6 ? (struct ip_addr){.bytes = {0xfd, [15] = last}} : ip_v4(0x0a000000u + last);
	stack_config_add(&c, e->addr, v->v6 ? 64 : 24);
	if (v->link_local)
		e->addr = (struct ip_addr){.bytes = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = last}};
	c.dad_transmits = v->dad;
	c.router_discovery = false;
	c.tx_pool = e->pool;
	c.vlan = v->vlan;
	c.mtu = v->mtu;
	if (v->offloads)
		c.offload_flags = STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM;
	c.key = (struct siphash_key){last, 2};
	c.tx = tx;
	c.tx_ctx = e;
	c.conn_max = 8;
	e->stack = stack_create(&c, now_us);
	MUST(e->stack);
}

static void transfer(struct tcp_conn *from, struct tcp_conn *to, uint32_t total)
{
	static uint8_t block[20000], got[300000];
	uint32_t sent = 0, read = 0;

	for (unsigned turns = 0; read < total && turns < 100000; turns++) {
		uint32_t n = RTE_MIN(total - sent, tcp_conn_tx_room(from));
		n = RTE_MIN(n, 1 + unit_random_below(sizeof(block)));
		for (uint32_t i = 0; i < n; i++)
			block[i] = (uint8_t)((sent + i) * 131 + ((sent + i) >> 8));
		if (n && tcp_conn_write(from, block, n) == 0)
			sent += n;
		turn();
		n = RTE_MIN(tcp_conn_rx(to)->bytes, (uint32_t)sizeof(got));
		chain_copy(tcp_conn_rx(to), 0, got, n);
		for (uint32_t i = 0; i < n; i++)
			if (got[i] != (uint8_t)((read + i) * 131 + ((read + i) >> 8)))
				CU_FAIL_FATAL("a byte differs");
		tcp_conn_rx_consume(to, n);
		read += n;
	}
	CU_ASSERT_EQUAL(read, total);
}

static void run_variant(struct variant v)
{
	if (!rx_pool) {
		a.pool = unit_pool("pair_a", 512, 9216);
		b.pool = unit_pool("pair_b", 512, 9216);
		rx_pool = unit_pool("pair_rx", 2048, 9216);
		a.other = &b;
		b.other = &a;
	}
	v.mtu = v.mtu ? v.mtu : 1500;
	server = client = NULL;
	connected = closed = flow_labels = flow_label = 0;
	now_us = 5000000;
	make(&a, 1, &v);
	make(&b, 2, &v);
	CU_ASSERT_EQUAL(tcp_listen(b.stack, &b.addr, PORT, NULL, &app, NULL, NULL), 0);
	if (v.dad)
		run_for(2500000);
	client = tcp_connect(a.stack, &b.addr, PORT, NULL, &app, NULL, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(client);
	run_for(2000);
	CU_ASSERT_EQUAL_FATAL(connected, 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(server);
	struct ip_addr peer = tcp_conn_peer_addr(server);
	CU_ASSERT_TRUE(ip_equal(&peer, &a.addr));
	CU_ASSERT_EQUAL(tcp_conn_info(client).mss_bytes, v.mss);
	transfer(client, server, 300000);
	transfer(server, client, 300000);
	CU_ASSERT_EQUAL(tcp_conn_info(client).resent, 0);
	CU_ASSERT_EQUAL(header_bytes, 14u + (v.vlan ? 4 : 0) + (v.v6 ? 40 : 20));
	CU_ASSERT_EQUAL(flow_labels, v.v6);
	tcp_conn_shutdown(client);
	tcp_conn_shutdown(server);
	run_for(1000);
	CU_ASSERT_EQUAL(closed, 2);
	stack_destroy(a.stack);
	stack_destroy(b.stack);
	rte_pktmbuf_free_bulk(a.queue, a.n);
	rte_pktmbuf_free_bulk(b.queue, b.n);
	a.n = b.n = 0;
	CU_ASSERT_TRUE(unit_pool_full(a.pool) && unit_pool_full(b.pool) && unit_pool_full(rx_pool));
}

static void over_ipv4(void)
{
	run_variant((struct variant){.mss = 1448});
}

static void over_ipv4_with_a_tag(void)
{
	run_variant((struct variant){.vlan = 4094, .mss = 1448});
}

static void over_ipv6(void)
{
	run_variant((struct variant){.v6 = true, .mss = 1428});
}

static void over_ipv6_once_the_address_is_tested(void)
{
	run_variant((struct variant){.v6 = true, .dad = true, .mss = 1428});
}

static void over_ipv6_link_local(void)
{
	run_variant((struct variant){.v6 = true, .link_local = true, .mss = 1428});
}

static void over_ipv6_with_a_tag(void)
{
	run_variant((struct variant){.v6 = true, .vlan = 1, .mss = 1428});
}

static void over_ipv6_with_large_and_small_frames(void)
{
	run_variant((struct variant){.v6 = true, .mtu = 9000, .mss = 8928});
	run_variant((struct variant){.v6 = true, .mtu = 1280, .mss = 1208});
}

static void the_port_fills_in_checksums(void)
{
	run_variant((struct variant){.offloads = true, .mss = 1448});
	run_variant((struct variant){.v6 = true, .offloads = true, .mss = 1428});
	run_variant((struct variant){.v6 = true, .vlan = 5, .offloads = true, .mss = 1428});
}

static void refused(uint16_t mtu, uint16_t vlan, struct ip_addr addr, uint8_t prefix)
{
	struct stack_config c;

	stack_config_defaults(&c);
	stack_config_add(&c, addr, prefix);
	c.mtu = mtu;
	c.vlan = vlan;
	c.tx_pool = a.pool;
	c.tx = tx;
	CU_ASSERT_PTR_NULL(stack_create(&c, 1));
}

static void impossible_configurations_are_refused(void)
{
	run_variant((struct variant){.mss = 1448}); /* makes the pools */
	refused(1279, 0, (struct ip_addr){.bytes = {0xfd, [15] = 1}}, 64);
	refused(1500, 4095, ip_v4(0x0a000001), 24);
	refused(1500, 0, (struct ip_addr){.bytes = {0xff, 2, [15] = 1}}, 64);
	refused(1500, 0, ip_v4(0xe0000001), 24);
	refused(1500, 0, ip_v4(0x0a000001), 33);
	refused(1500, 0, (struct ip_addr){0}, 64);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"over_ipv4", over_ipv4},
			{"over_ipv4_with_a_tag", over_ipv4_with_a_tag},
			{"over_ipv6", over_ipv6},
			{"over_ipv6_once_the_address_is_tested", over_ipv6_once_the_address_is_tested},
			{"over_ipv6_link_local", over_ipv6_link_local},
			{"over_ipv6_with_a_tag", over_ipv6_with_a_tag},
			{"over_ipv6_with_large_and_small_frames", over_ipv6_with_large_and_small_frames},
			{"the_port_fills_in_checksums", the_port_fills_in_checksums},
			{"impossible_configurations_are_refused", impossible_configurations_are_refused},
			{0},
		});
}
