/* SPDX-License-Identifier: Apache-2.0 */
/* A port and several cores, which take their turns here one after the other: frames come to their cores, and
 * leave by the device, whether it has a queue for each core or one for all of them. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_frames_fixture.h"
#include "dpdk_port/port_pool.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"

enum { POOL = 8191, CONNECTIONS = 64 };

static struct rte_mempool *pool;
static unsigned woken[PORT_QUEUES_MAX];

static void wake(void *ctx)
{
	++*(unsigned *)ctx;
}

static struct port *make(unsigned cores, unsigned device_queues)
{
	static const uint8_t key[PORT_RSS_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41,
		0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4};
	struct port_config c = {.device = "net_ring0",
		.queues = cores,
		.device_queues_max = device_queues,
		.rx_held = 256,
		.rss_key = key};
	struct port *p;
	char error[256];

	const struct eal_options o = {.memory_mb = 128, .data_cores = 1};

	if (!dpdk_eal_running())
		CU_ASSERT_EQUAL_FATAL(dpdk_eal_start(&o, error, sizeof(error)), 0);
	if (!pool)
		pool = port_pool_create("cores", POOL, 256, -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
	int rc = port_open(&c, &p, error, sizeof(error));
	if (rc)
		printf("# %s\n", error);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT(port_info(p)->queues == cores && port_info(p)->device_queues == device_queues);
	for (unsigned i = 0; i < cores; i++) {
		woken[i] = 0;
		port_set_wake(p, i, wake, &woken[i]);
		CU_ASSERT_EQUAL(port_rx_polled(p, i), i < device_queues);
	}
	return p;
}

static void done(struct port *p)
{
	port_close(p);
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

static unsigned owner(const struct port *p, const struct frame_ends *e)
{
	uint8_t addresses[32], ports[4];
	unsigned n = e->v6 ? 16 : 4;

	memcpy(addresses, e->src, n);
	memcpy(addresses + n, e->dst, n);
	wire_put16(ports, e->sport);
	wire_put16(ports + 2, e->dport);
	return port_owner(p, e->v6, addresses, ports);
}

/* What a core sends comes back by the same queue of the device (net_ring), is whosever it is, and each core
 * gets its own, in order. */
static void round_trip(unsigned cores, unsigned device_queues)
{
	struct port *p = make(cores, device_queues);
	struct frame_ends ends[CONNECTIONS];
	uint8_t sent[CONNECTIONS] = {0}, come[CONNECTIONS] = {0};
	struct frame_bytes f;
	unsigned total = 0;

	for (unsigned i = 0; i < CONNECTIONS; i++)
		ends[i] = frame_ends_random(i % 2);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned core = 0; core < cores; core++) {
			struct rte_mbuf *out[PORT_BURST], *in[PORT_BURST];
			unsigned n = unit_random_below(8);
			for (unsigned i = 0; i < n; i++) {
				unsigned k = unit_random_below(CONNECTIONS / cores) * cores + core;
				frame_tcp(&f, &ends[k]);
				f.p[f.n - 1] = (uint8_t)k;
				f.p[f.n - 2] = sent[k]++;
				out[i] = frame_mbuf(pool, &f);
			}
			CU_ASSERT_EQUAL_FATAL(port_tx(p, core, out, n), n);
			total += n;
			unsigned got = port_rx(p, core, in, PORT_BURST);
			for (unsigned i = 0; i < got; i++) {
				const uint8_t *d = rte_pktmbuf_mtod(in[i], const uint8_t *);
				unsigned k = d[in[i]->data_len - 1];
				CU_ASSERT_EQUAL(owner(p, &ends[k]), core);
				CU_ASSERT_EQUAL(d[in[i]->data_len - 2], come[k]);
				come[k]++;
			}
			rte_pktmbuf_free_bulk(in, got);
			port_tx_flush(p, core, round);
		}
	}
	for (unsigned round = 0; round < 8 * cores; round++) {
		struct rte_mbuf *in[PORT_BURST];
		unsigned core = round % cores, got = port_rx(p, core, in, PORT_BURST);
		for (unsigned i = 0; i < got; i++)
			come[rte_pktmbuf_mtod(in[i], uint8_t *)[in[i]->data_len - 1]]++;
		rte_pktmbuf_free_bulk(in, got);
		port_tx_flush(p, core, 1000);
	}
	for (unsigned i = 0; i < CONNECTIONS; i++)
		CU_ASSERT_EQUAL(sent[i], come[i]);
	struct port_counters c;
	port_counters(p, &c);
	CU_ASSERT(c.rx_frames == total && c.tx_frames == total);
	CU_ASSERT(c.spread_given > 0 && c.spread_full == 0);
	done(p);
}

static void test_a_queue_each(void)
{
	round_trip(2, 2);
	round_trip(4, 4);
}

static void test_one_queue_for_all(void)
{
	round_trip(2, 1);
	round_trip(4, 1);
}

static void test_some_have_a_queue(void)
{
	round_trip(4, 3);
	round_trip(16, 2);
}

/* A core without a queue is pushed back when its ring is full, and wakes who sends for it once a burst. */
static void test_back_pressure(void)
{
	struct port *p = make(2, 1);
	struct frame_ends e = frame_ends_random(false);
	struct frame_bytes f;
	struct rte_mbuf *m;
	struct port_counters c;
	unsigned sent = 0;

	frame_tcp(&f, &e);
	while (sent < POOL) {
		m = frame_mbuf(pool, &f);
		if (port_tx(p, 1, &m, 1) == 0)
			break;
		sent++;
	}
	rte_pktmbuf_free(m);
	CU_ASSERT(sent > 0 && sent < POOL);
	port_queue_counters(p, 1, &c);
	CU_ASSERT(c.tx_refused == 1 && c.tx_frames == 0);
	CU_ASSERT_EQUAL(woken[0], 0);
	CU_ASSERT_EQUAL(
		port_tx_flush(p, 1, 1), 0); /* they are the other core's to send: this one may sleep */
	CU_ASSERT_EQUAL(port_tx_flush(p, 1, 2), 0);
	CU_ASSERT_EQUAL(woken[0], 1);
	CU_ASSERT_TRUE(
		port_tx_flush(p, 0, 3) > 0); /* which may not while there are more than one flush sends */
	for (unsigned i = 0; i < 8; i++) {
		struct rte_mbuf *in[PORT_BURST];
		for (unsigned n = 1; n || port_rx_more(p, 0);) {
			n = port_rx(p, 0, in, PORT_BURST);
			n += port_rx(p, 1, in + n, PORT_BURST - n);
			rte_pktmbuf_free_bulk(in, n);
		}
		port_tx_flush(p, 0, 4 + i);
	}
	port_queue_counters(p, 0, &c);
	CU_ASSERT_EQUAL(c.tx_frames, sent);
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 20), 0);
	done(p);
}

/* The receiving core's own frames may be few: it is told that the device may have more. */
static void test_more_is_said(void)
{
	struct port *p = make(2, 1);
	struct frame_ends e;
	struct frame_bytes f;
	struct rte_mbuf *list[PORT_BURST];

	do
		e = frame_ends_random(true);
	while (owner(p, &e) != 1);
	frame_tcp(&f, &e);
	for (unsigned i = 0; i < PORT_BURST; i++)
		list[i] = frame_mbuf(pool, &f);
	CU_ASSERT_EQUAL(port_tx(p, 0, list, PORT_BURST), PORT_BURST);
	CU_ASSERT_EQUAL(port_rx(p, 0, list, PORT_BURST), 0);
	CU_ASSERT_TRUE(port_rx_more(p, 0));
	CU_ASSERT(woken[1] == 1 && port_ring_used(p, 1) == PORT_BURST && port_ring_room(p) >= PORT_BURST);
	CU_ASSERT_EQUAL(port_rx(p, 0, list, PORT_BURST), 0);
	CU_ASSERT_FALSE(port_rx_more(p, 0));
	CU_ASSERT_EQUAL(port_rx(p, 1, list, PORT_BURST), PORT_BURST);
	rte_pktmbuf_free_bulk(list, PORT_BURST);
	done(p);
}

/* What is under way when the port is closed comes back to its pools. */
static void test_closed_with_frames_under_way(void)
{
	struct port *p = make(4, 1);
	struct rte_mbuf *list[PORT_BURST];
	struct frame_bytes f;

	for (unsigned core = 0; core < 4; core++)
		for (unsigned i = 0; i < 4; i++) {
			struct frame_ends e = frame_ends_random(i % 2);
			frame_tcp(&f, &e);
			struct rte_mbuf *m = frame_mbuf(pool, &f);
			CU_ASSERT_EQUAL(port_tx(p, core, &m, 1), 1);
		}
	rte_pktmbuf_free_bulk(list, port_rx(p, 0, list, PORT_BURST));
	done(p);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_queue_each", test_a_queue_each},
			{"one_queue_for_all", test_one_queue_for_all},
			{"some_have_a_queue", test_some_have_a_queue}, {"back_pressure", test_back_pressure},
			{"more_is_said", test_more_is_said},
			{"closed_with_frames_under_way", test_closed_with_frames_under_way}, {0}});
}
