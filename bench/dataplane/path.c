/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet frame in to Ethernet frame out. A round: the clients of a core send (not measured), the core takes
 * one turn (measured whole), the clients receive and answer (not measured). With threads each core does this
 * on a thread of its own; without, one thread does it for core after core. */
#include "bench/dataplane/load.h"
#include "bench/dataplane/profile.h"
#include "broker/core/message.h"
#include "dpdk_port/eal.h"
#include "runtime/check.h"
#include "runtime/reclaim.h"

#include <rte_cycles.h>
#include <rte_pause.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Of the virtual clock. However many connections there are, each is served often enough that no
	 * delayed acknowledgement waits for its timer, so that all do the same. */
	ROUND_NS = 20000,
	LAP_NS = 2000000,
	CONNECT_AT_ONCE = 32,
	SETUP_ROUNDS_MAX = 10000000,
	QUIET_ROUNDS = 64,
	WARM_ROUNDS = 2000,
	PROPERTIES_BYTES = 2, /* the flags alone */
	BACKLOG_LESS = 1000,  /* on their way, a core */
};

struct side {
	struct path *path;
	struct core *core;
	struct load load;
	uint64_t now_us, now_ns;
	bool measuring;
	uint64_t cycles, load_cycles;
	uint64_t rounds, resent_before;
	struct bench_block *blocks;
};

struct path {
	const struct bench_options *o;
	struct cluster cluster;
	struct side sides[BENCH_CORES_MAX];
	unsigned round_ns;
	unsigned arrived;    /* atomic: at the barrier, over all of them */
	double backlog_each; /* memory of a message in the backlog beyond its body and properties, in bytes */
};

BENCH_MEASURED static void measured_turn(struct core *k, uint64_t now_us)
{
	turn_run_once(&k->turn, now_us);
}

static void round_begin(struct side *s, bool publish)
{
	uint64_t t = rte_rdtsc();

	s->now_ns += s->path->round_ns;
	s->now_us = s->now_ns / 1000;
	if (publish && s->rounds++ % s->path->o->pace == 0)
		load_publish(&s->load, s->now_us);
	else
		load_hand_over(&s->load);
	s->load_cycles += rte_rdtsc() - t;
}

static void round_end(struct side *s)
{
	uint64_t t = rte_rdtsc();

	load_receive(&s->load, s->now_us);
	s->load_cycles += rte_rdtsc() - t;
}

static void one_turn(struct side *s)
{
	if (!s->measuring) {
		turn_run_once(&s->core->turn, s->now_us);
		return;
	}
	uint64_t t = rte_rdtsc_precise();
	measured_turn(s->core, s->now_us);
	s->cycles += rte_rdtsc_precise() - t;
}

static void rounds(struct path *p, unsigned n, bool publish)
{
	for (unsigned r = 0; r < n; r++)
		for (unsigned i = 0; i < p->o->cores; i++) {
			round_begin(&p->sides[i], publish);
			one_turn(&p->sides[i]);
			round_end(&p->sides[i]);
		}
	if (p->o->threads)
		reclaim_quiescent();
	else
		reclaim_run();
}

static uint64_t heard(const struct load *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->client_count; i++)
		sum += l->clients[i].ear.bytes;
	return sum;
}

/* Until the broker has said nothing more for some time. */
static void quiet(struct path *p)
{
	uint64_t before, after = 0;

	do {
		before = after;
		rounds(p, QUIET_ROUNDS, false);
		after = 0;
		for (unsigned i = 0; i < p->o->cores; i++)
			after += heard(&p->sides[i].load);
	} while (before != after);
}

static void connect_some(struct side *s, unsigned first, unsigned n)
{
	load_connect(&s->load, first, n, s->now_us);
	for (unsigned i = 0; !load_settled(&s->load, first, n); i++) {
		MUST(i < SETUP_ROUNDS_MAX);
		rounds(s->path, 1, false);
	}
}

/* from, to: of the clients, as they lie. */
static void connect_all(struct path *p, unsigned from, unsigned to)
{
	for (unsigned at = from; at < to; at += CONNECT_AT_ONCE) {
		unsigned n = to - at < CONNECT_AT_ONCE ? to - at : CONNECT_AT_ONCE;
		for (unsigned i = 0; i < p->o->cores; i++)
			connect_some(&p->sides[i], at, n);
	}
	quiet(p);
}

static uint64_t messages_sent(const struct side *s)
{
	return s->load.published / s->load.publishers[0].plan->message_bytes;
}

/* Messages in queues and with consumers, and what all of that takes: tables are counted by what is used of
 * the blocks that they describe. */
static uint64_t stored(const struct path *p, double *bytes)
{
	const struct message_store *store = p->cluster.store;
	struct message_store_stats m = message_store_stats(store);
	struct broker_core_stats b;
	uint64_t n = 0;

	for (unsigned i = 0; i < p->o->cores; i++) {
		broker_core_stats(p->cluster.cores[i].broker_core, &b);
		n += b.messages_ready + b.messages_unacked;
	}
	*bytes = ((double)m.blocks.used + m.slabs) * (double)message_store_memory_bytes(store) /
		 m.blocks.capacity;
	return n;
}

static void backlog(struct path *p)
{
	uint64_t wanted = p->o->backlog / p->o->cores, before, after;
	double bytes_before, bytes;

	if (!p->o->backlog)
		return;
	before = stored(p, &bytes_before);
	for (unsigned i = 0; i < p->o->cores; i++)
		while (messages_sent(&p->sides[i]) < wanted)
			rounds(p, 1, true);
	quiet(p);
	after = stored(p, &bytes);
	MUST(after - before + p->o->segments * p->o->cores >= wanted * p->o->cores);
	p->backlog_each = (bytes - bytes_before) / (double)(after - before) - p->o->bytes - PROPERTIES_BYTES;
}

static void open_all(struct path *p)
{
	unsigned consumers = 1 + p->sides[0].load.plan.consumer_count, all = p->sides[0].load.client_count;

	connect_all(p, 0, 1);
	connect_all(p, consumers, all);
	backlog(p);
	connect_all(p, 1, consumers);
	/* One delivery for each consumer at least, so that readers know how long one is. */
	for (unsigned i = 0; i < 2 + p->o->queues / p->o->segments; i++)
		rounds(p, 1, true);
	quiet(p);
	/* Whole messages only: what a segment has cut is completed by the next, which is not sent yet. */
	for (unsigned i = 0; i < p->o->cores; i++)
		load_learned(&p->sides[i].load);
}

static void counters_clear(struct side *s)
{
	s->cycles = s->load_cycles = s->load.published = s->load.delivered = 0;
}

static void block_end(struct side *s, struct bench_block *b)
{
	*b = (struct bench_block){.cycles = s->cycles,
		.cycles_max = s->cycles,
		.load_cycles = s->load_cycles,
		.published = messages_sent(s),
		.delivered = s->load.delivered};
}

static void blocks_in_turns(struct path *p)
{
	for (unsigned b = 0; b < p->o->blocks; b++) {
		for (unsigned i = 0; i < p->o->cores; i++)
			counters_clear(&p->sides[i]);
		rounds(p, p->o->rounds, true);
		for (unsigned i = 0; i < p->o->cores; i++)
			block_end(&p->sides[i], &p->sides[i].blocks[b]);
	}
}

/* All threads begin a block together. */
static void barrier(struct path *p, unsigned times)
{
	__atomic_fetch_add(&p->arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&p->arrived, __ATOMIC_ACQUIRE) < times * p->o->cores)
		rte_pause();
}

static int thread_run(void *ctx)
{
	struct side *s = ctx;
	struct path *p = s->path;

	reclaim_thread_register();
	for (unsigned b = 0; b < p->o->blocks; b++) {
		barrier(p, b + 1);
		counters_clear(s);
		for (unsigned r = 0; r < p->o->rounds; r++) {
			round_begin(s, true);
			one_turn(s);
			round_end(s);
			reclaim_quiescent();
		}
		block_end(s, &s->blocks[b]);
	}
	reclaim_thread_unregister();
	return 0;
}

static void blocks_in_threads(struct path *p)
{
	reclaim_thread_unregister();
	for (unsigned i = 0; i < p->o->cores; i++)
		MUST(dpdk_core_launch(i, thread_run, &p->sides[i]) == 0);
	for (unsigned i = 0; i < p->o->cores; i++)
		dpdk_core_join(i);
	reclaim_thread_register();
}

static double report(struct path *p)
{
	struct bench_block *sum = calloc(p->o->blocks, sizeof(*sum));

	MUST(sum);
	for (unsigned b = 0; b < p->o->blocks; b++)
		for (unsigned i = 0; i < p->o->cores; i++) {
			const struct bench_block *one = &p->sides[i].blocks[b];
			sum[b].cycles += one->cycles;
			sum[b].load_cycles += one->load_cycles;
			sum[b].published += one->published;
			sum[b].delivered += one->delivered;
			if (one->cycles_max > sum[b].cycles_max)
				sum[b].cycles_max = one->cycles_max;
		}
	double ns = bench_report(p->o, sum, p->backlog_each);
	free(sum);
	return ns;
}

static uint64_t resent(const struct side *s)
{
	return stack_counter(bypass_stack(s->core->bypass), STACK_COUNTER_tcp_resent) +
	       stack_counter(s->load.stack, STACK_COUNTER_tcp_resent);
}

/* What would make the figures something else's. */
static bool good(const struct path *p)
{
	bool all = true;
	double bytes;
	uint64_t left = stored(p, &bytes);

	if (left + BACKLOG_LESS * p->o->cores < p->o->backlog) {
		fprintf(stderr, "%llu messages are left of the backlog\n", (unsigned long long)left);
		all = false;
	}

	for (unsigned i = 0; i < p->o->cores; i++) {
		const struct side *s = &p->sides[i];
		uint64_t again = resent(s) - s->resent_before;
		uint64_t dropped = bypass_stats(s->core->bypass).tx_dropped;
		if (again || dropped) {
			fprintf(stderr, "core %u: %llu segments were sent again, %llu frames dropped\n", i,
				(unsigned long long)again, (unsigned long long)dropped);
			all = false;
		}
	}
	return all;
}

static void begin(struct path *p, const struct bench_options *o)
{
	uint64_t lap_ns = (uint64_t)LAP_NS * o->segments / o->queues;

	p->o = o;
	p->round_ns = lap_ns < ROUND_NS ? (unsigned)lap_ns + 1 : ROUND_NS;
	if (o->threads) {
		MUST(reclaim_start() == 0);
		reclaim_thread_register();
	} else {
		reclaim_start_manual();
	}
	cluster_open(&p->cluster, o, true, CORE_BEGIN_US);
	for (unsigned i = 0; i < o->cores; i++) {
		struct side *s = &p->sides[i];
		s->path = p;
		s->core = &p->cluster.cores[i];
		s->now_us = p->cluster.now_us;
		s->now_ns = s->now_us * 1000;
		s->blocks = calloc(o->blocks, sizeof(*s->blocks));
		MUST(s->blocks);
		load_open(&s->load, s->core, o, s->now_us);
	}
	open_all(p);
	rounds(p, WARM_ROUNDS, true);
	for (unsigned i = 0; i < o->cores; i++) {
		p->sides[i].measuring = true;
		p->sides[i].resent_before = resent(&p->sides[i]);
	}
}

static void end(struct path *p)
{
	for (unsigned i = 0; i < p->o->cores; i++) {
		load_close(&p->sides[i].load);
		free(p->sides[i].blocks);
	}
	cluster_close(&p->cluster);
	if (p->o->threads) {
		reclaim_thread_unregister();
		reclaim_stop();
	} else {
		while (reclaim_run())
			;
	}
}

int path_run(const struct bench_options *o)
{
	struct path *p = calloc(1, sizeof(*p));

	MUST(p);
	begin(p, o);
	struct phase_watch *watch = o->profile ? profile_start(&p->cluster) : NULL;
	if (o->threads)
		blocks_in_threads(p);
	else
		blocks_in_turns(p);
	double ns = report(p);
	if (watch)
		profile_stop(&p->cluster, watch, ns);
	bool as_meant = good(p);
	end(p);
	free(p);
	return as_meant ? 0 : 1;
}
