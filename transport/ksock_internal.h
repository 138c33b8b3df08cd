/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_KSOCK_INTERNAL_H
#define TRANSPORT_KSOCK_INTERNAL_H

#include "runtime/pool.h"
#include "transport/ksock.h"

#include <sys/socket.h>
#include <urcu/compiler.h>
#include <urcu/list.h>

enum {
	KSOCK_SPARES = 8,   /* mbufs that one read may fill */
	KSOCK_IOV = 64,	    /* mbufs that one write may gather */
	KSOCK_EVENTS = 128, /* readiness taken a turn */
	KSOCK_ACCEPT_BURST = 32,
	KSOCK_ACCEPT_RETRY_US = 50000,
	KSOCK_POOL_RETRY_US = 500,
};

enum ksock_kind { KSOCK_CONN, KSOCK_LISTENER };

struct ksock_listener {
	enum ksock_kind kind; /* first: epoll's user data points here */
	struct ksock *k;
	struct cds_list_head link;
	int fd;	      /* -1: closed; the memory stays until the turn's end */
	bool pending; /* connections may wait in the backlog */
};

struct ksock_conn {
	enum ksock_kind kind; /* first: epoll's user data points here */
	struct transport_conn conn;
	struct ksock *k;
	struct cds_list_head active; /* has something for the next poll: on k->active, else idle */
	struct cds_list_head dirty;  /* has bytes to write: on k->dirty, else idle */
	struct cds_list_head roomy;  /* is owed a `writable`: on k->roomy or k->starved, else idle */
	struct cds_list_head link;   /* k->conns, or k->dead once aborted or closed */
	struct chain rx, tx;
	int fd; /* -1: dead */
	bool connecting;
	bool can_read, can_write; /* since the kernel last had less than was asked for */
	bool hung;		  /* the peer's FIN or RST is behind what can be read */
	bool broken;		  /* the socket has an error, which a read reports once it is empty */
	bool rx_ended;		  /* the peer's FIN was read */
	bool tx_shut;		  /* the application wants no more writing */
	bool tx_ended;		  /* our FIN is with the kernel */
	bool tx_wanted;		  /* the application was refused room */
	int error;		  /* `closed` is told so when the connection is settled */
};

struct ksock {
	struct turn_source source;
	struct ksock_config config;
	struct ksock_stats stats;
	struct pool *conn_pool;
	int epoll_fd;
	struct cds_list_head listeners, conns, active, dirty, roomy, dead;
	struct cds_list_head starved; /* were refused for want of an mbuf: roomy at pool_retry_us */
	struct rte_mbuf *spare[KSOCK_SPARES];
	uint32_t spares;
	uint64_t accept_retry_us;	  /* 0: not waiting */
	struct phase_mark *phase, unseen; /* the latter where nobody looks */
	uint64_t pool_retry_us;		  /* 0: the pool was not found empty */
	bool pool_empty;		  /* found in this turn */
};

static inline struct ksock_conn *ksock_conn_of(struct transport_conn *conn)
{
	return caa_container_of(conn, struct ksock_conn, conn);
}

static inline bool ksock_linked(struct cds_list_head *node)
{
	return !cds_list_empty(node);
}

static inline void ksock_unlink_idle(struct cds_list_head *node)
{
	cds_list_del_init(node);
}

static inline void ksock_mark_dirty(struct ksock_conn *c)
{
	if (!ksock_linked(&c->dirty))
		cds_list_add_tail(&c->dirty, &c->k->dirty);
}

static inline void ksock_note_empty(struct ksock *k)
{
	k->stats.pool_empty++;
	k->pool_empty = true;
}

/* NULL: the limit is reached, or the kernel's memory is; fd stays the caller's. */
struct ksock_conn *ksock_conn_create(
	struct ksock *k, int fd, const struct transport_address *remote, bool connecting);
void ksock_conn_release(struct ksock_conn *c); /* to the list of the dead; memory stays until reaped */
void ksock_conn_reap(struct ksock_conn *c);
void ksock_conn_read(struct ksock_conn *c);
void ksock_conn_flush(struct ksock_conn *c);
void ksock_conn_event(struct ksock_conn *c, uint32_t events);
void ksock_conn_offer_room(struct ksock_conn *c);
uint32_t ksock_op_tx_room(struct transport_conn *conn);
int ksock_op_write(struct transport_conn *conn, const void *data, uint32_t bytes);
void ksock_conn_settle(struct ksock_conn *c);
bool ksock_spares_fill(struct ksock *k);
void ksock_address_from(struct transport_address *out, const struct sockaddr_storage *ss);

#endif
