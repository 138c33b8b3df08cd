/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/wire091.h"

/* The length of the well-formed sequence of more than one octet that starts at p, or 0. Table 3-7 of the
 * Unicode standard: only the second octet's range depends on the first. */
static uint32_t sequence_len(const uint8_t *p, uint32_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	uint32_t len;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (uint32_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool amqp091_utf8_valid(const uint8_t *data, uint32_t len)
{
	uint32_t i = 0;

	while (i < len) {
		uint64_t word;
		if (len - i >= sizeof(word)) {
			memcpy(&word, data + i, sizeof(word));
			if (!(word & 0x8080808080808080u)) {
				i += sizeof(word);
				continue;
			}
		}
		if (data[i] < 0x80) {
			i++;
			continue;
		}
		uint32_t n = sequence_len(data + i, len - i);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
