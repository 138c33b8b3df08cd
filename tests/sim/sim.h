/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the simulation share: the virtual clock, the dice, how it fails and what it has met. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "tcpstack/stack.h"
#include "tests/sim/net.h"

enum sim_situation {
#define SITUATION(name, text) SIM_##name,
#include "tests/sim/situations.def"
#undef SITUATION
	SIM_SITUATIONS
};

struct sim {
	uint64_t seed, now_us;
	struct sim_random dice;
	bool tracing;
	struct sim_net net;
	uint64_t digest; /* of all that was sent */
	uint64_t frames; /* sent by the stacks */
	uint64_t situations[SIM_SITUATIONS];
	uint64_t counters[STACK_COUNTERS];
};
extern struct sim sim;

#define SIM_ONE_OF(...) SIM_PICK(&sim.dice, __VA_ARGS__)

/* Prints what is wrong and how to see it again, and aborts. */
__attribute__((noreturn)) void sim_fail(const char *what);

static inline void sim_met(enum sim_situation which)
{
	sim.situations[which]++;
}

/* tally.c: adds what one stack, and the network, counted in a seed. */
void sim_tally_stack(const struct stack *s);
void sim_tally_net(const struct sim_net *n);
/* Prints what occurred; complete: what never did, too. Returns how many of those there are. */
unsigned sim_tally_print(bool complete);

#endif
