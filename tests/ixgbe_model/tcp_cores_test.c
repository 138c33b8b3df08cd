/* SPDX-License-Identifier: Apache-2.0 */
/* A server on several cores: one port, whose device spreads connections over its queues, and a stack for each
 * core. Clients on one core of another device; both are models under the unmodified driver. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "tests/ixgbe_model/model.h"
#include "tests/unit/unit.h"
#include "transport/bypass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES_MAX = 16, CONNS = 128, TCP_PORT = 5672, TURN_US = 20, EACH = 20000 };

struct core {
	struct bypass *b;
	struct rte_mempool *tx_pool;
};

struct host {
	struct ixm *device;
	struct port *port;
	struct core core[CORES_MAX];
	unsigned cores;
};

struct client {
	struct transport_conn *conn;
	unsigned written, read;
	bool wrong, ended;
};

struct net {
	struct host client, server;
	struct client clients[CONNS];
	uint64_t now_us;
};

/* ---- what the server does: everything comes back ---- */

static int accepted(void *app, struct transport_conn *conn)
{
	return 0;
}

static void echo(struct transport_conn *conn)
{
	while (conn->rx->bytes) {
		const struct rte_mbuf *m = conn->rx->head;
		unsigned n = m->data_len;
		if (transport_write(conn, rte_pktmbuf_mtod(m, const void *), n))
			return; /* writable comes */
		transport_consume(conn, n);
	}
}

static void ended(struct transport_conn *conn, enum transport_reason reason)
{
	CU_ASSERT_EQUAL(reason, TRANSPORT_DONE);
}

static const struct transport_app server_app = {.accepted = accepted,
	.readable = echo,
	.writable = echo,
	.peer_closed = transport_shutdown,
	.closed = ended};

/* ---- and the clients ---- */

static uint8_t stream_byte(const struct client *c, unsigned at)
{
	return (uint8_t)((uintptr_t)c / sizeof(*c) * 31 + at * 131 + (at >> 8));
}

static void client_write(struct transport_conn *conn)
{
	struct client *c = conn->user;
	uint8_t piece[1000];

	while (c->written < EACH) {
		unsigned n = RTE_MIN(1 + unit_random_below(sizeof(piece)), EACH - c->written);
		for (unsigned i = 0; i < n; i++)
			piece[i] = stream_byte(c, c->written + i);
		if (transport_write(conn, piece, n))
			return;
		c->written += n;
	}
}

static void client_connected(struct transport_conn *conn, int error)
{
	CU_ASSERT_EQUAL_FATAL(error, 0);
	client_write(conn);
}

static void client_readable(struct transport_conn *conn)
{
	struct client *c = conn->user;

	while (conn->rx->bytes) {
		const struct rte_mbuf *m = conn->rx->head;
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
		for (unsigned i = 0; i < m->data_len; i++)
			c->wrong |= data[i] != stream_byte(c, c->read + i);
		c->read += m->data_len;
		transport_consume(conn, m->data_len);
	}
	if (c->read == EACH)
		transport_shutdown(conn);
}

static void nothing(struct transport_conn *conn)
{
}

static void client_closed(struct transport_conn *conn, enum transport_reason reason)
{
	struct client *c = conn->user;

	CU_ASSERT_EQUAL(reason, TRANSPORT_DONE);
	c->ended = true;
}

static const struct transport_app client_app = {.accepted = accepted,
	.connected = client_connected,
	.readable = client_readable,
	.writable = client_write,
	.peer_closed = nothing,
	.closed = client_closed};

static struct ip_addr address(unsigned i)
{
	return ip_v4(0x0a000001 + i);
}

static void core_make(struct host *h, unsigned k, unsigned i, const struct transport_app *app)
{
	struct bypass_config c = {.app = app, .port = h->port, .queue = k};
	char name[32];

	snprintf(name, sizeof(name), "cores_tx%u_%u", i, k);
	h->core[k].tx_pool = port_pool_create(name, 1023, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h->core[k].tx_pool);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, address(i), 24);
	c.stack.tx_pool = h->core[k].tx_pool;
	c.stack.conn_max = 2 * CONNS;
	c.stack.rx_buffer_bytes = c.stack.tx_buffer_bytes = 16 << 10;
	c.stack.time_wait_us = 1000;
	h->core[k].b = bypass_create(&c, 1000000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h->core[k].b);
}

static void host_make(struct host *h, unsigned i, unsigned cores, const struct transport_app *app)
{
	char name[32], error[512] = "";
	const struct ixm_config device = {.address = name, .mac = {2, 0, 0, 0, 5, (uint8_t)i}};
	const struct port_config c = {.device = name,
		.queues = cores,
		.rx_descriptors = 128,
		.tx_descriptors = 128,
		.offloads = PORT_RX_IPV4_CHECKSUM | PORT_RX_TCP_CHECKSUM,
		.rx_held = 512};

	snprintf(name, sizeof(name), "0000:05:00.%u", i);
	if (ixm_open(&device, &h->device, error, sizeof(error)) ||
		port_open(&c, &h->port, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h->port);
	h->cores = cores;
	for (unsigned k = 0; k < cores; k++)
		core_make(h, k, i, app);
}

static struct net *net_open(unsigned cores)
{
	const struct eal_options o = {.memory_mb = 512, .data_cores = 1};
	struct net *n = calloc(1, sizeof(*n));
	char error[512];

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
	n->now_us = 1000000;
	host_make(&n->client, 0, 1, &client_app);
	host_make(&n->server, 1, cores, &server_app);
	ixm_wire_join(n->client.device, n->server.device);
	ixm_wire_lossless(n->client.device, true);
	ixm_wire_lossless(n->server.device, true);
	ixm_settle();
	for (unsigned k = 0; k < cores; k++)
		CU_ASSERT_EQUAL(bypass_listen(n->server.core[k].b, NULL, TCP_PORT, NULL), 0);
	return n;
}

static void host_close(struct host *h)
{
	struct ixm_dma_fault fault;

	for (unsigned k = 0; k < h->cores; k++)
		bypass_destroy(h->core[k].b);
	port_close(h->port);
	ixm_dma_fault(h->device, &fault);
	CU_ASSERT_EQUAL(fault.count, 0);
	ixm_close(h->device);
	for (unsigned k = 0; k < h->cores; k++) {
		CU_ASSERT(unit_pool_full(h->core[k].tx_pool));
		rte_mempool_free(h->core[k].tx_pool);
	}
}

static void host_turn(struct host *h, uint64_t now_us)
{
	for (unsigned k = 0; k < h->cores; k++) {
		struct turn_source *s = bypass_source(h->core[k].b);
		s->poll(s, now_us);
		s->flush(s, now_us);
	}
	ixm_turn(h->device);
}

static unsigned ended_count(const struct net *n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CONNS; i++)
		count += n->clients[i].ended;
	return count;
}

/* Each core has accepted connections, and those are whole: no segment of theirs reached another core, which
 * would have answered with a reset. */
static void server_is_shared(const struct net *n)
{
	struct port_counters c;
	uint64_t sum = 0;

	for (unsigned k = 0; k < n->server.cores; k++) {
		struct bypass_stats s = bypass_stats(n->server.core[k].b);
		CU_ASSERT(s.accepted > 0);
		sum += s.accepted;
	}
	CU_ASSERT_EQUAL(sum, CONNS);
	port_counters(n->server.port, &c);
	CU_ASSERT_EQUAL(c.spread_full + c.tx_stuck, 0);
}

static void test_cores_share_the_connections(void)
{
	static const unsigned counts[] = {1, 4, CORES_MAX};

	for (unsigned i = 0; i < RTE_DIM(counts); i++) {
		struct net *n = net_open(counts[i]);
		for (unsigned k = 0; k < CONNS; k++) {
			struct client *c = &n->clients[k];
			c->conn = bypass_connect(
				n->client.core[0].b, (struct ip_addr[]){address(1)}, TCP_PORT, c, n->now_us);
			CU_ASSERT_PTR_NOT_NULL_FATAL(c->conn);
		}
		for (unsigned turn = 0; turn < 100000 && ended_count(n) < CONNS; turn++) {
			host_turn(&n->client, n->now_us);
			host_turn(&n->server, n->now_us);
			n->now_us += TURN_US;
		}
		CU_ASSERT_EQUAL(ended_count(n), CONNS);
		for (unsigned k = 0; k < CONNS; k++) {
			CU_ASSERT_EQUAL(n->clients[k].read, EACH);
			CU_ASSERT_FALSE(n->clients[k].wrong);
		}
		server_is_shared(n);
		host_close(&n->client);
		host_close(&n->server);
		free(n);
	}
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"cores_share_the_connections", test_cores_share_the_connections},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
