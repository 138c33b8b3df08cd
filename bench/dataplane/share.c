/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's share alone: bytes lie in the receive buffers, readable is called, what the broker writes is
 * copied to a buffer. No TCP, no port. */
#include "bench/dataplane/core.h"
#include "bench/dataplane/ear.h"
#include "bench/dataplane/plan.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "runtime/reclaim.h"

#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

enum {
	MBUFS = 16383,
	OUT_BYTES = 256 * 1024, /* a connection's send buffer, empty again after each turn */
	ROUND_US = 20,
	QUIET_TURNS = 8,
	WARM_ROUNDS = 2000,
};

struct pipe {
	struct transport_conn conn;
	struct chain rx;
	const struct plan_client *plan;
	struct ear ear;
	size_t lap_at;
	uint64_t run_bytes, acked;
	uint32_t out_bytes;
	bool fed; /* readable is due */
	uint8_t *out;
};

struct share {
	const struct bench_options *o;
	struct cluster cluster;
	struct plan plan;
	struct rte_mempool *pool;
	struct pipe *pipes;
	unsigned pipe_count, publisher_at;
	struct pipe *publishers;
	bool measuring;
	uint64_t rounds;
	uint64_t now_us, cycles, load_cycles, published, delivered;
};

static struct pipe *pipe_of(struct transport_conn *conn)
{
	return caa_container_of(conn, struct pipe, conn);
}

static void op_consume(struct transport_conn *conn, uint32_t bytes)
{
	chain_consume(&pipe_of(conn)->rx, bytes);
}

static uint32_t op_tx_room(struct transport_conn *conn)
{
	return OUT_BYTES - pipe_of(conn)->out_bytes;
}

static int op_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	struct pipe *p = pipe_of(conn);

	if (bytes > OUT_BYTES - p->out_bytes)
		return -ENOBUFS;
	memcpy(p->out + p->out_bytes, data, bytes);
	p->out_bytes += bytes;
	return 0;
}

static void op_end(struct transport_conn *conn)
{
	chain_clear(&pipe_of(conn)->rx);
}

static uint64_t op_tx_pending(struct transport_conn *conn)
{
	return pipe_of(conn)->out_bytes;
}

static const struct transport_ops ops = {
	.kind = TRANSPORT_BYPASS,
	.consume = op_consume,
	.tx_room = op_tx_room,
	.write = op_write,
	.shutdown = op_end,
	.abort = op_end,
	.tx_pending = op_tx_pending,
};

static inline void turn(struct share *s)
{
	struct core *k = &s->cluster.cores[0];
	struct turn_source *clock = amqp091_server_clock(k->server),
			   *source = amqp091_server_source(k->server);

	clock->poll(clock, s->now_us);
	for (unsigned i = 0; i < s->pipe_count; i++)
		if (s->pipes[i].fed)
			amqp091_app.readable(&s->pipes[i].conn);
	source->poll(source, s->now_us);
	source->flush(source, s->now_us);
}

BENCH_MEASURED static void measured_turn(struct share *s)
{
	turn(s);
}

static void feed(struct share *s, struct pipe *p, const uint8_t *bytes, size_t n)
{
	while (n) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
		uint16_t piece = n < PLAN_SEGMENT_BYTES ? (uint16_t)n : PLAN_SEGMENT_BYTES;
		MUST(m);
		memcpy(rte_pktmbuf_append(m, piece), bytes, piece);
		chain_append_take(&p->rx, m);
		bytes += piece;
		n -= piece;
	}
	p->fed = true;
}

static void publish(struct share *s)
{
	for (unsigned i = 0; i < s->o->segments; i++) {
		struct pipe *p = &s->publishers[s->publisher_at];
		uint32_t n = s->o->alone ? p->plan->message_bytes : (uint32_t)PLAN_SEGMENT_BYTES;
		s->publisher_at = (s->publisher_at + 1) % s->plan.publisher_count;
		feed(s, p, p->plan->lap.bytes + p->lap_at, n);
		p->lap_at = (p->lap_at + n) % p->plan->lap_bytes;
		s->published += n;
	}
}

static void acks(struct share *s, struct pipe *p, uint64_t seen)
{
	uint8_t ack[SCRIPT_ACK_BYTES];
	unsigned every = p->plan->ack_every;

	for (; seen - p->acked >= every; p->acked += every) {
		script_ack_put(ack, p->acked + every, every > 1);
		feed(s, p, ack, sizeof(ack));
	}
}

static void take_out(struct share *s, struct pipe *p)
{
	ear_take_bytes(&p->ear, p->out, p->out_bytes);
	if (p->ear.counts) {
		uint64_t before = ear_deliveries(&p->ear, p->run_bytes);
		p->run_bytes += p->out_bytes;
		s->delivered += ear_deliveries(&p->ear, p->run_bytes) - before;
	}
	p->out_bytes = 0;
	if (p->plan->ack_every)
		acks(s, p, p->ear.deliveries + ear_deliveries(&p->ear, p->run_bytes));
}

static void round_run(struct share *s, bool with_messages)
{
	uint64_t t = rte_rdtsc();

	s->now_us += ROUND_US;
	if (with_messages && s->rounds++ % s->o->pace == 0)
		publish(s);
	s->load_cycles += rte_rdtsc() - t;
	t = rte_rdtsc_precise();
	if (s->measuring)
		measured_turn(s);
	else
		turn(s);
	s->cycles += rte_rdtsc_precise() - t;
	t = rte_rdtsc();
	for (unsigned i = 0; i < s->pipe_count; i++) {
		s->pipes[i].fed = false;
		if (s->pipes[i].out_bytes)
			take_out(s, &s->pipes[i]);
	}
	s->load_cycles += rte_rdtsc() - t;
	reclaim_run();
}

static void rounds(struct share *s, unsigned n, bool with_messages)
{
	for (unsigned i = 0; i < n; i++)
		round_run(s, with_messages);
}

static void connect_pipes(struct share *s, struct pipe *from, struct pipe *to)
{
	for (struct pipe *p = from; p < to; p++) {
		MUST(amqp091_app.accepted(s->cluster.cores[0].server, &p->conn) == 0);
		feed(s, p, p->plan->setup.bytes, p->plan->setup.count);
		do
			rounds(s, QUIET_TURNS, false);
		while (p->rx.bytes);
	}
}

static void pipe_make(struct pipe *p, const struct plan_client *plan)
{
	*p = (struct pipe){.plan = plan, .out = malloc(OUT_BYTES)};
	MUST(p->out);
	ear_init(&p->ear);
	p->conn = (struct transport_conn){.ops = &ops, .rx = &p->rx, .local_link = true};
}

static void begin(struct share *s, const struct bench_options *o)
{
	s->o = o;
	reclaim_start_manual();
	cluster_open(&s->cluster, o, false, CORE_BEGIN_US);
	s->now_us = s->cluster.now_us;
	s->pool = port_pool_create("share", MBUFS, port_pool_room(1500), -1);
	plan_make(&s->plan, o, 0);
	s->pipe_count = 1 + s->plan.consumer_count + s->plan.publisher_count;
	s->pipes = calloc(s->pipe_count, sizeof(*s->pipes));
	MUST(s->pipes && s->pool);
	s->publishers = s->pipes + 1 + s->plan.consumer_count;
	pipe_make(s->pipes, &s->plan.admin);
	for (unsigned i = 0; i < s->plan.consumer_count; i++)
		pipe_make(&s->pipes[1 + i], &s->plan.consumers[i]);
	for (unsigned i = 0; i < s->plan.publisher_count; i++)
		pipe_make(&s->publishers[i], &s->plan.publishers[i]);
	connect_pipes(s, s->pipes, s->pipes + s->pipe_count);
	rounds(s, 2 + o->queues / o->segments, true);
	rounds(s, QUIET_TURNS, false);
	for (unsigned i = 0; i < s->pipe_count; i++)
		s->pipes[i].ear.counts = true;
	rounds(s, WARM_ROUNDS, true);
	s->measuring = true;
}

static void end(struct share *s)
{
	amqp091_server_abort(s->cluster.cores[0].server);
	cluster_close(&s->cluster);
	for (unsigned i = 0; i < s->pipe_count; i++)
		free(s->pipes[i].out);
	plan_free(&s->plan);
	rte_mempool_free(s->pool);
	free(s->pipes);
	while (reclaim_run())
		;
}

int share_run(const struct bench_options *o)
{
	struct share *s = calloc(1, sizeof(*s));
	struct bench_block *blocks = calloc(o->blocks, sizeof(*blocks));

	MUST(s && blocks);
	begin(s, o);
	for (unsigned b = 0; b < o->blocks; b++) {
		s->cycles = s->load_cycles = s->published = s->delivered = 0;
		rounds(s, o->rounds, true);
		blocks[b] = (struct bench_block){.cycles = s->cycles,
			.cycles_max = s->cycles,
			.load_cycles = s->load_cycles,
			.published = s->published / s->publishers[0].plan->message_bytes,
			.delivered = s->delivered};
	}
	bench_report(o, blocks, 0);
	end(s);
	free(blocks);
	free(s);
	return 0;
}
