/* SPDX-License-Identifier: Apache-2.0 */
/* One stack and a peer written out segment by segment, for what a packet script cannot look at. */
#include "tcpstack/peer_fixture.h"

static struct segment_base base;
static struct tcp_conn *conn;

static void hear(const uint8_t *p, uint32_t n)
{
	const char *broken;
	struct segment g;

	if (wire_get16(p + 12) == ETH_TYPE_IPV4)
		segment_from_frame(&g, &base, p, n, &broken);
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	conn = c;
}

static const struct tcp_app app = {.accepted = on_accepted};

static void segment(uint8_t flags, int64_t seq, int64_t ack, uint32_t len, bool badsum)
{
	struct segment g = px_segment(flags, seq, ack, len);

	g.bad_sum = badsum;
	px_send(&g, &base);
	stack_output(px_stack, px_now_us);
}

static void begin(void (*change)(struct stack_config *c))
{
	px_pools(256, 4096);
	struct stack_config c = px_config(hear);
	if (change)
		change(&c);
	px_start(&c);
	MUST(tcp_listen(px_stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
	segment(TCP_SYN, 0, 0, 0, false);
	segment(TCP_ACK, 1, 1, 0, false);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
}

static void with_keepalive(struct stack_config *c)
{
	c->keepalive_us = c->keepalive_interval_us = 1000000;
	c->keepalive_probes = 3;
}

static void syn_from(uint16_t port)
{
	struct segment g = px_segment(TCP_SYN, 0, 0, 0);

	g.peer_port = port;
	px_send(&g, &base);
	stack_output(px_stack, px_now_us);
}

/* A flood of SYNs that nobody follows up holds the backlog's memory and no more, a good client gets in during
 * it, what was established is served, and afterwards nothing is left. */
static void a_flood_of_requests_is_bounded(void)
{
	enum { SYNS = 100000, PORTS = 60000 };

	begin(NULL);
	uint32_t backlog = px_stack->config.syn_backlog_max;
	struct tcp_conn *first = conn;
	struct segment_base first_base = base;
	for (unsigned i = 0; i < SYNS / 2; i++)
		syn_from((uint16_t)(1 + i % PORTS == PEER_PORT ? 65000 : 1 + i % PORTS));
	CU_ASSERT_EQUAL(stack_usage(px_stack).half_open, backlog);
	CU_ASSERT_EQUAL(stack_usage(px_stack).conns, 1);
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_tcp_half_open_evicted), 0);
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_tcp_cookie_sent), SYNS / 2 - backlog);

	struct segment good = px_segment(TCP_ACK, 1, 1, 0);
	good.peer_port = 65001;
	syn_from(65001);
	struct segment_base good_base = base;
	for (unsigned i = 0; i < SYNS / 2; i++)
		syn_from((uint16_t)(2000 + i));
	px_send(&good, &good_base);
	stack_output(px_stack, px_now_us);
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_tcp_cookie_accepted), 1);
	CU_ASSERT_TRUE(conn != first);
	CU_ASSERT_EQUAL(stack_usage(px_stack).conns, 2);

	base = first_base;
	segment(TCP_ACK, 1, 1, 100, false);
	CU_ASSERT_EQUAL(tcp_conn_rx(first)->bytes, 100);

	for (uint64_t until = px_now_us + 200000000; px_now_us < until;) {
		px_now_us = max_u64(px_now_us + 1, min_u64(stack_next_us(px_stack), until));
		stack_timers(px_stack, px_now_us, 64);
		stack_output(px_stack, px_now_us);
	}
	CU_ASSERT_EQUAL(stack_usage(px_stack).half_open, 0);
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_tcp_half_open_expired), backlog);
	CU_ASSERT_EQUAL(stack_usage(px_stack).conns, 2);
	px_end();
}

/* While data waits for its acknowledgement the keepalive timer has nothing to do, and must not be busy. */
static void a_dead_peer_costs_few_timers(void)
{
	uint64_t until;
	unsigned fired = 0;

	begin(with_keepalive);
	CU_ASSERT_EQUAL(tcp_conn_write(conn, "data", 4), 0);
	stack_output(px_stack, px_now_us);
	for (until = px_now_us + 60000000; px_now_us < until && stack_next_us(px_stack) != UINT64_MAX;) {
		px_now_us = max_u64(px_now_us + 1, stack_next_us(px_stack));
		stack_output(px_stack, px_now_us);
		fired += stack_timers(px_stack, px_now_us, 100);
	}
	CU_ASSERT_TRUE(fired < 200);
	px_end();
}

/* A byte a segment, every pair in the wrong order: buffers are shared all the same. */
static void swapped_bytes_pin_few_buffers(void)
{
	begin(NULL);
	for (int64_t seq = 1; seq < 2001; seq += 2) {
		segment(TCP_ACK, seq + 1, 1, 1, false);
		segment(TCP_ACK, seq, 1, 1, false);
	}
	struct chain *rx = tcp_conn_rx(conn);
	CU_ASSERT_EQUAL(rx->bytes, 2000);
	CU_ASSERT_TRUE(rx->segments < 64);
	for (int64_t i = 0; i < 2000; i++) {
		uint8_t byte;
		chain_copy(rx, (uint32_t)i, &byte, 1);
		if (byte != segment_byte(i + 1))
			CU_FAIL_FATAL("a byte differs");
	}
	px_end();
}

static void with_rx_offload(struct stack_config *c)
{
	c->offload_flags = STACK_OFFLOAD_RX_CKSUM;
}

static void the_port_tells_of_checksums(void)
{
	begin(with_rx_offload);
	segment(TCP_ACK, 1, 1, 10, true);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 0);
	px_rx_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
	segment(TCP_ACK, 1, 1, 10, false);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 0);
	px_rx_flags = RTE_MBUF_F_RX_IP_CKSUM_BAD;
	segment(TCP_ACK, 1, 1, 10, false);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 0);
	px_rx_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	segment(TCP_ACK, 1, 1, 10, true);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 10);
	/* A neighbour on the same host leaves the field to us; the port vouches for the data. */
	px_rx_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	segment(TCP_ACK, 11, 1, 10, true);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 20);
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_tcp_checksum), 2);
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_ipv4_checksum), 1);
	px_end();
}

/* Or it would lie ahead of what is sent, by the arithmetic of sequence numbers, once 2^31 bytes went well. */
static void recover_follows_what_is_acknowledged(void)
{
	int64_t at = 1;

	begin(NULL);
	for (unsigned i = 0; i < 50; i++) {
		CU_ASSERT_EQUAL(tcp_conn_write(conn, "data", 4), 0);
		stack_output(px_stack, px_now_us);
		at += 4;
		segment(TCP_ACK, 1, at, 0, false);
	}
	CU_ASSERT_EQUAL(conn->snd_una - conn->recover, 1);
	px_end();
}

/* A ring between two stacks passes on the very buffers, and the reader links them to a chain of its own. */
static void an_acknowledged_buffer_may_be_in_use(void)
{
	begin(NULL);
	px_keeping = true;
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(tcp_conn_write(conn, "data", 4), 0);
		stack_output(px_stack, px_now_us);
	}
	px_keeping = false;
	CU_ASSERT_EQUAL_FATAL(px_kept_count, 2);
	px_kept[0]->next = px_kept[1];
	segment(TCP_ACK, 1, 5, 0, false);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(px_kept[0]), 1);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(px_kept[1]), 2);
	px_kept[0]->next = NULL;
	rte_pktmbuf_free_bulk(px_kept, px_kept_count);
	px_kept_count = 0;
	px_end();
}

static void with_two_addresses(struct stack_config *c)
{
	stack_config_add(c, ip_v4(STACK_ADDR + 100), 24);
}

/* RFC 9293 MUST-43 to MUST-46. */
static void connections_begin_between_hosts(void)
{
	static const uint32_t nowhere[] = {
		0, 0x7f000001, 0xe0000001, 0xffffffff, STACK_ADDR, STACK_ADDR | 255, STACK_ADDR & ~255u};
	struct ip_addr peer = ip_v4(PEER_ADDR), other = ip_v4(STACK_ADDR + 100), group = {.bytes = {0xff, 2}};
	struct tcp_conn *c;

	begin(with_two_addresses);
	struct tcp_open_options o = tcp_open_options_of(px_stack);
	for (unsigned i = 0; i < RTE_DIM(nowhere); i++) {
		struct ip_addr a = ip_v4(nowhere[i]);
		CU_ASSERT_PTR_NULL(tcp_connect(px_stack, &a, 80, NULL, &app, NULL, px_now_us));
	}
	CU_ASSERT_PTR_NULL(tcp_connect(px_stack, &group, 80, NULL, &app, NULL, px_now_us));
	CU_ASSERT_EQUAL(stack_counter(px_stack, STACK_COUNTER_tcp_connect_nowhere), RTE_DIM(nowhere) + 1);
	c = tcp_connect(px_stack, &peer, 80, &o, &app, NULL, px_now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(ip_to_v4((struct ip_addr[]){tcp_conn_local_addr(c)}), STACK_ADDR);
	o.local = other;
	c = tcp_connect(px_stack, &peer, 80, &o, &app, NULL, px_now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(ip_to_v4((struct ip_addr[]){tcp_conn_local_addr(c)}), STACK_ADDR + 100);
	o.local = peer;
	CU_ASSERT_PTR_NULL(tcp_connect(px_stack, &peer, 80, &o, &app, NULL, px_now_us));
	px_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"a_flood_of_requests_is_bounded", a_flood_of_requests_is_bounded},
			{"a_dead_peer_costs_few_timers", a_dead_peer_costs_few_timers},
			{"swapped_bytes_pin_few_buffers", swapped_bytes_pin_few_buffers},
			{"the_port_tells_of_checksums", the_port_tells_of_checksums},
			{"recover_follows_what_is_acknowledged", recover_follows_what_is_acknowledged},
			{"an_acknowledged_buffer_may_be_in_use", an_acknowledged_buffer_may_be_in_use},
			{"connections_begin_between_hosts", connections_begin_between_hosts},
			{0},
		});
}
