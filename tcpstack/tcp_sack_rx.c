/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/tcp_sack_rx.h"

#include <string.h>

#include "tcpstack/tcp_seq.h"

static void block_remove(struct tcp_sack_rx *x, unsigned i)
{
	x->count--;
	memmove(x->block + i, x->block + i + 1, (x->count - i) * sizeof(x->block[0]));
}

void tcp_sack_rx_add(struct tcp_sack_rx *x, uint32_t start, uint32_t end)
{
	for (unsigned i = 0; i < x->count;) {
		const struct tcp_sack_block *b = &x->block[i];
		if (seq_lt(b->end, start) || seq_lt(end, b->start)) {
			i++;
			continue;
		}
		start = seq_lt(b->start, start) ? b->start : start;
		end = seq_max(end, b->end);
		block_remove(x, i);
	}
	if (x->count == TCP_SACK_BLOCKS_MAX)
		x->count--;
	memmove(x->block + 1, x->block, x->count * sizeof(x->block[0]));
	x->block[0] = (struct tcp_sack_block){start, end};
	x->count++;
}

void tcp_sack_rx_advance(struct tcp_sack_rx *x, uint32_t rcv_nxt)
{
	for (unsigned i = 0; i < x->count;) {
		if (seq_leq(x->block[i].end, rcv_nxt))
			block_remove(x, i);
		else
			i++;
	}
}

void tcp_sack_rx_cut(struct tcp_sack_rx *x, uint32_t from)
{
	for (unsigned i = 0; i < x->count;) {
		if (seq_lt(from, x->block[i].end))
			x->block[i].end = from;
		if (seq_leq(x->block[i].end, x->block[i].start))
			block_remove(x, i);
		else
			i++;
	}
}

void tcp_sack_rx_duplicate(struct tcp_sack_rx *x, uint32_t start, uint32_t end)
{
	x->duplicate = (struct tcp_sack_block){start, end};
	x->has_duplicate = true;
}

bool tcp_sack_rx_overlap(const struct tcp_sack_rx *x, uint32_t *start, uint32_t *end)
{
	uint32_t from = *end, to = *end;

	for (unsigned i = 0; i < x->count; i++) {
		const struct tcp_sack_block *b = &x->block[i];
		if (!seq_lt(*start, b->end) || !seq_lt(seq_max(b->start, *start), from))
			continue;
		from = seq_max(b->start, *start);
		to = seq_lt(b->end, *end) ? b->end : *end;
	}
	*start = from;
	*end = to;
	return seq_lt(from, to);
}

void tcp_sack_rx_write(struct tcp_sack_rx *x, uint32_t room, struct tcp_options *o)
{
	unsigned n = room < TCP_SACK_HEAD_BYTES ? 0 : (room - TCP_SACK_HEAD_BYTES) / TCP_SACK_BLOCK_BYTES;

	o->sack_count = 0;
	if (n > TCP_SACK_BLOCKS_MAX)
		n = TCP_SACK_BLOCKS_MAX;
	if (n && x->has_duplicate) {
		o->sack[o->sack_count++] = x->duplicate;
		x->has_duplicate = false;
	}
	for (unsigned i = 0; i < x->count && o->sack_count < n; i++)
		o->sack[o->sack_count++] = x->block[i];
}
