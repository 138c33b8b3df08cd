/* SPDX-License-Identifier: Apache-2.0 */
/* The Internet checksum (RFC 1071) over bytes and over mbufs. Sums are partial until checksum_fold. */
#ifndef TCPSTACK_CHECKSUM_H
#define TCPSTACK_CHECKSUM_H

#include <rte_mbuf.h>
#include <stdint.h>

#include "tcpstack/ip_addr.h"

/* Adds n bytes, of which the first stands at an even offset of the summed data, to sum. */
uint64_t checksum_add(uint64_t sum, const void *data, uint32_t n);

/* Adds n bytes from offset off of a (possibly segmented) mbuf; it has them, MUST. */
uint64_t checksum_add_mbuf(uint64_t sum, const struct rte_mbuf *m, uint32_t off, uint32_t n);

/* The sum of the pseudo header of either version (RFC 9293 section 3.1, RFC 8200 section 8.1). */
uint64_t checksum_pseudo(
	const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol, uint32_t length);

/* Folds to 16 bits without complementing. The result is stored with wire_put16; data with a right checksum
 * inside folds to 0xffff. */
uint16_t checksum_fold(uint64_t sum);

#endif
