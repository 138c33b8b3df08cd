/* SPDX-License-Identifier: Apache-2.0 */
/* One connection between two stacks of this process moves as much as it can, over a wire of DPDK, each stack
 * on a core of its own (or both on one). Counted is what the receiving application has read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tcpstack/bench.h"
#include "bench/tcpstack/wires.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "runtime/clock.h"
#include "tcpstack/tcp.h"
#include "transport/bypass.h"

enum {
	PORT = 5672,
	WARM_US = 300000,
	WAITING_MAX = 4096, /* frames that wait for the port, as in transport/bypass.c */
	TX_MBUFS = 8191,
	RX_BURSTS = 8,
	TIMER_BUDGET = 64,
};

struct side {
	const struct bench_options *o;
	struct wire_end wire;
	struct stack *stack;
	struct rte_mempool *pool;
	struct tcp_conn *conn;
	struct rte_mbuf *waiting[WAITING_MAX];
	unsigned waiting_at, waiting_count;
	uint64_t dropped;
	bool sender;
	uint64_t read_bytes;
};

static struct side sides[2];
static bool over;
static uint8_t block[65536];

static void on_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct side *s = ctx;
	unsigned sent = s->waiting_count ? 0 : port_tx(s->wire.port, s->wire.tx_queue, frames, n);

	if (sent < n && s->waiting_at + s->waiting_count + n - sent > WAITING_MAX) {
		memmove(s->waiting, s->waiting + s->waiting_at, s->waiting_count * sizeof(s->waiting[0]));
		s->waiting_at = 0;
	}
	for (; sent < n && s->waiting_at + s->waiting_count < WAITING_MAX; sent++)
		s->waiting[s->waiting_at + s->waiting_count++] = frames[sent];
	s->dropped += n - sent;
	rte_pktmbuf_free_bulk(frames + sent, n - sent);
}

static void waiting_send(struct side *s)
{
	while (s->waiting_count) {
		unsigned n = RTE_MIN(s->waiting_count, (unsigned)PORT_BURST);
		unsigned sent = port_tx(s->wire.port, s->wire.tx_queue, s->waiting + s->waiting_at, n);
		s->waiting_at += sent;
		s->waiting_count -= sent;
		if (sent < n)
			return;
	}
	s->waiting_at = 0;
}

static void fill(struct tcp_conn *c)
{
	struct side *s = tcp_conn_user(c);

	if (!s->sender)
		return;
	while (tcp_conn_tx_room(c) >= s->o->bytes)
		if (tcp_conn_write(c, block, s->o->bytes))
			return;
}

static void on_connected(struct tcp_conn *c, int error)
{
	MUST(error == 0);
	fill(c);
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	struct side *s = ctx;

	s->conn = c;
	tcp_conn_set_user(c, s);
}

static void on_readable(struct tcp_conn *c)
{
	struct side *s = tcp_conn_user(c);
	uint32_t n = tcp_conn_rx(c)->bytes;

	s->read_bytes += n;
	tcp_conn_rx_consume(c, n);
}

static const struct tcp_app app = {
	.accepted = on_accepted, .connected = on_connected, .readable = on_readable, .writable = fill};

static struct ip_addr address(const struct bench_options *o, unsigned last)
{
	struct ip_addr a = {.bytes = {0xfd, 10}};

	a.bytes[15] = (uint8_t)last;
	return o->ipv6 ? a : ip_v4(0x0a0a0000 + last);
}

static void side_start(struct side *s, unsigned i, const struct bench_options *o)
{
	const struct port_info *info = port_info(s->wire.port);
	struct stack_config c;
	char name[32];

	snprintf(name, sizeof(name), "bench_tx%u", i);
	s->o = o;
	s->pool = port_pool_create(name, TX_MBUFS, port_pool_room(info->mtu), -1);
	MUST(s->pool);
	stack_config_defaults(&c);
	memcpy(c.mac, info->mac, 6);
	c.mac[5] = (uint8_t)(i + 1); /* one device has both ends of a ring */
	stack_config_add(&c, address(o, i + 1), o->ipv6 ? 64 : 24);
	c.mtu = (uint16_t)info->mtu;
	c.tx_pool = s->pool;
	c.offload_flags = bypass_stack_offloads(info->offloads);
	c.tso_segments_max = info->tx_segments_max;
	c.key = siphash_key_random();
	c.tx = on_tx;
	c.tx_ctx = s;
	s->stack = stack_create(&c, clock_now_us());
	MUST(s->stack);
}

static void turn(struct side *s)
{
	struct rte_mbuf *frames[PORT_BURST];
	uint64_t now_us = clock_now_us();

	for (unsigned i = 0; i < RX_BURSTS; i++) {
		unsigned n = port_rx(s->wire.port, s->wire.rx_queue, frames, PORT_BURST);
		if (n)
			stack_input(s->stack, frames, n, now_us);
		if (n < PORT_BURST)
			break;
	}
	stack_timers(s->stack, now_us, TIMER_BUDGET);
	waiting_send(s);
	stack_output(s->stack, now_us);
	port_tx_flush(s->wire.port, s->wire.tx_queue, now_us);
}

static int side_run(void *ctx)
{
	struct side *s = ctx;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		turn(s);
	return 0;
}

static int both_run(void *ctx)
{
	(void)ctx;
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		turn(&sides[0]);
		turn(&sides[1]);
	}
	return 0;
}

static uint64_t read_so_far(void)
{
	return __atomic_load_n(&sides[1].read_bytes, __ATOMIC_RELAXED);
}

static void sleep_us(uint64_t us)
{
	struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};

	nanosleep(&t, NULL);
}

static void report(const struct bench_options *o, uint64_t bytes, uint64_t us)
{
	const struct stack *s = sides[0].stack;
	uint64_t out = stack_counter(s, STACK_COUNTER_tcp_segments_out);

	printf("op=bulk wire=%s bytes=%u cores=%u ip=%d offloads=%d tso=%d mbytes=%.1f "
	       "segments_per_frame=%.2f "
	       "resent=%llu dropped=%llu\n",
		o->wire, o->bytes, o->cores, o->ipv6 ? 6 : 4, o->offloads, o->tso, (double)bytes / (double)us,
		(double)out / (double)RTE_MAX(stack_counter(s, STACK_COUNTER_tx_frames), 1u),
		(unsigned long long)stack_counter(s, STACK_COUNTER_tcp_resent),
		(unsigned long long)(sides[0].dropped + sides[1].dropped));
}

static uint32_t offloads(const struct bench_options *o)
{
	return o->offloads ? PORT_OFFLOADS_ALL | (o->tso ? PORT_TX_TSO : 0) : PORT_TX_MULTI_SEGMENT;
}

int bulk_run(const struct bench_options *o)
{
	struct wire wire;
	struct ip_addr to = address(o, 2);

	MUST(o->bytes && o->bytes <= sizeof(block));
	if (!wire_open(&wire, o->wire, o->dir, offloads(o)))
		return 1;
	for (unsigned i = 0; i < 2; i++) {
		sides[i].wire = wire.end[i];
		side_start(&sides[i], i, o);
	}
	sides[0].sender = true;
	MUST(tcp_listen(sides[1].stack, NULL, PORT, NULL, &app, &sides[1], NULL) == 0);
	sides[0].conn = tcp_connect(sides[0].stack, &to, PORT, NULL, &app, &sides[0], clock_now_us());
	MUST(sides[0].conn);
	if (o->cores == 1) {
		dpdk_core_launch(0, both_run, NULL);
	} else {
		dpdk_core_launch(0, side_run, &sides[0]);
		dpdk_core_launch(1, side_run, &sides[1]);
	}
	sleep_us(WARM_US);
	uint64_t start_us = clock_now_us(), before = read_so_far();
	sleep_us(o->seconds * 1000000ull);
	uint64_t us = clock_now_us() - start_us, bytes = read_so_far() - before;
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	dpdk_core_join(0);
	dpdk_core_join(1);
	report(o, bytes, us);
	for (unsigned i = 0; i < 2; i++) {
		stack_destroy(sides[i].stack);
		rte_pktmbuf_free_bulk(sides[i].waiting + sides[i].waiting_at, sides[i].waiting_count);
	}
	wire_close(&wire);
	for (unsigned i = 0; i < 2; i++)
		rte_mempool_free(sides[i].pool);
	return bytes ? 0 : 1;
}
