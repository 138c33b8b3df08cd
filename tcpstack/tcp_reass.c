/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/tcp_reass.h"

#include <errno.h>

#include "tcpstack/stack_impl.h"
#include "tcpstack/tcp_seq.h"

struct node {
	struct cds_list_head link;
	struct rte_mbuf *m;
	uint32_t seq;
};
_Static_assert(sizeof(struct node) == TCP_REASS_NODE_BYTES, "the pool is made with this size");

static uint32_t node_end(const struct node *n)
{
	return n->seq + n->m->pkt_len;
}

void tcp_reass_init(struct tcp_reass *r)
{
	CDS_INIT_LIST_HEAD(&r->nodes);
	r->bytes = 0;
	r->segments = 0;
	r->buffers = 0;
}

uint32_t tcp_buffers_of(const struct rte_mbuf *m)
{
	uint32_t n = 0;

	for (; m; m = m->next)
		n++;
	return n;
}

bool tcp_buffer_has_room(const struct rte_mbuf *tail, const struct rte_mbuf *m)
{
	return !m->next && rte_mbuf_refcnt_read(tail) == 1 && RTE_MBUF_DIRECT(tail) &&
	       rte_pktmbuf_tailroom(tail) >= m->data_len;
}

bool tcp_buffer_append(struct rte_mbuf *tail, const struct rte_mbuf *m)
{
	if (!tcp_buffer_has_room(tail, m))
		return false;
	memcpy(frame_room(tail, m->data_len), rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
	tail->data_len += m->data_len;
	return true;
}

/* A small segment that continues what a node has moves into its last buffer. */
static bool coalesce_take(struct tcp_reass *r, struct node *n, uint32_t seq, struct rte_mbuf *m)
{
	if (node_end(n) != seq || m->pkt_len > TCP_COALESCE_BYTES_MAX ||
		!tcp_buffer_append(rte_pktmbuf_lastseg(n->m), m))
		return false;
	n->m->pkt_len += m->data_len;
	r->bytes += m->data_len;
	rte_pktmbuf_free(m);
	return true;
}

static struct rte_mbuf *node_remove(struct tcp_reass *r, struct pool *nodes, struct node *n)
{
	struct rte_mbuf *m = n->m;

	r->bytes -= m->pkt_len;
	r->segments--;
	r->buffers -= tcp_buffers_of(m);
	cds_list_del(&n->link);
	pool_give(nodes, n);
	return m;
}

/* Cuts off m what the node before it has; frees nodes that m covers, cuts off m what the next one has.
 * Returns false when nothing of m is new. */
static bool trim_overlaps(
	struct tcp_reass *r, struct pool *nodes, struct node *before, uint32_t *seq, struct rte_mbuf *m)
{
	struct cds_list_head *at = before ? before->link.next : r->nodes.next;

	if (before && seq_lt(*seq, node_end(before))) {
		uint32_t overlap = node_end(before) - *seq;
		if (overlap >= m->pkt_len)
			return false;
		frame_trim_front(m, overlap);
		*seq += overlap;
	}
	while (at != &r->nodes) {
		struct node *next = cds_list_entry(at, struct node, link);
		uint32_t end = *seq + m->pkt_len;
		if (seq_leq(end, next->seq))
			break;
		if (seq_lt(end, node_end(next)) || *seq == next->seq) {
			uint32_t keep = next->seq - *seq;
			if (keep == 0 && seq_leq(end, node_end(next)))
				return false;
			if (keep) {
				frame_truncate(m, keep);
				break;
			}
		}
		at = at->next;
		rte_pktmbuf_free(node_remove(r, nodes, next));
	}
	return true;
}

int tcp_reass_insert_take(
	struct tcp_reass *r, struct pool *nodes, uint32_t segments_max, uint32_t seq, struct rte_mbuf *m)
{
	struct node *before = NULL, *n;

	cds_list_for_each_entry_reverse(n, &r->nodes, link) if (seq_leq(n->seq, seq))
	{
		before = n;
		break;
	}
	if (!trim_overlaps(r, nodes, before, &seq, m)) {
		rte_pktmbuf_free(m);
		return -EEXIST;
	}
	if (before && coalesce_take(r, before, seq, m))
		return 0;
	n = r->segments < segments_max ? pool_take(nodes) : NULL;
	if (!n) {
		rte_pktmbuf_free(m);
		return -ENOBUFS;
	}
	n->m = m;
	n->seq = seq;
	cds_list_add(&n->link, before ? &before->link : &r->nodes);
	r->bytes += m->pkt_len;
	r->segments++;
	r->buffers += tcp_buffers_of(m);
	return 0;
}

uint32_t tcp_reass_pull(struct tcp_reass *r, struct pool *nodes, uint32_t *rcv_nxt, struct chain *to)
{
	uint32_t before = to->bytes;
	struct node *n, *next;

	cds_list_for_each_entry_safe (n, next, &r->nodes, link) {
		if (seq_lt(*rcv_nxt, n->seq))
			break;
		uint32_t seq = n->seq, end = node_end(n);
		struct rte_mbuf *m = node_remove(r, nodes, n);
		if (seq_leq(end, *rcv_nxt)) {
			rte_pktmbuf_free(m);
			continue;
		}
		frame_trim_front(m, *rcv_nxt - seq);
		*rcv_nxt = end;
		chain_append_take(to, m);
	}
	return to->bytes - before;
}

uint32_t tcp_reass_drop_last(struct tcp_reass *r, struct pool *nodes)
{
	MUST(r->segments);
	struct node *n = cds_list_entry(r->nodes.prev, struct node, link);
	uint32_t seq = n->seq;

	rte_pktmbuf_free(node_remove(r, nodes, n));
	return seq;
}

void tcp_reass_cut(struct tcp_reass *r, struct pool *nodes, uint32_t end)
{
	while (!list_empty(&r->nodes)) {
		struct node *n = cds_list_entry(r->nodes.prev, struct node, link);
		if (seq_leq(node_end(n), end))
			return;
		if (seq_lt(n->seq, end)) {
			uint32_t buffers = tcp_buffers_of(n->m);
			r->bytes -= node_end(n) - end;
			frame_truncate(n->m, end - n->seq);
			r->buffers -= buffers - tcp_buffers_of(n->m);
			return;
		}
		rte_pktmbuf_free(node_remove(r, nodes, n));
	}
}

void tcp_reass_clear(struct tcp_reass *r, struct pool *nodes)
{
	struct node *n, *next;

	cds_list_for_each_entry_safe (n, next, &r->nodes, link)
		rte_pktmbuf_free(node_remove(r, nodes, n));
}
