/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a packet into fragments, as a router of IPv4 does, or a sender of either version. */
#ifndef TESTS_SIM_PIECES_H
#define TESTS_SIM_PIECES_H

#include <rte_mbuf.h>
#include <stdint.h>

/* Calls out, which borrows it, with each fragment of the packet in f (in one buffer, no fragment itself):
 * bytes of its payload in each but the last, a multiple of 8. id tells it from others; IPv4 takes 16 bits of
 * it. */
void sim_pieces_send(struct rte_mempool *pool, struct rte_mbuf *f, uint32_t bytes, uint32_t id,
	void (*out)(void *ctx, struct rte_mbuf *m), void *ctx);

#endif
