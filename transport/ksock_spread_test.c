/* SPDX-License-Identifier: Apache-2.0 */
/* Connections over real loopback sockets, accepted by one instance and served by several. */
#include "runtime/clock.h"
#include "tests/unit/unit.h"
#include "transport/ksock.h"
#include "transport/ksock_spread.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CORES = 4, CONN_MAX = 12 };

struct core {
	struct ksock *k;
	struct transport_conn *conns[64];
	unsigned count, woken;
	uint64_t rx_bytes;
};

static struct core cores[CORES];
static struct ksock_spread *spread;
static struct rte_mempool *pool;
static struct transport_address address = {.family = 4, .bytes = {127, 0, 0, 1}};

static int accepted(void *ctx, struct transport_conn *conn)
{
	struct core *c = ctx;

	c->conns[c->count++] = conn;
	conn->user = c;
	CU_ASSERT_EQUAL(conn->remote.family, 4);
	CU_ASSERT_TRUE(conn->remote.port != 0);
	return 0;
}

static void readable(struct transport_conn *conn)
{
	((struct core *)conn->user)->rx_bytes += conn->rx->bytes;
	transport_consume(conn, conn->rx->bytes);
}

static void nothing(struct transport_conn *conn)
{
}

static void closed(struct transport_conn *conn, enum transport_reason reason)
{
	struct core *c = conn->user;

	for (unsigned i = 0; i < c->count; i++)
		if (c->conns[i] == conn)
			c->conns[i] = c->conns[--c->count];
}

static const struct transport_app app = {.accepted = accepted,
	.readable = readable,
	.writable = nothing,
	.peer_closed = nothing,
	.closed = closed};

static void wake(void *ctx)
{
	((struct core *)ctx)->woken++;
}

static uint16_t free_port(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	getsockname(fd, (struct sockaddr *)&in, &n);
	close(fd);
	return ntohs(in.sin_port);
}

static void open_all(void)
{
	memset(cores, 0, sizeof(cores));
	unit_eal();
	if (!pool)
		pool = unit_pool("spread", 255, 2048);
	spread = ksock_spread_create(CORES, CONN_MAX);
	CU_ASSERT_PTR_NOT_NULL_FATAL(spread);
	for (unsigned i = 0; i < CORES; i++) {
		struct ksock_config c = {.pool = pool,
			.conn_max = 64,
			.rx_buffer_bytes = 1 << 16,
			.tx_buffer_bytes = 1 << 16,
			.app = &app,
			.app_ctx = &cores[i],
			.spread = spread,
			.core = i};
		cores[i].k = ksock_create(&c);
		CU_ASSERT_PTR_NOT_NULL_FATAL(cores[i].k);
		ksock_spread_set_wake(spread, i, wake, &cores[i]);
	}
	address.port = free_port();
	CU_ASSERT_EQUAL_FATAL(ksock_listen(cores[0].k, &address), 0);
}

static void close_all(void)
{
	for (unsigned i = 0; i < CORES; i++)
		ksock_destroy(cores[i].k);
	ksock_spread_destroy(spread);
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

static void turn(unsigned core)
{
	struct turn_source *s = ksock_source(cores[core].k);

	s->poll(s, clock_now_us());
	s->flush(s, clock_now_us());
}

static void turns(unsigned n)
{
	while (n--)
		for (unsigned i = 0; i < CORES; i++)
			turn(i);
}

static int peer(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(address.port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

/* Few connections already reach every core, and each core serves its own. */
static void test_every_core_gets_one(void)
{
	int fds[CORES];

	open_all();
	for (unsigned i = 0; i < CORES; i++)
		fds[i] = peer();
	turns(4);
	for (unsigned i = 0; i < CORES; i++) {
		CU_ASSERT_EQUAL(cores[i].count, 1);
		CU_ASSERT_EQUAL(cores[i].woken, i ? 1 : 0);
		CU_ASSERT_EQUAL(write(fds[i], "hello", 5), 5);
	}
	turns(4);
	for (unsigned i = 0; i < CORES; i++) {
		CU_ASSERT_EQUAL(cores[i].rx_bytes, 5);
		close(fds[i]);
	}
	close_all();
}

/* What ends on one core makes it the next to be given to. */
static void test_the_one_with_fewest(void)
{
	int fds[8], more[3];

	open_all();
	for (unsigned i = 0; i < 8; i++)
		fds[i] = peer();
	turns(4);
	for (unsigned i = 0; i < CORES; i++)
		CU_ASSERT_EQUAL(cores[i].count, 2);
	for (unsigned k = 0; k < 2; k++)
		transport_abort(cores[2].conns[k]);
	cores[2].count = 0;
	turns(2);
	for (unsigned i = 0; i < 2; i++)
		more[i] = peer();
	turns(4);
	for (unsigned i = 0; i < CORES; i++)
		CU_ASSERT_EQUAL(cores[i].count, 2);
	for (unsigned i = 0; i < 8; i++)
		close(fds[i]);
	for (unsigned i = 0; i < 2; i++)
		close(more[i]);
	turns(4);
	close_all();
}

/* The limit is that of all cores together. */
static void test_the_limit_is_of_all(void)
{
	int fds[CONN_MAX + 3];
	uint64_t refused = 0;
	unsigned count = 0;

	open_all();
	for (unsigned i = 0; i < CONN_MAX + 3; i++)
		fds[i] = peer();
	turns(6);
	for (unsigned i = 0; i < CORES; i++) {
		count += cores[i].count;
		refused += ksock_stats(cores[i].k).refused;
	}
	CU_ASSERT(count == CONN_MAX && refused == 3);
	for (unsigned i = 0; i < CONN_MAX + 3; i++)
		close(fds[i]);
	close_all();
}

/* Handed over and not taken: the core does not sleep, and at the end the peer hears of it. */
static void test_on_the_way(void)
{
	int fds[2];
	char byte;

	open_all();
	for (unsigned i = 0; i < 2; i++)
		fds[i] = peer();
	turn(0);
	struct turn_source *s = ksock_source(cores[1].k);
	CU_ASSERT(cores[1].woken == 1 && !s->sleep_prepare(s));
	close_all();
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(read(fds[i], &byte, 1) <= 0);
		close(fds[i]);
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"every_core_gets_one", test_every_core_gets_one},
			{"the_one_with_fewest", test_the_one_with_fewest},
			{"the_limit_is_of_all", test_the_limit_is_of_all}, {"on_the_way", test_on_the_way},
			{0}});
}
