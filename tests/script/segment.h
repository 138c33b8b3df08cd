/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as scripts write them:
 *
 *   FLAGS SEQ[:END] [ack N] [win N] [<OPTION,...>] [urg N] [port N] [badsum] [ipbadsum] [doff N] [iplen N]
 * [cut N]
 *
 * FLAGS are letters of SFRPU and '.' for ACK, or 0 for none. SEQ, END and ack are relative to the initial
 * numbers of the two sides. Options: mss N, wscale N, ts VAL ECR (ECR may be "last": what the stack sent),
 * nop, eol, sackok, sack FROM:TO..., raw HEX. In an expected segment what is not written is not compared, ts
 * is written "ts ECR", and P only matters where it is written. port is the peer's (40000 unless told). doff,
 * iplen and cut (bytes off the frame's end) make broken segments. */
#ifndef TESTS_SCRIPT_SEGMENT_H
#define TESTS_SCRIPT_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

enum { SEGMENT_TEXT_BYTES = 400, FRAME_BYTES_MAX = 9100, PEER_PORT = 40000, STACK_PORT = 5672 };
enum { PEER_ADDR = 0x0a000002, STACK_ADDR = 0x0a000001 };

struct segment {
	uint8_t flags;
	bool has_ack, has_win, has_options, bad_sum, bad_ip_sum;
	int64_t seq, ack; /* relative */
	uint32_t len, win, urg;
	uint16_t peer_port, stack_port;
	int doff, iplen, cut; /* -1, -1, 0: right */
	uint8_t options[64];
	uint32_t options_n;
	char options_text[200];
};

/* What relates a script's numbers to the wire's. */
struct segment_base {
	uint32_t peer_isn;
	uint32_t stack_isn;
	uint32_t last_ts; /* the newest timestamp value that the stack sent */
};

/* Reads a segment; on failure returns what is wrong with it, else NULL. expected: it is one to be compared.
 */
const char *segment_parse(
	struct segment *g, const char *text, const struct segment_base *base, bool expected);

/* Writes the Ethernet frame that carries g from the peer; returns its length. */
uint32_t segment_to_frame(const struct segment *g, const struct segment_base *base, uint8_t *frame);

/* Reads a frame from the stack back. False when it is no TCP segment; *broken names a wrong checksum, length
 * or payload byte, or is NULL. base->stack_isn is taken from a SYN. */
bool segment_from_frame(
	struct segment *g, struct segment_base *base, const uint8_t *frame, uint32_t n, const char **broken);

/* In a script's words, into out (SEGMENT_TEXT_BYTES). */
const char *segment_text(const struct segment *g, char *out);

/* NULL when seen is what is expected, else the field that differs. */
const char *segment_differs(const struct segment *expected, const struct segment *seen);

/* The byte of either stream at a relative number. */
uint8_t segment_byte(int64_t seq);

extern const uint8_t peer_mac[6], stack_mac[6];

#endif
