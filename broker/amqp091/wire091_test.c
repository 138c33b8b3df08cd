/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/codec.h"
#include "tests/unit/unit.h"

static bool utf8(const char *s)
{
	return amqp091_utf8_valid((const uint8_t *)s, (uint32_t)strlen(s));
}

static void utf8_well_formed(void)
{
	CU_ASSERT(amqp091_utf8_valid(NULL, 0));
	CU_ASSERT(utf8("plain ASCII, longer than one word of eight octets"));
	CU_ASSERT(utf8("\xc2\x80 \xdf\xbf"));
	CU_ASSERT(utf8("\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
	CU_ASSERT(utf8("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
	CU_ASSERT(amqp091_utf8_valid((const uint8_t *)"a\0b", 3));
}

static void utf8_malformed(void)
{
	CU_ASSERT_FALSE(utf8("\x80"));
	CU_ASSERT_FALSE(utf8("\xc0\x80"));	   /* overlong */
	CU_ASSERT_FALSE(utf8("\xc1\xbf"));	   /* overlong */
	CU_ASSERT_FALSE(utf8("\xe0\x9f\xbf"));	   /* overlong */
	CU_ASSERT_FALSE(utf8("\xed\xa0\x80"));	   /* surrogate */
	CU_ASSERT_FALSE(utf8("\xf0\x8f\xbf\xbf")); /* overlong */
	CU_ASSERT_FALSE(utf8("\xf4\x90\x80\x80")); /* above U+10FFFF */
	CU_ASSERT_FALSE(utf8("\xf5\x80\x80\x80"));
	CU_ASSERT_FALSE(utf8("\xff"));
	CU_ASSERT_FALSE(utf8("\xe2\x82"));     /* cut off */
	CU_ASSERT_FALSE(utf8("\xe2\x82\x28")); /* a continuation that is none */
	CU_ASSERT_FALSE(utf8("sixteen ASCII oc\xfftets"));
}

/* Encodes any code point in the straightforward way. */
static uint32_t utf8_put(uint8_t *p, uint32_t c)
{
	if (c < 0x80) {
		p[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		p[0] = (uint8_t)(0xc0 | c >> 6);
		p[1] = 0x80 | (c & 63);
		return 2;
	}
	if (c < 0x10000) {
		p[0] = (uint8_t)(0xe0 | c >> 12);
		p[1] = 0x80 | (c >> 6 & 63);
		p[2] = 0x80 | (c & 63);
		return 3;
	}
	p[0] = (uint8_t)(0xf0 | c >> 18);
	p[1] = 0x80 | (c >> 12 & 63);
	p[2] = 0x80 | (c >> 6 & 63);
	p[3] = 0x80 | (c & 63);
	return 4;
}

static void utf8_every_code_point(void)
{
	uint32_t wrong = 0;

	for (uint32_t c = 0; c < 0x120000; c++) {
		uint8_t b[4];
		bool allowed = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
		wrong += amqp091_utf8_valid(b, utf8_put(b, c)) != allowed;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void reader_keeps_the_first_error(void)
{
	const uint8_t in[] = {1, 0, 2, 5, 'a'};
	struct amqp091_reader r;

	amqp091_reader_init(&r, in, sizeof(in));
	CU_ASSERT_EQUAL(amqp091_read8(&r), 1);
	CU_ASSERT_EQUAL(amqp091_read16(&r), 2);
	struct amqp091_shortstr s = amqp091_read_shortstr(&r);
	CU_ASSERT_PTR_NULL(s.data);
	CU_ASSERT_EQUAL(s.len, 0);
	CU_ASSERT_EQUAL(amqp091_read64(&r), 0);
	CU_ASSERT_EQUAL(amqp091_read8(&r), 0);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), AMQP091_ERR_SHORT);
	amqp091_reader_init(&r, NULL, 0);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), 0);
	CU_ASSERT_EQUAL(amqp091_read32(&r), 0);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), AMQP091_ERR_SHORT);
}

static void length_beyond_the_input(void)
{
	const uint8_t in[] = {0xff, 0xff, 0xff, 0xff, 'a'};
	struct amqp091_reader r;

	amqp091_reader_init(&r, in, sizeof(in));
	CU_ASSERT_EQUAL(amqp091_read_longstr(&r).len, 0);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), AMQP091_ERR_SHORT);
	amqp091_reader_init(&r, in, sizeof(in));
	CU_ASSERT_EQUAL(amqp091_read_table(&r).len, 0);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), AMQP091_ERR_SHORT);
}

static void writers_and_reader_agree(void)
{
	uint8_t b[64], *p = b;
	struct amqp091_reader r;

	p = amqp091_put64(
		amqp091_put32(amqp091_put16(amqp091_put8(p, 0xfe), 0xfedc), 0xfedcba98), 1ull << 63);
	p = amqp091_put_shortstr(p, (struct amqp091_shortstr){(const uint8_t *)"abc", 3});
	p = amqp091_put_longstr(p, (struct amqp091_longstr){NULL, 0});
	amqp091_reader_init(&r, b, (uint32_t)(p - b));
	CU_ASSERT_EQUAL(amqp091_read8(&r), 0xfe);
	CU_ASSERT_EQUAL(amqp091_read16(&r), 0xfedc);
	CU_ASSERT_EQUAL(amqp091_read32(&r), 0xfedcba98);
	CU_ASSERT_EQUAL(amqp091_read64(&r), 1ull << 63);
	struct amqp091_shortstr s = amqp091_read_shortstr(&r);
	CU_ASSERT(s.len == 3 && memcmp(s.data, "abc", 3) == 0);
	CU_ASSERT_EQUAL(amqp091_read_longstr(&r).len, 0);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"well-formed UTF-8", utf8_well_formed},
		{"malformed UTF-8", utf8_malformed},
		{"UTF-8 of every code point", utf8_every_code_point},
		{"the reader keeps its first error", reader_keeps_the_first_error},
		{"a length beyond the input", length_beyond_the_input},
		{"writers and reader agree", writers_and_reader_agree},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
