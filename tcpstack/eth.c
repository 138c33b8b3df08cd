/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet II framing. */
#include "tcpstack/stack_impl.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void eth_input_take(struct stack *s, struct rte_mbuf *m)
{
	if (m->data_len < ETH_HEADER_BYTES) {
		DROP(s, m, eth_short);
		return;
	}
	const uint8_t *h = frame_data(m);
	bool to_all = !memcmp(h, broadcast, 6);
	if (!to_all && memcmp(h, s->config.mac, 6)) {
		DROP(s, m, eth_not_ours);
		return;
	}
	if ((h[6] & 1) || !memcmp(h + 6, s->config.mac, 6)) {
		DROP(s, m, eth_source);
		return;
	}
	uint16_t type = wire_get16(h + 12);
	rte_pktmbuf_adj(m, ETH_HEADER_BYTES);
	if (type == ETH_TYPE_IPV4 && to_all) /* RFC 1122 section 3.3.6 */
		DROP(s, m, eth_broadcast);
	else if (type == ETH_TYPE_IPV4)
		ipv4_input_take(s, m);
	else if (type == ETH_TYPE_ARP)
		arp_input_take(s, m);
	else
		DROP(s, m, eth_type);
}

void eth_output_take(struct stack *s, struct rte_mbuf *m, const uint8_t dst[6], uint16_t type)
{
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, ETH_HEADER_BYTES);

	MUST(h);
	memcpy(h, dst, 6);
	memcpy(h + 6, s->config.mac, 6);
	wire_put16(h + 12, type);
	m->l2_len = ETH_HEADER_BYTES;
	stack_transmit_take(s, m);
}
