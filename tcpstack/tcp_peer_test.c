/* SPDX-License-Identifier: Apache-2.0 */
/* One stack and a peer written out segment by segment, for what a packet script cannot look at. */
#include "tcpstack/tcp_impl.h"
#include "tests/script/segment.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

static struct rte_mempool *tx_pool, *rx_pool;
static struct stack *stack;
static uint64_t now_us;
static struct segment_base base;
static struct tcp_conn *conn;
static struct rte_mbuf *kept[8];
static unsigned kept_count;
static bool keeping;	  /* frames stay in kept: the wire passes on buffers, not copies */
static uint64_t rx_flags; /* what the port says about the frames to come */

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	const char *broken;
	struct segment g;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = rte_pktmbuf_mtod(frames_take[i], const uint8_t *);
		if (wire_get16(p + 12) == ETH_TYPE_IPV4)
			segment_from_frame(&g, &base, p, frames_take[i]->pkt_len, &broken);
		if (keeping && kept_count < RTE_DIM(kept))
			kept[kept_count++] = frames_take[i];
		else
			rte_pktmbuf_free(frames_take[i]);
	}
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	conn = c;
}

static const struct tcp_app app = {.accepted = on_accepted};

static void input(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

	MUST(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	m->ol_flags |= rx_flags;
	poison_around(&m, 1);
	stack_input(stack, &m, 1, now_us);
	stack_output(stack, now_us);
}

static void segment(uint8_t flags, int64_t seq, int64_t ack, uint32_t len, bool badsum)
{
	uint8_t frame[FRAME_BYTES_MAX];
	struct segment g = {.flags = flags,
		.seq = seq,
		.ack = ack,
		.has_ack = flags & TCP_ACK,
		.len = len,
		.win = 65535,
		.peer_port = PEER_PORT,
		.stack_port = STACK_PORT,
		.bad_sum = badsum,
		.doff = -1,
		.iplen = -1};

	input(frame, segment_to_frame(&g, &base, frame));
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

static void begin(void (*change)(struct stack_config *c))
{
	struct stack_config c;

	if (!tx_pool) {
		tx_pool = unit_pool("tx", 256, 2048);
		rx_pool = unit_pool("rx", 4096, 2048);
	}
	stack_config_defaults(&c);
	memcpy(c.mac, stack_mac, 6);
	stack_config_add(&c, ip_v4(STACK_ADDR), 24);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){1, 2};
	c.tx = tx;
	c.arp_lifetime_us = UINT32_MAX;
	if (change)
		change(&c);
	now_us = 1000000;
	rx_flags = 0;
	stack = stack_create(&c, now_us);
	MUST(stack && tcp_listen(stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
	tell_address();
	segment(TCP_SYN, 0, 0, 0, false);
	segment(TCP_ACK, 1, 1, 0, false);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn);
}

static void end(void)
{
	stack_destroy(stack);
	CU_ASSERT_TRUE(unit_pool_full(tx_pool));
	CU_ASSERT_TRUE(unit_pool_full(rx_pool));
}

static void with_keepalive(struct stack_config *c)
{
	c->keepalive_us = c->keepalive_interval_us = 1000000;
	c->keepalive_probes = 3;
}

static void syn_from(uint16_t port)
{
	uint8_t frame[FRAME_BYTES_MAX];
	struct segment g = {.flags = TCP_SYN,
		.win = 65535,
		.peer_port = port,
		.stack_port = STACK_PORT,
		.doff = -1,
		.iplen = -1};

	input(frame, segment_to_frame(&g, &base, frame));
}

/* A flood of SYNs that nobody follows up holds the backlog's memory and no more, a good client gets in during
 * it, what was established is served, and afterwards nothing is left. */
static void a_flood_of_requests_is_bounded(void)
{
	enum { SYNS = 100000, PORTS = 60000 };

	begin(NULL);
	uint32_t backlog = stack->config.syn_backlog_max;
	struct tcp_conn *first = conn;
	struct segment_base first_base = base;
	for (unsigned i = 0; i < SYNS / 2; i++)
		syn_from((uint16_t)(1 + i % PORTS == PEER_PORT ? 65000 : 1 + i % PORTS));
	CU_ASSERT_EQUAL(stack_usage(stack).half_open, backlog);
	CU_ASSERT_EQUAL(stack_usage(stack).conns, 1);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_half_open_evicted), 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_cookie_sent), SYNS / 2 - backlog);

	struct segment good = {.flags = TCP_ACK,
		.seq = 1,
		.ack = 1,
		.has_ack = true,
		.win = 65535,
		.peer_port = 65001,
		.stack_port = STACK_PORT,
		.doff = -1,
		.iplen = -1};
	uint8_t frame[FRAME_BYTES_MAX];
	syn_from(65001);
	struct segment_base good_base = base;
	for (unsigned i = 0; i < SYNS / 2; i++)
		syn_from((uint16_t)(2000 + i));
	input(frame, segment_to_frame(&good, &good_base, frame));
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_cookie_accepted), 1);
	CU_ASSERT_TRUE(conn != first);
	CU_ASSERT_EQUAL(stack_usage(stack).conns, 2);

	base = first_base;
	segment(TCP_ACK, 1, 1, 100, false);
	CU_ASSERT_EQUAL(tcp_conn_rx(first)->bytes, 100);

	for (uint64_t until = now_us + 200000000; now_us < until;) {
		now_us = max_u64(now_us + 1, min_u64(stack_next_us(stack), until));
		stack_timers(stack, now_us, 64);
		stack_output(stack, now_us);
	}
	CU_ASSERT_EQUAL(stack_usage(stack).half_open, 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_half_open_expired), backlog);
	CU_ASSERT_EQUAL(stack_usage(stack).conns, 2);
	end();
}

/* While data waits for its acknowledgement the keepalive timer has nothing to do, and must not be busy. */
static void a_dead_peer_costs_few_timers(void)
{
	uint64_t until;
	unsigned fired = 0;

	begin(with_keepalive);
	CU_ASSERT_EQUAL(tcp_conn_write(conn, "data", 4), 0);
	stack_output(stack, now_us);
	for (until = now_us + 60000000; now_us < until && stack_next_us(stack) != UINT64_MAX;) {
		now_us = max_u64(now_us + 1, stack_next_us(stack));
		stack_output(stack, now_us);
		fired += stack_timers(stack, now_us, 100);
	}
	CU_ASSERT_TRUE(fired < 200);
	end();
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
	end();
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
	rx_flags = RTE_MBUF_F_RX_L4_CKSUM_BAD;
	segment(TCP_ACK, 1, 1, 10, false);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 0);
	rx_flags = RTE_MBUF_F_RX_IP_CKSUM_BAD;
	segment(TCP_ACK, 1, 1, 10, false);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 0);
	rx_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	segment(TCP_ACK, 1, 1, 10, true);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 10);
	/* A neighbour on the same host leaves the field to us; the port vouches for the data. */
	rx_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	segment(TCP_ACK, 11, 1, 10, true);
	CU_ASSERT_EQUAL(tcp_conn_rx(conn)->bytes, 20);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_checksum), 2);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_ipv4_checksum), 1);
	end();
}

/* Or it would lie ahead of what is sent, by the arithmetic of sequence numbers, once 2^31 bytes went well. */
static void recover_follows_what_is_acknowledged(void)
{
	int64_t at = 1;

	begin(NULL);
	for (unsigned i = 0; i < 50; i++) {
		CU_ASSERT_EQUAL(tcp_conn_write(conn, "data", 4), 0);
		stack_output(stack, now_us);
		at += 4;
		segment(TCP_ACK, 1, at, 0, false);
	}
	CU_ASSERT_EQUAL(conn->snd_una - conn->recover, 1);
	end();
}

/* A ring between two stacks passes on the very buffers, and the reader links them to a chain of its own. */
static void an_acknowledged_buffer_may_be_in_use(void)
{
	begin(NULL);
	keeping = true;
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(tcp_conn_write(conn, "data", 4), 0);
		stack_output(stack, now_us);
	}
	keeping = false;
	CU_ASSERT_EQUAL_FATAL(kept_count, 2);
	kept[0]->next = kept[1];
	segment(TCP_ACK, 1, 5, 0, false);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(kept[0]), 1);
	CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(kept[1]), 2);
	kept[0]->next = NULL;
	rte_pktmbuf_free_bulk(kept, kept_count);
	kept_count = 0;
	end();
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
	struct tcp_open_options o = tcp_open_options_of(stack);
	for (unsigned i = 0; i < RTE_DIM(nowhere); i++) {
		struct ip_addr a = ip_v4(nowhere[i]);
		CU_ASSERT_PTR_NULL(tcp_connect(stack, &a, 80, NULL, &app, NULL, now_us));
	}
	CU_ASSERT_PTR_NULL(tcp_connect(stack, &group, 80, NULL, &app, NULL, now_us));
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_tcp_connect_nowhere), RTE_DIM(nowhere) + 1);
	c = tcp_connect(stack, &peer, 80, &o, &app, NULL, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(ip_to_v4((struct ip_addr[]){tcp_conn_local_addr(c)}), STACK_ADDR);
	o.local = other;
	c = tcp_connect(stack, &peer, 80, &o, &app, NULL, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL(ip_to_v4((struct ip_addr[]){tcp_conn_local_addr(c)}), STACK_ADDR + 100);
	o.local = peer;
	CU_ASSERT_PTR_NULL(tcp_connect(stack, &peer, 80, &o, &app, NULL, now_us));
	end();
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
