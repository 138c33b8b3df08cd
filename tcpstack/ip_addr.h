/* SPDX-License-Identifier: Apache-2.0 */
/* One address type for both versions of IP. The bytes are those of the wire; an IPv4 address a.b.c.d is held
 * as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), which never is on a wire itself. */
#ifndef TCPSTACK_IP_ADDR_H
#define TCPSTACK_IP_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/wire.h"

struct ip_addr {
	union {
		uint8_t bytes[16];
		uint64_t word[2];
	};
};

enum { IP_V4_AT = 12 }; /* where an IPv4 address's own four bytes begin */

/* a in host byte order: 10.0.0.1 is 0x0a000001. */
static inline struct ip_addr ip_v4(uint32_t a)
{
	struct ip_addr ip = {.bytes = {[10] = 0xff, [11] = 0xff}};

	wire_put32(ip.bytes + IP_V4_AT, a);
	return ip;
}

/* a as its four bytes lie in memory. */
static inline struct ip_addr ip_v4_raw(uint32_t a)
{
	return (struct ip_addr){.word = {0, (uint64_t)a << 32 | 0xffff0000u}};
}

/* From the wire's 16 bytes. */
static inline struct ip_addr ip_v6(const void *bytes)
{
	struct ip_addr ip;

	memcpy(ip.bytes, bytes, sizeof(ip.bytes));
	return ip;
}

static inline bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1])) == 0;
}

static inline bool ip_is_v4(const struct ip_addr *a)
{
	return a->word[0] == 0 && wire_get32(a->bytes + 8) == 0xffff;
}

/* An IPv4 address in host byte order; a is one. */
static inline uint32_t ip_to_v4(const struct ip_addr *a)
{
	return wire_get32(a->bytes + IP_V4_AT);
}

/* ::, which stands for "none" and "any"; 0.0.0.0 counts as well. */
static inline bool ip_is_unspecified(const struct ip_addr *a)
{
	return a->word[0] == 0 && (a->word[1] == 0 || (ip_is_v4(a) && ip_to_v4(a) == 0));
}

static inline bool ip_is_multicast(const struct ip_addr *a)
{
	return a->bytes[0] == 0xff || (ip_is_v4(a) && a->bytes[IP_V4_AT] >> 4 == 0xe);
}

/* fe80::/10. */
static inline bool ip_is_link_local(const struct ip_addr *a)
{
	return a->bytes[0] == 0xfe && a->bytes[1] >> 6 == 2;
}

/* ::1 */
static inline bool ip_is_v6_loopback(const struct ip_addr *a)
{
	return a->word[0] == 0 && wire_get32(a->bytes + 8) == 0 && wire_get32(a->bytes + 12) == 1;
}

/* How many leading bits two addresses share, 0 to 128. */
unsigned ip_common_bits(const struct ip_addr *a, const struct ip_addr *b);

/* Whether a lies in prefix/bits: bits counts within the address's own version, 0 to 32 or 0 to 128. */
static inline bool ip_in_prefix(const struct ip_addr *a, const struct ip_addr *prefix, uint8_t bits)
{
	bool v4 = ip_is_v4(prefix);
	unsigned n = bits + (v4 ? 96u : 0); /* of all 128 */
	uint64_t high = __builtin_bswap64(a->word[0] ^ prefix->word[0]);
	uint64_t low = __builtin_bswap64(a->word[1] ^ prefix->word[1]);

	if (n <= 64)
		return ip_is_v4(a) == v4 && (n == 0 || high >> (64 - n) == 0);
	return high == 0 && low >> (128 - n) == 0 && ip_is_v4(a) == v4;
}

#endif
