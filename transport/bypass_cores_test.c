/* SPDX-License-Identifier: Apache-2.0 */
/* One host with several cores and one with a single one, joined by a wire between rings, all in one thread,
 * turn by turn. The device of the first spreads frames by a hash that is not ours, as a kernel's does, or has
 * one queue for all cores. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"
#include "transport/bypass.h"

#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CORES = 4,
	CONNS = 128,
	TX_MBUFS = 2047,
	TCP_PORT = 5672,
	TURN_US = 50,
	WIRE_FRAMES = 512,
	FRAGMENT_BYTES = 512,
	REPLY_BYTES = 4096,
};

struct host;
struct core {
	struct host *host;
	unsigned index;
	struct bypass *b;
	struct rte_mempool *tx_pool;
	struct transport_conn *conns[CONNS];
	unsigned accepted, connected, failed, woken;
	uint64_t rx_bytes;
};

struct host {
	struct net *net;
	struct port *port;
	unsigned cores, queues;
	struct rte_ring *rx[CORES], *tx[CORES];
	struct core core[CORES];
};

/* What the wire has seen. */
struct seen {
	unsigned arp_requests, arp_replies, solicits, adverts, tests, reports;
};

struct net {
	struct host many, single;
	struct rte_mempool *wire;
	struct seen seen; /* of what the host with many cores sent */
	uint64_t now_us;
	bool fragment; /* what goes to the host with many cores */
};

/* ---- the application: takes everything, and answers REPLY_BYTES to each first byte ---- */

static int app_accepted(void *ctx, struct transport_conn *conn)
{
	struct core *c = ctx;

	CU_ASSERT_FATAL(c->accepted < CONNS);
	c->conns[c->accepted++] = conn;
	conn->user = c;
	return 0;
}

static void app_connected(struct transport_conn *conn, int error)
{
	struct core *c = conn->user;

	c->connected += error == 0;
	c->failed += error != 0;
}

static void app_readable(struct transport_conn *conn)
{
	struct core *c = conn->user;

	c->rx_bytes += conn->rx->bytes;
	transport_consume(conn, conn->rx->bytes);
}

static void app_nothing(struct transport_conn *conn)
{
}

static void app_closed(struct transport_conn *conn, enum transport_reason reason)
{
}

static const struct transport_app app = {
	.accepted = app_accepted,
	.connected = app_connected,
	.readable = app_readable,
	.writable = app_nothing,
	.peer_closed = app_nothing,
	.closed = app_closed,
};

/* ---- the wire ---- */

static uint8_t *bytes_of(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, uint8_t *);
}

static void look(struct seen *s, struct rte_mbuf *m)
{
	const uint8_t *p = bytes_of(m);
	uint16_t type = wire_get16(p + 12);

	if (type == 0x0806) {
		s->arp_requests += wire_get16(p + 20) == 1;
		s->arp_replies += wire_get16(p + 20) == 2;
	}
	if (type != 0x86dd)
		return;
	uint8_t icmp = p[20] == 58 ? p[54] : p[20] == 0 && p[54] == 58 ? p[62] : 0;
	static const uint8_t nowhere[16];
	bool test = !memcmp(p + 22, nowhere, 16);
	s->tests += icmp == 135 && test;
	s->solicits += icmp == 135 && !test;
	s->adverts += icmp == 136;
	s->reports += icmp == 143;
}

static void deliver(struct host *to, struct rte_mbuf *m)
{
	const uint8_t *p = bytes_of(m);
	/* by something of the connection, but not what we go by; others by nothing in particular */
	unsigned queue = wire_get16(p + 12) == 0x0800 ? p[35] ^ p[29] : unit_random_below(64);

	if (rte_ring_enqueue(to->rx[queue % to->queues], m))
		rte_pktmbuf_free(m);
}

static struct rte_mbuf *cut(struct net *n, struct rte_mbuf *m, unsigned at, unsigned bytes)
{
	struct rte_mbuf *f = rte_pktmbuf_copy(m, n->wire, 0, 34);
	unsigned total = wire_get16(bytes_of(m) + 16) - 20u;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	memcpy(rte_pktmbuf_append(f, (uint16_t)bytes), bytes_of(m) + 34 + at, bytes);
	uint8_t *ip = bytes_of(f) + 14;
	wire_put16(ip + 2, (uint16_t)(20 + bytes));
	wire_put16(ip + 4, (uint16_t)n->now_us); /* one a turn of the wire: see carry */
	wire_put16(ip + 6, (uint16_t)((at + bytes < total ? 0x2000 : 0) | at / 8));
	wire_put16(ip + 10, 0);
	uint32_t sum = 0;
	for (unsigned i = 0; i < 20; i += 2)
		sum += wire_get16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	wire_put16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	return f;
}

/* Fragments in any order, from any queue. */
static void deliver_cut(struct net *n, struct host *to, struct rte_mbuf *m)
{
	unsigned total = wire_get16(bytes_of(m) + 16) - 20u;

	n->now_us++; /* the next datagram has another number */
	for (unsigned at = 0; at < total; at += FRAGMENT_BYTES)
		deliver(to, cut(n, m, at, total - at < FRAGMENT_BYTES ? total - at : FRAGMENT_BYTES));
	rte_pktmbuf_free(m);
}

static void carry(struct net *n, struct host *from, struct host *to)
{
	struct rte_mbuf *m, *copy;

	for (unsigned q = 0; q < from->queues; q++) {
		while (rte_ring_dequeue(from->tx[q], (void **)&m) == 0) {
			copy = rte_pktmbuf_copy(m, n->wire, 0, UINT32_MAX);
			CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
			rte_pktmbuf_free(m);
			if (from == &n->many)
				look(&n->seen, copy);
			unsigned total = wire_get16(bytes_of(copy) + 16);
			if (n->fragment && to == &n->many && wire_get16(bytes_of(copy) + 12) == 0x0800 &&
				bytes_of(copy)[23] == 6 && total > FRAGMENT_BYTES)
				deliver_cut(n, to, copy);
			else
				deliver(to, copy);
		}
	}
}

static void turn(struct net *n)
{
	struct host *hosts[] = {&n->many, &n->single};

	n->now_us += TURN_US;
	for (unsigned h = 0; h < 2; h++)
		for (unsigned i = 0; i < hosts[h]->cores; i++) {
			struct turn_source *s = bypass_source(hosts[h]->core[i].b);
			s->poll(s, n->now_us);
			s->flush(s, n->now_us);
		}
	carry(n, &n->many, &n->single);
	carry(n, &n->single, &n->many);
}

static void turns(struct net *n, unsigned count)
{
	while (count--)
		turn(n);
}

static void later(struct net *n, uint64_t us)
{
	for (uint64_t at = 0; at < us; at += 10000) {
		n->now_us += 10000;
		turn(n);
	}
}

/* ---- opening and closing ---- */

struct ring_arguments { /* what rte_eth_from_rings hands its driver */
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

static struct ip_addr v4_of(const struct net *n, const struct host *h)
{
	return ip_v4(h == &n->many ? 0x0a000002 : 0x0a000001);
}

static struct ip_addr v6_of(const struct net *n, const struct host *h)
{
	return ip_v6((const uint8_t[16]){0xfd, [15] = h == &n->many ? 2 : 1});
}

static void wake(void *ctx)
{
	((struct core *)ctx)->woken++;
}

static void core_open(struct net *n, struct host *h, unsigned i, bool v6)
{
	struct core *c = &h->core[i];
	struct bypass_config bc = {.port = h->port, .queue = i, .sleeps = true, .app = &app, .app_ctx = c};
	char name[32];

	*c = (struct core){.host = h, .index = i};
	snprintf(name, sizeof(name), "tx %u %u", h == &n->single, i);
	c->tx_pool = port_pool_create(name, TX_MBUFS, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->tx_pool);
	stack_config_defaults(&bc.stack);
	stack_config_add(&bc.stack, v4_of(n, h), 24);
	if (v6)
		stack_config_add(&bc.stack, v6_of(n, h), 64);
	bc.stack.tx_pool = c->tx_pool;
	bc.stack.conn_max = CONNS;
	bc.stack.rx_buffer_bytes = bc.stack.tx_buffer_bytes = 64 << 10;
	bc.stack.time_wait_us = 1000;
	c->b = bypass_create(&bc, n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->b);
	CU_ASSERT_EQUAL(bypass_listen(c->b, NULL, TCP_PORT, NULL), 0);
	port_set_wake(h->port, i, wake, c);
}

static void host_open(struct net *n, struct host *h, unsigned cores, unsigned queues, bool v6)
{
	unsigned index = h == &n->single;
	struct ring_arguments a = {h->rx, queues, h->tx, queues, 0, &a};
	struct port_config c = {
		.queues = cores, .device_queues_max = queues, .offloads = PORT_OFFLOADS_ALL, .rx_held = 1024};
	char device[64], error[512], name[32];

	h->net = n;
	h->cores = cores;
	h->queues = queues;
	for (unsigned i = 0; i < queues; i++) {
		snprintf(name, sizeof(name), "%u rx %u", index, i);
		h->rx[i] = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, 0);
		snprintf(name, sizeof(name), "%u tx %u", index, i);
		h->tx[i] = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, 0);
		CU_ASSERT_FATAL(h->rx[i] && h->tx[i]);
	}
	snprintf(device, sizeof(device), "net_ring%u,internal=%p", index, (void *)&a);
	c.device = device;
	c.mac[0] = 2;
	c.mac[5] = (uint8_t)(index + 1);
	if (port_open(&c, &h->port, error, sizeof(error)))
		printf("# %s: %s\n", device, error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h->port);
	CU_ASSERT_EQUAL(port_info(h->port)->device_queues, queues);
	for (unsigned i = 0; i < cores; i++)
		core_open(n, h, i, v6);
}

static struct net *net_open(unsigned cores, unsigned queues, bool v6)
{
	const struct eal_options o = {.memory_mb = 256, .data_cores = 1};
	struct net *n = calloc(1, sizeof(*n));
	char error[512];

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
	n->now_us = 1000000;
	n->wire = port_pool_create("wire", 8191, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->wire);
	host_open(n, &n->many, cores, queues, v6);
	host_open(n, &n->single, 1, 1, v6);
	return n;
}

static void host_close(struct host *h)
{
	struct rte_mbuf *m;

	for (unsigned i = 0; i < h->cores; i++)
		bypass_destroy(h->core[i].b);
	for (unsigned i = 0; i < h->queues; i++) {
		while (rte_ring_dequeue(h->rx[i], (void **)&m) == 0)
			rte_pktmbuf_free(m);
		while (rte_ring_dequeue(h->tx[i], (void **)&m) == 0)
			rte_pktmbuf_free(m);
	}
	/* what is still in the port's own rings comes back as it closes */
}

static void net_close(struct net *n)
{
	struct host *hosts[] = {&n->many, &n->single};

	for (unsigned h = 0; h < 2; h++)
		host_close(hosts[h]);
	for (unsigned h = 0; h < 2; h++) {
		port_close(hosts[h]->port);
		for (unsigned i = 0; i < hosts[h]->queues; i++) {
			rte_ring_free(hosts[h]->rx[i]);
			rte_ring_free(hosts[h]->tx[i]);
		}
		for (unsigned i = 0; i < hosts[h]->cores; i++) {
			CU_ASSERT_TRUE(unit_pool_full(hosts[h]->core[i].tx_pool));
			rte_mempool_free(hosts[h]->core[i].tx_pool);
		}
	}
	CU_ASSERT_TRUE(unit_pool_full(n->wire));
	rte_mempool_free(n->wire);
	free(n);
}

static uint64_t counter_sum(const struct host *h, enum stack_counter which)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < h->cores; i++)
		n += stack_counter(bypass_stack(h->core[i].b), which);
	return n;
}

/* 2 and 4 cores, with one queue for all and with one each, with and without IPv6 where that matters. */
static void on_each(void (*test)(struct net *n), bool v6)
{
	static const unsigned shapes[][2] = {{2, 1}, {2, 2}, {4, 1}, {4, 4}, {4, 2}};

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct net *n = net_open(shapes[i][0], shapes[i][1], v6);
		test(n);
		net_close(n);
	}
}

static unsigned owner_of(const struct host *h, const struct transport_conn *conn)
{
	uint8_t addresses[32], ports[4];
	bool v6 = conn->remote.family == 6;
	unsigned n = v6 ? 16 : 4;

	memcpy(addresses, conn->remote.bytes, n);
	memcpy(addresses + n, conn->local.bytes, n);
	wire_put16(ports, conn->remote.port);
	wire_put16(ports + 2, conn->local.port);
	return port_owner(h->port, v6, addresses, ports);
}

static void connect_in(struct net *n, struct ip_addr to, struct transport_conn **out)
{
	for (unsigned i = 0; i < CONNS / 2; i++) {
		out[i] = bypass_connect(n->single.core[0].b, &to, TCP_PORT, &n->single.core[0], n->now_us);
		CU_ASSERT_PTR_NOT_NULL_FATAL(out[i]);
		turn(n);
	}
	turns(n, 20);
	CU_ASSERT_EQUAL(n->single.core[0].connected, CONNS / 2);
}

/* Connections land where their hash says, some on each core, and data goes both ways. */
static void come_in(struct net *n, struct ip_addr to)
{
	static const uint8_t data[REPLY_BYTES];
	struct transport_conn *conns[CONNS / 2];
	unsigned accepted = 0;
	uint64_t come = 0;

	connect_in(n, to, conns);
	for (unsigned i = 0; i < CONNS / 2; i++)
		CU_ASSERT_EQUAL(transport_write(conns[i], data, 1000), 0);
	for (unsigned i = 0; i < n->many.cores; i++) {
		struct core *c = &n->many.core[i];
		CU_ASSERT_TRUE(c->accepted > 0);
		accepted += c->accepted;
		for (unsigned k = 0; k < c->accepted; k++) {
			CU_ASSERT_EQUAL(owner_of(&n->many, c->conns[k]), i);
			CU_ASSERT_EQUAL(transport_write(c->conns[k], data, REPLY_BYTES), 0);
		}
	}
	CU_ASSERT_EQUAL(accepted, CONNS / 2);
	turns(n, 400);
	for (unsigned i = 0; i < n->many.cores; i++)
		come += n->many.core[i].rx_bytes;
	CU_ASSERT_EQUAL(come, CONNS / 2 * 1000);
	CU_ASSERT_EQUAL(n->single.core[0].rx_bytes, CONNS / 2 * REPLY_BYTES);
	CU_ASSERT_EQUAL(counter_sum(&n->many, STACK_COUNTER_tcp_rst_out), 0);
}

static void in_v4(struct net *n)
{
	come_in(n, v4_of(n, &n->many));
}

static void in_v6(struct net *n)
{
	later(n, 4000000);
	come_in(n, v6_of(n, &n->many));
}

static void test_connections_come_to_their_cores(void)
{
	on_each(in_v4, false);
	on_each(in_v6, true);
}

/* What a core opens is answered to that core. */
static void out(struct net *n)
{
	bool v6 = n->now_us > 3000000;
	struct ip_addr to = v6 ? v6_of(n, &n->single) : v4_of(n, &n->single);

	for (unsigned i = 0; i < n->many.cores; i++)
		for (unsigned k = 0; k < 16; k++) {
			struct transport_conn *c = bypass_connect(
				n->many.core[i].b, &to, TCP_PORT, &n->many.core[i], n->now_us);
			CU_ASSERT_PTR_NOT_NULL_FATAL(c);
			CU_ASSERT_EQUAL(owner_of(&n->many, c), i);
			turn(n);
		}
	turns(n, 50);
	for (unsigned i = 0; i < n->many.cores; i++)
		CU_ASSERT(n->many.core[i].connected == 16 && n->many.core[i].failed == 0);
	CU_ASSERT_EQUAL(n->single.core[0].accepted, 16 * n->many.cores);
}

static void out_v6(struct net *n)
{
	later(n, 4000000);
	out(n);
}

static void test_what_is_opened_comes_back(void)
{
	on_each(out, false);
	on_each(out_v6, true);
}

/* One answers; all have learned who asked. */
static void arp(struct net *n)
{
	struct ip_addr to = v4_of(n, &n->many);

	turns(n, 3); /* announcements */
	CU_ASSERT_EQUAL(n->seen.arp_requests, 1);
	n->seen = (struct seen){0};
	bypass_connect(n->single.core[0].b, &to, TCP_PORT, &n->single.core[0], n->now_us);
	turns(n, 6);
	CU_ASSERT(n->seen.arp_replies == 1 && n->seen.arp_requests == 0);
	for (unsigned i = 0; i < n->many.cores; i++) {
		struct stack *s = bypass_stack(n->many.core[i].b);
		CU_ASSERT_EQUAL(stack_usage(s).neighbours, 1);
		CU_ASSERT_EQUAL(stack_counter(s, STACK_COUNTER_answered_elsewhere), i ? 1 : 0);
	}
	/* none of them has to ask for who has asked */
	struct ip_addr back = v4_of(n, &n->single);
	for (unsigned i = 0; i < n->many.cores; i++)
		bypass_connect(n->many.core[i].b, &back, TCP_PORT, &n->many.core[i], n->now_us);
	turns(n, 10);
	CU_ASSERT_EQUAL(n->seen.arp_requests, 0);
	for (unsigned i = 0; i < n->many.cores; i++)
		CU_ASSERT_EQUAL(n->many.core[i].connected, 1);
}

static void test_arp(void)
{
	on_each(arp, false);
}

static enum stack_address_state state_of(const struct core *c, struct ip_addr a)
{
	enum stack_address_state state;
	struct ip_addr one;

	for (unsigned i = 0; stack_address_get(bypass_stack(c->b), i, &one, &state); i++)
		if (ip_equal(&one, &a))
			return state;
	return STACK_ADDRESS_DUPLICATE;
}

/* One core tests the addresses, announces them and answers for them; in the end all use them. */
static void discovery(struct net *n)
{
	struct ip_addr own = v6_of(n, &n->many), to = own;

	later(n, 4000000);
	CU_ASSERT_EQUAL(n->seen.tests, 2); /* ours and the link-local one */
	CU_ASSERT_EQUAL(n->seen.adverts, 2);
	CU_ASSERT_EQUAL(n->seen.reports, 2);
	for (unsigned i = 0; i < n->many.cores; i++)
		CU_ASSERT_EQUAL(state_of(&n->many.core[i], own), STACK_ADDRESS_USED);
	n->seen = (struct seen){0};
	bypass_connect(n->single.core[0].b, &to, TCP_PORT, &n->single.core[0], n->now_us);
	turns(n, 10);
	CU_ASSERT_EQUAL(n->seen.adverts, 1);
	CU_ASSERT_EQUAL(n->single.core[0].connected, 1);
}

static void test_neighbour_discovery(void)
{
	on_each(discovery, true);
}

/* Another station has our address: no core uses it. */
static void duplicate(struct net *n)
{
	uint8_t frame[14 + 40 + 24] = {0x33, 0x33, 0xff, 0, 0, 2, 2, 0, 0, 0, 0, 9, 0x86, 0xdd,
		0x60, [19] = 24, [20] = 58, [21] = 255};
	struct ip_addr own = v6_of(n, &n->many);
	struct rte_mbuf *m = rte_pktmbuf_alloc(n->wire);

	/* a solicitation of nobody for it: somebody tests it as well (RFC 4862 section 5.4.3) */
	memcpy(frame + 38, (const uint8_t[16]){0xff, 2, [11] = 1, [12] = 0xff, [15] = 2}, 16);
	frame[54] = 135;
	memcpy(frame + 62, own.bytes, 16);
	uint32_t sum = 24 + 58;
	for (unsigned i = 22; i < sizeof(frame); i += 2)
		sum += wire_get16(frame + i);
	sum = (sum & 0xffff) + (sum >> 16);
	wire_put16(frame + 56, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	memcpy(rte_pktmbuf_append(m, sizeof(frame)), frame, sizeof(frame));
	deliver(&n->many, m);
	turns(n, 4);
	for (unsigned i = 0; i < n->many.cores; i++)
		CU_ASSERT_EQUAL(state_of(&n->many.core[i], own), STACK_ADDRESS_DUPLICATE);
}

static void test_a_duplicate_is_one_for_all(void)
{
	on_each(duplicate, true);
}

/* Datagrams in pieces, which come by any queue: each whole is its connection's core's. */
static void fragments(struct net *n)
{
	static const uint8_t data[1400];
	struct transport_conn *conns[CONNS / 2];
	uint64_t come = 0;

	connect_in(n, v4_of(n, &n->many), conns);
	n->fragment = true;
	for (unsigned i = 0; i < CONNS / 2; i++) {
		CU_ASSERT_EQUAL(transport_write(conns[i], data, sizeof(data)), 0);
		turn(n);
	}
	turns(n, 20);
	for (unsigned i = 0; i < n->many.cores; i++)
		come += n->many.core[i].rx_bytes;
	CU_ASSERT_EQUAL(come, CONNS / 2 * sizeof(data));
	CU_ASSERT_EQUAL(counter_sum(&n->many, STACK_COUNTER_frag_reassembled), CONNS / 2);
	CU_ASSERT_TRUE(counter_sum(&n->many, STACK_COUNTER_frag_handed_over) > 0);
	/* all between two addresses, they met on one core, which kept its own */
	CU_ASSERT_TRUE(counter_sum(&n->many, STACK_COUNTER_frag_handed_over) < CONNS / 2);
	CU_ASSERT_EQUAL(counter_sum(&n->many, STACK_COUNTER_tcp_checksum), 0);
}

static void test_fragments(void)
{
	on_each(fragments, false);
}

static uint32_t pmtu_on(const struct core *c, uint16_t peer_port)
{
	struct tcp_entry e[CONNS];
	uint32_t cursor = 0;
	unsigned count = tcp_list(bypass_stack(c->b), &cursor, e, CONNS);

	for (unsigned i = 0; i < count; i++)
		if (e[i].rport == peer_port)
			return e[i].info.pmtu_bytes;
	return 0;
}

/* "Fragmentation needed" about what conn's core has in flight. */
static struct rte_mbuf *too_big(struct net *n, const struct rte_mbuf *sent, uint16_t mtu)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(n->wire);
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, 14 + 20 + 8 + 28);
	const uint8_t *quote = rte_pktmbuf_mtod(sent, const uint8_t *);
	uint32_t sum = 0;

	memset(p, 0, 14 + 20 + 8 + 28);
	memcpy(p, quote + 6, 6);
	memcpy(p + 6, (const uint8_t[6]){2, 0, 0, 0, 0, 9}, 6);
	wire_put16(p + 12, 0x0800);
	p[14] = 0x45;
	wire_put16(p + 16, 20 + 8 + 28);
	p[22] = 64;
	p[23] = 1;
	wire_put32(p + 26, 0x0a000009); /* a router on the link */
	memcpy(p + 30, quote + 26, 4);
	for (unsigned i = 14; i < 34; i += 2)
		sum += wire_get16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	wire_put16(p + 24, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	p[34] = 3;
	p[35] = 4;
	wire_put16(p + 40, mtu);
	memcpy(p + 42, quote + 14, 28);
	sum = 0;
	for (unsigned i = 34; i < 70; i += 2)
		sum += wire_get16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	wire_put16(p + 36, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	return m;
}

/* The next data segment that the host with many cores sends. */
static struct rte_mbuf *next_data(struct net *n)
{
	struct rte_mbuf *m, *found = NULL;

	for (unsigned i = 0; i < n->many.cores; i++) {
		struct turn_source *s = bypass_source(n->many.core[i].b);
		s->poll(s, n->now_us);
		s->flush(s, n->now_us);
	}
	for (unsigned i = 0; i < n->many.cores; i++) { /* what one sends for another */
		struct turn_source *s = bypass_source(n->many.core[i].b);
		s->flush(s, n->now_us);
	}
	for (unsigned q = 0; q < n->many.queues; q++)
		while (rte_ring_dequeue(n->many.tx[q], (void **)&m) == 0) {
			if (!found && m->pkt_len > 1000 && wire_get16(bytes_of(m) + 12) == 0x0800)
				found = m;
			else
				rte_pktmbuf_free(m);
		}
	return found;
}

/* An ICMP error reaches the core whose connection it is about, whichever core finds it. */
static void icmp_error(struct net *n)
{
	static const uint8_t data[1400];
	struct transport_conn *conns[CONNS / 2];

	connect_in(n, v4_of(n, &n->many), conns);
	for (unsigned i = 0; i < n->many.cores; i++) {
		struct core *c = &n->many.core[i];
		struct transport_conn *conn = c->conns[0];
		CU_ASSERT_EQUAL(transport_write(conn, data, sizeof(data)), 0);
		struct rte_mbuf *sent = next_data(n);
		CU_ASSERT_PTR_NOT_NULL_FATAL(sent);
		struct rte_mbuf *m = too_big(n, sent, 1000);
		rte_pktmbuf_free(sent);
		CU_ASSERT_EQUAL(pmtu_on(c, conn->remote.port), 1500);
		CU_ASSERT_EQUAL(rte_ring_enqueue(n->many.rx[i % n->many.queues], m), 0);
		turns(n, 3);
		CU_ASSERT_EQUAL(pmtu_on(c, conn->remote.port), 1000);
		/* all of one host's: later ones of this core know already */
	}
}

static void test_icmp_errors(void)
{
	on_each(icmp_error, false);
}

/* Captures of all cores together have each frame once. */
static void captured(struct net *n)
{
	struct capture_config config = {
		.ring_bytes = 1 << 16, .snaplen = 64, .packets_max = 100, .clock_ns = unit_random};
	struct capture *captures[CORES];
	uint64_t frames = 0;
	struct ip_addr to = v4_of(n, &n->many);

	for (unsigned i = 0; i < n->many.cores; i++) {
		captures[i] = capture_create(&config);
		bypass_set_capture(n->many.core[i].b, captures[i]);
	}
	turns(n, 3);
	bypass_connect(n->single.core[0].b, &to, TCP_PORT, &n->single.core[0], n->now_us);
	turns(n, 10);
	for (unsigned i = 0; i < n->many.cores; i++) {
		bypass_set_capture(n->many.core[i].b, NULL);
		frames += capture_stats(captures[i]).seen;
		capture_destroy(captures[i]);
	}
	/* in: an announcement, ARP's question, SYN, ACK; out: as many */
	struct port_counters c;
	port_counters(n->many.port, &c);
	CU_ASSERT_EQUAL(frames, c.rx_frames + c.tx_frames);
	CU_ASSERT(c.spread_given > 0);
}

static void test_captured_once(void)
{
	on_each(captured, false);
}

/* Who is given frames is woken, and does not sleep while they are there. */
static void test_rings_wake(void)
{
	struct net *n = net_open(2, 1, false);
	struct transport_conn *conns[CONNS / 2];
	struct core *c = &n->many.core[1];
	struct turn_source *s = bypass_source(c->b);

	connect_in(n, v4_of(n, &n->many), conns);
	turns(n, 100);
	CU_ASSERT_TRUE(s->sleep_prepare(s));
	/* a core that only rings feed sleeps until it is woken; the one with the device looks at it */
	CU_ASSERT_EQUAL(s->sleep_us_max, 0);
	CU_ASSERT_TRUE(bypass_source(n->many.core[0].b)->sleep_us_max > 0);
	unsigned before = c->woken;
	for (unsigned i = 0; i < CONNS / 2; i++)
		transport_write(conns[i], "x", 1);
	struct turn_source *single = bypass_source(n->single.core[0].b);
	single->flush(single, n->now_us);
	carry(n, &n->single, &n->many);
	struct turn_source *first = bypass_source(n->many.core[0].b);
	first->poll(first, n->now_us);
	CU_ASSERT_TRUE(c->woken > before);
	CU_ASSERT_FALSE(s->sleep_prepare(s));
	turns(n, 10);
	net_close(n);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"connections_come_to_their_cores", test_connections_come_to_their_cores},
			{"what_is_opened_comes_back", test_what_is_opened_comes_back}, {"arp", test_arp},
			{"neighbour_discovery", test_neighbour_discovery},
			{"a_duplicate_is_one_for_all", test_a_duplicate_is_one_for_all},
			{"fragments", test_fragments}, {"icmp_errors", test_icmp_errors},
			{"captured_once", test_captured_once}, {"rings_wake", test_rings_wake}, {0}});
}
