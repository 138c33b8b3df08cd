/* SPDX-License-Identifier: Apache-2.0 */
#include "config/units.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runtime/wire.h"

static const char too_large[] = "the number is too large";

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Leading digits of text; *used is how many bytes they are. */
static const char *parse_digits(const char *text, size_t n, uint64_t *value, size_t *used)
{
	size_t i = 0;
	*value = 0;
	if (n == 0)
		return "nothing is there";
	if (text[0] == '-' || text[0] == '+')
		return "a sign does not belong here";
	if (!is_digit(text[0]))
		return "it does not begin with a digit";
	if (n > 1 && text[0] == '0' && is_digit(text[1]))
		return "a leading zero does not belong here";
	for (; i < n && is_digit(text[i]); i++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
			__builtin_add_overflow(*value, (uint64_t)(text[i] - '0'), value))
			return too_large;
	}
	if (i < n && (text[i] == '.' || text[i] == ','))
		return "a fraction does not belong here: choose a smaller unit";
	*used = i;
	return NULL;
}

const char *units_parse_count(const char *text, size_t n, uint64_t *count)
{
	size_t used = 0;
	const char *why = parse_digits(text, n, count, &used);
	if (why)
		return why;
	return used == n ? NULL : "it is not a plain number";
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {
	{"T", UINT64_C(1) << 40},
	{"G", UINT64_C(1) << 30},
	{"M", UINT64_C(1) << 20},
	{"K", UINT64_C(1) << 10},
	{"TiB", UINT64_C(1) << 40},
	{"GiB", UINT64_C(1) << 30},
	{"MiB", UINT64_C(1) << 20},
	{"KiB", UINT64_C(1) << 10},
	{NULL, 0},
};

static const struct unit time_units[] = {
	{"h", UINT64_C(3600000000)},
	{"min", UINT64_C(60000000)},
	{"s", UINT64_C(1000000)},
	{"ms", UINT64_C(1000)},
	{"us", UINT64_C(1)},
	{NULL, 0},
};

static const char *apply_unit(const struct unit *units, const char *text, size_t n, uint64_t *value)
{
	for (; units->name; units++) {
		if (strlen(units->name) != n || memcmp(units->name, text, n) != 0)
			continue;
		return __builtin_mul_overflow(*value, units->factor, value) ? too_large : NULL;
	}
	return "the unit is unknown";
}

const char *units_parse_bytes(const char *text, size_t n, uint64_t *bytes)
{
	size_t used = 0;
	const char *why = parse_digits(text, n, bytes, &used);
	if (why || used == n)
		return why;
	if (n - used == 2 && strchr("kKMGT", text[used]) && text[used + 1] == 'B')
		return "KB, MB, GB and TB are ambiguous: write K, M, G or T";
	return apply_unit(byte_units, text + used, n - used, bytes);
}

const char *units_parse_duration(const char *text, size_t n, uint64_t *us)
{
	size_t used = 0;
	const char *why = parse_digits(text, n, us, &used);
	if (why)
		return why;
	if (used == n)
		return *us == 0 ? NULL : "the unit is missing";
	return apply_unit(time_units, text + used, n - used, us);
}

const char *units_parse_mode(const char *text, size_t n, uint32_t *mode)
{
	if (n == 4 && text[0] == '0') {
		text++;
		n--;
	}
	if (n != 3)
		return "it is not three octal digits";
	*mode = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '7')
			return "it is not three octal digits";
		*mode = *mode << 3 | (uint32_t)(text[i] - '0');
	}
	return NULL;
}

static bool parse_address(int family, const char *text, size_t n, void *address)
{
	char copy[INET6_ADDRSTRLEN];
	if (n >= sizeof(copy) || memchr(text, 0, n))
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	return inet_pton(family, copy, address) == 1;
}

const char *units_parse_ipv4(const char *text, size_t n, uint32_t *address)
{
	uint8_t bytes[4];
	if (!parse_address(AF_INET, text, n, bytes))
		return "it is no IPv4 address";
	*address = wire_get32(bytes);
	return NULL;
}

const char *units_parse_ipv4_prefix(const char *text, size_t n, uint32_t *address, uint8_t *prefix_bits)
{
	const char *slash = memchr(text, '/', n);
	uint64_t bits = 0;
	if (!slash)
		return "the prefix length is missing";
	size_t before = (size_t)(slash - text);
	const char *why = units_parse_ipv4(text, before, address);
	if (why)
		return why;
	if (units_parse_count(slash + 1, n - before - 1, &bits) || bits < 1 || bits > 30)
		return "the prefix length is not from 1 to 30";
	*prefix_bits = (uint8_t)bits;
	return NULL;
}

const char *units_parse_ipv6(const char *text, size_t n, uint8_t address[16])
{
	return parse_address(AF_INET6, text, n, address) ? NULL : "it is no IPv6 address";
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

const char *units_parse_mac(const char *text, size_t n, uint8_t mac[6])
{
	static const uint8_t zero[6];
	if (n != 17)
		return "it is no MAC address";
	for (size_t i = 0; i < 6; i++) {
		int high = hex_value(text[i * 3]), low = hex_value(text[i * 3 + 1]);
		if (high < 0 || low < 0 || (i < 5 && text[i * 3 + 2] != ':'))
			return "it is no MAC address";
		mac[i] = (uint8_t)(high << 4 | low);
	}
	if (mac[0] & 1)
		return "it is a group address";
	return memcmp(mac, zero, 6) == 0 ? "it is the zero address" : NULL;
}

/* Only the first of a value's spellings is written: the short units stand first in their table. */
static const char *format_unit(const struct unit *units, uint64_t value, const char *none, char *out)
{
	if (value == 0) {
		snprintf(out, UNITS_TEXT_BYTES, "0");
		return out;
	}
	while (units->name && value % units->factor != 0)
		units++;
	snprintf(out, UNITS_TEXT_BYTES, "%" PRIu64 "%s", units->name ? value / units->factor : value,
		units->name ? units->name : none);
	return out;
}

const char *units_format_bytes(uint64_t bytes, char *out)
{
	return format_unit(byte_units, bytes, "", out);
}

const char *units_format_duration(uint64_t us, char *out)
{
	/* hours and minutes are understood, but seconds read better: 60s, 90s */
	return format_unit(time_units + 2, us, "us", out);
}

const char *units_format_ipv4(uint32_t address, char *out)
{
	snprintf(out, UNITS_TEXT_BYTES, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
		address & 255);
	return out;
}

const char *units_format_mac(const uint8_t mac[6], char *out)
{
	snprintf(out, UNITS_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
	return out;
}
