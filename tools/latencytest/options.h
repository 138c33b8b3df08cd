/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_LATENCYTEST_OPTIONS_H
#define TOOLS_LATENCYTEST_OPTIONS_H

#include "tools/client/machine.h"

enum latency_format { LATENCY_TABLE, LATENCY_CSV, LATENCY_JSON };

struct latency_options {
	struct machine_options machine;
	const char *base, *histogram, *no_gaps, *series, *flag;
	uint64_t rate, size, count, time_limit_s, queues, ack, burst, warmup_ms, floor_ms, gap_us, timeout_s;
	uint64_t prefetch; /* 0: no acks */
	uint64_t report_ms;
	bool durable, confirm, autoack, csv, json, merge, marks, help, cumulative;

	enum latency_format format;
	uint64_t warmup_count, total; /* messages of a queue: that are not counted, and all */
	int files;		      /* of --merge, in front of argv */
};

/* 0, or -1 with error. */
int latency_options_parse(struct latency_options *o, int argc, char **argv, char *error, size_t room);
void latency_options_help(FILE *out);

enum { LATENCY_NAME_BYTES = 128 };
void latency_queue_name(const struct latency_options *o, unsigned queue, char name[LATENCY_NAME_BYTES]);

#endif
