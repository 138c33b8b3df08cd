/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a method frame's payload. What decodes must encode, in no more octets, and decode to the same.
 */
#include "broker/amqp091/codec.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static uint8_t first[1 << 16], second[1 << 16];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct amqp091_method m, again;

	if (size > sizeof(first))
		return 0;
	int rc = amqp091_method_decode(data, (uint32_t)size, &m);
	FUZZ_MUST(rc <= 0);
	if (rc)
		return 0;
	const struct amqp091_method_info *info = amqp091_method_info(m.id);
	FUZZ_MUST(info && info->id == m.id);
	ssize_t n = amqp091_method_encode(first, sizeof(first), &m);
	FUZZ_MUST(n >= 4 && (size_t)n <= size);
	FUZZ_MUST(amqp091_method_decode(first, (uint32_t)n, &again) == 0);
	FUZZ_MUST(amqp091_method_encode(second, sizeof(second), &again) == n);
	FUZZ_MUST(memcmp(first, second, (size_t)n) == 0);
	FUZZ_MUST(amqp091_method_encode(second, (uint32_t)n - 1, &again) == AMQP091_ERR_ROOM);
	return 0;
}
