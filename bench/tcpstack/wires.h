/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a wire between two stacks of this process. */
#ifndef BENCH_TCPSTACK_WIRES_H
#define BENCH_TCPSTACK_WIRES_H

#include "dpdk_port/port.h"

struct wire_end {
	struct port *port;
	unsigned rx_queue, tx_queue;
};

struct wire {
	struct wire_end end[2];
	struct rte_ring *ring[2];
	char socket[108];
};

/* kind: "ring" (two net_ring devices whose rings cross) or "vhost" (net_vhost and net_virtio_user, joined by
 * a socket in dir). offloads: enum port_offload, where the devices have them. EAL must run. False with a
 * message on stderr. */
bool wire_open(struct wire *w, const char *kind, const char *dir, uint32_t offloads);
void wire_close(struct wire *w);

#endif
