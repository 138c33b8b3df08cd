/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/toeplitz.h"

/* The 32 bits of the key from this bit on. */
static uint32_t window(const uint8_t *key, unsigned bit)
{
	uint64_t word = 0;

	for (unsigned i = 0; i < 5; i++)
		word = word << 8 | key[bit / 8 + i];
	return (uint32_t)(word >> (8 - bit % 8));
}

void toeplitz_init(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_BYTES])
{
	for (unsigned byte = 0; byte < TOEPLITZ_INPUT_BYTES; byte++) {
		uint32_t *row = t->row[byte];
		row[0] = 0;
		for (unsigned value = 1; value < 256; value++) {
			unsigned lowest = (unsigned)__builtin_ctz(value);
			row[value] = row[value & (value - 1)] ^ window(key, byte * 8 + 7 - lowest);
		}
	}
}

static unsigned rank(uint32_t *rows, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!rows[i])
			continue;
		uint32_t lowest = rows[i] & -rows[i];
		found++;
		for (unsigned j = i + 1; j < n; j++)
			if (rows[j] & lowest)
				rows[j] ^= rows[i];
	}
	return found;
}

/* The hash is linear: each bit of the port turns some of its bits. Whether `bits` bits of the port from
 * `first` on reach all values of the lowest `hash_bits`. port_end: where the port's last bit stands in the
 * input. */
static bool reaches(const uint8_t *key, unsigned port_end, unsigned first, unsigned bits, unsigned hash_bits)
{
	uint32_t rows[16];

	for (unsigned i = 0; i < bits; i++)
		rows[i] = window(key, port_end - first - i) & ((1u << hash_bits) - 1);
	return rank(rows, bits) == hash_bits;
}

bool toeplitz_key_spreads(const uint8_t key[TOEPLITZ_KEY_BYTES])
{
	static const unsigned port_ends[] = {10 * 8 - 1, 34 * 8 - 1}; /* of the source port: IPv4, IPv6 */

	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned first = 0; first < 2; first++)
			for (unsigned hash_bits = 2; hash_bits <= 6; hash_bits += 2)
				if (!reaches(key, port_ends[v6], first, hash_bits + 2, hash_bits))
					return false;
	return true;
}
