/* SPDX-License-Identifier: Apache-2.0 */
#include "config/units.h"

#include <inttypes.h>
#include <string.h>

#include "tests/unit/unit.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static const char unknown[] = "the unit is unknown", large[] = "the number is too large",
		  start[] = "it does not begin with a digit", sign[] = "a sign does not belong here",
		  zero[] = "a leading zero does not belong here", nothing[] = "nothing is there",
		  fraction[] = "a fraction does not belong here: choose a smaller unit";

struct row {
	const char *text;
	uint64_t value;
	const char *why; /* NULL: understood */
};

static void run_rows(const char *(*parse)(const char *, size_t, uint64_t *), const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = 0;
		const char *why = parse(rows[i].text, strlen(rows[i].text), &value);
		bool good = rows[i].why ? why && strcmp(why, rows[i].why) == 0
					: !why && value == rows[i].value;
		if (!good)
			printf("# \"%s\": %" PRIu64 ", %s\n", rows[i].text, value, why ? why : "understood");
		CU_ASSERT_TRUE(good);
	}
}

static void test_count(void)
{
	static const struct row rows[] = {
		{"0", 0, NULL}, {"7", 7, NULL}, {"65535", 65535, NULL},
		{"18446744073709551615", UINT64_MAX, NULL}, {"18446744073709551616", 0, large},
		{"99999999999999999999999999", 0, large}, {"", 0, nothing}, {" 1", 0, start},
		{"1 ", 0, "it is not a plain number"}, {"1_000", 0, "it is not a plain number"},
		{"0x10", 0, "it is not a plain number"}, {"1e3", 0, "it is not a plain number"},
		{"10K", 0, "it is not a plain number"}, {"1,000", 0, fraction}, {"1.0", 0, fraction},
		{"-1", 0, sign}, {"+1", 0, sign}, {"007", 0, zero}, {"00", 0, zero}, {"ten", 0, start},
		{"\xd9\xa3", 0, start}, /* ARABIC-INDIC DIGIT THREE */
	};
	run_rows(units_parse_count, rows, LENGTH(rows));
}

static void test_bytes(void)
{
	static const char ambiguous[] = "KB, MB, GB and TB are ambiguous: write K, M, G or T";
	static const struct row rows[] = {
		{"0", 0, NULL},
		{"0K", 0, NULL},
		{"1", 1, NULL},
		{"1K", 1024, NULL},
		{"1KiB", 1024, NULL},
		{"2G", UINT64_C(2) << 30, NULL},
		{"2GiB", UINT64_C(2) << 30, NULL},
		{"3M", UINT64_C(3) << 20, NULL},
		{"3MiB", UINT64_C(3) << 20, NULL},
		{"4T", UINT64_C(4) << 40, NULL},
		{"4TiB", UINT64_C(4) << 40, NULL},
		{"16777215T", UINT64_C(16777215) << 40, NULL},
		{"16777216T", 0, large},
		{"18446744073709551615", UINT64_MAX, NULL},
		{"18446744073709551615K", 0, large},
		{"18446744073709551616", 0, large},
		{"2g", 0, unknown},
		{"2 G", 0, unknown},
		{"2GG", 0, unknown},
		{"2Gi", 0, unknown},
		{"2P", 0, unknown},
		{"2B", 0, unknown},
		{"2kb", 0, unknown},
		{"2KB", 0, ambiguous},
		{"2kB", 0, ambiguous},
		{"2MB", 0, ambiguous},
		{"1.5G", 0, fraction},
		{"-1G", 0, sign},
		{"G", 0, start},
		{"", 0, nothing},
		{"01K", 0, zero},
	};
	run_rows(units_parse_bytes, rows, LENGTH(rows));
}

static void test_duration(void)
{
	static const struct row rows[] = {
		{"0", 0, NULL},
		{"0s", 0, NULL},
		{"50us", 50, NULL},
		{"10ms", 10000, NULL},
		{"30s", 30000000, NULL},
		{"2min", 120000000, NULL},
		{"1h", UINT64_C(3600000000), NULL},
		{"18446744073709551615us", UINT64_MAX, NULL},
		{"18446744073709551615ms", 0, large},
		{"5124095577h", 0, large},
		{"10", 0, "the unit is missing"},
		{"10m", 0, unknown},
		{"10ns", 0, unknown},
		{"10S", 0, unknown},
		{"10 ms", 0, unknown},
		{"10sec", 0, unknown},
		{"1h30min", 0, unknown},
		{"0.5s", 0, fraction},
		{"-1s", 0, sign},
		{"s", 0, start},
		{"", 0, nothing},
	};
	run_rows(units_parse_duration, rows, LENGTH(rows));
}

/* Any prefix of a text is a text of its own: nothing past n bytes is looked at. */
static void test_length_is_kept(void)
{
	uint64_t value = 0;
	CU_ASSERT_PTR_NULL(units_parse_bytes("12G", 2, &value));
	CU_ASSERT_EQUAL(value, 12);
	CU_ASSERT_PTR_NULL(units_parse_duration("12min", 5, &value));
	CU_ASSERT_PTR_NOT_NULL(units_parse_duration("12min", 4, &value));
	CU_ASSERT_PTR_NOT_NULL(units_parse_bytes("1G\0", 3, &value));
	CU_ASSERT_PTR_NOT_NULL(units_parse_bytes("1\0", 2, &value));
	CU_ASSERT_PTR_NOT_NULL(units_parse_bytes("1\0B", 3, &value));
}

static void test_format_round_trip(void)
{
	char text[UNITS_TEXT_BYTES];
	for (int i = 0; i < 20000; i++) {
		uint64_t value = unit_random() >> unit_random_below(64), back = 0;
		if (unit_random_below(2))
			value &= ~UINT64_C(0) << unit_random_below(50);
		units_format_bytes(value, text);
		CU_ASSERT_PTR_NULL_FATAL(units_parse_bytes(text, strlen(text), &back));
		CU_ASSERT_EQUAL_FATAL(back, value);
		value = unit_random_below(2) ? value : value / 1000000 * 1000000;
		units_format_duration(value, text);
		CU_ASSERT_PTR_NULL_FATAL(units_parse_duration(text, strlen(text), &back));
		CU_ASSERT_EQUAL_FATAL(back, value);
	}
	CU_ASSERT_STRING_EQUAL(units_format_bytes(UINT64_C(1) << 30, text), "1G");
	CU_ASSERT_STRING_EQUAL(units_format_bytes(1536, text), "1536");
	CU_ASSERT_STRING_EQUAL(units_format_bytes(0, text), "0");
	CU_ASSERT_STRING_EQUAL(units_format_duration(200000, text), "200ms");
	CU_ASSERT_STRING_EQUAL(units_format_duration(60000000, text), "60s");
	CU_ASSERT_STRING_EQUAL(units_format_duration(1500, text), "1500us");
}

static void test_mode(void)
{
	static const struct row rows[] = {{"0660", 0660, NULL}, {"660", 0660, NULL}, {"0000", 0, NULL},
		{"777", 0777, NULL}, {"1777", 0, "x"}, {"0888", 0, "x"}, {"66", 0, "x"}, {"", 0, "x"},
		{"00660", 0, "x"}, {"0o660", 0, "x"}, {"rw-", 0, "x"}};
	for (size_t i = 0; i < LENGTH(rows); i++) {
		uint32_t mode = 0;
		const char *why = units_parse_mode(rows[i].text, strlen(rows[i].text), &mode);
		CU_ASSERT_EQUAL(why != NULL, rows[i].why != NULL);
		CU_ASSERT_TRUE(why || mode == rows[i].value);
	}
}

static void test_ipv4(void)
{
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4",
		"01.2.3.4", "1.2.3.4/24", "::1", "localhost", "1.2.3.0x4",
		"111.111.111.111.111.111.111.111.111.111.111.111"};
	uint32_t address = 0;
	char text[UNITS_TEXT_BYTES];
	CU_ASSERT_PTR_NULL(units_parse_ipv4("198.18.0.2", 10, &address));
	CU_ASSERT_EQUAL(address, 0xc6120002);
	CU_ASSERT_STRING_EQUAL(units_format_ipv4(address, text), "198.18.0.2");
	CU_ASSERT_PTR_NOT_NULL(units_parse_ipv4("1.2.3.4\0", 8, &address));
	for (size_t i = 0; i < LENGTH(bad); i++)
		CU_ASSERT_PTR_NOT_NULL(units_parse_ipv4(bad[i], strlen(bad[i]), &address));
}

static void test_ipv4_prefix(void)
{
	static const char *const bad[] = {"198.18.0.2", "198.18.0.2/", "198.18.0.2/0", "198.18.0.2/31",
		"198.18.0.2/32", "198.18.0.2/33", "198.18.0.2/030", "198.18.0.2/-1", "198.18.0.2/24 ",
		"198.18.0.2/255.255.255.0", "/24", "198.18.0.2/4294967320"};
	uint32_t address = 0;
	uint8_t bits = 0;
	CU_ASSERT_PTR_NULL(units_parse_ipv4_prefix("198.18.0.2/30", 13, &address, &bits));
	CU_ASSERT_EQUAL(address, 0xc6120002);
	CU_ASSERT_EQUAL(bits, 30);
	CU_ASSERT_PTR_NULL(units_parse_ipv4_prefix("10.0.0.1/1", 10, &address, &bits));
	for (size_t i = 0; i < LENGTH(bad); i++)
		CU_ASSERT_PTR_NOT_NULL(units_parse_ipv4_prefix(bad[i], strlen(bad[i]), &address, &bits));
}

static void test_ipv6(void)
{
	static const uint8_t loopback[16] = {[15] = 1};
	uint8_t address[16];
	CU_ASSERT_PTR_NULL(units_parse_ipv6("::1", 3, address));
	CU_ASSERT_EQUAL(memcmp(address, loopback, 16), 0);
	CU_ASSERT_PTR_NOT_NULL(units_parse_ipv6("::1%lo", 6, address));
	CU_ASSERT_PTR_NOT_NULL(units_parse_ipv6("[::1]", 5, address));
	CU_ASSERT_PTR_NOT_NULL(units_parse_ipv6(":::", 3, address));
}

static void test_mac(void)
{
	static const char *const bad[] = {"", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g",
		"0200.0000.0001", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00",
		"02:00:00:00:00:01 ", "2:0:0:0:0:1"};
	static const uint8_t expected[6] = {2, 0xab, 0xcd, 0xef, 0, 1};
	uint8_t mac[6];
	char text[UNITS_TEXT_BYTES];
	CU_ASSERT_PTR_NULL(units_parse_mac("02:ab:CD:eF:00:01", 17, mac));
	CU_ASSERT_EQUAL(memcmp(mac, expected, 6), 0);
	CU_ASSERT_STRING_EQUAL(units_format_mac(mac, text), "02:ab:cd:ef:00:01");
	for (size_t i = 0; i < LENGTH(bad); i++)
		CU_ASSERT_PTR_NOT_NULL(units_parse_mac(bad[i], strlen(bad[i]), mac));
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"count", test_count},
		{"bytes", test_bytes},
		{"duration", test_duration},
		{"length is kept", test_length_is_kept},
		{"format round trip", test_format_round_trip},
		{"mode", test_mode},
		{"ipv4", test_ipv4},
		{"ipv4 prefix", test_ipv4_prefix},
		{"ipv6", test_ipv6},
		{"mac", test_mac},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
