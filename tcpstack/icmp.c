/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP echo (RFC 792, RFC 1122 section 3.2.2.6), and the way to errors. The request's own buffer carries the
 * reply, so that we answer when pools are empty. */
#include "tcpstack/checksum.h"
#include "tcpstack/stack_impl.h"

enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO_REQUEST = 8, ICMP_HEADER_BYTES = 8 };

void icmp_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	if (m->data_len < ICMP_HEADER_BYTES) {
		DROP(s, m, icmp_short);
		return;
	}
	if (checksum_fold(checksum_add_mbuf(0, m, 0, ip->length)) != 0xffff) {
		DROP(s, m, icmp_checksum);
		return;
	}
	uint8_t *h = frame_data(m);
	if (icmp_is_error(true, h[0])) {
		icmp_error_input(s, m, ip);
		rte_pktmbuf_free(m);
		return;
	}
	bool sendable = m->nb_segs == 1 || (s->config.offload_flags & STACK_OFFLOAD_MULTI_SEG);
	if (h[0] != ICMP_ECHO_REQUEST || h[1] != 0 || !sendable ||
		ip->length + IPV4_HEADER_BYTES > s->config.mtu) {
		DROP(s, m, icmp_other);
		return;
	}
	COUNT(s, icmp_echo);
	h[0] = ICMP_ECHO_REPLY;
	/* RFC 1624: the checksum is adjusted by what the type lost, (8 << 8) in its word. */
	uint16_t sum = (uint16_t)~wire_get16(h + 2);
	wire_put16(h + 2, (uint16_t)~checksum_fold((uint64_t)sum + (uint16_t) ~(ICMP_ECHO_REQUEST << 8)));
	ip_output_take(s, m, &(struct ip_send){.src = ip->dst, .dst = ip->src, .protocol = IP_PROTOCOL_ICMP});
}
