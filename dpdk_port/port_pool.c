/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_pool.h"
#include "dpdk_port/port.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

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
	unsigned room = RTE_ALIGN_CEIL(mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN, 1024u);
	return RTE_MAX(room, (unsigned)RTE_MBUF_DEFAULT_DATAROOM);
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

/* With RTE_MEMPOOL_F_NO_IOVA_CONTIG the mempool gives its objects no bus address at all. Here it is the
 * virtual one; buffers take theirs from it, now and whenever they are detached from another one's data. */
static void address_set(struct rte_mempool *p, void *arg, void *object, unsigned index)
{
	rte_mempool_get_header(object)->iova = (uintptr_t)object;
}

/* As rte_pktmbuf_pool_create does it, but for flags, which that cannot be given. */
static struct rte_mempool *pool_create(
	const char *name, unsigned count, unsigned cache, unsigned room_bytes, int node, unsigned flags)
{
	uint16_t data_room = (uint16_t)(RTE_PKTMBUF_HEADROOM + room_bytes);
	struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = data_room};
	struct rte_mempool *p = rte_mempool_create_empty(name, count, sizeof(struct rte_mbuf) + data_room,
		cache, sizeof(private), node < 0 ? SOCKET_ID_ANY : node, flags);

	if (!p)
		return NULL;
	int rc = rte_mempool_set_ops_byname(p, rte_mbuf_best_mempool_ops(), NULL);
	if (rc == 0) {
		rte_pktmbuf_pool_init(p, &private);
		rc = rte_mempool_populate_default(p);
	}
	if (rc < 0) {
		rte_mempool_free(p);
		rte_errno = -rc;
		return NULL;
	}
	if (flags & RTE_MEMPOOL_F_NO_IOVA_CONTIG)
		rte_mempool_obj_iter(p, address_set, NULL);
	rte_mempool_obj_iter(p, rte_pktmbuf_init, NULL);
	return p;
}

struct rte_mempool *port_pool_create(const char *name, unsigned count, unsigned room_bytes, int node)
{
	unsigned cache = PORT_POOL_CACHE;

	while (cache && cache * 3 / 2 > count)
		cache /= 2;
	/* Where devices see virtual addresses, what is contiguous to us is so to them. Unless it is told, the
	 * mempool keeps each object within a page, and of pages of 4 KiB that wastes half. */
	return pool_create(name, count, cache, room_bytes, node,
		rte_eal_iova_mode() == RTE_IOVA_VA ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
}
