/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be guessed: initial sequence numbers (RFC 6528), local ports (RFC 6056), the place in the
 * table. */
#include "tcpstack/tcp_impl.h"

uint64_t tcp_hash(const struct stack *s, uint32_t purpose, uint32_t laddr, uint32_t raddr, uint16_t lport,
	uint16_t rport)
{
	struct tcp_tuple t = {
		.laddr = laddr, .raddr = raddr, .lport = lport, .rport = rport, .purpose = purpose};

	return siphash(&s->config.key, &t, sizeof(t));
}

uint32_t tcp_isn(const struct stack *s, uint32_t laddr, uint32_t raddr, uint16_t lport, uint16_t rport)
{
	/* RFC 6528 section 3: M ticks every 4 us. */
	return (uint32_t)(s->now_us / 4) + (uint32_t)tcp_hash(s, TCP_HASH_ISN, laddr, raddr, lport, rport);
}

uint16_t tcp_port_pick(struct stack *s, uint32_t laddr, uint32_t raddr, uint16_t rport)
{
	enum { RANGE = TCP_PORT_LAST - TCP_PORT_FIRST + 1 };
	uint32_t offset = (uint32_t)tcp_hash(s, TCP_HASH_PORT, laddr, raddr, 0, rport);

	for (unsigned i = 0; i < RANGE; i++) {
		uint16_t port = (uint16_t)(TCP_PORT_FIRST + (offset + s->port_next++) % RANGE);
		if (!tcp_conn_find(s, laddr, raddr, port, rport) && !tcp_listener_find(s, laddr, port))
			return port;
	}
	return 0;
}
