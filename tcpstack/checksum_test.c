/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/checksum.h"

#include "runtime/wire.h"
#include "tests/unit/unit.h"

/* RFC 1071's definition, word by word. */
static uint16_t slow(const uint8_t *p, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		sum += (uint32_t)p[i] << (i & 1 ? 0 : 8);
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

static void the_example_of_rfc_1071(void)
{
	const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, data, 8)), 0xddf2);
}

static void every_length_and_alignment(void)
{
	uint8_t data[300];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)unit_random();
	for (unsigned start = 0; start < 8; start++)
		for (uint32_t n = 0; n < 290; n++)
			if (checksum_fold(checksum_add(0, data + start, n)) % 0xffff !=
				slow(data + start, n) % 0xffff)
				CU_FAIL("sums differ");
	CU_PASS("compared");
}

static void segmented_buffers(void)
{
	struct rte_mempool *pool = unit_pool("segments", 64, 256);
	uint8_t data[600];

	for (unsigned round = 0; round < 2000; round++) {
		uint32_t n = 1 + unit_random_below(sizeof(data)), put = 0;
		struct rte_mbuf *first = rte_pktmbuf_alloc(pool);
		for (uint32_t i = 0; i < n; i++)
			data[i] = (uint8_t)unit_random();
		while (put < n) {
			struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
			uint32_t part = RTE_MIN(n - put, 20 + unit_random_below(80));
			memcpy(rte_pktmbuf_append(m, (uint16_t)part), data + put, part);
			put += part;
			rte_pktmbuf_chain(first, m);
		}
		uint32_t off = unit_random_below(n), length = unit_random_below(n - off + 1);
		if (checksum_fold(checksum_add_mbuf(0, first, off, length)) % 0xffff !=
			slow(data + off, length) % 0xffff)
			CU_FAIL("sums differ");
		rte_pktmbuf_free(first);
	}
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

static void the_pseudo_header(void)
{
	uint8_t header[12] = {10, 0, 0, 1, 192, 168, 7, 9, 0, 6, 0x12, 0x34};
	uint8_t header6[40] = {
		0x20, 1, 0xd, 0xb8, [15] = 1, [16] = 0xfe, 0x80, [31] = 0xff, [33] = 1, 2, 3, [39] = 6};
	struct ip_addr src = ip_v4(0x0a000001), dst = ip_v4(0xc0a80709);
	struct ip_addr src6 = ip_v6(header6), dst6 = ip_v6(header6 + 16);

	CU_ASSERT_EQUAL(checksum_fold(checksum_pseudo(&src, &dst, 6, 0x1234)), slow(header, 12));
	CU_ASSERT_EQUAL(checksum_fold(checksum_pseudo(&src6, &dst6, 6, 0x10203)), slow(header6, 40));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"the_example_of_rfc_1071", the_example_of_rfc_1071},
			{"every_length_and_alignment", every_length_and_alignment},
			{"segmented_buffers", segmented_buffers},
			{"the_pseudo_header", the_pseudo_header},
			{0},
		});
}
