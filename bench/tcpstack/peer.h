/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of many connections, played with as little work as possible: frames are made of a template,
 * and only what differs is filled in. It listens to nothing but the numbers in the frames that it is shown.
 * It is never part of what is measured. */
#ifndef BENCH_TCPSTACK_PEER_H
#define BENCH_TCPSTACK_PEER_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/stack.h"
#include "tcpstack/tcp.h"

enum { PEER_PORT = 5672, PEER_CONNS_MAX = 1000000 };

enum peer_flag { PEER_FIN = 1, PEER_SYN = 2, PEER_RST = 4, PEER_PSH = 8, PEER_ACK = 16 };

struct peer_conn {
	uint32_t seq;		    /* of the next byte to the stack */
	uint32_t ack;		    /* of the next byte from the stack */
	uint32_t ts_echo;	    /* the stack's last timestamp */
	bool established, finished; /* the stack's SYN-ACK was seen; its FIN was */
	struct tcp_conn *conn;	    /* the stack's */
};

struct peer {
	struct stack *stack;
	struct rte_mempool *rx_pool, *tx_pool;
	struct peer_conn *conns;
	unsigned conn_count;
	unsigned incarnation; /* a new one has other ports */
	bool offloads, ipv6;
	bool resolved;	 /* the stack knows the gateway's address */
	uint32_t ts;	 /* the peer's clock of timestamps */
	uint64_t now_us; /* the virtual clock */

	/* What the stack has sent, until peer_listen. */
	struct rte_mbuf **sent;
	unsigned sent_count;
	uint64_t acks_seen;    /* segments without data */
	bool acknowledges_not; /* what the stack sends is not acknowledged */

	/* Segments with data that were seen and may be acknowledged, one by one. */
	struct peer_seen {
		unsigned conn;
		uint32_t ack;
	} * seen;
	unsigned seen_count;

	uint32_t consumed_bytes;
};

struct peer_options {
	unsigned conns;
	bool offloads;
	bool ipv6;
	uint32_t keepalive_us;
	uint32_t mbufs_tx; /* beyond what sending takes: what connections keep unacknowledged */
};

/* A stack with a listener whose application reads all it gets. Aborts without memory. */
void peer_init(struct peer *p, const struct peer_options *o);
void peer_fini(struct peer *p);

/* A frame of connection i. n bytes of payload, whatever they are. */
struct rte_mbuf *peer_frame(struct peer *p, unsigned i, uint8_t flags, uint32_t n);

/* Looks at what the stack has sent and frees it. */
void peer_listen(struct peer *p);

/* The acknowledgements of what was seen, at most n of them, in order. Returns how many. */
unsigned peer_acknowledge(struct peer *p, struct rte_mbuf **frames, unsigned n);

/* Opens connections first to first + n - 1 (n at most STACK_BURST). */
void peer_open(struct peer *p, unsigned first, unsigned n);

#endif
