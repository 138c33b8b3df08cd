/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_pool.h"
#include "dpdk_port/port.h"

#include <rte_ether.h>
#include <rte_mbuf.h>

unsigned port_pool_size(const struct port_pool_need *need)
{
	unsigned sum = 0;

	sum += need->rings * need->ring_descriptors;  /* all descriptors filled */
	sum += need->cores * PORT_BURST;	      /* the burst that a turn works on */
	sum += need->cores * PORT_TX_WAITING;	      /* answers that wait for a full TX ring */
	sum += need->cores * PORT_POOL_CACHE * 3 / 2; /* a cache overflows at one and a half */
	sum += need->held;
	return sum;
}

unsigned port_pool_room(unsigned mtu)
{
	return RTE_ALIGN_CEIL(mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN, RTE_CACHE_LINE_SIZE);
}

uint64_t port_pool_memory_bytes(unsigned count, unsigned room_bytes)
{
	struct rte_mempool_objsz size;
	uint32_t element = sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM + room_bytes;
	uint64_t object = rte_mempool_calc_obj_size(element, 0, &size);

	/* Each object, a pointer to it in a ring that is rounded up to a power of two, and for the pool
	 * itself: its header, the caches of all lcores, the rest of a page of 2 MiB at the end. */
	return count * object + rte_align64pow2((uint64_t)count + 1) * sizeof(void *) + (1u << 20) +
	       (2u << 20);
}

struct rte_mempool *port_pool_create(const char *name, unsigned count, unsigned room_bytes, int node)
{
	unsigned cache = PORT_POOL_CACHE;

	while (cache && cache * 3 / 2 > count)
		cache /= 2;
	return rte_pktmbuf_pool_create(name, count, cache, 0, (uint16_t)(RTE_PKTMBUF_HEADROOM + room_bytes),
		node < 0 ? SOCKET_ID_ANY : node);
}
