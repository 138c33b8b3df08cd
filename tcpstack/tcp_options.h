/* SPDX-License-Identifier: Apache-2.0 */
/* TCP options: RFC 9293 section 3.1 (MSS), RFC 7323 (window scale, timestamps), RFC 2018 (SACK). */
#ifndef TCPSTACK_TCP_OPTIONS_H
#define TCPSTACK_TCP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TCP_OPTIONS_BYTES_MAX = 40,
	TCP_TIMESTAMP_BYTES = 12,
	TCP_WSCALE_MAX = 14,
	TCP_SACK_BLOCKS_MAX = 4,
	TCP_SACK_HEAD_BYTES = 4, /* NOP NOP kind length */
	TCP_SACK_BLOCK_BYTES = 8,
};

/* Sequence numbers from start up to but not including end. */
struct tcp_sack_block {
	uint32_t start, end;
};

struct tcp_options {
	bool has_mss, has_wscale, has_timestamp, has_sack_permitted;
	bool wscale_cut; /* it was larger than TCP_WSCALE_MAX: RFC 7323 section 2.3 */
	uint8_t wscale;
	uint16_t mss;
	uint8_t sack_count; /* valid elements of sack */
	uint32_t ts_val, ts_ecr;
	struct tcp_sack_block sack[TCP_SACK_BLOCKS_MAX];
};

/* Reads n bytes of options. Unknown ones are skipped; MSS, window scale and SACK-permitted count on a SYN
 * alone, SACK on anything else. 0, or -EBADMSG when a length is below 2, goes past the end or does not fit
 * its kind (RFC 9293 MUST-7: never a crash). */
int tcp_options_parse(struct tcp_options *out, const uint8_t *p, uint32_t n, bool syn);

/* Writes options in the order and with the padding that Linux uses, so that we look like what middle boxes
 * know: on a SYN MSS, SACK-permitted + timestamps, NOP + window scale; else NOP NOP timestamps, NOP NOP SACK.
 * The caller asks for no more SACK blocks than fit. Returns the bytes written, a multiple of 4; p has room
 * for TCP_OPTIONS_BYTES_MAX. */
uint32_t tcp_options_write(uint8_t *p, const struct tcp_options *o);

#endif
