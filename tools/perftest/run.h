/* SPDX-License-Identifier: Apache-2.0 */
/* One process of a run: its machine, its workers, and how all of it ends. */
#ifndef TOOLS_PERFTEST_RUN_H
#define TOOLS_PERFTEST_RUN_H

#include "tools/client/machine.h"
#include "tools/client/outcome.h"
#include "tools/perftest/options.h"

struct publisher;
struct subscriber;
struct steering;

struct run {
	struct perftest_options options;
	struct machine machine;
	struct publisher *publishers; /* of this process: none, or all of the run's */
	struct subscriber *subscribers;
	struct steering *steering; /* control's connection; or the one that makes the queues */
	FILE *out;
	/* Any thread. */
	unsigned connect; /* workers may connect: the queues are there */
	unsigned left;	  /* connections that are not over */
	struct outcome outcome;
};

/* A connection is over. */
void run_leave(struct run *r);

/* From start to end, with messages for people on stderr: 0, or 1 where anything failed. */
int run_all(struct run *r);

#endif
