/* SPDX-License-Identifier: Apache-2.0 */
/* Who talks to one core, and what is said: made of the options, the same for every way of transport. */
#ifndef BENCH_DATAPLANE_PLAN_H
#define BENCH_DATAPLANE_PLAN_H

#include "bench/dataplane/bench.h"
#include "tools/client/script.h"

enum { PLAN_SEGMENT_BYTES = 1448 }; /* full, with timestamps */

struct plan_client {
	struct script setup;
	struct script lap;	/* a publisher's messages, the first segment again behind them */
	size_t lap_bytes;	/* after which it begins anew */
	uint32_t message_bytes; /* all messages of a lap are as long */
	unsigned ack_every;	/* a consumer's; 0: no acks */
};

struct plan {
	struct plan_client admin; /* declares it all; first */
	struct plan_client *consumers, *publishers;
	unsigned consumer_count, publisher_count;
};

bool plan_knows(const char *with); /* what options.with may be */
void plan_make(struct plan *p, const struct bench_options *o, unsigned core);
void plan_free(struct plan *p);

#endif
