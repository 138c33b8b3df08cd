/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of segments to send: sent ones first, each in flight, lost (to be sent again) or sacked; then
 * those that never left. The same list is the scoreboard of loss recovery (RFC 6675 section 3). */
#include "tcpstack/tcp_impl.h"

struct tcp_segment *tcp_segment_next(struct tcp_conn *c, struct tcp_segment *g)
{
	return g->link.next == &c->segments ? NULL : cds_list_entry(g->link.next, struct tcp_segment, link);
}

struct tcp_segment *tcp_segment_first(struct tcp_conn *c)
{
	return list_empty(&c->segments) ? NULL : cds_list_first_entry(&c->segments, struct tcp_segment, link);
}

void tcp_segment_queue(struct tcp_conn *c, struct tcp_segment *g)
{
	CDS_INIT_LIST_HEAD(&g->sent_link);
	cds_list_add_tail(&g->link, &c->segments);
	if (!c->unsent)
		c->unsent = g;
	c->tx_end = tcp_segment_end(g);
	c->tx_segments++;
}

void tcp_segment_mark_sent(struct tcp_conn *c, struct tcp_segment *g)
{
	MUST(!g->sacked);
	if (!g->sent || g->lost)
		c->in_flight += g->len;
	c->lost_count -= g->lost;
	g->sent = true;
	g->lost = false;
	g->sent_us = c->stack->now_us;
	cds_list_del(&g->sent_link);
	cds_list_add_tail(&g->sent_link, &c->flight);
}

static void to_lost(struct tcp_conn *c, struct tcp_segment *g)
{
	cds_list_del(&g->sent_link);
	cds_list_add_tail(&g->sent_link, &c->lost);
}

void tcp_segment_mark_lost(struct tcp_conn *c, struct tcp_segment *g)
{
	if (!g->sent || g->lost || g->sacked)
		return;
	g->lost = true;
	c->lost_count++;
	c->in_flight -= g->len;
	c->dup_bytes = min_u32(c->dup_bytes, c->in_flight);
	to_lost(c, g);
}

void tcp_segments_mark_lost(struct tcp_conn *c, uint64_t until_us)
{
	struct tcp_segment *g, *first = tcp_segment_first(c);

	cds_list_for_each_entry (g, &c->segments, link) {
		if (!g->sent)
			break;
		if (g->lost)
			to_lost(c, g);
		if (g == first || g->sent_us <= until_us)
			tcp_segment_mark_lost(c, g);
	}
	c->dup_bytes = 0;
}

/* Moves g into the flight where its time is, looked for from at, which is nearly always right. */
static void to_flight(struct tcp_conn *c, struct tcp_segment *g, struct cds_list_head *at)
{
	while (at != &c->flight && g->sent_us < cds_list_entry(at, struct tcp_segment, sent_link)->sent_us)
		at = at->prev;
	while (at->next != &c->flight &&
		cds_list_entry(at->next, struct tcp_segment, sent_link)->sent_us <= g->sent_us)
		at = at->next;
	cds_list_del(&g->sent_link);
	cds_list_add(&g->sent_link, at);
}

void tcp_segments_unmark_lost(struct tcp_conn *c)
{
	struct cds_list_head *at = &c->flight;

	while (!list_empty(&c->lost)) {
		struct tcp_segment *g = cds_list_first_entry(&c->lost, struct tcp_segment, sent_link);
		g->lost = false;
		c->in_flight += g->len;
		to_flight(c, g, at);
		at = &g->sent_link;
	}
	c->lost_count = 0;
}

void tcp_segment_mark_sacked(struct tcp_conn *c, struct tcp_segment *g)
{
	MUST(g->sent && !g->sacked);
	if (g->lost)
		c->lost_count--;
	else
		c->in_flight -= g->len;
	g->lost = false;
	g->sacked = true;
	c->sacked_count++;
	c->sacked_bytes += g->len;
	cds_list_del_init(&g->sent_link);
}

void tcp_segments_unsack(struct tcp_conn *c)
{
	struct tcp_segment *g;

	for (g = tcp_segment_first(c); g && c->sacked_count; g = tcp_segment_next(c, g)) {
		if (!g->sacked)
			continue;
		g->sacked = false;
		/* It had arrived once: what tells of it again measures nothing, neither time nor order. */
		g->resent = true;
		c->sacked_count--;
		c->sacked_bytes -= g->len;
		g->lost = true;
		c->lost_count++;
		to_lost(c, g);
	}
	c->sack_hint = NULL;
}

static void segment_remove(struct tcp_conn *c, struct tcp_segment *g)
{
	if (c->unsent == g)
		c->unsent = tcp_segment_next(c, g);
	if (c->sack_hint == g)
		c->sack_hint = NULL;
	if (g->lost) {
		c->lost_count--;
	} else if (g->sacked) {
		c->sacked_count--;
		c->sacked_bytes -= g->len;
	} else if (g->sent) {
		c->in_flight -= g->len;
	}
	c->tx_bytes -= g->len;
	c->tx_segments--;
	cds_list_del(&g->link);
	cds_list_del(&g->sent_link);
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

void tcp_segment_delivered(struct tcp_conn *c, struct tcp_segment *g, struct tcp_acked *acked)
{
	acked->segments++;
	acked->delivered += g->len;
	tcp_pmtu_delivered(c, g);
	/* Karn: a segment that was sent twice says nothing. The newest counts: the others may have waited for
	 * a delayed ACK. */
	if (g->resent)
		acked->resent_us = max_u64(acked->resent_us, g->sent_us);
	else
		acked->sent_us = max_u64(acked->sent_us, g->sent_us);
	if (seq_lt(c->recover, tcp_segment_end(g)))
		acked->beyond = true;
	else if (!g->resent)
		acked->original = true;
	tcp_rack_delivered(c, g, acked);
}

/* The peer has the first n bytes of g. */
static void segment_trim_front(struct tcp_conn *c, struct tcp_segment *g, uint32_t n)
{
	if (g->sacked)
		c->sacked_bytes -= n;
	else if (!g->lost)
		c->in_flight -= n;
	c->tx_bytes -= n;
	g->seq += n;
	g->off += (uint16_t)n;
	g->len -= (uint16_t)n;
}

void tcp_segments_acked(struct tcp_conn *c, uint32_t ack, struct tcp_acked *acked)
{
	struct tcp_segment *g;
	uint32_t before = c->tx_bytes;

	while ((g = tcp_segment_first(c)) && g->sent && seq_lt(g->seq, ack)) {
		if (seq_lt(ack, tcp_segment_end(g))) {
			if (!g->sacked)
				acked->delivered += ack - g->seq;
			segment_trim_front(c, g, ack - g->seq);
			break;
		}
		if (!g->sacked)
			tcp_segment_delivered(c, g, acked);
		segment_remove(c, g);
	}
	acked->bytes = before - c->tx_bytes;
	c->dup_bytes = min_u32(c->dup_bytes, c->in_flight);
}

uint32_t tcp_segments_spare(const struct stack *s)
{
	return max_u32(2, min_u32(s->config.tx_reserve / 2, 64u));
}

struct tcp_segment *tcp_segment_split(struct tcp_conn *c, struct tcp_segment *g, uint32_t n)
{
	struct stack *s = c->stack;
	struct tcp_segment *part = pool_take(s->segment_pool);

	MUST(n && n < g->len && g->m && !g->sacked);
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
	if (g->sent)
		cds_list_add_tail(&part->sent_link, &g->sent_link);
	else
		CDS_INIT_LIST_HEAD(&part->sent_link);
	if (c->unsent == g)
		c->unsent = part;
	c->lost_count += part->lost;
	c->tx_segments++;
	return part;
}
