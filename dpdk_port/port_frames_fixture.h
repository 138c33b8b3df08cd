/* SPDX-License-Identifier: Apache-2.0 */
/* Frames by hand, for the tests of what looks into them. */
#ifndef DPDK_PORT_PORT_FRAMES_FIXTURE_H
#define DPDK_PORT_PORT_FRAMES_FIXTURE_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

enum { FRAME_BYTES_MAX = 256 };

struct frame_bytes {
	uint8_t p[FRAME_BYTES_MAX];
	unsigned n;
};

/* Ends of a connection; addresses of 4 or 16 bytes. */
struct frame_ends {
	bool v6;
	uint8_t src[16], dst[16];
	uint16_t sport, dport;
};

struct frame_ends frame_ends_random(bool v6);
struct frame_ends frame_ends_turned(const struct frame_ends *e);

void frame_ether(struct frame_bytes *f, uint16_t type, unsigned vlan_or_0);
void frame_put(struct frame_bytes *f, const void *p, unsigned n);
/* word: IPv4's flags and offset. payload bytes follow from elsewhere. */
void frame_ip(struct frame_bytes *f, const struct frame_ends *e, uint8_t protocol, uint16_t word);
void frame_ports(struct frame_bytes *f, const struct frame_ends *e);

void frame_tcp(struct frame_bytes *f, const struct frame_ends *e);
/* An ICMP error of this type about what e's destination sent to its source. */
void frame_icmp_error(struct frame_bytes *f, const struct frame_ends *e, uint8_t type);
void frame_arp(struct frame_bytes *f);

struct rte_mbuf *frame_mbuf(struct rte_mempool *pool, const struct frame_bytes *f);

#endif
