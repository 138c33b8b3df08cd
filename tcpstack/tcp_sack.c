/* SPDX-License-Identifier: Apache-2.0 */
/* The sender's side of SACK: which segments the peer says to have (RFC 2018, 6675), and which it had twice
 * (RFC 2883). What a peer claims is advice: a wrong block costs it speed and us nothing. */
#include "tcpstack/tcp_impl.h"

enum {
	/* How many segments one acknowledgement's blocks may make us pass: a peer whose blocks jump about in
	 * a long queue would else buy much of our time with little of his. */
	SACK_WALK_MAX = 1024,
};

/* RFC 2883 section 4: the first block tells of a duplicate when it lies below the cumulative ACK, or within
 * the second block. */
static bool is_duplicate_report(const struct tcp_in *in)
{
	const struct tcp_options *o = &in->options;

	if (seq_leq(o->sack[0].end, in->ack))
		return true;
	return o->sack_count > 1 && seq_leq(o->sack[1].start, o->sack[0].start) &&
	       seq_leq(o->sack[0].end, o->sack[1].end);
}

/* A report of something that was sent a while ago, at most. */
static bool duplicate_believable(const struct tcp_conn *c, const struct tcp_sack_block *b)
{
	return seq_lt(b->start, b->end) && seq_leq(b->end, c->snd_nxt) &&
	       seq_diff(c->snd_una, b->start) <= (int32_t)c->snd_wnd_max;
}

/* What follows the cumulative ACK without a gap would have been part of it. */
static bool block_believable(
	const struct tcp_conn *c, const struct tcp_in *in, const struct tcp_sack_block *b)
{
	return seq_lt(b->start, b->end) && seq_lt(in->ack, b->start) && seq_leq(b->end, c->snd_nxt);
}

/* The first segment that begins at or behind seq, from where the last block ended; NULL when there is none
 * that was sent, or the budget is used up. */
static struct tcp_segment *find(struct tcp_conn *c, uint32_t seq, int *budget)
{
	struct tcp_segment *g = c->sack_hint ? c->sack_hint : tcp_segment_first(c);

	while (g->link.prev != &c->segments && seq_lt(seq, g->seq) && --*budget > 0)
		g = cds_list_entry(g->link.prev, struct tcp_segment, link);
	while (g && g->sent && seq_lt(g->seq, seq) && --*budget > 0)
		g = tcp_segment_next(c, g);
	return g && g->sent && *budget > 0 ? g : NULL;
}

static void block_input(
	struct tcp_conn *c, const struct tcp_sack_block *b, struct tcp_acked *acked, int *budget)
{
	struct tcp_segment *g = find(c, b->start, budget);

	/* A segment of which the block has a part stays in flight: it will be sent whole. */
	for (; g && g->sent && seq_leq(tcp_segment_end(g), b->end) && --*budget > 0;
		g = tcp_segment_next(c, g)) {
		c->sack_hint = g;
		if (g->sacked)
			continue;
		tcp_segment_delivered(c, g, acked);
		acked->sacked += g->len;
		tcp_segment_mark_sacked(c, g);
	}
	if (*budget <= 0)
		COUNT(c->stack, tcp_sack_budget);
}

static void duplicate_input(struct tcp_conn *c, const struct tcp_sack_block *b, struct tcp_acked *acked)
{
	if (!duplicate_believable(c, b)) {
		COUNT(c->stack, tcp_sack_bogus);
		return;
	}
	COUNT(c->stack, tcp_dsack_in);
	acked->dsack = true;
	acked->duplicate = *b;
	/* Something that was sent again in this recovery need not have been. */
	if (c->undo_possible && c->undo_resent && seq_leq(c->undo_from, b->start))
		acked->all_duplicate = --c->undo_resent == 0;
}

/* The blocks from the first on, lowest first: what one acknowledgement tells of came in this order as far as
 * anybody knows, and told the other way round it would be reordering (RFC 8985 section 6.2, step 3). */
static unsigned blocks_sorted(const struct tcp_options *o, unsigned first, struct tcp_sack_block *to)
{
	unsigned n = 0;

	for (unsigned i = first; i < o->sack_count; i++, n++) {
		unsigned at = n;
		for (; at > 0 && seq_lt(o->sack[i].start, to[at - 1].start); at--)
			to[at] = to[at - 1];
		to[at] = o->sack[i];
	}
	return n;
}

void tcp_sack_input(struct tcp_conn *c, const struct tcp_in *in, struct tcp_acked *acked)
{
	struct tcp_sack_block block[TCP_SACK_BLOCKS_MAX];
	int budget = SACK_WALK_MAX;
	bool duplicate = is_duplicate_report(in);

	if (duplicate)
		duplicate_input(c, &in->options.sack[0], acked);
	unsigned n = blocks_sorted(&in->options, duplicate, block);
	for (unsigned i = 0; i < n && budget > 0; i++) {
		if (seq_leq(block[i].end, in->ack))
			continue; /* an old one, overtaken by its own cumulative ACK */
		if (!block_believable(c, in, &block[i]))
			COUNT(c->stack, tcp_sack_bogus);
		else if (!tcp_nothing_sent(c))
			block_input(c, &block[i], acked, &budget);
	}
}
