/* SPDX-License-Identifier: Apache-2.0 */
/* A host: a stack with a configuration that the seed chose, and its pool of transmit buffers. */
#ifndef TESTS_SIM_HOST_H
#define TESTS_SIM_HOST_H

#include "tcpstack/tcp.h"
#include "tests/sim/sim.h"

enum { HOST_TX_MBUFS = 768, HOST_ROOM_BYTES = 9216 };

struct host {
	struct stack *stack;
	struct rte_mempool *pool;
	struct rte_mbuf *hoard[HOST_TX_MBUFS]; /* taken away for a while */
	unsigned hoarded;
	uint32_t time_wait_us;
	struct tcp_listener *listener; /* set by talks_listen */
	bool listener_was_full;
};
extern struct host hosts[SIM_HOSTS_MAX];

/* Once. */
void host_pools_create(void);
/* The stack of host i, for at most talks connections at a time. */
void host_start(unsigned i, unsigned talks);
/* Takes all transmit buffers away, or gives them back. */
void host_hoard(unsigned i);
void host_hoard_end(unsigned i);
/* What arrived, what is to be sent, what is due. */
void host_turn(unsigned i);
/* Everything given back, or the seed fails. */
void host_end(unsigned i);
void host_pools_check(void);

/* tcp_connect from a port of our choice. NULL as it says, or where that port is in use. */
struct tcp_conn *host_connect_from(unsigned i, uint16_t lport, const struct ip_addr *to, uint16_t port,
	const struct tcp_app *app, void *user);

/* The initial number that the active side of c chose. */
uint32_t host_conn_isn(const struct tcp_conn *c);
/* Frames were dropped before they reached the wire: no neighbour, or none known yet. */
bool host_dropped(unsigned i);

#endif
