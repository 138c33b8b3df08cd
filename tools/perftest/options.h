/* SPDX-License-Identifier: Apache-2.0 */
/* What godwit-perftest is asked to do: qpid-perftest's options, and what follows from them. */
#ifndef TOOLS_PERFTEST_OPTIONS_H
#define TOOLS_PERFTEST_OPTIONS_H

#include "tools/client/machine.h"

enum perftest_mode { PERFTEST_SHARED, PERFTEST_FANOUT, PERFTEST_TOPIC };
enum { PERFTEST_WARM_FIRST = 1000 }; /* what a warm-up begins with, of each publisher */
enum perftest_format { PERFTEST_TABLE, PERFTEST_SUMMARY, PERFTEST_CSV, PERFTEST_JSON };

struct perftest_options {
	struct machine_options machine;
	const char *mode_word, *base, *flag;
	uint64_t npubs, nsubs, qt, count, size, iterations, ack, tx, window, timeout_s, time_limit_s,
		warmup_ms, rate, interval_pub_ms, interval_sub_ms;
	uint64_t prefetch; /* 0: no acks */
	bool durable, queue_durable, confirm, sync, unique, autoack;
	bool setup, control, publish, subscribe;
	bool summary, csv, json, ceiling, help;

	/* What follows. */
	enum perftest_mode mode;
	enum perftest_format format;
	unsigned pubs, subs;  /* in all */
	uint64_t first;	      /* messages of a publisher in the first iteration, which may be a warm-up */
	bool competing;	      /* several subscribers share a queue */
	unsigned local_count; /* workers and control of this process */
};

/* 0, or -1 with error. */
int perftest_options_parse(struct perftest_options *o, int argc, char **argv, char *error, size_t room);
void perftest_options_help(FILE *out);

/* Of an iteration in which each publisher sends count messages: what a subscriber gets, of several on a queue
 * on average; and publishes and receives of all. */
static inline uint64_t perftest_quota(const struct perftest_options *o, uint64_t count)
{
	return o->mode == PERFTEST_SHARED ? o->npubs * count / o->nsubs : o->npubs * count;
}

static inline uint64_t perftest_transfers(const struct perftest_options *o, uint64_t count)
{
	uint64_t received = o->mode == PERFTEST_SHARED ? o->pubs * count : o->subs * o->npubs * count;

	return o->pubs * count + received;
}

/* Which queue or topic a worker is for; whose messages a subscriber gets. */
static inline unsigned perftest_pub_queue(const struct perftest_options *o, unsigned pub)
{
	return pub / (unsigned)o->npubs;
}

static inline unsigned perftest_sub_queue(const struct perftest_options *o, unsigned sub)
{
	return sub / (unsigned)o->nsubs;
}

enum { PERFTEST_NAME_BYTES = 128 };
/* BASE0: a queue, or a topic; BASE_pub_0: what control says to a worker; BASE_control: what workers say. */
void perftest_data_name(const struct perftest_options *o, unsigned queue, char name[PERFTEST_NAME_BYTES]);
void perftest_worker_name(
	const struct perftest_options *o, bool pub, unsigned index, char name[PERFTEST_NAME_BYTES]);
void perftest_control_name(const struct perftest_options *o, char name[PERFTEST_NAME_BYTES]);

#endif
