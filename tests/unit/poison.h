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

enum { POISON_BUFFERS_MAX = 256 };

struct poison_frames {
	unsigned count;
	struct rte_mbuf *buffers[POISON_BUFFERS_MAX];
};

/* Poisons around the data of n frames that are about to be taken in together. What a stack may do is left to
 * it: to copy a small segment behind the data of one that came earlier, so that only the last one has a
 * poisoned end. */
void poison_frames_begin(struct poison_frames *p, struct rte_mbuf *const *frames, unsigned n);
/* They were taken in: the ends of those that are still held may be written to from now on. Their headroom
 * stays poisoned until they are given back. */
void poison_frames_end(struct poison_frames *p);

#endif
