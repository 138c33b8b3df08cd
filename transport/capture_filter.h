/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames a capture wants: a pure function of a frame's first bytes. */
#ifndef TRANSPORT_CAPTURE_FILTER_H
#define TRANSPORT_CAPTURE_FILTER_H

#include <stdbool.h>
#include <stdint.h>

/* An address or a prefix, in network byte order. */
struct capture_address {
	uint8_t family; /* 4 or 6; 0: any */
	uint8_t bytes[16];
	uint8_t prefix_bits; /* at most 32 or 128; the bits behind it are not looked at */
};

/* All conditions that are set must hold; none is set in a zeroed struct, which matches every frame.
 *
 * host: source or destination of an IPv4 or IPv6 packet, an address that an ARP packet asks for or tells, or
 * the target of a neighbour solicitation or advertisement. The conditions on TCP match TCP segments alone,
 * and the ICMP errors that quote one; a fragment behind the first has no ports and does not match. VLAN tags
 * are looked through. */
struct capture_filter {
	struct capture_address host;
	uint16_t tcp_port; /* either end's; 0: any */
	bool has_conn;
	struct {
		struct capture_address address;
		uint16_t port;
	} conn[2]; /* the two ends, in either order */
};

/* frame: bytes from the Ethernet header on, as many as lie together; a header that is cut off does not match.
 * A malformed frame is no more than that. Any core, O(headers). */
bool capture_filter_match(const struct capture_filter *f, const uint8_t *frame, uint32_t bytes);

#endif
