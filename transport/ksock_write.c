/* SPDX-License-Identifier: Apache-2.0 */
/* The sending side of a connection over a kernel socket. */
#include "runtime/check.h"
#include "transport/ksock_internal.h"

#include <sys/socket.h>
#include <sys/uio.h>

void ksock_conn_offer_room(struct ksock_conn *c)
{
	if (c->tx_wanted && !c->tx_shut && c->tx.bytes <= c->k->config.tx_buffer_bytes / 2) {
		c->tx_wanted = false;
		c->k->config.app->writable(&c->conn);
	}
}

static void end_writing(struct ksock_conn *c)
{
	if (c->tx_shut && !c->tx_ended && !c->connecting && c->tx.bytes == 0) {
		shutdown(c->fd, SHUT_WR);
		c->tx_ended = true;
	}
}

void ksock_conn_flush(struct ksock_conn *c)
{
	struct ksock *k = c->k;
	struct iovec iov[KSOCK_IOV];

	ksock_unlink_idle(&c->dirty);
	while (c->tx.bytes && c->can_write) {
		int pieces = 0;
		size_t offered = 0;
		for (struct rte_mbuf *m = c->tx.head; m && pieces < KSOCK_IOV; m = m->next) {
			iov[pieces++] = (struct iovec){rte_pktmbuf_mtod(m, void *), m->data_len};
			offered += m->data_len;
		}
		/* sendmsg, not writev: MSG_NOSIGNAL, for a peer that is gone is an event and not a signal. */
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)pieces};
		enum phase before = phase_enter(k->phase, PHASE_TX);
		ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		phase_leave(k->phase, before);
		k->stats.writes++;
		if (n > 0) {
			k->stats.tx_bytes += (uint64_t)n;
			chain_consume(&c->tx, (uint32_t)n);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			c->error = errno;
			c->can_write = false;
			chain_clear(&c->tx);
			return; /* ksock_conn_settle reports it */
		}
		if (n < 0 || (size_t)n < offered)
			c->can_write = false;
	}
	end_writing(c);
	/* No EPOLLOUT follows a write that the kernel took whole: the next poll tells the application. */
	if (c->tx_wanted && c->can_write && !ksock_linked(&c->roomy))
		cds_list_add_tail(&c->roomy, &k->roomy);
}

uint32_t ksock_op_tx_room(struct transport_conn *conn)
{
	struct ksock_conn *c = ksock_conn_of(conn);
	uint32_t limit = c->k->config.tx_buffer_bytes;
	uint32_t room = c->fd < 0 || c->tx_shut || c->tx.bytes >= limit ? 0 : limit - c->tx.bytes;

	if (room < limit / 2)
		c->tx_wanted = true;
	return room;
}

/* How many more buffers a write of n bytes needs behind what the last one still takes. */
static bool tx_reserve(struct ksock_conn *c, uint32_t n, struct chain *fresh)
{
	uint32_t held = c->tx.tail ? rte_pktmbuf_tailroom(c->tx.tail) : 0;

	while (held < n) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(c->k->config.pool);
		if (!m) {
			ksock_note_empty(c->k);
			return false;
		}
		held += rte_pktmbuf_tailroom(m);
		m->data_len = 0;
		if (fresh->tail)
			fresh->tail->next = m;
		else
			fresh->head = m;
		fresh->tail = m;
	}
	return true;
}

static uint32_t fill(struct rte_mbuf *m, const uint8_t *data, uint32_t n)
{
	uint32_t piece = RTE_MIN(n, (uint32_t)rte_pktmbuf_tailroom(m));

	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), data, piece);
	m->data_len = (uint16_t)(m->data_len + piece);
	return piece;
}

static void free_list(struct rte_mbuf *m)
{
	while (m) {
		struct rte_mbuf *next = m->next;
		m->next = NULL;
		rte_pktmbuf_free_seg(m);
		m = next;
	}
}

int ksock_op_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	struct ksock_conn *c = ksock_conn_of(conn);
	struct chain fresh = {0};
	const uint8_t *at = data;

	if (c->tx_shut || c->fd < 0)
		return -EPIPE;
	if (bytes > ksock_op_tx_room(conn)) {
		c->tx_wanted = true;
		return -ENOBUFS;
	}
	if (!tx_reserve(c, bytes, &fresh)) {
		free_list(fresh.head);
		c->tx_wanted = true;
		if (!ksock_linked(&c->roomy))
			cds_list_add_tail(&c->roomy, &c->k->starved);
		return -ENOBUFS;
	}
	uint32_t left = bytes;
	if (c->tx.tail && left) {
		uint32_t piece = fill(c->tx.tail, at, left);
		c->tx.bytes += piece;
		at += piece;
		left -= piece;
	}
	for (struct rte_mbuf *m = fresh.head, *next; m; m = next) {
		next = m->next;
		m->next = NULL;
		uint32_t piece = fill(m, at, left);
		chain_append_take(&c->tx, m);
		at += piece;
		left -= piece;
	}
	MUST(left == 0);
	if (bytes)
		ksock_mark_dirty(c);
	return 0;
}
