/* SPDX-License-Identifier: Apache-2.0 */
/* One core of a tool: a turn with one transport, kernel sockets or our own stack on a queue of a port, and
 * whatever clients the application opens on it. */
#ifndef TOOLS_CLIENT_LOOP_H
#define TOOLS_CLIENT_LOOP_H

#include "dpdk_port/port.h"
#include "runtime/turn.h"
#include "tcpstack/ip_addr.h"
#include "tools/client/client.h"

struct loop;

struct loop_config {
	unsigned index;
	struct port *port_or_null; /* NULL: kernel sockets; else the queue `index` of this port */
	struct ip_addr address;	   /* ours on the port */
	uint8_t prefix_bits;
	unsigned mtu;		/* of that port */
	struct ip_addr gateway; /* unspecified: none */
	uint32_t conn_max;
	uint32_t buffer_bytes; /* that a connection may be ahead with what it writes */
	enum turn_idle idle;
	/* Called as a turn begins, before anything is received. NULL: nobody wants it. */
	void (*begin)(struct loop *l);
	/* The application's part of a turn: work items, and when it is wanted next (UINT64_MAX: not by the
	 * clock).
	 */
	unsigned (*poll)(struct loop *l, uint64_t now_us);
	uint64_t (*next_us)(struct loop *l);
	void *user;
};

struct loop {
	struct loop_config config;
	struct turn turn;
	struct turn_source first, source;
	struct ksock *ksock;
	struct bypass *bypass;
	struct rte_mempool *pool;
	uint64_t now_us; /* of this turn */
};

/* Bytes of packet memory that a loop with this configuration takes, on a port (with its
 * mtu, whatever else the configuration says of it) or not: for EAL's start. */
uint64_t loop_memory_bytes(const struct loop_config *config, bool on_port);

/* The config is copied. 0, or -1 with error. Control thread, EAL runs. */
int loop_open(struct loop *l, const struct loop_config *config, char *error, size_t room);
/* Aborts what is left. After turn_run. */
void loop_close(struct loop *l);
/* Its packet buffers; after port_close, which still holds some. */
void loop_free(struct loop *l);

/* Opens c's connection; c->app hears the rest. On the loop, or before it runs. Fails at once by ended. */
void loop_connect(struct loop *l, struct client *c, const struct transport_address *to);

#endif
