/* SPDX-License-Identifier: Apache-2.0 */
/* Who may hold receive buffers: one px_stack, many peers written out segment by segment. */
#include "tcpstack/peer_fixture.h"

enum { PEERS = 40, MSS = 1400, BUFFERS = 256 };

struct peer {
	struct segment_base base;
	struct tcp_conn *conn;
	int64_t acked, edge; /* what the stack has told */
	unsigned heard;	     /* segments from the stack */
	uint32_t read;
};

static struct peer peers[PEERS], *accepting;

static void hear(const uint8_t *p, uint32_t n)
{
	uint16_t port = wire_get16(p + 36);
	struct segment g;
	const char *broken;

	if (wire_get16(p + 12) != ETH_TYPE_IPV4 || port < PEER_PORT || port >= PEER_PORT + PEERS)
		return;
	struct peer *peer = &peers[port - PEER_PORT];
	segment_from_frame(&g, &peer->base, p, n, &broken);
	int64_t edge = g.ack + g.win;
	if (g.ack < peer->acked || edge < peer->edge)
		CU_FAIL("an ACK or a window went back");
	peer->acked = g.ack;
	peer->edge = edge;
	peer->heard++;
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	accepting->conn = c;
}

static const struct tcp_app app = {.accepted = on_accepted};

static void turn(void)
{
	stack_output(px_stack, px_now_us);
	stack_timers(px_stack, px_now_us, 1000);
}

static void segment(struct peer *peer, uint8_t flags, int64_t seq, uint32_t len)
{
	struct segment g = px_segment(flags, seq, !!(flags & TCP_ACK), len);

	g.peer_port = (uint16_t)(PEER_PORT + (peer - peers));
	if (flags & TCP_SYN)
		memcpy(g.options, (uint8_t[]){2, 4, MSS >> 8, MSS & 255}, g.options_n = 4);
	px_send(&g, &peer->base);
	turn();
}

static void peer_open(struct peer *peer)
{
	*peer = (struct peer){.base.peer_isn = (uint32_t)unit_random()};
	accepting = peer;
	segment(peer, TCP_SYN, 0, 0);
	segment(peer, TCP_ACK, 1, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(peer->conn);
}

static void begin(unsigned n)
{
	px_pools(512, BUFFERS + 32);
	struct stack_config c = px_config(hear);

	c.conn_max = PEERS;
	c.rx_buffers_max = BUFFERS;
	c.rx_buffer_bytes = 65535;
	c.delayed_ack_us = 0;
	px_start(&c);
	MUST(tcp_listen(px_stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
	for (unsigned i = 0; i < n; i++)
		peer_open(&peers[i]);
}

static uint32_t held(void)
{
	return stack_usage(px_stack).rx_buffers;
}

/* The books agree with the buffers. */
static void check_books(unsigned n)
{
	uint32_t sum = 0, pinned = rte_mempool_in_use_count(px_rx_pool);

	for (unsigned i = 0; i < n; i++)
		if (peers[i].conn)
			sum += tcp_conn_info(peers[i].conn).rx_buffers;
	if (sum != held() || sum != pinned || pinned > BUFFERS)
		CU_FAIL("the sum of held buffers is wrong");
}

/* Reads what there is and checks it. */
static void peer_read(struct peer *peer, uint32_t n)
{
	struct chain *rx = tcp_conn_rx(peer->conn);

	n = min_u32(n, rx->bytes);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t b;
		chain_copy(rx, i, &b, 1);
		if (b != segment_byte(1 + peer->read + i))
			CU_FAIL_FATAL("a byte differs");
	}
	tcp_conn_rx_consume(peer->conn, n);
	peer->read += n;
	turn();
}

/* Sends full segments into the window until nothing more is taken. */
static void flood(struct peer *peer)
{
	for (unsigned misses = 0; misses < 3 && peer->acked + MSS <= peer->edge;) {
		int64_t before = peer->acked;
		segment(peer, TCP_ACK, peer->acked, MSS);
		misses = peer->acked == before ? misses + 1 : 0;
	}
}

static void single_bytes_share_buffers(void)
{
	begin(1);
	for (unsigned i = 1; i <= 5000; i++)
		segment(&peers[0], TCP_ACK, i, 1);
	CU_ASSERT_EQUAL(peers[0].acked, 5001);
	CU_ASSERT_TRUE(held() <= 16 + 5000 / 2048 + 1);
	check_books(1);
	peer_read(&peers[0], 5000);
	CU_ASSERT_EQUAL(held(), 0);
	px_end();
}

/* Every other byte: each pins a buffer, and there is an end to that; the others do not notice. */
static void single_bytes_out_of_order_are_capped(void)
{
	begin(2);
	for (unsigned i = 3; i <= 2000; i += 2)
		segment(&peers[0], TCP_ACK, i, 1);
	CU_ASSERT_TRUE(held() <= BUFFERS / 2);
	CU_ASSERT_TRUE(stack_counter(px_stack, STACK_COUNTER_tcp_rx_memory_dropped) > 0);
	check_books(2);
	for (unsigned i = 0; i < 10; i++)
		segment(&peers[1], TCP_ACK, 1 + i * MSS, MSS);
	CU_ASSERT_EQUAL(peers[1].acked, 1 + 10 * MSS);
	for (unsigned i = 1; i <= 2000; i++)
		segment(&peers[0], TCP_ACK, i, 1);
	CU_ASSERT_EQUAL(peers[0].acked, 2001);
	check_books(2);
	peer_read(&peers[0], 2000);
	px_end();
}

/* Peers fill all their windows and nobody reads: the limit holds, and whoever comes then still gets its
 * segments through, as do those who read. */
static void full_windows_leave_the_others_going(void)
{
	begin(PEERS);
	for (unsigned i = 0; i < PEERS - 2; i++)
		flood(&peers[i]);
	check_books(PEERS);
	CU_ASSERT_TRUE(held() <= BUFFERS);
	CU_ASSERT_TRUE(tcp_conn_info(peers[0].conn).rx_buffers <= 2 + (BUFFERS - 2 * PEERS) / 2);
	for (unsigned i = PEERS - 2; i < PEERS; i++)
		for (unsigned k = 0; k < 100; k++) {
			segment(&peers[i], TCP_ACK, 1 + (int64_t)k * MSS, MSS);
			CU_ASSERT_EQUAL_FATAL(peers[i].acked, 1 + (int64_t)(k + 1) * MSS);
			peer_read(&peers[i], MSS);
		}
	check_books(PEERS);
	px_end();
}

/* So do those whose segments take more buffers than each is sure to have: their window is smaller than a
 * segment, but open. */
static void segments_of_many_buffers_get_through(void)
{
	begin(PEERS);
	for (unsigned i = 0; i < PEERS - 1; i++)
		flood(&peers[i]);
	struct peer *last = &peers[PEERS - 1];
	px_rx_room = 300;
	for (unsigned i = 0; i < 400; i++) {
		uint32_t len = (uint32_t)min_u64((uint64_t)(last->edge - last->acked), MSS);
		CU_ASSERT_TRUE_FATAL(len > 0);
		segment(last, TCP_ACK, last->acked, len);
		peer_read(last, UINT32_MAX);
	}
	px_rx_room = 2048;
	CU_ASSERT_TRUE(last->acked > 65535 + 100 * 100);
	check_books(PEERS);
	px_end();
}

/* A window that is closed for want of buffers opens when another connection gives its back, by itself. */
static void a_closed_window_opens_when_others_read(void)
{
	begin(PEERS);
	for (unsigned i = 0; i < PEERS; i++)
		flood(&peers[i]);
	struct peer *last = &peers[PEERS - 1];
	/* the window that its SYN told is used up */
	for (unsigned i = 0; i < 100 && last->acked + MSS <= last->edge; i++) {
		peer_read(last, UINT32_MAX);
		segment(last, TCP_ACK, last->acked, MSS);
	}
	flood(last);
	int64_t edge = last->edge;
	CU_ASSERT_TRUE(edge < last->acked + MSS);
	unsigned heard = last->heard;
	for (unsigned i = 0; i < PEERS - 1; i++)
		peer_read(&peers[i], UINT32_MAX);
	CU_ASSERT_TRUE(last->heard > heard);
	CU_ASSERT_TRUE(last->edge >= last->acked + MSS);
	check_books(PEERS);
	px_end();
}

/* Segments of any kind into what the window allows, reads, resets, in any order. */
static void random_peers_and_readers(void)
{
	begin(PEERS);
	for (unsigned step = 0; step < 20000; step++) {
		struct peer *peer = &peers[unit_random_below(PEERS)];
		uint32_t len = unit_random_below(3) ? MSS : 1 + unit_random_below(200);
		int64_t seq = peer->acked + (unit_random_below(4) ? 0 : unit_random_below(20000));
		switch (unit_random_below(12)) {
		case 0:
		case 1:
		case 2:
			peer_read(peer, unit_random_below(20000));
			break;
		case 3:
			if (unit_random_below(20) == 0) {
				tcp_conn_abort(peer->conn);
				turn();
				peer_open(peer);
			}
			break;
		default:
			if (seq + len <= peer->edge)
				segment(peer, TCP_ACK, seq, len);
		}
		px_now_us += unit_random_below(5000);
		turn();
		if (step % 16 == 0)
			check_books(PEERS);
	}
	CU_ASSERT_TRUE(stack_counter(px_stack, STACK_COUNTER_tcp_rx_memory_dropped) > 0);
	CU_ASSERT_TRUE(stack_counter(px_stack, STACK_COUNTER_tcp_out_of_order_pruned) > 0);
	CU_ASSERT_TRUE(stack_counter(px_stack, STACK_COUNTER_tcp_rx_coalesced) > 0);
	/* Everybody gets everything in the end. */
	for (unsigned i = 0; i < PEERS; i++)
		peer_read(&peers[i], UINT32_MAX);
	for (unsigned i = 0; i < PEERS; i++) {
		int64_t want = peers[i].acked + 20 * MSS;
		for (unsigned k = 0; k < 200 && peers[i].acked < want; k++) {
			segment(&peers[i], TCP_ACK, peers[i].acked, MSS);
			peer_read(&peers[i], UINT32_MAX);
		}
		CU_ASSERT_TRUE(peers[i].acked >= want);
	}
	px_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"single_bytes_share_buffers", single_bytes_share_buffers},
			{"single_bytes_out_of_order_are_capped", single_bytes_out_of_order_are_capped},
			{"full_windows_leave_the_others_going", full_windows_leave_the_others_going},
			{"segments_of_many_buffers_get_through", segments_of_many_buffers_get_through},
			{"a_closed_window_opens_when_others_read", a_closed_window_opens_when_others_read},
			{"random_peers_and_readers", random_peers_and_readers}, {0}});
}
