/* SPDX-License-Identifier: Apache-2.0 */
/* dpdk_port over the driver and the model: what port_open makes of an 82599, on one queue and on many. */
#include "dpdk_port/eal.h"
#include "tests/ixgbe_model/port_fixture.h"
#include "tests/ixgbe_model/test_port.h"

#include <rte_ethdev.h>
#include <string.h>

static void test_open_says_what_it_is(void)
{
	struct port_bench b;

	pf_open(&b, (struct port_config){.offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO});
	const struct port_info *i = port_info(b.port);
	CU_ASSERT_STRING_EQUAL(i->driver, "net_ixgbe");
	CU_ASSERT_STRING_EQUAL(i->device, pf_address);
	CU_ASSERT_EQUAL(memcmp(i->mac, pf_device_mac, 6), 0);
	CU_ASSERT_EQUAL(i->offloads, PORT_OFFLOADS_ALL | PORT_TX_TSO);
	CU_ASSERT_EQUAL(i->device_offloads, PORT_OFFLOADS_ALL | PORT_TX_TSO);
	CU_ASSERT_EQUAL(i->tx_segments_max, 40);
	CU_ASSERT_FALSE(i->promiscuous);
	CU_ASSERT_TRUE(port_link(b.port).up);
	CU_ASSERT_EQUAL(port_link(b.port).speed_mbps, 10000);
	pf_close(&b);
}

/* What reaches each core is its own, all of it. Returns how many frames that were. */
static unsigned own_frames(struct port_bench *b, unsigned cores)
{
	struct rte_mbuf *frames[PORT_BURST];
	unsigned total = 0;

	for (unsigned core = 0; core < cores; core++)
		for (unsigned idle = 0; idle < 2; idle++) {
			unsigned n = port_rx(b->port, core, frames, PORT_BURST);
			for (unsigned i = 0; i < n; i++) {
				uint32_t mark;
				memcpy(&mark,
					rte_pktmbuf_mtod_offset(frames[i], uint8_t *, frames[i]->pkt_len - 4),
					4);
				struct test_packet p = pf_flow(mark);
				CU_ASSERT_EQUAL(pf_owner(b, &p), core);
			}
			rte_pktmbuf_free_bulk(frames, n);
			ixm_settle();
			total += n;
			if (n)
				idle = 0;
		}
	return total;
}

/* The device's hash, key and table agree with ours on each flow: no frame has to change cores where each core
 * has a queue of the device, whichever core sends. Beyond 16 queues rings help. */
static void test_queues_share_the_flows(void)
{
	static const unsigned counts[] = {1, 4, 16, 20};
	enum { FLOWS = 512 };

	for (unsigned c = 0; c < RTE_DIM(counts); c++) {
		struct port_bench b;
		struct port_counters sum;
		struct port_device_counters device;
		unsigned got = 0, spread[20] = {0};

		pf_open(&b, (struct port_config){.queues = counts[c], .rx_descriptors = 64});
		CU_ASSERT_EQUAL(port_info(b.port)->device_queues, RTE_MIN(counts[c], 16u));
		CU_ASSERT_EQUAL(port_info(b.port)->rss, counts[c] > 1);
		for (unsigned i = 0; i < FLOWS; i++) {
			struct test_packet p = pf_flow(i);
			struct rte_mbuf *m = pf_frame(&b, &p);
			spread[pf_owner(&b, &p)]++;
			pf_send(&b, i % RTE_MIN(counts[c], 16u), &m, 1);
			if (i % 16 == 15)
				got += own_frames(&b, counts[c]) + own_frames(&b, counts[c]);
		}
		CU_ASSERT_EQUAL(got, FLOWS);
		for (unsigned q = 0; q < counts[c]; q++)
			CU_ASSERT(spread[q] > FLOWS / counts[c] / 5);
		port_counters(b.port, &sum);
		CU_ASSERT_EQUAL(sum.rx_frames, FLOWS);
		CU_ASSERT_EQUAL(sum.spread_given > 0, counts[c] > 16);
		CU_ASSERT_EQUAL(sum.spread_full, 0);
		CU_ASSERT_EQUAL(port_device_counters(b.port, &device), 0);
		CU_ASSERT_EQUAL(device.rx_frames, FLOWS);
		CU_ASSERT_EQUAL(device.tx_frames, FLOWS);
		CU_ASSERT_EQUAL(device.rx_missed + device.rx_errors, 0);
		pf_close(&b);
	}
}

static void test_a_mac_of_our_own(void)
{
	struct port_bench b;
	uint8_t frame[60] = {2, 7, 7, 7, 7, 7};

	pf_open(&b, (struct port_config){.mac = {2, 7, 7, 7, 7, 7}});
	CU_ASSERT_FALSE(port_info(b.port)->promiscuous);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	memcpy(frame, pf_device_mac, 6);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 0);
	memcpy(frame, (uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 6);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 0);
	CU_ASSERT_EQUAL(port_take_groups(b.port, NULL, 0), 0);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	pf_close(&b);
}

static void test_long_frames(void)
{
	struct port_bench b;
	struct test_packet p = pf_flow(1);

	pf_open(&b, (struct port_config){.mtu = 9000});
	p.payload = 9000 - 40;
	struct rte_mbuf *m = pf_frame(&b, &p), *in[PORT_BURST];
	pf_send(&b, 0, &m, 1);
	CU_ASSERT_EQUAL_FATAL(port_rx(b.port, 0, in, PORT_BURST), 1);
	CU_ASSERT_EQUAL(in[0]->pkt_len, 9014);
	CU_ASSERT_TRUE(test_packet_right(rte_pktmbuf_mtod(in[0], uint8_t *), in[0]->pkt_len));
	rte_pktmbuf_free(in[0]);
	pf_close(&b);
}

static void test_thresholds_are_the_drivers_unless_told(void)
{
	static const struct port_config told = {
		.rx_free_threshold = 64, .tx_free_threshold = 128, .tx_rs_threshold = 16};
	struct rte_eth_rxq_info rx;
	struct rte_eth_txq_info tx;
	struct port_bench b;

	for (unsigned i = 0; i < 2; i++) {
		pf_open(&b, i ? told : (struct port_config){0});
		CU_ASSERT_EQUAL(rte_eth_rx_queue_info_get(ixm_port_id(b.device), 0, &rx), 0);
		CU_ASSERT_EQUAL(rte_eth_tx_queue_info_get(ixm_port_id(b.device), 0, &tx), 0);
		CU_ASSERT_EQUAL(rx.conf.rx_free_thresh, i ? 64 : 32);
		CU_ASSERT_EQUAL(tx.conf.tx_free_thresh, i ? 128 : 32);
		CU_ASSERT_EQUAL(tx.conf.tx_rs_thresh, i ? 16 : 32);
		struct test_packet p = pf_flow(1);
		struct rte_mbuf *m = pf_frame(&b, &p);
		pf_send(&b, 0, &m, 1);
		CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
		pf_close(&b);
	}
}

static void test_thresholds_that_do_not_fit_are_refused(void)
{
	const struct ixm_config device = {.address = pf_address, .mac = {2, 0, 0, 0, 3, 1}};
	const struct port_config c = {
		.device = pf_address, .queues = 1, .tx_descriptors = 512, .tx_rs_threshold = 500};
	struct port *p;
	struct ixm *m;
	char error[512];

	pf_eal();
	CU_ASSERT_EQUAL_FATAL(ixm_open(&device, &m, error, sizeof(error)), 0);
	CU_ASSERT_NOT_EQUAL(port_open(&c, &p, error, sizeof(error)), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "TX queue 0 with 512 descriptors is refused"));
	ixm_close(m);
}

/* The vector path sends only what asks for nothing at all, and then it is the port's choice. */
static void test_offloads_decide_how_frames_are_sent(void)
{
	static const struct {
		uint32_t offloads;
		const char *tx_path;
	} cases[] = {
		{0, "vector"},
		{PORT_RX_IPV4_CHECKSUM | PORT_RX_TCP_CHECKSUM, "vector"},
		{PORT_TX_MULTI_SEGMENT, "scalar"},
		{PORT_OFFLOADS_ALL, "scalar"},
	};
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		struct port_bench b;
		pf_open(&b, (struct port_config){.offloads = cases[i].offloads});
		const struct test_port t = {.id = ixm_port_id(b.device)};
		CU_ASSERT_STRING_EQUAL(tp_tx_path(&t), cases[i].tx_path);
		CU_ASSERT_STRING_EQUAL(tp_rx_path(&t), "vector");
		pf_close(&b);
	}
}

/* The device takes nothing more: frames wait, are refused, and in the end given up. */
static void test_a_stuck_device(void)
{
	struct port_bench b;
	struct test_packet p = pf_flow(1);
	struct port_counters c;
	unsigned taken = PORT_BURST;

	pf_open(&b, (struct port_config){.tx_descriptors = 64});
	ixm_faults_set(b.device, &(struct ixm_faults){.tx_stuck = true});
	while (taken == PORT_BURST) {
		struct rte_mbuf *out[PORT_BURST];
		for (unsigned i = 0; i < PORT_BURST; i++)
			out[i] = pf_frame(&b, &p);
		taken = port_tx(b.port, 0, out, PORT_BURST);
		rte_pktmbuf_free_bulk(out + taken, PORT_BURST - taken);
	}
	port_tx_flush(b.port, 0, 1); /* clears what was sent since */
	CU_ASSERT_EQUAL(port_tx_flush(b.port, 0, 1000), PORT_TX_WAITING);
	CU_ASSERT_EQUAL(port_tx_flush(b.port, 0, 1000 + PORT_TX_STUCK_US), 0);
	port_counters(b.port, &c);
	CU_ASSERT_EQUAL(c.tx_stuck, PORT_TX_WAITING);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(b.frames), c.tx_frames);
	pf_close(&b);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"open_says_what_it_is", test_open_says_what_it_is},
		{"queues_share_the_flows", test_queues_share_the_flows},
		{"a_mac_of_our_own", test_a_mac_of_our_own},
		{"long_frames", test_long_frames},
		{"thresholds_are_the_drivers_unless_told", test_thresholds_are_the_drivers_unless_told},
		{"thresholds_that_do_not_fit_are_refused", test_thresholds_that_do_not_fit_are_refused},
		{"offloads_decide_how_frames_are_sent", test_offloads_decide_how_frames_are_sent},
		{"a_stuck_device", test_a_stuck_device},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
