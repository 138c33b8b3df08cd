/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/checksum.h"

#include <string.h>

#include "runtime/check.h"
#include "runtime/wire.h"

/* Sums are of 16-bit words in network order; they are gathered in the machine's order, which the one's
 * complement sum permits (RFC 1071 section 2B), and turned at the end. */
static uint64_t turn(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return __builtin_bswap16((uint16_t)sum);
}

uint64_t checksum_add(uint64_t sum, const void *data, uint32_t n)
{
	const uint8_t *p = data;
	uint64_t own = 0;

	for (; n >= 4; n -= 4, p += 4) {
		uint32_t v;
		memcpy(&v, p, 4);
		own += v;
	}
	if (n >= 2) {
		uint16_t v;
		memcpy(&v, p, 2);
		own += v;
		n -= 2, p += 2;
	}
	if (n)
		own += p[0];
	return sum + turn(own);
}

uint64_t checksum_add_mbuf(uint64_t sum, const struct rte_mbuf *m, uint32_t off, uint32_t n)
{
	int odd = 0;

	for (; n; m = m->next) {
		MUST(m);
		if (off >= m->data_len) {
			off -= m->data_len;
			continue;
		}
		uint32_t part = RTE_MIN(n, m->data_len - off);
		uint64_t own = checksum_add(0, rte_pktmbuf_mtod_offset(m, const uint8_t *, off), part);
		/* A piece that starts at an odd offset has its bytes in the other halves. */
		sum += odd ? __builtin_bswap16(checksum_fold(own)) : own;
		odd ^= part & 1;
		n -= part;
		off = 0;
	}
	return sum;
}

uint64_t checksum_pseudo(
	const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol, uint32_t length)
{
	/* IPv4's bytes stand behind others that the sum must leave out. */
	unsigned at = ip_is_v4(dst) ? IP_V4_AT : 0;
	uint64_t sum = (uint64_t)protocol + length;

	for (; at < sizeof(src->bytes); at += 4)
		sum += (uint64_t)wire_get32(src->bytes + at) + wire_get32(dst->bytes + at);
	return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}
