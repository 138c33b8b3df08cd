/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of fragments, for both versions of IP (RFC 791, 815; RFC 8200 section 4.5, 5722, 6946, 7112),
 * within limits: datagrams and buffer bytes in all, and a quarter of both for one source. The oldest gives
 * way. What overlaps takes its datagram with it, also what is still to come of it. */
#ifndef TCPSTACK_FRAG_H
#define TCPSTACK_FRAG_H

#include "tcpstack/stack_impl.h"

enum { FRAG_PIECES_MAX = 64 };

/* Where a fragment belongs and what it is. m's data is what the fragment carries. */
struct frag_in {
	struct ip_packet ip;
	uint32_t id;
	uint32_t back;	 /* m's data stands so far behind the IP header */
	uint16_t offset; /* bytes, a multiple of 8 */
	bool more;
	uint8_t next; /* the protocol, or the next header, behind the fragment header */
};

/* What a fragment completed: m's data is the whole datagram's payload, copied together into as few of its
 * buffers as its order allows. */
struct frag_whole {
	struct rte_mbuf *m;
	struct ip_packet ip;
	uint8_t next;
};

int frag_init(struct stack *s);
void frag_fini(struct stack *s);
/* Takes the fragment over; true where it was the last that was missing. */
bool frag_input_take(struct stack *s, struct rte_mbuf *m, const struct frag_in *in, struct frag_whole *out);

/* Whether what was put together belongs to another core's stack: then it has gone there. */
bool frag_hand_over_take(struct stack *s, struct frag_whole *whole);

#endif
