/* SPDX-License-Identifier: Apache-2.0 */
/* The run's course: who is ready, who is done, what it comes to. It knows words and the time, no network.
 *
 * Workers say, on one queue:
 *   pub|sub K ready                  it waits for start, or next
 *   pub|sub K alive COUNT            so many messages in this iteration; once a second
 *   pub K done I COUNT RATE          iteration I, messages, messages/s
 *   sub K count I COUNT RATE SUM     the same, and of competing subscribers the sum of stamps, so far
 *   pub|sub K bye                    it leaves
 *   pub|sub K failed WHY
 * and hear, each on a queue of its own, COUNT being each publisher's messages in iteration I:
 *   start I COUNT, next I COUNT (subscribers), bye, stop WHY, alive.
 *
 * What is an iteration to the workers may be less to whoever reads the report. Warm-ups are not reported,
 * each as long as the last one's rate says, until they took --warmup together. With --time-limit the last
 * one's rate says how many messages that is; where they took less time after all, another part follows, until
 * all parts together took it. */
#ifndef TOOLS_PERFTEST_CONTROL_H
#define TOOLS_PERFTEST_CONTROL_H

#include "tools/perftest/summary.h"

enum { CONTROL_WORD_BYTES = 240 };

struct control_app {
	void (*say)(void *ctx, bool pub, unsigned index, const char *words);
	void (*started)(void *ctx); /* an iteration begins */
	/* Since then: what part of the time the busiest of this client's loops had work; below 0 where it is
	 * not known. */
	double (*busy)(void *ctx);
	void (*iteration)(void *ctx, unsigned iteration, const struct summary *s);
	void (*over)(void *ctx, const char *why_or_null); /* once; NULL: all is well and everybody has left */
};

struct control_worker {
	bool ready, done, gone;
	uint64_t count, sum; /* of this iteration; sum: of all */
	uint64_t seen;	     /* as it last said that it is alive */
	double rate;
	double part_seconds, part_count; /* of the parts of this report so far */
	uint64_t heard_us;
};

struct control {
	const struct perftest_options *o;
	const struct control_app *app;
	void *ctx;
	enum { CONTROL_GATHERING, CONTROL_RUNNING, CONTROL_LEAVING, CONTROL_OVER } phase;
	struct control_worker *workers; /* publishers, then subscribers */
	unsigned iteration;		/* warm-ups included */
	unsigned reported;		/* warm-ups left out */
	bool warming;			/* this one does not count */
	uint64_t count;			/* messages of each publisher in this iteration */
	uint64_t published;		/* and in all before */
	uint64_t warmed_us;
	/* Of the parts so far, what is being measured alone. */
	uint64_t parts_us, parts_count;
	double parts_busy_us; /* below 0: not known */
	uint64_t began_us, progress_us, alive_us;
	uint64_t progress;
	struct summary *summaries;
};

/* False without memory. */
bool control_init(struct control *c, const struct perftest_options *o, const struct control_app *app,
	void *ctx, uint64_t now_us);
void control_free(struct control *c);

/* What a worker said: n bytes, whatever they are. */
void control_hear(struct control *c, const uint8_t *words, uint32_t n, uint64_t now_us);
/* Now and then. */
void control_tick(struct control *c, uint64_t now_us);

#endif
