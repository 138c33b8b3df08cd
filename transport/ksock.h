/* SPDX-License-Identifier: Apache-2.0 */
/* The transport over kernel sockets: the fallback where no port may be had, and the baseline that the bypass
 * is measured against, so it is made well: readiness in batches (edge-triggered epoll), at most one read and
 * one gathered write a connection and turn, TCP_NODELAY, optional busy polling. One instance a core. */
#ifndef TRANSPORT_KSOCK_H
#define TRANSPORT_KSOCK_H

#include "runtime/turn.h"
#include "transport/transport.h"

#include <stddef.h>

struct ksock;
struct ksock_listener;
struct ksock_spread;

struct ksock_config {
	struct rte_mempool *pool; /* mbufs for both directions; room of 2 to 60 KiB each; borrowed */
	uint32_t conn_max;	  /* 1 to 2^20 */
	uint32_t rx_buffer_bytes; /* held for an application that does not consume, per connection */
	uint32_t tx_buffer_bytes; /* accepted from the application ahead of the kernel, per connection */
	uint64_t keepalive_us;	  /* idle time before the first probe, rounded up to seconds; 0: no probes */
	uint32_t busy_poll_us;	  /* SO_BUSY_POLL, 0: not set */
	struct phase_mark *phase; /* of the core; borrowed. NULL: nobody looks */
	const struct transport_app *app;
	void *app_ctx; /* what accepted() is given */
	/* Of several cores: what joins them, and which of them this is. Listeners are core 0's. NULL: one
	 * core. */
	struct ksock_spread *spread;
	unsigned core;
};

struct ksock_stats {
	uint64_t accepted, connected;
	uint64_t refused; /* for want of a place (conn_max), or by the application, which were accepted first
			   */
	uint64_t closed;  /* ended in any way, an active open that failed among them */
	uint64_t reset;	  /* ended by the peer's RST */
	uint64_t rx_bytes, tx_bytes;
	uint64_t reads, writes; /* system calls */
	uint64_t accept_failed; /* accept(2) failed for want of descriptors or memory: tried again */
	uint64_t pool_empty;	/* no mbuf for a read or a write: tried again */
	uint32_t conns;
};

/* The config is copied. NULL with errno. Main thread, before the core runs. */
struct ksock *ksock_create(const struct ksock_config *config);
/* Aborts what is left. After the core has stopped. */
void ksock_destroy(struct ksock *k);

/* Binds and listens at once; the core accepts from its next turn on. 0 or a negative errno (-EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES, ...). Main thread before the core runs, or the core. */
int ksock_listen(struct ksock *k, const struct transport_address *address);
/* Closes every listener; connections stay. Core. */
void ksock_listen_stop(struct ksock *k);

/* Starts an active open; app->connected follows. NULL with errno where it fails at once. Core. */
struct transport_conn *ksock_connect(struct ksock *k, const struct transport_address *address, void *user);

/* This transport's part of a core's turn. */
struct turn_source *ksock_source(struct ksock *k);

struct ksock_stats ksock_stats(const struct ksock *k);

#endif
