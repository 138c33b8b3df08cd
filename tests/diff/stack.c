/* SPDX-License-Identifier: Apache-2.0 */
/* The stack's side: a new instance for each conversation, on a clock of its own that no timer of TCP's runs
 * out on, so that every answer is one to a segment. */
#include <stdio.h>
#include <string.h>

#include "tcpstack/stack.h"

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/tcp.h"
#include "tcpstack/tcp_impl.h"
#include "tests/diff/side.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

/* STEP_US is beyond the time for which a connection withholds a second challenge ACK. */
enum { MBUFS = 512, ROOM_BYTES = 2048, STEP_US = 600000 };
static const uint32_t never_us = 4000000000u;

static struct rte_mempool *tx_pool, *rx_pool;
static struct stack *stack;
static struct tcp_conn *connection;
static uint64_t now_us = 1000000000;

/* Wrong on purpose. */
enum plant { PLANT_NONE, PLANT_ACK, PLANT_RESET, PLANT_SILENT, PLANT_DELIVERY, PLANT_STATE, PLANTS };
static const char *const plant_names[PLANTS] = {
	[PLANT_ACK] = "ack",	       /* out-of-order data is acknowledged */
	[PLANT_RESET] = "reset",       /* a reset's sequence number is one off */
	[PLANT_SILENT] = "silent",     /* nothing answers a SYN on a connection */
	[PLANT_DELIVERY] = "delivery", /* a byte is delivered twice */
	[PLANT_STATE] = "state",       /* the peer's FIN leads to CLOSED */
};
static enum plant plant;
static uint8_t injected_flags;
static bool gateway_asked; /* whether it is still there: after some retransmissions */

bool stack_plant(const char *name)
{
	for (int i = 1; i < PLANTS; i++)
		if (!strcmp(name, plant_names[i])) {
			plant = (enum plant)i;
			return true;
		}
	return false;
}

void stack_plants_print(void)
{
	for (int i = 1; i < PLANTS; i++)
		puts(plant_names[i]);
}

/* Changes a frame as the plant says. False: it is not sent at all. */
static bool planted(uint8_t *frame)
{
	uint8_t *tcp = frame + 34;
	struct side *s = &stack_side.side;

	if (wire_get16(frame + 12) != 0x0800)
		return true;
	if (plant == PLANT_ACK && s->has_acked && wire_get32(tcp + 8) == s->acked && !(tcp[13] & (SYN | RST)))
		wire_put32(tcp + 8, s->acked + 1);
	if (plant == PLANT_RESET && (tcp[13] & RST))
		wire_put32(tcp + 4, wire_get32(tcp + 4) + 1);
	return plant != PLANT_SILENT || !(injected_flags & SYN) || (tcp[13] & (SYN | RST));
}

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t *frame = rte_pktmbuf_mtod(frames_take[i], uint8_t *);
		gateway_asked |= wire_get16(frame + 12) == 0x0806;
		if (planted(frame))
			side_saw(&stack_side.side, frame, frames_take[i]->pkt_len);
		rte_pktmbuf_free(frames_take[i]);
	}
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	connection = c;
	stack_side.side.open = true;
}

static void on_readable(struct tcp_conn *c)
{
	struct side *s = &stack_side.side;
	struct chain *rx = tcp_conn_rx(c);
	uint32_t n = rx->bytes;
	uint8_t b;

	for (uint32_t i = 0; i < n; i++) {
		chain_copy(rx, i, &b, 1);
		s->wrong |= b != peer_byte(1 + s->delivered++);
	}
	s->delivered += plant == PLANT_DELIVERY;
	tcp_conn_rx_consume(c, n);
}

static void on_connected(struct tcp_conn *c, int error)
{
	if (error)
		connection = NULL;
	stack_side.side.reset = error != 0;
}

static void on_peer_closed(struct tcp_conn *c)
{
	stack_side.side.eof = true;
}

static void on_closed(struct tcp_conn *c, int reason)
{
	stack_side.side.reset |= reason != TCP_REASON_DONE;
	if (c == connection)
		connection = NULL;
}

static const struct tcp_app app = {.accepted = on_accepted,
	.connected = on_connected,
	.readable = on_readable,
	.peer_closed = on_peer_closed,
	.closed = on_closed};

void stack_start(void)
{
	tx_pool = unit_pool("tx", MBUFS, ROOM_BYTES);
	rx_pool = unit_pool("rx", MBUFS, ROOM_BYTES);
}

static void inject(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);

	MUST(m);
	injected_flags = n > 47 ? frame[47] : 0;
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	now_us += STEP_US;
	poison_around(&m, 1);
	stack_input(stack, &m, 1, now_us);
}

static void gateway_tell(void)
{
	uint8_t f[42] = {0};

	gateway_asked = false;
	memcpy(f, side_mac, 6);
	memcpy(f + 6, gateway_mac, 6);
	memcpy(f + 12, (uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, 10);
	memcpy(f + 22, gateway_mac, 6);
	wire_put32(f + 28, GATEWAY_ADDR);
	wire_put32(f + 38, SIDE_ADDR);
	inject(f, sizeof(f));
}

static void settle(void)
{
	stack_output(stack, now_us);
	stack_timers(stack, now_us, 1000);
	if (gateway_asked)
		gateway_tell();
}

static void again(void)
{
	connection = NULL;
	side_again(&stack_side.side);
}

static void begin(uint32_t peer_addr, uint16_t peer_port, bool active)
{
	struct side *s = &stack_side.side;
	struct stack_config c;

	*s = (struct side){
		.name = s->name, .peer_addr = peer_addr, .peer_port = peer_port, .port = LISTEN_PORT};
	if (stack)
		stack_destroy(stack);
	stack_config_defaults(&c);
	memcpy(c.mac, side_mac, 6);
	stack_config_add(&c, ip_v4(SIDE_ADDR), 24);
	c.gateway_v4 = ip_v4(GATEWAY_ADDR);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){now_us, 2};
	c.tx = tx;
	c.conn_max = c.syn_backlog_max = c.time_wait_max = c.arp_max = 8;
	c.delayed_ack_us = 0;
	c.rto_us_initial = c.rto_us_min = c.rto_us_max = c.user_timeout_us = c.connect_timeout_us = never_us;
	c.half_open_timeout_us = c.time_wait_us = c.fin_wait_2_us = c.arp_lifetime_us = never_us;
	stack = stack_create(&c, now_us);
	MUST(stack);
	struct tcp_open_options options = tcp_open_options_of(stack);
	options.nodelay = true;
	MUST(tcp_listen(stack, NULL, LISTEN_PORT, &options, &app, NULL, NULL) == 0);
	gateway_tell();
	connection = NULL;
	if (!active)
		return;
	struct ip_addr peer = ip_v4(peer_addr);
	connection = tcp_connect(stack, &peer, peer_port, &options, &app, NULL, now_us);
	MUST(connection);
}

static void act(enum act act, uint32_t n)
{
	struct side *s = &stack_side.side;
	uint8_t data[8192];

	MUST(connection && n <= sizeof(data));
	switch (act) {
	case ACT_WRITE:
		for (uint32_t i = 0; i < n; i++)
			data[i] = side_byte(i + s->written + 1);
		s->written += n;
		MUST(tcp_conn_write(connection, data, n) == 0);
		return;
	case ACT_SHUTDOWN:
		tcp_conn_shutdown(connection);
		return;
	case ACT_ABORT:
		tcp_conn_abort(connection);
		break;
	default:
		tcp_conn_close(connection);
	}
	connection = NULL;
}

static const char *state(void)
{
	const struct side *s = &stack_side.side;
	struct tcp_tuple t = {.laddr = ip_v4(SIDE_ADDR),
		.raddr = ip_v4(s->peer_addr),
		.lport = s->port,
		.rport = s->peer_port};
	struct tcp_node *node = tcp_node_find(stack, &t);

	if (!node)
		return "none";
	if (node->kind == TCP_KIND_REQUEST)
		return "SYN-RECEIVED";
	if (node->kind == TCP_KIND_TIME_WAIT)
		return "TIME-WAIT";
	const char *name = tcp_state_name(caa_container_of(node, struct tcp_conn, node)->state);
	return plant == PLANT_STATE && !strcmp(name, "CLOSE-WAIT") ? "none" : name;
}

static void end(void)
{
	stack_destroy(stack);
	stack = NULL;
	MUST(unit_pool_full(tx_pool) && unit_pool_full(rx_pool));
}

struct side_ops stack_side = {.side = {.name = "stack"},
	.begin = begin,
	.again = again,
	.inject = inject,
	.act = act,
	.settle = settle,
	.state = state,
	.end = end};
