/* SPDX-License-Identifier: Apache-2.0 */
/* Packet buffers that AddressSanitizer can watch. It knows a pool as one piece of memory and sees neither a
 * read past a frame's data nor one of a buffer that was given back. Here a free buffer is poisoned whole,
 * with its struct rte_mbuf; and around the data of frames that a stack looks at what lies before and behind
 * is. Without AddressSanitizer all of this costs nothing. */
#ifndef TESTS_UNIT_POISON_H
#define TESTS_UNIT_POISON_H

#include <rte_mbuf.h>
#include <stdbool.h>

/* Whether this build can see anything. */
bool poison_works(void);

/* As rte_pktmbuf_pool_create without a cache; NULL without memory. EAL runs. */
struct rte_mempool *poison_pool_create(const char *name, unsigned count, unsigned data_room_bytes);

/* Poisons around the data of n received frames, until they are given back. Where the stack makes room of what
 * lies there it says so: frame_empty and frame_room. */
void poison_around(struct rte_mbuf *const *frames, unsigned n);

#endif
