/* SPDX-License-Identifier: Apache-2.0 */
/* Which queue a frame reaches, against DPDK's own Toeplitz function and Microsoft's test vectors. */
#include "tests/ixgbe_model/test_packet.h"
#include "tests/ixgbe_model/test_port.h"

#include <rte_byteorder.h>
#include <rte_thash.h>
#include <stdio.h>
#include <string.h>

enum { QUEUES = 16, RETA = 128 };

static const uint8_t microsoft_key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25,
	0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const uint64_t tcp_and_ip = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV6 |
				   RTE_ETH_RSS_NONFRAG_IPV6_TCP;

/* What a device with this key and all of tcp_and_ip gives the packet. */
static uint32_t expected_hash(const struct test_packet *p, const uint8_t key[40])
{
	uint32_t input[9];
	unsigned address_words = p->v6 ? 4 : 1, n = 0;
	bool ports = p->protocol == TP_TCP && !p->fragment;

	for (unsigned i = 0; i < address_words; i++, n++)
		memcpy(&input[n], p->source + i * 4, 4);
	for (unsigned i = 0; i < address_words; i++, n++)
		memcpy(&input[n], p->destination + i * 4, 4);
	for (unsigned i = 0; i < n; i++)
		input[i] = rte_be_to_cpu_32(input[i]);
	if (ports)
		input[n++] = (uint32_t)p->source_port << 16 | p->destination_port;
	return rte_softrss(input, n, key);
}

static struct rte_mbuf *arrived(struct test_port *p, unsigned *queue)
{
	struct rte_mbuf *in[TP_ROOM], *found = NULL;

	for (unsigned q = 0; q < p->o.queues; q++)
		for (unsigned n = tp_receive(p, q, in); n > 0; n--) {
			CU_ASSERT_PTR_NULL_FATAL(found);
			found = in[n - 1];
			*queue = q;
		}
	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	return found;
}

static void hash_is(struct test_port *p, const struct test_packet *packet, uint32_t hash, unsigned queue)
{
	uint8_t frame[2000];
	unsigned on;

	ixm_inject(p->device, frame, test_packet_write(frame, p->mac, packet));
	struct rte_mbuf *m = arrived(p, &on);
	if (m->hash.rss != hash || on != queue)
		printf("# hash %#x instead of %#x, queue %u instead of %u\n", m->hash.rss, hash, on, queue);
	CU_ASSERT_EQUAL(m->hash.rss, hash);
	CU_ASSERT_EQUAL(on, queue);
	CU_ASSERT_EQUAL(!!(m->ol_flags & RTE_MBUF_F_RX_RSS_HASH), hash != 0);
	rte_pktmbuf_free(m);
}

static void test_microsoft_vectors(void)
{
	struct test_packet v4 = {.protocol = TP_TCP,
		.source = {66, 9, 149, 187},
		.destination = {161, 142, 100, 80},
		.source_port = 2794,
		.destination_port = 1766};
	struct test_packet v6 = {.protocol = TP_TCP,
		.v6 = true,
		.source = {0x3f, 0xfe, 0x25, 1, 2, 0, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
		.destination = {0x3f, 0xfe, 0x25, 1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1},
		.source_port = 2794,
		.destination_port = 1766};
	struct test_port p;

	tp_open_loop(
		&p, 1, (struct test_port_options){.queues = QUEUES, .rss = tcp_and_ip, .key = microsoft_key});
	hash_is(&p, &v4, 0x51ccc178, 0x78 % QUEUES);
	hash_is(&p, &v6, 0x40207d3d, 0x3d % QUEUES);
	v4.fragment = true;
	hash_is(&p, &v4, 0x323e8fc2, 0x42 % QUEUES);
	v4.fragment = false;
	v4.protocol = TP_UDP; /* whose ports nobody asked for */
	hash_is(&p, &v4, 0x323e8fc2, 0x42 % QUEUES);
	v6.protocol = 59;
	hash_is(&p, &v6, 0x2cc18cd5, 0x55 % QUEUES);
	tp_close(&p);
}

static struct test_packet random_packet(uint32_t mark)
{
	struct test_packet p = {.protocol = TP_TCP,
		.v6 = unit_random_below(2),
		.source_port = (uint16_t)unit_random(),
		.destination_port = (uint16_t)unit_random(),
		.payload = 4 + unit_random_below(60),
		.mark = mark};

	for (unsigned i = 0; i < 16; i++) {
		p.source[i] = (uint8_t)unit_random();
		p.destination[i] = (uint8_t)unit_random();
	}
	return p;
}

/* So many that hardly one run in a million misses an entry of the table. */
enum { FLOWS = 2000 };

/* Random flows reach the queues that the table says, and in the end all of those in it. */
static void spreads(struct test_port *p, const uint8_t key[40], const unsigned table[RETA])
{
	unsigned hits[QUEUES] = {0};

	for (unsigned i = 0; i < FLOWS; i++) {
		struct test_packet packet = random_packet(i);
		uint32_t hash = expected_hash(&packet, key);
		hash_is(p, &packet, hash, table[hash % RETA]);
		hits[table[hash % RETA]]++;
	}
	for (unsigned i = 0; i < RETA; i++)
		CU_ASSERT(hits[table[i]] > 0);
}

static void test_flows_spread_over_the_queues(void)
{
	static const unsigned counts[] = {1, 4, QUEUES};

	for (unsigned i = 0; i < RTE_DIM(counts); i++) {
		unsigned table[RETA];
		struct test_port p;
		for (unsigned k = 0; k < RETA; k++)
			table[k] = k % counts[i];
		tp_open_loop(&p, 1,
			(struct test_port_options){.queues = counts[i],
				.descriptors = 64,
				.rss = tcp_and_ip,
				.key = microsoft_key});
		spreads(&p, microsoft_key, table);
		tp_close(&p);
	}
}

static void test_the_table_can_be_rewritten(void)
{
	struct rte_eth_rss_reta_entry64 reta[RETA / RTE_ETH_RETA_GROUP_SIZE];
	unsigned table[RETA];
	struct test_port p;

	tp_open_loop(&p, 1,
		(struct test_port_options){
			.queues = QUEUES, .descriptors = 64, .rss = tcp_and_ip, .key = microsoft_key});
	for (unsigned i = 0; i < RETA; i++) {
		table[i] = unit_random_below(QUEUES);
		reta[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
		reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)table[i];
	}
	CU_ASSERT_EQUAL(rte_eth_dev_rss_reta_update(p.id, reta, RETA), 0);
	spreads(&p, microsoft_key, table);
	/* One entry of it. */
	table[70] = (table[70] + 1) % QUEUES;
	reta[0].mask = 0;
	reta[1].mask = 1ull << (70 - RTE_ETH_RETA_GROUP_SIZE);
	reta[1].reta[70 - RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)table[70];
	CU_ASSERT_EQUAL(rte_eth_dev_rss_reta_update(p.id, reta, RETA), 0);
	spreads(&p, microsoft_key, table);
	tp_close(&p);
}

static void test_the_key_can_be_changed(void)
{
	unsigned table[RETA];
	uint8_t key[40];
	struct test_port p;

	tp_open_loop(&p, 1, (struct test_port_options){.queues = 4, .descriptors = 64, .rss = tcp_and_ip});
	for (unsigned i = 0; i < RETA; i++)
		table[i] = i % 4;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)unit_random();
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = sizeof(key), .rss_hf = tcp_and_ip};
	CU_ASSERT_EQUAL(rte_eth_dev_rss_hash_update(p.id, &conf), 0);
	spreads(&p, key, table);
	tp_close(&p);
}

static void test_other_frames_go_to_queue_0(void)
{
	struct test_port p;
	uint8_t frame[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06};
	unsigned queue;

	tp_open_loop(&p, 1, (struct test_port_options){.queues = 4, .descriptors = 64, .rss = tcp_and_ip});
	ixm_inject(p.device, frame, sizeof(frame));
	struct rte_mbuf *m = arrived(&p, &queue);
	CU_ASSERT_EQUAL(queue, 0);
	CU_ASSERT_FALSE(m->ol_flags & RTE_MBUF_F_RX_RSS_HASH);
	rte_pktmbuf_free(m);
	tp_close(&p);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"microsoft_vectors", test_microsoft_vectors},
		{"flows_spread_over_the_queues", test_flows_spread_over_the_queues},
		{"the_table_can_be_rewritten", test_the_table_can_be_rewritten},
		{"the_key_can_be_changed", test_the_key_can_be_changed},
		{"other_frames_go_to_queue_0", test_other_frames_go_to_queue_0},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
