/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that sends anything: right checksums and addresses, but flags, numbers, lengths and options at
 * random, most of them on the edge of what a connection would take. Nothing may break, nothing may leak, a
 * good peer is served. */
#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/stack.h"
#include "tcpstack/tcp.h"
#include "tests/script/segment.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

enum { FRAMES = 60000, PORTS = 6, CONNS_MAX = 4 };

static struct rte_mempool *tx_pool, *rx_pool;
static struct stack *stack;
static uint64_t now_us;
static struct segment_base base[PORTS];
/* What the stack last said on a port: where an attacker who sees everything aims at. */
static struct segment said[PORTS];
static bool good_peer_served;

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	const char *broken;
	struct segment g;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = rte_pktmbuf_mtod(frames_take[i], const uint8_t *);
		unsigned port = wire_get16(p + 36) - PEER_PORT;
		if (wire_get16(p + 12) == 0x0800 && port < PORTS) {
			segment_from_frame(&g, &base[port], p, frames_take[i]->pkt_len, &broken);
			said[port] = g;
		} else if (wire_get16(p + 12) == 0x0800 && (p[47] & 18) == 18) {
			good_peer_served = true;
		}
		rte_pktmbuf_free(frames_take[i]);
	}
}

static void on_event(struct tcp_conn *c)
{
	static const uint8_t block[3000];

	switch (unit_random_below(12)) {
	case 0:
		tcp_conn_abort(c);
		break;
	case 1:
		tcp_conn_close(c);
		break;
	case 2:
		tcp_conn_shutdown(c);
		break;
	case 3:
	case 4:
		tcp_conn_write(c, block, 1 + unit_random_below(sizeof(block)));
		break;
	default:
		tcp_conn_rx_consume(c, unit_random_below(tcp_conn_rx(c)->bytes + 1));
	}
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	on_event(c);
}

static const struct tcp_app app = {
	.accepted = on_accepted, .readable = on_event, .peer_closed = on_event, .writable = on_event};

static void read_all(void *ctx, struct tcp_conn *c)
{
	tcp_conn_rx_consume(c, tcp_conn_rx(c)->bytes);
}

static void input(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

	MUST(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	poison_around(&m, 1);
	stack_input(stack, &m, 1, now_us);
}

static void tell_address(void)
{
	uint8_t arp[42] = {0};

	memcpy(arp, stack_mac, 6);
	memcpy(arp + 6, peer_mac, 6);
	memcpy(arp + 12, (uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, 10);
	memcpy(arp + 22, peer_mac, 6);
	wire_put32(arp + 28, PEER_ADDR);
	wire_put32(arp + 38, STACK_ADDR);
	input(arp, sizeof(arp));
}

static void begin(void)
{
	struct stack_config c;

	tx_pool = unit_pool("tx", 256, 2048);
	rx_pool = unit_pool("rx", 1024, 2048);
	stack_config_defaults(&c);
	memcpy(c.mac, stack_mac, 6);
	stack_config_add(&c, ip_v4(STACK_ADDR), 24);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){unit_random(), 2};
	c.tx = tx;
	c.conn_max = CONNS_MAX;
	c.syn_backlog_max = 2;
	c.time_wait_max = 2;
	c.rx_buffer_bytes = 8000;
	c.tx_buffer_bytes = 8000;
	c.user_timeout_us = c.time_wait_us = c.fin_wait_2_us = c.keepalive_us = c.half_open_timeout_us =
		3000000;
	c.keepalive_interval_us = 1000000;
	c.keepalive_probes = 2;
	c.arp_lifetime_us = UINT32_MAX;
	now_us = 1000000;
	stack = stack_create(&c, now_us);
	MUST(stack && tcp_listen(stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
	tell_address();
}

static int64_t near(int64_t n)
{
	static const int edge[] = {0, 0, 0, 0, 1, -1, 100, -100, 8000, 7999, 8001, 1 << 20};

	return unit_random_below(40) ? n + edge[unit_random_below(12)] : (int64_t)unit_random();
}

static uint8_t some_flags(void)
{
	static const uint8_t likely[] = {2, 16, 16, 16, 16, 24, 24, 17, 17, 4, 20, 18};

	return unit_random_below(10) ? likely[unit_random_below(12)] : (uint8_t)unit_random_below(64);
}

static void some_options(struct segment *g)
{
	g->options_n = 4 * unit_random_below(6);
	for (uint32_t i = 0; i < g->options_n; i++)
		g->options[i] = (uint8_t)unit_random_below(unit_random_below(3) ? 12 : 256);
}

static void one_segment(void)
{
	uint8_t frame[FRAME_BYTES_MAX];
	unsigned port = unit_random_below(PORTS);
	struct segment g = {
		.flags = some_flags(),
		.seq = near(said[port].ack),
		.ack = near(said[port].seq + said[port].len + ((said[port].flags & 3) != 0)),
		.has_ack = true,
		.len = unit_random_below(2) ? 0 : unit_random_below(1400),
		.win = unit_random_below(3) ? 65535 : unit_random_below(2000),
		.peer_port = (uint16_t)(PEER_PORT + port),
		.stack_port = STACK_PORT,
		.doff = unit_random_below(50) ? -1 : (int)unit_random_below(16),
		.iplen = -1,
	};

	if (unit_random_below(10) == 0)
		some_options(&g);
	if (g.flags == 2) {
		g.seq = 0;
		g.len = 0;
	}
	input(frame, segment_to_frame(&g, &base[port], frame));
}

static void run_until_silent(void)
{
	uint64_t next;

	for (unsigned i = 0; i < 100000 && (next = stack_next_us(stack)) != UINT64_MAX; i++) {
		now_us = RTE_MAX(now_us + 1, next);
		stack_output(stack, now_us);
		stack_timers(stack, now_us, 100);
	}
}

static void a_hostile_peer(void)
{
	uint8_t frame[200];
	struct segment syn = {
		.flags = 2, .win = 1000, .peer_port = 999, .stack_port = STACK_PORT, .doff = -1, .iplen = -1};

	begin();
	for (unsigned i = 0; i < FRAMES; i++) {
		one_segment();
		now_us += unit_random_below(unit_random_below(20) ? 300 : 300000);
		if (unit_random_below(20) == 0)
			tcp_conn_each(stack, read_all, NULL);
		if (unit_random_below(3)) {
			stack_output(stack, now_us);
			stack_timers(stack, now_us, 100);
		}
	}
	CU_ASSERT_TRUE(stack_counter(stack, STACK_COUNTER_tcp_accepted) > 100);
	CU_ASSERT_TRUE(stack_counter(stack, STACK_COUNTER_tcp_out_of_order) > 100);
	tcp_conn_each(stack, read_all, NULL);
	run_until_silent();
	CU_ASSERT_EQUAL(stack_usage(stack).conns, 0);
	CU_ASSERT_EQUAL(stack_usage(stack).tx_segments, 0);
	CU_ASSERT_EQUAL(stack_usage(stack).reass_segments, 0);
	tell_address();
	input(frame, segment_to_frame(&syn, &base[0], frame));
	stack_output(stack, now_us);
	CU_ASSERT_TRUE(good_peer_served);
	stack_destroy(stack);
	CU_ASSERT_TRUE(unit_pool_full(tx_pool));
	CU_ASSERT_TRUE(unit_pool_full(rx_pool));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv, (struct unit_test[]){{"a_hostile_peer", a_hostile_peer}, {0}});
}
