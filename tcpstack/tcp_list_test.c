/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over connections in pieces, between two stacks over a wire that loses nothing. */
#include "tcpstack/stack_impl.h"
#include "tcpstack/tcp.h"
#include "tests/unit/unit.h"

enum { CONNS = 600, SLICE = 16, QUEUE = 4096, PORT = 5672, CLIENT = 0x0a000001, SERVER = 0x0a000002 };

struct side {
	struct stack *stack;
	struct side *peer;
	struct rte_mbuf *queue[QUEUE];
	unsigned n;
	bool deaf; /* what is sent to it is lost */
};

static struct rte_mempool *pool;
static struct side client, server;
static uint64_t now_us;
static struct tcp_conn *conns[CONNS];
static struct tcp_listener *listener;

static void wire_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct side *to = ((struct side *)ctx)->peer;

	for (unsigned i = 0; i < n; i++) {
		if (!to->deaf) {
			MUST(to->n < QUEUE);
			to->queue[to->n++] = rte_pktmbuf_copy(frames[i], pool, 0, UINT32_MAX);
		}
		rte_pktmbuf_free(frames[i]);
	}
}

static void side_open(struct side *s, struct side *peer, uint32_t address)
{
	struct stack_config c = {0};

	stack_config_defaults(&c);
	c.tx_pool = pool;
	c.tx = wire_tx;
	c.tx_ctx = s;
	stack_config_add(&c, ip_v4(address), 24);
	c.mac[0] = 2;
	c.mac[5] = (uint8_t)address;
	c.conn_max = CONNS;
	c.syn_backlog_max = CONNS;
	c.time_wait_max = CONNS;
	*s = (struct side){.peer = peer};
	s->stack = stack_create(&c, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->stack);
}

static void turn(struct side *s)
{
	struct rte_mbuf *frames[QUEUE];
	unsigned n = s->n;

	memcpy(frames, s->queue, n * sizeof(frames[0]));
	s->n = 0;
	stack_input(s->stack, frames, n, now_us);
	stack_output(s->stack, now_us);
	stack_timers(s->stack, now_us, 10000);
}

static void run_for(uint64_t us)
{
	for (uint64_t end = now_us + us; now_us < end; now_us += 500) {
		turn(&client);
		turn(&server);
	}
}

static void on_peer_closed(struct tcp_conn *c)
{
	(void)tcp_conn_shutdown(c);
}

static const struct tcp_app app = {.peer_closed = on_peer_closed};

static void open_conn(unsigned i)
{
	struct ip_addr to = ip_v4(SERVER);

	conns[i] = tcp_connect(client.stack, &to, PORT, NULL, &app, NULL, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(conns[i]);
}

/* The first one finds the neighbour out, behind whom only so many may wait. */
static void open_all(void)
{
	open_conn(0);
	run_for(10000);
	for (unsigned i = 1; i < CONNS; i++)
		open_conn(i);
	run_for(100000);
}

static void begin(void)
{
	unit_eal();
	if (!pool)
		pool = unit_pool("list", 16384, 2048);
	now_us = 1000000;
	side_open(&client, &server, CLIENT);
	side_open(&server, &client, SERVER);
	CU_ASSERT_EQUAL(tcp_listen(server.stack, NULL, PORT, NULL, &app, NULL, &listener), 0);
}

static void end(void)
{
	stack_destroy(client.stack);
	stack_destroy(server.stack);
	for (unsigned i = 0; i < client.n + server.n; i++)
		rte_pktmbuf_free(i < client.n ? client.queue[i] : server.queue[i - client.n]);
	CU_ASSERT(unit_pool_full(pool));
}

static unsigned met[65536]; /* by the peer's port */

/* Of the connections from the first on, each step, how many were not met exactly once. */
static unsigned not_once(unsigned first, unsigned step)
{
	unsigned n = 0;

	for (unsigned i = first; i < CONNS; i += step)
		n += met[tcp_conn_local_port(conns[i])] != 1;
	return n;
}

static unsigned states[3]; /* SYN_RECEIVED, ESTABLISHED, TIME_WAIT */

/* One walk; between its pieces runs between_or_null. Returns the entries. */
static unsigned walk(struct stack *s, void (*between_or_null)(unsigned piece))
{
	static const char *const names[] = {"SYN-RECEIVED", "ESTABLISHED", "TIME-WAIT"};
	struct tcp_entry e[SLICE];
	uint32_t cursor = 0;
	unsigned total = 0;

	memset(met, 0, sizeof(met));
	memset(states, 0, sizeof(states));
	for (unsigned piece = 0; cursor != TCP_LIST_END; piece++) {
		unsigned n = tcp_list(s, &cursor, e, SLICE);
		CU_ASSERT_FATAL(n <= SLICE && piece < 100000);
		for (unsigned i = 0; i < n; i++) {
			met[e[i].rport]++;
			for (unsigned k = 0; k < 3; k++)
				states[k] += strcmp(e[i].info.state, names[k]) == 0;
		}
		total += n;
		if (between_or_null)
			between_or_null(piece);
	}
	return total;
}

static void test_all_once(void)
{
	begin();
	CU_ASSERT_EQUAL(walk(server.stack, NULL), 0);
	open_all();
	CU_ASSERT_EQUAL(walk(server.stack, NULL), CONNS);
	CU_ASSERT_EQUAL(not_once(0, 1), 0);
	CU_ASSERT_EQUAL(states[1], CONNS);
	end();
}

/* Every second one goes while the walk is under way: the others are met, once. */
static void abort_some(unsigned piece)
{
	for (unsigned i = piece * 20; i < (piece + 1) * 20 && i < CONNS; i += 2) {
		tcp_conn_abort(conns[i]);
		conns[i] = NULL;
	}
	run_for(500);
}

static void test_changes(void)
{
	begin();
	open_all();
	walk(server.stack, abort_some);
	CU_ASSERT_EQUAL(not_once(1, 2), 0);
	end();
}

static void test_half_open_and_time_wait(void)
{
	struct tcp_entry e[SLICE];
	uint32_t cursor = 0;

	begin();
	open_conn(0);
	run_for(10000);
	tcp_conn_close(conns[0]);
	run_for(10000);
	client.deaf = true; /* SYN-ACKs are lost */
	open_conn(1);
	run_for(10000);
	CU_ASSERT_EQUAL(walk(server.stack, NULL), 1);
	CU_ASSERT_EQUAL(states[0], 1);
	walk(client.stack, NULL);
	CU_ASSERT_EQUAL(states[2], 1);
	while (cursor != TCP_LIST_END) {
		unsigned n = tcp_list(server.stack, &cursor, e, SLICE);
		for (unsigned i = 0; i < n; i++) {
			CU_ASSERT(e[i].timer && strcmp(e[i].timer, "retransmit") == 0);
			CU_ASSERT(e[i].timer_us > 0 && e[i].timer_us <= 1000000);
			CU_ASSERT(e[i].lport == PORT && ip_to_v4(&e[i].laddr) == SERVER &&
				  ip_to_v4(&e[i].raddr) == CLIENT);
		}
	}
	end();
}

/* What is known of an established connection with unacknowledged data. */
static void test_entry(void)
{
	struct tcp_entry e[SLICE];
	uint32_t cursor = 0;
	unsigned n = 0;

	begin();
	open_conn(0);
	run_for(10000);
	server.deaf = true;
	CU_ASSERT_EQUAL(tcp_conn_write(conns[0], "data", 4), 0);
	run_for(5000);
	while (cursor != TCP_LIST_END && n == 0)
		n = tcp_list(client.stack, &cursor, e, SLICE);
	CU_ASSERT_EQUAL_FATAL(n, 1);
	CU_ASSERT_STRING_EQUAL(e[0].info.state, "ESTABLISHED");
	CU_ASSERT(e[0].info.tx_queued_bytes == 4 && e[0].info.in_flight_bytes == 4);
	CU_ASSERT(e[0].timer &&
		  (strcmp(e[0].timer, "retransmit") == 0 || strcmp(e[0].timer, "tail-probe") == 0));
	CU_ASSERT(e[0].since_sent_us > 0 && e[0].since_sent_us <= 5000);
	CU_ASSERT(e[0].since_heard_us >= 5000 && e[0].since_heard_us <= 15000);
	CU_ASSERT_EQUAL(e[0].lport, tcp_conn_local_port(conns[0]));
	end();
}

static const struct unit_test tests[] = {
	{"every connection once", test_all_once},
	{"connections that go meanwhile", test_changes},
	{"half-open and TIME-WAIT", test_half_open_and_time_wait},
	{"what an entry tells", test_entry},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
