/* SPDX-License-Identifier: Apache-2.0 */
/* One region for packet buffers and messages, given to DPDK as a heap of its own: one number to size, one
 * place to look at. It lies in hugepages (from libhugetlbfs) or in ordinary pages that are locked; either way
 * every page is there when this returns, so that nothing faults later. Devices know its addresses: each page
 * has its IOVA, and a PCI port has all of it mapped for DMA.
 *
 * There is one such heap a process, or none: then pools take memory from EAL's own. Control thread. */
#ifndef DPDK_PORT_HEAP_H
#define DPDK_PORT_HEAP_H

#include "runtime/pool.h"

#include <stdbool.h>

struct rte_device;

struct dpdk_heap_options {
	uint64_t bytes;	 /* rounded up to whole pages of 2 MiB, and to what `giant` says */
	bool no_packets; /* packet buffers lie in EAL's own memory all the same */
	bool hugepages;	 /* false: ordinary pages, locked; devices see virtual addresses */
	unsigned giant;	 /* with hugepages: so many of 1 GiB come first (hugepages_giant), then those of 2 MiB
			  */
	int node;	 /* NUMA node of its pages, where they can be had there; -1: any */
};

/* First, before EAL, so that its own memory can be sized by whether there is a heap: takes the pages. 0, or
 * with error saying what to do: -EINVAL, -EALREADY, -ENOMEM, -EPERM and -EAGAIN (locking is not allowed, or
 * not that much: RLIMIT_MEMLOCK), -errno. Blocks while pages are made. */
int dpdk_heap_take(const struct dpdk_heap_options *options, char *error, size_t error_bytes);
/* Then, while EAL runs: makes a heap of them. 0, -EINVAL (a NIC that sees physical addresses wants
 * hugepages), -EPERM, -errno, with error; the pages are kept. */
int dpdk_heap_open(char *error, size_t error_bytes);
/* Gives the pages back. Everything from the heap MUST have been given back, ports closed, and EAL still run
 * if the heap was opened. A no-op where there is none. */
void dpdk_heap_destroy(void);

/* What rte_mempool_create wants to be told for packet buffers: the heap, or `node` where there is none or it
 * has no packets. */
int dpdk_heap_socket(int node);

/* Memory of the heap for pools; MUST not be asked for where there is none. */
struct pool_memory dpdk_heap_memory(void);

struct dpdk_heap_stats {
	uint64_t bytes, used_bytes, largest_free_bytes; /* 0: there is none */
};
struct dpdk_heap_stats dpdk_heap_stats(void);

/* Whether all of [p, p + bytes) lies in the heap. Any thread. */
bool dpdk_heap_holds(const void *p, size_t bytes);

/* Has a device map the whole heap for DMA, until the heap goes. 0 where there is no heap, or where the device
 * needs no mapping (it is no bus device behind an IOMMU); -errno. */
int dpdk_heap_map(struct rte_device *device);

#endif
