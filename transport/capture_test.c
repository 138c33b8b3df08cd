/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/capture.h"

#include "runtime/wire.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct rte_mempool *pool;
static uint64_t clock_value;

static uint64_t clock_fake(void)
{
	return ++clock_value;
}

static struct capture *create(uint32_t ring_bytes, uint32_t snaplen, uint64_t packets_max)
{
	struct capture_config c = {.ring_bytes = ring_bytes,
		.snaplen = snaplen,
		.packets_max = packets_max,
		.clock_ns = clock_fake};
	struct capture *out = capture_create(&c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	return out;
}

/* A frame of n bytes that count up from seed, in segments of at most part bytes. */
static struct rte_mbuf *frame_of(uint32_t n, uint8_t seed, uint32_t part)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *last = head;

	for (uint32_t i = 0; i < n; i++) {
		if (last->data_len == part) {
			last->next = rte_pktmbuf_alloc(pool);
			last = last->next;
			head->nb_segs++;
		}
		rte_pktmbuf_mtod(last, uint8_t *)[last->data_len++] = (uint8_t)(seed + i);
	}
	head->pkt_len = n;
	return head;
}

static bool counts_up(const uint8_t *p, uint32_t n, uint8_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i] != (uint8_t)(seed + i))
			return false;
	return true;
}

static void give(struct capture *c, struct rte_mbuf *m, enum capture_direction direction)
{
	capture_stage(c, &m, 1, direction);
	capture_commit(c, 1);
	rte_pktmbuf_free(m);
}

static void test_copy(void)
{
	struct capture *c = create(1 << 14, 1000, UINT64_MAX);

	unit_eal();
	pool = unit_pool("capture", 64, 256);
	clock_value = 41;
	CU_ASSERT_PTR_NULL(capture_peek(c));
	give(c, frame_of(60, 1, 200), CAPTURE_IN);
	give(c, frame_of(900, 2, 200), CAPTURE_OUT);
	give(c, frame_of(1500, 3, 200), CAPTURE_OUT);
	const struct capture_record *r = capture_peek(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_EQUAL(r->time_ns, 42);
	CU_ASSERT(r->frame_bytes == 60 && r->captured_bytes == 60 && r->direction == CAPTURE_IN);
	CU_ASSERT(counts_up(capture_bytes(r), 60, 1));
	capture_pop(c);
	r = capture_peek(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT(r->frame_bytes == 900 && r->captured_bytes == 900 && r->direction == CAPTURE_OUT);
	CU_ASSERT(counts_up(capture_bytes(r), 900, 2));
	capture_pop(c);
	r = capture_peek(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT(r->frame_bytes == 1500 && r->captured_bytes == 1000 && r->lost_before == 0);
	CU_ASSERT(counts_up(capture_bytes(r), 1000, 3));
	capture_pop(c);
	CU_ASSERT_PTR_NULL(capture_peek(c));
	CU_ASSERT(unit_pool_full(pool));
	capture_destroy(c);
}

/* What the port did not take is not in the capture, and is again when it is tried again. */
static void test_commit_part(void)
{
	struct capture *c = create(1 << 14, 1000, UINT64_MAX);
	struct rte_mbuf *m[4];

	for (unsigned i = 0; i < 4; i++)
		m[i] = frame_of(100, (uint8_t)i, 200);
	capture_stage(c, m, 4, CAPTURE_OUT);
	CU_ASSERT_PTR_NULL(capture_peek(c));
	capture_commit(c, 1);
	capture_stage(c, m + 1, 3, CAPTURE_OUT);
	capture_commit(c, 0);
	capture_stage(c, m + 1, 3, CAPTURE_OUT);
	capture_commit(c, 3);
	for (unsigned i = 0; i < 4; i++) {
		const struct capture_record *r = capture_peek(c);
		CU_ASSERT_PTR_NOT_NULL_FATAL(r);
		CU_ASSERT(counts_up(capture_bytes(r), 100, (uint8_t)i));
		capture_pop(c);
	}
	CU_ASSERT_PTR_NULL(capture_peek(c));
	CU_ASSERT_EQUAL(capture_stats(c).seen, 4);
	rte_pktmbuf_free_bulk(m, 4);
	capture_destroy(c);
}

static void test_full(void)
{
	struct capture *c = create(1 << 12, 1000, UINT64_MAX);

	for (unsigned i = 0; i < 20; i++)
		give(c, frame_of(1000, (uint8_t)i, 200), CAPTURE_IN);
	struct capture_stats s = capture_stats(c);
	CU_ASSERT(s.seen == 20 && s.matched == 20 && s.lost == 17);
	capture_pop(c);
	capture_pop(c);
	give(c, frame_of(1000, 77, 200), CAPTURE_IN);
	CU_ASSERT(counts_up(capture_bytes(capture_peek(c)), 1000, 2));
	capture_pop(c);
	const struct capture_record *r = capture_peek(c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	CU_ASSERT_EQUAL(r->lost_before, 17);
	CU_ASSERT(counts_up(capture_bytes(r), 1000, 77));
	capture_destroy(c);
}

static void test_packets_max(void)
{
	struct capture *c = create(1 << 14, 100, 3);
	struct rte_mbuf *m[5];

	for (unsigned i = 0; i < 5; i++)
		m[i] = frame_of(100, (uint8_t)i, 200);
	capture_stage(c, m, 5, CAPTURE_IN);
	capture_commit(c, 5);
	capture_stage(c, m, 5, CAPTURE_IN);
	capture_commit(c, 5);
	unsigned n = 0;
	for (; capture_peek(c); n++)
		capture_pop(c);
	CU_ASSERT_EQUAL(n, 3);
	CU_ASSERT_EQUAL(capture_stats(c).matched, 3);
	CU_ASSERT_EQUAL(capture_stats(c).lost, 0);
	rte_pktmbuf_free_bulk(m, 5);
	capture_destroy(c);
}

static void test_filtered(void)
{
	struct capture_config config = {.ring_bytes = 1 << 12,
		.snaplen = 100,
		.packets_max = UINT64_MAX,
		.filter = {.tcp_port = 5672},
		.clock_ns = clock_fake};
	struct capture *c = capture_create(&config);

	give(c, frame_of(100, 0, 200), CAPTURE_IN);
	CU_ASSERT_PTR_NULL(capture_peek(c));
	CU_ASSERT(capture_stats(c).seen == 1 && capture_stats(c).matched == 0);
	capture_destroy(c);
}

/* What the device takes out or puts in is in the capture. */
static void test_offloads(void)
{
	struct capture *c = create(1 << 14, 1000, UINT64_MAX);
	struct rte_mbuf *m = frame_of(80, 10, 200);
	const uint8_t *p;

	m->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 0x2007;
	give(c, m, CAPTURE_IN);
	const struct capture_record *r = capture_peek(c);
	CU_ASSERT(r->frame_bytes == 84 && r->captured_bytes == 84 && !r->tcp_checksum_missing);
	p = capture_bytes(r);
	CU_ASSERT(counts_up(p, 12, 10) && wire_get32(p + 12) == 0x81002007 && counts_up(p + 16, 68, 22));
	capture_pop(c);
	m = frame_of(80, 10, 200);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
	m->l2_len = 14;
	m->l3_len = 20;
	give(c, m, CAPTURE_OUT);
	r = capture_peek(c);
	CU_ASSERT(r->ipv4_checksum_missing && r->tcp_checksum_missing && r->l2_bytes == 14 &&
		  r->l3_bytes == 20);
	CU_ASSERT_EQUAL(r->frame_bytes, 80);
	capture_destroy(c);
	c = create(1 << 14, 14, UINT64_MAX);
	m = frame_of(80, 10, 200);
	m->ol_flags = RTE_MBUF_F_TX_VLAN;
	m->vlan_tci = 9;
	give(c, m, CAPTURE_OUT);
	r = capture_peek(c);
	CU_ASSERT(r->frame_bytes == 84 && r->captured_bytes == 14 &&
		  wire_get16(capture_bytes(r) + 12) == 0x8100);
	capture_destroy(c);
	CU_ASSERT(unit_pool_full(pool));
}

enum { THREAD_FRAMES = 50000 };

struct reading {
	struct capture *c;
	bool done; /* nothing follows */
	bool good;
	uint64_t taken;
};

static void *reader(void *arg)
{
	struct reading *g = arg;
	uint64_t lost = 0, time_ns = 0;

	for (;;) {
		bool done = __atomic_load_n(&g->done, __ATOMIC_ACQUIRE);
		const struct capture_record *r = capture_peek(g->c);
		if (!r && done)
			return NULL;
		if (!r)
			continue;
		g->good &= r->time_ns > time_ns;
		time_ns = r->time_ns;
		lost += r->lost_before;
		/* the frame's number is its first byte */
		g->good &= counts_up(capture_bytes(r), r->captured_bytes, (uint8_t)(g->taken + lost));
		g->taken++;
		capture_pop(g->c);
	}
}

/* A writer and a reader at once: every frame comes whole and in order, or is counted as lost. */
static void test_threads(void)
{
	struct reading g = {.c = create(1 << 13, 300, UINT64_MAX), .good = true};
	pthread_t thread;

	clock_value = 0;
	CU_ASSERT_FATAL(pthread_create(&thread, NULL, reader, &g) == 0);
	for (unsigned i = 0; i < THREAD_FRAMES; i++)
		give(g.c, frame_of(1 + unit_random_below(400), (uint8_t)i, 200), CAPTURE_IN);
	__atomic_store_n(&g.done, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	struct capture_stats s = capture_stats(g.c);
	CU_ASSERT(g.good && g.taken > 0);
	CU_ASSERT_EQUAL(g.taken + s.lost, THREAD_FRAMES);
	printf("# %u frames, %llu lost\n", THREAD_FRAMES, (unsigned long long)s.lost);
	CU_ASSERT(unit_pool_full(pool));
	capture_destroy(g.c);
}

static const struct unit_test tests[] = {
	{"frames are copied whole, across segments, cut at the snaplen", test_copy},
	{"only what the port took counts", test_commit_part},
	{"a full ring loses and counts", test_full},
	{"the number of packets is bounded", test_packets_max},
	{"what the filter does not want", test_filtered},
	{"VLAN tags and checksums that the device handles", test_offloads},
	{"writer and reader at once", test_threads},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
