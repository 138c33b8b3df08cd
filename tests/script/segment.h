/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as scripts write them:
 *
 *   FLAGS SEQ[:END] [ack N] [win N] [<OPTION,...>] [urg N] [port N] [FIELD]...
 *
 * FLAGS are letters of SFRPUEC and '.' for ACK, or 0 for none. SEQ, END and ack are relative to the initial
 * numbers of the two sides. Options: mss N, wscale N, ts VAL ECR (ECR may be "last": what the stack sent,
 * or "last-N": N before that),
 * sackok, sack A:B,C:D (relative, in the order of the wire), nop, eol, raw HEX. In an expected segment what
 * is not written is not compared, ts is written "ts ECR" ("ts 0 ECR" where its value is 0), and P only
 * matters where it is written. port is the peer's (40000 unless told).
 *
 * "ack all" acknowledges all that the stack has sent on that port; "every N" makes several segments of it:
 * data in segments of N bytes, or an acknowledgement for each N bytes.
 *
 * Broken ones: badsum, doff N, rsv N (reserved bits). Behind them stand the fields of the layers below:
 * packet.h.
 */
#ifndef TESTS_SCRIPT_SEGMENT_H
#define TESTS_SCRIPT_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/script/packet.h"

enum { SEGMENT_TEXT_BYTES = 500, FRAME_BYTES_MAX = 9100, PEER_PORT = 40000, STACK_PORT = 5672 };
enum { PEER_ADDR = 0x0a000002, STACK_ADDR = 0x0a000001 };
enum { SEGMENT_HEADERS_MAX = PACKET_HEADERS_MAX + 60 };

struct segment {
	uint8_t flags;
	bool has_ack, ack_all, has_win, has_options, has_urg, bad_sum;
	int64_t seq, ack; /* relative */
	uint32_t len, every, win, urg;
	uint16_t peer_port, stack_port;
	int doff; /* -1: right */
	uint8_t options[64];
	uint32_t options_n;
	char options_text[200];
	uint8_t reserved;
	struct packet below;
};

/* What relates a script's numbers to the wire's. */
struct segment_base {
	uint32_t peer_isn;
	uint32_t stack_isn;    /* of the connection that was seen last */
	uint32_t *isn_of_port; /* 65536, by the peer's port; NULL: stack_isn is all that is known */
	uint32_t last_ts;      /* the newest timestamp value that the stack sent */
	bool v6;	       /* the script speaks IPv6 */
};

/* Reads a segment; on failure returns what is wrong with it, else NULL. expected: it is one to be compared.
 */
const char *segment_parse(
	struct segment *g, const char *text, const struct segment_base *base, bool expected);

/* In a script's words, into out (SEGMENT_TEXT_BYTES). */
const char *segment_text(const struct segment *g, char *out);

/* NULL when seen is what is expected, else the field that differs. */
const char *segment_differs(const struct segment *expected, const struct segment *seen);

/* segment_options.c. text: what stands between < and >. NULL or what is wrong. */
const char *segment_options_parse(struct segment *g, const char *text, const struct segment_base *base);
/* Options as they stand on the wire, in a script's words; timestamps with the echo alone. */
void segment_options_text(struct segment *g, struct segment_base *base, const uint8_t *p, uint32_t n);

/* segment_frame.c. Writes the Ethernet frame that carries g from the peer; returns its length. frame has room
 * for g.len and SEGMENT_HEADERS_MAX. */
uint32_t segment_to_frame(const struct segment *g, const struct segment_base *base, uint8_t *frame);

/* The same as an IP packet alone, from the peer or (to be quoted in an ICMP message) from the stack. Returns
 * its length; *header gets that of its IP header. */
uint32_t segment_to_packet(const struct segment *g, const struct segment_base *base, bool from_stack,
	uint8_t *packet, uint32_t *header);

/* Reads a frame from the stack back. False when it is no TCP segment; *broken names a wrong checksum, length
 * or payload byte, or is NULL. base->stack_isn is taken from a SYN. */
bool segment_from_frame(
	struct segment *g, struct segment_base *base, const uint8_t *frame, uint32_t n, const char **broken);

/* The byte of either stream at a relative number. */
uint8_t segment_byte(int64_t seq);

#endif
