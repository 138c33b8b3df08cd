/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/world.h"

#include <stdio.h>

static const char *const names[WORLD_SITUATIONS] = {
#define SITUATION(name, text) #name,
#include "tests/world/situations.def"
#undef SITUATION
};

void world_tally_net(void)
{
	for (unsigned i = 0; i < world.net.hosts; i++) {
		const struct sim_link_counts *c = &world.net.links[i].counts;
		world.situations[WORLD_link_lost] += c->lost + c->burst_lost;
		world.situations[WORLD_link_duplicated] += c->duplicated;
		world.situations[WORLD_link_reordered] += c->reordered;
		world.situations[WORLD_link_corrupted] += c->corrupted;
		world.situations[WORLD_link_blackout] += c->blackouts;
		world.situations[WORLD_too_big] += c->too_big + c->too_big_silent;
	}
}

unsigned world_tally_print(bool complete)
{
	unsigned missing = 0;

	for (unsigned i = 0; i < WORLD_SITUATIONS; i++)
		if (world.situations[i])
			printf("# %12llu %s\n", (unsigned long long)world.situations[i], names[i]);
	for (unsigned i = 0; complete && i < WORLD_SITUATIONS; i++)
		if (!world.situations[i]) {
			printf("# %s never occurred\n", names[i]);
			missing++;
		}
	return missing;
}
