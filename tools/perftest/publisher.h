/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_PERFTEST_PUBLISHER_H
#define TOOLS_PERFTEST_PUBLISHER_H

#include "tools/client/confirms.h"
#include "tools/client/lap.h"
#include "tools/perftest/worker.h"

struct publisher {
	struct worker worker;
	struct lap lap;
	enum { PUBLISHER_WAITING, PUBLISHER_SENDING, PUBLISHER_SETTLING } state;
	unsigned iteration;
	uint64_t number; /* of the next message, over all iterations */
	uint64_t count;	 /* of this iteration */
	uint64_t left;	 /* of this iteration, not in the lap yet */
	uint64_t began_us;
	struct confirms confirms;
	uint64_t in_tx, commits_due; /* messages in the open transaction; commits without an answer */
	struct script commit;
};

void publisher_init(struct publisher *p, struct run *run, struct loop *loop, unsigned index);
void publisher_free(struct publisher *p);

/* An iteration of count messages begins at now_us, a message's bytes go out as there is room. */
void publisher_start(struct publisher *p, unsigned iteration, uint64_t count, uint64_t now_us);
void publisher_pump(struct publisher *p);
void publisher_tick(struct publisher *p, uint64_t now_us);

#endif
