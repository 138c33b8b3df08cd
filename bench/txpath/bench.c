/* SPDX-License-Identifier: Apache-2.0 */
/* What a TCP segment to be sent costs on an 82599: bench_txpath. Its driver has a vector path for frames that
 * ask the device for nothing, whose checksums our TCP computes then, and one that takes all offloads. Both
 * are measured with what the stack does beside it, the sum over the segment or over the pseudo header; the
 * device is the tests' model, which fetches between two bursts, so there is no PCI in it. Prints a line for
 * each way and size. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/ixgbe_model/model.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_MEASURED __attribute__((noinline, noclone, used))

enum {
	BLOCKS = 21,
	BURSTS = 400,
	WARM_BURSTS = 100,
	FRAMES = 8191,
	HEADERS = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_tcp_hdr),
	IP_AT = sizeof(struct rte_ether_hdr),
	TCP_AT = IP_AT + sizeof(struct rte_ipv4_hdr),
};
#define SOURCE	    0xc0000201u
#define DESTINATION 0xc0000202u

struct way {
	const char *name;
	uint32_t offloads;
};

struct bench {
	struct ixm *device;
	struct port *port;
	struct rte_mempool *pool;
	struct rte_mbuf *burst[PORT_BURST];
	bool device_sums;
	uint64_t sent;
};

static void swallow(void *ctx, const uint8_t *frame, unsigned bytes)
{
	((struct bench *)ctx)->sent++;
}

static void open_port(struct bench *b, const struct way *w)
{
	const struct ixm_config device = {.address = "0000:07:00.0", .mac = {2, 0, 0, 0, 7, 1}};
	const struct port_config c = {.device = device.address, .queues = 1, .offloads = w->offloads};
	char error[512];

	*b = (struct bench){.device_sums = w->offloads & PORT_TX_TCP_CHECKSUM};
	MUST(ixm_open(&device, &b->device, error, sizeof(error)) == 0);
	MUST(port_open(&c, &b->port, error, sizeof(error)) == 0);
	MUST(port_info(b->port)->offloads == w->offloads);
	b->pool = port_pool_create("txpath", FRAMES, port_pool_room(1500), -1);
	MUST(b->pool);
	ixm_wire_to(b->device, swallow, b);
	ixm_settle();
}

static void close_port(struct bench *b)
{
	port_close(b->port);
	ixm_close(b->device);
	MUST(rte_mempool_in_use_count(b->pool) == 0);
	rte_mempool_free(b->pool);
}

/* All but the sums. */
static void fill(struct bench *b, unsigned payload)
{
	struct rte_ether_hdr eth = {.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4)};
	struct rte_ipv4_hdr ip = {.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(HEADERS - IP_AT + payload)),
		.time_to_live = 64,
		.next_proto_id = 6};
	struct rte_tcp_hdr tcp = {.data_off = sizeof(tcp) << 2, .tcp_flags = RTE_TCP_ACK_FLAG};

	memcpy(&eth.src_addr, port_info(b->port)->mac, 6);
	eth.dst_addr = (struct rte_ether_addr){{2, 0, 0, 0, 7, 2}};
	ip.src_addr = rte_cpu_to_be_32(SOURCE);
	ip.dst_addr = rte_cpu_to_be_32(DESTINATION);
	for (unsigned i = 0; i < PORT_BURST; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(b->pool);
		MUST(m);
		uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(HEADERS + payload));
		memcpy(p, &eth, sizeof(eth));
		memcpy(p + IP_AT, &ip, sizeof(ip));
		memcpy(p + TCP_AT, &tcp, sizeof(tcp));
		b->burst[i] = m;
	}
}

static void sum(const struct bench *b, struct rte_mbuf *m)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)(frame + IP_AT);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(void *)(frame + TCP_AT);
	uint32_t bytes = m->pkt_len - TCP_AT;

	if (b->device_sums) {
		m->l2_len = IP_AT;
		m->l3_len = TCP_AT - IP_AT;
		m->l4_len = sizeof(*tcp);
		m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
		tcp->cksum = rte_ipv4_phdr_cksum(ip, m->ol_flags);
		return;
	}
	const struct ip_addr from = ip_v4(SOURCE), to = ip_v4(DESTINATION);
	wire_put16(
		(uint8_t *)&ip->hdr_checksum, (uint16_t)~checksum_fold(checksum_add(0, ip, TCP_AT - IP_AT)));
	wire_put16((uint8_t *)&tcp->cksum,
		(uint16_t)~checksum_fold(checksum_add(checksum_pseudo(&from, &to, 6, bytes), tcp, bytes)));
}

BENCH_MEASURED static void measured(struct bench *b)
{
	for (unsigned i = 0; i < PORT_BURST; i++)
		sum(b, b->burst[i]);
	if (port_tx(b->port, 0, b->burst, PORT_BURST) != PORT_BURST)
		abort();
}

static uint64_t burst(struct bench *b, unsigned payload)
{
	fill(b, payload);
	uint64_t t = rte_rdtsc_precise();
	measured(b);
	t = rte_rdtsc_precise() - t;
	while (port_tx_flush(b->port, 0, 1))
		ixm_turn(b->device);
	ixm_turn(b->device);
	return t;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void run(const struct way *w, unsigned payload, unsigned blocks)
{
	double ns[BLOCKS];
	struct bench b;

	open_port(&b, w);
	for (unsigned i = 0; i < WARM_BURSTS; i++)
		burst(&b, payload);
	for (unsigned k = 0; k < blocks; k++) {
		uint64_t cycles = 0;
		for (unsigned i = 0; i < BURSTS; i++)
			cycles += burst(&b, payload);
		ns[k] = (double)cycles * 1e9 / (double)rte_get_tsc_hz() / (BURSTS * PORT_BURST);
	}
	ixm_settle();
	MUST(b.sent == (uint64_t)(WARM_BURSTS + blocks * BURSTS) * PORT_BURST);
	qsort(ns, blocks, sizeof(ns[0]), ascending);
	printf("way=%s bytes=%u ns=%.1f\n", w->name, payload, ns[blocks / 2]);
	close_port(&b);
}

/* bench_txpath [WAY BYTES [BLOCKS]]: one alone, for callgrind. */
int main(int argc, char **argv)
{
	static const struct way ways[] = {{"vector", PORT_RX_IPV4_CHECKSUM | PORT_RX_TCP_CHECKSUM},
		{"offload", PORT_OFFLOADS_ALL},
		{"segments", PORT_RX_IPV4_CHECKSUM | PORT_RX_TCP_CHECKSUM | PORT_TX_MULTI_SEGMENT}};
	static const unsigned sizes[] = {65, 512, 1448};
	const struct eal_options eal = {.program = "bench", .memory_mb = 256, .data_cores = 1};
	unsigned blocks = argc > 3 ? (unsigned)atoi(argv[3]) : BLOCKS;
	char error[512];

	if (blocks < 1 || blocks > BLOCKS || dpdk_eal_start(&eal, error, sizeof(error)))
		return 1;
	for (unsigned s = 0; s < RTE_DIM(sizes); s++)
		for (unsigned w = 0; w < RTE_DIM(ways); w++)
			if (argc < 3 ||
				(!strcmp(argv[1], ways[w].name) && (unsigned)atoi(argv[2]) == sizes[s]))
				run(&ways[w], sizes[s], blocks);
	dpdk_eal_stop();
	return 0;
}
