/* SPDX-License-Identifier: Apache-2.0 */
/* TCP end to end: two stacks, each over the transport, the port, the unmodified driver and a model, joined by
 * a cable. What an 82599 does to frames (checksums, cutting, scattering, freeing late) must not be seen in
 * the byte streams. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "tests/ixgbe_model/model.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"
#include "transport/bypass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDES = 2, TX_MBUFS = 8191, TCP_PORT = 5672, TURN_US = 20, PIECE = 9000 };

struct side {
	struct ixm *device;
	struct port *port;
	struct rte_mempool *tx_pool;
	struct bypass *b;
	struct transport_conn *conn;
	uint64_t written, read; /* of the streams out and in */
	bool wrong, ended;
};

struct net {
	struct side side[SIDES]; /* 0 connects, 1 listens */
	uint64_t now_us;
	unsigned lose_one_in; /* frames, on a cable of our own; 0: the models are joined */
	unsigned lost, turns;
};

struct link {
	struct net *net;
	unsigned from;
} links[SIDES];

/* The stream's byte at a place, different on both ways. */
static uint8_t stream_byte(const struct net *n, const struct side *from, uint64_t at)
{
	return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16) + (from == &n->side[1]));
}

static int accepted(void *app, struct transport_conn *conn)
{
	struct net *n = app;

	n->side[1].conn = conn;
	conn->user = &n->side[1];
	return 0;
}

static void connected(struct transport_conn *conn, int error)
{
	CU_ASSERT_EQUAL(error, 0);
}

static struct net *the_net; /* one at a time */
static struct {
	enum ixm_part_name part;
	bool v6;
} kind; /* of both ends */

static void readable(struct transport_conn *conn)
{
	struct side *s = conn->user;
	const struct side *from = &the_net->side[s == &the_net->side[0]];

	while (conn->rx->bytes) {
		const struct rte_mbuf *m = conn->rx->head;
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
		for (unsigned i = 0; i < m->data_len; i++)
			s->wrong |= data[i] != stream_byte(the_net, from, s->read + i);
		s->read += m->data_len;
		transport_consume(conn, m->data_len);
	}
}

static void nothing(struct transport_conn *conn)
{
}

static void closed(struct transport_conn *conn, enum transport_reason reason)
{
	struct side *s = conn->user;

	CU_ASSERT_EQUAL(reason, TRANSPORT_DONE);
	s->ended = true;
	s->conn = NULL;
}

static const struct transport_app app = {.accepted = accepted,
	.connected = connected,
	.readable = readable,
	.writable = nothing,
	.peer_closed = transport_shutdown,
	.closed = closed};

static void eal_start(void)
{
	const struct eal_options o = {.memory_mb = 448, .data_cores = 1};
	char error[512];

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
}

static struct ip_addr address(unsigned i)
{
	struct ip_addr v6 = {.bytes = {0xfd, [13] = 0x77, [15] = (uint8_t)(1 + i)}};

	return kind.v6 ? v6 : ip_v4(0x0a000001 + i);
}

static void port_make(struct side *s, unsigned i, unsigned mtu, uint32_t offloads)
{
	char name[32], error[512] = "";
	const struct ixm_config device = {
		.part = kind.part, .address = name, .mac = {2, 0, 0, 0, 4, (uint8_t)i}};
	const struct port_config c = {
		.device = name, .queues = 1, .mtu = mtu, .offloads = offloads, .rx_held = 1024};

	snprintf(name, sizeof(name), "0000:04:00.%u", i);
	if (ixm_open(&device, &s->device, error, sizeof(error)) ||
		port_open(&c, &s->port, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->port);
	CU_ASSERT_EQUAL(port_info(s->port)->offloads, offloads);
}

static void side_make(struct net *n, unsigned i, unsigned mtu, uint32_t offloads)
{
	struct side *s = &n->side[i];
	struct bypass_config c = {.app = &app, .app_ctx = n};
	char name[32];

	port_make(s, i, mtu, offloads);
	snprintf(name, sizeof(name), "tcp_tx%u", i);
	s->tx_pool = poison_pool_create(name, TX_MBUFS, RTE_PKTMBUF_HEADROOM + port_pool_room(mtu));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->tx_pool);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, address(i), kind.v6 ? 64 : 24);
	c.stack.dad_transmits = 0;
	c.port = s->port;
	c.stack.tx_pool = s->tx_pool;
	c.stack.conn_max = 16;
	c.stack.rx_buffer_bytes = c.stack.tx_buffer_bytes = 256 << 10;
	c.stack.time_wait_us = 2000000; /* a FIN may be sent again */
	c.stack.rto_us_min = 10000;
	s->b = bypass_create(&c, n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->b);
}

/* A cable that loses, and sometimes repeats. */
static void lossy(void *context, const uint8_t *frame, unsigned bytes)
{
	struct link *l = context;
	struct ixm *to = l->net->side[!l->from].device;

	if (unit_random_below(l->net->lose_one_in) == 0) {
		l->net->lost++;
		return;
	}
	ixm_inject(to, frame, bytes);
	if (unit_random_below(l->net->lose_one_in) == 0)
		ixm_inject(to, frame, bytes);
}

static void cable(struct net *n)
{
	if (n->lose_one_in == 0)
		ixm_wire_join(n->side[0].device, n->side[1].device);
	for (unsigned i = 0; i < SIDES; i++) {
		ixm_wire_lossless(n->side[i].device, true);
		links[i] = (struct link){n, i};
		if (n->lose_one_in)
			ixm_wire_to(n->side[i].device, lossy, &links[i]);
	}
	ixm_settle();
}

static struct net *net_open(unsigned mtu, uint32_t offloads, unsigned lose_one_in)
{
	struct net *n = the_net = calloc(1, sizeof(*n));

	eal_start();
	n->now_us = 1000000;
	n->lose_one_in = lose_one_in;
	for (unsigned i = 0; i < SIDES; i++)
		side_make(n, i, mtu, offloads);
	cable(n);
	CU_ASSERT_EQUAL(bypass_listen(n->side[1].b, NULL, TCP_PORT, NULL), 0);
	n->side[0].conn = bypass_connect(
		n->side[0].b, (struct ip_addr[]){address(1)}, TCP_PORT, &n->side[0], n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->side[0].conn);
	return n;
}

static void net_close(struct net *n)
{
	struct ixm_dma_fault fault;
	struct ixm_counters c;

	for (unsigned i = 0; i < SIDES; i++)
		bypass_destroy(n->side[i].b);
	for (unsigned i = 0; i < SIDES; i++) {
		struct side *s = &n->side[i];
		port_close(s->port);
		ixm_dma_fault(s->device, &fault);
		ixm_counters(s->device, &c);
		CU_ASSERT_EQUAL(fault.count, 0);
		CU_ASSERT_EQUAL(c.tx_malformed + c.rx_length, 0);
		ixm_close(s->device);
		CU_ASSERT(unit_pool_full(s->tx_pool));
		rte_mempool_free(s->tx_pool);
	}
	free(n);
}

static void turn(struct net *n)
{
	for (unsigned i = 0; i < SIDES; i++) {
		struct turn_source *s = bypass_source(n->side[i].b);
		s->poll(s, n->now_us);
		s->flush(s, n->now_us);
		ixm_turn(n->side[i].device);
	}
	n->now_us += TURN_US;
	n->turns++;
}

static void write_some(struct net *n, struct side *s, uint64_t total)
{
	uint8_t piece[PIECE];

	while (s->conn && s->written < total) {
		uint32_t size = (uint32_t)RTE_MIN(1 + unit_random_below(PIECE), total - s->written);
		for (uint32_t i = 0; i < size; i++)
			piece[i] = stream_byte(n, s, s->written + i);
		if (transport_write(s->conn, piece, size))
			return;
		s->written += size;
	}
}

/* Both ways at once, then both ends finish. disturb runs between turns. */
static void exchange(struct net *n, uint64_t total, void (*disturb)(struct net *n, unsigned turn))
{
	bool shut = false;
	unsigned i = 0;

	for (; i < 200000 && !(n->side[0].ended && n->side[1].ended); i++) {
		bool all = true;
		for (unsigned k = 0; k < SIDES; k++) {
			write_some(n, &n->side[k], total);
			all &= n->side[k].read == total;
		}
		if (all && !shut)
			transport_shutdown(n->side[0].conn);
		shut |= all;
		turn(n);
		if (disturb)
			disturb(n, i);
	}
	for (unsigned k = 0; k < SIDES; k++) {
		CU_ASSERT_EQUAL(n->side[k].read, total);
		CU_ASSERT_FALSE(n->side[k].wrong);
		CU_ASSERT_TRUE(n->side[k].ended);
	}
}

static uint64_t counter(const struct side *s, enum stack_counter which)
{
	return stack_counter(bypass_stack(s->b), which);
}

static void no_harm_was_done(const struct net *n)
{
	for (unsigned i = 0; i < SIDES; i++) {
		const struct side *s = &n->side[i];
		CU_ASSERT_EQUAL(counter(s, STACK_COUNTER_tcp_checksum), 0);
		CU_ASSERT_EQUAL(counter(s, STACK_COUNTER_ipv4_checksum), 0);
		CU_ASSERT_EQUAL(counter(s, STACK_COUNTER_tcp_rto), 0);
		CU_ASSERT_EQUAL(counter(s, STACK_COUNTER_tcp_fast_retransmit), 0);
	}
}

enum {
	RX = PORT_RX_IPV4_CHECKSUM | PORT_RX_TCP_CHECKSUM,
	TX = PORT_TX_IPV4_CHECKSUM | PORT_TX_TCP_CHECKSUM,
};

static void test_streams_are_intact_with_each_offload(void)
{
	static const struct {
		uint32_t offloads;
		unsigned mtu;
	} cases[] = {
		{0, 1500},
		{RX, 1500},
		{RX | TX, 1500},
		{RX | TX | PORT_TX_MULTI_SEGMENT, 1500},
		{RX | TX | PORT_TX_MULTI_SEGMENT | PORT_TX_TSO, 1500},
		{0, 9000},
		{RX | TX | PORT_TX_MULTI_SEGMENT | PORT_TX_TSO, 9000},
	};
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		struct net *n = net_open(cases[i].mtu, cases[i].offloads, 0);
		struct ixm_counters c;
		exchange(n, 2 << 20, NULL);
		no_harm_was_done(n);
		ixm_counters(n->side[0].device, &c);
		CU_ASSERT_EQUAL(c.tx_segmentations > 0, (cases[i].offloads & PORT_TX_TSO) != 0);
		CU_ASSERT_EQUAL(c.tx_contexts > 0, (cases[i].offloads & TX) != 0);
		net_close(n);
	}
}

/* What is sent again was sent before, and lies in the driver's ring still. */
static void test_losses_are_repaired(void)
{
	static const uint32_t offloads[] = {RX, RX | TX | PORT_TX_MULTI_SEGMENT | PORT_TX_TSO};

	for (unsigned i = 0; i < RTE_DIM(offloads); i++) {
		struct net *n = net_open(1500, offloads[i], 50);
		exchange(n, 1 << 20, NULL);
		CU_ASSERT(n->lost > 10);
		CU_ASSERT(counter(&n->side[0], STACK_COUNTER_tcp_fast_retransmit) > 0);
		CU_ASSERT_EQUAL(counter(&n->side[0], STACK_COUNTER_tcp_checksum), 0);
		CU_ASSERT_EQUAL(counter(&n->side[1], STACK_COUNTER_tcp_checksum), 0);
		net_close(n);
	}
}

/* Now and then a device stops for longer than TCP waits: segments are made again while the first of them are
 * still to be fetched, from the same payload. */
static void stop_and_go(struct net *n, unsigned turn_number)
{
	enum { GOES = 20, STOPS = 1500, PERIOD = GOES + STOPS };
	unsigned at = turn_number % PERIOD;

	if (at == 0 || at == GOES)
		ixm_faults_set(n->side[(turn_number - at) / PERIOD % 2].device,
			&(struct ixm_faults){.tx_stuck = at == GOES});
	if (at == 0 && turn_number)
		ixm_faults_set(n->side[(turn_number / PERIOD + 1) % 2].device, &(struct ixm_faults){0});
}

static void test_a_device_that_pauses(void)
{
	static const uint32_t offloads[] = {RX, RX | TX | PORT_TX_MULTI_SEGMENT | PORT_TX_TSO};

	for (unsigned i = 0; i < RTE_DIM(offloads); i++) {
		struct net *n = net_open(1500, offloads[i], 0);
		exchange(n, 8 << 20, stop_and_go);
		CU_ASSERT(counter(&n->side[0], STACK_COUNTER_tcp_rto) > 0);
		CU_ASSERT(counter(&n->side[0], STACK_COUNTER_tcp_resent_copied) > 0);
		CU_ASSERT_EQUAL(counter(&n->side[0], STACK_COUNTER_tcp_checksum), 0);
		CU_ASSERT_EQUAL(counter(&n->side[1], STACK_COUNTER_tcp_checksum), 0);
		net_close(n);
	}
}

static void flap(struct net *n, unsigned turn_number)
{
	enum { UP = 30, DOWN = 500, PERIOD = UP + DOWN };
	unsigned at = turn_number % PERIOD;

	if (at == 0 || at == UP)
		ixm_faults_set(n->side[0].device, &(struct ixm_faults){.link_down = at == UP});
}

static void test_a_cable_that_flaps(void)
{
	struct net *n = net_open(1500, RX, 0);

	exchange(n, 8 << 20, flap);
	CU_ASSERT(n->turns > 2000);
	net_close(n);
}

/* Neighbours are found by groups, of which the host of a VF that it does not trust gives it those it lists.
 */
static void test_ipv6_over_vfs_that_are_not_trusted(void)
{
	kind.part = IXM_82599_VF;
	kind.v6 = true;
	struct net *n = net_open(1500, RX | TX | PORT_TX_MULTI_SEGMENT | PORT_TX_TSO, 0);
	exchange(n, 2 << 20, NULL);
	no_harm_was_done(n);
	net_close(n);
	memset(&kind, 0, sizeof(kind));
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"streams_are_intact_with_each_offload", test_streams_are_intact_with_each_offload},
		{"losses_are_repaired", test_losses_are_repaired},
		{"a_device_that_pauses", test_a_device_that_pauses},
		{"a_cable_that_flaps", test_a_cable_that_flaps},
		{"ipv6_over_vfs_that_are_not_trusted", test_ipv6_over_vfs_that_are_not_trusted},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
