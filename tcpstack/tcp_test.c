/* SPDX-License-Identifier: Apache-2.0 */
/* Two stacks over a wire that loses nothing: the application's side of TCP. */
#include <errno.h>

#include "tcpstack/checksum.h"
#include "tcpstack/stack_impl.h"
#include "tcpstack/tcp.h"
#include "tests/unit/unit.h"

enum { ADDR_A = 0x0a000001, ADDR_B = 0x0a000002, PORT = 5672 };
#define addr_a ((struct ip_addr[]){ip_v4(ADDR_A)}[0])
#define addr_b ((struct ip_addr[]){ip_v4(ADDR_B)}[0])

static struct rte_mempool *pool_a, *pool_b, *pool_rx;
static struct stack *a, *b;
static uint64_t now_us;
static unsigned frames_sent;
static bool unplugged, holding;
static unsigned offloaded_frames;

enum { HELD_MAX = 64 };
static struct {
	struct rte_mbuf *m;
	uint16_t n;
	uint8_t bytes[2048];
} held[HELD_MAX];
static unsigned held_count;
static void driver_hold(struct rte_mbuf *m);

struct wire_end {
	struct rte_mbuf *queue[4096];
	unsigned n;
};
static struct wire_end to_a, to_b;

/* Does what a port does for frames that ask for it. */
static void port_offload(struct rte_mbuf *m, uint64_t flags)
{
	uint8_t *ip = frame_data(m) + 14, *tcp = ip + 20;

	if (flags & RTE_MBUF_F_TX_IP_CKSUM)
		wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, 20)));
	if (flags & RTE_MBUF_F_TX_TCP_CKSUM)
		wire_put16(tcp + 16, (uint16_t)~checksum_fold(checksum_add(0, tcp, m->pkt_len - 34)));
	offloaded_frames += (flags & RTE_MBUF_F_TX_IP_CKSUM) && (flags & RTE_MBUF_F_TX_TCP_CKSUM);
}

/* The other side gets a copy, as over a real wire. */
static void wire_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct wire_end *w = ctx;

	for (unsigned i = 0; i < n; i++) {
		frames_sent++;
		if (!unplugged) {
			struct rte_mbuf *m = rte_pktmbuf_copy(frames[i], pool_rx, 0, UINT32_MAX);
			MUST(m && w->n < 4096);
			port_offload(m, frames[i]->ol_flags);
			w->queue[w->n++] = m;
		}
		if (holding)
			driver_hold(frames[i]);
		else
			rte_pktmbuf_free(frames[i]);
	}
}

/* A driver that is slow to free what it has sent. */
static void driver_hold(struct rte_mbuf *m)
{
	MUST(held_count < HELD_MAX);
	held[held_count].m = m;
	held[held_count].n = m->data_len;
	memcpy(held[held_count++].bytes, frame_data(m), m->data_len);
}

static void driver_release(void)
{
	for (unsigned i = 0; i < held_count; i++) {
		CU_ASSERT_EQUAL(held[i].m->data_len, held[i].n);
		CU_ASSERT_EQUAL(memcmp(held[i].bytes, frame_data(held[i].m), held[i].n), 0);
		rte_pktmbuf_free(held[i].m);
	}
	held_count = 0;
}

static void deliver(struct stack *s, struct wire_end *w)
{
	struct rte_mbuf *burst[4096];
	unsigned n = w->n;

	memcpy(burst, w->queue, n * sizeof(burst[0]));
	w->n = 0;
	stack_input(s, burst, n, now_us);
}

static void turn(void)
{
	deliver(a, &to_a);
	deliver(b, &to_b);
	stack_output(a, now_us);
	stack_output(b, now_us);
	stack_timers(a, now_us, 1000);
	stack_timers(b, now_us, 1000);
}

static void run_for(uint64_t us)
{
	for (uint64_t end = now_us + us; now_us < end; now_us += 100)
		turn();
}

static struct {
	struct tcp_conn *server, *client;
	unsigned accepted, connected, readable, writable, peer_closed, closed;
	int connect_error, reason[4];
	bool abort_in_readable, close_in_accepted;
} seen;

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	CU_ASSERT_PTR_EQUAL(ctx, &seen);
	CU_ASSERT_PTR_EQUAL(tcp_conn_user(c), &seen);
	seen.accepted++;
	seen.server = c;
	if (seen.close_in_accepted)
		tcp_conn_close(c);
}

static void on_connected(struct tcp_conn *c, int error)
{
	seen.connected++;
	seen.connect_error = error;
}

static void on_readable(struct tcp_conn *c)
{
	seen.readable++;
	if (seen.abort_in_readable)
		tcp_conn_abort(c);
}

static void on_peer_closed(struct tcp_conn *c)
{
	seen.peer_closed++;
}

static void on_writable(struct tcp_conn *c)
{
	seen.writable++;
}

static void on_closed(struct tcp_conn *c, int reason)
{
	seen.reason[seen.closed++ & 3] = reason;
}

static const struct tcp_app app = {.accepted = on_accepted,
	.connected = on_connected,
	.readable = on_readable,
	.peer_closed = on_peer_closed,
	.writable = on_writable,
	.closed = on_closed};

static void (*change)(struct stack_config *c);

static struct stack *make(uint32_t addr, struct rte_mempool *pool, struct wire_end *out)
{
	struct stack_config c;

	stack_config_defaults(&c);
	c.mac[0] = 2;
	c.mac[5] = (uint8_t)addr;
	stack_config_add(&c, ip_v4(addr), 24);
	c.tx_pool = pool;
	c.key = (struct siphash_key){addr, 2};
	c.tx = wire_tx;
	c.tx_ctx = out;
	c.conn_max = 8;
	c.syn_backlog_max = 4;
	c.time_wait_max = 4;
	c.rx_buffer_bytes = 65536;
	c.tx_buffer_bytes = 65536;
	if (change)
		change(&c);
	struct stack *s = stack_create(&c, now_us);
	MUST(s);
	return s;
}

static void begin(void (*with)(struct stack_config *c))
{
	if (!pool_a) {
		pool_a = unit_pool("a", 256, 2048);
		pool_b = unit_pool("b", 256, 2048);
		pool_rx = unit_pool("rx", 2048, 2048);
	}
	memset(&seen, 0, sizeof(seen));
	change = with;
	unplugged = holding = false;
	now_us = 5000000;
	a = make(ADDR_A, pool_a, &to_b);
	b = make(ADDR_B, pool_b, &to_a);
	CU_ASSERT_EQUAL(tcp_listen(b, NULL, PORT, NULL, &app, &seen, NULL), 0);
}

static void end(void)
{
	stack_destroy(a);
	stack_destroy(b);
	rte_pktmbuf_free_bulk(to_a.queue, to_a.n);
	rte_pktmbuf_free_bulk(to_b.queue, to_b.n);
	to_a.n = to_b.n = 0;
	CU_ASSERT_TRUE(unit_pool_full(pool_a));
	CU_ASSERT_TRUE(unit_pool_full(pool_b));
	CU_ASSERT_TRUE(unit_pool_full(pool_rx));
}

static void open_pair(void)
{
	seen.client = tcp_connect(a, &addr_b, PORT, NULL, &app, NULL, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(seen.client);
	run_for(1000);
	CU_ASSERT_EQUAL_FATAL(seen.connected, 1);
	CU_ASSERT_EQUAL_FATAL(seen.accepted, 1);
	CU_ASSERT_EQUAL(seen.connect_error, 0);
}

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 131 + (i >> 8));
}

/* Sends total bytes from one to the other; the reader checks them and takes them as they come. */
static void transfer(struct tcp_conn *from, struct tcp_conn *to, uint32_t total)
{
	static uint8_t block[65536], got[65536];
	uint32_t sent = 0, read = 0;

	for (unsigned turns = 0; read < total && turns < 100000; turns++) {
		uint32_t n = RTE_MIN(total - sent, tcp_conn_tx_room(from));
		n = RTE_MIN(n, 1 + unit_random_below(20000));
		for (uint32_t i = 0; i < n; i++)
			block[i] = pattern(sent + i);
		if (n && tcp_conn_write(from, block, n) == 0)
			sent += n;
		turn();
		now_us += 100;
		n = tcp_conn_rx(to)->bytes;
		chain_copy(tcp_conn_rx(to), 0, got, n);
		for (uint32_t i = 0; i < n; i++)
			if (got[i] != pattern(read + i))
				CU_FAIL_FATAL("a byte differs");
		tcp_conn_rx_consume(to, n);
		read += n;
	}
	CU_ASSERT_EQUAL(read, total);
}

static void data_flows_both_ways(void)
{
	begin(NULL);
	open_pair();
	transfer(seen.client, seen.server, 1000000);
	transfer(seen.server, seen.client, 1000000);
	struct tcp_conn_info i = tcp_conn_info(seen.client);
	CU_ASSERT_STRING_EQUAL(i.state, "ESTABLISHED");
	CU_ASSERT_EQUAL(i.mss_bytes, 1448);
	CU_ASSERT_EQUAL(i.resent, 0);
	CU_ASSERT_EQUAL(i.bytes_in, 1000000);
	CU_ASSERT_TRUE(i.srtt_us >= 100 && i.srtt_us < 50000);
	end();
}

static void both_sides_close(void)
{
	begin(NULL);
	open_pair();
	transfer(seen.client, seen.server, 100);
	CU_ASSERT_EQUAL(tcp_conn_shutdown(seen.client), 0);
	CU_ASSERT_EQUAL(tcp_conn_shutdown(seen.client), -EPIPE);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "x", 1), -EPIPE);
	run_for(1000);
	CU_ASSERT_EQUAL(seen.peer_closed, 1);
	transfer(seen.server, seen.client, 5000); /* the other half stays open */
	CU_ASSERT_EQUAL(tcp_conn_shutdown(seen.server), 0);
	run_for(1000);
	CU_ASSERT_EQUAL(seen.peer_closed, 2);
	CU_ASSERT_EQUAL(seen.closed, 2);
	CU_ASSERT_EQUAL(seen.reason[0], TCP_REASON_DONE);
	CU_ASSERT_EQUAL(seen.reason[1], TCP_REASON_DONE);
	CU_ASSERT_EQUAL(stack_usage(a).time_wait, 1);
	CU_ASSERT_EQUAL(stack_usage(b).conns, 0);
	now_us += 61000000;
	turn();
	CU_ASSERT_EQUAL(stack_usage(a).conns, 0);
	end();
}

static void closed_waits_for_the_reader(void)
{
	begin(NULL);
	open_pair();
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "hello", 5), 0);
	tcp_conn_shutdown(seen.client);
	tcp_conn_shutdown(seen.server);
	run_for(50000);
	CU_ASSERT_EQUAL(seen.closed, 1);
	CU_ASSERT_EQUAL_FATAL(tcp_conn_rx(seen.server)->bytes, 5);
	now_us += 61000000;
	turn();
	tcp_conn_rx_consume(seen.server, 4);
	turn();
	CU_ASSERT_EQUAL(seen.closed, 1);
	tcp_conn_rx_consume(seen.server, 1);
	turn();
	CU_ASSERT_EQUAL(seen.closed, 2);
	CU_ASSERT_EQUAL(stack_usage(b).conns, 0);
	end();
}

static void close_lets_go(void)
{
	begin(NULL);
	open_pair();
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "hello", 5), 0);
	tcp_conn_close(seen.client);
	run_for(1000);
	CU_ASSERT_EQUAL(tcp_conn_rx(seen.server)->bytes, 5);
	CU_ASSERT_EQUAL(seen.peer_closed, 1);
	tcp_conn_rx_consume(seen.server, 5);
	tcp_conn_close(seen.server);
	run_for(1000);
	CU_ASSERT_EQUAL(seen.closed, 0);
	CU_ASSERT_EQUAL(stack_usage(b).conns, 0);
	CU_ASSERT_EQUAL(stack_usage(a).time_wait, 1);
	end();
}

static void data_after_close_is_reset(void)
{
	begin(NULL);
	open_pair();
	tcp_conn_close(seen.client);
	run_for(1000);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.server, "late", 4), 0);
	run_for(1000);
	CU_ASSERT_EQUAL(seen.closed, 1);
	CU_ASSERT_EQUAL(seen.reason[0], TCP_REASON_RESET);
	CU_ASSERT_EQUAL(stack_counter(a, STACK_COUNTER_tcp_data_closed), 1);
	CU_ASSERT_EQUAL(stack_usage(a).conns, 0);
	end();
}

static void abort_inside_a_callback(void)
{
	begin(NULL);
	open_pair();
	seen.abort_in_readable = true;
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "hello", 5), 0);
	run_for(1000);
	CU_ASSERT_EQUAL(seen.readable, 1);
	CU_ASSERT_EQUAL(seen.closed, 1);
	CU_ASSERT_EQUAL(seen.reason[0], TCP_REASON_RESET);
	CU_ASSERT_EQUAL(stack_usage(a).conns, 0);
	CU_ASSERT_EQUAL(stack_usage(b).conns, 0);
	end();
}

static void close_inside_accepted(void)
{
	begin(NULL);
	seen.close_in_accepted = true;
	open_pair();
	CU_ASSERT_EQUAL(seen.peer_closed, 1);
	end();
}

static void refused_and_unanswered(void)
{
	begin(NULL);
	CU_ASSERT_PTR_NOT_NULL(tcp_connect(a, &addr_b, PORT + 1, NULL, &app, NULL, now_us));
	run_for(1000);
	CU_ASSERT_EQUAL(seen.connected, 1);
	CU_ASSERT_EQUAL(seen.connect_error, -ECONNREFUSED);
	unplugged = true;
	CU_ASSERT_PTR_NOT_NULL(tcp_connect(a, &addr_b, PORT, NULL, &app, NULL, now_us));
	for (unsigned i = 0; i < 1950; i++, now_us += 100000)
		turn();
	CU_ASSERT_EQUAL(seen.connected, 2);
	CU_ASSERT_EQUAL(seen.connect_error, -EHOSTUNREACH); /* its neighbour has gone as well */
	CU_ASSERT_EQUAL(seen.closed, 0);
	CU_ASSERT_EQUAL(stack_usage(a).conns, 0);
	end();
}

static void writable_follows_refusal(void)
{
	static const uint8_t block[65536];

	begin(NULL);
	open_pair();
	CU_ASSERT_EQUAL(tcp_conn_tx_room(seen.client), 65536);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, block, 65537), -EMSGSIZE);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, block, 60000), 0);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, block, 6000), -ENOBUFS);
	CU_ASSERT_EQUAL(seen.writable, 0);
	run_for(5000);
	CU_ASSERT_EQUAL(seen.writable, 1);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, block, 6000), 0);
	end();
}

static void a_slow_reader_closes_the_window(void)
{
	static const uint8_t block[65536];

	begin(NULL);
	open_pair();
	for (unsigned i = 0; i < 3; i++) {
		uint32_t n = tcp_conn_tx_room(seen.client);
		if (n)
			CU_ASSERT_EQUAL(tcp_conn_write(seen.client, block, n), 0);
		run_for(100000);
	}
	CU_ASSERT_EQUAL(tcp_conn_rx(seen.server)->bytes, 65536);
	CU_ASSERT_EQUAL(tcp_conn_info(seen.client).snd_wnd_bytes, 0);
	run_for(2000000);
	CU_ASSERT_TRUE(stack_counter(a, STACK_COUNTER_tcp_window_probes) > 1);
	CU_ASSERT_EQUAL(tcp_conn_rx(seen.server)->bytes, 65536);
	tcp_conn_rx_consume(seen.server, 65536);
	run_for(10000);
	CU_ASSERT_TRUE(tcp_conn_rx(seen.server)->bytes > 60000);
	end();
}

static void wide_send_buffers(struct stack_config *c)
{
	c->tx_buffer_bytes = 1 << 20;
}

/* Writes until there is no room; the peer's window closes meanwhile. Returns how much went in. */
static uint32_t write_all(struct tcp_conn *c)
{
	static const uint8_t block[65536];
	uint32_t n, sum = 0;

	while ((n = RTE_MIN(tcp_conn_tx_room(c), (uint32_t)sizeof(block)))) {
		CU_ASSERT_EQUAL_FATAL(tcp_conn_write(c, block, n), 0);
		sum += n;
		run_for(20000);
	}
	return sum;
}

/* Peers that do not read leave others their share of the transmit pool, and are told when theirs is back. */
static void stuck_peers_leave_segments(void)
{
	begin(wide_send_buffers);
	open_pair();
	struct tcp_conn *first = seen.client, *reader = seen.server;
	CU_ASSERT_TRUE(write_all(first) < 65536 + 256 / 2 * 1460);
	seen.connected = seen.accepted = 0;
	open_pair();
	uint32_t second = write_all(seen.client);
	CU_ASSERT_TRUE(second > 65536 + 40 * 1400);
	CU_ASSERT_TRUE(second < 65536 + 256 / 3 * 1460);
	CU_ASSERT_EQUAL(tcp_conn_write(first, "x", 1), -ENOBUFS);
	CU_ASSERT_EQUAL(seen.writable, 0);
	for (unsigned i = 0; i < 8; i++) {
		tcp_conn_rx_consume(reader, tcp_conn_rx(reader)->bytes);
		run_for(20000);
	}
	CU_ASSERT_EQUAL(seen.writable, 1);
	CU_ASSERT_EQUAL(tcp_conn_write(first, "x", 1), 0);
	end();
}

static void an_empty_pool_recovers(void)
{
	struct rte_mbuf *hoard[257];
	unsigned n = 0;

	begin(NULL);
	open_pair();
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "hello", 5), 0);
	while ((hoard[n] = rte_pktmbuf_alloc(pool_b)))
		n++;
	run_for(300000);
	CU_ASSERT_EQUAL(tcp_conn_rx(seen.server)->bytes, 5);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.server, "hello", 5), -ENOBUFS);
	rte_pktmbuf_free_bulk(hoard, n);
	run_for(10000);
	CU_ASSERT_EQUAL(seen.writable, 1);
	CU_ASSERT_EQUAL(tcp_conn_info(seen.client).tx_queued_bytes, 0);
	CU_ASSERT_EQUAL(tcp_conn_write(seen.server, "hello", 5), 0);
	run_for(10000);
	CU_ASSERT_EQUAL(tcp_conn_rx(seen.client)->bytes, 5);
	end();
}

static void pending_bytes_leave_together(void)
{
	begin(NULL);
	open_pair();
	run_for(100000);
	unsigned before = frames_sent;
	for (unsigned i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "0123456789", 10), 0);
	turn();
	CU_ASSERT_EQUAL(frames_sent, before + 1);
	end();
}

static void a_held_buffer_is_not_rewritten(void)
{
	begin(NULL);
	open_pair();
	unplugged = holding = true;
	CU_ASSERT_EQUAL(tcp_conn_write(seen.client, "first", 5), 0);
	run_for(1500000);
	CU_ASSERT_TRUE(held_count >= 3);
	CU_ASSERT_TRUE(stack_counter(a, STACK_COUNTER_tcp_resent_copied) >= 2);
	unplugged = holding = false;
	run_for(2000000);
	CU_ASSERT_EQUAL(tcp_conn_rx(seen.server)->bytes, 5);
	driver_release();
	end();
}

static void many_connections_reuse_the_pool(void)
{
	begin(NULL);
	for (unsigned i = 0; i < 50; i++) {
		seen.connected = seen.accepted = 0;
		open_pair();
		transfer(seen.client, seen.server, 10000);
		tcp_conn_close(seen.client);
		run_for(1000);
		tcp_conn_close(seen.server);
		run_for(1000);
	}
	CU_ASSERT_TRUE(stack_usage(a).time_wait <= 4);
	CU_ASSERT_TRUE(stack_counter(a, STACK_COUNTER_tcp_time_wait_evicted) > 0);
	end();
}

static void listeners_are_kept_apart(void)
{
	struct tcp_listener *l;

	begin(NULL);
	CU_ASSERT_EQUAL(tcp_listen(b, NULL, PORT, NULL, &app, NULL, NULL), -EADDRINUSE);
	CU_ASSERT_EQUAL(tcp_listen(b, &addr_a, 1, NULL, &app, NULL, NULL), -EADDRNOTAVAIL);
	CU_ASSERT_EQUAL(tcp_listen(b, &addr_b, 1, NULL, &app, NULL, &l), 0);
	tcp_listener_close(l);
	CU_ASSERT_EQUAL(tcp_listen(b, &addr_b, 1, NULL, &app, NULL, &l), 0);
	CU_ASSERT_EQUAL(stack_usage(b).listeners, 2);
	end();
}

static void offloaded(struct stack_config *c)
{
	c->offload_flags = STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM;
}

static void the_port_fills_checksums(void)
{
	begin(offloaded);
	offloaded_frames = 0;
	open_pair();
	transfer(seen.client, seen.server, 100000);
	CU_ASSERT_TRUE(offloaded_frames > 70);
	CU_ASSERT_EQUAL(stack_counter(b, STACK_COUNTER_tcp_checksum), 0);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"data_flows_both_ways", data_flows_both_ways},
			{"both_sides_close", both_sides_close},
			{"closed_waits_for_the_reader", closed_waits_for_the_reader},
			{"close_lets_go", close_lets_go},
			{"data_after_close_is_reset", data_after_close_is_reset},
			{"abort_inside_a_callback", abort_inside_a_callback},
			{"close_inside_accepted", close_inside_accepted},
			{"refused_and_unanswered", refused_and_unanswered},
			{"writable_follows_refusal", writable_follows_refusal},
			{"stuck_peers_leave_segments", stuck_peers_leave_segments},
			{"a_slow_reader_closes_the_window", a_slow_reader_closes_the_window},
			{"an_empty_pool_recovers", an_empty_pool_recovers},
			{"pending_bytes_leave_together", pending_bytes_leave_together},
			{"a_held_buffer_is_not_rewritten", a_held_buffer_is_not_rewritten},
			{"many_connections_reuse_the_pool", many_connections_reuse_the_pool},
			{"listeners_are_kept_apart", listeners_are_kept_apart},
			{"the_port_fills_checksums", the_port_fills_checksums},
			{0},
		});
}
