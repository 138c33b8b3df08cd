/* SPDX-License-Identifier: Apache-2.0 */
/* In steady state a polling core makes no system call, allocates nothing and faults no page: a port's loop
 * over an 82599, a ring and vhost, and a TCP server over an 82599. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/clock.h"
#include "tests/ixgbe_model/port_fixture.h"
#include "tests/unit/steady.h"
#include "transport/bypass.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* On a busy machine the kernel moves pages about, and a page that was moved faults once. So a run with faults
 * is repeated, and a few are allowed; a loop that touches new memory has one in two frames or more. */
enum { FAULTS_MAX = 48, UNTOUCHED_PAGES = 100 };
enum { WARM_UP = 2000, WATCHED = 4000, TRIES = 5, TURNS_MAX = 20000000 };

enum broken_rule { NONE, CALLS, ALLOCATES, FAULTS };

struct poller {
	struct port *port;
	unsigned moved;
	enum broken_rule rule;
	int error;
	struct steady_seen seen;
};

static void break_rule(enum broken_rule rule, volatile char *untouched, size_t page)
{
	static void *volatile kept;

	if (rule == CALLS)
		syscall(SYS_getppid);
	if (rule == ALLOCATES) {
		kept = malloc(16);
		free(kept);
	}
	for (unsigned i = 0; rule == FAULTS && i < UNTOUCHED_PAGES; i++)
		untouched[i * page] = 1;
}

/* What comes in goes out again, until n frames have or turns_max are over. */
static void forward_some(struct poller *p, unsigned n, unsigned turns_max)
{
	struct rte_mbuf *frames[PORT_BURST];

	for (unsigned turn = 0; p->moved < n && turn < turns_max; turn++) {
		unsigned got = port_rx(p->port, 0, frames, PORT_BURST);
		unsigned taken = port_tx(p->port, 0, frames, got);
		for (; taken < got; taken++)
			rte_pktmbuf_free(frames[taken]);
		port_tx_flush(p->port, 0, turn);
		p->moved += got;
	}
}

static void forward(struct poller *p, unsigned n)
{
	forward_some(p, n, TURNS_MAX);
}

static void *poll_port(void *context)
{
	struct poller *p = context;
	size_t page = (size_t)getpagesize();
	char *untouched = mmap(
		NULL, UNTOUCHED_PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned i = 0; i < TRIES; i++) {
		p->moved = 0;
		forward(p, WARM_UP);
		p->moved = 0;
		p->error = steady_begin();
		if (p->error)
			break;
		forward(p, WATCHED);
		break_rule(p->rule, untouched, page);
		steady_end(&p->seen);
		if (p->seen.page_faults <= FAULTS_MAX || p->rule == FAULTS)
			break;
	}
	munmap(untouched, UNTOUCHED_PAGES * page);
	return NULL;
}

static struct steady_seen watched(
	struct port *port, struct rte_mbuf **frames, unsigned n, enum broken_rule rule)
{
	struct poller p = {.port = port, .rule = rule};
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(port_tx(port, 0, frames, n), n);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, poll_port, &p), 0);
	pthread_join(thread, NULL);
	if (p.error)
		printf("# the kernel does not dispatch system calls: %s\n", strerror(-p.error));
	CU_ASSERT_EQUAL(p.error, 0);
	CU_ASSERT(p.moved >= WATCHED);
	return p.seen;
}

static void nothing_was_seen(struct steady_seen seen)
{
	CU_ASSERT_EQUAL(seen.system_call, -1);
	CU_ASSERT_EQUAL(seen.allocations, 0);
	CU_ASSERT(seen.page_faults <= FAULTS_MAX);
}

static struct steady_seen watched_82599(enum broken_rule rule)
{
	struct port_bench b;
	struct rte_mbuf *out[PORT_BURST];

	pf_open(&b, (struct port_config){.rx_descriptors = 128, .tx_descriptors = 128});
	for (unsigned i = 0; i < PORT_BURST; i++) {
		struct test_packet packet = pf_flow(i);
		out[i] = pf_frame(&b, &packet);
	}
	CU_ASSERT_EQUAL_FATAL(ixm_thread_start(b.device), 0);
	struct steady_seen seen = watched(b.port, out, PORT_BURST, rule);
	ixm_thread_stop(b.device);
	pf_drain(&b, 0);
	pf_close(&b);
	return seen;
}

static void test_a_port_of_an_82599(void)
{
	nothing_was_seen(watched_82599(NONE));
}

static void test_what_breaks_the_rule_is_seen(void)
{
	CU_ASSERT_EQUAL(watched_82599(CALLS).system_call, SYS_getppid);
	CU_ASSERT(watched_82599(FAULTS).page_faults >= UNTOUCHED_PAGES);
	CU_ASSERT_EQUAL(watched_82599(ALLOCATES).allocations > 0, steady_sees_allocations());
}

static struct port *port_named(const char *device)
{
	const struct port_config c = {.device = device, .queues = 1, .rx_descriptors = 256};
	char error[256] = "";
	struct port *p;

	if (port_open(&c, &p, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static void frames_make(struct port *p, struct rte_mbuf **frames)
{
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(port_rx_pool(p, 0), frames, PORT_BURST), 0);
	for (unsigned i = 0; i < PORT_BURST; i++)
		memset(rte_pktmbuf_append(frames[i], 60), 0, 60);
}

static void test_a_port_of_a_ring(void)
{
	struct rte_mbuf *frames[PORT_BURST];

	pf_eal();
	struct port *p = port_named("net_ring0");
	frames_make(p, frames);
	nothing_was_seen(watched(p, frames, PORT_BURST, NONE));
	for (unsigned n = 1; n; rte_pktmbuf_free_bulk(frames, n))
		n = port_rx(p, 0, frames, PORT_BURST);
	port_close(p);
}

/* A guest's end: it gives back what it gets. */
struct guest {
	struct port *port;
	bool stop;
};

static void *guest_run(void *context)
{
	struct guest *g = context;
	struct poller p = {.port = g->port};

	while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE)) {
		p.moved = 0;
		forward_some(&p, 1, 100);
		usleep(20);
	}
	return NULL;
}

static void test_a_port_of_vhost(void)
{
	char device[128], path[] = "/tmp/steady_test_XXXXXX";
	struct rte_mbuf *frames[PORT_BURST];
	struct guest g = {0};
	pthread_t thread;

	pf_eal();
	close(mkstemp(path));
	unlink(path);
	snprintf(device, sizeof(device), "net_vhost0,iface=%s", path);
	struct port *host = port_named(device);
	snprintf(device, sizeof(device), "net_virtio_user0,path=%s,queue_size=256", path);
	g.port = port_named(device);
	for (unsigned ms = 0; ms < 5000 && !port_link(host).up; ms++)
		usleep(1000);
	frames_make(host, frames);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, guest_run, &g), 0);
	nothing_was_seen(watched(host, frames, PORT_BURST, NONE));
	__atomic_store_n(&g.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	port_close(g.port);
	port_close(host);
	unlink(path);
}

/* ---- a TCP server ---- */

enum { TCP_PORT = 5672, PIECE = 1000, IN_FLIGHT = 20 * PIECE, WARM_BYTES = 200000, WATCHED_BYTES = 500000 };

struct end {
	struct port_bench *b;
	struct rte_mempool *tx_pool;
	struct bypass *bypass;
	uint64_t bytes; /* received */
	bool stop;
	int error;
	struct steady_seen seen;
};

static struct end server, client;

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
			return;
		server.bytes += n;
		transport_consume(conn, n);
	}
}

static void nothing(struct transport_conn *conn)
{
}

static void ended(struct transport_conn *conn, enum transport_reason reason)
{
}

static void client_write(struct transport_conn *conn)
{
	static const uint8_t piece[PIECE];

	while (transport_tx_pending(conn) < IN_FLIGHT && transport_write(conn, piece, sizeof(piece)) == 0)
		;
}

static void client_connected(struct transport_conn *conn, int error)
{
	CU_ASSERT_EQUAL(error, 0);
	client_write(conn);
}

static void client_read(struct transport_conn *conn)
{
	client.bytes += conn->rx->bytes;
	transport_consume(conn, conn->rx->bytes);
	client_write(conn);
}

static const struct transport_app server_app = {
	.accepted = accepted, .readable = echo, .writable = echo, .peer_closed = nothing, .closed = ended};
static const struct transport_app client_app = {.accepted = accepted,
	.connected = client_connected,
	.readable = client_read,
	.writable = client_write,
	.peer_closed = nothing,
	.closed = ended};

static void end_make(struct end *e, struct port_bench *b, unsigned i, const struct transport_app *app)
{
	struct bypass_config c = {.port = b->port, .app = app};

	*e = (struct end){.b = b};
	e->tx_pool = port_pool_create(i ? "steady_tx1" : "steady_tx0", 2047, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e->tx_pool);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, ip_v4(0x0a000001 + i), 24);
	c.stack.tx_pool = e->tx_pool;
	c.stack.rx_buffer_bytes = c.stack.tx_buffer_bytes = 64 << 10;
	e->bypass = bypass_create(&c, clock_now_us());
	CU_ASSERT_PTR_NOT_NULL_FATAL(e->bypass);
}

static void end_free(struct end *e)
{
	bypass_destroy(e->bypass);
	pf_close(e->b);
	CU_ASSERT(unit_pool_full(e->tx_pool));
	rte_mempool_free(e->tx_pool);
}

static void turn(struct end *e)
{
	struct turn_source *s = bypass_source(e->bypass);
	uint64_t now_us = clock_now_us();

	s->poll(s, now_us);
	s->flush(s, now_us);
}

static void serve(uint64_t until)
{
	for (unsigned i = 0; server.bytes < until && i < TURNS_MAX; i++)
		turn(&server);
}

static void *server_core(void *context)
{
	for (unsigned i = 0; i < TRIES; i++) {
		serve(server.bytes + WARM_BYTES);
		server.error = steady_begin();
		if (server.error)
			break;
		serve(server.bytes + WATCHED_BYTES);
		steady_end(&server.seen);
		if (server.seen.page_faults <= FAULTS_MAX)
			break;
	}
	__atomic_store_n(&server.stop, true, __ATOMIC_RELEASE);
	return NULL;
}

static void test_a_tcp_server(void)
{
	struct port_bench b[2];
	pthread_t thread;

	for (unsigned i = 0; i < 2; i++)
		pf_open_number(&b[i], i, (struct port_config){.offloads = PORT_OFFLOADS_ALL, .rx_held = 256});
	ixm_wire_join(b[0].device, b[1].device);
	end_make(&client, &b[0], 0, &client_app);
	end_make(&server, &b[1], 1, &server_app);
	CU_ASSERT_EQUAL(bypass_listen(server.bypass, NULL, TCP_PORT, NULL), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bypass_connect(
		client.bypass, (struct ip_addr[]){ip_v4(0x0a000002)}, TCP_PORT, NULL, clock_now_us()));
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(ixm_thread_start(b[i].device), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, server_core, NULL), 0);
	while (!__atomic_load_n(&server.stop, __ATOMIC_ACQUIRE)) {
		turn(&client);
		usleep(20);
	}
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 2; i++)
		ixm_thread_stop(b[i].device);
	CU_ASSERT_EQUAL(server.error, 0);
	CU_ASSERT(server.bytes >= WARM_BYTES + WATCHED_BYTES);
	CU_ASSERT(client.bytes >= WATCHED_BYTES);
	nothing_was_seen(server.seen);
	end_free(&client);
	end_free(&server);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"a_port_of_an_82599", test_a_port_of_an_82599},
		{"what_breaks_the_rule_is_seen", test_what_breaks_the_rule_is_seen},
		{"a_port_of_a_ring", test_a_port_of_a_ring},
		{"a_port_of_vhost", test_a_port_of_vhost},
		{"a_tcp_server", test_a_tcp_server},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
