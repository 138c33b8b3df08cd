/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_PERFTEST_SUBSCRIBER_H
#define TOOLS_PERFTEST_SUBSCRIBER_H

#include "tools/client/stamp.h"
#include "tools/perftest/worker.h"

struct subscriber {
	struct worker worker;
	struct stamp_account account;
	unsigned iteration;
	uint64_t quota;		    /* what is due in this iteration; of several on a queue, on average */
	uint64_t count;		    /* of this iteration */
	uint64_t told;		    /* of which control knows */
	uint64_t began_us, last_us; /* start, or its first message where that was before; its last one */
	uint64_t tag, acked, next_ack_us;
	uint64_t uncommitted; /* acks in the open transaction */
	bool committing;      /* nothing is said until that is answered */
	struct script commit;
	bool broken; /* it has found something wrong: nothing more is looked at */
};

/* False without memory. */
bool subscriber_init(struct subscriber *s, struct run *run, struct loop *loop, unsigned index);
void subscriber_free(struct subscriber *s);
void subscriber_tick(struct subscriber *s, uint64_t now_us);

/* A message of the data queue. */
void subscriber_take(struct subscriber *s, const struct reader_delivery *d);

#endif
