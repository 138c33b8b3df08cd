/* SPDX-License-Identifier: Apache-2.0 */
/* One queue with its sender and its receiver, both on one loop: a clock for both ends. */
#ifndef TOOLS_LATENCYTEST_PROBE_H
#define TOOLS_LATENCYTEST_PROBE_H

#include "tools/client/confirms.h"
#include "tools/client/lap.h"
#include "tools/client/stamp.h"
#include "tools/latencytest/run.h"
#include "tools/latencytest/schedule.h"

struct probe {
	struct run *run;
	struct loop *loop;
	struct recorder *recorder; /* its loop's */
	unsigned index;
	struct client sender, receiver;
	struct lap lap;
	struct schedule schedule;
	struct stamp_account account;
	uint64_t sent, received;
	uint64_t noted, sent_ns; /* of those sent: how many are in `late`; when the others were sent */
	struct confirms confirms;
	uint64_t tag, acked;
	bool broken, done;
};

/* False without memory. */
bool probe_init(
	struct probe *p, struct run *run, struct loop *loop, struct recorder *recorder, unsigned index);
void probe_free(struct probe *p);
void probe_connect(struct probe *p);

/* Sends what is due. */
void probe_send(struct probe *p, uint64_t now_ns);
/* As if it had sent, for the floor: notes how late it is. */
void probe_pretend(struct probe *p, uint64_t now_ns, uint64_t total);

#endif
