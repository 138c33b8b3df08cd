/* SPDX-License-Identifier: Apache-2.0 */
/* The unmodified driver on the model, by ethdev's calls: rings, paths, link, filters, faults. */
#include "tests/ixgbe_model/test_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_probe_finds_the_part(void)
{
	struct test_port p;
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;

	tp_open(&p, 1, (struct test_port_options){0});
	CU_ASSERT_EQUAL(rte_eth_dev_info_get(p.id, &info), 0);
	CU_ASSERT_STRING_EQUAL(info.driver_name, "net_ixgbe");
	CU_ASSERT_EQUAL(info.reta_size, 128);
	CU_ASSERT_EQUAL(info.hash_key_size, 40);
	CU_ASSERT_EQUAL(info.max_rx_queues, 128);
	CU_ASSERT_EQUAL(rte_eth_macaddr_get(p.id, &mac), 0);
	CU_ASSERT_EQUAL(memcmp(&mac, p.mac, 6), 0);
	CU_ASSERT(tp_count(&p).resets > 0);
	struct ixm *twice;
	char error[256];
	CU_ASSERT_EQUAL(
		ixm_open(&(struct ixm_config){.address = "0000:03:01.0"}, &twice, error, sizeof(error)),
		-EEXIST);
	tp_close(&p);
}

static void test_a_broken_eeprom_is_refused(void)
{
	const struct ixm_config c = {.address = "0000:03:01.0", .eeprom_broken = true};
	char error[256] = "";
	struct ixm *m;

	unit_eal();
	CU_ASSERT_EQUAL(ixm_open(&c, &m, error, sizeof(error)), -ENODEV);
	CU_ASSERT_PTR_NULL(m);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "gave up"));
}

static struct rte_eth_link link_of(const struct test_port *p)
{
	struct rte_eth_link link = {0};

	ixm_settle();
	CU_ASSERT_EQUAL(rte_eth_link_get_nowait(p->id, &link), 0);
	return link;
}

static void test_link_follows_the_cable(void)
{
	struct test_port a, b;

	tp_open(&a, 1, (struct test_port_options){0});
	tp_open(&b, 2, (struct test_port_options){0});
	CU_ASSERT_EQUAL(link_of(&a).link_status, RTE_ETH_LINK_DOWN);
	ixm_wire_join(a.device, b.device);
	CU_ASSERT_EQUAL(link_of(&a).link_status, RTE_ETH_LINK_UP);
	CU_ASSERT_EQUAL(link_of(&b).link_status, RTE_ETH_LINK_UP);
	CU_ASSERT_EQUAL(link_of(&a).link_speed, RTE_ETH_SPEED_NUM_10G);
	CU_ASSERT_EQUAL(link_of(&a).link_duplex, RTE_ETH_LINK_FULL_DUPLEX);
	ixm_faults_set(b.device, &(struct ixm_faults){.link_down = true});
	CU_ASSERT_EQUAL(link_of(&a).link_status, RTE_ETH_LINK_DOWN);
	CU_ASSERT_EQUAL(link_of(&b).link_status, RTE_ETH_LINK_DOWN);
	ixm_faults_set(b.device, &(struct ixm_faults){0});
	CU_ASSERT_EQUAL(link_of(&a).link_status, RTE_ETH_LINK_UP);
	ixm_wire_to(b.device, NULL, NULL);
	CU_ASSERT_EQUAL(link_of(&a).link_status, RTE_ETH_LINK_DOWN);
	tp_close(&b);
	tp_close(&a);
}

/* Sends frames of the given sizes in bursts and looks at what comes back. */
static void loop_sizes(struct test_port *p, unsigned first, unsigned last, unsigned step, unsigned piece)
{
	struct rte_mbuf *out[TP_BURST], *in[TP_ROOM];

	for (unsigned size = first; size <= last;) {
		unsigned n = 0, from = size;
		for (; n < TP_BURST && size <= last; size += step)
			out[n++] = tp_frame(p->mac, size, size, piece);
		tp_send(p, 0, out, n);
		unsigned got = tp_receive(p, 0, in);
		if (got != n)
			tp_print(p);
		CU_ASSERT_EQUAL_FATAL(got, n);
		for (unsigned i = 0; i < got; i++)
			CU_ASSERT_TRUE(tp_is_frame(in[i], from + i * step, from + i * step));
		rte_pktmbuf_free_bulk(in, got);
	}
}

static void test_every_size_comes_back(void)
{
	struct test_port p;

	tp_open_loop(&p, 1, (struct test_port_options){0});
	loop_sizes(&p, 60, 1514, 1, 2048);
	CU_ASSERT_EQUAL(tp_count(&p).rx_frames, 1455);
	CU_ASSERT(tp_count(&p).rx_wrapped > 4);
	CU_ASSERT(tp_count(&p).tx_wrapped > 4);
	tp_close(&p);
}

static void test_short_frames_are_padded(void)
{
	struct test_port p;
	struct rte_mbuf *m, *in[TP_ROOM];

	tp_open_loop(&p, 1, (struct test_port_options){0});
	m = tp_frame(p.mac, 20, 0, 2048);
	tp_send(&p, 0, &m, 1);
	CU_ASSERT_EQUAL_FATAL(tp_receive(&p, 0, in), 1);
	CU_ASSERT_EQUAL(in[0]->pkt_len, 60);
	rte_pktmbuf_free(in[0]);
	tp_close(&p);
}

static void test_jumbo_frames_scatter(void)
{
	struct test_port p;
	const struct test_port_options o = {.mtu = 9000,
		.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
		.tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS};

	tp_open_loop(&p, 1, o);
	loop_sizes(&p, 60, 9014, 37, 700);
	loop_sizes(&p, 9014, 9014, 1, 2048);
	CU_ASSERT(tp_count(&p).rx_descriptors > 2 * tp_count(&p).rx_frames);
	struct rte_mbuf *m = tp_frame(p.mac, 9015, 1, 2048);
	tp_send(&p, 0, &m, 1);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 0);
	CU_ASSERT_EQUAL(tp_count(&p).rx_length, 1);
	tp_close(&p);
}

/* A packet of more than 40 buffers would hang the device. */
static void test_forty_buffers_and_no_more(void)
{
	struct test_port p;
	struct rte_mbuf *m, *in[TP_ROOM];

	tp_open_loop(&p, 1,
		(struct test_port_options){.tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS, .misuse = true});
	m = tp_frame(p.mac, 400, 1, 10);
	tp_send(&p, 0, &m, 1);
	CU_ASSERT_EQUAL_FATAL(tp_receive(&p, 0, in), 1);
	CU_ASSERT_TRUE(tp_is_frame(in[0], 400, 1));
	rte_pktmbuf_free(in[0]);
	m = tp_frame(p.mac, 401, 1, 10);
	CU_ASSERT_EQUAL(m->nb_segs, 41);
	tp_send(&p, 0, &m, 1);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 0);
	CU_ASSERT_EQUAL(tp_count(&p).tx_malformed, 1);
	tp_close(&p);
}

/* Many times around both rings, in bursts of random size. */
static void test_rings_wrap(void)
{
	struct test_port p;
	struct rte_mbuf *out[TP_BURST], *in[TP_ROOM];
	unsigned sent = 0, got = 0, n;

	tp_open_loop(&p, 1, (struct test_port_options){.descriptors = 64});
	while (sent < 64 * 50) {
		n = 1 + unit_random_below(TP_BURST);
		for (unsigned i = 0; i < n; i++)
			out[i] = tp_frame(p.mac, 60 + (sent + i) % 1000, sent + i, 2048);
		tp_send(&p, 0, out, n);
		sent += n;
		while ((n = tp_receive(&p, 0, in))) {
			for (unsigned i = 0; i < n; i++)
				CU_ASSERT_TRUE(tp_is_frame(in[i], 60 + (got + i) % 1000, got + i));
			rte_pktmbuf_free_bulk(in, n);
			got += n;
		}
	}
	CU_ASSERT_EQUAL(got, sent);
	CU_ASSERT(tp_count(&p).tx_wrapped >= 50);
	CU_ASSERT(tp_count(&p).rx_wrapped >= 49);
	tp_close(&p);
}

/* Which code of the driver runs follows from the offloads: what the transmit design is built on. */
static void test_offloads_choose_the_path(void)
{
	static const struct {
		uint64_t rx, tx;
		unsigned mtu;
		const char *rx_path, *tx_path;
	} cases[] = {
		{0, 0, 1500, "vector", "vector"},
		{RTE_ETH_RX_OFFLOAD_CHECKSUM, 0, 1500, "vector", "vector"},
		{RTE_ETH_RX_OFFLOAD_SCATTER, 0, 9000, "vector scattered", "vector"},
		{0, RTE_ETH_TX_OFFLOAD_MULTI_SEGS, 1500, "vector", "scalar"},
		{0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, 1500, "vector", "scalar"},
		{RTE_ETH_RX_OFFLOAD_TCP_LRO, 0, 1500, "lro bulk", "vector"},
	};
	for (unsigned i = 0; i < RTE_DIM(cases); i++) {
		struct test_port p;
		tp_open_loop(&p, 1,
			(struct test_port_options){
				.rx_offloads = cases[i].rx, .tx_offloads = cases[i].tx, .mtu = cases[i].mtu});
		CU_ASSERT_STRING_EQUAL(tp_rx_path(&p), cases[i].rx_path);
		CU_ASSERT_STRING_EQUAL(tp_tx_path(&p), cases[i].tx_path);
		loop_sizes(&p, 60, 200, 1, 2048);
		tp_close(&p);
	}
}

/* What was sent stays with the driver, long after it left, until tx_rs_thresh (32) descriptors more are asked
 * for than tx_free_thresh (32) leaves: payload that is only borrowed may not be rewritten before. */
static void test_sent_buffers_are_freed_late(void)
{
	struct test_port p;
	struct rte_mbuf *out[TP_BURST];

	tp_open(&p, 1, (struct test_port_options){.descriptors = 128});
	ixm_wire_join(p.device, p.device);
	ixm_settle();
	unsigned held_max = 0;
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < TP_BURST; i++)
			out[i] = tp_frame(p.mac, 60, i, 2048);
		tp_send(&p, 0, out, TP_BURST);
		tp_drain(&p, 0);
		unsigned held = rte_mempool_in_use_count(tp_frames);
		held_max = RTE_MAX(held, held_max);
		CU_ASSERT_EQUAL(tp_count(&p).tx_frames, (round + 1) * TP_BURST);
		CU_ASSERT(round > 1 || held == (round + 1) * TP_BURST); /* all of it is still there */
	}
	CU_ASSERT_EQUAL(held_max, 96);
	CU_ASSERT(rte_mempool_in_use_count(tp_frames) > 0);
	tp_close(&p); /* ... and comes back */
}

static void test_mtu_bounds_what_is_taken(void)
{
	struct test_port p;
	uint8_t frame[9018] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};

	tp_open_loop(&p, 1, (struct test_port_options){.rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER});
	ixm_inject(p.device, frame, 1514);
	ixm_inject(p.device, frame, 1515);
	ixm_inject(p.device, frame, 59);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 1);
	CU_ASSERT_EQUAL(tp_count(&p).rx_length, 2);
	/* A tag comes on top (8.2.3.22). */
	memcpy(frame + 12, (uint8_t[]){0x81, 0}, 2);
	ixm_inject(p.device, frame, 1518);
	ixm_inject(p.device, frame, 1519);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 1);
	CU_ASSERT_EQUAL(rte_eth_dev_set_mtu(p.id, 4000), 0);
	ixm_inject(p.device, frame, 4018);
	ixm_inject(p.device, frame, 4019);
	CU_ASSERT_EQUAL(tp_drain(&p, 0), 1);
	CU_ASSERT_EQUAL(tp_count(&p).rx_length, 4);
	tp_close(&p);
}

static bool taken(struct test_port *p, const uint8_t mac[6])
{
	uint8_t frame[60] = {[12] = 0x88, 0xb5};

	memcpy(frame, mac, 6);
	ixm_inject(p->device, frame, sizeof(frame));
	return tp_drain(p, 0);
}

static void test_addresses_are_filtered(void)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 9}, all[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1}, group2[6] = {0x33, 0x33, 0, 0, 0, 2};
	struct test_port p;

	tp_open_loop(&p, 1, (struct test_port_options){0});
	CU_ASSERT_TRUE(taken(&p, p.mac));
	CU_ASSERT_TRUE(taken(&p, all));
	CU_ASSERT_FALSE(taken(&p, other));
	CU_ASSERT_FALSE(taken(&p, group));
	CU_ASSERT_EQUAL(tp_count(&p).rx_filtered, 2);
	rte_eth_promiscuous_enable(p.id);
	CU_ASSERT_TRUE(taken(&p, other));
	CU_ASSERT_TRUE(taken(&p, group));
	rte_eth_promiscuous_disable(p.id);
	CU_ASSERT_FALSE(taken(&p, other));
	CU_ASSERT_FALSE(taken(&p, group));
	rte_eth_allmulticast_enable(p.id);
	CU_ASSERT_TRUE(taken(&p, group));
	rte_eth_allmulticast_disable(p.id);
	CU_ASSERT_FALSE(taken(&p, group));
	CU_ASSERT_EQUAL(rte_eth_dev_set_mc_addr_list(p.id, (struct rte_ether_addr *)(uintptr_t)group, 1), 0);
	CU_ASSERT_TRUE(taken(&p, group));
	CU_ASSERT_FALSE(taken(&p, group2));
	CU_ASSERT_EQUAL(rte_eth_dev_mac_addr_add(p.id, (struct rte_ether_addr *)(uintptr_t)other, 0), 0);
	CU_ASSERT_TRUE(taken(&p, other));
	CU_ASSERT_EQUAL(rte_eth_dev_default_mac_addr_set(
				p.id, (struct rte_ether_addr *)(uintptr_t)(uint8_t[]){2, 7, 7, 7, 7, 7}),
		0);
	CU_ASSERT_FALSE(taken(&p, p.mac));
	tp_close(&p);
}

static bool tagged_taken(struct test_port *p, uint8_t vlan)
{
	uint8_t frame[64] = {2, 0, 0, 0, 0, 1, [12] = 0x81, 0, 0, vlan, 0x88, 0xb5};

	ixm_inject(p->device, frame, sizeof(frame));
	return tp_drain(p, 0);
}

/* What a VF asks of its host, which trusts it. */
static void test_a_vf_asks_for_filters(void)
{
	static uint8_t macs[3][6] = {{2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 1, 2}, {2, 7, 7, 7, 7, 7}};
	struct rte_ether_addr *mac = (struct rte_ether_addr *)macs;
	struct test_port p;

	tp_open_loop(&p, 1,
		(struct test_port_options){
			.part = IXM_82599_VF, .rx_offloads = RTE_ETH_RX_OFFLOAD_VLAN_FILTER});
	CU_ASSERT_FALSE(tagged_taken(&p, 42));
	CU_ASSERT_EQUAL(rte_eth_dev_vlan_filter(p.id, 42, 1), 0);
	CU_ASSERT_TRUE(tagged_taken(&p, 42));
	CU_ASSERT_FALSE(tagged_taken(&p, 43));
	CU_ASSERT_EQUAL(rte_eth_dev_vlan_filter(p.id, 42, 0), 0);
	CU_ASSERT_FALSE(tagged_taken(&p, 42));
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(rte_eth_dev_mac_addr_add(p.id, &mac[i], 0), 0);
	CU_ASSERT_TRUE(taken(&p, macs[0]) && taken(&p, macs[1]) && taken(&p, p.mac));
	CU_ASSERT_EQUAL(rte_eth_dev_mac_addr_remove(p.id, &mac[0]), 0);
	CU_ASSERT_FALSE(taken(&p, macs[0]));
	CU_ASSERT_TRUE(taken(&p, macs[1]));
	CU_ASSERT_EQUAL(rte_eth_dev_default_mac_addr_set(p.id, &mac[2]), 0);
	CU_ASSERT_TRUE(taken(&p, macs[2]));
	CU_ASSERT_FALSE(taken(&p, p.mac));
	CU_ASSERT(rte_eth_promiscuous_enable(p.id) < 0);
	tp_close(&p);
}

/* The same with a thread that plays each device, and none of our turns in between. */
static void test_a_thread_plays_the_device(void)
{
	enum { FRAMES = 2000 };
	struct test_port a, b;
	struct rte_mbuf *out[TP_BURST], *in[TP_ROOM];
	unsigned sent = 0, got = 0;

	tp_open(&a, 1, (struct test_port_options){0});
	tp_open(&b, 2, (struct test_port_options){0});
	ixm_wire_join(a.device, b.device);
	ixm_wire_lossless(a.device, true);
	CU_ASSERT_EQUAL_FATAL(ixm_thread_start(a.device), 0);
	CU_ASSERT_EQUAL_FATAL(ixm_thread_start(b.device), 0);
	for (unsigned ms = 0; got < FRAMES && ms < 20000; ms++) {
		unsigned n = 0, taken_n;
		for (; n < TP_BURST && sent + n < FRAMES; n++)
			out[n] = tp_frame(b.mac, 60 + (sent + n) % 1400, sent + n, 2048);
		taken_n = rte_eth_tx_burst(a.id, 0, out, (uint16_t)n);
		rte_pktmbuf_free_bulk(out + taken_n, n - taken_n);
		sent += taken_n;
		n = rte_eth_rx_burst(b.id, 0, in, TP_BURST);
		for (unsigned i = 0; i < n; i++)
			CU_ASSERT_TRUE(tp_is_frame(in[i], 60 + (got + i) % 1400, got + i));
		rte_pktmbuf_free_bulk(in, n);
		got += n;
		if (n == 0)
			usleep(1000);
	}
	CU_ASSERT_EQUAL(got, FRAMES);
	/* The driver's stop and close against running threads. */
	CU_ASSERT_EQUAL(rte_eth_dev_stop(a.id), 0);
	CU_ASSERT_EQUAL(rte_eth_dev_start(a.id), 0);
	ixm_thread_stop(b.device);
	ixm_thread_stop(a.device);
	tp_close(&b);
	tp_close(&a);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"probe_finds_the_part", test_probe_finds_the_part},
		{"a_broken_eeprom_is_refused", test_a_broken_eeprom_is_refused},
		{"link_follows_the_cable", test_link_follows_the_cable},
		{"every_size_comes_back", test_every_size_comes_back},
		{"short_frames_are_padded", test_short_frames_are_padded},
		{"jumbo_frames_scatter", test_jumbo_frames_scatter},
		{"forty_buffers_and_no_more", test_forty_buffers_and_no_more},
		{"rings_wrap", test_rings_wrap},
		{"offloads_choose_the_path", test_offloads_choose_the_path},
		{"sent_buffers_are_freed_late", test_sent_buffers_are_freed_late},
		{"mtu_bounds_what_is_taken", test_mtu_bounds_what_is_taken},
		{"addresses_are_filtered", test_addresses_are_filtered},
		{"a_vf_asks_for_filters", test_a_vf_asks_for_filters},
		{"a_thread_plays_the_device", test_a_thread_plays_the_device},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
