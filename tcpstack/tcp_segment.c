/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of segments to send: sent ones first, each sent, lost (to be sent again) or acknowledged; then
 * those that never left. The same list is the scoreboard of loss recovery. */
#include "tcpstack/tcp_impl.h"

static struct tcp_segment *next_of(struct tcp_conn *c, struct tcp_segment *g)
{
	return g->link.next == &c->segments ? NULL : cds_list_entry(g->link.next, struct tcp_segment, link);
}

struct tcp_segment *tcp_segment_first(struct tcp_conn *c)
{
	return list_empty(&c->segments) ? NULL : cds_list_first_entry(&c->segments, struct tcp_segment, link);
}

void tcp_segment_queue(struct tcp_conn *c, struct tcp_segment *g)
{
	cds_list_add_tail(&g->link, &c->segments);
	if (!c->unsent)
		c->unsent = g;
	c->tx_end = tcp_segment_end(g);
	c->tx_segments++;
}

void tcp_segment_mark_lost(struct tcp_conn *c, struct tcp_segment *g)
{
	if (!g->sent || g->lost)
		return;
	g->lost = true;
	c->lost_count++;
	c->in_flight -= g->len;
	c->dup_bytes = min_u32(c->dup_bytes, c->in_flight);
}

void tcp_segments_mark_all_lost(struct tcp_conn *c)
{
	struct tcp_segment *g;

	cds_list_for_each_entry (g, &c->segments, link) {
		if (!g->sent)
			break;
		tcp_segment_mark_lost(c, g);
	}
	c->dup_bytes = 0;
}

static void segment_remove(struct tcp_conn *c, struct tcp_segment *g)
{
	if (c->unsent == g)
		c->unsent = next_of(c, g);
	if (g->lost)
		c->lost_count--;
	else if (g->sent)
		c->in_flight -= g->len;
	c->tx_bytes -= g->len;
	c->tx_segments--;
	cds_list_del(&g->link);
	if (g->control)
		return;
	/* Alone: where the wire hands buffers on, the peer may have linked others behind it. */
	rte_pktmbuf_free_seg(g->m);
	pool_give(c->stack->segment_pool, g);
}

void tcp_segments_clear(struct tcp_conn *c)
{
	struct tcp_segment *g;

	while ((g = tcp_segment_first(c)))
		segment_remove(c, g);
	c->dup_bytes = 0;
}

/* The peer has the first n bytes of g. */
static void segment_trim_front(struct tcp_conn *c, struct tcp_segment *g, uint32_t n)
{
	if (!g->lost)
		c->in_flight -= n;
	c->tx_bytes -= n;
	g->seq += n;
	g->off += (uint16_t)n;
	g->len -= (uint16_t)n;
}

struct tcp_acked tcp_segments_acked(struct tcp_conn *c, uint32_t ack)
{
	struct tcp_segment *g;
	uint32_t before = c->tx_bytes;
	uint64_t now_us = c->stack->now_us, sent_us = now_us;
	struct tcp_acked acked = {0};

	while ((g = tcp_segment_first(c)) && g->sent && seq_lt(g->seq, ack)) {
		sent_us = g->sent_us;
		if (g->resent)
			acked.resent_us = max_u64(acked.resent_us, g->sent_us);
		if (seq_lt(ack, tcp_segment_end(g))) {
			segment_trim_front(c, g, ack - g->seq);
			break;
		}
		segment_remove(c, g);
	}
	/* Karn: a segment sent twice says nothing, and those behind it may have waited for it. Else the
	 * newest one counts: the others may have waited for a delayed ACK. */
	if (!acked.resent_us)
		acked.rtt_us = (uint32_t)min_u64(max_u64(now_us - sent_us, 1), 1u << 30);
	acked.bytes = before - c->tx_bytes;
	c->dup_bytes = min_u32(c->dup_bytes, c->in_flight);
	return acked;
}

struct tcp_segment *tcp_segment_split(struct tcp_conn *c, struct tcp_segment *g, uint32_t n)
{
	struct stack *s = c->stack;
	struct tcp_segment *part = pool_take(s->segment_pool);

	MUST(n && n < g->len && g->m);
	if (!part) {
		COUNT(s, tx_pool_empty);
		return NULL;
	}
	struct rte_mbuf *m = stack_tx_alloc(s);
	if (!m) {
		pool_give(s->segment_pool, part);
		return NULL;
	}
	*part = *g;
	part->m = m;
	part->off = m->data_off;
	part->len = (uint16_t)n;
	memcpy((uint8_t *)m->buf_addr + part->off, (uint8_t *)g->m->buf_addr + g->off, n);
	g->seq += n;
	g->off += (uint16_t)n;
	g->len -= (uint16_t)n;
	cds_list_add_tail(&part->link, &g->link);
	if (c->unsent == g)
		c->unsent = part;
	c->lost_count += part->lost;
	c->tx_segments++;
	return part;
}
