/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/siphash.h"

#include "runtime/check.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void round_once(struct state *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32) + s->v3;
	s->v2 += s->v1;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word, unsigned rounds)
{
	s->v3 ^= word;
	for (unsigned i = 0; i < rounds; i++)
		round_once(s);
	s->v0 ^= word;
}

/* Fewer than eight bytes, little-endian; n is how many stand before them. */
static inline uint64_t tail(const uint8_t *p, size_t left, size_t n)
{
	uint64_t word = 0;

	if (left > 0 && n > 0) {
		memcpy(&word, p + left - 8, 8);
		return word >> (8 * (8 - left));
	}
	for (size_t i = 0; i < left; i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

struct siphash_key siphash_key_random(void)
{
	struct siphash_key key;
	ssize_t n;

	do
		n = getrandom(&key, sizeof(key), 0);
	while (n < 0 && errno == EINTR);
	MUST(n == (ssize_t)sizeof(key));
	return key;
}

/* The algorithm is defined on little-endian words, as x86-64 loads them. */
static inline uint64_t hash(
	const struct siphash_key *key, const void *data, size_t n, unsigned rounds, unsigned last_rounds)
{
	struct state s = {
		.v0 = key->k0 ^ 0x736f6d6570736575u,
		.v1 = key->k1 ^ 0x646f72616e646f6du,
		.v2 = key->k0 ^ 0x6c7967656e657261u,
		.v3 = key->k1 ^ 0x7465646279746573u,
	};
	const uint8_t *p = data;
	uint64_t word;
	size_t left = n;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		absorb(&s, word, rounds);
	}
	absorb(&s, (uint64_t)n << 56 | tail(p, left, n - left), rounds);
	s.v2 ^= 0xff;
	for (unsigned i = 0; i < last_rounds; i++)
		round_once(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash(const struct siphash_key *key, const void *data, size_t n)
{
	return hash(key, data, n, 2, 4);
}

uint64_t siphash_quick(const struct siphash_key *key, const void *data, size_t n)
{
	return hash(key, data, n, 1, 3);
}
