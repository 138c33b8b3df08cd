/* SPDX-License-Identifier: Apache-2.0 */
/* Our port over a VF, which gets what its host gives it: queues, MAC, longest frame, groups. */
#include "dpdk_port/eal.h"
#include "tests/ixgbe_model/port_fixture.h"

#include <errno.h>
#include <poll.h>
#include <rte_ethdev.h>
#include <string.h>
#include <unistd.h>

static const struct ixm_config vf = {.part = IXM_82599_VF}, x540_vf = {.part = IXM_X540_VF};

static void says(struct ixm_config device)
{
	struct port_bench b;
	struct rte_eth_dev_info info;

	pf_device_open(&b, 0, device, (struct port_config){.offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO});
	CU_ASSERT_EQUAL(rte_eth_dev_info_get(ixm_port_id(b.device), &info), 0);
	CU_ASSERT_EQUAL(info.max_rx_queues, 1);
	CU_ASSERT_EQUAL(info.max_tx_queues, 1);
	CU_ASSERT_EQUAL(info.reta_size, 0);
	CU_ASSERT_EQUAL(info.max_mtu, 9710);
	CU_ASSERT_EQUAL(info.max_mac_addrs, 128);
	CU_ASSERT_FALSE(info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TCP_LRO);
	const struct port_info *i = port_info(b.port);
	CU_ASSERT_STRING_EQUAL(i->driver, "net_ixgbe_vf");
	CU_ASSERT_EQUAL(memcmp(i->mac, pf_device_mac, 6), 0);
	CU_ASSERT_EQUAL(i->offloads, PORT_OFFLOADS_ALL | PORT_TX_TSO);
	CU_ASSERT_EQUAL(i->tx_segments_max, 40);
	CU_ASSERT_FALSE(i->promiscuous);
	CU_ASSERT_TRUE(port_link(b.port).up);
	CU_ASSERT_EQUAL(port_link(b.port).speed_mbps, 10000);
	pf_close(&b);
}

static void test_what_the_driver_says(void)
{
	says(vf);
	says(x540_vf);
}

static unsigned taken(struct port_bench *b, const uint8_t mac[6])
{
	uint8_t frame[60] = {[12] = 0x88, 0xb5};

	memcpy(frame, mac, 6);
	ixm_inject(b->device, frame, sizeof(frame));
	ixm_settle();
	return pf_drain(b, 0);
}

static void test_a_mac_is_the_hosts_or_made_up(void)
{
	static const uint8_t other[6] = {2, 9, 9, 9, 9, 9}, all[6] = {255, 255, 255, 255, 255, 255};
	struct ixm_config nameless = vf;
	struct port_bench b;

	nameless.host.mac_unset = true;
	for (unsigned i = 0; i < 2; i++) {
		pf_device_open(&b, 0, i ? nameless : vf, (struct port_config){0});
		CU_ASSERT_EQUAL(memcmp(port_info(b.port)->mac, pf_device_mac, 6) != 0, i == 1);
		CU_ASSERT_EQUAL(taken(&b, port_info(b.port)->mac), 1);
		CU_ASSERT_EQUAL(taken(&b, other), 0);
		CU_ASSERT_EQUAL(taken(&b, all), 1);
		pf_close(&b);
	}
}

static int port_refused(struct ixm_config device, struct port_config c, char *error, size_t bytes)
{
	struct port *p;
	struct ixm *m;

	pf_eal();
	device.address = pf_address;
	memcpy(device.mac, pf_device_mac, 6);
	CU_ASSERT_EQUAL_FATAL(ixm_open(&device, &m, error, bytes), 0);
	c.device = pf_address;
	c.queues = c.queues ? c.queues : 1;
	int rc = port_open(&c, &p, error, bytes);
	CU_ASSERT_NOT_EQUAL_FATAL(rc, 0);
	ixm_close(m);
	return rc;
}

/* The driver does not say that the host has refused. */
static void test_a_mac_of_our_own_needs_the_hosts_leave(void)
{
	static const struct port_config own = {.mac = {2, 7, 7, 7, 7, 7}};
	struct ixm_config trusted = vf, nameless = vf;
	struct port_bench b;
	char error[512];

	port_refused(vf, own, error, sizeof(error));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "host"));
	trusted.host.trusted = nameless.host.mac_unset = true;
	for (unsigned i = 0; i < 2; i++) {
		pf_device_open(&b, 0, i ? nameless : trusted, own);
		CU_ASSERT_FALSE(port_info(b.port)->promiscuous);
		CU_ASSERT_EQUAL(taken(&b, own.mac), 1);
		pf_close(&b);
	}
}

/* What the hash of the PF, whose key nobody tells us, does with frames is put right by rings. A VF can only
 * have 1, 2 or 4 of the queues that it is given. */
static void test_queues_are_those_that_the_host_gives(void)
{
	enum { FLOWS = 128 };
	static const struct {
		unsigned given, cores, used;
	} cases[] = {{1, 1, 1}, {1, 4, 1}, {2, 2, 2}, {4, 3, 2}, {4, 4, 4}, {4, 6, 4}};

	for (unsigned c = 0; c < RTE_DIM(cases); c++) {
		struct ixm_config device = vf;
		struct port_bench b;
		struct port_device_counters counted;
		unsigned got = 0;

		device.host.queues = cases[c].given;
		pf_device_open(
			&b, 0, device, (struct port_config){.queues = cases[c].cores, .rx_descriptors = 64});
		CU_ASSERT_EQUAL(port_info(b.port)->device_queues, cases[c].used);
		CU_ASSERT_FALSE(port_info(b.port)->rss);
		for (unsigned i = 0; i < FLOWS; i++) {
			struct test_packet p = pf_flow(i);
			struct rte_mbuf *m = pf_frame(&b, &p);
			pf_send(&b, i % cases[c].used, &m, 1);
			for (unsigned core = 0; i % 16 == 15 && core < 2 * cases[c].cores; core++)
				got += pf_drain(&b, core % cases[c].cores);
		}
		CU_ASSERT_EQUAL(got, FLOWS);
		CU_ASSERT_EQUAL(port_device_counters(b.port, &counted), 0);
		CU_ASSERT_EQUAL(counted.rx_frames, FLOWS);
		CU_ASSERT_EQUAL(counted.tx_frames, FLOWS);
		pf_close(&b);
	}
}

static void longest_frame_goes(struct ixm_config device, unsigned mtu)
{
	struct port_bench b;
	struct test_packet p = pf_flow(1);
	struct rte_mbuf *in[PORT_BURST];

	pf_device_open(&b, 0, device, (struct port_config){.mtu = mtu});
	p.payload = mtu - 40;
	struct rte_mbuf *m = pf_frame(&b, &p);
	pf_send(&b, 0, &m, 1);
	CU_ASSERT_EQUAL_FATAL(port_rx(b.port, 0, in, PORT_BURST), 1);
	CU_ASSERT_EQUAL(in[0]->pkt_len, mtu + 14);
	rte_pktmbuf_free(in[0]);
	pf_close(&b);
}

static void test_an_82599_has_long_frames_for_all_or_none(void)
{
	struct ixm_config jumbo = vf;
	char error[512];

	port_refused(vf, (struct port_config){.mtu = 9000}, error, sizeof(error));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "MTU 9000 is refused"));
	longest_frame_goes(vf, 1500);
	jumbo.host.mtu = 9000;
	longest_frame_goes(jumbo, 1500);
	longest_frame_goes(jumbo, 9000);
	longest_frame_goes(x540_vf, 1500);
	longest_frame_goes(x540_vf, 9000);
}

/* A host that does not trust the VF says yes to all groups, and gives it those that it lists. */
static void test_all_groups_are_for_the_trusted(void)
{
	static const uint8_t ours[2][6] = {{0x33, 0x33, 0, 0, 0, 1}, {0x33, 0x33, 0xff, 1, 2, 3}};
	static const uint8_t other[6] = {0x33, 0x33, 0xff, 1, 0x99, 3};

	for (unsigned trusted = 0; trusted < 2; trusted++) {
		struct ixm_config device = vf;
		struct port_bench b;

		device.host.trusted = trusted;
		pf_device_open(&b, 0, device, (struct port_config){0});
		CU_ASSERT_EQUAL(taken(&b, ours[0]), 0);
		CU_ASSERT_EQUAL(port_take_groups(b.port, ours, 2), 0);
		CU_ASSERT_EQUAL(taken(&b, ours[0]), 1);
		CU_ASSERT_EQUAL(taken(&b, ours[1]), 1);
		CU_ASSERT_EQUAL(taken(&b, other), trusted);
		pf_close(&b);
	}
}

static void test_tags_are_filtered(void)
{
	struct port_bench b;
	uint8_t frame[64] = {[12] = 0x81, 0, 0, 42, 0x88, 0xb5};

	pf_device_open(&b, 0, vf, (struct port_config){0});
	memcpy(frame, pf_device_mac, 6);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 0);
	pf_close(&b);
}

static void test_the_host_looks_where_frames_come_from(void)
{
	struct ixm_config device = vf;
	struct port_bench b;
	struct ixm_counters count;
	struct test_packet p = pf_flow(1); /* from a foreign MAC */

	device.host.spoof_check = true;
	pf_device_open(&b, 0, device, (struct port_config){0});
	for (unsigned i = 0; i < 2; i++) {
		struct rte_mbuf *m = pf_frame(&b, &p);
		if (i)
			memcpy(rte_pktmbuf_mtod_offset(m, void *, 6), pf_device_mac, 6);
		pf_send(&b, 0, &m, 1);
		CU_ASSERT_EQUAL(pf_drain(&b, 0), i);
	}
	ixm_counters(b.device, &count);
	CU_ASSERT_EQUAL(count.tx_spoofed, 1);
	pf_close(&b);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* All queues of a VF share one interrupt: a core that is alone sleeps until it comes, several sleep shortly.
 */
static void test_one_interrupt(void)
{
	struct ixm_config device = vf;
	struct port_bench b;

	pf_device_open(&b, 0, vf, (struct port_config){.wait_on_fd = true});
	int fd = port_rx_fd(b.port, 0);
	CU_ASSERT_FATAL(fd >= 0);
	for (unsigned round = 0; round < 3; round++) {
		uint8_t frame[60] = {0};
		memcpy(frame, pf_device_mac, 6);
		CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), 0);
		ixm_settle();
		CU_ASSERT_FALSE(readable(fd));
		ixm_inject(b.device, frame, sizeof(frame));
		ixm_settle();
		CU_ASSERT_TRUE(readable(fd));
		port_rx_disarm(b.port, 0);
		CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	}
	pf_close(&b);
	device.host.queues = 4;
	pf_device_open(&b, 0, device, (struct port_config){.queues = 4, .wait_on_fd = true});
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(port_rx_fd(b.port, i), -1);
	pf_close(&b);
}

static void frame_goes(struct port_bench *from, struct port_bench *to)
{
	struct test_packet p = pf_flow(1);
	uint8_t bytes[2000];
	struct rte_mbuf *m = rte_pktmbuf_alloc(from->frames);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	unsigned n = test_packet_write(bytes, port_info(to->port)->mac, &p);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), bytes, n);
	pf_send(from, 0, &m, 1);
	CU_ASSERT_EQUAL(pf_drain(to, 0), 1);
}

static void test_a_vf_and_a_pf_on_one_cable(void)
{
	static const enum ixm_part_name others[] = {IXM_82599, IXM_82599_VF};

	for (unsigned i = 0; i < RTE_DIM(others); i++) {
		struct port_bench a, b;

		pf_device_open(&a, 0, vf, (struct port_config){0});
		pf_device_open(&b, 1, (struct ixm_config){.part = others[i]}, (struct port_config){0});
		ixm_wire_join(a.device, b.device);
		ixm_settle();
		frame_goes(&a, &b);
		frame_goes(&b, &a);
		for (unsigned down = 2; down-- > 0;) {
			ixm_faults_set(a.device, &(struct ixm_faults){.link_down = down});
			ixm_settle();
			CU_ASSERT_EQUAL(port_link(a.port).up, !down);
			CU_ASSERT_EQUAL(port_link(b.port).up, !down);
		}
		frame_goes(&a, &b);
		pf_close(&b);
		pf_close(&a);
	}
}

static void test_a_host_that_does_not_answer(void)
{
	struct ixm_config device = vf;
	struct port_bench b;
	struct ixm *m;
	char error[256] = "";

	pf_eal();
	device.address = pf_address;
	device.host.silent = true;
	CU_ASSERT_EQUAL(ixm_open(&device, &m, error, sizeof(error)), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "gave up"));
	/* Frames need no host; setting up does. */
	pf_device_open(&b, 0, vf, (struct port_config){0});
	ixm_faults_set(b.device, &(struct ixm_faults){.pf_silent = true});
	frame_goes(&b, &b);
	CU_ASSERT_EQUAL(rte_eth_dev_stop(ixm_port_id(b.device)), 0);
	CU_ASSERT_NOT_EQUAL(rte_eth_dev_start(ixm_port_id(b.device)), 0);
	ixm_faults_set(b.device, &(struct ixm_faults){0});
	CU_ASSERT_EQUAL(rte_eth_dev_start(ixm_port_id(b.device)), 0);
	frame_goes(&b, &b);
	pf_close(&b);
}

/* EAL's interrupt thread hears it. */
static bool restart_wanted(const struct port_bench *b)
{
	for (unsigned ms = 0; ms < 5000 && !port_wants_restart(b->port); ms++)
		usleep(1000);
	return port_wants_restart(b->port);
}

/* That thread may be reading the host's mail just now. */
static int restart(struct port_bench *b)
{
	int rc = -1;

	for (unsigned i = 0; i < 10 && rc; i++)
		rc = port_restart(b->port);
	return rc;
}

/* The link goes and comes back, and then nothing passes until the port has been set up anew. */
static void test_a_pf_that_is_reset(void)
{
	static const uint8_t group[1][6] = {{0x33, 0x33, 0, 0, 0, 1}};
	struct ixm_config jumbo = vf;
	struct port_bench b;
	struct test_packet p = pf_flow(1);

	jumbo.host.mtu = 9000;
	pf_device_open(&b, 0, jumbo, (struct port_config){.mtu = 9000, .offloads = PORT_OFFLOADS_ALL});
	CU_ASSERT_EQUAL(port_take_groups(b.port, group, 1), 0);
	CU_ASSERT_FALSE(port_wants_restart(b.port));
	ixm_faults_set(b.device, &(struct ixm_faults){.pf_down = true});
	ixm_settle();
	CU_ASSERT_FALSE(port_link(b.port).up);
	CU_ASSERT_TRUE(restart_wanted(&b));
	port_rest(b.port, true);
	CU_ASSERT_NOT_EQUAL(port_restart(b.port), 0);
	CU_ASSERT_TRUE(port_wants_restart(b.port));
	ixm_faults_set(b.device, &(struct ixm_faults){0});
	ixm_settle();
	ixm_faults_set(b.device, &(struct ixm_faults){.pf_mtu = 1500});
	CU_ASSERT_NOT_EQUAL(restart(&b), 0); /* or it would be deaf */
	ixm_faults_set(b.device, &(struct ixm_faults){0});
	CU_ASSERT_EQUAL_FATAL(restart(&b), 0);
	port_rest(b.port, false);
	CU_ASSERT_FALSE(port_wants_restart(b.port));
	CU_ASSERT_TRUE(port_link(b.port).up);
	CU_ASSERT_EQUAL(taken(&b, group[0]), 1);
	p.payload = 9000 - 40;
	struct rte_mbuf *m = pf_frame(&b, &p);
	pf_send(&b, 0, &m, 1);
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	pf_close(&b);
}

/* What waits to be sent is still there afterwards; what the device had is lost, and its buffers are back. */
static void test_a_port_that_rests(void)
{
	struct port_bench b;
	struct rte_mbuf *out[PORT_BURST];
	struct port_counters c;

	pf_device_open(&b, 0, vf, (struct port_config){.tx_descriptors = 64});
	ixm_faults_set(b.device, &(struct ixm_faults){.pf_down = true});
	ixm_settle();
	for (unsigned n = PORT_BURST; n == PORT_BURST;) {
		struct test_packet p = pf_flow(1);
		for (unsigned i = 0; i < PORT_BURST; i++)
			out[i] = pf_frame(&b, &p);
		n = port_tx(b.port, 0, out, PORT_BURST);
		rte_pktmbuf_free_bulk(out + n, PORT_BURST - n);
	}
	CU_ASSERT_TRUE(restart_wanted(&b));
	port_rest(b.port, true);
	CU_ASSERT_EQUAL(port_tx(b.port, 0, out, 0), 0);
	for (uint64_t us = 1; us < 10 * PORT_TX_STUCK_US; us += PORT_TX_STUCK_US / 2)
		CU_ASSERT_EQUAL(port_tx_flush(b.port, 0, us), PORT_TX_WAITING);
	ixm_faults_set(b.device, &(struct ixm_faults){0});
	ixm_settle();
	usleep(20000); /* the interrupt thread has read the host's second call */
	CU_ASSERT_NOT_EQUAL(
		rte_eth_dev_set_mtu(ixm_port_id(b.device), 1500), 0); /* first it is to be reset */
	CU_ASSERT_EQUAL_FATAL(restart(&b), 0);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(b.frames), PORT_TX_WAITING);
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 0);
	port_rest(b.port, false);
	while (port_tx_flush(b.port, 0, 1))
		ixm_settle();
	ixm_settle();
	CU_ASSERT_EQUAL(pf_drain(&b, 0), PORT_TX_WAITING);
	port_counters(b.port, &c);
	CU_ASSERT_EQUAL(c.tx_stuck, 0);
	pf_close(&b);
}

/* The descriptor on which a core waits stays the same. */
static void test_a_core_sleeps_through_a_reset(void)
{
	struct port_bench b;
	uint8_t frame[60] = {0};

	pf_device_open(&b, 0, vf, (struct port_config){.wait_on_fd = true});
	memcpy(frame, pf_device_mac, 6);
	int fd = port_rx_fd(b.port, 0);
	CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), 0);
	for (unsigned down = 2; down-- > 0;) {
		ixm_faults_set(b.device, &(struct ixm_faults){.pf_down = down});
		ixm_settle();
	}
	CU_ASSERT_TRUE(restart_wanted(&b));
	port_rest(b.port, true);
	CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), -EBUSY);
	CU_ASSERT_EQUAL_FATAL(restart(&b), 0);
	port_rest(b.port, false);
	CU_ASSERT_EQUAL(port_rx_fd(b.port, 0), fd);
	CU_ASSERT_FALSE(readable(fd));
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_TRUE(readable(fd));
	port_rx_disarm(b.port, 0);
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	pf_close(&b);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"what_the_driver_says", test_what_the_driver_says},
		{"a_mac_is_the_hosts_or_made_up", test_a_mac_is_the_hosts_or_made_up},
		{"a_mac_of_our_own_needs_the_hosts_leave", test_a_mac_of_our_own_needs_the_hosts_leave},
		{"queues_are_those_that_the_host_gives", test_queues_are_those_that_the_host_gives},
		{"an_82599_has_long_frames_for_all_or_none", test_an_82599_has_long_frames_for_all_or_none},
		{"all_groups_are_for_the_trusted", test_all_groups_are_for_the_trusted},
		{"tags_are_filtered", test_tags_are_filtered},
		{"the_host_looks_where_frames_come_from", test_the_host_looks_where_frames_come_from},
		{"one_interrupt", test_one_interrupt},
		{"a_vf_and_a_pf_on_one_cable", test_a_vf_and_a_pf_on_one_cable},
		{"a_host_that_does_not_answer", test_a_host_that_does_not_answer},
		{"a_pf_that_is_reset", test_a_pf_that_is_reset},
		{"a_port_that_rests", test_a_port_that_rests},
		{"a_core_sleeps_through_a_reset", test_a_core_sleeps_through_a_reset},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
