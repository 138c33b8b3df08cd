/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/random.h"

void sim_random_seed(struct sim_random *r, uint64_t seed)
{
	r->state = seed * 0x9e3779b97f4a7c15ull + 1;
	if (!r->state)
		r->state = 1;
	for (unsigned i = 0; i < 8; i++)
		sim_random(r);
}

uint64_t sim_random(struct sim_random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1dull;
}

uint32_t sim_below(struct sim_random *r, uint32_t n)
{
	return (uint32_t)((sim_random(r) >> 32) * n >> 32);
}

bool sim_permille(struct sim_random *r, uint32_t n)
{
	return n && sim_below(r, 1000) < n;
}
