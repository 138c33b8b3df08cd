/* SPDX-License-Identifier: Apache-2.0 */
/* A test from start to end: the floor, the connections, the schedule, the ends. */
#ifndef TOOLS_LATENCYTEST_RUN_H
#define TOOLS_LATENCYTEST_RUN_H

#include "tools/client/machine.h"
#include "tools/client/outcome.h"
#include "tools/latencytest/options.h"
#include "tools/latencytest/recorder.h"

struct probe;

enum run_phase { RUN_FLOOR, RUN_CONNECTING, RUN_SENDING, RUN_ENDING };

struct run {
	struct latency_options options;
	struct machine machine;
	struct probe *probes;
	struct recorder *recorders; /* a loop */
	uint64_t start_ns;	    /* of the phase's schedule; set before the phase is */
	/* Any thread. */
	enum run_phase phase;
	unsigned ready, done, left; /* connections; probes; connections */
	struct outcome outcome;
};

/* 0 and what all loops have seen is in `sum`; or 1, and why is told on stderr. */
int run_all(struct run *r, struct recorder *sum);

#endif
