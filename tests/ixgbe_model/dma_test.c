/* SPDX-License-Identifier: Apache-2.0 */
/* A device reaches mapped memory alone. Virtual devices cannot show a frame that was sent from memory which
 * nobody mapped; this one does, as an IOMMU would. */
#include "tests/ixgbe_model/test_port.h"

#include <rte_errno.h>
#include <rte_malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REGION_BYTES = 64 * 1024 };

static void freed(void *address, void *opaque)
{
}

/* A buffer whose data lies in memory of its own. */
static struct rte_mbuf *frame_of(uint8_t *data, uint16_t bytes, struct rte_mbuf_ext_shared_info *shared)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(tp_frames);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	shared->free_cb = freed;
	rte_mbuf_ext_refcnt_set(shared, 1);
	rte_pktmbuf_attach_extbuf(m, data, (uintptr_t)data, 2048, shared);
	rte_pktmbuf_append(m, bytes);
	return m;
}

static uint8_t *region_make(const uint8_t mac[6])
{
	uint8_t *region = mmap(
		NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_FATAL(region != MAP_FAILED);
	memcpy(region, mac, 6);
	memcpy(region + 12, (uint8_t[]){0x88, 0xb5}, 2);
	return region;
}

static unsigned send_from(struct test_port *p, uint8_t *region)
{
	struct rte_mbuf_ext_shared_info shared;
	struct rte_mbuf *m = frame_of(region, 100, &shared);

	tp_send(p, 0, &m, 1);
	unsigned got = tp_drain(p, 0);
	rte_eth_tx_done_cleanup(p->id, 0, 0);
	return got;
}

static void test_memory_that_nobody_mapped_is_noticed(void)
{
	struct test_port p;
	struct ixm_dma_fault fault;

	tp_open_loop(&p, 1,
		(struct test_port_options){.tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS, .dma_faults = true});
	uint8_t *region = region_make(p.mac);
	CU_ASSERT_EQUAL(send_from(&p, region), 0);
	ixm_dma_fault(p.device, &fault);
	CU_ASSERT_EQUAL(fault.count, 1);
	CU_ASSERT_EQUAL(fault.address, (uintptr_t)region);
	CU_ASSERT_EQUAL(fault.bytes, 100);
	CU_ASSERT_EQUAL(fault.kind, IXM_DMA_TX_BUFFER);
	CU_ASSERT_EQUAL(fault.queue, 0);
	tp_close(&p);
	munmap(region, REGION_BYTES);
}

static void test_mapped_memory_can_be_sent_from(void)
{
	struct test_port p;
	struct rte_eth_dev_info info;
	struct ixm_dma_fault fault;
	size_t page = (size_t)getpagesize();

	tp_open_loop(&p, 1,
		(struct test_port_options){.tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS, .dma_faults = true});
	uint8_t *region = region_make(p.mac);
	rte_eth_dev_info_get(p.id, &info);
	CU_ASSERT_EQUAL(
		rte_extmem_register(region, REGION_BYTES, NULL, (unsigned)(REGION_BYTES / page), page), 0);
	CU_ASSERT_EQUAL(send_from(&p, region), 0); /* known to EAL, but not to the device */
	CU_ASSERT_EQUAL(rte_dev_dma_map(info.device, region, (uintptr_t)region, REGION_BYTES), 0);
	CU_ASSERT_EQUAL(send_from(&p, region), 1);
	CU_ASSERT_EQUAL(rte_dev_dma_unmap(info.device, region, (uintptr_t)region, REGION_BYTES), 0);
	CU_ASSERT_EQUAL(send_from(&p, region), 0);
	CU_ASSERT(rte_dev_dma_unmap(info.device, region, (uintptr_t)region, REGION_BYTES) < 0);
	ixm_dma_fault(p.device, &fault);
	CU_ASSERT_EQUAL(fault.count, 2);
	tp_close(&p);
	rte_extmem_unregister(region, REGION_BYTES);
	munmap(region, REGION_BYTES);
}

static struct {
	unsigned count[4], foreign;
} seen;

static void see(void *context, enum ixm_dma_kind kind, unsigned queue, uint64_t address, size_t bytes)
{
	seen.count[kind]++;
	seen.foreign += !rte_mem_virt2memseg_list((void *)(uintptr_t)address);
}

static void test_each_access_can_be_watched(void)
{
	struct test_port p;
	struct rte_mbuf *out[TP_BURST];

	tp_open_loop(&p, 1, (struct test_port_options){0});
	ixm_dma_watch_set(p.device, see, NULL);
	for (unsigned i = 0; i < TP_BURST; i++)
		out[i] = tp_frame(p.mac, 60 + i, i, 2048);
	tp_send(&p, 0, out, TP_BURST);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), TP_BURST);
	CU_ASSERT_EQUAL(seen.count[IXM_DMA_TX_BUFFER], TP_BURST);
	CU_ASSERT_EQUAL(seen.count[IXM_DMA_RX_BUFFER], TP_BURST);
	CU_ASSERT(seen.count[IXM_DMA_TX_RING] > 0 && seen.count[IXM_DMA_RX_RING] > 0);
	CU_ASSERT_EQUAL(seen.foreign, 0);
	tp_close(&p);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"memory_that_nobody_mapped_is_noticed", test_memory_that_nobody_mapped_is_noticed},
		{"mapped_memory_can_be_sent_from", test_mapped_memory_can_be_sent_from},
		{"each_access_can_be_watched", test_each_access_can_be_watched},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
