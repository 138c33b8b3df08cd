/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulation has met, and what it must meet. */
#include <stdio.h>

#include "tests/sim/sim.h"

static const char *const situation_names[SIM_SITUATIONS] = {
#define SITUATION(name, text) #name,
#include "tests/sim/situations.def"
#undef SITUATION
};

/* The stack's counters that a run which proves something has raised. */
static const enum stack_counter must_occur[] = {
#define MUST_OCCUR(name) STACK_COUNTER_##name,
#include "tests/sim/must-occur.def"
#undef MUST_OCCUR
};

void sim_tally_stack(const struct stack *s)
{
	for (unsigned i = 0; i < STACK_COUNTERS; i++)
		sim.counters[i] += stack_counter(s, (enum stack_counter)i);
}

void sim_tally_net(const struct sim_net *n)
{
	for (unsigned i = 0; i < n->hosts; i++) {
		const struct sim_link_counts *c = &n->links[i].counts;
		sim.situations[SIM_link_lost] += c->lost;
		sim.situations[SIM_link_burst_lost] += c->burst_lost;
		sim.situations[SIM_link_queue_lost] += c->queue_lost;
		sim.situations[SIM_link_blackout] += c->blackouts;
		sim.situations[SIM_link_stalled] += c->stalls;
		sim.situations[SIM_link_duplicated] += c->duplicated;
		sim.situations[SIM_link_reordered] += c->reordered;
		sim.situations[SIM_link_corrupted] += c->corrupted;
		sim.situations[SIM_too_big] += c->too_big;
		sim.situations[SIM_too_big_silent] += c->too_big_silent;
		sim.situations[SIM_link_marked] += c->marked;
		sim.situations[SIM_link_pool_empty] += c->pool_empty;
		sim.situations[SIM_link_cut] += c->cut;
		sim.situations[SIM_checksums_by_port] +=
			(n->ports[i].offload_flags & STACK_OFFLOAD_TX_TCP_CKSUM) != 0;
		sim.situations[SIM_checksums_seen_by_port] +=
			(n->ports[i].offload_flags & STACK_OFFLOAD_RX_CKSUM) != 0;
		sim.situations[SIM_frames_held_by_port] += n->ports[i].held_max != 0;
	}
	sim_met(n->routed ? SIM_routed : SIM_switched);
	sim.situations[SIM_ipv6] += n->v6;
	sim.situations[SIM_routed_ipv6] += n->routed && n->v6;
	sim.situations[SIM_router_advertised] += n->adverts != 0;
	sim.situations[SIM_tagged] += n->vlan != 0;
	sim.situations[SIM_many_hosts] += n->hosts > 2;
}

static unsigned missing(const char *name)
{
	printf("# %s never occurred\n", name);
	return 1;
}

unsigned sim_tally_print(bool complete)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SIM_SITUATIONS; i++)
		if (sim.situations[i])
			printf("# %12llu %s\n", (unsigned long long)sim.situations[i], situation_names[i]);
	for (unsigned i = 0; i < STACK_COUNTERS; i++)
		if (sim.counters[i])
			printf("# %12llu %s\n", (unsigned long long)sim.counters[i],
				stack_counter_name((enum stack_counter)i));
	if (!complete)
		return 0;
	for (unsigned i = 0; i < SIM_SITUATIONS; i++)
		if (!sim.situations[i])
			n += missing(situation_names[i]);
	for (unsigned i = 0; i < sizeof(must_occur) / sizeof(must_occur[0]); i++)
		if (!sim.counters[must_occur[i]])
			n += missing(stack_counter_name(must_occur[i]));
	return n;
}
