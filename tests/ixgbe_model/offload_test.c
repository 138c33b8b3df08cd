/* SPDX-License-Identifier: Apache-2.0 */
/* What the device does to headers: checksums of received and of sent frames, large sends, VLAN tags. */
#include "tests/ixgbe_model/registers.h"
#include "tests/ixgbe_model/test_packet.h"
#include "tests/ixgbe_model/test_port.h"

#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <string.h>

enum { SENT_MAX = 64 };

/* The other end of the cable. */
static struct {
	uint8_t frame[SENT_MAX][2000];
	unsigned bytes[SENT_MAX], count;
} sent;

static void keep(void *context, const uint8_t *frame, unsigned bytes)
{
	if (sent.count < SENT_MAX && bytes <= sizeof(sent.frame[0])) {
		memcpy(sent.frame[sent.count], frame, bytes);
		sent.bytes[sent.count] = bytes;
	}
	sent.count++;
}

static void open_with(struct test_port *p, uint64_t rx, uint64_t tx)
{
	sent.count = 0;
	tp_open(p, 1, (struct test_port_options){.rx_offloads = rx, .tx_offloads = tx});
	ixm_wire_to(p->device, keep, NULL);
	ixm_settle();
}

static const struct test_packet tcp4 = {.protocol = TP_TCP,
	.source = {10, 0, 0, 1},
	.destination = {10, 0, 0, 2},
	.source_port = 1000,
	.destination_port = 5672,
	.payload = 101};
static const struct test_packet tcp6 = {.protocol = TP_TCP,
	.v6 = true,
	.source = {0xfd, [15] = 1},
	.destination = {0xfd, [15] = 2},
	.source_port = 1000,
	.destination_port = 5672,
	.payload = 100};

enum { GOOD = 1, BAD = 2, UNKNOWN = 0 };

static void flags_are(struct test_port *p, const uint8_t *frame, unsigned bytes, int ip, int l4)
{
	static const uint64_t ip_flag[] = {0, RTE_MBUF_F_RX_IP_CKSUM_GOOD, RTE_MBUF_F_RX_IP_CKSUM_BAD};
	static const uint64_t l4_flag[] = {0, RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD};
	struct rte_mbuf *in[TP_ROOM];

	ixm_inject(p->device, frame, bytes);
	CU_ASSERT_EQUAL_FATAL(tp_receive(p, 0, in), 1);
	CU_ASSERT_EQUAL(in[0]->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, ip_flag[ip]);
	CU_ASSERT_EQUAL(in[0]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, l4_flag[l4]);
	rte_pktmbuf_free(in[0]);
}

static void test_received_checksums_are_looked_at(void)
{
	struct test_port p;
	uint8_t frame[2000];
	struct test_packet packet = tcp4;

	open_with(&p, RTE_ETH_RX_OFFLOAD_CHECKSUM, 0);
	CU_ASSERT_STRING_EQUAL(tp_rx_path(&p), "vector");
	for (packet.payload = 0; packet.payload < 9; packet.payload++) {
		unsigned n = test_packet_write(frame, p.mac, &packet);
		flags_are(&p, frame, n, GOOD, GOOD);
		frame[14 + 8]--; /* time to live */
		flags_are(&p, frame, n, BAD, GOOD);
		frame[14 + 8]++;
		frame[14 + 20 + 4]++; /* sequence number */
		flags_are(&p, frame, n, GOOD, BAD);
	}
	unsigned n = test_packet_write(frame, p.mac, &tcp6);
	flags_are(&p, frame, n, GOOD, GOOD); /* there is none in IPv6's header */
	frame[n - 1]++;
	flags_are(&p, frame, n, GOOD, BAD);
	tp_close(&p);
}

/* Errors that the device reports although the frame is right. */
static void test_reported_errors_are_passed_on(void)
{
	struct test_port p;
	uint8_t frame[2000];

	open_with(&p, RTE_ETH_RX_OFFLOAD_CHECKSUM, 0);
	unsigned n = test_packet_write(frame, p.mac, &tcp4);
	ixm_faults_set(p.device, &(struct ixm_faults){.rx_status_or = RXD_L4E});
	flags_are(&p, frame, n, GOOD, BAD);
	ixm_faults_set(p.device, &(struct ixm_faults){.rx_status_or = RXD_IPE});
	flags_are(&p, frame, n, BAD, GOOD);
	ixm_faults_set(p.device, &(struct ixm_faults){0});
	flags_are(&p, frame, n, GOOD, GOOD);
	tp_close(&p);
}

/* An absent UDP checksum is called an error by the 82599, which the driver knows and takes back. */
static void test_udp_without_a_checksum(void)
{
	struct test_port p;
	uint8_t frame[2000];
	struct test_packet packet = tcp4;

	packet.protocol = TP_UDP;
	open_with(&p, RTE_ETH_RX_OFFLOAD_CHECKSUM, 0);
	unsigned n = test_packet_write(frame, p.mac, &packet);
	flags_are(&p, frame, n, GOOD, GOOD);
	frame[14 + 20 + 6] = frame[14 + 20 + 7] = 0;
	flags_are(&p, frame, n, GOOD, UNKNOWN);
	tp_close(&p);
}

/* The trap: where the device has not looked at a TCP checksum at all, the driver says that it is good. What
 * reassembles must not believe it. */
static void test_unchecked_counts_as_good(void)
{
	struct test_port p;
	uint8_t frame[2000];
	struct test_packet packet = tcp4;

	packet.fragment = true;
	open_with(&p, RTE_ETH_RX_OFFLOAD_CHECKSUM, 0);
	unsigned n = test_packet_write(frame, p.mac, &packet);
	frame[n - 1]++;
	flags_are(&p, frame, n, GOOD, GOOD);
	tp_close(&p);
}

/* A packet in buffers, ready for the device: fields that it fills are as the driver's preparation leaves
 * them. */
static struct rte_mbuf *prepared(
	struct test_port *p, const struct test_packet *packet, uint64_t flags, unsigned mss)
{
	uint8_t frame[IXM_FRAME_BYTES_MAX];
	unsigned n = test_packet_write(frame, p->mac, packet), at = 0;
	struct rte_mbuf *head = NULL;

	while (at < n) {
		unsigned piece = RTE_MIN(n - at, 900u);
		struct rte_mbuf *m = rte_pktmbuf_alloc(tp_frames);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)piece), frame + at, piece);
		CU_ASSERT_FALSE_FATAL(head && rte_pktmbuf_chain(head, m));
		head = head ? head : m;
		at += piece;
	}
	head->l2_len = packet->vlan ? 18 : 14;
	head->l3_len = packet->v6 ? 40 : 20;
	head->l4_len = packet->protocol == TP_TCP ? 20 : 8;
	head->tso_segsz = (uint16_t)mss;
	head->ol_flags = flags | (packet->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	CU_ASSERT_EQUAL(rte_eth_tx_prepare(p->id, 0, &head, 1), 1);
	return head;
}

static void test_sent_checksums_are_filled_in(void)
{
	const uint64_t both = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
			      RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	struct test_port p;
	struct rte_mbuf *m;

	open_with(&p, 0, both | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	for (unsigned i = 0; i < 200; i++) {
		struct test_packet packet = i & 1 ? tcp4 : tcp6;
		packet.protocol = i & 2 ? TP_TCP : TP_UDP;
		packet.payload = 12 + unit_random_below(1400);
		uint64_t flags = (packet.v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM) |
				 (i & 2 ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
		m = prepared(&p, &packet, flags, 0);
		sent.count = 0;
		tp_send(&p, 0, &m, 1);
		CU_ASSERT_EQUAL_FATAL(sent.count, 1);
		CU_ASSERT_TRUE(test_packet_right(sent.frame[0], sent.bytes[0]));
	}
	/* Contexts are written when they change, not for each packet; here all of them change. */
	CU_ASSERT(tp_count(&p).tx_contexts > 0 && tp_count(&p).tx_contexts <= 200);
	/* What software leaves in the field is part of the sum. */
	m = prepared(&p, &tcp4, RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM, 0);
	rte_pktmbuf_mtod(m, uint8_t *)[14 + 10] = 1;
	sent.count = 0;
	tp_send(&p, 0, &m, 1);
	CU_ASSERT_FALSE(test_packet_right(sent.frame[0], sent.bytes[0]));
	tp_close(&p);
}

static void test_contexts_are_kept(void)
{
	struct test_port p;
	struct rte_mbuf *m;

	open_with(&p, 0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
	for (unsigned i = 0; i < 50; i++) {
		const struct test_packet *packet = i & 1 ? &tcp4 : &tcp6;
		m = prepared(&p, packet, RTE_MBUF_F_TX_TCP_CKSUM | (i & 1 ? RTE_MBUF_F_TX_IP_CKSUM : 0), 0);
		tp_send(&p, 0, &m, 1);
		CU_ASSERT_TRUE(test_packet_right(sent.frame[i], sent.bytes[i]));
	}
	CU_ASSERT_EQUAL(tp_count(&p).tx_contexts, 2); /* there are two places */
	tp_close(&p);
}

/* The pieces of a large send: each right by itself, in order, and together the payload. */
static void pieces_are(const struct test_packet *packet, unsigned mss)
{
	unsigned pieces = (packet->payload + mss - 1) / mss, at = 0;

	CU_ASSERT_EQUAL_FATAL(sent.count, pieces ? pieces : 1);
	for (unsigned i = 0; i < sent.count; i++) {
		const uint8_t *f = sent.frame[i];
		unsigned l3 = test_packet_l3(f), l4 = test_packet_l4(f);
		const struct rte_tcp_hdr *tcp = (const void *)(f + l4);
		unsigned payload = RTE_MIN(mss, packet->payload - at);
		bool last = i + 1 == sent.count;
		uint8_t flags = (uint8_t)(packet->tcp_flags & ~(i > 0 || last ? RTE_TCP_CWR_FLAG : 0) &
					  ~(last ? 0 : RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG));

		CU_ASSERT_TRUE(test_packet_right(f, sent.bytes[i]));
		CU_ASSERT_EQUAL(sent.bytes[i], RTE_MAX(l4 + 20 + payload, 60u));
		CU_ASSERT_EQUAL(rte_be_to_cpu_32(tcp->sent_seq), 0xfffffff0 + at);
		CU_ASSERT_EQUAL(tcp->tcp_flags, flags);
		if (!packet->v6) {
			const struct rte_ipv4_hdr *ip = (const void *)(f + l3);
			CU_ASSERT_EQUAL(rte_be_to_cpu_16(ip->packet_id), (uint16_t)(0xfffe + i));
		}
		for (unsigned k = 0; k < payload; k++)
			if (f[l4 + 20 + k] != (uint8_t)((at + k) * 13 + ((at + k) >> 8)) &&
				at + k + 4 < packet->payload)
				CU_FAIL_FATAL("the payload differs");
		at += payload;
	}
}

static void test_large_sends_are_cut(void)
{
	static const unsigned payloads[] = {1, 1399, 1400, 1401, 2800, 9000, 14000};
	struct test_port p;

	open_with(&p, 0,
		RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
			RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_VLAN_INSERT);
	for (unsigned i = 0; i < RTE_DIM(payloads) * 2; i++) {
		struct test_packet packet = i & 1 ? tcp4 : tcp6;
		packet.payload = payloads[i / 2];
		packet.tcp_flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_CWR_FLAG;
		uint64_t flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
				 (packet.v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM);
		struct rte_mbuf *m = prepared(&p, &packet, flags, 1400);
		sent.count = 0;
		tp_send(&p, 0, &m, 1);
		pieces_are(&packet, 1400);
	}
	CU_ASSERT_EQUAL(tp_count(&p).tx_segmentations, RTE_DIM(payloads) * 2);
	tp_close(&p);
}

static void test_tags_move_to_and_from_descriptors(void)
{
	struct test_port p;
	struct test_packet packet = tcp4;
	struct rte_mbuf *m, *in[TP_ROOM];
	uint8_t frame[2000];

	open_with(&p, RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_CHECKSUM,
		RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |
			RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
	m = prepared(&p, &packet, RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_VLAN, 0);
	m->vlan_tci = 0x123;
	tp_send(&p, 0, &m, 1);
	CU_ASSERT_EQUAL_FATAL(sent.count, 1);
	CU_ASSERT_EQUAL(memcmp(sent.frame[0] + 12, (uint8_t[]){0x81, 0, 1, 0x23, 8, 0}, 6), 0);
	CU_ASSERT_TRUE(test_packet_right(sent.frame[0], sent.bytes[0]));

	packet.vlan = 0x321;
	ixm_inject(p.device, frame, test_packet_write(frame, p.mac, &packet));
	CU_ASSERT_EQUAL_FATAL(tp_receive(&p, 0, in), 1);
	CU_ASSERT_EQUAL(in[0]->vlan_tci, 0x321);
	CU_ASSERT(in[0]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED);
	CU_ASSERT(test_packet_right(rte_pktmbuf_mtod(in[0], uint8_t *), in[0]->pkt_len));
	CU_ASSERT_EQUAL(in[0]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	rte_pktmbuf_free(in[0]);
	tp_close(&p);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"received_checksums_are_looked_at", test_received_checksums_are_looked_at},
		{"reported_errors_are_passed_on", test_reported_errors_are_passed_on},
		{"udp_without_a_checksum", test_udp_without_a_checksum},
		{"unchecked_counts_as_good", test_unchecked_counts_as_good},
		{"sent_checksums_are_filled_in", test_sent_checksums_are_filled_in},
		{"contexts_are_kept", test_contexts_are_kept},
		{"large_sends_are_cut", test_large_sends_are_cut},
		{"tags_move_to_and_from_descriptors", test_tags_move_to_and_from_descriptors},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
