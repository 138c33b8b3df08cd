/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/siphash.h"

#include "tests/unit/unit.h"

#include <string.h>

/* The authors' published SipHash-2-4 vectors: key 00 01 .. 0f, entry n over the bytes 00 01 .. n-1, read as a
 * little-endian integer. */
/* clang-format off */
static const uint64_t vectors[64] = {
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
	0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
	0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
	0x3f2acc7f57c29bdb, 0x699ae9f52cbe4794, 0x4bc1b3f0968dd39c, 0xbb6dc91da77961bd,
	0xbed65cf21aa2ee98, 0xd0f2cbb02e3b67c7, 0x93536795e3a33e88, 0xa80c038ccd5ccec8,
	0xb8ad50c6f649af94, 0xbce192de8a85b8ea, 0x17d835b85bbb15f3, 0x2f2e6163076bcfad,
	0xde4daaaca71dc9a5, 0xa6a2506687956571, 0xad87a3535c49ef28, 0x32d892fad841c342,
	0x7127512f72f27cce, 0xa7f32346f95978e3, 0x12e0b01abb051238, 0x15e034d40fa197ae,
	0x314dffbe0815a3b4, 0x027990f029623981, 0xcadcd4e59ef40c4d, 0x9abfd8766a33735c,
	0x0e3ea96b5304a7d0, 0xad0c42d6fc585992, 0x187306c89bc215a9, 0xd4a60abcf3792b95,
	0xf935451de4f21df2, 0xa9538f0419755787, 0xdb9acddff56ca510, 0xd06c98cd5c0975eb,
	0xe612a3cb9ecba951, 0xc766e62cfcadaf96, 0xee64435a9752fe72, 0xa192d576b245165a,
	0x0a8787bf8ecb74b2, 0x81b3e73d20b49b6f, 0x7fa8220ba3b2ecea, 0x245731c13ca42499,
	0xb78dbfaf3a8d83bd, 0xea1ad565322a1a0b, 0x60e61c23a3795013, 0x6606d7e446282b93,
	0x6ca4ecb15c5f91e1, 0x9f626da15c9625f3, 0xe51b38608ef25f57, 0x958a324ceb064572,
};
/* clang-format on */

static void published_vectors(void)
{
	struct siphash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
	uint8_t data[65];

	/* From an odd address: no alignment is assumed. */
	for (unsigned i = 0; i < 64; i++)
		data[i + 1] = (uint8_t)i;
	for (unsigned n = 0; n < 64; n++)
		CU_ASSERT_EQUAL(siphash(&key, data + 1, n), vectors[n]);
}

/* The definition, word by word, for any numbers of rounds. */
static uint64_t reference(struct siphash_key key, const uint8_t *data, unsigned n, int c, int d)
{
	uint64_t v[4] = {key.k0 ^ 0x736f6d6570736575u, key.k1 ^ 0x646f72616e646f6du,
		key.k0 ^ 0x6c7967656e657261u, key.k1 ^ 0x7465646279746573u};

	for (unsigned word = 0; word <= n / 8; word++) {
		uint64_t m = word == n / 8 ? (uint64_t)n << 56 : 0;
		for (unsigned i = word * 8; i < n && i < word * 8 + 8; i++)
			m |= (uint64_t)data[i] << (i % 8 * 8);
		for (int round = 0; round < c + (word == n / 8 ? d : 0); round++) {
			if (round == 0)
				v[3] ^= m;
			if (round == c) {
				v[0] ^= m;
				v[2] ^= 0xff;
			}
			v[0] += v[1], v[1] = v[1] << 13 | v[1] >> 51, v[1] ^= v[0],
				      v[0] = v[0] << 32 | v[0] >> 32;
			v[2] += v[3], v[3] = v[3] << 16 | v[3] >> 48, v[3] ^= v[2];
			v[0] += v[3], v[3] = v[3] << 21 | v[3] >> 43, v[3] ^= v[0];
			v[2] += v[1], v[1] = v[1] << 17 | v[1] >> 47, v[1] ^= v[2],
				      v[2] = v[2] << 32 | v[2] >> 32;
		}
		if (word < n / 8)
			v[0] ^= m;
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void both_are_as_defined(void)
{
	uint8_t data[200];

	for (unsigned i = 0; i < 1000; i++) {
		struct siphash_key key = {unit_random(), unit_random()};
		unsigned at = unit_random_below(8), n = unit_random_below(150);
		for (unsigned k = 0; k < sizeof(data); k++)
			data[k] = (uint8_t)unit_random();
		CU_ASSERT_EQUAL(siphash(&key, data + at, n), reference(key, data + at, n, 2, 4));
		CU_ASSERT_EQUAL(siphash_quick(&key, data + at, n), reference(key, data + at, n, 1, 3));
	}
}

static void random_keys_differ(void)
{
	struct siphash_key a = siphash_key_random(), b = siphash_key_random();

	CU_ASSERT_NOT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	CU_ASSERT_NOT_EQUAL(siphash(&a, "godwit", 6), siphash(&b, "godwit", 6));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"published_vectors", published_vectors},
			{"both_are_as_defined", both_are_as_defined},
			{"random_keys_differ", random_keys_differ}, {0}});
}
