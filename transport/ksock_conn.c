/* SPDX-License-Identifier: Apache-2.0 */
/* One connection over a kernel socket: reading, writing, ending. */
#include "runtime/check.h"
#include "transport/ksock_internal.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static uint32_t rx_room(const struct ksock_conn *c)
{
	uint32_t limit = c->k->config.rx_buffer_bytes;
	return c->rx.bytes < limit ? limit - c->rx.bytes : 0;
}

/* Both FINs are through and the application has read everything. */
static bool is_done(const struct ksock_conn *c)
{
	return c->rx_ended && c->tx_ended && c->rx.bytes == 0;
}

static void activate(struct ksock_conn *c)
{
	if (c->fd < 0 || ksock_linked(&c->active))
		return;
	if (is_done(c) || (c->can_read && !c->rx_ended && rx_room(c)))
		cds_list_add_tail(&c->active, &c->k->active);
}

/* Once both directions are over, or on an error, the application hears of the end and the socket goes. */
static void finish(struct ksock_conn *c, enum transport_reason reason)
{
	struct ksock *k = c->k;

	ksock_conn_release(c);
	if (reason == TRANSPORT_RESET)
		k->stats.reset++;
	k->config.app->closed(&c->conn, reason);
}

static enum transport_reason reason_of(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		return TRANSPORT_RESET;
	case ETIMEDOUT:
		return TRANSPORT_TIMED_OUT;
	default:
		return TRANSPORT_FAILED;
	}
}

void ksock_conn_settle(struct ksock_conn *c)
{
	if (c->fd < 0)
		return;
	if (c->error) {
		finish(c, reason_of(c->error));
		return;
	}
	if (is_done(c))
		finish(c, TRANSPORT_DONE);
}

bool ksock_spares_fill(struct ksock *k)
{
	uint32_t missing = KSOCK_SPARES - k->spares;

	if (missing == 0)
		return true;
	if (rte_pktmbuf_alloc_bulk(k->config.pool, k->spare + k->spares, missing) == 0)
		k->spares = KSOCK_SPARES;
	while (k->spares < KSOCK_SPARES) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(k->config.pool);
		if (!m)
			break;
		k->spare[k->spares++] = m;
	}
	if (k->spares == 0)
		ksock_note_empty(k);
	return k->spares > 0;
}

/* A short read is copied behind what is held already, so that small pieces do not pin a buffer each. */
static bool coalesce(struct ksock_conn *c, const struct rte_mbuf *m, uint32_t n)
{
	struct rte_mbuf *tail = c->rx.tail;

	if (!tail || rte_mbuf_refcnt_read(tail) != 1 || rte_pktmbuf_tailroom(tail) < n)
		return false;
	memcpy(rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len), rte_pktmbuf_mtod(m, uint8_t *), n);
	tail->data_len = (uint16_t)(tail->data_len + n);
	c->rx.bytes += n;
	return true;
}

/* Spare buffers are filled from the last one down, so that those that stay need not be moved. */
static void take_spares(struct ksock_conn *c, uint32_t n)
{
	struct ksock *k = c->k;

	while (n) {
		struct rte_mbuf *m = k->spare[k->spares - 1];
		uint32_t piece = RTE_MIN(n, (uint32_t)rte_pktmbuf_tailroom(m));
		n -= piece;
		/* A buffer that was filled whole never fits behind another, so only the last piece can: the
		 * spare that it was copied from stays where it is. */
		if (coalesce(c, m, piece))
			return;
		k->spares--;
		m->data_len = (uint16_t)piece;
		m->pkt_len = piece;
		chain_append_take(&c->rx, m);
	}
}

static int socket_error(const struct ksock_conn *c)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return error;
}

/* An error is heard of by reading up to it. Where nothing will be read it would never be heard of. */
static void break_unread(struct ksock_conn *c)
{
	if (c->fd < 0 || !c->broken || (!c->rx_ended && rx_room(c)))
		return;
	int error = socket_error(c);
	c->error = error ? error : ECONNRESET;
	ksock_conn_settle(c);
}

static void take_read(struct ksock_conn *c, uint32_t n, bool more)
{
	struct ksock *k = c->k;

	k->stats.rx_bytes += n;
	take_spares(c, n);
	/* A short read has emptied the socket (epoll(7)): what comes later is a new event. An end that was
	 * announced already is not. */
	c->can_read = more || c->hung;
	activate(c);
	k->config.app->readable(&c->conn);
	break_unread(c);
}

/* There are spare buffers. */
void ksock_conn_read(struct ksock_conn *c)
{
	struct ksock *k = c->k;
	struct iovec iov[KSOCK_SPARES];
	uint32_t room = rx_room(c), asked = 0, pieces = 0;

	MUST(room && k->spares);
	for (uint32_t i = k->spares; i > 0 && room > 0; i--) {
		uint32_t piece = RTE_MIN(room, (uint32_t)rte_pktmbuf_tailroom(k->spare[i - 1]));
		iov[pieces++] = (struct iovec){rte_pktmbuf_mtod(k->spare[i - 1], void *), piece};
		room -= piece;
		asked += piece;
	}
	enum phase before = phase_enter(k->phase, PHASE_RX);
	ssize_t n = readv(c->fd, iov, (int)pieces);
	phase_leave(k->phase, before);
	k->stats.reads++;
	if (n > 0) {
		take_read(c, (uint32_t)n, (uint32_t)n == asked);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->can_read = errno == EINTR;
		activate(c);
		return;
	}
	c->can_read = false;
	if (n < 0) {
		c->error = errno;
	} else {
		c->rx_ended = true;
		k->config.app->peer_closed(&c->conn);
	}
	ksock_conn_settle(c);
}

void ksock_conn_event(struct ksock_conn *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (c->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		int error = socket_error(c);
		c->connecting = false;
		if (error) {
			ksock_conn_release(c);
			c->k->config.app->connected(&c->conn, -error);
			return;
		}
		c->k->stats.connected++;
		c->k->config.app->connected(&c->conn, 0);
		if (c->fd < 0)
			return;
	}
	c->hung |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	c->broken |= (events & EPOLLERR) != 0;
	break_unread(c);
	if (c->fd < 0)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		c->can_read = true;
		activate(c);
	}
	if (events & EPOLLOUT) {
		c->can_write = true;
		if (c->tx.bytes || c->tx_shut)
			ksock_mark_dirty(c);
		ksock_conn_offer_room(c);
	}
}

static void op_consume(struct transport_conn *conn, uint32_t bytes)
{
	struct ksock_conn *c = ksock_conn_of(conn);

	chain_consume(&c->rx, bytes);
	activate(c);
}

static void op_shutdown(struct transport_conn *conn)
{
	struct ksock_conn *c = ksock_conn_of(conn);

	if (c->fd < 0 || c->tx_shut)
		return;
	c->tx_shut = true;
	ksock_mark_dirty(c);
}

static void op_abort(struct transport_conn *conn)
{
	struct ksock_conn *c = ksock_conn_of(conn);
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (c->fd < 0)
		return;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	ksock_conn_release(c);
}

static uint64_t op_tx_pending(struct transport_conn *conn)
{
	return ksock_conn_of(conn)->tx.bytes;
}

static const struct transport_ops ksock_ops = {
	.kind = TRANSPORT_KERNEL,
	.consume = op_consume,
	.tx_room = ksock_op_tx_room,
	.write = ksock_op_write,
	.shutdown = op_shutdown,
	.abort = op_abort,
	.tx_pending = op_tx_pending,
};

void ksock_address_from(struct transport_address *out, const struct sockaddr_storage *ss)
{
	*out = (struct transport_address){0};
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
		out->family = 6;
		memcpy(out->bytes, &in6->sin6_addr, 16);
		out->port = ntohs(in6->sin6_port);
		return;
	}
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	out->family = 4;
	memcpy(out->bytes, &in->sin_addr, 4);
	out->port = ntohs(in->sin_port);
}

static bool is_loopback(const struct transport_address *a)
{
	/* The bytes have no alignment that struct in6_addr's own macros could be used on. */
	return a->family == 4 ? a->bytes[0] == 127
			      : memcmp(a->bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

static void learn_local(struct ksock_conn *c)
{
	struct sockaddr_storage ss = {0};
	socklen_t size = sizeof(ss);

	if (getsockname(c->fd, (struct sockaddr *)&ss, &size) == 0)
		ksock_address_from(&c->conn.local, &ss);
}

struct ksock_conn *ksock_conn_create(
	struct ksock *k, int fd, const struct transport_address *remote, bool connecting)
{
	struct ksock_conn *c = pool_take(k->conn_pool);

	if (!c)
		return NULL;
	*c = (struct ksock_conn){
		.kind = KSOCK_CONN, .k = k, .fd = fd, .connecting = connecting, .can_write = !connecting};
	c->conn.ops = &ksock_ops;
	c->conn.rx = &c->rx;
	c->conn.remote = *remote;
	c->conn.local_link = is_loopback(remote);
	CDS_INIT_LIST_HEAD(&c->active);
	CDS_INIT_LIST_HEAD(&c->dirty);
	CDS_INIT_LIST_HEAD(&c->roomy);
	cds_list_add_tail(&c->link, &k->conns);
	learn_local(c);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		cds_list_del(&c->link);
		pool_give(k->conn_pool, c);
		return NULL;
	}
	k->stats.conns++;
	return c;
}

void ksock_conn_release(struct ksock_conn *c)
{
	close(c->fd);
	c->fd = -1;
	ksock_unlink_idle(&c->active);
	ksock_unlink_idle(&c->dirty);
	ksock_unlink_idle(&c->roomy);
	cds_list_del(&c->link);
	cds_list_add_tail(&c->link, &c->k->dead);
	c->k->stats.conns--;
	c->k->stats.closed++;
}

void ksock_conn_reap(struct ksock_conn *c)
{
	cds_list_del(&c->link);
	chain_clear(&c->rx);
	chain_clear(&c->tx);
	pool_give(c->k->conn_pool, c);
}
