/* SPDX-License-Identifier: Apache-2.0 */
/* Received segments that wait for what is missing before them (RFC 9293 SHLD-31): disjoint, in sequence
 * order, each a taken mbuf (of one or more segments). Nodes come from a pool that connections share. */
#ifndef TCPSTACK_TCP_REASS_H
#define TCPSTACK_TCP_REASS_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "runtime/chain.h"
#include "runtime/pool.h"

struct tcp_reass {
	struct cds_list_head nodes;
	uint32_t bytes, segments;
	uint32_t buffers; /* mbufs held */
};

enum {
	TCP_REASS_NODE_BYTES = 32,
	TCP_COALESCE_BYTES_MAX = 512, /* larger segments are worth a buffer of their own */
};

void tcp_reass_init(struct tcp_reass *r);

/* Adds m, whose data (pkt_len bytes, at least 1) starts at seq; takes it in every case. What is there already
 * wins over a part of m that overlaps it (what m covers whole is replaced). 0; -EEXIST when all of it was
 * there; -ENOBUFS at segments_max or with an empty pool: m is dropped. O(segments behind its place): segments
 * usually come in at the end. A small segment that continues the one before it moves into the free room of
 * that one's buffer, and takes neither a node nor a buffer. */
int tcp_reass_insert_take(
	struct tcp_reass *r, struct pool *nodes, uint32_t segments_max, uint32_t seq, struct rte_mbuf *m);

/* Moves what starts at *rcv_nxt, and all that follows without a gap, to the end of to; data below *rcv_nxt is
 * dropped. *rcv_nxt moves on. Returns the bytes moved. */
uint32_t tcp_reass_pull(struct tcp_reass *r, struct pool *nodes, uint32_t *rcv_nxt, struct chain *to);

/* Drops the last segment; there is one, MUST. Returns where it began. */
uint32_t tcp_reass_drop_last(struct tcp_reass *r, struct pool *nodes);

/* How many mbufs lie behind m, itself included. */
uint32_t tcp_buffers_of(const struct rte_mbuf *m);
/* Whether what is in m, a lone mbuf, fits behind tail's payload, and nobody else looks at tail. */
bool tcp_buffer_has_room(const struct rte_mbuf *tail, const struct rte_mbuf *m);
/* Copies it there. False, and nothing is done, where it does not fit. */
bool tcp_buffer_append(struct rte_mbuf *tail, const struct rte_mbuf *m);

/* Frees what lies at end or behind it: the peer's FIN is there. */
void tcp_reass_cut(struct tcp_reass *r, struct pool *nodes, uint32_t end);

/* Frees everything. */
void tcp_reass_clear(struct tcp_reass *r, struct pool *nodes);

#endif
