/* SPDX-License-Identifier: Apache-2.0 */
/* The unmodified driver on the model, by ethdev's calls: what goes wrong, what is counted, what interrupts.
 */
#include "tests/ixgbe_model/test_port.h"

#include <unistd.h>

static void test_statistics_add_up(void)
{
	struct test_port p;
	struct rte_mbuf *out[TP_BURST];
	struct rte_eth_stats s;
	uint8_t frame[60] = {2, 0, 0, 0, 0, 1};

	tp_open_loop(&p, 1, (struct test_port_options){0});
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned i = 0; i < TP_BURST; i++)
			out[i] = tp_frame(p.mac, 100, i, 2048);
		tp_send(&p, 0, out, TP_BURST);
		CU_ASSERT_EQUAL(tp_drain(&p, 0), TP_BURST);
		CU_ASSERT_EQUAL(rte_eth_stats_get(p.id, &s), 0);
		CU_ASSERT_EQUAL(s.opackets, round * TP_BURST);
		CU_ASSERT_EQUAL(s.obytes, round * TP_BURST * 100);
		CU_ASSERT_EQUAL(s.ipackets, round * TP_BURST);
		CU_ASSERT_EQUAL(s.ibytes, round * TP_BURST * 100);
		CU_ASSERT_EQUAL(s.ierrors + s.imissed, 0);
	}
	ixm_inject_damaged(p.device, frame, sizeof(frame));
	ixm_inject(p.device, frame, 59);
	ixm_settle();
	rte_eth_stats_get(p.id, &s);
	CU_ASSERT_EQUAL(s.ierrors, 2);
	CU_ASSERT_EQUAL(rte_eth_stats_reset(p.id), 0);
	rte_eth_stats_get(p.id, &s);
	CU_ASSERT_EQUAL(s.ipackets + s.opackets + s.ierrors, 0);
	tp_close(&p);
}

static void test_faults_are_shown(void)
{
	struct test_port p;
	struct rte_mbuf *in[TP_ROOM], *out[TP_BURST];
	struct rte_eth_stats s;
	uint8_t frame[100] = {2, 0, 0, 0, 0, 1};

	tp_open_loop(&p, 1, (struct test_port_options){.descriptors = 64});
	/* No descriptor: frames wait in the packet buffer, until that is full. */
	ixm_faults_set(p.device, &(struct ixm_faults){.rx_stuck = true});
	unsigned fit = 0;
	while (ixm_inject(p.device, frame, sizeof(frame)))
		fit++;
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 0);
	rte_eth_stats_get(p.id, &s);
	CU_ASSERT_EQUAL(s.imissed, 1);
	ixm_faults_set(p.device, &(struct ixm_faults){0});
	CU_ASSERT_EQUAL(tp_drain(&p, 0), fit);
	/* A length that is not true. */
	ixm_faults_set(p.device, &(struct ixm_faults){.rx_length = 777});
	ixm_inject(p.device, frame, sizeof(frame));
	CU_ASSERT_EQUAL_FATAL(tp_receive(&p, 0, in), 1);
	CU_ASSERT_EQUAL(in[0]->pkt_len, 777);
	rte_pktmbuf_free(in[0]);
	/* Nothing leaves; then it does. */
	ixm_faults_set(p.device, &(struct ixm_faults){.tx_stuck = true});
	for (unsigned i = 0; i < TP_BURST; i++)
		out[i] = tp_frame(p.mac, 60, i, 2048);
	CU_ASSERT_EQUAL(rte_eth_tx_burst(p.id, 0, out, TP_BURST), TP_BURST);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 0);
	ixm_faults_set(p.device, &(struct ixm_faults){.link_down = true});
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 0);
	ixm_faults_set(p.device, &(struct ixm_faults){0});
	CU_ASSERT_EQUAL(tp_drain(&p, 0), TP_BURST);
	tp_close(&p);
}

/* Where a queue drops, one that nobody serves does not hold up the others. */
static void test_a_full_ring_drops_where_it_is_told_to(void)
{
	for (unsigned drop = 0; drop < 2; drop++) {
		struct test_port p;
		struct rte_eth_stats s;
		uint8_t frame[60] = {2, 0, 0, 0, 0, 1};

		tp_open_loop(&p, 1, (struct test_port_options){.descriptors = 64, .drop = drop});
		for (unsigned i = 0; i < 100; i++)
			ixm_inject(p.device, frame, sizeof(frame));
		ixm_settle();
		rte_eth_stats_get(p.id, &s);
		CU_ASSERT_EQUAL(tp_count(&p).rx_no_descriptor, drop ? 100 - 63 : 0);
		CU_ASSERT_EQUAL(s.q_errors[0], drop ? 100 - 63 : 0);
		CU_ASSERT_EQUAL(tp_drain(&p, 0), drop ? 63 : 100);
		tp_close(&p);
	}
}

static void test_receive_interrupts(void)
{
	struct test_port p;
	uint8_t frame[60] = {2, 0, 0, 0, 0, 1};
	uint64_t n;

	tp_open_loop(&p, 1, (struct test_port_options){.interrupts = true});
	int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(p.id, 0);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(p.id, 0), 0);
	ixm_settle();
	CU_ASSERT(read(fd, &n, sizeof(n)) < 0);
	ixm_inject(p.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(read(fd, &n, sizeof(n)), sizeof(n));
	/* It has masked itself. */
	ixm_inject(p.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT(read(fd, &n, sizeof(n)) < 0);
	CU_ASSERT_EQUAL(rte_eth_dev_rx_intr_enable(p.id, 0), 0);
	ixm_settle();
	CU_ASSERT_EQUAL(read(fd, &n, sizeof(n)), sizeof(n));
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 2);
	tp_close(&p);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"statistics_add_up", test_statistics_add_up},
		{"faults_are_shown", test_faults_are_shown},
		{"a_full_ring_drops_where_it_is_told_to", test_a_full_ring_drops_where_it_is_told_to},
		{"receive_interrupts", test_receive_interrupts},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
