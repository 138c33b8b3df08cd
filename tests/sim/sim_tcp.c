/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks, bad links between them, and applications that behave at random, on a virtual clock:
 * sim_tcp --seeds N --seed FIRST (--trace 1 prints the frames). What must hold for each seed: every byte that
 * arrives is the right one; a connection that nobody aborted ends well on both sides with all its bytes;
 * nothing goes on for ever; all pools are full at the end; and what the observer demands of each frame. Over
 * a run each interesting situation must have occurred. A seed and the source repeat a failure: no seed
 * depends on the ones before it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/observer.h"
#include "tests/sim/seeds.h"
#include "tests/sim/stranger.h"
#include "tests/sim/talk.h"
#include "tests/unit/unit.h"

enum {
	LINK_MBUFS = 8192,
	PORT_MBUFS = 63,
	PATIENT_PERMILLE = 25,
	PAUSE_WAKE_US = 2000000,
	MTU_CUT = 296, /* routers must cut what is sent then */
	VIRTUAL_SECONDS_MAX = 4000,
	TURNS_MAX = 3000000,
	LAST_FRAMES_MAX = 200000, /* after all applications have finished */
	COMPLETE_SEEDS = 1000,	  /* so many seeds meet everything */
};

struct sim sim;

void sim_fail(const char *what)
{
	printf("# seed %llu at %llu us: %s\n", (unsigned long long)sim.seed, (unsigned long long)sim.now_us,
		what);
	printf("# sim_tcp --seeds 1 --seed %llu repeats it, --trace 1 shows the frames\n",
		(unsigned long long)sim.seed);
	fflush(stdout);
	abort();
}

static void queue_choose(struct sim_link_conditions *c)
{
	c->rate_kbit = SIM_ONE_OF(0, 0, 500, 10000, 1000000);
	if (!c->rate_kbit)
		return;
	c->queue_frames = SIM_ONE_OF(0, 5, 20, 500);
	c->queue_bytes = SIM_ONE_OF(0, 20000, 100000);
	c->mark_bytes = SIM_ONE_OF(0, 0, 10000);
}

static void mtu_choose(struct sim_link_conditions *c)
{
	c->mtu = sim.net.v6 ? SIM_ONE_OF(0, 1280, 1400) : SIM_ONE_OF(0, MTU_CUT, 576, 1000, 1400);
	/* Smaller than 576 is found by a router's word alone. */
	c->mtu_silent = sim_permille(&sim.dice, 400) && c->mtu != MTU_CUT;
}

static void conditions_choose(struct sim_link_conditions *c)
{
	*c = (struct sim_link_conditions){
		.loss_permille = SIM_ONE_OF(0, 0, 1, 10, 50, 150),
		.duplicate_permille = SIM_ONE_OF(0, 0, 10, 100),
		.reorder_permille = SIM_ONE_OF(0, 0, 10, 200),
		.corrupt_permille = SIM_ONE_OF(0, 0, 10, 50),
		.delay_us = SIM_ONE_OF(5, 100, 2000, 50000),
		.jitter_us = SIM_ONE_OF(0, 0, 50, 5000),
		.blackout_permille = SIM_ONE_OF(0, 0, 0, 1),
		.stall_permille = SIM_ONE_OF(0, 0, 0, 1),
	};
	if (sim_permille(&sim.dice, 200)) {
		c->burst_begin_permille = SIM_ONE_OF(1, 10);
		c->burst_end_permille = 300;
		c->burst_loss_permille = SIM_ONE_OF(300, 800);
	}
	queue_choose(c);
	if (sim_permille(&sim.dice, 150))
		c->cut_permille = SIM_ONE_OF(10, 100, 500);
	if (sim_permille(&sim.dice, 150))
		mtu_choose(c);
}

static void port_choose(struct sim_port *p)
{
	enum {
		SUMS = STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM,
		ALL = SUMS | STACK_OFFLOAD_MULTI_SEG | STACK_OFFLOAD_TX_TSO
	};

	p->offload_flags = SIM_ONE_OF(0, 0, 0, SUMS, ALL, ALL) | SIM_ONE_OF(0, STACK_OFFLOAD_RX_CKSUM);
	p->held_max = SIM_ONE_OF(0, 0, 1, 8, SIM_PORT_HELD_MAX);
}

static void net_begin(bool patient)
{
	static const char *const names[SIM_HOSTS_MAX] = {
		"host0", "host1", "host2", "host3", "host4", "host5"};
	unsigned n = SIM_ONE_OF(2, 2, 3, 6);

	bool routed = sim_permille(&sim.dice, 400), v6 = sim_permille(&sim.dice, 500);
	sim_net_init(&sim.net, n, routed, v6, &sim.dice, sim.net.pool, &sim.now_us);
	sim.net.observe = observer_sent;
	sim.net.observe_cut = observer_arrived;
	sim.net.vlan = (uint16_t)SIM_ONE_OF(0, 0, 2, 4094);
	sim.net.advertised = sim_permille(&sim.dice, 500);
	for (unsigned i = 0; i < n; i++) {
		port_choose(&sim.net.ports[i]);
		conditions_choose(&sim.net.links[i].conditions);
		while (patient && !sim.net.links[i].conditions.mtu)
			mtu_choose(&sim.net.links[i].conditions);
		if (sim.tracing)
			sim.net.links[i].trace = names[i];
	}
}

static void seed_begin(uint64_t seed)
{
	sim.seed = seed;
	sim_random_seed(&sim.dice, seed);
	sim.now_us = 1 + sim_below(&sim.dice, UINT32_MAX);
	sim.digest = seed;
	observer_reset();
	bool patient = sim_permille(&sim.dice, PATIENT_PERMILLE);
	net_begin(patient);
	unsigned talks = talks_plan(patient);
	stranger_plan();
	for (unsigned i = 0; i < sim.net.hosts; i++)
		host_start(i, talks);
	talks_listen();
}

/* Takes all receive buffers away until it is called again, or gives them back. */
static void wire_hoard(bool take)
{
	static struct rte_mbuf *taken[LINK_MBUFS];
	static unsigned n;

	rte_pktmbuf_free_bulk(taken, n);
	n = 0;
	if (!take)
		return;
	sim_met(SIM_receive_pool_taken);
	while (n < LINK_MBUFS && (taken[n] = rte_pktmbuf_alloc(sim.net.pool)))
		n++;
}

static void wake(void)
{
	unsigned i = sim_below(&sim.dice, sim.net.hosts);

	talks_wake();
	wire_hoard(sim_permille(&sim.dice, 2));
	/* The path changes. */
	if (sim_permille(&sim.dice, 1))
		mtu_choose(&sim.net.links[i].conditions);
	stranger_act();
	if (sim_permille(&sim.dice, 50))
		sim_net_advertise(&sim.net, i);
	if (hosts[i].hoarded)
		host_hoard_end(i);
	else if (sim_permille(&sim.dice, 20))
		host_hoard(i);
}

static uint64_t next_us(uint64_t wake_us)
{
	uint64_t t = RTE_MIN(wake_us, sim_net_next_us(&sim.net));

	for (unsigned i = 0; i < sim.net.hosts; i++)
		t = RTE_MIN(t, stack_next_us(hosts[i].stack));
	return t;
}

/* The applications have finished: what is left must come to an end by itself. */
static void check_silence(uint64_t frames_before)
{
	if (sim.frames - frames_before > LAST_FRAMES_MAX)
		sim_fail("the stacks go on without their applications");
	for (unsigned i = 0; i < sim.net.hosts; i++)
		host_hoard_end(i);
}

/* Runs until all are silent: nobody has anything to do any more. */
static void run(void)
{
	uint64_t start_us = sim.now_us, wake_us = sim.now_us, frames = 0;
	bool over = false;

	for (unsigned turns = 0;; turns++) {
		if (turns == TURNS_MAX || sim.now_us - start_us > VIRTUAL_SECONDS_MAX * 1000000ull)
			sim_fail(over ? "the stacks never fall silent" : "a connection never ends");
		if (!over && sim.now_us >= wake_us) {
			wake();
			uint32_t within_us = talks_pause() ? PAUSE_WAKE_US : SIM_ONE_OF(100, 10000, 100000);
			wake_us = sim.now_us + 1 + sim_below(&sim.dice, within_us);
		}
		if (!over && talks_over()) {
			over = true;
			wire_hoard(false);
			frames = sim.frames;
		}
		if (over)
			check_silence(frames);
		for (unsigned i = 0; i < sim.net.hosts; i++)
			host_turn(i);
		uint64_t t = next_us(over ? UINT64_MAX : wake_us);
		if (t == UINT64_MAX)
			return;
		/* Timers are a tick late at most. */
		sim.now_us = RTE_MAX(sim.now_us + 1, t);
	}
}

static void seed_end(void)
{
	for (unsigned i = 0; i < sim.net.hosts; i++)
		host_end(i);
	sim_tally_net(&sim.net);
	sim_net_clear(&sim.net);
	host_pools_check();
}

static uint64_t seed_run(uint64_t seed)
{
	seed_begin(seed);
	run();
	seed_end();
	return sim.digest;
}

static void prepare(void)
{
	host_pools_create();
	sim.net.pool = unit_pool("wire", LINK_MBUFS, HOST_ROOM_BYTES);
	sim.net.port_pool = unit_pool("ports", PORT_MBUFS, HOST_ROOM_BYTES);
}

int main(int argc, char **argv)
{
	const struct seed_program p = {
		.usage = "sim_tcp [--seeds N] [--seed FIRST] [--trace 1]",
		.holds = "streams are intact, connections end, nothing leaks",
		.complete = COMPLETE_SEEDS,
		.tracing = &sim.tracing,
		.prepare = prepare,
		.run = seed_run,
		.tally = sim_tally_print,
	};

	return seeds_main(&p, argc, argv);
}
