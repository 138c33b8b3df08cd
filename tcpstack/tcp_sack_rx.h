/* SPDX-License-Identifier: Apache-2.0 */
/* What a receiver tells its peer in SACK options: the blocks of data that wait behind a gap, the one that
 * grew last in front (RFC 2018 section 4), and once each a duplicate that arrived (RFC 2883). The blocks are
 * a memory of what is in reassembly; those that are forgotten because there are too many are sent again by
 * the peer at worst. */
#ifndef TCPSTACK_TCP_SACK_RX_H
#define TCPSTACK_TCP_SACK_RX_H

#include "tcpstack/tcp_options.h"

struct tcp_sack_rx {
	uint8_t count;
	bool has_duplicate;
	struct tcp_sack_block duplicate;		  /* to be told once, where has_duplicate */
	struct tcp_sack_block block[TCP_SACK_BLOCKS_MAX]; /* disjoint, all behind rcv_nxt, latest first */
};

static inline void tcp_sack_rx_init(struct tcp_sack_rx *x)
{
	x->count = 0;
	x->has_duplicate = false;
}

/* [start, end) is in reassembly now. O(blocks). */
void tcp_sack_rx_add(struct tcp_sack_rx *x, uint32_t start, uint32_t end);

/* rcv_nxt has moved: what lies before it is acknowledged. O(blocks). */
void tcp_sack_rx_advance(struct tcp_sack_rx *x, uint32_t rcv_nxt);

/* What lay at and behind from has been given up for want of memory (RFC 2018 section 8 allows it). */
void tcp_sack_rx_cut(struct tcp_sack_rx *x, uint32_t from);

/* [start, end) arrived although it was there. */
void tcp_sack_rx_duplicate(struct tcp_sack_rx *x, uint32_t start, uint32_t end);

/* Cuts [*start, *end) to the first part of it that is in a block. False where none is. O(blocks). */
bool tcp_sack_rx_overlap(const struct tcp_sack_rx *x, uint32_t *start, uint32_t *end);

/* Fills o->sack with what fits into room bytes of options; a duplicate in it has been told then. */
void tcp_sack_rx_write(struct tcp_sack_rx *x, uint32_t room, struct tcp_options *o);

#endif
