/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/tcp_options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "runtime/wire.h"

enum {
	KIND_END = 0,
	KIND_NOP = 1,
	KIND_MSS = 2,
	KIND_WSCALE = 3,
	KIND_SACK_PERMITTED = 4,
	KIND_SACK = 5,
	KIND_TIMESTAMP = 8
};

static int parse_sack(struct tcp_options *o, const uint8_t *p, uint8_t length)
{
	unsigned n = (length - 2u) / TCP_SACK_BLOCK_BYTES;

	if (n == 0 || n > TCP_SACK_BLOCKS_MAX || length != 2 + n * TCP_SACK_BLOCK_BYTES)
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++) {
		o->sack[i].start = wire_get32(p + 2 + i * TCP_SACK_BLOCK_BYTES);
		o->sack[i].end = wire_get32(p + 6 + i * TCP_SACK_BLOCK_BYTES);
	}
	o->sack_count = (uint8_t)n;
	return 0;
}

static int parse_one(struct tcp_options *o, const uint8_t *p, uint8_t length, bool syn)
{
	switch (p[0]) {
	case KIND_MSS:
		if (length != 4)
			return -EBADMSG;
		o->has_mss = syn;
		o->mss = wire_get16(p + 2);
		return 0;
	case KIND_WSCALE:
		if (length != 3)
			return -EBADMSG;
		o->has_wscale = syn;
		o->wscale_cut = syn && p[2] > TCP_WSCALE_MAX;
		o->wscale = p[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : p[2];
		return 0;
	case KIND_SACK_PERMITTED:
		if (length != 2)
			return -EBADMSG;
		o->has_sack_permitted = syn;
		return 0;
	case KIND_SACK:
		return syn ? 0 : parse_sack(o, p, length);
	case KIND_TIMESTAMP:
		if (length != 10)
			return -EBADMSG;
		o->has_timestamp = true;
		o->ts_val = wire_get32(p + 2);
		o->ts_ecr = wire_get32(p + 6);
		return 0;
	default:
		return 0;
	}
}

int tcp_options_parse(struct tcp_options *out, const uint8_t *p, uint32_t n, bool syn)
{
	/* The blocks mean nothing beyond sack_count. */
	memset(out, 0, offsetof(struct tcp_options, sack));
	/* What nearly every segment carries: NOP NOP timestamps. */
	if (n == TCP_TIMESTAMP_BYTES && wire_get32(p) == 0x0101080a)
		return parse_one(out, p + 2, 10, syn);
	while (n) {
		if (p[0] == KIND_END)
			return 0;
		if (p[0] == KIND_NOP) {
			p++, n--;
			continue;
		}
		if (n < 2 || p[1] < 2 || p[1] > n)
			return -EBADMSG;
		uint8_t length = p[1];
		if (parse_one(out, p, length, syn))
			return -EBADMSG;
		p += length;
		n -= length;
	}
	return 0;
}

uint32_t tcp_options_write(uint8_t *p, const struct tcp_options *o)
{
	uint8_t *at = p;

	if (o->has_mss) {
		wire_put16(at, KIND_MSS << 8 | 4);
		wire_put16(at + 2, o->mss);
		at += 4;
	}
	if (o->has_timestamp) {
		/* SACK-permitted stands where the padding would. */
		wire_put32(at, o->has_sack_permitted ? 0x0402080a : 0x0101080a);
		wire_put32(at + 4, o->ts_val);
		wire_put32(at + 8, o->ts_ecr);
		at += TCP_TIMESTAMP_BYTES;
	}
	if (o->has_sack_permitted && !o->has_timestamp) {
		wire_put32(at, 0x01010402);
		at += 4;
	}
	if (o->has_wscale) {
		wire_put32(at, 0x01030300 | o->wscale);
		at += 4;
	}
	if (o->sack_count) {
		wire_put32(at, 0x01010500u | (2u + o->sack_count * TCP_SACK_BLOCK_BYTES));
		at += TCP_SACK_HEAD_BYTES;
	}
	for (unsigned i = 0; i < o->sack_count; i++) {
		wire_put32(at, o->sack[i].start);
		wire_put32(at + 4, o->sack[i].end);
		at += TCP_SACK_BLOCK_BYTES;
	}
	return (uint32_t)(at - p);
}
