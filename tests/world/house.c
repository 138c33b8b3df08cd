/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/eal.h"
#include "runtime/check.h"
#include "runtime/log.h"
#include "tests/world/house_private.h"
#include "tests/world/inside.h"
#include "tests/world/world.h"

#include <stdio.h>

enum {
	EAL_MB = 512,
	TURN_US_MAX = 1000,  /* of what passes between two turns, while nothing goes in or out */
	SKIP_PERMILLE = 100, /* a core that is slower than the others */
};

struct house house;

void house_prepare(void)
{
	const struct auth_user user = {.name = "world", .password = "secret"};
	const struct eal_options o = {.memory_mb = EAL_MB, .data_cores = DOOR_CORES_MAX};
	char error[512];

	if (dpdk_eal_start(&o, error, sizeof(error)) || config_load(NULL, &house.base, stderr)) {
		fprintf(stderr, "the simulation could not be set up: %s\n", error);
		abort();
	}
	log_set_level(LOG_LEVEL_ERROR);
	reclaim_start_manual();
	house.in.auth = auth_create(&user, 1);
	MUST(house.in.auth);
	doors_prepare();
}

void house_open(unsigned cores, bool wide)
{
	struct auth *auth = house.in.auth;

	stack_config_defaults(&house.net);
	sim_net_configure(&world.net, 0, &house.net);
	house.door = door_open(cores);
	house.in = (struct instance){.auth = auth};
	shape_choose(&house.in.config, &house.in.sizes, house.door->cores, wide);
	house.in.ports[0] = house.door->port;
	house.polls = world_permille(300);
	memset(house.asleep, 0, sizeof(house.asleep));
	house.turns = 0;
	house.turn_us_min = WORLD_ONE_OF(20, 20, 200, 1000);
	house.turn_us = house.turn_us_min;
	if (cores_create(&house.in, world.now_us) || listeners_open(&house.in) != 1)
		world_fail("the broker could not be made");
	world.situations[WORLD_many_cores] += house.door->cores > 1;
}

/* Turns */

static bool due(unsigned i)
{
	struct turn *t = &house.in.cores[i].turn;

	return !house.asleep[i] || turn_woken(t) || turn_next_us(t) <= world.now_us ||
	       door_waits(house.door, i);
}

static void core_turn(unsigned i)
{
	struct turn *t = &house.in.cores[i].turn;

	if (!due(i) && !house.polls)
		return;
	if (!house.asleep[i] && world_permille(SKIP_PERMILLE))
		return;
	if (house.asleep[i])
		turn_sleep_end(t);
	house.asleep[i] = false;
	unsigned work = turn_run_once(t, world.now_us);
	if (door_out(house.door, house.net.tx, house.net.tx_ctx))
		house.turn_us = house.turn_us_min;
	inside_watch(house.in.cores[i].amqp091);
	house.turns++;
	if (work == 0 && turn_sleep_begin(t)) {
		house.asleep[i] = true;
		world_met(WORLD_core_slept);
	}
}

void house_turn(void)
{
	unsigned order[DOOR_CORES_MAX], n = house.door->cores;

	if (door_in(house.door))
		house.turn_us = house.turn_us_min;
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned k = world_below(i), last = order[i - 1];
		order[i - 1] = order[k];
		order[k] = last;
	}
	house.turn_us = house.turn_us < TURN_US_MAX / 2 ? house.turn_us * 2 : TURN_US_MAX;
	for (unsigned i = 0; i < n; i++)
		core_turn(order[i]);
	/* A grace period: no core is within a turn. */
	if (world_permille(200))
		reclaim_run();
}

uint64_t house_next_us(void)
{
	uint64_t t = sim_link_next_us(&world.net.links[0]);

	for (unsigned i = 0; i < house.door->cores; i++) {
		if (due(i))
			return world.now_us + 1 + world_below(house.turn_us);
		uint64_t turn_us = turn_next_us(&house.in.cores[i].turn);
		t = RTE_MIN(t, turn_us);
	}
	return t;
}

bool house_idle(void)
{
	for (unsigned i = 0; i < house.door->cores; i++)
		if (broker_core_busy(house.in.cores[i].core))
			return false;
	return true;
}

bool house_silent(void)
{
	for (unsigned i = 0; i < house.door->cores; i++) {
		struct stack_usage u = stack_usage(bypass_stack(house.in.cores[i].bypass[0]));
		if (u.conns || u.half_open)
			return false;
	}
	return true;
}

unsigned house_conns(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < house.door->cores; i++)
		n += amqp091_server_conn_count(house.in.cores[i].amqp091);
	return n;
}

bool house_short(void)
{
	return message_store_full(house.in.cores[0].core->cache);
}

static void blocks_hoard(void)
{
	house.blocks_of = world_below(house.door->cores);
	struct message_cache *cache = house.in.cores[house.blocks_of].core->cache;

	world_met(WORLD_message_memory_taken);
	while (house.block_count < BLOCKS_MAX &&
		(house.blocks[house.block_count] = message_store_block_take(cache)))
		house.block_count++;
}

static void buffers_hoard(void)
{
	struct rte_mempool *pool = house.in.cores[world_below(house.door->cores)].bypass_tx_pool[0];

	world_met(WORLD_transmit_pool_taken);
	while (house.hoarded < HOARD_MAX && (house.hoard[house.hoarded] = rte_pktmbuf_alloc(pool)))
		house.hoarded++;
}

void house_hoard(void)
{
	if (world_permille(500))
		blocks_hoard();
	else
		buffers_hoard();
}

void house_hoard_end(void)
{
	while (house.block_count)
		message_store_block_give(
			house.in.cores[house.blocks_of].core->cache, house.blocks[--house.block_count]);
	rte_pktmbuf_free_bulk(house.hoard, house.hoarded);
	house.hoarded = 0;
}
