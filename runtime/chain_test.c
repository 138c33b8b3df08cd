/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/chain.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { POOL_MBUFS = 127, ROOM_BYTES = 256, MODEL_BYTES = 64 * 1024 };

static struct rte_mempool *mbufs;

/* One mbuf of n bytes counting up from first, at a random distance from the start of its room. */
static struct rte_mbuf *counted(uint8_t first, uint16_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	m->data_off = (uint16_t)(m->data_off + unit_random_below(16));
	m->data_len = n;
	for (uint16_t i = 0; i < n; i++)
		rte_pktmbuf_mtod(m, uint8_t *)[i] = (uint8_t)(first + i);
	return m;
}

static void empty(void)
{
	struct chain c;
	uint8_t scratch[1];

	chain_init(&c);
	chain_consume(&c, 0);
	chain_copy(&c, 0, scratch, 0);
	CU_ASSERT_PTR_EQUAL(chain_peek(&c, 0, scratch), scratch);
	chain_append_take(&c, counted(0, 0));
	CU_ASSERT_EQUAL(c.segments, 0);
	CU_ASSERT_PTR_NULL(c.head);
	chain_clear(&c);
	CU_ASSERT(unit_pool_full(mbufs));
}

static void peek_in_place_or_copied(void)
{
	struct chain c;
	uint8_t scratch[20];

	chain_init(&c);
	chain_append_take(&c, counted(0, 10));
	chain_append_take(&c, counted(10, 10));
	const uint8_t *p = chain_peek(&c, 10, scratch);
	CU_ASSERT_PTR_EQUAL(p, rte_pktmbuf_mtod(c.head, uint8_t *));
	p = chain_peek(&c, 11, scratch);
	CU_ASSERT_PTR_EQUAL(p, scratch);
	CU_ASSERT_EQUAL(p[10], 10);
	/* Consuming to a boundary frees the head at once. */
	chain_consume(&c, 10);
	CU_ASSERT_EQUAL(c.segments, 1);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(mbufs), 1);
	p = chain_peek(&c, 10, scratch);
	CU_ASSERT_EQUAL(p[0], 10);
	chain_consume(&c, 10);
	CU_ASSERT_PTR_NULL(c.head);
	CU_ASSERT_PTR_NULL(c.tail);
	CU_ASSERT(unit_pool_full(mbufs));
}

/* A received packet of several segments, empty ones among them, is taken apart. */
static void linked_segments(void)
{
	struct chain c;
	struct rte_mbuf *packet = counted(0, 3);
	uint8_t got[5];

	packet->next = counted(0, 0);
	packet->next->next = counted(3, 2);
	packet->nb_segs = 3;
	packet->pkt_len = 5;
	chain_init(&c);
	chain_append_take(&c, packet);
	CU_ASSERT_EQUAL(c.segments, 2);
	CU_ASSERT_EQUAL(c.bytes, 5);
	chain_copy(&c, 0, got, 5);
	CU_ASSERT_EQUAL(memcmp(got, "\0\1\2\3\4", 5), 0);
	chain_clear(&c);
	CU_ASSERT_EQUAL(c.bytes, 0);
	CU_ASSERT(unit_pool_full(mbufs));
}

/* A segment that somebody else holds as well is let go, not freed. */
static void shared_segment(void)
{
	struct chain c;
	struct rte_mbuf *m = counted(7, 4);

	rte_mbuf_refcnt_update(m, 1);
	chain_init(&c);
	chain_append_take(&c, m);
	chain_consume(&c, 4);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(m), 1);
	rte_pktmbuf_free(m);
	CU_ASSERT(unit_pool_full(mbufs));
}

struct model {
	uint8_t data[MODEL_BYTES];
	uint32_t begin, end;
	uint8_t next;
};

static void append_step(struct chain *c, struct model *m)
{
	uint16_t n = (uint16_t)unit_random_below(ROOM_BYTES - 16);

	if (c->segments == POOL_MBUFS || m->end + n > MODEL_BYTES)
		return;
	chain_append_take(c, counted(m->next, n));
	for (uint16_t i = 0; i < n; i++)
		m->data[m->end++] = m->next++;
}

static void compare(const struct chain *c, const struct model *m)
{
	static uint8_t got[MODEL_BYTES];
	uint32_t bytes = m->end - m->begin;
	uint32_t off = unit_random_below(bytes + 1);
	uint32_t n = unit_random_below(bytes - off + 1);

	CU_ASSERT_EQUAL_FATAL(c->bytes, bytes);
	CU_ASSERT_EQUAL(c->segments, rte_mempool_in_use_count(mbufs));
	chain_copy(c, off, got, n);
	CU_ASSERT_EQUAL_FATAL(memcmp(got, m->data + m->begin + off, n), 0);
	n = unit_random_below(bytes + 1);
	CU_ASSERT_EQUAL_FATAL(memcmp(chain_peek(c, n, got), m->data + m->begin, n), 0);
}

static void like_a_flat_buffer(void)
{
	struct model *m = calloc(1, sizeof(*m));
	struct chain c;

	chain_init(&c);
	for (int step = 0; step < 3000; step++) {
		if (m->end > MODEL_BYTES - ROOM_BYTES) {
			chain_clear(&c);
			m->begin = m->end = 0;
		}
		if (unit_random_below(2))
			append_step(&c, m);
		else {
			uint32_t n = unit_random_below(m->end - m->begin + 1);
			n = unit_random_below(4) ? n % 300 : n;
			chain_consume(&c, n);
			m->begin += n;
		}
		compare(&c, m);
	}
	chain_clear(&c);
	CU_ASSERT(unit_pool_full(mbufs));
	free(m);
}

int main(int argc, char **argv)
{
	mbufs = unit_pool("chain", POOL_MBUFS, ROOM_BYTES);
	return unit_main(argc, argv,
		(struct unit_test[]){{"empty", empty}, {"peek_in_place_or_copied", peek_in_place_or_copied},
			{"linked_segments", linked_segments}, {"shared_segment", shared_segment},
			{"like_a_flat_buffer", like_a_flat_buffer}, {0}});
}
