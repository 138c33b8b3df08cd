/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/tcp_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void what_is_written_is_read(void)
{
	for (unsigned round = 0; round < 1000; round++) {
		uint8_t bytes[TCP_OPTIONS_BYTES_MAX];
		struct tcp_options in = {0}, out;
		in.has_mss = unit_random_below(2);
		in.has_wscale = unit_random_below(2);
		in.has_timestamp = unit_random_below(2);
		if (in.has_mss)
			in.mss = (uint16_t)unit_random();
		if (in.has_wscale)
			in.wscale = (uint8_t)unit_random_below(15);
		if (in.has_timestamp) {
			in.ts_val = (uint32_t)unit_random();
			in.ts_ecr = (uint32_t)unit_random();
		}
		uint32_t n = tcp_options_write(bytes, &in);
		CU_ASSERT_TRUE(n % 4 == 0 && n <= 20);
		CU_ASSERT_EQUAL(tcp_options_parse(&out, bytes, n, true), 0);
		CU_ASSERT_EQUAL(memcmp(&in, &out, sizeof(in)), 0);
	}
}

static void the_order_of_a_syn(void)
{
	const struct tcp_options o = {.has_mss = true,
		.has_wscale = true,
		.has_timestamp = true,
		.mss = 1460,
		.wscale = 7,
		.ts_val = 0x01020304};
	const uint8_t wanted[] = {2, 4, 5, 180, 1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};
	uint8_t bytes[TCP_OPTIONS_BYTES_MAX];

	CU_ASSERT_EQUAL_FATAL(tcp_options_write(bytes, &o), sizeof(wanted));
	CU_ASSERT_EQUAL(memcmp(bytes, wanted, sizeof(wanted)), 0);
}

static int parse(const uint8_t *p, uint32_t n, bool syn, struct tcp_options *out)
{
	/* A copy of the exact size, so that a read past the end is seen. */
	uint8_t *copy = malloc(n ? n : 1);
	memcpy(copy, p, n);
	int result = tcp_options_parse(out, copy, n, syn);
	free(copy);
	return result;
}

#define PARSE(out, syn, ...) \
	parse((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), syn, out)

static void malformed_lengths(void)
{
	struct tcp_options o;

	CU_ASSERT_EQUAL(PARSE(&o, true, 2, 0, 0, 0), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 2, 1, 0, 0), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 1, 1, 1, 2), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 2, 5, 0, 0, 0, 0), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 253, 0, 0, 0), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 253, 1, 0, 0), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 253, 9, 0, 0), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 3, 4, 7, 1), -EBADMSG);
	CU_ASSERT_EQUAL(PARSE(&o, true, 8, 2, 1, 1), -EBADMSG);
}

static void unknown_and_ended(void)
{
	struct tcp_options o;

	CU_ASSERT_EQUAL(PARSE(&o, true, 253, 4, 0, 0, 3, 3, 20, 0), 0);
	CU_ASSERT_TRUE(o.has_wscale);
	CU_ASSERT_EQUAL(o.wscale, TCP_WSCALE_MAX);
	CU_ASSERT_EQUAL(PARSE(&o, true, 0, 2, 0, 0), 0);
	CU_ASSERT_FALSE(o.has_mss);
	CU_ASSERT_EQUAL(PARSE(&o, false, 2, 4, 1, 1, 3, 3, 7, 0), 0);
	CU_ASSERT_FALSE(o.has_mss || o.has_wscale);
}

static void random_bytes(void)
{
	uint8_t bytes[40];
	struct tcp_options o;
	unsigned good = 0;

	for (unsigned round = 0; round < 50000; round++) {
		uint32_t n = unit_random_below(41);
		for (uint32_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)unit_random_below(unit_random_below(2) ? 12 : 256);
		good += parse(bytes, n, unit_random_below(2), &o) == 0;
	}
	CU_ASSERT_TRUE(good > 100);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"what_is_written_is_read", what_is_written_is_read},
			{"the_order_of_a_syn", the_order_of_a_syn},
			{"malformed_lengths", malformed_lengths},
			{"unknown_and_ended", unknown_and_ended},
			{"random_bytes", random_bytes},
			{0},
		});
}
