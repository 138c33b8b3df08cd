/* SPDX-License-Identifier: Apache-2.0 */
/* SACK on both sides against slow obvious models: a bitmap of what arrived for the receiver, a walk over the
 * whole queue for the sender, whose peer acknowledges, takes back and claims at random. */
#include "tcpstack/tcp_impl.h"
#include "tests/unit/unit.h"

enum { SPAN = 2000 };

/* Blocks speak of nothing that did not arrive, the latest arrival stands in the first. */
static void blocks_tell_the_truth(void)
{
	for (unsigned round = 0; round < 300; round++) {
		uint32_t base = (uint32_t)unit_random(), rcv_nxt = 0;
		bool have[SPAN] = {false};
		struct tcp_sack_rx x;
		tcp_sack_rx_init(&x);
		for (unsigned step = 0; step < 40; step++) {
			uint32_t from = rcv_nxt + 1 + unit_random_below(SPAN - rcv_nxt - 101);
			uint32_t to = from + 1 + unit_random_below(100);
			memset(have + from, true, to - from);
			tcp_sack_rx_add(&x, base + from, base + to);
			if (unit_random_below(10) == 0 && rcv_nxt < SPAN / 2) {
				rcv_nxt += unit_random_below(100);
				memset(have, true, rcv_nxt);
				while (rcv_nxt < SPAN && have[rcv_nxt])
					rcv_nxt++;
				tcp_sack_rx_advance(&x, base + rcv_nxt);
				if (rcv_nxt > SPAN - 200)
					break;
				continue;
			}
			struct tcp_options o;
			tcp_sack_rx_write(&x, 36, &o);
			CU_ASSERT_TRUE(o.sack_count >= 1 && o.sack_count <= 4);
			CU_ASSERT_TRUE(
				seq_leq(o.sack[0].start, base + from) && seq_leq(base + to, o.sack[0].end));
			for (unsigned i = 0; i < o.sack_count; i++) {
				uint32_t a = o.sack[i].start - base, b = o.sack[i].end - base;
				if (a >= b || b > SPAN || a <= rcv_nxt || memchr(have + a, false, b - a))
					CU_FAIL_FATAL("a block of what did not arrive");
			}
		}
	}
}

static void a_duplicate_is_told_once(void)
{
	struct tcp_sack_rx x;
	struct tcp_options o;

	tcp_sack_rx_init(&x);
	tcp_sack_rx_add(&x, 100, 200);
	tcp_sack_rx_duplicate(&x, 10, 20);
	tcp_sack_rx_write(&x, TCP_SACK_HEAD_BYTES + TCP_SACK_BLOCK_BYTES - 1, &o);
	CU_ASSERT_EQUAL(o.sack_count, 0);
	tcp_sack_rx_write(&x, TCP_SACK_HEAD_BYTES + 2 * TCP_SACK_BLOCK_BYTES, &o);
	CU_ASSERT_EQUAL(o.sack_count, 2);
	CU_ASSERT_TRUE(o.sack[0].start == 10 && o.sack[0].end == 20);
	tcp_sack_rx_write(&x, 40, &o);
	CU_ASSERT_TRUE(o.sack_count == 1 && o.sack[0].start == 100);
}

static struct rte_mempool *pool;
static struct stack *stack;
static struct tcp_conn *conn;
static uint64_t now_us;

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	rte_pktmbuf_free_bulk(frames_take, n);
}

static void begin(uint32_t tx_buffer_bytes, uint16_t mss)
{
	static const struct tcp_app app;
	struct stack_config c;
	struct ip_addr peer = ip_v4(0x0a000002);

	if (!pool)
		pool = unit_pool("tx", 8192, 2048);
	stack_config_defaults(&c);
	c.mac[0] = 2;
	stack_config_add(&c, ip_v4(0x0a000001), 24);
	c.tx_pool = pool;
	c.key = (struct siphash_key){unit_random(), 2};
	c.tx = tx;
	c.tx_buffer_bytes = tx_buffer_bytes;
	now_us = 1000000;
	stack = stack_create(&c, now_us);
	MUST(stack);
	conn = tcp_connect(stack, &peer, 80, NULL, &app, NULL, now_us);
	MUST(conn);
	stack_output(stack, now_us);
	/* The peer's SYN-ACK, as if it had come. */
	tcp_conn_negotiate(conn, &(struct tcp_syn_options){.mss = mss, .sack_permitted = true});
	struct tcp_acked acked = {0};
	conn->snd_una = conn->iss + 1;
	conn->snd_wnd = conn->snd_wnd_max = 65535;
	tcp_segments_acked(conn, conn->snd_una, &acked);
	timer_cancel(&stack->wheel, &conn->rexmt);
	tcp_conn_established(conn);
}

static void end(void)
{
	stack_destroy(stack);
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

/* What the connection keeps count of, counted again. */
static void check_counts(void)
{
	uint32_t flight = 0, sacked = 0, lost = 0, sacked_bytes = 0, in_flight_list = 0, lost_list = 0;
	uint32_t seq = conn->snd_una;
	uint64_t last_us = 0;
	struct tcp_segment *g;

	cds_list_for_each_entry (g, &conn->segments, link) {
		if (g->seq != seq || (g->lost && g->sacked) || (!g->sent && (g->lost || g->sacked)))
			CU_FAIL_FATAL("a segment in two states, or a gap in the queue");
		seq = tcp_segment_end(g);
		flight += g->sent && !g->lost && !g->sacked ? g->len : 0;
		sacked += g->sacked;
		sacked_bytes += g->sacked ? g->len : 0;
		lost += g->lost;
	}
	cds_list_for_each_entry (g, &conn->flight, sent_link) {
		if (!g->sent || g->lost || g->sacked || g->sent_us < last_us)
			CU_FAIL_FATAL("the flight list");
		last_us = g->sent_us;
		in_flight_list += g->len;
	}
	cds_list_for_each_entry (g, &conn->lost, sent_link)
		lost_list += g->lost;
	CU_ASSERT_EQUAL_FATAL(flight, conn->in_flight);
	CU_ASSERT_EQUAL_FATAL(flight, in_flight_list);
	CU_ASSERT_EQUAL_FATAL(lost, conn->lost_count);
	CU_ASSERT_EQUAL_FATAL(lost, lost_list);
	CU_ASSERT_EQUAL_FATAL(sacked, conn->sacked_count);
	CU_ASSERT_EQUAL_FATAL(sacked_bytes, conn->sacked_bytes);
}

static void write_some(void)
{
	static const uint8_t data[4000];
	uint32_t n = unit_random_below(sizeof(data));

	if (n <= tcp_conn_tx_room(conn))
		tcp_conn_write(conn, data, n);
}

static void random_ack(void)
{
	struct tcp_in in = {.seq = conn->rcv_nxt, .ack = conn->snd_una, .flags = TCP_ACK, .wnd = 65535};
	uint32_t outstanding = conn->snd_nxt - conn->snd_una;
	uint64_t reneged = stack_counter(stack, STACK_COUNTER_tcp_sack_reneged);

	if (unit_random_below(3) == 0)
		in.ack += unit_random_below(outstanding + 1);
	if (unit_random_below(50) == 0)
		in.wnd = (uint16_t)unit_random_below(3000);
	in.options.sack_count = (uint8_t)unit_random_below(5);
	for (unsigned i = 0; i < in.options.sack_count; i++) {
		in.options.sack[i].start = in.ack + unit_random_below(outstanding + 10);
		in.options.sack[i].end = in.options.sack[i].start + unit_random_below(8000);
		if (unit_random_below(20) == 0)
			in.options.sack[i].start = (uint32_t)unit_random();
	}
	MUST(tcp_ack_input(conn, &in));
	check_counts();
	if (reneged != stack_counter(stack, STACK_COUNTER_tcp_sack_reneged))
		return;
	/* What a block has whole is not sent again. */
	struct tcp_segment *g;
	for (unsigned i = 0; i < in.options.sack_count; i++) {
		const struct tcp_sack_block *b = &in.options.sack[i];
		bool report = i == 0 && in.options.sack_count > 1 &&
			      seq_leq(in.options.sack[1].start, b->start) &&
			      seq_leq(b->end, in.options.sack[1].end);
		if (report || !seq_lt(in.ack, b->start) || seq_lt(conn->snd_nxt, b->end) ||
			seq_leq(b->end, b->start))
			continue;
		cds_list_for_each_entry (g, &conn->segments, link)
			if (g->sent && seq_leq(b->start, g->seq) && seq_leq(tcp_segment_end(g), b->end) &&
				!g->sacked)
				CU_FAIL_FATAL("a block was not taken in");
	}
}

static void the_scoreboard_holds(void)
{
	for (unsigned round = 0; round < 40; round++) {
		begin(200000, (uint16_t)(100 + unit_random_below(1361)));
		for (unsigned step = 0; step < 400 && conn->state == TCP_ESTABLISHED; step++) {
			write_some();
			stack_output(stack, now_us);
			check_counts();
			now_us += unit_random_below(unit_random_below(30) ? 3000 : 400000);
			if (unit_random_below(4))
				random_ack();
			stack_timers(stack, now_us, 100);
			if (conn->state == TCP_ESTABLISHED)
				check_counts();
		}
		end();
	}
}

/* A long queue, and blocks at either end: the work for each ACK is bounded, and said. */
static void jumping_blocks_cost_a_bounded_walk(void)
{
	static const uint8_t data[88];
	struct tcp_in in = {.flags = TCP_ACK, .wnd = 65535};

	begin(1 << 20, 88);
	conn->cwnd = 1 << 29;
	while (tcp_conn_tx_room(conn) >= sizeof(data) && conn->tx_bytes < 300000 &&
		tcp_conn_write(conn, data, sizeof(data)) == 0)
		;
	conn->snd_wnd = 1 << 20;
	stack_output(stack, now_us);
	CU_ASSERT_TRUE_FATAL(conn->snd_nxt - conn->snd_una > 1200 * 88);
	in.ack = conn->snd_una;
	in.seq = conn->rcv_nxt;
	in.options.sack_count = 2;
	in.options.sack[0] = (struct tcp_sack_block){conn->snd_nxt - 880, conn->snd_nxt - 88};
	in.options.sack[1] = (struct tcp_sack_block){conn->snd_una + 88, conn->snd_una + 880};
	uint64_t before = stack_counter(stack, STACK_COUNTER_tcp_sack_budget);
	CU_ASSERT_TRUE(tcp_ack_input(conn, &in));
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_sack_budget), before + 1);
	CU_ASSERT_EQUAL(conn->sacked_count, 9);
	check_counts();
	/* Near blocks are taken in all the same. */
	in.options.sack_count = 1;
	in.options.sack[0] = (struct tcp_sack_block){conn->snd_una + 88, conn->snd_una + 968};
	CU_ASSERT_TRUE(tcp_ack_input(conn, &in));
	CU_ASSERT_EQUAL(conn->sacked_count, 10);
	check_counts();
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"blocks_tell_the_truth", blocks_tell_the_truth},
			{"a_duplicate_is_told_once", a_duplicate_is_told_once},
			{"the_scoreboard_holds", the_scoreboard_holds},
			{"jumping_blocks_cost_a_bounded_walk", jumping_blocks_cost_a_bounded_walk},
			{0},
		});
}
