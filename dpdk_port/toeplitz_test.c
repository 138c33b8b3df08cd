/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/toeplitz.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <string.h>

/* The key and the results that Microsoft publishes ("Verifying the RSS hash calculation"). */
static const uint8_t key[TOEPLITZ_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
	0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d,
	0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
	const char *dst, *src;
	uint16_t dport, sport;
	uint32_t addresses, with_ports;
} vectors[] = {
	{"161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178},
	{"65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea},
	{"12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
	{"209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f},
	{"202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2},
	{"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d},
	{"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf},
	{"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985,
		0x02d1feef},
};

static void test_published_vectors(void)
{
	struct toeplitz t;

	toeplitz_init(&t, key);
	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		int family = strchr(vectors[i].dst, ':') ? AF_INET6 : AF_INET;
		unsigned n = family == AF_INET ? 4 : 16;
		uint8_t addresses[32], ports[4];
		CU_ASSERT_EQUAL(inet_pton(family, vectors[i].src, addresses), 1);
		CU_ASSERT_EQUAL(inet_pton(family, vectors[i].dst, addresses + n), 1);
		ports[0] = (uint8_t)(vectors[i].sport >> 8);
		ports[1] = (uint8_t)vectors[i].sport;
		ports[2] = (uint8_t)(vectors[i].dport >> 8);
		ports[3] = (uint8_t)vectors[i].dport;
		uint32_t (*hash)(const struct toeplitz *, const uint8_t *, const uint8_t *) =
			family == AF_INET ? toeplitz_v4 : toeplitz_v6;
		CU_ASSERT_EQUAL(hash(&t, addresses, NULL), vectors[i].addresses);
		CU_ASSERT_EQUAL(hash(&t, addresses, ports), vectors[i].with_ports);
	}
}

/* Bit by bit, as the definition says it. */
static uint32_t slow(const uint8_t *k, const uint8_t *input, unsigned n)
{
	uint32_t hash = 0, window = (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 | (uint32_t)k[2] << 8 | k[3];

	for (unsigned bit = 0; bit < n * 8; bit++) {
		if (input[bit / 8] & 0x80 >> bit % 8)
			hash ^= window;
		unsigned next = bit + 32;
		window = window << 1 | (k[next / 8] >> (7 - next % 8) & 1);
	}
	return hash;
}

static void test_as_the_definition_says(void)
{
	struct toeplitz t;
	uint8_t k[TOEPLITZ_KEY_BYTES], input[TOEPLITZ_INPUT_BYTES];

	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < sizeof(k); i++)
			k[i] = (uint8_t)unit_random();
		for (unsigned i = 0; i < sizeof(input); i++)
			input[i] = (uint8_t)unit_random();
		toeplitz_init(&t, k);
		CU_ASSERT_EQUAL(toeplitz_v4(&t, input, input + 8), slow(k, input, 12));
		CU_ASSERT_EQUAL(toeplitz_v6(&t, input, input + 32), slow(k, input, 36));
	}
}

static bool even(const struct toeplitz *t, bool v6, unsigned step, unsigned cores)
{
	uint8_t addresses[32], ports[4] = {0};
	unsigned got[64] = {0}, first = unit_random_below(100) * 512, n = cores * 4;

	for (unsigned i = 0; i < 32; i++)
		addresses[i] = (uint8_t)unit_random();
	for (unsigned i = 0; i < n; i++) {
		unsigned port = first + i * step;
		ports[0] = (uint8_t)(port >> 8);
		ports[1] = (uint8_t)port;
		got[(v6 ? toeplitz_v6 : toeplitz_v4)(t, addresses, ports) % cores]++;
	}
	for (unsigned i = 0; i < cores; i++)
		if (got[i] != 4)
			return false;
	return true;
}

/* A key that is said to spread does so, and random ones are often enough such. */
static void test_keys_that_spread(void)
{
	static const uint8_t zero[TOEPLITZ_KEY_BYTES];
	unsigned good = 0, uneven = 0;

	CU_ASSERT_FALSE(toeplitz_key_spreads(zero));
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t k[TOEPLITZ_KEY_BYTES];
		struct toeplitz t;
		for (unsigned j = 0; j < sizeof(k); j++)
			k[j] = (uint8_t)unit_random();
		if (!toeplitz_key_spreads(k))
			continue;
		if (good++ > 20)
			continue;
		toeplitz_init(&t, k);
		for (unsigned cores = 4; cores <= 64; cores *= 4)
			uneven += !even(&t, false, 1, cores) + !even(&t, false, 2, cores) +
				  !even(&t, true, 1, cores) + !even(&t, true, 2, cores);
	}
	CU_ASSERT_EQUAL(uneven, 0);
	CU_ASSERT(good > 20);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"published_vectors", test_published_vectors},
			{"as_the_definition_says", test_as_the_definition_says},
			{"keys_that_spread", test_keys_that_spread}, {0}});
}
