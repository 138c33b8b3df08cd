/* SPDX-License-Identifier: Apache-2.0 */
/* The families of parts that net_ixgbe drives: what the driver says that each can do (the table in
 * dpdk_port/README.md), and our port over each of them. */
#include "dpdk_port/eal.h"
#include "tests/ixgbe_model/port_fixture.h"

#include <errno.h>
#include <poll.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CORES = 3, FLOWS = 255 };

struct family {
	const char *name;
	enum ixm_part_name part;
	unsigned rx_queues, tx_queues, table, macs;
	bool spreads; /* the driver gives the device's hash our key */
	bool lro, macsec;
	uint32_t speeds;
};

static const uint32_t ten_and_one = RTE_ETH_LINK_SPEED_1G | RTE_ETH_LINK_SPEED_10G;

static const struct family families[] = {
	{"82598", IXM_82598, 64, 32, 128, 16, false, false, false, ten_and_one},
	{"82599", IXM_82599, 128, 64, 128, 128, true, true, true, ten_and_one},
	{"X540", IXM_X540, 128, 64, 128, 128, true, true, true, ten_and_one | RTE_ETH_LINK_SPEED_100M},
	{"X550", IXM_X550, 128, 64, 512, 128, true, true, false,
		ten_and_one | RTE_ETH_LINK_SPEED_100M | RTE_ETH_LINK_SPEED_2_5G | RTE_ETH_LINK_SPEED_5G},
};

/* Where the medium is fibre the driver trains a link that is down in a thread of its own, and calls it down
 * until that is over. */
static struct port_link link_settled(struct port_bench *b, bool up)
{
	struct port_link link = {0};

	for (unsigned ms = 0; ms < 5000; ms++) {
		ixm_settle();
		link = port_link(b->port);
		if (link.up == up)
			break;
		usleep(1000);
	}
	return link;
}

static void family_open(struct port_bench *b, const struct family *f, struct port_config c)
{
	pf_device_open(b, 0, (struct ixm_config){.part = f->part}, c);
	CU_ASSERT_TRUE_FATAL(link_settled(b, true).up);
}

static void test_limits(void)
{
	for (unsigned i = 0; i < RTE_DIM(families); i++) {
		const struct family *f = &families[i];
		struct port_bench b;
		struct rte_eth_dev_info info;

		family_open(&b, f, (struct port_config){0});
		CU_ASSERT_EQUAL(rte_eth_dev_info_get(ixm_port_id(b.device), &info), 0);
		CU_ASSERT_STRING_EQUAL(info.driver_name, "net_ixgbe");
		CU_ASSERT_EQUAL(info.max_rx_queues, f->rx_queues);
		CU_ASSERT_EQUAL(info.max_tx_queues, f->tx_queues);
		CU_ASSERT_EQUAL(info.reta_size, f->table);
		CU_ASSERT_EQUAL(info.hash_key_size, 40);
		CU_ASSERT_EQUAL(info.max_mac_addrs, f->macs);
		CU_ASSERT_EQUAL(info.max_mtu, 15872 - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN);
		CU_ASSERT_EQUAL(info.speed_capa, f->speeds);
		CU_ASSERT_EQUAL(info.tx_desc_lim.nb_max, 4096);
		CU_ASSERT_EQUAL(info.tx_desc_lim.nb_mtu_seg_max, 40);
		CU_ASSERT_EQUAL((info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO) != 0, f->lro);
		CU_ASSERT_EQUAL((info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MACSEC_INSERT) != 0, f->macsec);
		CU_ASSERT(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_FILTER);
		pf_close(&b);
	}
}

static void test_a_port_on_each(void)
{
	for (unsigned i = 0; i < RTE_DIM(families); i++) {
		struct port_bench b;

		family_open(&b, &families[i],
			(struct port_config){.queues = CORES,
				.rx_descriptors = 64,
				.offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO});
		const struct port_info *info = port_info(b.port);
		CU_ASSERT_EQUAL(memcmp(info->mac, pf_device_mac, 6), 0);
		CU_ASSERT_EQUAL(info->offloads, PORT_OFFLOADS_ALL | PORT_TX_TSO);
		CU_ASSERT_EQUAL(info->device_queues, CORES);
		CU_ASSERT_EQUAL(info->rss, families[i].spreads);
		CU_ASSERT_FALSE(info->promiscuous);
		CU_ASSERT_EQUAL(port_link(b.port).speed_mbps, 10000);
		ixm_faults_set(b.device, &(struct ixm_faults){.link_down = true});
		CU_ASSERT_FALSE(link_settled(&b, false).up);
		ixm_faults_set(b.device, &(struct ixm_faults){0});
		CU_ASSERT_TRUE(link_settled(&b, true).up);
		pf_close(&b);
	}
}

static void test_a_broken_eeprom_is_refused(void)
{
	for (unsigned i = 0; i < RTE_DIM(families); i++) {
		const struct ixm_config c = {
			.part = families[i].part, .address = pf_address, .eeprom_broken = true};
		char error[256] = "";
		struct ixm *m;

		pf_eal();
		CU_ASSERT_EQUAL(ixm_open(&c, &m, error, sizeof(error)), -ENODEV);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "gave up"));
	}
}

/* A 10GBASE-T port goes to sleep with its driver, and the other end sees it. */
static void test_a_stopped_port_lets_its_link_go(void)
{
	static const enum ixm_part_name parts[] = {IXM_X540, IXM_X550};

	for (unsigned i = 0; i < RTE_DIM(parts); i++) {
		struct port_bench a, b;

		pf_device_open(&a, 0, (struct ixm_config){.part = parts[i]}, (struct port_config){0});
		pf_device_open(&b, 1, (struct ixm_config){.part = parts[i]}, (struct port_config){0});
		ixm_wire_join(a.device, b.device);
		CU_ASSERT_TRUE(link_settled(&b, true).up);
		CU_ASSERT_EQUAL(rte_eth_dev_stop(ixm_port_id(a.device)), 0);
		CU_ASSERT_FALSE(link_settled(&b, false).up);
		CU_ASSERT_EQUAL(rte_eth_dev_start(ixm_port_id(a.device)), 0);
		CU_ASSERT_TRUE(link_settled(&b, true).up);
		pf_close(&b);
		pf_close(&a);
	}
}

static unsigned drain_all(struct port_bench *b)
{
	unsigned total = 0;

	for (unsigned round = 0; round < 2; round++)
		for (unsigned core = 0; core < CORES; core++)
			total += pf_drain(b, core);
	return total;
}

/* Whatever the device does with them, each flow's frames come, and the device has counted them. */
static void test_flows_reach_their_cores(void)
{
	for (unsigned i = 0; i < RTE_DIM(families); i++) {
		struct port_bench b;
		struct port_counters sum;
		struct port_device_counters device;
		unsigned got = 0;

		family_open(&b, &families[i],
			(struct port_config){
				.queues = CORES, .rx_descriptors = 64, .offloads = PORT_OFFLOADS_ALL});
		for (unsigned k = 0; k < FLOWS; k++) {
			struct test_packet p = pf_flow(k);
			struct rte_mbuf *m = pf_frame(&b, &p);
			pf_send(&b, k % CORES, &m, 1);
			if (k % 15 == 14)
				got += drain_all(&b);
		}
		CU_ASSERT_EQUAL(got, FLOWS);
		port_counters(b.port, &sum);
		CU_ASSERT_EQUAL(sum.spread_given > 0, !families[i].spreads);
		CU_ASSERT_EQUAL(sum.spread_full, 0);
		CU_ASSERT_EQUAL(port_device_counters(b.port, &device), 0);
		CU_ASSERT_EQUAL(device.rx_frames, FLOWS);
		CU_ASSERT_EQUAL(device.tx_frames, FLOWS);
		CU_ASSERT_EQUAL(device.tx_bytes, sum.tx_bytes);
		CU_ASSERT_EQUAL(device.rx_bytes, sum.rx_bytes);
		CU_ASSERT_EQUAL(device.rx_errors + device.tx_errors + device.rx_missed, 0);
		pf_close(&b);
	}
}

/* The device cuts it and sums it. */
static void large_send(struct port_bench *b, unsigned payload, unsigned piece)
{
	struct test_packet p = pf_flow(1);
	struct rte_mbuf *in[PORT_BURST];
	unsigned bytes = 0, frames = 0;

	p.payload = payload;
	struct rte_mbuf *m = pf_frame(b, &p);
	m->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM |
		      RTE_MBUF_F_TX_TCP_CKSUM;
	m->l2_len = 14;
	m->l3_len = m->l4_len = 20;
	m->tso_segsz = (uint16_t)piece;
	rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->hdr_checksum = 0;
	pf_send(b, 0, &m, 1);
	for (unsigned n; (n = port_rx(b->port, 0, in, PORT_BURST)) > 0; frames += n) {
		for (unsigned k = 0; k < n; k++) {
			CU_ASSERT_TRUE(test_packet_right(rte_pktmbuf_mtod(in[k], uint8_t *), in[k]->pkt_len));
			CU_ASSERT_EQUAL(
				in[k]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
			bytes += in[k]->pkt_len - 54;
		}
		rte_pktmbuf_free_bulk(in, n);
		ixm_settle();
	}
	CU_ASSERT_EQUAL(bytes, payload);
	CU_ASSERT_EQUAL(frames, (payload + piece - 1) / piece);
}

static void test_large_sends_and_large_frames(void)
{
	for (unsigned i = 0; i < RTE_DIM(families); i++) {
		struct port_bench b;
		struct test_packet p = pf_flow(1);
		struct rte_mbuf *in[PORT_BURST];

		family_open(&b, &families[i],
			(struct port_config){.mtu = 9000, .offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO});
		large_send(&b, 8000, 1448);
		p.payload = 9000 - 40;
		struct rte_mbuf *m = pf_frame(&b, &p);
		pf_send(&b, 0, &m, 1);
		CU_ASSERT_EQUAL_FATAL(port_rx(b.port, 0, in, PORT_BURST), 1);
		CU_ASSERT_EQUAL(in[0]->pkt_len, 9014);
		rte_pktmbuf_free(in[0]);
		pf_close(&b);
	}
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void test_a_sleeping_core_is_woken(void)
{
	for (unsigned i = 0; i < RTE_DIM(families); i++) {
		struct port_bench b;
		uint8_t frame[60] = {0};

		family_open(&b, &families[i], (struct port_config){.wait_on_fd = true});
		memcpy(frame, pf_device_mac, 6);
		int fd = port_rx_fd(b.port, 0);
		CU_ASSERT_FATAL(fd >= 0);
		CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), 0);
		ixm_settle();
		CU_ASSERT_FALSE(readable(fd));
		ixm_inject(b.device, frame, sizeof(frame));
		ixm_settle();
		CU_ASSERT_TRUE(readable(fd));
		port_rx_disarm(b.port, 0);
		CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
		pf_close(&b);
	}
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"limits", test_limits},
		{"a_port_on_each", test_a_port_on_each},
		{"a_broken_eeprom_is_refused", test_a_broken_eeprom_is_refused},
		{"a_stopped_port_lets_its_link_go", test_a_stopped_port_lets_its_link_go},
		{"flows_reach_their_cores", test_flows_reach_their_cores},
		{"large_sends_and_large_frames", test_large_sends_and_large_frames},
		{"a_sleeping_core_is_woken", test_a_sleeping_core_is_woken},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
