/* SPDX-License-Identifier: Apache-2.0 */
/* The hash by which devices spread connections over queues (Toeplitz, as Microsoft's receive side scaling
 * defines it), from tables: a load and an exclusive or each byte. */
#ifndef DPDK_PORT_TOEPLITZ_H
#define DPDK_PORT_TOEPLITZ_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TOEPLITZ_KEY_BYTES = 40, /* that the longest input needs */
	TOEPLITZ_INPUT_BYTES = 36,
};

struct toeplitz {
	uint32_t row[TOEPLITZ_INPUT_BYTES][256];
};

/* Some 20 us. */
void toeplitz_init(struct toeplitz *t, const uint8_t key[TOEPLITZ_KEY_BYTES]);

/* Whether the lowest bits of the hash tell a client's connections apart, whose source ports follow each other
 * or are every second one (as Linux chooses them): of a random key that is not sure, and then some cores
 * would get none of them. 16 connections cover 4 cores, 64 cover 16, 256 cover 64, each evenly. Which port
 * goes where stays anybody's guess. */
bool toeplitz_key_spreads(const uint8_t key[TOEPLITZ_KEY_BYTES]);

/* What a device hashes of a received packet: addresses of 4 or 16 bytes, and where both ports are given (as
 * they stand in the packet, not NULL) those. */
static inline uint32_t toeplitz_bytes(const struct toeplitz *t, unsigned at, const uint8_t *p, unsigned n)
{
	uint32_t hash = 0;

#pragma GCC unroll 32
	for (unsigned i = 0; i < n; i++)
		hash ^= t->row[at + i][p[i]];
	return hash;
}

static inline uint32_t toeplitz_v4(
	const struct toeplitz *t, const uint8_t *addresses, const uint8_t *ports_or_null)
{
	uint32_t hash = toeplitz_bytes(t, 0, addresses, 8);

	return ports_or_null ? hash ^ toeplitz_bytes(t, 8, ports_or_null, 4) : hash;
}

static inline uint32_t toeplitz_v6(
	const struct toeplitz *t, const uint8_t *addresses, const uint8_t *ports_or_null)
{
	uint32_t hash = toeplitz_bytes(t, 0, addresses, 32);

	return ports_or_null ? hash ^ toeplitz_bytes(t, 32, ports_or_null, 4) : hash;
}

#endif
