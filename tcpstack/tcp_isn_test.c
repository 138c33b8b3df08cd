/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be guessed, and still keeps old and new apart: initial numbers, ports, timestamps. */
#include "tcpstack/tcp_impl.h"
#include "tests/unit/unit.h"

enum { TUPLES = 200 };

static struct rte_mempool *pool;

static void discard(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	rte_pktmbuf_free_bulk(frames_take, n);
}

static struct stack *stack_of(uint64_t key)
{
	struct stack_config c;

	if (!pool)
		pool = unit_pool("isn", 64, 2048);
	stack_config_defaults(&c);
	c.mac[0] = 2;
	stack_config_add(&c, ip_v4(0x0a000001), 24);
	c.tx_pool = pool;
	c.key = (struct siphash_key){key, key};
	c.tx = discard;
	struct stack *s = stack_create(&c, 1000000);
	MUST(s);
	return s;
}

static struct tcp_tuple tuple(uint32_t peer, uint16_t lport, uint16_t rport)
{
	return (struct tcp_tuple){
		.laddr = ip_v4(0x0a000001), .raddr = ip_v4(peer), .lport = lport, .rport = rport};
}

/* RFC 9293 MUST-8, RFC 6528 section 3: of one tuple they follow a clock of 4 us, around the circle. */
static void initial_numbers_follow_a_clock(void)
{
	struct stack *s = stack_of(1);
	struct tcp_tuple t = tuple(0x0a000002, 40000, 5672);
	uint32_t first = tcp_isn(s, &t, 0);

	s->now_us += 4;
	CU_ASSERT_EQUAL(tcp_isn(s, &t, 0), first + 1);
	s->now_us += 1000000;
	CU_ASSERT_EQUAL(tcp_isn(s, &t, 0), first + 250001);
	s->now_us += 4ull << 32;
	CU_ASSERT_EQUAL(tcp_isn(s, &t, 0), first + 250001);
	/* Never inside the connection before, when that was faster than the clock. */
	CU_ASSERT_TRUE(seq_lt(first + 9000000, tcp_isn(s, &t, first + 9000000)));
	CU_ASSERT_EQUAL(tcp_isn(s, &t, first), first + 250001);
	stack_destroy(s);
}

/* MUST-9: other tuples, and the same under another key, are somewhere else. */
static void initial_numbers_cannot_be_computed(void)
{
	struct stack *s[2] = {stack_of(1), stack_of(2)};
	uint32_t seen[2 * TUPLES];
	unsigned close = 0;

	for (unsigned i = 0; i < 2 * TUPLES; i++) {
		struct tcp_tuple t = tuple(0x0a000002 + i / 2 % 10, (uint16_t)(40000 + i / 20), 5672);
		seen[i] = tcp_isn(s[i % 2], &t, 0);
		for (unsigned k = 0; k < i; k++)
			close += seen[i] - seen[k] + 1000000 < 2000000;
	}
	/* 80,000 pairs, each close with 2,000,000 of 2^32. */
	CU_ASSERT_TRUE(close < 100);
	for (unsigned i = 0; i < 2; i++)
		stack_destroy(s[i]);
}

/* RFC 6056 section 3.3.4: one after another to one peer, from places that have nothing to do with each other.
 */
static void ports_begin_anywhere(void)
{
	struct stack *s = stack_of(1);
	uint16_t first[TUPLES];
	unsigned close = 0, low = 0, high = 0;

	for (unsigned i = 0; i < TUPLES; i++) {
		struct tcp_tuple t = tuple(0x0a000002 + i, 0, 5672);
		first[i] = tcp_port_pick(s, &t).port;
		CU_ASSERT_TRUE(first[i] >= TCP_PORT_FIRST);
		CU_ASSERT_NOT_EQUAL(tcp_port_pick(s, &t).port, first[i]);
		low += first[i] < 16384;
		high += first[i] >= 49152;
		for (unsigned k = 0; k < i; k++)
			close += (uint16_t)(first[i] - first[k] + 10) < 20;
	}
	/* 20,000 pairs, each close with 20 of some 64,000; a quarter of the range each. */
	CU_ASSERT_TRUE(close < 80);
	CU_ASSERT_TRUE(low > TUPLES / 8 && high > TUPLES / 8);
	stack_destroy(s);
}

/* RFC 6056 section 3.2: the whole range but what this host serves at. */
static void served_ports_are_left_out(void)
{
	static const struct tcp_app app;
	struct stack *s = stack_of(1);
	struct tcp_tuple t = tuple(0x0a000002, 0, 5672);
	uint16_t next = (uint16_t)(tcp_port_pick(s, &t).port + 1);

	CU_ASSERT_EQUAL_FATAL(tcp_listen(s, NULL, next, NULL, &app, NULL, NULL), 0);
	CU_ASSERT_EQUAL(tcp_port_pick(s, &t).port, next + 1);
	stack_destroy(s);
}

/* RFC 7323 section 5.4: an offset for each tuple, and the same for its next connection. */
static void timestamps_have_an_offset(void)
{
	struct stack *s = stack_of(1);
	struct tcp_tuple a = tuple(0x0a000002, 40000, 5672), b = tuple(0x0a000002, 40001, 5672);
	uint32_t before = tcp_ts_offset(s, &a);

	s->now_us += 1000000;
	CU_ASSERT_EQUAL(tcp_ts_offset(s, &a), before);
	CU_ASSERT_NOT_EQUAL(tcp_ts_offset(s, &b), before);
	stack_destroy(s);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"initial_numbers_follow_a_clock", initial_numbers_follow_a_clock},
			{"initial_numbers_cannot_be_computed", initial_numbers_cannot_be_computed},
			{"ports_begin_anywhere", ports_begin_anywhere},
			{"served_ports_are_left_out", served_ports_are_left_out},
			{"timestamps_have_an_offset", timestamps_have_an_offset}, {0}});
}
