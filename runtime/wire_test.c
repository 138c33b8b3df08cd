/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/wire.h"

#include "tests/unit/unit.h"

static void round_trip(void)
{
	uint8_t b[9] = {0};

	wire_put16(b + 1, 0x1234);
	CU_ASSERT_EQUAL(b[1], 0x12);
	CU_ASSERT_EQUAL(wire_get16(b + 1), 0x1234);
	wire_put32(b + 1, 0x12345678);
	CU_ASSERT_EQUAL(b[1], 0x12);
	CU_ASSERT_EQUAL(wire_get32(b + 1), 0x12345678);
	wire_put64(b + 1, 0x123456789abcdef0);
	CU_ASSERT_EQUAL(b[8], 0xf0);
	CU_ASSERT_EQUAL(wire_get64(b + 1), 0x123456789abcdef0);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv, (struct unit_test[]){{"round_trip", round_trip}, {0}});
}
