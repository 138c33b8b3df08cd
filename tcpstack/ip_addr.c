/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/ip_addr.h"

bool ip_in_prefix(const struct ip_addr *a, const struct ip_addr *prefix, uint8_t bits)
{
	unsigned at = 0, n = bits;

	if (ip_is_v4(a) != ip_is_v4(prefix))
		return false;
	if (ip_is_v4(prefix))
		at = IP_V4_AT;
	for (; n >= 8; n -= 8, at++)
		if (a->bytes[at] != prefix->bytes[at])
			return false;
	return n == 0 || (a->bytes[at] ^ prefix->bytes[at]) >> (8 - n) == 0;
}

unsigned ip_common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
	for (unsigned i = 0; i < sizeof(a->bytes); i++) {
		uint8_t differ = a->bytes[i] ^ b->bytes[i];
		if (differ)
			return i * 8 + (unsigned)__builtin_clz(differ) - 24;
	}
	return 128;
}
