/* SPDX-License-Identifier: Apache-2.0 */
/* A whole broker of one, two or four cores, and clients behind bad links, on one thread and a virtual clock:
 * world --seeds N --seed FIRST [--cores N] [--trace 1]. What must hold for each seed: what the ledger says of
 * every message, what channel.c says of every answer; nothing waits for ever; all pools are full at the end.
 * A seed and the source repeat a failure: no seed depends on the ones before it. */
#include "broker/core/core.h"
#include "runtime/siphash.h"
#include "tests/sim/seeds.h"
#include "tests/unit/poison.h"
#include "tests/world/acts.h"
#include "tests/world/house.h"
#include "tests/world/peer.h"
#include "tests/world/phases.h"
#include "tests/world/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIRE_MBUFS = 2047,
	PORT_MBUFS = 63,
	ROOM_BYTES = 2048,
	TURNS_MAX = 1000000,
	COMPLETE_SEEDS = 400, /* so many seeds meet everything */
	RING_OUT_US = 300000000,
};

struct world world;
static unsigned cores_wanted;

/* Linked in the place of runtime/siphash.c's: everything that is made of chance is the seed's. */
struct siphash_key __wrap_siphash_key_random(void);
struct siphash_key __wrap_siphash_key_random(void)
{
	return (struct siphash_key){sim_random(&world.dice), sim_random(&world.dice)};
}

void world_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# seed %llu at %llu us: ", (unsigned long long)world.seed, (unsigned long long)world.now_us);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n# world --seeds 1 --seed %llu --cores %u repeats it, --trace 1 shows what clients do\n",
		(unsigned long long)world.seed, cores_wanted);
	fflush(stdout);
	abort();
}

void world_trace(const char *fmt, ...)
{
	va_list ap;

	if (!world.tracing)
		return;
	va_start(ap, fmt);
	printf("# %10llu ", (unsigned long long)world.now_us);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void conditions_choose(struct sim_link_conditions *c)
{
	*c = (struct sim_link_conditions){
		.loss_permille = WORLD_ONE_OF(0, 0, 1, 10, 50),
		.duplicate_permille = WORLD_ONE_OF(0, 0, 10, 100),
		.reorder_permille = WORLD_ONE_OF(0, 0, 10, 200),
		.corrupt_permille = WORLD_ONE_OF(0, 0, 10),
		.delay_us = WORLD_ONE_OF(5, 100, 2000, 20000),
		.jitter_us = WORLD_ONE_OF(0, 0, 50, 5000),
		.blackout_permille = WORLD_ONE_OF(0, 0, 0, 1),
		.mtu = world.net.v6 ? WORLD_ONE_OF(0, 0, 0, 1280) : WORLD_ONE_OF(0, 0, 0, 1000),
	};
}

static void net_begin(void)
{
	bool routed = world_permille(400), v6 = world_permille(500);
	unsigned peers = 1 + world_below(WORLD_PEERS_MAX);

	sim_net_init(&world.net, peers + 1, routed, v6, &world.dice, world.net.pool, &world.now_us);
	world.net.vlan = (uint16_t)WORLD_ONE_OF(0, 0, 2);
	for (unsigned i = 0; i < world.net.hosts; i++) {
		world.net.links[i].conditions.delay_us = 100;
		if (!world.gentle)
			conditions_choose(&world.net.links[i].conditions);
	}
}

static void acts_choose(void)
{
	acts = (struct acts){
		.budget = WORLD_ONE_OF(100, 300, 600),
		.body_max = WORLD_ONE_OF(1000, 20000, 100000),
		.kill_permille = world.gentle ? 0 : WORLD_ONE_OF(0, 5, 20),
		.close_permille = WORLD_ONE_OF(0, 5, 20),
		.wide = world_permille(80),
		.hot = world_permille(250),
	};
}

static void seed_begin(uint64_t seed)
{
	world.seed = seed;
	sim_random_seed(&world.dice, seed);
	world.now_us = 1 + world_below(UINT32_MAX);
	world.digest = seed;
	world.stalled = false;
	world.gentle = world_permille(300);
	ledger_reset();
	net_begin();
	acts_choose();
	house_open(cores_wanted, acts.wide);
	peers_open(world.net.hosts - 1);
	clients_open(2 + world_below(CLIENTS_MAX - 1));
	phases_begin();
}

/* Takes all receive buffers away until it is called again, or gives them back. */
static void wire_hoard(bool take)
{
	static struct rte_mbuf *taken[WIRE_MBUFS];
	static unsigned n;

	rte_pktmbuf_free_bulk(taken, n);
	n = 0;
	if (!take)
		return;
	world_met(WORLD_receive_pool_taken);
	while (n < WIRE_MBUFS && (taken[n] = rte_pktmbuf_alloc(world.net.pool)))
		n++;
}

static void shortages(void)
{
	if (world.gentle || world.phase != WORLD_RUN) {
		wire_hoard(false);
		house_hoard_end();
		return;
	}
	if (world_permille(20))
		wire_hoard(world_permille(100));
	if (world_permille(20))
		house_hoard_end();
	else if (world_permille(2))
		house_hoard();
}

static uint64_t next_us(void)
{
	uint64_t clients_us = phases_next_us(), peers_us = peers_next_us(), house_us = house_next_us();
	uint64_t t = RTE_MIN(clients_us, peers_us);

	return RTE_MIN(t, house_us);
}

static void run(void)
{
	for (unsigned turns = 0; world.phase != WORLD_OVER; turns++) {
		if (turns == TURNS_MAX)
			phases_fail();
		phases_step();
		for (unsigned i = 0; i < peers_count(); i++)
			peer_turn(i);
		shortages();
		house_turn();
		house_check();
		uint64_t t = next_us();
		world.now_us = RTE_MAX(world.now_us + 1, t == UINT64_MAX ? 0 : t);
	}
}

/* What TCP has left to say, and its timers. */
static void ring_out(void)
{
	uint64_t until_us = world.now_us + RING_OUT_US;

	while (world.now_us < until_us && !house_silent()) {
		for (unsigned i = 0; i < peers_count(); i++)
			peer_turn(i);
		house_turn();
		uint64_t peers_us = peers_next_us(), house_us = house_next_us();
		uint64_t t = RTE_MIN(peers_us, house_us);
		t = RTE_MIN(t, until_us);
		world.now_us = RTE_MAX(world.now_us + 1, t);
	}
}

static void seed_end(void)
{
	ring_out();
	clients_close();
	house_close();
	world_tally_net();
	peers_close();
	if (rte_mempool_avail_count(world.net.pool) != world.net.pool->size ||
		rte_mempool_avail_count(world.net.port_pool) != world.net.port_pool->size)
		world_fail("a received buffer leaked");
}

static uint64_t seed_run(uint64_t seed)
{
	seed_begin(seed);
	run();
	seed_end();
	return world.digest;
}

static bool option(const char *name, const char *value)
{
	if (strcmp(name, "--cores") != 0)
		return false;
	cores_wanted = (unsigned)strtoul(value, NULL, 0);
	return true;
}

static void prepare(void)
{
	house_prepare();
	peers_prepare();
	world.net.pool = poison_pool_create("wire", WIRE_MBUFS, RTE_PKTMBUF_HEADROOM + ROOM_BYTES);
	world.net.port_pool = poison_pool_create("ports", PORT_MBUFS, RTE_PKTMBUF_HEADROOM + ROOM_BYTES);
}

static unsigned tally(bool complete)
{
	return world_tally_print(complete && !cores_wanted);
}

int main(int argc, char **argv)
{
	const struct seed_program p = {
		.usage = "world [--seeds N] [--seed FIRST] [--cores 0|1|2|4] [--trace 1]",
		.holds = "nothing is lost, nothing comes twice, all pools are full",
		.complete = COMPLETE_SEEDS,
		.tracing = &world.tracing,
		.option = option,
		.prepare = prepare,
		.run = seed_run,
		.tally = tally,
	};

	return seeds_main(&p, argc, argv);
}
