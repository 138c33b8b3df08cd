/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers with units, addresses and modes: text to value and back. A text is understood as a whole or
 * refused with the reason; nothing is rounded or cut. Pure functions of n bytes of text (which need not end
 * with a 0 byte): no allocation, any thread. */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum { UNITS_TEXT_BYTES = 64 };

/* Each returns NULL and stores the value, or the reason in a few words, static. */

/* A whole number in decimal digits, without sign, leading zeros or separators. */
const char *units_parse_count(const char *text, size_t n, uint64_t *count);

/* A number of bytes: digits and at most one of K, M, G, T or KiB, MiB, GiB, TiB (powers of 1024). KB and its
 * like are refused: they mean 1000 to some and 1024 to others. */
const char *units_parse_bytes(const char *text, size_t n, uint64_t *bytes);

/* A duration: digits and us, ms, s, min or h; only 0 may stand alone. */
const char *units_parse_duration(const char *text, size_t n, uint64_t *us);

/* Permission bits: three octal digits, or four with a leading 0. */
const char *units_parse_mode(const char *text, size_t n, uint32_t *mode);

/* Dotted quad, host byte order; with a prefix of 1 to 30 bits behind a slash. */
const char *units_parse_ipv4(const char *text, size_t n, uint32_t *address);
const char *units_parse_ipv4_prefix(const char *text, size_t n, uint32_t *address, uint8_t *prefix_bits);

/* IPv6 (RFC 4291 section 2.2), network byte order; without a zone. */
const char *units_parse_ipv6(const char *text, size_t n, uint8_t address[16]);

/* Six pairs of hexadecimal digits with colons; a unicast address that is not zero. */
const char *units_parse_mac(const char *text, size_t n, uint8_t mac[6]);

/* The shortest text that parses back to exactly the value: 1073741824 is "1G", 200000 us is "200ms". out has
 * UNITS_TEXT_BYTES bytes and is returned. */
const char *units_format_bytes(uint64_t bytes, char *out);
const char *units_format_duration(uint64_t us, char *out);
const char *units_format_ipv4(uint32_t address, char *out);
const char *units_format_mac(const uint8_t mac[6], char *out);

#endif
