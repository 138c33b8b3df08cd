/* SPDX-License-Identifier: Apache-2.0 */
/* A transport in memory, for tests: bytes reach the application in pieces of any size, its send buffer is as
 * small and as slow as a test wants, and all that it wrote is kept. It follows transport.h to the letter and
 * asserts what that asks of the application. */
#ifndef BROKER_AMQP091_TESTING_LINK_H
#define BROKER_AMQP091_TESTING_LINK_H

#include "transport/transport.h"

struct link_bytes {
	uint8_t *data;
	size_t at, end, room; /* [at, end) is not taken yet */
};

struct link {
	struct transport_conn conn;
	struct chain rx;
	const struct transport_app *app;
	struct rte_mempool *pool;

	/* Towards the application. */
	struct link_bytes in; /* sent by the peer, not in rx yet */
	uint32_t rx_limit;    /* rx holds no more than this */
	uint32_t segment;     /* bytes an mbuf, at most the pool's room */
	uint32_t burst;	      /* bytes before readable is called */
	bool fin, fin_told;   /* the peer ended its side */
	bool reset;	      /* the peer's RST is on its way */

	/* From the application. */
	struct link_bytes out; /* at: read by the test */
	uint64_t sent;	       /* bytes of `out` that have left the send buffer */
	uint32_t tx_limit;     /* send buffer */
	uint32_t tx_rate;      /* bytes that leave it a turn; 0: it is stuck */
	uint32_t faults;       /* so many writes fail with -ENOBUFS although there is room */
	bool tx_eager; /* `writable` follows whenever room was asked for, not only where there was little */
	bool tx_wanted, shut;
	uint32_t writes_late; /* writes after shutdown */

	bool refused; /* accepted said no */
	bool aborted; /* by the application */
	bool closed;  /* the closed callback was called */
};

/* Offers a connection to the application: rx of 64 KiB in bursts and segments as large as they get, a send
 * buffer of 64 KiB that empties each turn. */
void link_open(struct link *l, struct rte_mempool *pool, const struct transport_app *app, void *app_ctx);
void link_free(struct link *l);

/* Queues what the peer sends. */
void link_feed(struct link *l, const void *data, size_t n);
static inline bool link_over(const struct link *l)
{
	return l->refused || l->aborted || l->closed;
}

/* One turn's receiving: writable where due, then what rx has room for, then FIN or RST. */
void link_poll(struct link *l);
/* One turn's sending; `closed` follows at the next poll where both sides have ended. */
void link_flush(struct link *l);

#endif
