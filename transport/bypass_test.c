/* SPDX-License-Identifier: Apache-2.0 */
/* Two stacks in one process, each on a port of its own whose rings are the ends of a wire. The wire copies,
 * as a device does: the sender keeps its buffers to send them again. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "tests/unit/unit.h"
#include "transport/bypass.h"

#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SIDES = 2,
	ENDS = 300,
	TX_MBUFS = 8191,
	TCP_PORT = 5672,
	TURN_US = 20,
	WIRE_FRAMES = 256,
	WIRE_MBUFS = 4095,
};

enum moment { NEVER, IN_ACCEPTED, IN_CONNECTED, IN_READABLE, IN_WRITABLE, IN_PEER_CLOSED, IN_CLOSED };

struct end {
	struct net *net;
	struct transport_conn *conn; /* NULL once it is invalid */
	unsigned connected, readable, writable, peer_closed, closed;
	int connect_error;
	enum transport_reason reason;
	uint64_t rx_bytes;
	uint32_t rx_sum;
};

struct side {
	struct net *net;
	struct bypass *b;
	struct port *port;
	struct rte_mempool *tx_pool;
	struct rte_ring *rx, *tx;
	struct end ends[ENDS];
	unsigned count;
	enum moment abort_in;
	bool refuse, hold, finish;
};

struct net {
	struct side side[SIDES]; /* 0 connects, 1 listens */
	struct rte_mempool *wire;
	uint64_t now_us;
	bool cut; /* nothing leaves side 0's ring */
};

/* Adler-32 without the rare reduction: order and contents. */
static uint32_t sum_add(uint32_t sum, const uint8_t *data, uint32_t n)
{
	uint32_t a = sum & 0xffff, b = sum >> 16;

	for (uint32_t i = 0; i < n; i++) {
		a = (a + data[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static bool react(struct side *s, struct end *e, enum moment now)
{
	struct transport_conn *conn = e->conn;

	if (s->abort_in != now)
		return false;
	e->conn = NULL;
	transport_abort(conn);
	return true;
}

static struct side *side_of(struct end *e)
{
	struct net *net = e->net;

	return e >= net->side[1].ends && e < net->side[1].ends + ENDS ? &net->side[1] : &net->side[0];
}

static void consume(struct end *e)
{
	while (e->conn->rx->bytes) {
		const struct rte_mbuf *m = e->conn->rx->head;
		e->rx_sum = sum_add(e->rx_sum, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
		e->rx_bytes += m->data_len;
		transport_consume(e->conn, m->data_len);
	}
}

static int app_accepted(void *app, struct transport_conn *conn)
{
	struct side *s = app;

	if (s->refuse)
		return -ENOBUFS;
	CU_ASSERT_FATAL(s->count < ENDS);
	struct end *e = &s->ends[s->count++];
	*e = (struct end){.net = s->net, .conn = conn};
	conn->user = e;
	return react(s, e, IN_ACCEPTED) ? -ECONNABORTED : 0;
}

static void app_connected(struct transport_conn *conn, int error)
{
	struct end *e = conn->user;

	e->connected++;
	e->connect_error = error;
	if (react(side_of(e), e, IN_CONNECTED))
		return;
	if (error)
		e->conn = NULL;
}

static void app_readable(struct transport_conn *conn)
{
	struct end *e = conn->user;

	e->readable++;
	if (react(side_of(e), e, IN_READABLE))
		return;
	if (!side_of(e)->hold)
		consume(e);
}

static void app_writable(struct transport_conn *conn)
{
	struct end *e = conn->user;

	e->writable++;
	react(side_of(e), e, IN_WRITABLE);
}

static void app_peer_closed(struct transport_conn *conn)
{
	struct end *e = conn->user;

	e->peer_closed++;
	if (react(side_of(e), e, IN_PEER_CLOSED))
		return;
	if (side_of(e)->finish)
		transport_shutdown(conn);
}

static void app_closed(struct transport_conn *conn, enum transport_reason reason)
{
	struct end *e = conn->user;

	e->closed++;
	e->reason = reason;
	CU_ASSERT_EQUAL(transport_tx_room(conn), 0);
	CU_ASSERT_EQUAL(transport_write(conn, "x", 1), -EPIPE);
	transport_shutdown(conn);
	transport_consume(conn, conn->rx->bytes);
	react(side_of(e), e, IN_CLOSED);
	e->conn = NULL;
}

static const struct transport_app app = {
	.accepted = app_accepted,
	.connected = app_connected,
	.readable = app_readable,
	.writable = app_writable,
	.peer_closed = app_peer_closed,
	.closed = app_closed,
};

/* What rte_eth_from_rings hands its driver: a port is opened by name here, so it is handed over by hand. */
struct ring_arguments {
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

static struct port *port_between(unsigned index, struct rte_ring *rx, struct rte_ring *tx)
{
	struct ring_arguments a = {&rx, 1, &tx, 1, 0, &a};
	struct port_config c = {.queues = 1, .offloads = PORT_OFFLOADS_ALL, .rx_held = 2048};
	char device[64], error[512];
	struct port *p;

	snprintf(device, sizeof(device), "net_ring%u,internal=%p", index, (void *)&a);
	c.device = device;
	c.mac[0] = 2;
	c.mac[5] = (uint8_t)(index + 1);
	if (port_open(&c, &p, error, sizeof(error)))
		printf("# %s: %s\n", device, error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static struct ip_addr address(unsigned side)
{
	return ip_v4(0x0a000001 + side);
}

static void side_open(struct net *n, unsigned i)
{
	struct side *s = &n->side[i];
	struct bypass_config c = {
		.port = s->port, .local_link = i == 1, .sleeps = true, .app = &app, .app_ctx = s};
	char name[32];

	s->net = n;
	snprintf(name, sizeof(name), "tx%u", i);
	s->tx_pool = port_pool_create(name, TX_MBUFS, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->tx_pool);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, address(i), 24);
	c.stack.tx_pool = s->tx_pool;
	c.stack.conn_max = ENDS;
	c.stack.rx_buffer_bytes = 128 << 10;
	c.stack.tx_buffer_bytes = 128 << 10;
	c.stack.time_wait_us = 1000;
	s->b = bypass_create(&c, n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->b);
}

static struct rte_ring *ring_make(const char *name)
{
	struct rte_ring *r = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	return r;
}

static struct net *net_open(void)
{
	const struct eal_options o = {.memory_mb = 192, .data_cores = 1};
	struct net *n = calloc(1, sizeof(*n));
	char error[512];

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
	n->now_us = 1000000;
	n->wire = port_pool_create("wire", WIRE_MBUFS, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->wire);
	for (unsigned i = 0; i < SIDES; i++) {
		struct side *s = &n->side[i];
		s->rx = ring_make(i ? "rx1" : "rx0");
		s->tx = ring_make(i ? "tx1" : "tx0");
		s->port = port_between(i, s->rx, s->tx);
		side_open(n, i);
	}
	CU_ASSERT_EQUAL(bypass_listen(n->side[1].b, NULL, TCP_PORT, NULL), 0);
	return n;
}

static void net_close(struct net *n)
{
	struct rte_mbuf *m;

	for (unsigned i = 0; i < SIDES; i++)
		bypass_destroy(n->side[i].b);
	for (unsigned i = 0; i < SIDES; i++) {
		while (rte_ring_dequeue(n->side[i].rx, (void **)&m) == 0 ||
			rte_ring_dequeue(n->side[i].tx, (void **)&m) == 0)
			rte_pktmbuf_free(m);
		port_close(n->side[i].port);
	}
	for (unsigned i = 0; i < SIDES; i++) {
		CU_ASSERT(unit_pool_full(n->side[i].tx_pool));
		rte_mempool_free(n->side[i].tx_pool);
		rte_ring_free(n->side[i].rx);
		rte_ring_free(n->side[i].tx);
	}
	CU_ASSERT(unit_pool_full(n->wire));
	rte_mempool_free(n->wire);
	free(n);
}

static void carry(struct net *n, unsigned from)
{
	struct rte_mbuf *m;

	if (from == 0 && n->cut)
		return;
	while (rte_ring_dequeue(n->side[from].tx, (void **)&m) == 0) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, n->wire, 0, UINT32_MAX);
		rte_pktmbuf_free(m);
		if (copy && rte_ring_enqueue(n->side[!from].rx, copy) != 0)
			rte_pktmbuf_free(copy);
	}
}

static void turn(struct net *n)
{
	for (unsigned i = 0; i < SIDES; i++) {
		struct turn_source *s = bypass_source(n->side[i].b);
		s->poll(s, n->now_us);
		s->flush(s, n->now_us);
		carry(n, i);
	}
	n->now_us += TURN_US;
}

static void turns(struct net *n, unsigned count)
{
	while (count--)
		turn(n);
}

/* At most ten virtual seconds. */
#define UNTIL(n, condition)                                                   \
	do {                                                                  \
		for (unsigned left_ = 500000; left_ && !(condition); left_--) \
			turn(n);                                              \
		CU_ASSERT_FATAL(condition);                                   \
	} while (0)

static struct end *connect_to(struct net *n, uint16_t port)
{
	struct side *s = &n->side[0];
	struct end *e = &s->ends[s->count++];

	*e = (struct end){.net = n};
	e->conn = bypass_connect(s->b, (struct ip_addr[]){address(1)}, port, e, n->now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e->conn);
	return e;
}

static struct end *connected(struct net *n, struct end **other)
{
	struct end *e = connect_to(n, TCP_PORT);

	*other = &n->side[1].ends[n->side[1].count];
	UNTIL(n, e->connected && (*other)->conn);
	CU_ASSERT_EQUAL(e->connect_error, 0);
	return e;
}

static void test_open_and_addresses(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);

	CU_ASSERT_EQUAL(a->conn->ops->kind, TRANSPORT_BYPASS);
	CU_ASSERT_EQUAL(a->conn->remote.port, TCP_PORT);
	CU_ASSERT_EQUAL(b->conn->local.port, TCP_PORT);
	CU_ASSERT_EQUAL(b->conn->remote.port, a->conn->local.port);
	CU_ASSERT_EQUAL(b->conn->remote.family, 4);
	CU_ASSERT_EQUAL(b->conn->remote.bytes[3], 1);
	CU_ASSERT(b->conn->local_link); /* configured so */
	CU_ASSERT(!a->conn->local_link);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).accepted, 1);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).conns, 1);
	net_close(n);
}

static void test_ten_megabytes_both_ways(void)
{
	enum { TOTAL = 10 << 20, PIECE = 7001 };
	struct net *n = net_open();
	struct end *ends[2];
	uint64_t written[2] = {0};
	uint32_t sum[2] = {0};
	uint8_t piece[PIECE];

	ends[0] = connected(n, &ends[1]);
	while (written[0] < TOTAL || written[1] < TOTAL) {
		for (unsigned i = 0; i < 2; i++) {
			while (written[i] < TOTAL) {
				uint32_t size = 1 + unit_random_below(PIECE);
				size = (uint32_t)RTE_MIN(size, TOTAL - written[i]);
				memset(piece, (int)unit_random(), size);
				if (transport_write(ends[i]->conn, piece, size) != 0)
					break;
				sum[i] = sum_add(sum[i], piece, size);
				written[i] += size;
			}
		}
		turn(n);
	}
	UNTIL(n, ends[0]->rx_bytes == TOTAL && ends[1]->rx_bytes == TOTAL);
	CU_ASSERT_EQUAL(ends[0]->rx_sum, sum[1]);
	CU_ASSERT_EQUAL(ends[1]->rx_sum, sum[0]);
	CU_ASSERT(ends[0]->writable > 0);
	turns(n, 5000);
	CU_ASSERT_EQUAL(transport_tx_pending(ends[0]->conn), 0);
	net_close(n);
}

static void test_unread_closes_the_window(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);
	static const uint8_t piece[4096];
	uint64_t written = 0;

	n->side[1].hold = true;
	for (unsigned idle = 0; idle < 1000; turn(n)) {
		idle = transport_write(a->conn, piece, sizeof(piece)) == 0 ? 0 : idle + 1;
		written += idle ? 0 : sizeof(piece);
	}
	CU_ASSERT(b->conn->rx->bytes <= 128 << 10);
	CU_ASSERT(written < 3 * (128 << 10));
	unsigned before = a->writable;
	n->side[1].hold = false;
	consume(b);
	UNTIL(n, b->rx_bytes == written && a->writable > before);
	net_close(n);
}

static void test_closes(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);

	CU_ASSERT_EQUAL(transport_write(a->conn, "last", 4), 0);
	transport_shutdown(a->conn);
	CU_ASSERT_EQUAL(transport_write(a->conn, "x", 1), -EPIPE);
	transport_shutdown(a->conn);
	UNTIL(n, b->peer_closed);
	CU_ASSERT_EQUAL(b->rx_bytes, 4);
	CU_ASSERT_EQUAL(transport_write(b->conn, "answer", 6), 0);
	UNTIL(n, a->rx_bytes == 6);
	transport_shutdown(b->conn);
	UNTIL(n, a->closed && b->closed);
	CU_ASSERT_EQUAL(a->reason, TRANSPORT_DONE);
	CU_ASSERT_EQUAL(b->reason, TRANSPORT_DONE);

	a = connected(n, &b);
	transport_abort(a->conn);
	UNTIL(n, b->closed);
	CU_ASSERT_EQUAL(b->reason, TRANSPORT_RESET);
	CU_ASSERT_EQUAL(a->closed, 0);
	CU_ASSERT_EQUAL(bypass_stats(n->side[0].b).conns, 0);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).conns, 0);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).closed, 2);
	net_close(n);
}

static void test_done_waits_for_the_reader(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);

	n->side[1].hold = n->side[1].finish = true;
	CU_ASSERT_EQUAL(transport_write(a->conn, "last", 4), 0);
	transport_shutdown(a->conn);
	UNTIL(n, b->peer_closed);
	turns(n, 1000);
	CU_ASSERT_EQUAL_FATAL(b->closed, 0);
	consume(b);
	CU_ASSERT_EQUAL(b->closed, 0);
	UNTIL(n, b->closed);
	CU_ASSERT_EQUAL(b->reason, TRANSPORT_DONE);
	net_close(n);
}

static void test_refusals(void)
{
	struct net *n = net_open();
	struct end *a = connect_to(n, TCP_PORT + 1);

	UNTIL(n, a->connected);
	CU_ASSERT_EQUAL(a->connect_error, -ECONNREFUSED);
	CU_ASSERT_EQUAL(a->closed, 0);
	n->side[1].refuse = true;
	a = connect_to(n, TCP_PORT);
	UNTIL(n, a->closed);
	CU_ASSERT_EQUAL(a->reason, TRANSPORT_RESET);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).refused, 1);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).conns, 0);
	net_close(n);
}

static void abort_in(unsigned side, enum moment when, uint16_t port)
{
	struct net *n = net_open();
	static uint8_t bulk[128 << 10];

	n->side[side].abort_in = when;
	n->side[0].finish = n->side[1].finish = true;
	struct end *a = connect_to(n, port), *b = &n->side[1].ends[0];
	UNTIL(n, a->connected);
	if (a->conn && transport_write(a->conn, bulk, sizeof(bulk)) == 0)
		CU_ASSERT_EQUAL(transport_tx_room(a->conn), 0);
	UNTIL(n, !a->conn || b->rx_bytes == sizeof(bulk) || (side == 1 && !b->conn));
	turns(n, 200);
	if (a->conn)
		transport_shutdown(a->conn);
	UNTIL(n, !a->conn && !b->conn);
	CU_ASSERT_EQUAL((side ? b : a)->closed, when == IN_CLOSED);
	turns(n, 100);
	CU_ASSERT_EQUAL(bypass_stats(n->side[0].b).conns, 0);
	CU_ASSERT_EQUAL(bypass_stats(n->side[1].b).conns, 0);
	net_close(n);
}

static void test_abort_in_each_callback(void)
{
	abort_in(1, IN_ACCEPTED, TCP_PORT);
	abort_in(0, IN_CONNECTED, TCP_PORT);
	abort_in(0, IN_CONNECTED, TCP_PORT + 1); /* in the one that tells of the error */
	abort_in(1, IN_READABLE, TCP_PORT);
	abort_in(0, IN_WRITABLE, TCP_PORT);
	abort_in(1, IN_PEER_CLOSED, TCP_PORT);
	abort_in(0, IN_CLOSED, TCP_PORT);
	abort_in(1, IN_CLOSED, TCP_PORT);
}

/* More is sent at once than the wire, the port and the queue behind it take: some frames are dropped and
 * counted, and every byte arrives in the end. */
static void test_overflow_is_recovered_from(void)
{
	enum { CONNS = 250, BYTES = 14000 };
	struct net *n = net_open();
	static uint8_t data[BYTES];
	uint64_t got = 0;

	for (unsigned i = 0; i < CONNS; i++) {
		connect_to(n, TCP_PORT);
		turn(n);
	}
	UNTIL(n, n->side[1].count == CONNS);
	turns(n, 5000);
	n->cut = true;
	for (unsigned i = 0; i < CONNS; i++)
		CU_ASSERT_EQUAL(transport_write(n->side[0].ends[i].conn, data, BYTES), 0);
	turn(n);
	struct bypass_stats s = bypass_stats(n->side[0].b);
	CU_ASSERT_EQUAL(s.tx_waited, 2048);
	CU_ASSERT(s.tx_dropped > 0);
	struct turn_source *source = bypass_source(n->side[0].b);
	CU_ASSERT(!source->sleep_prepare(source)); /* frames wait: it must come back by itself */
	n->cut = false;
	for (unsigned left = 1000000; left && got < (uint64_t)CONNS * BYTES; left--) {
		turn(n);
		got = 0;
		for (unsigned i = 0; i < CONNS; i++)
			got += n->side[1].ends[i].rx_bytes;
	}
	CU_ASSERT_EQUAL(got, (uint64_t)CONNS * BYTES);
	net_close(n);
}

/* Frames that only the port holds also keep the turn awake. */
static void test_no_sleep_while_the_port_holds_frames(void)
{
	enum { CONNS = 26, BYTES = 14000 }; /* ten segments each: a few more than the ring takes */
	struct net *n = net_open();
	static uint8_t data[BYTES];
	struct turn_source *s = bypass_source(n->side[0].b);

	for (unsigned i = 0; i < CONNS; i++) {
		connect_to(n, TCP_PORT);
		turns(n, 10); /* a SYN that had to wait for ARP too long would begin with a small window */
	}
	UNTIL(n, n->side[1].count == CONNS);
	turns(n, 5000);
	CU_ASSERT(s->sleep_prepare(s));
	n->cut = true;
	for (unsigned i = 0; i < CONNS; i++)
		CU_ASSERT_EQUAL(transport_write(n->side[0].ends[i].conn, data, BYTES), 0);
	s->flush(s, n->now_us);
	CU_ASSERT_EQUAL(rte_ring_free_count(n->side[0].tx), 0);
	CU_ASSERT_EQUAL(bypass_stats(n->side[0].b).tx_waited, 0);
	CU_ASSERT(!s->sleep_prepare(s));
	n->cut = false;
	turns(n, 5000);
	CU_ASSERT(s->sleep_prepare(s));
	net_close(n);
}

/* What arrives while a sleep is prepared is looked at, and not lost. */
static void test_a_frame_before_sleep(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);
	struct turn_source *from = bypass_source(n->side[0].b), *to = bypass_source(n->side[1].b);

	turns(n, 5000);
	CU_ASSERT(to->sleep_prepare(to));
	CU_ASSERT(to->sleep_prepare(to));
	CU_ASSERT_EQUAL(transport_write(a->conn, "frame", 5), 0);
	from->flush(from, n->now_us);
	carry(n, 0);
	CU_ASSERT(!to->sleep_prepare(to));
	CU_ASSERT(!to->sleep_prepare(to));
	CU_ASSERT_EQUAL(b->rx_bytes, 0);
	CU_ASSERT(to->poll(to, n->now_us) > 0);
	CU_ASSERT_EQUAL(b->rx_bytes, 5);
	/* And one that is never polled goes back to its pool at the end. */
	CU_ASSERT_EQUAL(transport_write(a->conn, "frame", 5), 0);
	from->flush(from, n->now_us);
	carry(n, 0);
	CU_ASSERT(!to->sleep_prepare(to));
	net_close(n);
}

static void test_listeners_stop(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);

	CU_ASSERT_EQUAL(bypass_listen(n->side[1].b, NULL, TCP_PORT, NULL), -EADDRINUSE);
	CU_ASSERT_EQUAL(
		bypass_listen(n->side[1].b, &(struct ip_addr){.bytes = {1}}, TCP_PORT, NULL), -EADDRNOTAVAIL);
	bypass_listen_stop(n->side[1].b);
	bypass_listen_stop(n->side[1].b);
	struct end *late = connect_to(n, TCP_PORT);
	UNTIL(n, late->connected);
	CU_ASSERT_EQUAL(late->connect_error, -ECONNREFUSED);
	CU_ASSERT_EQUAL(transport_write(a->conn, "on", 2), 0);
	UNTIL(n, b->rx_bytes == 2);
	CU_ASSERT_EQUAL(bypass_listen(n->side[1].b, NULL, TCP_PORT, NULL), 0);
	a = connected(n, &b);
	CU_ASSERT_PTR_NOT_NULL(a->conn);
	net_close(n);
}

static void test_destroy_with_live_connections(void)
{
	struct net *n = net_open();
	struct end *b;
	static const uint8_t data[100000];

	n->side[1].hold = true;
	for (unsigned i = 0; i < 10; i++) {
		struct end *a = connected(n, &b);
		CU_ASSERT_EQUAL(transport_write(a->conn, data, sizeof(data)), 0);
		CU_ASSERT_EQUAL(transport_write(b->conn, data, sizeof(data)), 0);
		turns(n, i);
	}
	connect_to(n, TCP_PORT);
	net_close(n);
}

static void test_configuration_is_checked(void)
{
	struct net *n = net_open();
	struct bypass_config c = {.port = n->side[0].port, .app = &app};

	stack_config_defaults(&c.stack);
	c.stack.tx_pool = n->side[0].tx_pool;
	CU_ASSERT_PTR_NULL(bypass_create(&c, 0)); /* no address */
	stack_config_add(&c.stack, address(0), 24);
	c.stack.conn_max = 0;
	CU_ASSERT_PTR_NULL(bypass_create(&c, 0));
	net_close(n);
}

static uint64_t capture_clock(void)
{
	return 1;
}

struct captured {
	uint64_t frames[3], bytes[3]; /* by enum capture_direction */
};

static void capture_drain(struct capture *c, struct captured *seen)
{
	for (const struct capture_record *r; (r = capture_peek(c)); capture_pop(c)) {
		seen->frames[r->direction]++;
		seen->bytes[r->direction] += r->frame_bytes;
	}
}

/* Each frame that passes the port, once; none before and none after. */
static void test_captured(void)
{
	struct net *n = net_open();
	struct end *b, *a = connected(n, &b);
	static const uint8_t piece[4096];
	struct capture_config config = {
		.ring_bytes = 1 << 20, .snaplen = 64, .packets_max = UINT64_MAX, .clock_ns = capture_clock};
	struct capture *c = capture_create(&config);
	struct captured seen = {0};
	struct port_counters before, after;
	uint64_t written = 0;

	port_counters(n->side[0].port, &before);
	bypass_set_capture(n->side[0].b, c);
	for (unsigned i = 0; i < 2000; i++) {
		while (transport_write(a->conn, piece, sizeof(piece)) == 0)
			written += sizeof(piece);
		turn(n);
		capture_drain(c, &seen);
	}
	for (unsigned left = 100000; left && b->rx_bytes != written; left--) {
		turn(n);
		capture_drain(c, &seen);
	}
	CU_ASSERT_EQUAL(b->rx_bytes, written);
	bypass_set_capture(n->side[0].b, NULL);
	port_counters(n->side[0].port, &after);
	CU_ASSERT_EQUAL(transport_write(a->conn, piece, sizeof(piece)), 0);
	turns(n, 1000);
	capture_drain(c, &seen);
	CU_ASSERT_EQUAL(seen.frames[CAPTURE_OUT], after.tx_frames - before.tx_frames);
	CU_ASSERT_EQUAL(seen.bytes[CAPTURE_OUT], after.tx_bytes - before.tx_bytes);
	CU_ASSERT_EQUAL(seen.frames[CAPTURE_IN], after.rx_frames - before.rx_frames);
	CU_ASSERT_EQUAL(seen.bytes[CAPTURE_IN], after.rx_bytes - before.rx_bytes);
	CU_ASSERT_EQUAL(capture_stats(c).lost, 0);
	capture_destroy(c);
	net_close(n);
}

static void test_offloads(void)
{
	const uint32_t sending = PORT_TX_IPV4_CHECKSUM | PORT_TX_TCP_CHECKSUM | PORT_TX_MULTI_SEGMENT |
				 PORT_TX_TSO;

	CU_ASSERT_EQUAL(bypass_stack_offloads(0), 0);
	CU_ASSERT_EQUAL(
		bypass_stack_offloads(sending), STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM |
							STACK_OFFLOAD_MULTI_SEG | STACK_OFFLOAD_TX_TSO);
	/* As virtio has it: frames from next door come without TCP's checksum, and are dropped where it is
	 * computed. */
	CU_ASSERT_EQUAL(bypass_stack_offloads(PORT_RX_TCP_CHECKSUM), STACK_OFFLOAD_RX_CKSUM);
	CU_ASSERT_EQUAL(bypass_stack_offloads(PORT_RX_IPV4_CHECKSUM), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"open_and_addresses", test_open_and_addresses},
		{"offloads", test_offloads},
		{"ten_megabytes_both_ways", test_ten_megabytes_both_ways},
		{"unread_closes_the_window", test_unread_closes_the_window},
		{"closes", test_closes},
		{"done_waits_for_the_reader", test_done_waits_for_the_reader},
		{"refusals", test_refusals},
		{"abort_in_each_callback", test_abort_in_each_callback},
		{"overflow_is_recovered_from", test_overflow_is_recovered_from},
		{"no_sleep_while_the_port_holds_frames", test_no_sleep_while_the_port_holds_frames},
		{"a_frame_before_sleep", test_a_frame_before_sleep},
		{"listeners_stop", test_listeners_stop},
		{"destroy_with_live_connections", test_destroy_with_live_connections},
		{"captured", test_captured},
		{"configuration_is_checked", test_configuration_is_checked},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
