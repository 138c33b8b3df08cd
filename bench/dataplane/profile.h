/* SPDX-License-Identifier: Apache-2.0 */
/* Where a delivery's time goes: a watch (runtime/phase.h) looks at what the cores are doing while blocks are
 * measured. Clients work between the turns, where a core counts as idle. */
#ifndef BENCH_DATAPLANE_PROFILE_H
#define BENCH_DATAPLANE_PROFILE_H

#include "bench/dataplane/core.h"

struct phase_watch;

/* Watches the cluster's cores. Aborts without memory. */
struct phase_watch *profile_start(struct cluster *c);

/* Ends it and prints a line "phase=NAME share=S ns=N" for each phase: of a delivery's time, which is ns. */
void profile_stop(struct cluster *c, struct phase_watch *w, double ns);

#endif
