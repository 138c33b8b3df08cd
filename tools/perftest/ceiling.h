/* SPDX-License-Identifier: Apache-2.0 */
/* What this client could do at most: its own publisher and subscriber, with memory in the place of a broker.
 */
#ifndef TOOLS_PERFTEST_CEILING_H
#define TOOLS_PERFTEST_CEILING_H

#include "tools/perftest/run.h"

/* Prints it; 0, or 1. */
int ceiling_run(struct run *r);

#endif
