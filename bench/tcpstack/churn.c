/* SPDX-License-Identifier: Apache-2.0 */
/* Connections opened and closed as fast as one core can, by the passive side: the handshake in three
 * segments, a request of some bytes, the end. Bursts of 32; what the peer does is not measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tcpstack/bench.h"
#include "bench/tcpstack/peer.h"
#include "runtime/check.h"

enum { TIMER_BUDGET = 64 };

struct run {
	struct peer peer;
	const struct bench_options *o;
	struct rte_mbuf *frames[STACK_BURST];
	uint64_t cycles;
};

BENCH_MEASURED static void measured_input(struct run *r)
{
	stack_input(r->peer.stack, r->frames, STACK_BURST, r->peer.now_us);
	stack_output(r->peer.stack, r->peer.now_us);
	stack_timers(r->peer.stack, r->peer.now_us, TIMER_BUDGET);
}

BENCH_MEASURED static void measured_close(struct run *r, bool abort_it)
{
	for (unsigned i = 0; i < STACK_BURST; i++) {
		if (abort_it)
			tcp_conn_abort(r->peer.conns[i].conn);
		else
			tcp_conn_close(r->peer.conns[i].conn);
	}
	stack_output(r->peer.stack, r->peer.now_us);
	stack_timers(r->peer.stack, r->peer.now_us, TIMER_BUDGET);
}

static void input(struct run *r, uint8_t flags, uint32_t bytes)
{
	for (unsigned i = 0; i < STACK_BURST; i++)
		r->frames[i] = peer_frame(&r->peer, i, flags, bytes);
	uint64_t t = rte_rdtsc_precise();
	measured_input(r);
	r->cycles += rte_rdtsc_precise() - t;
	peer_listen(&r->peer);
}

static void close_all(struct run *r, bool abort_it)
{
	uint64_t t = rte_rdtsc_precise();
	measured_close(r, abort_it);
	r->cycles += rte_rdtsc_precise() - t;
	peer_listen(&r->peer);
}

/* 32 connections from SYN to their end. */
static void burst(struct run *r)
{
	r->peer.incarnation++;
	r->peer.now_us += 100;
	for (unsigned i = 0; i < STACK_BURST; i++)
		r->peer.conns[i] = (struct peer_conn){.seq = r->peer.incarnation * 1000};
	input(r, PEER_SYN, 0);
	input(r, PEER_ACK, 0);
	if (r->o->bytes)
		input(r, PEER_ACK | PEER_PSH, r->o->bytes);
	if (!strcmp(r->o->end, "abort")) {
		close_all(r, true);
		return;
	}
	if (!strcmp(r->o->end, "stack")) {
		close_all(r, false);
		input(r, PEER_ACK | PEER_FIN, 0);
		return;
	}
	input(r, PEER_ACK | PEER_FIN, 0); /* the application closes as well */
	input(r, PEER_ACK, 0);
}

int churn_run(const struct bench_options *o)
{
	struct run r = {.o = o};
	struct peer_options options = {.conns = STACK_BURST, .offloads = o->offloads, .ipv6 = o->ipv6};
	struct bench_blocks blocks = {.count = o->blocks, .ns = calloc(o->blocks, sizeof(double))};

	MUST(blocks.ns);
	peer_init(&r.peer, &options);
	peer_open(&r.peer, 0, 1); /* so that the gateway's address is known */
	tcp_conn_abort(r.peer.conns[0].conn);
	stack_output(r.peer.stack, r.peer.now_us);
	peer_listen(&r.peer);
	for (unsigned i = 0; i < 64; i++)
		burst(&r);
	uint64_t before = stack_counter(r.peer.stack, STACK_COUNTER_tcp_accepted);
	for (unsigned b = 0; b < blocks.count; b++) {
		r.cycles = 0;
		for (unsigned i = 0; i < o->bursts; i++)
			burst(&r);
		blocks.ns[b] = bench_ns_of_cycles(r.cycles) / (double)o->bursts / STACK_BURST;
	}
	uint64_t conns = stack_counter(r.peer.stack, STACK_COUNTER_tcp_accepted) - before;
	struct stack_usage left = stack_usage(r.peer.stack);
	double ns = bench_median(&blocks);
	printf("op=churn end=%s bytes=%u ip=%d offloads=%d ns=%.0f per_second=%.0f conns=%llu\n", o->end,
		o->bytes, o->ipv6 ? 6 : 4, o->offloads, ns, 1e9 / ns, (unsigned long long)conns);
	bool good = conns == (uint64_t)blocks.count * o->bursts * STACK_BURST &&
		    left.conns + left.half_open == 0;
	if (!good)
		fprintf(stderr, "%llu of %llu were accepted, %u are left\n", (unsigned long long)conns,
			(unsigned long long)blocks.count * o->bursts * STACK_BURST,
			left.conns + left.half_open);
	peer_fini(&r.peer);
	free(blocks.ns);
	return good ? 0 : 1;
}
