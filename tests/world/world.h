/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the simulation of a whole broker share: the virtual clock, the dice, the network, how it
 * fails and what it has met. */
#ifndef TESTS_WORLD_WORLD_H
#define TESTS_WORLD_WORLD_H

#include "tests/sim/net.h"

enum { WORLD_PEERS_MAX = 3, WORLD_TCP_PORT = 5672 };

enum world_situation {
#define SITUATION(name, text) WORLD_##name,
#include "tests/world/situations.def"
#undef SITUATION
	WORLD_SITUATIONS
};

enum world_phase {
	WORLD_SETUP, /* queues and bindings that stay are made */
	WORLD_RUN,   /* anything */
	WORLD_QUIET, /* nobody begins anything; what is under way ends, and the keeper empties the queues */
	WORLD_COUNT, /* the keeper is alone: it looks whether the queues are empty */
	WORLD_CLEAR, /* and deletes them */
	WORLD_OVER,
};

struct world {
	uint64_t seed, now_us;
	enum world_phase phase;
	struct sim_random dice;
	struct sim_net net;   /* host 0 is the broker */
	bool tracing, gentle; /* gentle: perfect links, nobody is killed */
	bool stalled;	 /* messages of another core have waited for memory: what is asked may come first */
	uint64_t digest; /* of all that clients received */
	uint64_t situations[WORLD_SITUATIONS];
};
extern struct world world;

#define WORLD_ONE_OF(...) SIM_PICK(&world.dice, __VA_ARGS__)

static inline uint32_t world_below(uint32_t n)
{
	return sim_below(&world.dice, n);
}

static inline bool world_permille(uint32_t n)
{
	return sim_permille(&world.dice, n);
}

static inline void world_met(enum world_situation which)
{
	world.situations[which]++;
}

/* Prints what is wrong and how to see it again, and aborts. */
__attribute__((noreturn, format(printf, 1, 2))) void world_fail(const char *fmt, ...);
/* With --trace alone. */
__attribute__((format(printf, 1, 2))) void world_trace(const char *fmt, ...);

/* tally.c. complete: what never occurred is printed too. Returns how many of those there are. */
void world_tally_net(void);
unsigned world_tally_print(bool complete);

#endif
