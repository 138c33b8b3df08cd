/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_frames_fixture.h"
#include "dpdk_port/port_spread.h"
#include "runtime/ring.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>

enum { POOL = 4096 };

static struct rte_mempool *pool;
static unsigned woken[PORT_SPREAD_CORES_MAX];

static void wake(void *ctx)
{
	++*(unsigned *)ctx;
}

static struct port_spread *make(unsigned cores)
{
	uint8_t key[TOEPLITZ_KEY_BYTES];
	struct port_spread_config c = {.cores = cores, .entries = 128, .key = key};

	unit_eal();
	if (!pool)
		pool = unit_pool("spread", POOL, 256);
	c.pool = pool;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)unit_random();
	struct port_spread *s = port_spread_create(&c);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	for (unsigned i = 0; i < cores; i++) {
		woken[i] = 0;
		port_spread_set_wake(s, i, wake, &woken[i]);
	}
	return s;
}

static void done(struct port_spread *s)
{
	port_spread_destroy(s);
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

static unsigned owner(const struct port_spread *s, const struct frame_ends *e)
{
	uint8_t addresses[32], ports[4];
	unsigned n = e->v6 ? 16 : 4;

	memcpy(addresses, e->src, n);
	memcpy(addresses + n, e->dst, n);
	wire_put16(ports, e->sport);
	wire_put16(ports + 2, e->dport);
	return port_spread_owner(s, e->v6, addresses, ports);
}

static struct rte_mbuf *tcp_frame(const struct frame_ends *e)
{
	struct frame_bytes f;

	frame_tcp(&f, e);
	return frame_mbuf(pool, &f);
}

/* Frames of random connections, found by any core, come to the core that port_spread_owner says, each once,
 * and those of one connection through one queue in order. */
static void each_to_its_core(unsigned cores)
{
	struct port_spread *s = make(cores);
	struct frame_ends ends[16];
	uint8_t sent[16] = {0}, come[16] = {0};
	unsigned total = 0;

	for (unsigned i = 0; i < 16; i++)
		ends[i] = frame_ends_random(i % 2);
	for (unsigned round = 0; round < 500; round++) {
		struct rte_mbuf *frames[PORT_SPREAD_BURST];
		unsigned finder = unit_random_below(2), n = unit_random_below(PORT_SPREAD_BURST + 1);
		for (unsigned i = 0; i < n; i++) {
			/* each connection keeps to one queue */
			unsigned k = unit_random_below(8) * 2 + finder;
			frames[i] = tcp_frame(&ends[k]);
			frames[i]->hash.usr = k << 8 | sent[k]++;
		}
		unsigned stay = port_spread_sort(s, finder, frames, n);
		for (unsigned core = 0; core < cores; core++) {
			struct rte_mbuf *got[PORT_SPREAD_BURST];
			unsigned m = core == finder ? stay : 0;
			memcpy(got, frames, m * sizeof(got[0]));
			m += port_spread_take(s, core, got + m, PORT_SPREAD_BURST - m);
			for (unsigned i = 0; i < m; i++) {
				unsigned k = got[i]->hash.usr >> 8;
				CU_ASSERT_EQUAL(owner(s, &ends[k]), core);
				CU_ASSERT_EQUAL((uint8_t)got[i]->hash.usr, come[k]);
				come[k]++;
			}
			rte_pktmbuf_free_bulk(got, m);
			total += m;
		}
	}
	for (unsigned i = 0; i < 16; i++)
		CU_ASSERT_EQUAL(sent[i], come[i]);
	CU_ASSERT_TRUE(total > 0);
	done(s);
}

static void test_two_cores(void)
{
	each_to_its_core(2);
}

static void test_four_cores(void)
{
	each_to_its_core(4);
}

static void test_every_core_gets_some(void)
{
	static const unsigned counts[] = {2, 3, 4, 16, 64};

	for (unsigned i = 0; i < 5; i++) {
		struct port_spread *s = make(counts[i]);
		unsigned got[64] = {0};
		for (unsigned k = 0; k < 64u * counts[i]; k++) {
			struct frame_ends e = frame_ends_random(k % 2);
			got[owner(s, &e)]++;
		}
		for (unsigned k = 0; k < counts[i]; k++)
			CU_ASSERT(got[k] > 15 && got[k] < 170);
		done(s);
	}
}

static void test_one_wake_a_burst(void)
{
	struct port_spread *s = make(2);
	struct rte_mbuf *frames[PORT_SPREAD_BURST];
	struct frame_ends e;

	do
		e = frame_ends_random(false);
	while (owner(s, &e) != 1);
	for (unsigned i = 0; i < PORT_SPREAD_BURST; i++)
		frames[i] = tcp_frame(&e);
	CU_ASSERT_EQUAL(port_spread_sort(s, 0, frames, PORT_SPREAD_BURST), 0);
	CU_ASSERT(woken[1] == 1 && woken[0] == 0);
	CU_ASSERT_EQUAL(port_spread_waiting(s, 1), PORT_SPREAD_BURST);
	CU_ASSERT_EQUAL(port_spread_counters(s, 0).given, PORT_SPREAD_BURST);
	/* in two pieces: what the first leaves is not forgotten */
	CU_ASSERT_EQUAL(port_spread_take(s, 1, frames, 10), 10);
	CU_ASSERT_EQUAL(port_spread_take(s, 1, frames + 10, PORT_SPREAD_BURST), PORT_SPREAD_BURST - 10);
	CU_ASSERT_EQUAL(port_spread_take(s, 1, frames, 1), 0);
	rte_pktmbuf_free_bulk(frames, PORT_SPREAD_BURST);
	done(s);
}

static void test_a_full_ring_drops(void)
{
	struct port_spread *s = make(4);
	unsigned room = port_spread_room(s) / 3, dropped = 0;
	struct frame_ends e;

	do
		e = frame_ends_random(true);
	while (owner(s, &e) != 2);
	for (unsigned i = 0; i < room + 7; i++) {
		struct rte_mbuf *m = tcp_frame(&e);
		CU_ASSERT_EQUAL(port_spread_sort(s, 0, &m, 1), 0);
		dropped = (unsigned)port_spread_counters(s, 0).full;
	}
	CU_ASSERT_EQUAL(dropped, 7);
	CU_ASSERT_EQUAL(port_spread_waiting(s, 2), room);
	CU_ASSERT_TRUE(room * 3 <= port_spread_frames_max(4, 1));
	done(s); /* with what the rings hold */
}

static void test_arp_is_for_all(void)
{
	struct port_spread *s = make(4);
	struct frame_bytes f;

	for (unsigned finder = 0; finder < 4; finder++) {
		frame_arp(&f);
		struct rte_mbuf *came = frame_mbuf(pool, &f), *own = came, *got[8];
		CU_ASSERT_EQUAL(port_spread_sort(s, finder, &own, 1), 1);
		/* the first core, which answers, has the frame itself, which no empty pool keeps from it */
		CU_ASSERT_EQUAL(own == came, finder == 0);
		for (unsigned core = 0; core < 4; core++) {
			unsigned n = port_spread_take(s, core, got, 8);
			CU_ASSERT_EQUAL(n, core != finder);
			if (n && core == 0)
				CU_ASSERT_PTR_EQUAL(got[0], came);
			if (n) {
				CU_ASSERT(got[0]->pkt_len == f.n && rte_mbuf_refcnt_read(got[0]) == 1);
				CU_ASSERT(!memcmp(rte_pktmbuf_mtod(got[0], void *), f.p, f.n));
				rte_pktmbuf_free(got[0]);
			}
		}
		rte_pktmbuf_free(own);
	}
	done(s);
}

static void test_no_buffer_for_copies(void)
{
	struct port_spread *s = make(4);
	struct rte_mbuf *all[POOL], *got[2];
	struct frame_bytes f;

	frame_arp(&f);
	struct rte_mbuf *came = frame_mbuf(pool, &f), *own = came;
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(pool, all, POOL - 1), 0);
	CU_ASSERT_EQUAL(port_spread_sort(s, 2, &own, 1), 0);
	CU_ASSERT_EQUAL(port_spread_counters(s, 2).copy_none, 3);
	CU_ASSERT_EQUAL(port_spread_take(s, 0, got, 2), 1);
	CU_ASSERT_PTR_EQUAL(got[0], came);
	rte_pktmbuf_free(came);
	rte_pktmbuf_free_bulk(all, POOL - 1);
	done(s);
}

static void test_hand_over(void)
{
	struct port_spread *s = make(2);
	struct frame_ends e = frame_ends_random(false);
	unsigned to = owner(s, &e);
	struct rte_mbuf *m = tcp_frame(&e), *got;

	CU_ASSERT_FALSE(port_spread_hand_over(s, to, m));
	CU_ASSERT_TRUE(port_spread_hand_over(s, 1 - to, m));
	CU_ASSERT_EQUAL(woken[to], 1);
	CU_ASSERT(port_spread_take(s, to, &got, 1) == 1 && got == m);
	rte_pktmbuf_free(m);
	done(s);
}

enum { THREAD_FRAMES = 200000, UNDER_WAY = 256 };

struct producer {
	struct port_spread *s;
	struct frame_ends ends;
	struct ring *back; /* the frames that may be sent again */
	unsigned from;
};

static void *produce(void *arg)
{
	struct producer *p = arg;

	for (unsigned i = 0; i < THREAD_FRAMES; i++) {
		struct rte_mbuf *m;
		while (ring_pop(p->back, &m, 1) == 0)
			sched_yield();
		m->hash.usr = p->from << 24 | i;
		port_spread_sort(p->s, p->from, &m, 1);
	}
	return NULL;
}

static void producer_make(struct producer *p, struct port_spread *s, unsigned from)
{
	*p = (struct producer){.s = s, .from = from};
	p->back = ring_create(sizeof(struct rte_mbuf *), UNDER_WAY);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->back);
	do
		p->ends = frame_ends_random(false);
	while (owner(s, &p->ends) != 0);
	for (unsigned i = 0; i < UNDER_WAY; i++) {
		struct rte_mbuf *m = tcp_frame(&p->ends);
		ring_push(p->back, &m, 1);
	}
}

/* Two cores give to a third at once: nothing is lost, nothing changes its place. */
static void test_threads(void)
{
	struct port_spread *s = make(3);
	struct producer p[2];
	pthread_t threads[2];
	unsigned next[3] = {0}, wrong = 0;

	for (unsigned i = 0; i < 2; i++)
		producer_make(&p[i], s, i + 1);
	port_spread_set_wake(s, 0, NULL, NULL); /* its count is one thread's */
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, produce, &p[i]);
	while (next[1] + next[2] < 2 * THREAD_FRAMES) {
		struct rte_mbuf *got[PORT_SPREAD_BURST];
		unsigned n = port_spread_take(s, 0, got, PORT_SPREAD_BURST);
		if (n == 0)
			sched_yield();
		for (unsigned i = 0; i < n; i++) {
			unsigned from = got[i]->hash.usr >> 24;
			wrong += (got[i]->hash.usr & 0xffffff) != next[from]++;
			ring_push(p[from - 1].back, &got[i], 1);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		struct rte_mbuf *m;
		pthread_join(threads[i], NULL);
		while (ring_pop(p[i].back, &m, 1))
			rte_pktmbuf_free(m);
		ring_destroy(p[i].back);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(port_spread_counters(s, 1).full + port_spread_counters(s, 2).full, 0);
	done(s);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"two_cores", test_two_cores}, {"four_cores", test_four_cores},
			{"every_core_gets_some", test_every_core_gets_some},
			{"one_wake_a_burst", test_one_wake_a_burst},
			{"a_full_ring_drops", test_a_full_ring_drops},
			{"arp_is_for_all", test_arp_is_for_all},
			{"no_buffer_for_copies", test_no_buffer_for_copies}, {"hand_over", test_hand_over},
			{"threads", test_threads}, {0}});
}
