/* SPDX-License-Identifier: Apache-2.0 */
/* Control's connection: it makes the queues, is control's mouth and ear, and takes the queues away. */
#ifndef TOOLS_PERFTEST_STEERING_H
#define TOOLS_PERFTEST_STEERING_H

#include "tools/perftest/control.h"
#include "tools/perftest/run.h"

struct steering {
	struct client client;
	struct run *run;
	struct loop *loop;
	struct control control;
	uint64_t began_ticks, busy_ticks[MACHINE_LOOPS_MAX]; /* when the iteration began */
	bool steers;   /* the part control is this process's; else it only makes the queues */
	bool deleting; /* the run is over */
};

/* False without memory. */
bool steering_init(struct steering *s, struct run *run, struct loop *loop);
void steering_free(struct steering *s);
void steering_connect(struct steering *s);
void steering_tick(struct steering *s, uint64_t now_us);

#endif
