/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/ip_addr.h"

unsigned ip_common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
	for (unsigned i = 0; i < sizeof(a->bytes); i++) {
		uint8_t differ = a->bytes[i] ^ b->bytes[i];
		if (differ)
			return i * 8 + (unsigned)__builtin_clz(differ) - 24;
	}
	return 128;
}
