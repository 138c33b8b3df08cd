/* SPDX-License-Identifier: Apache-2.0 */
/* What publishers and subscribers have in common: a connection, a queue on which control speaks to them, and
 * the one on which they answer. A worker belongs to its loop. */
#ifndef TOOLS_PERFTEST_WORKER_H
#define TOOLS_PERFTEST_WORKER_H

#include "tools/perftest/run.h"

struct worker {
	struct client client;
	struct run *run;
	struct loop *loop;
	bool pub;
	unsigned index;
	bool over; /* its connection is closed, as it should be */
	uint64_t alive_us, heard_us;
	char control[PERFTEST_NAME_BYTES]; /* the queue that it answers on */
};

/* Apart from what is published in confirm mode or in transactions. */
enum { WORKER_SAY_CHANNEL = 2 };

/* The consumers' tags begin with these. */
enum { WORKER_CONTROL_TAG = 'c', WORKER_DATA_TAG = 'd' };

/* Prepares it with what all need; app's setup may be added to before worker_connect. */
void worker_init(struct worker *w, struct run *run, struct loop *loop, bool pub, unsigned index,
	const struct client_app *app);
void worker_free(struct worker *w);
void worker_connect(struct worker *w);

/* "pub K " and this, to control. Only between whole messages. */
__attribute__((format(printf, 2, 3))) void worker_say(struct worker *w, const char *format, ...);

/* What control said, with what follows start and next. Other words are dealt with here. */
enum worker_word { WORKER_NOTHING, WORKER_START, WORKER_NEXT };
struct worker_order {
	unsigned iteration;
	uint64_t count; /* each publisher's messages in it */
};
enum worker_word worker_heard(struct worker *w, const struct reader_delivery *d, struct worker_order *order);

/* Now and then: says that it is alive, and that `count` messages are done; fails where control is not heard
 * of. between: whether it may speak. */
void worker_tick(struct worker *w, uint64_t now_us, uint64_t count, bool between);

/* client_app's ended of both. */
void worker_ended(struct client *c, const char *why);

/* It failed: control and the run hear of it. */
void worker_fail(struct worker *w, bool between, const char *why);

#endif
