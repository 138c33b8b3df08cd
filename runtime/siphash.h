/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 (Aumasson and Bernstein): keyed hashing for whatever a peer can aim at: initial sequence
 * numbers (RFC 6528), ports (RFC 6056), names in tables. */
#ifndef RUNTIME_SIPHASH_H
#define RUNTIME_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1;
};

/* A key from getrandom(2), at start only; aborts where the kernel gives no randomness. */
struct siphash_key siphash_key_random(void);

/* 64 bits over n bytes. Any thread, no side effects, about 1.5 cycles a byte. */
uint64_t siphash(const struct siphash_key *key, const void *data, size_t n);

/* SipHash-1-3, for tables whose hashes nobody is told: what a peer can make of it is slow lookups at most,
 * and half the rounds stand against that. Otherwise the same. */
uint64_t siphash_quick(const struct siphash_key *key, const void *data, size_t n);

#endif
