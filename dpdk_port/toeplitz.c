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
