/* SPDX-License-Identifier: Apache-2.0 */
/* What one segment costs on established connections: bursts of 32 from as many connections as there are, in
 * turns or in random order, every connection with its keepalive and its retransmission timer running. A turn
 * is measured whole: stack_input with the application's callbacks, stack_output, stack_timers. Not measured:
 * making the frames, and freeing those that the stack has sent, which a port's driver does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tcpstack/bench.h"
#include "bench/tcpstack/peer.h"
#include "runtime/check.h"

enum {
	KEEPALIVE_US = 1800u * 1000 * 1000,
	TIMER_BUDGET = 64,
	/* Two bursts a microsecond: however many connections there are, each is served often enough that no
	 * delayed acknowledgement waits for its timer, so that all do the same. */
	BURSTS_PER_US = 2,
	WARM_BURSTS = 256,
	SMALL_BYTES = 1000, /* smaller writes to one connection would share segments, if a turn had several */
};

enum step { RECEIVE, SEND, ACK };

struct run {
	struct peer peer;
	const struct bench_options *o;
	enum step wanted;
	bool measuring;
	unsigned *order; /* a permutation of the connections */
	unsigned at;
	unsigned picked[STACK_BURST];
	struct rte_mbuf *frames[STACK_BURST];
	unsigned frame_count;
	unsigned bursts;
	uint64_t cycles, segments; /* of the step that is wanted */
};

static uint8_t data[2048];

static inline void turn_end(struct run *r)
{
	stack_output(r->peer.stack, r->peer.now_us);
	stack_timers(r->peer.stack, r->peer.now_us, TIMER_BUDGET);
}

static inline void input_turn(struct run *r)
{
	stack_input(r->peer.stack, r->frames, r->frame_count, r->peer.now_us);
	turn_end(r);
}

/* The whole burst in a turn, where no two writes could share a segment; else a turn each. */
static inline void send_turns(struct run *r)
{
	bool apart = r->o->conns < STACK_BURST && r->o->bytes < SMALL_BYTES;

	for (unsigned i = 0; i < STACK_BURST; i++) {
		if (tcp_conn_write(r->peer.conns[r->picked[i]].conn, data, r->o->bytes))
			abort();
		if (apart)
			turn_end(r);
	}
	if (!apart)
		turn_end(r);
}

BENCH_MEASURED static void measured_input(struct run *r)
{
	input_turn(r);
}

BENCH_MEASURED static void measured_send(struct run *r)
{
	send_turns(r);
}

static void input(struct run *r, enum step step)
{
	if (!r->frame_count)
		return;
	if (!r->measuring || step != r->wanted) {
		input_turn(r);
	} else {
		uint64_t t = rte_rdtsc_precise();
		measured_input(r);
		r->cycles += rte_rdtsc_precise() - t;
		r->segments += r->frame_count;
	}
	peer_listen(&r->peer);
}

static void send(struct run *r)
{
	if (!r->measuring || r->wanted != SEND) {
		send_turns(r);
		peer_listen(&r->peer);
		return;
	}
	uint64_t t = rte_rdtsc_precise();
	measured_send(r);
	r->cycles += rte_rdtsc_precise() - t;
	r->segments += r->peer.sent_count;
	peer_listen(&r->peer);
}

static void pick(struct run *r)
{
	for (unsigned i = 0; i < STACK_BURST; i++) {
		r->picked[i] = r->order[r->at];
		r->at = r->at + 1 == r->o->conns ? 0 : r->at + 1;
	}
	if (++r->bursts % BURSTS_PER_US == 0)
		r->peer.now_us++;
	if (r->bursts % (1000 * BURSTS_PER_US) == 0)
		r->peer.ts++;
}

static void burst(struct run *r)
{
	pick(r);
	if (r->wanted == RECEIVE) {
		for (unsigned i = 0; i < STACK_BURST; i++)
			r->frames[i] = peer_frame(&r->peer, r->picked[i], PEER_ACK | PEER_PSH, r->o->bytes);
		r->frame_count = STACK_BURST;
		input(r, RECEIVE);
		return;
	}
	send(r);
	/* More than once only while cwnd opens. */
	while ((r->frame_count = peer_acknowledge(&r->peer, r->frames, STACK_BURST)))
		input(r, ACK);
}

static uint64_t random_next(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return x;
}

static void order_make(struct run *r)
{
	r->order = malloc(r->o->conns * sizeof(*r->order));
	MUST(r->order);
	for (unsigned i = 0; i < r->o->conns; i++)
		r->order[i] = i;
	if (strcmp(r->o->order, "random"))
		return;
	for (unsigned i = r->o->conns - 1; i > 0; i--) {
		unsigned j = (unsigned)(random_next() % (i + 1)), other = r->order[j];
		r->order[j] = r->order[i];
		r->order[i] = other;
	}
}

/* One frame more or less for each, so that not all acknowledge in the same round later. */
static void out_of_step(struct run *r, unsigned first, unsigned n)
{
	unsigned count = 0;

	for (unsigned k = first; k < first + n; k++) {
		uint32_t bytes = r->o->bytes < SMALL_BYTES ? 1 + (uint32_t)(random_next() % 1024) : 1448;
		if (r->o->bytes < SMALL_BYTES || random_next() % 2)
			r->frames[count++] = peer_frame(&r->peer, k, PEER_ACK | PEER_PSH, bytes);
	}
	r->frame_count = count;
	input(r, RECEIVE);
}

static void open_all(struct run *r)
{
	struct peer *p = &r->peer;

	for (unsigned i = 0; i < r->o->conns; i += STACK_BURST) {
		unsigned n = RTE_MIN(r->o->conns - i, (unsigned)STACK_BURST);
		peer_open(p, i, n);
		if (r->wanted != RECEIVE)
			continue;
		/* A byte that stays unacknowledged keeps the retransmission timer running. */
		p->acknowledges_not = true;
		for (unsigned k = i; k < i + n; k++)
			MUST(tcp_conn_write(p->conns[k].conn, data, 1) == 0);
		stack_output(p->stack, p->now_us);
		peer_listen(p);
		out_of_step(r, i, n);
		p->acknowledges_not = false;
	}
	p->acknowledges_not = r->wanted == RECEIVE;
	p->seen_count = 0;
}

/* False, and why, when something else than the fast path was measured. */
static bool fast_path_taken(struct run *r)
{
	static const enum stack_counter wrong[] = {STACK_COUNTER_tcp_out_of_window,
		STACK_COUNTER_tcp_duplicate_data, STACK_COUNTER_tcp_resent, STACK_COUNTER_tcp_out_of_order,
		STACK_COUNTER_tcp_checksum, STACK_COUNTER_tx_pool_empty};
	bool good = true;

	for (unsigned i = 0; i < RTE_DIM(wrong); i++)
		if (stack_counter(r->peer.stack, wrong[i])) {
			fprintf(stderr, "not the fast path: %llu times \"%s\"\n",
				(unsigned long long)stack_counter(r->peer.stack, wrong[i]),
				stack_counter_text(wrong[i]));
			good = false;
		}
	return good;
}

int fastpath_run(const struct bench_options *o)
{
	struct run r = {.o = o};
	struct bench_blocks blocks = {.count = o->blocks};
	double segments = 0;

	r.wanted = !strcmp(o->op, "receive") ? RECEIVE : !strcmp(o->op, "send") ? SEND : ACK;
	struct peer_options options = {.conns = o->conns,
		.offloads = o->offloads,
		.ipv6 = o->ipv6,
		.keepalive_us = KEEPALIVE_US,
		.mbufs_tx = r.wanted == RECEIVE ? o->conns : 0};
	blocks.ns = calloc(blocks.count, sizeof(*blocks.ns));
	MUST(blocks.ns && o->conns && o->conns <= PEER_CONNS_MAX && o->bytes && o->bytes <= sizeof(data));
	order_make(&r);
	peer_init(&r.peer, &options);
	open_all(&r);
	/* Every connection some times, until windows have opened and caches are what they will be. */
	for (unsigned i = 0; i < WARM_BURSTS + o->conns / STACK_BURST; i++)
		burst(&r);
	r.peer.acks_seen = 0;
	r.measuring = true;
	for (unsigned b = 0; b < blocks.count; b++) {
		r.cycles = r.segments = 0;
		for (unsigned i = 0; i < o->bursts; i++)
			burst(&r);
		blocks.ns[b] = bench_ns_of_cycles(r.cycles) / (double)r.segments;
		segments += (double)r.segments;
	}
	double ns = bench_median(&blocks);
	printf("op=%s bytes=%u conns=%u order=%s ip=%d offloads=%d ns=%.1f cycles=%.0f best_ns=%.1f "
	       "segments=%.0f acks=%.3f\n",
		o->op, o->bytes, o->conns, o->order, o->ipv6 ? 6 : 4, o->offloads, ns,
		ns * (double)rte_get_tsc_hz() / 1e9, blocks.ns[0], segments,
		(double)r.peer.acks_seen / segments);
	bool good = fast_path_taken(&r);
	peer_fini(&r.peer);
	free(r.order);
	free(blocks.ns);
	return good ? 0 : 1;
}
