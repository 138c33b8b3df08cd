/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ixgbe_model/test_port.h"

#include <rte_ether.h>
#include <stdio.h>
#include <string.h>

struct rte_mempool *tp_frames;

static void queues_make(struct test_port *p)
{
	struct rte_eth_dev_info info;
	unsigned n = p->o.descriptors;

	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_info_get(p->id, &info), 0);
	info.default_rxconf.rx_drop_en = p->o.drop;
	info.default_rxconf.offloads = p->o.rx_offloads;
	info.default_txconf.offloads = p->o.tx_offloads;
	if (p->o.tx_free_thresh)
		info.default_txconf.tx_free_thresh = (uint16_t)p->o.tx_free_thresh;
	for (uint16_t i = 0; i < p->o.queues; i++) {
		CU_ASSERT_EQUAL_FATAL(
			rte_eth_rx_queue_setup(p->id, i, (uint16_t)n, 0, &info.default_rxconf, p->rx_pool),
			0);
		CU_ASSERT_EQUAL_FATAL(
			rte_eth_tx_queue_setup(p->id, i, (uint16_t)n, 0, &info.default_txconf), 0);
	}
}

static void configure(struct test_port *p)
{
	struct rte_eth_conf conf = {.rxmode = {.mtu = p->o.mtu, .offloads = p->o.rx_offloads},
		.txmode = {.offloads = p->o.tx_offloads},
		.intr_conf = {.rxq = p->o.interrupts}};

	if (p->o.rss) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){
			.rss_key = (uint8_t *)(uintptr_t)p->o.key, .rss_key_len = 40, .rss_hf = p->o.rss};
	}
	uint16_t queues = (uint16_t)p->o.queues;
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_configure(p->id, queues, queues, &conf), 0);
	queues_make(p);
}

static void defaults(struct test_port_options *o)
{
	o->queues = o->queues ? o->queues : 1;
	o->descriptors = o->descriptors ? o->descriptors : 256;
	o->mtu = o->mtu ? o->mtu : 1500;
	o->room = o->room ? o->room : 2048;
}

void tp_open(struct test_port *p, unsigned n, struct test_port_options o)
{
	char address[16], name[16], error[512] = "";
	struct ixm_config c = {.part = o.part,
		.address = address,
		.mac = {2, 0, 0, 0, 0, (uint8_t)n},
		.host.trusted = true,
		.interrupts = o.interrupts};

	defaults(&o);
	unit_eal();
	*p = (struct test_port){.o = o};
	memcpy(p->mac, c.mac, 6);
	if (!tp_frames)
		tp_frames = unit_pool("tp_frames", TP_BUFFERS, 2048);
	snprintf(name, sizeof(name), "tp_rx%u", n);
	p->rx_pool = unit_pool(name, o.queues * (o.descriptors + 64) + 512, o.room);
	snprintf(address, sizeof(address), "0000:03:%02x.0", n);
	if (ixm_open(&c, &p->device, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->device);
	p->id = ixm_port_id(p->device);
	configure(p);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_start(p->id), 0);
}

void tp_open_loop(struct test_port *p, unsigned n, struct test_port_options o)
{
	tp_open(p, n, o);
	ixm_wire_loop(p->device);
	ixm_settle();
}

void tp_close(struct test_port *p)
{
	struct ixm_dma_fault fault;

	CU_ASSERT_EQUAL(rte_eth_dev_stop(p->id), 0);
	CU_ASSERT(rte_eth_dev_close(p->id) >= 0); /* the driver may say 1 */
	ixm_dma_fault(p->device, &fault);
	CU_ASSERT(p->o.misuse || fault.count == 0);
	CU_ASSERT(p->o.misuse || tp_count(p).tx_malformed == 0);
	ixm_close(p->device);
	CU_ASSERT(unit_pool_full(p->rx_pool));
	CU_ASSERT(unit_pool_full(tp_frames));
	rte_mempool_free(p->rx_pool);
}

static uint8_t content(unsigned mark, unsigned at)
{
	uint32_t x = (mark + 1) * 2654435761u + at * 40503u;
	return (uint8_t)(x >> 13);
}

/* Behind the Ethernet header, whose type is one for experiments (RFC 5342). */
struct rte_mbuf *tp_frame(const uint8_t mac[6], unsigned bytes, unsigned mark, unsigned piece)
{
	uint8_t data[IXM_FRAME_BYTES_MAX] = {[6] = 2, 0, 0, 0, 0, 0xee, 0x88, 0xb5};
	struct rte_mbuf *head = NULL;

	memcpy(data, mac, 6);
	for (unsigned i = RTE_ETHER_HDR_LEN; i < bytes; i++)
		data[i] = content(mark, i);
	for (unsigned at = 0; at < bytes;) {
		unsigned n = RTE_MIN(bytes - at, piece);
		struct rte_mbuf *m = rte_pktmbuf_alloc(tp_frames);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), data + at, n);
		int rc = head ? rte_pktmbuf_chain(head, m) : 0;
		CU_ASSERT_EQUAL_FATAL(rc, 0);
		head = head ? head : m;
		at += n;
	}
	return head;
}

bool tp_is_frame(const struct rte_mbuf *m, unsigned bytes, unsigned mark)
{
	uint8_t copy[IXM_FRAME_BYTES_MAX];

	if (m->pkt_len != bytes) {
		printf("# frame %u: %u bytes instead of %u\n", mark, m->pkt_len, bytes);
		return false;
	}
	const uint8_t *data = rte_pktmbuf_read(m, 0, bytes, copy);
	for (unsigned i = RTE_ETHER_HDR_LEN; i < bytes; i++)
		if (data[i] != content(mark, i)) {
			printf("# frame %u of %u bytes: byte %u differs\n", mark, bytes, i);
			return false;
		}
	return true;
}

void tp_send(struct test_port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	unsigned sent = 0;

	for (unsigned idle = 0; sent < n && idle < 2; idle++) {
		unsigned taken = rte_eth_tx_burst(
			p->id, (uint16_t)queue, frames + sent, (uint16_t)(n - sent));
		sent += taken;
		ixm_settle();
		if (taken)
			idle = 0;
	}
	CU_ASSERT_EQUAL_FATAL(sent, n);
}

unsigned tp_receive(struct test_port *p, unsigned queue, struct rte_mbuf *frames[TP_ROOM])
{
	unsigned got = 0;

	/* A call that finds nothing may have given the device new descriptors. */
	for (unsigned idle = 0; idle < 2 && got + TP_BURST <= TP_ROOM; idle++) {
		ixm_settle();
		unsigned n = rte_eth_rx_burst(p->id, (uint16_t)queue, frames + got, TP_BURST);
		got += n;
		if (n)
			idle = 0;
	}
	return got;
}

unsigned tp_drain(struct test_port *p, unsigned queue)
{
	struct rte_mbuf *frames[TP_ROOM];
	unsigned total = 0, n;

	while ((n = tp_receive(p, queue, frames))) {
		rte_pktmbuf_free_bulk(frames, n);
		total += n;
	}
	return total;
}

/* net_ixgbe of 22.11 does not answer rte_eth_rx_burst_mode_get; its functions' names say the same. */
uint16_t ixgbe_recv_pkts(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_recv_pkts_bulk_alloc(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_recv_pkts_lro_bulk_alloc(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_recv_pkts_lro_single_alloc(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_recv_pkts_vec(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_recv_scattered_pkts_vec(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_xmit_pkts(void *, struct rte_mbuf **, uint16_t);
uint16_t ixgbe_xmit_pkts_simple(void *, struct rte_mbuf **, uint16_t);

const char *tp_rx_path(const struct test_port *p)
{
	static const struct {
		eth_rx_burst_t function;
		const char *name;
	} paths[] = {
		{ixgbe_recv_pkts_vec, "vector"},
		{ixgbe_recv_scattered_pkts_vec, "vector scattered"},
		{ixgbe_recv_pkts_bulk_alloc, "bulk"},
		{ixgbe_recv_pkts, "scalar"},
		{ixgbe_recv_pkts_lro_bulk_alloc, "lro bulk"},
		{ixgbe_recv_pkts_lro_single_alloc, "lro"},
	};
	for (unsigned i = 0; i < RTE_DIM(paths); i++)
		if (rte_eth_fp_ops[p->id].rx_pkt_burst == paths[i].function)
			return paths[i].name;
	return "unknown";
}

/* The vector path has no name outside of its file: it is the one that is left. */
const char *tp_tx_path(const struct test_port *p)
{
	eth_tx_burst_t function = rte_eth_fp_ops[p->id].tx_pkt_burst;

	return function == ixgbe_xmit_pkts	    ? "scalar"
	       : function == ixgbe_xmit_pkts_simple ? "simple"
						    : "vector";
}

void tp_print(const struct test_port *p)
{
	struct ixm_counters c = tp_count(p);

#define IXM_COUNT(name) \
	if (c.name)     \
		printf("# " #name " %lu\n", (unsigned long)c.name);
#include "tests/ixgbe_model/counters.def"
#undef IXM_COUNT
}

struct ixm_counters tp_count(const struct test_port *p)
{
	struct ixm_counters c;

	ixm_counters(p->device, &c);
	return c;
}
