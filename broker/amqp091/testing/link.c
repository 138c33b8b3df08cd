/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/link.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>
#include <urcu/compiler.h>

static struct link *link_of(struct transport_conn *conn)
{
	return caa_container_of(conn, struct link, conn);
}

static void bytes_add(struct link_bytes *b, const void *data, size_t n)
{
	if (n == 0)
		return;
	if (b->end + n > b->room) {
		b->room = (b->end + n) * 2;
		b->data = realloc(b->data, b->room);
		MUST(b->data);
	}
	memcpy(b->data + b->end, data, n);
	b->end += n;
}

static void op_consume(struct transport_conn *conn, uint32_t bytes)
{
	chain_consume(&link_of(conn)->rx, bytes);
}

static uint32_t room_of(const struct link *l)
{
	uint64_t held = l->out.end - l->sent;

	return l->shut || held >= l->tx_limit ? 0 : (uint32_t)(l->tx_limit - held);
}

static uint32_t op_tx_room(struct transport_conn *conn)
{
	struct link *l = link_of(conn);
	uint32_t room = room_of(l);

	if (room < l->tx_limit / 2 || l->tx_eager)
		l->tx_wanted = true;
	return room;
}

static int op_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	struct link *l = link_of(conn);

	if (l->shut) {
		l->writes_late++;
		return -EPIPE;
	}
	if (l->faults)
		l->faults--;
	else if (bytes <= room_of(l)) {
		bytes_add(&l->out, data, bytes);
		return 0;
	}
	l->tx_wanted = true;
	return -ENOBUFS;
}

static void op_shutdown(struct transport_conn *conn)
{
	link_of(conn)->shut = true;
}

/* The application must not look at the connection again: what it would need is taken away. */
static void invalidate(struct link *l)
{
	chain_clear(&l->rx);
	l->conn = (struct transport_conn){0};
}

static void op_abort(struct transport_conn *conn)
{
	struct link *l = link_of(conn);

	MUST(!link_over(l));
	l->aborted = true;
	invalidate(l);
}

static uint64_t op_tx_pending(struct transport_conn *conn)
{
	const struct link *l = link_of(conn);

	return l->out.end - l->sent;
}

static const struct transport_ops link_ops = {
	.kind = TRANSPORT_KERNEL,
	.consume = op_consume,
	.tx_room = op_tx_room,
	.write = op_write,
	.shutdown = op_shutdown,
	.abort = op_abort,
	.tx_pending = op_tx_pending,
};

void link_open(struct link *l, struct rte_mempool *pool, const struct transport_app *app, void *app_ctx)
{
	memset(l, 0, sizeof(*l));
	chain_init(&l->rx);
	l->conn = (struct transport_conn){.ops = &link_ops, .rx = &l->rx, .local_link = true};
	l->app = app;
	l->pool = pool;
	l->rx_limit = l->tx_limit = l->tx_rate = 64 * 1024;
	l->segment = l->burst = UINT32_MAX;
	if (app->accepted(app_ctx, &l->conn) != 0) {
		l->refused = true;
		invalidate(l);
	}
}

void link_free(struct link *l)
{
	chain_clear(&l->rx);
	free(l->in.data);
	free(l->out.data);
	memset(l, 0, sizeof(*l));
}

void link_feed(struct link *l, const void *data, size_t n)
{
	bytes_add(&l->in, data, n);
}

static uint32_t smallest(size_t a, uint32_t b, uint32_t c)
{
	uint32_t n = a < b ? (uint32_t)a : b;

	return n < c ? n : c;
}

/* Moves up to one burst into rx; false where rx or the pool is full, or nothing is left. */
static bool receive_burst(struct link *l)
{
	uint32_t moved = 0;

	while (moved < l->burst && l->in.at < l->in.end && l->rx.bytes < l->rx_limit) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);
		if (!m)
			break;
		uint32_t n = smallest(l->in.end - l->in.at, l->burst - moved, l->rx_limit - l->rx.bytes);
		n = smallest(n, l->segment, rte_pktmbuf_tailroom(m));
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), l->in.data + l->in.at, n);
		chain_append_take(&l->rx, m);
		l->in.at += n;
		moved += n;
	}
	return moved > 0;
}

static void end(struct link *l, enum transport_reason reason)
{
	l->closed = true;
	l->app->closed(&l->conn, reason);
	invalidate(l);
}

void link_poll(struct link *l)
{
	if (link_over(l))
		return;
	if (l->reset) {
		end(l, TRANSPORT_RESET);
		return;
	}
	if (l->tx_wanted && !l->shut && room_of(l) >= l->tx_limit / 2) {
		l->tx_wanted = false;
		l->app->writable(&l->conn);
	}
	while (!link_over(l) && receive_burst(l))
		l->app->readable(&l->conn);
	if (!link_over(l) && l->fin && !l->fin_told && l->in.at == l->in.end) {
		l->fin_told = true;
		l->app->peer_closed(&l->conn);
	}
	if (!link_over(l) && l->fin_told && l->shut && l->sent == l->out.end && l->rx.bytes == 0)
		end(l, TRANSPORT_DONE);
}

void link_flush(struct link *l)
{
	uint64_t held = l->out.end - l->sent;

	if (!link_over(l))
		l->sent += held < l->tx_rate ? held : l->tx_rate;
}
