/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of received bytes held in mbufs, as both transports keep them and the broker reads them. The mbufs
 * are linked through m->next, each a segment of its own (its pkt_len and nb_segs mean nothing here). The
 * chain owns them. One chain belongs to one core. */
#ifndef RUNTIME_CHAIN_H
#define RUNTIME_CHAIN_H

#include <rte_mbuf.h>
#include <stdint.h>

struct chain {
	struct rte_mbuf *head, *tail;
	uint32_t bytes;	   /* payload bytes held */
	uint32_t segments; /* mbufs held */
};

static inline void chain_init(struct chain *c)
{
	*c = (struct chain){0};
}

/* Takes m (data_off/data_len describe its payload; m->next may lead to further segments, each taken). A
 * segment without data is freed. O(segments of m). */
void chain_append_take(struct chain *c, struct rte_mbuf *m);

/* Drops the first n bytes (n <= c->bytes, MUST); emptied mbufs go back to their pools. O(mbufs freed). */
void chain_consume(struct chain *c, uint32_t n);

/* Copies n bytes from offset off (off + n <= c->bytes, MUST) to dst. O(segments passed). */
void chain_copy(const struct chain *c, uint32_t off, void *dst, uint32_t n);

/* The first n bytes as one contiguous piece: in place where the head segment has them all, else copied into
 * scratch (at least n bytes). n <= c->bytes, MUST. The result is valid until the chain or scratch changes. */
const uint8_t *chain_peek(const struct chain *c, uint32_t n, void *scratch);

/* Frees everything. */
void chain_clear(struct chain *c);

#endif
