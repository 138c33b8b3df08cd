/* SPDX-License-Identifier: Apache-2.0 */
/* The broker that is measured: its cores as the program has them, each with a port between two rings. */
#ifndef BENCH_DATAPLANE_CORE_H
#define BENCH_DATAPLANE_CORE_H

#include "bench/dataplane/bench.h"
#include "broker/amqp091/server.h"
#include "runtime/turn.h"
#include "transport/bypass.h"

#include <rte_ring.h>

enum { CORE_PORT = 5672, CORE_NET = 0x0a090000, CORE_HOST = 1, LOAD_HOST = 2 };

/* What rte_eth_from_rings hands its driver: a port is opened by name, so it is handed over by hand. */
struct ring_arguments {
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

struct core {
	unsigned index;
	struct broker_core *broker_core;
	struct amqp091_server *server;
	struct turn turn;
	/* path: frames to the broker, and from it */
	struct rte_ring *in, *out;
	struct port *port;
	struct rte_mempool *tx_pool;
	struct bypass *bypass;
};

struct cluster {
	const struct bench_options *o;
	struct broker *broker;
	struct message_store *store;
	struct auth *auth;
	struct core cores[BENCH_CORES_MAX];
	uint64_t now_us; /* the clock, which may be virtual */
};

/* EAL's memory for all of it, the load's too. */
unsigned core_eal_mb(const struct bench_options *o);

/* Buffers in a pool of frames to be sent, the core's or the load's. */
unsigned core_mbufs(const struct bench_options *o);

enum { CORE_BEGIN_US = 1000000 }; /* where a virtual clock begins */

/* with_ports: for path. now_us: of the clock that the cores' turns go by. Aborts without memory. */
void cluster_open(struct cluster *c, const struct bench_options *o, bool with_ports, uint64_t now_us);
void cluster_close(struct cluster *c); /* every connection is gone from its transport */

static inline struct ip_addr core_address(unsigned core, unsigned host)
{
	return ip_v4(CORE_NET + core * 256 + host);
}

#endif
