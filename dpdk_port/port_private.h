/* SPDX-License-Identifier: Apache-2.0 */
/* What port.c (the path of frames) and port_open.c (making and unmaking a port) share. */
#ifndef DPDK_PORT_PORT_PRIVATE_H
#define DPDK_PORT_PORT_PRIVATE_H

#include "dpdk_port/port.h"
#include "dpdk_port/port_signal.h"

#include <rte_common.h>

struct dpdk_driver;

/* One core's end of the port; on cache lines of its own. */
struct port_queue {
	struct port_counters counters;
	uint64_t stuck_since_us; /* first flush at which the device took nothing; 0: it takes */
	uint16_t waiting_first, waiting_count;
	bool progressed; /* the device took a frame since the last flush */
	int rx_fd;
	struct rte_mempool *rx_pool;
	struct rte_mbuf *waiting[PORT_TX_WAITING];
} __rte_cache_aligned;

struct port {
	uint16_t id; /* ethdev's */
	bool arms_rx;
	port_signal_handler rx_kick; /* to be called before each read, or NULL; see port_signal.h */
	int signal;
	uint32_t frame_bytes_max;
	bool opened, started, is_vdev;
	char vdev[64]; /* name without arguments */
	const struct dpdk_driver *driver;
	struct port_info info;
	struct port_queue queue[];
};

#endif
