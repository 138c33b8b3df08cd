/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/load.h"

#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "transport/bypass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMER_BUDGET = 256 };

static void on_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct load *l = ctx;

	MUST(l->sent_count + n <= LOAD_SENT_MAX);
	memcpy(l->sent + l->sent_count, frames, n * sizeof(*frames));
	l->sent_count += n;
}

static void setup_write(struct load_client *c)
{
	const struct script *s = &c->plan->setup;

	while (c->setup_at < s->count) {
		size_t left = s->count - c->setup_at, room = tcp_conn_tx_room(c->conn);
		uint32_t n = (uint32_t)(left < room ? left : room);
		if (n == 0 || tcp_conn_write(c->conn, s->bytes + c->setup_at, n))
			return;
		c->setup_at += n;
	}
}

static void on_connected(struct tcp_conn *conn, int error)
{
	struct load_client *c = tcp_conn_user(conn);

	MUST(error == 0);
	c->connected = true;
	setup_write(c);
}

static void on_writable(struct tcp_conn *conn)
{
	setup_write(tcp_conn_user(conn));
}

/* Deliveries that a consumer may acknowledge: all, or its part of what came on top of the backlog. */
static uint64_t acks_allowed(const struct load_client *c)
{
	const struct load *l = c->load;

	if (!l->o->backlog)
		return UINT64_MAX;
	return l->behind_backlog / l->publishers[0].plan->message_bytes * l->o->fanout /
	       l->plan.consumer_count;
}

static void acks_write(struct load_client *c)
{
	uint8_t ack[SCRIPT_ACK_BYTES];
	uint64_t seen = c->ear.deliveries + ear_deliveries(&c->ear, c->run_bytes);
	uint64_t allowed = acks_allowed(c);
	unsigned every = c->plan->ack_every;

	while (seen - c->acked >= every && c->acked + every <= allowed) {
		script_ack_put(ack, c->acked + every, every > 1);
		if (tcp_conn_write(c->conn, ack, sizeof(ack)))
			return;
		c->acked += every;
	}
}

static void on_readable(struct tcp_conn *conn)
{
	struct load_client *c = tcp_conn_user(conn);
	struct chain *rx = tcp_conn_rx(conn);

	ear_take(&c->ear, rx);
	if (c->ear.counts) {
		uint64_t before = ear_deliveries(&c->ear, c->run_bytes);
		c->run_bytes += rx->bytes;
		c->load->delivered += ear_deliveries(&c->ear, c->run_bytes) - before;
	}
	tcp_conn_rx_consume(conn, rx->bytes);
	if (c->plan->ack_every && c->ear.counts)
		acks_write(c);
}

static void on_closed(struct tcp_conn *conn, int reason)
{
	fprintf(stderr, "a client's connection ended: %s\n", tcp_reason_text(reason));
	abort();
}

static const struct tcp_app app = {
	.connected = on_connected, .readable = on_readable, .writable = on_writable, .closed = on_closed};

static void stack_make(struct load *l, uint64_t now_us)
{
	struct stack_config c;
	char name[32];

	snprintf(name, sizeof(name), "load%u", l->core->index);
	l->pool = port_pool_create(name, core_mbufs(l->o), port_pool_room(1500), -1);
	MUST(l->pool);
	stack_config_defaults(&c);
	memcpy(c.mac, (uint8_t[6]){2, 'G', 'w', 'L', 0, (uint8_t)l->core->index}, 6);
	stack_config_add(&c, core_address(l->core->index, LOAD_HOST), 24);
	c.mtu = 1500;
	c.tx_pool = l->pool;
	c.conn_max = l->client_count + 16;
	if (l->o->offloads)
		c.offload_flags = bypass_stack_offloads(PORT_OFFLOADS_ALL);
	c.quick_acks = 0;
	c.tx = on_tx;
	c.tx_ctx = l;
	l->stack = stack_create(&c, now_us);
	MUST(l->stack);
}

void load_open(struct load *l, struct core *core, const struct bench_options *o, uint64_t now_us)
{
	*l = (struct load){.o = o, .core = core};
	plan_make(&l->plan, o, core->index);
	l->client_count = 1 + l->plan.consumer_count + l->plan.publisher_count;
	l->clients = calloc(l->client_count, sizeof(*l->clients));
	MUST(l->clients);
	l->publishers = l->clients + 1 + l->plan.consumer_count;
	for (unsigned i = 0; i < l->client_count; i++) {
		struct load_client *c = &l->clients[i];
		c->load = l;
		ear_init(&c->ear);
		c->plan = i == 0	      ? &l->plan.admin
			  : c < l->publishers ? &l->plan.consumers[i - 1]
					      : &l->plan.publishers[i - 1 - l->plan.consumer_count];
	}
	stack_make(l, now_us);
}

void load_close(struct load *l)
{
	stack_destroy(l->stack);
	rte_pktmbuf_free_bulk(l->sent, l->sent_count);
	rte_mempool_free(l->pool);
	free(l->clients);
	plan_free(&l->plan);
}

void load_connect(struct load *l, unsigned first, unsigned n, uint64_t now_us)
{
	struct ip_addr to = core_address(l->core->index, CORE_HOST);

	for (unsigned i = first; i < first + n; i++) {
		l->clients[i].conn = tcp_connect(
			l->stack, &to, CORE_PORT, NULL, &app, &l->clients[i], now_us);
		MUST(l->clients[i].conn);
		tcp_conn_set_nodelay(l->clients[i].conn, true);
	}
	stack_output(l->stack, now_us);
}

bool load_settled(const struct load *l, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		const struct load_client *c = &l->clients[i];
		if (!c->connected || c->setup_at < c->plan->setup.count)
			return false;
	}
	return true;
}

/* A frame that a NIC has received: a copy, in a buffer of the port's own pool. */
static struct rte_mbuf *received(const struct load *l, struct rte_mempool *pool, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(pool);
	uint32_t n = rte_pktmbuf_pkt_len(m), at = 0;

	MUST(copy && n <= rte_pktmbuf_tailroom(copy));
	uint8_t *to = (uint8_t *)rte_pktmbuf_append(copy, (uint16_t)n);
	for (const struct rte_mbuf *piece = m; piece; piece = piece->next) {
		memcpy(to + at, rte_pktmbuf_mtod(piece, const uint8_t *), piece->data_len);
		at += piece->data_len;
	}
	if (l->o->offloads)
		copy->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	rte_pktmbuf_free(m);
	return copy;
}

void load_hand_over(struct load *l)
{
	unsigned n = l->sent_count;

	for (unsigned i = 0; i < n; i++)
		l->sent[i] = received(l, port_rx_pool(l->core->port, 0), l->sent[i]);
	MUST(rte_ring_enqueue_bulk(l->core->in, (void **)l->sent, n, NULL) == n || n == 0);
	l->sent_count = 0;
}

/* What stands at lap_at, n bytes of it. False: the window is closed. */
static bool lap_write(struct load_client *c, uint32_t n)
{
	if (tcp_conn_tx_room(c->conn) < n || tcp_conn_write(c->conn, c->plan->lap.bytes + c->lap_at, n))
		return false;
	c->lap_at = (c->lap_at + n) % c->plan->lap_bytes;
	return true;
}

void load_publish(struct load *l, uint64_t now_us)
{
	for (unsigned i = 0; i < l->o->segments; i++) {
		struct load_client *c = &l->publishers[l->publisher_at];
		uint32_t n = l->o->alone ? c->plan->message_bytes : (uint32_t)PLAN_SEGMENT_BYTES;
		l->publisher_at = (l->publisher_at + 1) % l->plan.publisher_count;
		if (!lap_write(c, n))
			continue;
		l->published += n;
		l->behind_backlog += n;
		if (l->o->alone)
			stack_output(l->stack, now_us);
	}
	/* With a backlog it is a publish that lets a consumer acknowledge, not a delivery. */
	for (unsigned i = 1; l->o->backlog && i <= l->plan.consumer_count; i++)
		if (l->clients[i].ear.counts)
			acks_write(&l->clients[i]);
	stack_output(l->stack, now_us);
	load_hand_over(l);
}

void load_receive(struct load *l, uint64_t now_us)
{
	struct rte_mbuf *frames[STACK_BURST];
	unsigned n;

	while ((n = rte_ring_dequeue_burst(l->core->out, (void **)frames, STACK_BURST, NULL))) {
		for (unsigned i = 0; i < n; i++)
			frames[i] = received(l, l->pool, frames[i]);
		stack_input(l->stack, frames, n, now_us);
	}
	stack_output(l->stack, now_us);
	stack_timers(l->stack, now_us, TIMER_BUDGET);
}

void load_learned(struct load *l)
{
	l->behind_backlog = 0;
	for (unsigned i = 0; i < l->client_count; i++) {
		struct load_client *c = &l->clients[i];
		MUST(reader_at_rest(&c->ear.reader));
		c->ear.counts = true;
		if (c->plan->ack_every)
			acks_write(c);
	}
}
