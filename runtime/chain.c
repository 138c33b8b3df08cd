/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/chain.h"

#include "runtime/check.h"

#include <string.h>

static void append_segment(struct chain *c, struct rte_mbuf *m)
{
	m->next = NULL;
	if (m->data_len == 0) {
		rte_pktmbuf_free_seg(m);
		return;
	}
	MUST(c->bytes <= UINT32_MAX - m->data_len);
	if (c->tail)
		c->tail->next = m;
	else
		c->head = m;
	c->tail = m;
	c->bytes += m->data_len;
	c->segments++;
}

static void free_head(struct chain *c)
{
	struct rte_mbuf *m = c->head;

	c->head = m->next;
	if (!c->head)
		c->tail = NULL;
	c->bytes -= m->data_len;
	c->segments--;
	m->next = NULL;
	rte_pktmbuf_free_seg(m);
}

void chain_append_take(struct chain *c, struct rte_mbuf *m)
{
	while (m) {
		struct rte_mbuf *next = m->next;
		append_segment(c, m);
		m = next;
	}
}

void chain_consume(struct chain *c, uint32_t n)
{
	MUST(n <= c->bytes);
	while (n > 0 && n >= c->head->data_len) {
		n -= c->head->data_len;
		free_head(c);
	}
	if (n > 0) {
		c->head->data_off = (uint16_t)(c->head->data_off + n);
		c->head->data_len = (uint16_t)(c->head->data_len - n);
		c->bytes -= n;
	}
}

void chain_copy(const struct chain *c, uint32_t off, void *dst, uint32_t n)
{
	const struct rte_mbuf *m = c->head;
	uint8_t *to = dst;

	MUST(off <= c->bytes && n <= c->bytes - off);
	if (n == 0)
		return;
	for (; off >= m->data_len; m = m->next)
		off -= m->data_len;
	for (; n > 0; m = m->next) {
		uint32_t here = m->data_len - off;
		if (here > n)
			here = n;
		memcpy(to, rte_pktmbuf_mtod_offset(m, const uint8_t *, off), here);
		to += here;
		n -= here;
		off = 0;
	}
}

const uint8_t *chain_peek(const struct chain *c, uint32_t n, void *scratch)
{
	MUST(n <= c->bytes);
	if (c->head && n <= c->head->data_len)
		return rte_pktmbuf_mtod(c->head, const uint8_t *);
	chain_copy(c, 0, scratch, n);
	return scratch;
}

void chain_clear(struct chain *c)
{
	while (c->head)
		free_head(c);
}
