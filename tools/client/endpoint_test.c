/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/endpoint.h"

#include "tests/unit/unit.h"

static struct ip_addr a;
static uint8_t bits;

static void prefixes(void)
{
	CU_ASSERT_TRUE(endpoint_prefix("10.1.2.3/8", &a, &bits));
	CU_ASSERT(ip_is_v4(&a) && ip_to_v4(&a) == 0x0a010203 && bits == 8);
	CU_ASSERT_TRUE(endpoint_prefix("10.1.2.3", &a, &bits));
	CU_ASSERT_EQUAL(bits, 24);
	CU_ASSERT_TRUE(endpoint_prefix("fd00::1/48", &a, &bits));
	CU_ASSERT(!ip_is_v4(&a) && a.bytes[0] == 0xfd && a.bytes[15] == 1 && bits == 48);
	CU_ASSERT_TRUE(endpoint_prefix("fd00::1", &a, &bits));
	CU_ASSERT_EQUAL(bits, 64);
	static const char *const bad[] = {"", "10.1.2", "10.1.2.3/", "10.1.2.3/0", "10.1.2.3/33",
		"10.1.2.3/x", "10.1.2.3/8x", "fd00::1/129", "/24", "host/24", "10.1.2.3/-1",
		"0123456789012345678901234567890123456789012345678901234567890123456789/8"};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(endpoint_prefix(bad[i], &a, &bits));
}

static void hosts(void)
{
	struct transport_address t;
	char error[200];

	CU_ASSERT_EQUAL(endpoint_resolve("127.0.0.1", 5672, &t, error, sizeof(error)), 0);
	CU_ASSERT(t.family == 4 && t.port == 5672 && t.bytes[0] == 127 && t.bytes[3] == 1);
	CU_ASSERT_EQUAL(endpoint_resolve("::1", 1, &t, error, sizeof(error)), 0);
	CU_ASSERT(t.family == 6 && t.bytes[15] == 1);
	CU_ASSERT_EQUAL(endpoint_resolve("no such host", 1, &t, error, sizeof(error)), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "--broker no such host: "));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv, (struct unit_test[]){{"prefixes", prefixes}, {"hosts", hosts}, {0}});
}
