/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ixgbe_model/test_packet.h"

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <stddef.h>
#include <string.h>

static unsigned ether_write(uint8_t *frame, const uint8_t mac[6], const struct test_packet *p)
{
	const uint16_t type = p->v6 ? RTE_BE16(RTE_ETHER_TYPE_IPV6) : RTE_BE16(RTE_ETHER_TYPE_IPV4);
	static const uint8_t from[6] = {2, 0, 0, 0, 0, 0xee};
	unsigned at = 12;

	memcpy(frame, mac, 6);
	memcpy(frame + 6, from, 6);
	if (p->vlan) {
		const uint8_t tag[4] = {0x81, 0, (uint8_t)(p->vlan >> 8), (uint8_t)p->vlan};
		memcpy(frame + at, tag, 4);
		at += 4;
	}
	memcpy(frame + at, &type, 2);
	return at + 2;
}

static unsigned header_bytes(uint8_t protocol)
{
	return protocol == TP_TCP   ? sizeof(struct rte_tcp_hdr)
	       : protocol == TP_UDP ? sizeof(struct rte_udp_hdr)
				    : 0;
}

static void ip_write(uint8_t *at, const struct test_packet *p, unsigned content)
{
	if (p->v6) {
		struct rte_ipv6_hdr *h = (void *)at;
		*h = (struct rte_ipv6_hdr){.vtc_flow = RTE_BE32(6u << 28),
			.payload_len = rte_cpu_to_be_16((uint16_t)content),
			.proto = p->protocol,
			.hop_limits = 64};
		memcpy(h->src_addr, p->source, 16);
		memcpy(h->dst_addr, p->destination, 16);
		return;
	}
	struct rte_ipv4_hdr *h = (void *)at;
	*h = (struct rte_ipv4_hdr){.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*h) + content)),
		.packet_id = RTE_BE16(0xfffe),
		.fragment_offset = p->fragment ? RTE_BE16(RTE_IPV4_HDR_MF_FLAG) : 0,
		.time_to_live = 64,
		.next_proto_id = p->protocol};
	memcpy(&h->src_addr, p->source, 4);
	memcpy(&h->dst_addr, p->destination, 4);
	h->hdr_checksum = rte_ipv4_cksum(h);
}

static void l4_write(uint8_t *at, const struct test_packet *p, const uint8_t *ip, unsigned content)
{
	rte_be16_t ports[2] = {rte_cpu_to_be_16(p->source_port), rte_cpu_to_be_16(p->destination_port)};
	unsigned sum_at;

	if (p->protocol == TP_TCP) {
		*(struct rte_tcp_hdr *)(void *)at = (struct rte_tcp_hdr){.sent_seq = RTE_BE32(0xfffffff0),
			.data_off = 5 << 4,
			.tcp_flags = p->tcp_flags,
			.rx_win = RTE_BE16(1000)};
		sum_at = offsetof(struct rte_tcp_hdr, cksum);
	} else if (p->protocol == TP_UDP) {
		*(struct rte_udp_hdr *)(void *)at = (struct rte_udp_hdr){
			.dgram_len = rte_cpu_to_be_16((uint16_t)content)};
		sum_at = offsetof(struct rte_udp_hdr, dgram_cksum);
	} else {
		return;
	}
	memcpy(at, ports, sizeof(ports));
	uint16_t right = p->v6 ? rte_ipv6_udptcp_cksum((const void *)ip, at)
			       : rte_ipv4_udptcp_cksum((const void *)ip, at);
	memcpy(at + sum_at, &right, sizeof(right));
}

unsigned test_packet_write(uint8_t *frame, const uint8_t mac[6], const struct test_packet *p)
{
	unsigned l3 = ether_write(frame, mac, p), l4 = l3 + (p->v6 ? 40 : 20);
	unsigned data = l4 + header_bytes(p->protocol), end = data + p->payload;

	for (unsigned i = 0; i < p->payload; i++)
		frame[data + i] = (uint8_t)(p->mark * 7 + i * 13 + (i >> 8));
	if (p->payload >= sizeof(p->mark))
		memcpy(frame + end - sizeof(p->mark), &p->mark, sizeof(p->mark));
	ip_write(frame + l3, p, end - l4);
	l4_write(frame + l4, p, frame + l3, end - l4);
	if (end >= 60)
		return end;
	memset(frame + end, 0xaa, 60 - end); /* padding that no checksum knows */
	return 60;
}

unsigned test_packet_l3(const uint8_t *frame)
{
	return frame[12] == 0x81 && frame[13] == 0 ? 18 : 14;
}

unsigned test_packet_l4(const uint8_t *frame)
{
	unsigned l3 = test_packet_l3(frame);
	return l3 + (frame[l3] >> 4 == 6 ? 40 : (frame[l3] & 0xfu) * 4);
}

/* With a right checksum in it the sum of TCP comes to 0, which for UDP is written as ones. */
static bool l4_right(const uint8_t *ip, const uint8_t *l4)
{
	uint16_t left = *ip >> 4 == 6 ? rte_ipv6_udptcp_cksum((const void *)ip, l4)
				      : rte_ipv4_udptcp_cksum((const void *)ip, l4);

	return left == 0 || left == 0xffff;
}

bool test_packet_right(const uint8_t *frame, unsigned bytes)
{
	unsigned l3 = test_packet_l3(frame), l4 = test_packet_l4(frame);
	const struct rte_ipv6_hdr *h6 = (const void *)(frame + l3);
	const struct rte_ipv4_hdr *h4 = (const void *)(frame + l3);

	if (frame[l3] >> 4 == 6)
		return l4 + rte_be_to_cpu_16(h6->payload_len) <= bytes && l4_right(frame + l3, frame + l4);
	return l3 + rte_be_to_cpu_16(h4->total_length) <= bytes && rte_ipv4_cksum(h4) == 0 &&
	       l4_right(frame + l3, frame + l4);
}
