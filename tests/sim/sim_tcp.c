/* SPDX-License-Identifier: Apache-2.0 */
/* Two stacks, a bad link, and applications that behave at random, on a virtual clock: sim_tcp --seeds N
 * --seed FIRST (--trace 1 prints the frames). What must hold for each seed: every byte that arrives is the
 * right one; a connection that nobody aborted ends well on both sides with all its bytes; nothing goes on for
 * ever; all pools are full at the end. Over a run each interesting situation must have occurred. A seed and
 * the source repeat a failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "tcpstack/stack.h"
#include "tcpstack/tcp.h"
#include "tests/sim/link.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

enum {
	CONNS_MAX = 6,
	PORT = 5672,
	TX_MBUFS = 768,
	LINK_MBUFS = 8192,
	ROOM_BYTES = 9216,
	VIRTUAL_SECONDS_MAX = 4000,
	TURNS_MAX = 3000000,
};

static struct sim_random dice;
static uint64_t now_us;
static uint64_t current_seed;
static bool tracing;

/* One end of one connection. */
struct side {
	struct tcp_conn *conn; /* NULL before it opens and after it ends */
	struct side *other;
	bool client, opened, ended, lazy, aborts;
	uint32_t salt;
	uint32_t send_total, sent, read;
	uint32_t abort_after; /* bytes read or sent, where aborts */
	bool peer_closed, shut;
	int reason;
};

struct node {
	struct stack *stack;
	struct rte_mempool *pool;
	struct sim_link out;
	struct rte_mbuf *hoard[TX_MBUFS]; /* taken away for a while */
	unsigned hoarded;
};

static struct node nodes[2]; /* the client's, the server's */
static struct rte_mempool *link_pool;
static struct side sides[2][CONNS_MAX];
static unsigned conns;
static uint64_t totals[STACK_COUNTERS];

static void fail(const char *what)
{
	printf("# seed %llu at %llu us: %s\n", (unsigned long long)current_seed, (unsigned long long)now_us,
		what);
	printf("# sim_tcp --seeds 1 --seed %llu repeats it\n", (unsigned long long)current_seed);
	fflush(stdout);
	abort();
}

static uint8_t stream_byte(const struct side *from, uint32_t i)
{
	uint32_t x = (i + from->salt) * 2654435761u;

	return (uint8_t)(x >> 24 ^ x >> 13);
}

static bool aborted(const struct side *s)
{
	return s->aborts || s->other->aborts;
}

static void side_ended(struct side *s, int reason)
{
	s->conn = NULL;
	s->ended = true;
	s->reason = reason;
	if (aborted(s))
		return;
	/* A TIME_WAIT that ended early cannot acknowledge a FIN that comes again. */
	bool evicted = stack_counter(nodes[s->client].stack, STACK_COUNTER_tcp_time_wait_evicted);
	if (reason != TCP_REASON_DONE && !(evicted && reason == TCP_REASON_RESET && s->shut))
		fail(tcp_reason_text(reason));
	if (s->read != s->other->send_total)
		fail("the stream ended early");
}

static void side_abort(struct side *s)
{
	struct tcp_conn *c = s->conn;

	side_ended(s, TCP_REASON_ABORTED);
	tcp_conn_abort(c);
}

static void side_read(struct side *s)
{
	static uint8_t scratch[1 << 16];
	struct chain *rx = tcp_conn_rx(s->conn);
	uint32_t n = RTE_MIN(rx->bytes, (uint32_t)sizeof(scratch));

	if (n && s->lazy)
		n = 1 + sim_below(&dice, n);
	chain_copy(rx, 0, scratch, n);
	for (uint32_t i = 0; i < n; i++)
		if (scratch[i] != stream_byte(s->other, s->read + i))
			fail("a byte differs");
	s->read += n;
	if (s->read > s->other->sent)
		fail("more arrived than was sent");
	tcp_conn_rx_consume(s->conn, n);
}

static void side_write(struct side *s)
{
	static uint8_t block[20000];
	uint32_t room = tcp_conn_tx_room(s->conn);
	uint32_t n = RTE_MIN(
		s->send_total - s->sent, 1 + sim_below(&dice, sim_permille(&dice, 300) ? 64 : 20000));

	if (sim_permille(&dice, 900))
		n = RTE_MIN(n, room);
	n = RTE_MIN(n, (uint32_t)sizeof(block));
	for (uint32_t i = 0; i < n; i++)
		block[i] = stream_byte(s, s->sent + i);
	if (n && tcp_conn_write(s->conn, block, n) == 0)
		s->sent += n;
}

/* What an application does when it is woken by whatever. */
static void side_act(struct side *s)
{
	if (!s->conn || !s->opened)
		return;
	side_read(s);
	if (!s->conn)
		return;
	if (!s->shut && s->sent < s->send_total)
		side_write(s);
	if (s->aborts && s->read + s->sent >= s->abort_after) {
		side_abort(s);
		return;
	}
	if (s->sent == s->send_total && !s->shut) {
		s->shut = true;
		if (tcp_conn_shutdown(s->conn))
			fail("shutdown was refused");
	}
	if (s->shut && s->peer_closed && s->read == s->other->send_total && sim_permille(&dice, 300)) {
		struct tcp_conn *c = s->conn;
		side_ended(s, TCP_REASON_DONE);
		tcp_conn_close(c);
	}
}

static void side_woken(struct side *s)
{
	if (!s->lazy || sim_permille(&dice, 300))
		side_act(s);
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	for (unsigned i = 0; i < conns; i++) {
		struct side *s = &sides[1][i];
		if (s->other->conn && tcp_conn_local_port(s->other->conn) == tcp_conn_peer_port(c) &&
			!s->opened) {
			s->conn = c;
			s->opened = true;
			tcp_conn_set_user(c, s);
			side_woken(s);
			return;
		}
	}
	/* Its client has aborted meanwhile. */
	tcp_conn_abort(c);
}

static void on_connected(struct tcp_conn *c, int error)
{
	struct side *s = tcp_conn_user(c);

	if (error && !aborted(s))
		fail("a connection attempt failed");
	if (error) {
		side_ended(s, TCP_REASON_REFUSED);
		return;
	}
	s->opened = true;
	side_woken(s);
}

static void on_event(struct tcp_conn *c)
{
	side_woken(tcp_conn_user(c));
}

static void on_peer_closed(struct tcp_conn *c)
{
	struct side *s = tcp_conn_user(c);

	s->peer_closed = true;
	side_woken(s);
}

static void on_closed(struct tcp_conn *c, int reason)
{
	struct side *s = tcp_conn_user(c);

	s->lazy = false;
	while (tcp_conn_rx(c)->bytes)
		side_read(s);
	side_ended(s, reason);
}

static const struct tcp_app app = {.accepted = on_accepted,
	.connected = on_connected,
	.readable = on_event,
	.writable = on_event,
	.peer_closed = on_peer_closed,
	.closed = on_closed};

static uint32_t pick(const uint32_t *from, unsigned n)
{
	return from[sim_below(&dice, n)];
}
#define PICK(...) pick((uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void node_start(struct node *n, uint32_t addr)
{
	struct stack_config c;

	stack_config_defaults(&c);
	c.mac[0] = 2;
	c.mac[5] = (uint8_t)addr;
	stack_config_add(&c, ip_v4(addr), 24);
	c.tx_pool = n->pool;
	c.key = (struct siphash_key){sim_random(&dice), sim_random(&dice)};
	c.mtu = (uint16_t)PICK(576, 1500, 1500, 1500, 9000);
	c.rx_buffer_bytes = PICK(2048, 4096, 16384, 65536, 300000);
	c.tx_buffer_bytes = PICK(2048, 16384, 65536, 300000);
	c.delayed_ack_us = PICK(0, 1000, 40000, 200000);
	c.rto_us_min = PICK(1000, 10000, 200000);
	c.reass_segments_max = PICK(2, 64, 4096);
	c.reass_conn_segments_max = PICK(1, 16, 256);
	c.conn_max = 2 * CONNS_MAX;
	c.time_wait_max = PICK(1, CONNS_MAX);
	c.time_wait_us = 2000000;
	c.keepalive_us = 5000000;
	c.keepalive_interval_us = 2000000;
	c.keepalive_probes = 12;
	c.tx = sim_link_tx;
	c.tx_ctx = &n->out;
	n->stack = stack_create(&c, now_us);
	MUST(n->stack);
}

static void link_start(struct sim_link *l)
{
	memset(l, 0, sizeof(*l));
	l->random = &dice;
	l->pool = link_pool;
	l->now_us = &now_us;
	if (tracing)
		l->trace = l == &nodes[0].out ? "client" : "server";
	l->conditions = (struct sim_link_conditions){
		.loss_permille = PICK(0, 1, 10, 50, 150),
		.duplicate_permille = PICK(0, 0, 10, 100),
		.reorder_permille = PICK(0, 0, 10, 200),
		.corrupt_permille = PICK(0, 0, 10, 50),
		.delay_us = PICK(5, 100, 2000, 50000),
		.jitter_us = PICK(0, 0, 50, 5000),
		.blackout_permille = PICK(0, 0, 0, 1),
	};
}

static void side_plan(struct side *s, struct side *other, bool client)
{
	*s = (struct side){.other = other, .client = client, .salt = (uint32_t)sim_random(&dice)};
	s->send_total = sim_permille(&dice, 200) ? 0 : sim_below(&dice, PICK(100, 5000, 120000));
	s->lazy = sim_permille(&dice, 300);
	s->aborts = sim_permille(&dice, 80);
	s->abort_after = sim_below(&dice, s->send_total + 1);
}

/* Takes transmit buffers away from a stack for a while, or gives them back. */
static void hoard(struct node *n)
{
	if (n->hoarded) {
		rte_pktmbuf_free_bulk(n->hoard, n->hoarded);
		n->hoarded = 0;
		return;
	}
	while (n->hoarded < TX_MBUFS && (n->hoard[n->hoarded] = rte_pktmbuf_alloc(n->pool)))
		n->hoarded++;
}

static void node_turn(struct node *n, struct sim_link *in)
{
	struct rte_mbuf *burst[STACK_BURST];
	unsigned k;

	while ((k = sim_link_arrived(in, burst, STACK_BURST))) {
		poison_around(burst, k);
		stack_input(n->stack, burst, k, now_us);
	}
	stack_output(n->stack, now_us);
	stack_timers(n->stack, now_us, 64);
}

static bool all_ended(void)
{
	for (unsigned i = 0; i < conns; i++) {
		if (!sides[0][i].ended)
			return false;
		/* A server side that never opened has nothing to end. */
		if (sides[1][i].opened && !sides[1][i].ended)
			return false;
	}
	return true;
}

static void check_pools(void)
{
	if (!unit_pool_full(nodes[0].pool) || !unit_pool_full(nodes[1].pool) || !unit_pool_full(link_pool))
		fail("a buffer leaked");
}

static void tally(const struct stack *s)
{
	for (unsigned i = 0; i < STACK_COUNTERS; i++)
		totals[i] += stack_counter(s, (enum stack_counter)i);
}

static void seed_begin(uint64_t seed)
{
	current_seed = seed;
	dice.state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (unsigned i = 0; i < 8; i++)
		sim_random(&dice);
	now_us = 1 + sim_below(&dice, UINT32_MAX);
	for (unsigned i = 0; i < 2; i++) {
		link_start(&nodes[i].out);
		node_start(&nodes[i], 0x0a000001 + i);
	}
	conns = 1 + sim_below(&dice, CONNS_MAX);
	for (unsigned i = 0; i < conns; i++) {
		side_plan(&sides[0][i], &sides[1][i], true);
		side_plan(&sides[1][i], &sides[0][i], false);
	}
	struct ip_addr server = ip_v4(0x0a000002);
	MUST(tcp_listen(nodes[1].stack, NULL, PORT, NULL, &app, NULL, NULL) == 0);
	for (unsigned i = 0; i < conns; i++) {
		struct side *s = &sides[0][i];
		s->conn = tcp_connect(nodes[0].stack, &server, PORT, NULL, &app, s, now_us);
		MUST(s->conn);
	}
}

static uint64_t next_us(uint64_t wake_us)
{
	uint64_t t = wake_us;

	for (unsigned i = 0; i < 2; i++) {
		t = RTE_MIN(t, stack_next_us(nodes[i].stack));
		t = RTE_MIN(t, sim_link_next_us(&nodes[i].out));
	}
	return t;
}

/* Runs until both are silent: nobody has anything to do any more. */
static void run(void)
{
	uint64_t start_us = now_us, wake_us = now_us;

	for (unsigned turns = 0;; turns++) {
		bool over = all_ended();
		if (turns == TURNS_MAX || now_us - start_us > VIRTUAL_SECONDS_MAX * 1000000ull)
			fail(over ? "the stacks never fall silent" : "a connection never ends");
		if (now_us >= wake_us && !over) {
			for (unsigned i = 0; i < conns; i++)
				side_act(&sides[sim_below(&dice, 2)][i]);
			if (sim_permille(&dice, 20) || nodes[0].hoarded || nodes[1].hoarded)
				hoard(&nodes[sim_below(&dice, 2)]);
			wake_us = now_us + 1 + sim_below(&dice, PICK(100, 10000, 100000));
		}
		if (over)
			for (unsigned i = 0; i < 2; i++)
				if (nodes[i].hoarded)
					hoard(&nodes[i]);
		node_turn(&nodes[0], &nodes[1].out);
		node_turn(&nodes[1], &nodes[0].out);
		uint64_t t = next_us(over ? UINT64_MAX : wake_us);
		if (t == UINT64_MAX)
			return;
		/* Timers are a tick late at most. */
		now_us = RTE_MAX(now_us + 1, t);
	}
}

static void seed_end(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct stack_usage u = stack_usage(nodes[i].stack);
		if (u.conns || u.half_open || u.time_wait || u.tx_segments || u.reass_segments)
			fail("something is left in a stack");
		tally(nodes[i].stack);
		stack_destroy(nodes[i].stack);
		sim_link_clear(&nodes[i].out);
	}
	check_pools();
}

/* A run that never met these has proved little. */
static const enum stack_counter must_occur[] = {
	STACK_COUNTER_tx_pool_empty,
	STACK_COUNTER_ipv4_checksum,
	STACK_COUNTER_tcp_checksum,
	STACK_COUNTER_tcp_rst_out,
	STACK_COUNTER_tcp_rst_in,
	STACK_COUNTER_tcp_accepted,
	STACK_COUNTER_tcp_connected,
	STACK_COUNTER_tcp_out_of_window,
	STACK_COUNTER_tcp_ack_old,
	STACK_COUNTER_tcp_challenge_acks,
	STACK_COUNTER_tcp_duplicate_data,
	STACK_COUNTER_tcp_out_of_order,
	STACK_COUNTER_tcp_out_of_order_full,
	STACK_COUNTER_tcp_rx_coalesced,
	STACK_COUNTER_tcp_rto,
	STACK_COUNTER_tcp_resent,
	STACK_COUNTER_tcp_fast_retransmit,
	STACK_COUNTER_tcp_window_probes,
	STACK_COUNTER_tcp_keepalives,
	STACK_COUNTER_tcp_time_wait_evicted,
	STACK_COUNTER_tcp_write_refused,
};

static unsigned report(unsigned seeds)
{
	unsigned missing = 0;

	for (unsigned i = 0; i < STACK_COUNTERS; i++)
		if (totals[i])
			printf("# %12llu %s\n", (unsigned long long)totals[i],
				stack_counter_name((enum stack_counter)i));
	for (unsigned i = 0; seeds >= 200 && i < sizeof(must_occur) / sizeof(must_occur[0]); i++)
		if (!totals[must_occur[i]]) {
			printf("# %s never occurred\n", stack_counter_name(must_occur[i]));
			missing++;
		}
	return missing;
}

int main(int argc, char **argv)
{
	uint64_t first = 1;
	unsigned seeds = 300;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seeds"))
			seeds = (unsigned)strtoul(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--seed"))
			first = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--trace"))
			tracing = strtoul(argv[i + 1], NULL, 0) != 0;
		else
			return fprintf(stderr, "usage: sim_tcp [--seeds N] [--seed FIRST] [--trace 1]\n"), 2;
	}
	nodes[0].pool = unit_pool("client", TX_MBUFS, ROOM_BYTES);
	nodes[1].pool = unit_pool("server", TX_MBUFS, ROOM_BYTES);
	link_pool = unit_pool("link", LINK_MBUFS, ROOM_BYTES);
	printf("TAP version 13\n1..2\n# seeds %llu to %llu\n", (unsigned long long)first,
		(unsigned long long)(first + seeds - 1));
	for (unsigned i = 0; i < seeds; i++) {
		seed_begin(first + i);
		run();
		seed_end();
	}
	printf("ok 1 streams are intact, connections end, nothing leaks\n");
	unsigned missing = report(seeds);
	printf("%s 2 every situation occurred\n", missing ? "not ok" : "ok");
	return missing != 0;
}
