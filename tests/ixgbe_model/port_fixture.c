/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ixgbe_model/port_fixture.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"

#include <stdio.h>
#include <string.h>

const char pf_address[] = "0000:03:00.0";
const uint8_t pf_device_mac[6] = {2, 0, 0, 0, 3, 1};

/* Fixed, so that these flows are spread well: by a random key flows that differ little may all be one core's.
 */
static const uint8_t key[PORT_RSS_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
	0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d,
	0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

void pf_eal(void)
{
	const struct eal_options o = {.memory_mb = 384, .data_cores = 1};
	char error[512] = "";

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
}

void pf_device_open(struct port_bench *b, unsigned number, struct ixm_config device, struct port_config c)
{
	char address[16], name[16], error[512] = "";

	pf_eal();
	snprintf(address, sizeof(address), "0000:03:00.%u", number);
	snprintf(name, sizeof(name), "pf_frames%u", number);
	device.address = address;
	device.interrupts = c.wait_on_fd;
	memcpy(device.mac, pf_device_mac, 6);
	device.mac[5] = (uint8_t)(device.mac[5] + number);
	*b = (struct port_bench){0};
	if (ixm_open(&device, &b->device, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->device);
	b->frames = port_pool_create(name, 1023, port_pool_room(9000), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->frames);
	c.device = address;
	c.rss_key = key;
	c.queues = c.queues ? c.queues : 1;
	if (port_open(&c, &b->port, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->port);
	ixm_wire_loop(b->device);
	ixm_settle();
}

void pf_open_number(struct port_bench *b, unsigned number, struct port_config c)
{
	pf_device_open(b, number, (struct ixm_config){0}, c);
}

void pf_open(struct port_bench *b, struct port_config c)
{
	pf_open_number(b, 0, c);
}

void pf_close(struct port_bench *b)
{
	struct ixm_dma_fault fault;
	struct ixm_counters count;

	port_close(b->port);
	ixm_dma_fault(b->device, &fault);
	ixm_counters(b->device, &count);
	if (fault.count)
		printf("# %lu accesses to memory that is not mapped, first %#lx of kind %d\n",
			(unsigned long)fault.count, (unsigned long)fault.address, (int)fault.kind);
	CU_ASSERT_EQUAL(fault.count, 0);
	CU_ASSERT_EQUAL(count.tx_malformed, 0);
	ixm_close(b->device);
	CU_ASSERT(unit_pool_full(b->frames));
	rte_mempool_free(b->frames);
}

struct rte_mbuf *pf_frame(struct port_bench *b, const struct test_packet *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(b->frames);
	uint8_t frame[IXM_FRAME_BYTES_MAX];

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	unsigned n = test_packet_write(frame, port_info(b->port)->mac, p);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	return m;
}

struct test_packet pf_flow(unsigned i)
{
	return (struct test_packet){.protocol = TP_TCP,
		.source = {10, 0, (uint8_t)(i >> 8), (uint8_t)i},
		.destination = {10, 1, 0, 1},
		.source_port = (uint16_t)(40000 + i),
		.destination_port = 5672,
		.payload = 100,
		.mark = i};
}

unsigned pf_owner(const struct port_bench *b, const struct test_packet *p)
{
	uint8_t addresses[8], ports[4] = {(uint8_t)(p->source_port >> 8), (uint8_t)p->source_port,
				      (uint8_t)(p->destination_port >> 8), (uint8_t)p->destination_port};

	memcpy(addresses, p->source, 4);
	memcpy(addresses + 4, p->destination, 4);
	return port_owner(b->port, false, addresses, ports);
}

void pf_send(struct port_bench *b, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	CU_ASSERT_EQUAL_FATAL(port_tx(b->port, queue, frames, n), n);
	for (unsigned i = 0; i < 10 && port_tx_flush(b->port, queue, 1); i++)
		ixm_settle();
	ixm_settle();
}

unsigned pf_drain(struct port_bench *b, unsigned queue)
{
	struct rte_mbuf *frames[PORT_BURST];
	unsigned total = 0;

	for (unsigned idle = 0; idle < 2; idle++) {
		unsigned n = port_rx(b->port, queue, frames, PORT_BURST);
		total += n;
		rte_pktmbuf_free_bulk(frames, n);
		ixm_settle();
		if (n)
			idle = 0;
	}
	return total;
}
