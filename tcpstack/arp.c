/* SPDX-License-Identifier: Apache-2.0 */
/* ARP (RFC 826, RFC 1122 section 2.3.2), and the defence of our addresses against another station that claims
 * them (RFC 5227 section 2.4). */
#include <errno.h>

#include "tcpstack/neighbour.h"

enum {
	ARP_BYTES = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ARP_DEFEND_US = 10000000, /* RFC 5227's DEFEND_INTERVAL */
};

/* Writes an ARP packet into the empty mbuf m and sends it. */
static void arp_send_take(struct stack *s, struct rte_mbuf *m, uint16_t op, uint32_t sender,
	const uint8_t eth_dst[6], const uint8_t target_mac[6], uint32_t target)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, ARP_BYTES);

	MUST(p);
	wire_put16(p, 1);
	wire_put16(p + 2, ETH_TYPE_IPV4);
	p[4] = 6;
	p[5] = 4;
	wire_put16(p + 6, op);
	memcpy(p + 8, s->config.mac, 6);
	wire_put32(p + 14, sender);
	memcpy(p + 18, target_mac, 6);
	wire_put32(p + 24, target);
	eth_output_take(s, m, eth_dst, ETH_TYPE_ARP);
}

int arp_request(struct stack *s, uint32_t sender, const uint8_t eth_dst[6], uint32_t target)
{
	static const uint8_t unknown[6];
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (!m)
		return -ENOBUFS;
	COUNT(s, arp_requests_out);
	arp_send_take(s, m, ARP_REQUEST, sender, eth_dst, unknown, target);
	return 0;
}

void arp_solicit(struct stack *s, const struct ip_addr *addr, const uint8_t *mac_or_null)
{
	const struct ip_addr *src = ip_source_for(s, addr);

	if (src)
		arp_request(s, ip_to_v4(src), mac_or_null ? mac_or_null : eth_everyone, ip_to_v4(addr));
	else
		COUNT(s, ip_no_route);
}

/* RFC 5227 section 2.4 (c): a server keeps its address and says so, but not in a storm. */
static void defend(struct stack *s, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_own *own = &s->own[i];
		if (s->config.passive || !ip_equal(&own->address, addr) ||
			(own->defended && s->now_us - own->defended_us < ARP_DEFEND_US))
			continue;
		if (arp_request(s, ip_to_v4(addr), eth_everyone, ip_to_v4(addr)) == 0) {
			own->defended = true;
			own->defended_us = s->now_us;
		}
	}
}

/* RFC 826: known senders are brought up to date by any packet, new ones noted when they talk to us. A probe
 * (sender 0) says nothing about anyone. */
static void sender_learn(
	struct stack *s, const struct ip_addr *sender, const uint8_t mac[6], uint16_t op, bool for_us)
{
	if (!neighbour_possible(s, sender))
		return;
	struct neighbour *e = neighbour_find(s, sender);
	if (!e && for_us && op == ARP_REQUEST)
		e = neighbour_find_or_add(s, sender);
	if (e) {
		neighbour_set(s, e, mac, NEIGHBOUR_REACHABLE);
		if (op == ARP_REPLY)
			COUNT(s, arp_replies_in);
	}
	if (for_us)
		neighbour_heard(s, sender, mac);
}

void arp_input_take(struct stack *s, struct rte_mbuf *m)
{
	const uint8_t *p = frame_data(m);

	if (m->data_len < ARP_BYTES || wire_get16(p) != 1 || wire_get16(p + 2) != ETH_TYPE_IPV4 ||
		p[4] != 6 || p[5] != 4 || (p[8] & 1)) {
		DROP(s, m, arp_malformed);
		return;
	}
	uint16_t op = wire_get16(p + 6);
	uint8_t sender_mac[6];
	memcpy(sender_mac, p + 8, 6);
	uint32_t sender = wire_get32(p + 14), target = wire_get32(p + 24);
	struct ip_addr sender_ip = ip_v4(sender), target_ip = ip_v4(target);
	if (ip_is_ours(s, &sender_ip)) {
		defend(s, &sender_ip);
		DROP(s, m, arp_conflict);
		return;
	}
	arp_probe_seen(s, &sender_ip, &target_ip);
	bool for_us = ip_is_ours(s, &target_ip);
	sender_learn(s, &sender_ip, sender_mac, op, for_us);
	if (op != ARP_REQUEST || !for_us) {
		if (!for_us)
			COUNT(s, arp_not_ours);
		rte_pktmbuf_free(m);
		return;
	}
	if (s->config.passive) {
		DROP(s, m, answered_elsewhere);
		return;
	}
	/* The request's own buffer carries the reply, so that we answer when pools are empty. */
	COUNT(s, arp_requests_in);
	frame_empty(m);
	arp_send_take(s, m, ARP_REPLY, target, sender_mac, sender_mac, sender);
}
