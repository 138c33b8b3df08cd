/* SPDX-License-Identifier: Apache-2.0 */
/* Packet buffer pools, sized by a sum of who may hold a buffer at once. */
#ifndef DPDK_PORT_PORT_POOL_H
#define DPDK_PORT_PORT_POOL_H

#include <rte_mempool.h>
#include <stdint.h>

/* Who may hold buffers of a pool at one time. Zero is fine for a user that there is none of. */
struct port_pool_need {
	unsigned rings;		   /* descriptor rings that are filled from, or hold, the pool's buffers */
	unsigned ring_descriptors; /* of each */
	unsigned cores;		   /* that take from the pool, each with a cache and a burst in its hands */
	unsigned held;		   /* kept by the layers above: reassembly, unread, unacknowledged */
};

/* The number of buffers with which none of those users ever finds the pool empty. */
unsigned port_pool_size(const struct port_pool_need *need);

/* Bytes of memory that a pool of count buffers with room_bytes of data room takes, with its headers; for
 * sizing EAL's memory before EAL runs. A few percent too much rather than too little. */
uint64_t port_pool_memory_bytes(unsigned count, unsigned room_bytes);

/* Room for an Ethernet frame of the MTU with VLAN tag, as drivers want it: ixgbe and e1000 count a buffer in
 * whole KiB (and would scatter frames over buffers of 1536 bytes), net_af_packet asks for nearly 2 KiB. */
unsigned port_pool_room(unsigned mtu);

/* A pool of count buffers with room_bytes of data room behind the usual headroom. name: up to 25 characters,
 * not in use. From the heap of heap.h where there is one, else from EAL's own of node (a NUMA node or -1).
 * NULL and rte_errno when memory cannot be had. EAL must run. Any core may take and free buffers; those of
 * EAL go through a cache of their own. */
struct rte_mempool *port_pool_create(const char *name, unsigned count, unsigned room_bytes, int node);

#endif
