/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a stream of frames, after an octet that chooses frame-max. Methods, content headers and
 * properties are decoded; a frame that parses whole must not parse cut. */
#include "broker/amqp091/codec.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void properties_check(const uint8_t *data, uint32_t len)
{
	static uint8_t out[1 << 16];
	struct amqp091_basic_properties p;
	int rc = amqp091_basic_properties_decode(data, len, &p);

	FUZZ_MUST(rc == amqp091_basic_properties_validate(data, len));
	if (rc)
		return;
	FUZZ_MUST(amqp091_basic_properties_size(&p) == len);
	FUZZ_MUST(amqp091_basic_properties_encode(out, len, &p) == (ssize_t)len);
	FUZZ_MUST(memcmp(out, data, len) == 0);
}

static void frame_check(const struct amqp091_frame *f, const uint8_t *payload)
{
	struct amqp091_content_header h;
	struct amqp091_method m;

	if (f->type == AMQP091_FRAME_METHOD)
		amqp091_method_decode(payload, f->size, &m);
	else if (f->type == AMQP091_FRAME_HEADER && amqp091_content_header_decode(payload, f->size, &h) == 0)
		properties_check(h.properties, h.properties_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct amqp091_frame f, same;

	if (size < 1 || size > 1 << 16)
		return 0;
	uint32_t frame_max = data[0] ? data[0] * 16u : 0, left = (uint32_t)size - 1;
	const uint8_t *p = data + 1;
	while (left) {
		int64_t n = amqp091_frame_parse(p, left, frame_max, &f);
		if (n <= 0)
			break;
		FUZZ_MUST(n <= left && n == (int64_t)f.size + AMQP091_FRAME_OVERHEAD);
		FUZZ_MUST(frame_max == 0 || n <= frame_max);
		FUZZ_MUST(amqp091_frame_parse(p, (uint32_t)n - 1, frame_max, &same) == 0);
		frame_check(&f, p + AMQP091_FRAME_HEADER_SIZE);
		p += n;
		left -= (uint32_t)n;
	}
	return 0;
}
