/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet II framing, with one tag of IEEE 802.1Q or none. */
#include "tcpstack/stack_impl.h"

const uint8_t eth_everyone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* RFC 2464 section 7: groups of IPv6 that may concern us; ipv6.c looks at the address itself. */
static bool is_ipv6_group(const uint8_t mac[6])
{
	return mac[0] == 0x33 && mac[1] == 0x33;
}

/* Cuts off the Ethernet header and a tag; the type is what lies behind. False where the frame is of another
 * VLAN than ours or too short. A tag of VLAN 0 tells a priority only, which we have no use for. */
static bool header_cut(struct stack *s, struct rte_mbuf *m, uint16_t *type)
{
	uint16_t header = ETH_HEADER_BYTES, vlan = 0;

	*type = wire_get16(frame_data(m) + 12);
	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		vlan = m->vlan_tci & ETH_VLAN_MASK;
	} else if (*type == ETH_TYPE_VLAN) {
		header += ETH_TAG_BYTES;
		if (m->data_len < header) {
			COUNT(s, eth_short);
			return false;
		}
		vlan = wire_get16(frame_data(m) + 14) & ETH_VLAN_MASK;
		*type = wire_get16(frame_data(m) + 16);
	}
	if (vlan != s->config.vlan) {
		COUNT(s, eth_vlan);
		return false;
	}
	rte_pktmbuf_adj(m, header);
	return true;
}

void eth_input_take(struct stack *s, struct rte_mbuf *m)
{
	if (m->data_len < ETH_HEADER_BYTES) {
		DROP(s, m, eth_short);
		return;
	}
	const uint8_t *h = frame_data(m);
	bool to_all = !memcmp(h, eth_everyone, 6), to_group = to_all || is_ipv6_group(h);
	if (!to_group && memcmp(h, s->config.mac, 6)) {
		DROP(s, m, eth_not_ours);
		return;
	}
	if ((h[6] & 1) || !memcmp(h + 6, s->config.mac, 6)) {
		DROP(s, m, eth_source);
		return;
	}
	uint16_t type;
	if (!header_cut(s, m, &type))
		rte_pktmbuf_free(m);
	else if (type == ETH_TYPE_IPV4 && to_group) /* RFC 1122 section 3.3.6 */
		DROP(s, m, eth_broadcast);
	else if (type == ETH_TYPE_IPV4)
		ipv4_input_take(s, m);
	else if (type == ETH_TYPE_IPV6 && s->has_ipv6)
		ipv6_input_take(s, m, to_group);
	else if (type == ETH_TYPE_ARP)
		arp_input_take(s, m);
	else
		DROP(s, m, eth_type);
}

void eth_output_take(struct stack *s, struct rte_mbuf *m, const uint8_t dst[6], uint16_t type)
{
	uint16_t header = ETH_HEADER_BYTES + (s->config.vlan ? ETH_TAG_BYTES : 0);
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, header);

	MUST(h);
	memcpy(h, dst, 6);
	memcpy(h + 6, s->config.mac, 6);
	if (s->config.vlan) {
		wire_put16(h + 12, ETH_TYPE_VLAN);
		wire_put16(h + 14, s->config.vlan);
	}
	wire_put16(h + header - 2, type);
	m->l2_len = header;
	stack_transmit_take(s, m);
}
