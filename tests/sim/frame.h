/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulation understands of frames: the one place that knows Ethernet, VLAN tags, IPv4, IPv6, ARP,
 * neighbour discovery and TCP. Written apart from the stack's own parsers, so that both are held against each
 * other. */
#ifndef TESTS_SIM_FRAME_H
#define TESTS_SIM_FRAME_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/ip_addr.h"

enum {
	SIM_FRAME_HEADERS_MAX = 14 + 4 + 40 + 60,
	SIM_SACK_BLOCKS_MAX = 4,
	SIM_IPV4_MTU_MIN = 576,
	SIM_IPV6_MTU_MIN = 1280,
	SIM_PROTOCOL_TCP = 6,
	SIM_PROTOCOL_ICMPV6 = 58,
};

enum sim_flag {
	SIM_FIN = 1,
	SIM_SYN = 2,
	SIM_RST = 4,
	SIM_PSH = 8,
	SIM_ACK = 16,
	SIM_URG = 32,
	SIM_ECE = 64,
	SIM_CWR = 128
};

struct sim_frame {
	uint8_t *bytes;
	uint32_t length;
	uint16_t type; /* behind a VLAN tag */
	uint32_t l3_at;
	/* version is 0 for what is not IP, and nothing below is filled in */
	uint8_t version, protocol, ecn;
	bool df; /* may not be cut into fragments; IPv6: always */
	bool fragment;
	uint32_t ip_bytes; /* with its header */
	struct ip_addr src, dst;
	uint32_t l4_at, l4_bytes;
	/* tcp is false for everything else and for all but the first fragment */
	bool tcp;
	uint16_t sport, dport, window;
	uint32_t seq, ack, payload;
	uint8_t flags;
	bool has_mss, has_wscale, has_timestamp;
	uint8_t wscale;
	uint16_t mss;
	uint32_t ts_val, ts_ecr;
	unsigned sack_blocks;
	struct {
		uint32_t left, right;
	} sack[SIM_SACK_BLOCKS_MAX];
};

/* Reads the headers in m's first segment. f points into m. What makes no sense is left at 0. */
void sim_frame_read(struct rte_mbuf *m, struct sim_frame *f);
/* The same of a frame of length bytes in one piece. */
void sim_frame_read_bytes(uint8_t *bytes, uint32_t length, struct sim_frame *f);
/* Behind its payload, SYN and FIN. */
uint32_t sim_frame_end(const struct sim_frame *f);
/* Whether the checksum of IP's header is right, and that of what is in the packet; what has none is. The
 * frame is in one segment. */
void sim_frame_checksums(const struct sim_frame *f, bool *l3_good, bool *l4_good);
/* Marks congestion (RFC 3168). False where the packet does not take part in ECN. */
bool sim_frame_mark_ce(struct rte_mbuf *m);
/* One bit, which a checksum sees; false where no checksum would: Ethernet, ARP, and IPv6's own header; or not
 * for certain: two fragments of one datagram. */
bool sim_frame_corrupt(struct rte_mbuf *m, uint64_t random);
/* What a trace says of it. */
void sim_frame_print(struct rte_mbuf *m);

#endif
