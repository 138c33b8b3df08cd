/* SPDX-License-Identifier: Apache-2.0 */
/* What stands below TCP, ICMP and the rest in a frame, as scripts write it behind any of them:
 *
 *   ect0, ect1, ce, notect (RFC 3168)   dscp N   ttl N (hop limit)   vlan N   src ADDRESS   dst ADDRESS
 *   ethdst MAC, ethsrc MAC              MAC: xx:xx:xx:xx:xx:xx, or peer, stack, all
 *
 * count in both directions: what is not written of an expected frame is not compared (but for the Ethernet
 * addresses, which are the two ends'). What a peer may do beside:
 *
 *   proto N                   another protocol's number
 *   ipopt HEX                 options of IPv4, filled up with their end
 *   ext KIND[:HEX]            an extension header of IPv6: hop, dest, route, or a number; HEX is what follows
 * its length, filled up with zeros, which pad options. Several stand in their order id N, frag A:B, fragat N
 * IPv4's or the fragment's identification; only those bytes of the packet's payload (extension headers count
 * as such), as a fragment; B may be missing: the last one; and where it says that it stands ipbadsum, ipver
 * N, ihl N, iplen N, cut N (bytes off the frame's end)
 */
#ifndef TESTS_SCRIPT_PACKET_H
#define TESTS_SCRIPT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/ip_addr.h"

enum { PACKET_EXT_MAX = 12, PACKET_EXT_BYTES = 200 };
enum { PACKET_HEADERS_MAX = 18 + 60 + PACKET_EXT_BYTES + 8 };

struct packet {
	struct ip_addr src, dst; /* unspecified: the usual ones */
	uint8_t eth_dst[6], eth_src[6];
	bool has_eth_dst, has_eth_src;
	bool has_src, has_dst, has_ecn, has_ttl, has_dscp, has_vlan, has_iplen, has_ihl, has_at;
	bool fragment, bad_sum;
	uint8_t ecn, ttl, dscp, version, ihl; /* ttl 0, unless has_ttl: 64; version 0: the right one */
	uint8_t protocol;		      /* 0: what is carried */
	uint16_t vlan;			      /* 0: untagged */
	uint16_t iplen;
	uint32_t id;
	uint32_t fragment_from, fragment_to; /* of the IP payload; to 0: its end */
	uint32_t fragment_at;
	uint32_t cut;
	uint8_t options[40];
	uint32_t options_n;
	uint8_t ext_kind[PACKET_EXT_MAX];
	uint8_t ext[PACKET_EXT_BYTES]; /* with their lengths, without the kind of what follows */
	unsigned ext_count;
	uint32_t ext_n;
};

/* Takes the field that name begins, and its value from *at. NULL when it did, "" when name is none of these
 * fields, else what is wrong. */
const char *packet_field(struct packet *p, const char *name, const char **at);

/* The fields of a whole line, to its end. NULL or what is wrong. */
const char *packet_fields(struct packet *p, const char *text);

/* The next word of *at, or "" at the end; blanks are skipped. */
const char *packet_word(const char **at, char *out, size_t size);
bool packet_number(const char *text, int64_t *out);
bool packet_mac(const char *text, uint8_t out[6]);
/* n gets how many bytes HEX is, at most size. */
bool packet_hex(const char *text, uint8_t *out, uint32_t size, uint32_t *n);

/* The ends of a packet from the peer. */
void packet_ends(const struct packet *p, bool v6, struct ip_addr *src, struct ip_addr *dst);

/* How many bytes of headers stand before the payload. */
uint32_t packet_headers(const struct packet *p, bool v6);

/* Writes the IP headers at ip, behind which n bytes of payload stand already. Returns the packet's length. */
uint32_t packet_put(const struct packet *p, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t protocol, uint8_t *ip, uint32_t n);

/* The frame from the peer around a payload, which may lie in frame already. Returns its length; frame has
 * room for PACKET_HEADERS_MAX and n. */
uint32_t packet_frame(const struct packet *p, bool v6, uint8_t protocol, const uint8_t *payload, uint32_t n,
	uint8_t *frame);

/* The Ethernet header of a frame from the peer. Returns its length. */
uint32_t packet_eth(const struct packet *p, uint16_t type, uint8_t *frame);

/* What a frame of the stack's says below its payload. */
struct packet_seen {
	struct packet p;
	uint16_t type; /* Ethernet's */
	uint8_t protocol;
	bool hop_options; /* hop-by-hop options stood before the payload */
	const uint8_t *ip, *payload;
	uint32_t ip_n, payload_n;
};
/* False when it is cut short. What is no IP has no ip. */
bool packet_read(struct packet_seen *out, const uint8_t *frame, uint32_t n);

/* NULL when seen is as expected, else what differs. */
const char *packet_differs(const struct packet *expected, const struct packet *seen);

/* In a script's words, behind out's end; only what is not usual. Returns the end. */
char *packet_text(const struct packet *p, char *out);

/* The ends' usual addresses. */
struct ip_addr segment_peer_addr(bool v6), segment_stack_addr(bool v6);
/* "10.0.0.1" or "2001:db8::1". */
bool segment_addr_parse(const char *text, struct ip_addr *out);
/* INET6_ADDRSTRLEN bytes */
const char *packet_addr_text(const struct ip_addr *a, char *out);

extern const uint8_t peer_mac[6], stack_mac[6];

#endif
