/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes as the draft has them; tests/operator has tshark read whole files. */
#include "broker/main/pcapng.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* A block of n bytes: its type, both its lengths, and that n is a multiple of four. */
static void framed(const uint8_t *block, size_t n, uint32_t type)
{
	uint32_t words[2], last;

	memcpy(words, block, sizeof(words));
	memcpy(&last, block + n - 4, sizeof(last));
	CU_ASSERT_EQUAL(words[0], type);
	CU_ASSERT_EQUAL(words[1], n);
	CU_ASSERT_EQUAL(last, n);
	CU_ASSERT_EQUAL(n % 4, 0);
}

/* The value of an option behind at, or NULL; options end in time. */
static const uint8_t *option_of(const uint8_t *block, size_t n, size_t at, uint16_t code, uint16_t *length)
{
	while (at + 4 <= n - 4) {
		uint16_t head[2];
		memcpy(head, block + at, sizeof(head));
		if (head[0] == 0) {
			CU_ASSERT_EQUAL(at + 4, n - 4);
			return NULL;
		}
		if (head[0] == code) {
			*length = head[1];
			return block + at + 4;
		}
		at += 4 + (head[1] + 3u) / 4 * 4;
	}
	CU_ASSERT(!"the options have no end");
	return NULL;
}

static uint64_t option_count_of(const uint8_t *block, size_t n, size_t at, uint16_t code)
{
	uint16_t length = 0;
	uint64_t v = 0;
	const uint8_t *p = option_of(block, n, at, code, &length);

	CU_ASSERT(p && length == 8);
	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}

static void test_section(void)
{
	/* on a little-endian machine, byte by byte */
	static const uint8_t golden[] = {0x0a, 0x0d, 0x0d, 0x0a, 40, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0,
		0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4, 0, 2, 0, 'G', '1', 0, 0, 0, 0, 0, 0, 40,
		0, 0, 0};
	uint8_t out[PCAPNG_BLOCK_BYTES];

	CU_ASSERT_EQUAL_FATAL(pcapng_section(out, "G1"), sizeof(golden));
	CU_ASSERT_EQUAL(memcmp(out, golden, sizeof(golden)), 0);
}

static void test_interface(void)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	struct pcapng_interface i = {
		"godwit0", "net_tap0 (net_tap)", "tcp port 5672", mac, 10000000000ull, 128, true};
	uint8_t out[PCAPNG_BLOCK_BYTES];
	uint16_t length = 0;
	uint32_t snaplen;
	size_t n = pcapng_interface(out, &i);

	framed(out, n, 1);
	CU_ASSERT(out[8] == 1 && out[9] == 0);
	memcpy(&snaplen, out + 12, sizeof(snaplen));
	CU_ASSERT_EQUAL(snaplen, 128);
	const uint8_t *p = option_of(out, n, 16, 2, &length);
	CU_ASSERT(p && length == 7 && memcmp(p, "godwit0", 7) == 0);
	p = option_of(out, n, 16, 6, &length);
	CU_ASSERT(p && length == 6 && memcmp(p, mac, 6) == 0);
	CU_ASSERT_EQUAL(option_count_of(out, n, 16, 8), 10000000000ull);
	p = option_of(out, n, 16, 9, &length);
	CU_ASSERT(p && length == 1 && *p == 9);
	p = option_of(out, n, 16, 11, &length);
	CU_ASSERT(p && length == 14 && memcmp(p, "\0tcp port 5672", 14) == 0);
	i.nanoseconds = false;
	i.filter_or_null = NULL;
	i.speed_bps = 0;
	n = pcapng_interface(out, &i);
	p = option_of(out, n, 16, 9, &length);
	CU_ASSERT(p && *p == 6);
	CU_ASSERT_PTR_NULL(option_of(out, n, 16, 11, &length));
	CU_ASSERT_PTR_NULL(option_of(out, n, 16, 8, &length));
}

static void test_packet(void)
{
	static const uint8_t unicast[61] = {2, 1}, broadcast[6] = {255, 255, 255, 255, 255, 255},
			     multicast[6] = {1};
	struct pcapng_packet p = {3, 0x1122334455667788, unicast, 61, 1514, PCAPNG_OUT, 0};
	uint8_t out[256];
	uint32_t words[5], flags;
	uint16_t length = 0;
	size_t n = pcapng_packet(out, &p);

	framed(out, n, 6);
	memcpy(words, out + 8, sizeof(words));
	CU_ASSERT(words[0] == 3 && words[1] == 0x11223344 && words[2] == 0x55667788);
	CU_ASSERT(words[3] == 61 && words[4] == 1514);
	CU_ASSERT(
		memcmp(out + PCAPNG_PACKET_HEADER, unicast, 61) == 0 && out[PCAPNG_PACKET_HEADER + 61] == 0);
	const uint8_t *o = option_of(out, n, 28 + 64, 2, &length);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	memcpy(&flags, o, sizeof(flags));
	CU_ASSERT_EQUAL(flags, 2 | 1 << 2);
	CU_ASSERT_PTR_NULL(option_of(out, n, 28 + 64, 4, &length));
	CU_ASSERT(n <= 61 + PCAPNG_PACKET_BYTES);
	p.direction = PCAPNG_IN;
	p.lost_before = 5;
	p.bytes = broadcast;
	p.captured_bytes = 6;
	n = pcapng_packet(out, &p);
	memcpy(&flags, option_of(out, n, 28 + 8, 2, &length), sizeof(flags));
	CU_ASSERT_EQUAL(flags, 1 | 3 << 2);
	CU_ASSERT_EQUAL(option_count_of(out, n, 28 + 8, 4), 5);
	CU_ASSERT(n <= 6 + PCAPNG_PACKET_BYTES);
	p.bytes = multicast;
	n = pcapng_packet(out, &p);
	memcpy(&flags, option_of(out, n, 28 + 8, 2, &length), sizeof(flags));
	CU_ASSERT_EQUAL(flags, 1 | 2 << 2);
}

static void test_statistics(void)
{
	struct pcapng_statistics s = {1, 1ull << 32 | 7, 2ull << 32, 3ull << 32, 100, 9, 50, 41};
	uint8_t out[PCAPNG_BLOCK_BYTES];
	uint32_t words[3];
	size_t n = pcapng_statistics(out, &s);

	framed(out, n, 5);
	memcpy(words, out + 8, sizeof(words));
	CU_ASSERT(words[0] == 1 && words[1] == 1 && words[2] == 7);
	CU_ASSERT_EQUAL(option_count_of(out, n, 20, 2), 2); /* the high half comes first */
	CU_ASSERT_EQUAL(option_count_of(out, n, 20, 3), 3);
	CU_ASSERT_EQUAL(option_count_of(out, n, 20, 4), 100);
	CU_ASSERT_EQUAL(option_count_of(out, n, 20, 5), 9);
	CU_ASSERT_EQUAL(option_count_of(out, n, 20, 6), 50);
	CU_ASSERT_EQUAL(option_count_of(out, n, 20, 8), 41);
}

/* The longest texts fit into the room that is promised. */
static void test_long_texts(void)
{
	char text[1000];
	static const uint8_t mac[6];
	uint8_t *out = malloc(PCAPNG_BLOCK_BYTES);

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	struct pcapng_interface i = {text, text, text, mac, 1, 1, true};
	framed(out, pcapng_section(out, text), 0x0a0d0d0a);
	framed(out, pcapng_interface(out, &i), 1);
	free(out);
}

static const struct unit_test tests[] = {
	{"the section's header", test_section},
	{"an interface", test_interface},
	{"packets", test_packet},
	{"statistics", test_statistics},
	{"long texts are cut", test_long_texts},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
