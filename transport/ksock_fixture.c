/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/ksock_test.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

uint8_t pattern_at(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8));
}

void pattern_fill(void *to, uint64_t offset, uint32_t n)
{
	uint8_t *at = to;

	for (uint32_t i = 0; i < n; i++)
		at[i] = pattern_at(offset + i);
}

/* True: the connection is gone. */
static bool react(struct end *e, enum moment now)
{
	if (e->f->abort_in != now)
		return false;
	struct transport_conn *conn = e->conn;
	e->conn = NULL;
	transport_abort(conn);
	return true;
}

void end_consume(struct end *e)
{
	while (e->conn->rx->bytes) {
		const struct rte_mbuf *m = e->conn->rx->head;
		const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
		uint32_t n = 1 + unit_random_below(m->data_len);
		for (uint32_t i = 0; i < n; i++)
			e->rx_wrong |= data[i] != pattern_at(e->rx_bytes + i);
		e->rx_bytes += n;
		transport_consume(e->conn, n);
	}
}

static int app_accepted(void *app, struct transport_conn *conn)
{
	struct fixture *f = app;

	if (f->deaf)
		ksock_listen_stop(f->k);
	if (f->refuse)
		return -ENOBUFS;
	CU_ASSERT_FATAL(f->count < ENDS);
	struct end *e = &f->ends[f->count++];
	*e = (struct end){.f = f, .conn = conn};
	conn->user = e;
	return react(e, IN_ACCEPTED) ? -ECONNABORTED : 0;
}

static void app_connected(struct transport_conn *conn, int error)
{
	struct end *e = conn->user;

	e->connected++;
	e->connect_error = error;
	if (react(e, IN_CONNECTED))
		return;
	if (error)
		e->conn = NULL;
}

static void app_readable(struct transport_conn *conn)
{
	struct end *e = conn->user;

	e->readable++;
	if (react(e, IN_READABLE))
		return;
	if (e->f->victim && e->f->victim->conn && e->f->victim != e) {
		transport_abort(e->f->victim->conn);
		e->f->victim->conn = NULL;
	}
	if (!e->f->hold)
		end_consume(e);
}

static void app_writable(struct transport_conn *conn)
{
	struct end *e = conn->user;

	e->writable++;
	react(e, IN_WRITABLE);
}

static void app_peer_closed(struct transport_conn *conn)
{
	struct end *e = conn->user;

	e->peer_closed++;
	if (react(e, IN_PEER_CLOSED))
		return;
	if (e->f->finish)
		transport_shutdown(conn);
}

static void app_closed(struct transport_conn *conn, enum transport_reason reason)
{
	struct end *e = conn->user;

	e->closed++;
	e->reason = reason;
	if (e->f->meddle) {
		transport_consume(conn, conn->rx->bytes);
		CU_ASSERT_EQUAL(transport_tx_room(conn), 0);
		CU_ASSERT_EQUAL(transport_write(conn, "x", 1), -EPIPE);
		transport_shutdown(conn);
	}
	react(e, IN_CLOSED);
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

uint16_t port_free(int family)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *sa = family == AF_INET6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
	socklen_t size = family == AF_INET6 ? sizeof(in6) : sizeof(in);
	int fd = socket(family, SOCK_STREAM, 0);

	CU_ASSERT_EQUAL_FATAL(bind(fd, sa, size), 0);
	getsockname(fd, sa, &size);
	close(fd);
	return ntohs(family == AF_INET6 ? in6.sin6_port : in.sin_port);
}

void fixture_open(struct fixture *f, const char *name, const struct ksock_config *config)
{
	struct ksock_config c = config ? *config : (struct ksock_config){0};

	*f = (struct fixture){0};
	f->pool = c.pool ? c.pool : unit_pool(name, POOL_MBUFS, ROOM_BYTES);
	c.pool = f->pool;
	c.conn_max = c.conn_max ? c.conn_max : ENDS;
	c.rx_buffer_bytes = c.rx_buffer_bytes ? c.rx_buffer_bytes : 65536;
	c.tx_buffer_bytes = c.tx_buffer_bytes ? c.tx_buffer_bytes : 65536;
	c.app = &app;
	c.app_ctx = f;
	f->k = ksock_create(&c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->k);
	f->address = (struct transport_address){.family = 4, .bytes = {127, 0, 0, 1}};
	f->address.port = port_free(AF_INET);
	CU_ASSERT_EQUAL_FATAL(ksock_listen(f->k, &f->address), 0);
}

void fixture_close(struct fixture *f)
{
	ksock_destroy(f->k);
	CU_ASSERT(unit_pool_full(f->pool));
	rte_mempool_free(f->pool);
}

unsigned fixture_poll(struct fixture *f)
{
	struct turn_source *s = ksock_source(f->k);
	uint64_t now_us = clock_now_us();
	unsigned work = s->poll(s, now_us);

	s->flush(s, now_us);
	return work;
}

void fixture_turn(struct fixture *f)
{
	if (fixture_poll(f) == 0)
		usleep(20);
}

void fixture_turns(struct fixture *f, unsigned n)
{
	while (n--)
		fixture_turn(f);
}

struct end *fixture_connect(struct fixture *f)
{
	struct end *e = &f->ends[f->count++];

	*e = (struct end){.f = f};
	e->conn = ksock_connect(f->k, &f->address, e);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e->conn);
	return e;
}

int peer_connect(struct fixture *f, int rcvbuf_bytes)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_port = htons(f->address.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	if (rcvbuf_bytes)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_bytes, sizeof(rcvbuf_bytes));
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	int on = 1;
	CU_ASSERT_EQUAL(ioctl(fd, FIONBIO, &on), 0);
	return fd;
}

int peer_accepted(struct fixture *f, struct end **end)
{
	unsigned before = f->count;
	int fd = peer_connect(f, 0);

	FIXTURE_UNTIL(f, f->count > before);
	*end = &f->ends[before];
	return fd;
}

void peer_reset(int fd)
{
	struct linger hard = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
}
