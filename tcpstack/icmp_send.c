/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors that we send: RFC 1122 section 3.2.2, RFC 4443 section 2.4. Few a second, so that nobody makes
 * us shout at a third; never about what was sent to many, came from nowhere, or was an error itself. */
#include "tcpstack/checksum.h"
#include "tcpstack/stack_impl.h"

enum {
	ICMP_HEADER_BYTES = 8,
	ERRORS_PER_S = 100,
	QUOTE_V4_MAX = 576 - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES, /* RFC 1812 section 4.3.2.3 */
	QUOTE_V6_MAX = IPV6_MTU_MIN - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES,
};

static bool allowed(struct stack *s)
{
	uint64_t second = s->now_us / 1000000;

	if (second != s->icmp_second) {
		s->icmp_second = second;
		s->icmp_left = ERRORS_PER_S;
	}
	if (!s->icmp_left) {
		COUNT(s, icmp_errors_limited);
		return false;
	}
	s->icmp_left--;
	return true;
}

void icmp_error_send(struct stack *s, struct rte_mbuf *m, uint32_t back, const struct ip_packet *ip,
	const struct icmp_error *e)
{
	bool v4 = ip_is_v4(&ip->dst);
	uint8_t protocol = v4 ? IP_PROTOCOL_ICMP : IP_PROTOCOL_ICMPV6;

	/* What came in pieces has lost its header. */
	if (ip->fragmented || ip_is_unspecified(&ip->src) || (ip_is_multicast(&ip->dst) && !e->to_groups) ||
		!allowed(s))
		return;
	const struct ip_addr *src = ip_is_multicast(&ip->dst) ? ip_source_for(s, &ip->src) : &ip->dst;
	struct rte_mbuf *out = src ? stack_tx_alloc(s) : NULL;
	if (!out)
		return;
	uint32_t n = min_u32(back + m->data_len, v4 ? QUOTE_V4_MAX : QUOTE_V6_MAX);
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(out, (uint16_t)(ICMP_HEADER_BYTES + n));
	p[0] = e->type;
	p[1] = e->code;
	wire_put16(p + 2, 0);
	wire_put32(p + 4, e->pointer);
	memcpy(p + ICMP_HEADER_BYTES, frame_data(m) - back, n);
	n += ICMP_HEADER_BYTES;
	uint64_t sum = v4 ? 0 : checksum_pseudo(src, &ip->src, protocol, n);
	wire_put16(p + 2, (uint16_t)~checksum_fold(checksum_add(sum, p, n)));
	COUNT(s, icmp_errors_out);
	ip_output_take(s, out, &(struct ip_send){.src = *src, .dst = ip->src, .protocol = protocol});
}
