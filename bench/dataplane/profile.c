/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/profile.h"

#include "runtime/check.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <string.h>

enum { LOOK_US = 50 };

struct phase_watch *profile_start(struct cluster *c)
{
	struct phase_mark *marks[BENCH_CORES_MAX];

	for (unsigned i = 0; i < c->o->cores; i++)
		marks[i] = &c->cores[i].turn.phase;
	struct phase_watch *w = phase_watch_start(marks, c->o->cores, LOOK_US);
	MUST(w);
	return w;
}

void profile_stop(struct cluster *c, struct phase_watch *w, double ns)
{
	struct phase_count seen[BENCH_CORES_MAX], sum = {0};
	uint64_t all = 0;
	char name[32];

	phase_watch_stop(w, seen);
	for (unsigned p = PHASE_OTHER; p < PHASE_COUNT; p++) {
		for (unsigned i = 0; i < c->o->cores; i++)
			sum.seen[p] += seen[i].seen[p];
		all += sum.seen[p];
	}
	for (unsigned p = PHASE_OTHER; p < PHASE_COUNT; p++) {
		double share = all ? (double)sum.seen[p] / (double)all : 0;
		snprintf(name, sizeof(name), "%s", phase_name(p));
		for (char *space; (space = strchr(name, ' '));)
			*space = '-';
		printf("phase=%s seen=%llu of=%llu share=%.4f ns=%.1f cycles=%.1f\n", name,
			(unsigned long long)sum.seen[p], (unsigned long long)all, share, share * ns,
			share * ns * (double)rte_get_tsc_hz() / 1e9);
	}
}
