/* SPDX-License-Identifier: Apache-2.0 */
/* ICMPv6 (RFC 4443): echo, and the way to neighbour discovery. The request's own buffer carries the reply, so
 * that we answer when pools are empty. */
#include "tcpstack/checksum.h"
#include "tcpstack/stack_impl.h"

enum {
	ECHO_REQUEST = 128,
	ECHO_REPLY = 129,
	LISTENER_QUERY = 130,
	ROUTER_SOLICIT = 133,
	ROUTER_ADVERT = 134,
	NEIGHBOUR_SOLICIT = 135,
	NEIGHBOUR_ADVERT = 136,
	REDIRECT = 137,
	ICMP_HEADER_BYTES = 8,
};

/* Not to a group: an answer from each of its members helps nobody but who forges the source. */
static void echo_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	uint8_t *h = frame_data(m);
	bool sendable = m->nb_segs == 1 || (s->config.offload_flags & STACK_OFFLOAD_MULTI_SEG);

	if (h[1] != 0 || !sendable || ip_is_multicast(&ip->dst) ||
		ip->length + IPV6_HEADER_BYTES > ip_mtu(s, &ip->src)) {
		DROP(s, m, icmp_other);
		return;
	}
	COUNT(s, icmp_echo);
	h[0] = ECHO_REPLY;
	/* RFC 1624: the type's word has grown by 1 << 8. */
	uint16_t sum = (uint16_t)~wire_get16(h + 2);
	wire_put16(h + 2, (uint16_t)~checksum_fold((uint64_t)sum + ((ECHO_REPLY - ECHO_REQUEST) << 8)));
	ip_output_take(
		s, m, &(struct ip_send){.src = ip->dst, .dst = ip->src, .protocol = IP_PROTOCOL_ICMPV6});
}

void icmp6_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	if (m->data_len < ICMP_HEADER_BYTES) {
		DROP(s, m, icmp_short);
		return;
	}
	uint64_t sum = checksum_pseudo(&ip->src, &ip->dst, IP_PROTOCOL_ICMPV6, ip->length);
	if (checksum_fold(checksum_add_mbuf(sum, m, 0, ip->length)) != 0xffff) {
		DROP(s, m, icmp_checksum);
		return;
	}
	if (icmp_is_error(false, *frame_data(m))) {
		icmp_error_input(s, m, ip);
		rte_pktmbuf_free(m);
		return;
	}
	switch (*frame_data(m)) {
	case ECHO_REQUEST:
		echo_take(s, m, ip);
		return;
	case LISTENER_QUERY:
		mld_query_take(s, m, ip);
		return;
	case ROUTER_SOLICIT:
	case ROUTER_ADVERT:
	case NEIGHBOUR_SOLICIT:
	case NEIGHBOUR_ADVERT:
	case REDIRECT:
		nd_input_take(s, m, ip);
		return;
	default:
		DROP(s, m, icmp_other);
	}
}
