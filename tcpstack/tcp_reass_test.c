/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly against a slow obvious model: a flag for each byte. */
#include "tcpstack/tcp_reass.h"

#include <errno.h>

#include "tests/unit/unit.h"

enum { BYTES = 3000, NODES = 64 };

static struct rte_mempool *mbufs;
static struct pool *nodes;

static uint8_t byte_at(uint32_t i)
{
	return (uint8_t)(i * 37 + (i >> 8));
}

/* Bytes from to below to (offsets of the stream), in up to three buffers. */
static struct rte_mbuf *piece(uint32_t from, uint32_t to)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(mbufs), *m = first;

	for (uint32_t i = from; i < to; i++) {
		if (m->data_len && first->nb_segs < 3 && unit_random_below(40) == 0) {
			struct rte_mbuf *more = rte_pktmbuf_alloc(mbufs);
			m->next = more;
			first->nb_segs++;
			m = more;
		}
		*rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len) = byte_at(i);
		m->data_len++;
		first->pkt_len++;
	}
	return first;
}

static uint32_t missing_or_end(const bool *have, uint32_t from)
{
	while (from < BYTES && have[from])
		from++;
	return from;
}

static uint32_t count_from(const bool *have, uint32_t from)
{
	uint32_t n = 0;

	for (uint32_t i = from; i < BYTES; i++)
		n += have[i];
	return n;
}

static void one_stream(uint32_t isn, uint32_t cap)
{
	struct tcp_reass r;
	struct chain got;
	bool have[BYTES] = {0};
	uint32_t rcv_nxt = isn, next = 0;

	tcp_reass_init(&r);
	chain_init(&got);
	for (unsigned steps = 0; next < BYTES && steps < 20000; steps++) {
		uint32_t from = next + unit_random_below(unit_random_below(8) ? 500 : 1);
		uint32_t to = from + 1 + unit_random_below(200);
		if (from >= BYTES)
			continue;
		to = RTE_MIN(to, (uint32_t)BYTES);
		int result = tcp_reass_insert_take(&r, nodes, cap, isn + from, piece(from, to));
		if (result == 0)
			for (uint32_t i = from; i < to; i++)
				have[i] = true;
		if (result == -EEXIST && missing_or_end(have, from) < to)
			CU_FAIL("new bytes were called old");
		if (result == -ENOBUFS) {
			CU_ASSERT_TRUE(r.segments >= cap);
			/* What covers a dropped segment's place may have gone with it; the model follows. */
			for (uint32_t i = from; i < to; i++)
				have[i] = false;
			tcp_reass_clear(&r, nodes);
			for (uint32_t i = next; i < BYTES; i++)
				have[i] = false;
		}
		if (unit_random_below(30) == 0) {
			uint32_t end = next + unit_random_below(600);
			tcp_reass_cut(&r, nodes, isn + end);
			for (uint32_t i = RTE_MAX(end, next); i < BYTES; i++)
				have[i] = false;
		}
		CU_ASSERT_TRUE(r.segments <= cap);
		if (r.bytes != count_from(have, next))
			CU_FAIL_FATAL("the count of bytes is wrong");
		tcp_reass_pull(&r, nodes, &rcv_nxt, &got);
		next = missing_or_end(have, next);
		if (rcv_nxt != isn + next)
			CU_FAIL_FATAL("rcv_nxt is wrong");
		CU_ASSERT_EQUAL(got.bytes, next);
	}
	CU_ASSERT_EQUAL(next, BYTES);
	for (uint32_t i = 0; i < got.bytes; i++) {
		uint8_t b;
		chain_copy(&got, i, &b, 1);
		if (b != byte_at(i))
			CU_FAIL_FATAL("a byte differs");
	}
	chain_clear(&got);
	CU_ASSERT_EQUAL(r.segments, 0);
	CU_ASSERT_EQUAL(r.bytes, 0);
	CU_ASSERT_TRUE(unit_pool_full(mbufs));
	CU_ASSERT_EQUAL(pool_stats(nodes).used, 0);
}

static void streams_against_the_model(void)
{
	mbufs = unit_pool("reass", 1024, 512);
	nodes = pool_create("nodes", TCP_REASS_NODE_BYTES, NODES, NULL);
	for (unsigned i = 0; i < 60; i++)
		one_stream(i & 1 ? (uint32_t)unit_random() : UINT32_MAX - unit_random_below(BYTES),
			i % 3 ? NODES : 1 + unit_random_below(5));
	pool_destroy(nodes);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"streams_against_the_model", streams_against_the_model}, {0}});
}
