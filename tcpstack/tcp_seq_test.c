/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/tcp_seq.h"

#include "tests/unit/unit.h"

static void order_on_the_circle(void)
{
	const uint32_t starts[] = {0, 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};

	for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		uint32_t a = starts[i];
		CU_ASSERT_FALSE(seq_lt(a, a));
		CU_ASSERT_TRUE(seq_leq(a, a));
		CU_ASSERT_EQUAL(seq_diff(a + 100, a), 100);
		CU_ASSERT_EQUAL(seq_diff(a, a + 100), -100);
		CU_ASSERT_TRUE(seq_lt(a, a + 1));
		CU_ASSERT_FALSE(seq_lt(a + 1, a));
		CU_ASSERT_TRUE(seq_lt(a, a + 0x7fffffff));
		CU_ASSERT_FALSE(seq_lt(a, a + 0x80000001));
		CU_ASSERT_EQUAL(seq_max(a, a + 5), a + 5);
		CU_ASSERT_EQUAL(seq_max(a + 5, a), a + 5);
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv, (struct unit_test[]){{"order_on_the_circle", order_on_the_circle}, {0}});
}
