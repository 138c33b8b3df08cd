/* SPDX-License-Identifier: Apache-2.0 */
/* The one interface through which the broker and the tools see a byte stream: over the userspace stack
 * (bypass.c) or over kernel sockets (ksock.c). A transport and its connections belong to one core; every
 * function here runs on that core.
 *
 * A transport_conn lies at the head of the transport's own connection. The application keeps its object in
 * `user`. Received bytes stay in `rx` until the application consumes them: not consuming closes the peer's
 * window. What is written leaves at the end of the turn, in as few segments or system calls as possible. */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include "runtime/chain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

struct transport_conn;

enum transport_kind { TRANSPORT_BYPASS, TRANSPORT_KERNEL };

enum transport_reason {
	TRANSPORT_DONE,	     /* both directions finished with FIN */
	TRANSPORT_RESET,     /* the peer sent RST */
	TRANSPORT_TIMED_OUT, /* retransmission or keepalive gave up */
	TRANSPORT_FAILED,    /* the network or the host refused (connect), or resources ran out */
};

struct transport_address {
	uint8_t family; /* 4 or 6 */
	uint8_t bytes[16];
	uint16_t port; /* host order */
};

/* What the application is told. Each callback may call any function below on its connection. */
struct transport_app {
	/* A connection was accepted: set conn->user. Non-zero refuses it: it is aborted, nothing follows. */
	int (*accepted)(void *app, struct transport_conn *conn);
	/* An active open ended: 0 or a negative errno; after an error nothing follows. NULL where unused. */
	void (*connected)(struct transport_conn *conn, int error);
	/* Bytes were added to conn->rx. */
	void (*readable)(struct transport_conn *conn);
	/* Send room is back after transport_write or transport_tx_room had shown too little. */
	void (*writable)(struct transport_conn *conn);
	/* The peer's FIN: nothing will be added to conn->rx. Writing goes on until transport_shutdown. */
	void (*peer_closed)(struct transport_conn *conn);
	/* The last callback; conn is invalid afterwards. Not called after transport_abort by the application.
	 * TRANSPORT_DONE waits until conn->rx was consumed; with any other reason what is in conn->rx can
	 * still be read here. */
	void (*closed)(struct transport_conn *conn, enum transport_reason reason);
};

struct transport_ops {
	enum transport_kind kind;
	void (*consume)(struct transport_conn *conn, uint32_t bytes);
	uint32_t (*tx_room)(struct transport_conn *conn);
	int (*write)(struct transport_conn *conn, const void *data, uint32_t bytes);
	void (*shutdown)(struct transport_conn *conn);
	void (*abort)(struct transport_conn *conn);
	uint64_t (*tx_pending)(struct transport_conn *conn);
};

struct transport_conn {
	const struct transport_ops *ops;
	struct chain *rx; /* borrowed by the application: read in place, then transport_consume */
	void *user;	  /* the application's */
	struct transport_address local, remote;
	bool local_link; /* the peer is on this host's loopback or on the TAP's own link */
};

/* Drops the first bytes of conn->rx (bytes <= rx->bytes); a window update follows when due. */
static inline void transport_consume(struct transport_conn *conn, uint32_t bytes)
{
	conn->ops->consume(conn, bytes);
}

/* How many bytes transport_write takes now: 0 up to the configured send buffer. */
static inline uint32_t transport_tx_room(struct transport_conn *conn)
{
	return conn->ops->tx_room(conn);
}

/* Copies bytes into the send queue: all of them and 0, or none and -ENOBUFS (no room, or the buffer pool is
 * empty: the application tries again when writable is called and also by itself after a while), or -EPIPE
 * after transport_shutdown. */
static inline int transport_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	return conn->ops->write(conn, data, bytes);
}

/* No more writing: FIN after what is queued. Reading goes on. The closed callback follows in the end. */
static inline void transport_shutdown(struct transport_conn *conn)
{
	conn->ops->shutdown(conn);
}

/* Drops everything, RST to the peer. conn is invalid afterwards; no callback follows. */
static inline void transport_abort(struct transport_conn *conn)
{
	conn->ops->abort(conn);
}

/* Bytes written and not yet acknowledged (bypass) or not yet taken by the kernel. */
static inline uint64_t transport_tx_pending(struct transport_conn *conn)
{
	return conn->ops->tx_pending(conn);
}

#endif
