/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel transport at its limits: descriptors, places, buffers; and its listeners. */
#include "transport/ksock_test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_no_descriptor_left(void)
{
	struct fixture f;
	struct rlimit before, low;
	int fd[3];

	fixture_open(&f, "emfile", NULL);
	fixture_turns(&f, 3);
	for (unsigned i = 0; i < 3; i++)
		fd[i] = peer_connect(&f, 0);
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = (rlim_t)fd[2] + 2; /* one more may be had, unless a gap is lower */
	int gap = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &low), 0);
	FIXTURE_UNTIL(&f, ksock_stats(f.k).accept_failed > 0);
	struct turn_source *s = ksock_source(f.k);
	CU_ASSERT(s->sleep_prepare(s)); /* it waits and does not spin */
	CU_ASSERT(s->next_us(s) != UINT64_MAX);
	uint64_t failed = ksock_stats(f.k).accept_failed;
	for (unsigned i = 0; i < 20; i++)
		fixture_poll(&f);
	CU_ASSERT(ksock_stats(f.k).accept_failed <= failed + 1);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
	FIXTURE_UNTIL(&f, f.count == 3);
	CU_ASSERT_EQUAL(ksock_stats(f.k).refused, 0);
	CU_ASSERT_EQUAL(s->next_us(s), UINT64_MAX);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
	close(gap);
	fixture_close(&f);
}

static bool is_reset(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == -1 && errno == ECONNRESET;
}

static void test_no_place_left(void)
{
	struct fixture f;
	struct end *e;

	fixture_open(&f, "conn_max", &(struct ksock_config){.conn_max = 1});
	int fd = peer_accepted(&f, &e), extra = peer_connect(&f, 0);
	FIXTURE_UNTIL(&f, ksock_stats(f.k).refused == 1);
	CU_ASSERT(is_reset(extra));
	CU_ASSERT_PTR_NULL(ksock_connect(f.k, &f.address, NULL));
	CU_ASSERT_EQUAL(errno, ENOBUFS);
	close(fd);
	FIXTURE_UNTIL(&f, e->peer_closed);
	transport_abort(e->conn);
	fixture_turn(&f);
	close(extra);
	extra = peer_accepted(&f, &e);
	CU_ASSERT_EQUAL(ksock_stats(f.k).accepted, 2);
	close(extra);
	fixture_close(&f);
}

static void test_application_refuses(void)
{
	struct fixture f;

	fixture_open(&f, "refuse", NULL);
	f.refuse = true;
	int fd = peer_connect(&f, 0);
	FIXTURE_UNTIL(&f, ksock_stats(f.k).refused == 1);
	CU_ASSERT(is_reset(fd));
	CU_ASSERT_EQUAL(ksock_stats(f.k).conns, 0);
	close(fd);
	fixture_close(&f);
}

static unsigned pool_drain(struct rte_mempool *pool, struct rte_mbuf **list, unsigned leave)
{
	unsigned n = 0;

	while (rte_mempool_avail_count(pool) > leave)
		list[n++] = rte_pktmbuf_alloc(pool);
	return n;
}

static void test_empty_pool(void)
{
	struct fixture f;
	struct end *e;
	static struct rte_mbuf *taken[POOL_MBUFS];
	uint8_t data[4000];

	fixture_open(&f, "pool_empty", NULL);
	int fd = peer_accepted(&f, &e);
	fixture_turns(&f, 5);
	unsigned n = pool_drain(f.pool, taken, 1);
	pattern_fill(data, 0, sizeof(data));
	/* Reading: nothing is to be had, the turn may sleep, and time brings it back. */
	rte_pktmbuf_free_bulk(taken, 1); /* two are left, and the write takes both */
	CU_ASSERT_EQUAL(transport_write(e->conn, data, sizeof(data)), 0);
	CU_ASSERT_EQUAL(transport_write(e->conn, data, sizeof(data)), -ENOBUFS);
	CU_ASSERT_EQUAL(transport_tx_pending(e->conn), sizeof(data));
	send(fd, data, sizeof(data), MSG_NOSIGNAL);
	struct turn_source *s = ksock_source(f.k);
	s->poll(s, clock_now_us());
	CU_ASSERT(ksock_stats(f.k).pool_empty >= 2);
	CU_ASSERT_EQUAL(e->rx_bytes, 0);
	s->flush(s, clock_now_us());
	CU_ASSERT(s->next_us(s) != UINT64_MAX);
	FIXTURE_UNTIL(&f, e->rx_bytes == sizeof(data) && e->writable > 0);
	CU_ASSERT(!e->rx_wrong);
	rte_pktmbuf_free_bulk(taken + 1, n - 1);
	close(fd);
	fixture_close(&f);
}

/* Refused with nothing queued: no event of the socket would ever bring writable. */
static void test_refused_write_is_offered_again(void)
{
	struct fixture f;
	struct end *e;
	static struct rte_mbuf *taken[POOL_MBUFS];

	fixture_open(&f, "starved", NULL);
	int fd = peer_accepted(&f, &e);
	fixture_turns(&f, 5);
	unsigned n = pool_drain(f.pool, taken, 0);
	CU_ASSERT_EQUAL(transport_write(e->conn, "x", 1), -ENOBUFS);
	CU_ASSERT_EQUAL(e->writable, 0);
	fixture_poll(&f);
	struct turn_source *s = ksock_source(f.k);
	CU_ASSERT(s->sleep_prepare(s));
	rte_pktmbuf_free_bulk(taken, n);
	FIXTURE_UNTIL(&f, e->writable == 1);
	CU_ASSERT_EQUAL(transport_write(e->conn, "x", 1), 0);
	fixture_turns(&f, 50);
	CU_ASSERT_EQUAL(e->writable, 1);

	/* And a connection that ends while it waits for that. */
	n = pool_drain(f.pool, taken, 0);
	CU_ASSERT_EQUAL(transport_write(e->conn, "x", 1), -ENOBUFS);
	transport_abort(e->conn);
	e->conn = NULL;
	fixture_turns(&f, 5);
	rte_pktmbuf_free_bulk(taken, n);
	close(fd);
	fixture_close(&f);
}

static void test_listeners_stop(void)
{
	struct fixture f;
	struct end *e;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char c = (char)pattern_at(0);

	fixture_open(&f, "stop", NULL);
	int fd = peer_accepted(&f, &e);
	ksock_listen_stop(f.k);
	ksock_listen_stop(f.k);
	int late = socket(AF_INET, SOCK_STREAM, 0);
	in.sin_port = htons(f.address.port);
	CU_ASSERT_EQUAL(connect(late, (struct sockaddr *)&in, sizeof(in)), -1);
	CU_ASSERT_EQUAL(errno, ECONNREFUSED);
	close(late);
	send(fd, &c, 1, MSG_NOSIGNAL);
	FIXTURE_UNTIL(&f, e->rx_bytes == 1);
	/* It can be opened again at once, connections or not. */
	CU_ASSERT_EQUAL(ksock_listen(f.k, &f.address), 0);
	late = peer_accepted(&f, &e);
	close(late);
	close(fd);
	fixture_close(&f);
}

static void test_listeners_stop_in_a_callback(void)
{
	struct fixture f;

	fixture_open(&f, "stop_inside", NULL);
	f.deaf = true;
	int a = peer_connect(&f, 0), b = peer_connect(&f, 0);
	FIXTURE_UNTIL(&f, f.count == 1);
	fixture_turns(&f, 10);
	CU_ASSERT_EQUAL(f.count, 1);
	CU_ASSERT(is_reset(b));
	close(a);
	close(b);
	fixture_close(&f);
}

static void test_addresses_that_cannot_be_had(void)
{
	struct fixture f;
	struct transport_address there = {.family = 4, .bytes = {192, 0, 2, 1}, .port = 5672};

	fixture_open(&f, "cannot", NULL);
	CU_ASSERT_EQUAL(ksock_listen(f.k, &f.address), -EADDRINUSE);
	CU_ASSERT_EQUAL(ksock_listen(f.k, &there), -EADDRNOTAVAIL);
	fixture_close(&f);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"no_descriptor_left", test_no_descriptor_left},
		{"no_place_left", test_no_place_left},
		{"application_refuses", test_application_refuses},
		{"empty_pool", test_empty_pool},
		{"refused_write_is_offered_again", test_refused_write_is_offered_again},
		{"listeners_stop", test_listeners_stop},
		{"listeners_stop_in_a_callback", test_listeners_stop_in_a_callback},
		{"addresses_that_cannot_be_had", test_addresses_that_cannot_be_had},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
