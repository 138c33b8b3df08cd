/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that sends anything: right checksums and addresses, but flags, numbers, lengths and options at
 * random, most of them on the edge of what a connection would take. Nothing may break, nothing may leak, a
 * good peer is served. */
#include "tcpstack/peer_fixture.h"

enum { FRAMES = 60000, PORTS = 6, CONNS_MAX = 4 };

static struct segment_base base[PORTS];
/* What the stack last said on a port: where an attacker who sees everything aims at. */
static struct segment said[PORTS];
static bool good_peer_served;

static void hear(const uint8_t *p, uint32_t n)
{
	unsigned port = wire_get16(p + 36) - PEER_PORT;
	const char *broken;

	if (wire_get16(p + 12) != ETH_TYPE_IPV4)
		return;
	if (port < PORTS)
		segment_from_frame(&said[port], &base[port], p, n, &broken);
	else if ((p[47] & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		good_peer_served = true;
}

static void on_event(struct tcp_conn *c)
{
	static const uint8_t block[3000];

	switch (unit_random_below(12)) {
	case 0:
		tcp_conn_abort(c);
		break;
	case 1:
		tcp_conn_close(c);
		break;
	case 2:
		tcp_conn_shutdown(c);
		break;
	case 3:
	case 4:
		tcp_conn_write(c, block, 1 + unit_random_below(sizeof(block)));
		break;
	default:
		tcp_conn_rx_consume(c, unit_random_below(tcp_conn_rx(c)->bytes + 1));
	}
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	on_event(c);
}

static const struct tcp_app app = {
	.accepted = on_accepted, .readable = on_event, .peer_closed = on_event, .writable = on_event};

static void read_all(void *ctx, struct tcp_conn *c)
{
	tcp_conn_rx_consume(c, tcp_conn_rx(c)->bytes);
}

static void begin(void)
{
	px_pools(256, 1024);
	struct stack_config c = px_config(hear);
	c.key.k0 = unit_random();
	c.conn_max = CONNS_MAX;
	c.syn_backlog_max = 2;
	c.time_wait_max = 2;
	c.rx_buffer_bytes = 8000;
	c.tx_buffer_bytes = 8000;
	c.user_timeout_us = c.time_wait_us = c.fin_wait_2_us = c.keepalive_us = c.half_open_timeout_us =
		3000000;
	c.keepalive_interval_us = 1000000;
	c.keepalive_probes = 2;
	px_start(&c);
	MUST(tcp_listen(px_stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
}

static int64_t near(int64_t n)
{
	static const int edge[] = {0, 0, 0, 0, 1, -1, 100, -100, 8000, 7999, 8001, 1 << 20};

	return unit_random_below(40) ? n + edge[unit_random_below(12)] : (int64_t)unit_random();
}

static uint8_t some_flags(void)
{
	static const uint8_t likely[] = {2, 16, 16, 16, 16, 24, 24, 17, 17, 4, 20, 18};

	return unit_random_below(10) ? likely[unit_random_below(12)] : (uint8_t)unit_random_below(64);
}

static void some_options(struct segment *g)
{
	g->options_n = 4 * unit_random_below(6);
	for (uint32_t i = 0; i < g->options_n; i++)
		g->options[i] = (uint8_t)unit_random_below(unit_random_below(3) ? 12 : 256);
}

static void one_segment(void)
{
	unsigned port = unit_random_below(PORTS);
	struct segment *last = &said[port];
	struct segment g = px_segment(some_flags(), near(last->ack),
		near(last->seq + last->len + ((last->flags & 3) != 0)),
		unit_random_below(2) ? 0 : unit_random_below(1400));

	g.has_ack = true;
	g.win = unit_random_below(3) ? 65535 : unit_random_below(2000);
	g.peer_port = (uint16_t)(PEER_PORT + port);
	g.doff = unit_random_below(50) ? -1 : (int)unit_random_below(16);
	if (unit_random_below(10) == 0)
		some_options(&g);
	if (g.flags == 2) {
		g.seq = 0;
		g.len = 0;
	}
	px_send(&g, &base[port]);
}

static void a_hostile_peer(void)
{
	struct segment syn = px_segment(TCP_SYN, 0, 0, 0);

	begin();
	for (unsigned i = 0; i < FRAMES; i++) {
		one_segment();
		px_now_us += unit_random_below(unit_random_below(20) ? 300 : 300000);
		if (unit_random_below(20) == 0)
			tcp_conn_each(px_stack, read_all, NULL);
		if (unit_random_below(3)) {
			stack_output(px_stack, px_now_us);
			stack_timers(px_stack, px_now_us, 100);
		}
	}
	CU_ASSERT_TRUE(stack_counter(px_stack, STACK_COUNTER_tcp_accepted) > 100);
	CU_ASSERT_TRUE(stack_counter(px_stack, STACK_COUNTER_tcp_out_of_order) > 100);
	tcp_conn_each(px_stack, read_all, NULL);
	px_run_until_silent();
	CU_ASSERT_EQUAL(stack_usage(px_stack).conns, 0);
	CU_ASSERT_EQUAL(stack_usage(px_stack).tx_segments, 0);
	CU_ASSERT_EQUAL(stack_usage(px_stack).reass_segments, 0);
	px_tell_address();
	syn.peer_port = 999;
	px_send(&syn, &base[0]);
	stack_output(px_stack, px_now_us);
	CU_ASSERT_TRUE(good_peer_served);
	px_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv, (struct unit_test[]){{"a_hostile_peer", a_hostile_peer}, {0}});
}
