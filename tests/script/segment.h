/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as scripts write them:
 *
 *   FLAGS SEQ[:END] [ack N] [win N] [<OPTION,...>] [urg N] [port N] [FIELD]...
 *
 * FLAGS are letters of SFRPUEC and '.' for ACK, or 0 for none. SEQ, END and ack are relative to the initial
 * numbers of the two sides. Options: mss N, wscale N, ts VAL ECR (ECR may be "last": what the stack sent),
 * sackok, sack A:B,C:D (relative, in the order of the wire), nop, eol, raw HEX. In an expected segment what
 * is not written is not compared, ts is written "ts ECR", and P only matters where it is written. port is the
 * peer's (40000 unless told).
 *
 * Fields of the layers below, which count in both directions: ect0, ect1, ce, notect (RFC 3168), dscp N, ttl
 * N (hop limit), vlan N, src ADDRESS (the sender's), dst ADDRESS. What a peer may do beside: id N (IPv4 or
 * fragment identification), frag A:B (only those bytes of the IP packet's payload, as a fragment; B may be
 * missing: the last one), and broken ones: rsv N (reserved bits), badsum, ipbadsum, doff N, iplen N, cut N
 * (bytes off the frame's end). */
#ifndef TESTS_SCRIPT_SEGMENT_H
#define TESTS_SCRIPT_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/ip_addr.h"

enum { SEGMENT_TEXT_BYTES = 500, FRAME_BYTES_MAX = 9100, PEER_PORT = 40000, STACK_PORT = 5672 };
enum { PEER_ADDR = 0x0a000002, STACK_ADDR = 0x0a000001 };
enum { SEGMENT_HEADERS_MAX = 18 + 40 + 8 + 60 };

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
	uint8_t ecn, ttl, reserved; /* ttl 0: 64 */
	uint16_t vlan;		    /* 0: untagged */
	uint8_t dscp;
	bool has_ecn, has_ttl, has_vlan, has_urg, has_dscp;
	struct ip_addr src, dst; /* unspecified: the usual ones */
	uint32_t id;
	bool fragment;
	uint32_t fragment_from, fragment_to; /* of the IP payload; to 0: its end */
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

/* The Ethernet header of a frame from the peer, with a VLAN tag where vlan is not 0. Returns its length. */
uint32_t segment_eth_header(uint8_t *frame, uint16_t vlan, bool v6);

/* The ends' usual addresses. */
struct ip_addr segment_peer_addr(bool v6), segment_stack_addr(bool v6);

/* "10.0.0.1" or "2001:db8::1". */
bool segment_addr_parse(const char *text, struct ip_addr *out);

/* The byte of either stream at a relative number. */
uint8_t segment_byte(int64_t seq);

extern const uint8_t peer_mac[6], stack_mac[6];

#endif
