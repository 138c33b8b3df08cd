/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/options.h"

#include <string.h>

enum {
	BASE_MAX = 64,
	QUEUES_MAX = 10000,
	SIZE_MAX_BYTES = 1 << 20,
	ACK_MAX = 32767,
	PREFETCH_MIN = 2000,
	REPORT_MS = 1000,
	REPORT_MS_MIN = 10, /* the lines are written every 5 ms, and a few may wait */
};

#define AT(field) offsetof(struct latency_options, field)
#define NUMBER(name, letter, field, min, max, help)                         \
	{                                                                   \
		name, letter, OPTION_NUMBER, AT(field), min, max, "N", help \
	}
#define TEXT(name, letter, field, value, help)                          \
	{                                                               \
		name, letter, OPTION_TEXT, AT(field), 0, 0, value, help \
	}
#define FLAG(name, letter, field, help)                                \
	{                                                              \
		name, letter, OPTION_FLAG, AT(field), 0, 0, NULL, help \
	}

static const struct option_row rows[] = {
	FLAG("help", 'h', help, "this"),
	MACHINE_ROWS(latency_options, machine),
	NUMBER("rate", 'r', rate, 1, 100000000,
		"messages a second to each queue, on a schedule that waits for nothing [1000]"),
	NUMBER("size", 's', size, 0, SIZE_MAX_BYTES,
		"bytes of a message; from 8 on its order is checked [16]"),
	NUMBER("queues", 0, queues, 1, QUEUES_MAX, "queues, each with a sender and a receiver [1]"),
	NUMBER("concurrentTests", 0, queues, 1, QUEUES_MAX, NULL),
	NUMBER("count", 'C', count, 1, UINT64_C(1) << 40, "messages to each queue"),
	NUMBER("time-limit", 'z', time_limit_s, 1, 1000000, "seconds, where there is no --count [60]"),
	NUMBER("ack", 'A', ack, 0, ACK_MAX, "one ack for N messages; 0: none is wanted [0]"),
	FLAG("autoack", 'a', autoack, "as --ack 0"),
	NUMBER("prefetch", 'q', prefetch, 0, UINT16_MAX,
		"messages that a receiver has at most without an ack; --ack is half of it unless given "
		"[2000, where there are acks]"),
	NUMBER("burst", 0, burst, 1, 1000000, "messages that are due at once, at the same rate [1]"),
	{"confirm", 0, OPTION_YES_NO, AT(confirm), 0, 0, "yes|no",
		"a row for how long confirms take as well [no]"},
	{"durable", 0, OPTION_YES_NO, AT(durable), 0, 0, "yes|no", "persistent messages [no]"},
	TEXT("flag", 'f', flag, "persistent", "as --durable"),
	NUMBER("warmup", 0, warmup_ms, 0, 1000000, "milliseconds at the beginning that do not count [1000]"),
	NUMBER("floor", 0, floor_ms, 0, 1000000,
		"milliseconds of the schedule without a network, before [1000]"),
	NUMBER("gap", 0, gap_us, 1, 1000000,
		"microseconds in which this thread did not run: from then on it is a gap [20]"),
	NUMBER("timeout", 0, timeout_s, 1, 1000000, "seconds that the last message may take [10]"),
	TEXT("histogram", 0, histogram, "FILE", "where the latencies go, to be merged"),
	TEXT("no-gaps", 0, no_gaps, "FILE", "likewise those of no_gaps; not where --idle sleeps"),
	FLAG("marks", 0, marks,
		"lines on the standard error: sending, once all are connected, and received, before any "
		"leaves"),
	FLAG("merge", 0, merge, "FILE...: no test, but what is in these histograms, together"),
	TEXT("series", 0, series, "FILE", "a line a second; - is the standard output"),
	NUMBER("report-frequency", 0, report_ms, REPORT_MS_MIN, 1000000,
		"milliseconds from line to line of --series, which is - unless given [1000]"),
	FLAG("csv", 0, csv, "comma separated, with a head"),
	FLAG("json", 0, json, "one object"),
	FLAG("cumulative", 0, cumulative, "accepted: it is always so here"),
	TEXT("queue-base-name", 0, base, "NAME", "what the queues' names begin with [godwit-latencytest]"),
	TEXT("base-name", 0, base, "NAME", NULL),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

void latency_options_help(FILE *out)
{
	fprintf(out, "usage: godwit-latencytest [OPTION...]\n"
		     "How long messages take through an AMQP 0-9-1 broker and back, counted from the time at "
		     "which each "
		     "was to be sent.\n\n");
	options_help(out, rows, ROWS);
}

static int refuse(char *error, size_t room, const char *why)
{
	snprintf(error, room, "%s", why);
	return -1;
}

int latency_options_parse(struct latency_options *o, int argc, char **argv, char *error, size_t room)
{
	int others = 0;

	*o = (struct latency_options){.machine.idle = "poll",
		.base = "godwit-latencytest",
		.rate = 1000,
		.size = 16,
		.queues = 1,
		.burst = 1,
		.warmup_ms = 1000,
		.floor_ms = 1000,
		.gap_us = 20,
		.timeout_s = 10};
	if (options_parse(rows, ROWS, o, argc, argv, &others, error, room))
		return -1;
	o->files = others;
	if (others && !o->merge)
		return refuse(error, room, "files are for --merge");
	if (o->merge && !others)
		return refuse(error, room, "--merge needs files");
	if (o->merge && o->no_gaps)
		return refuse(error, room, "--merge makes one histogram, of --histogram");
	if (o->no_gaps && strcmp(o->machine.idle, "adaptive") == 0)
		return refuse(error, room, "--no-gaps: a loop that sleeps sees no gaps; --idle poll does");
	if (o->csv && o->json)
		return refuse(error, room, "--csv and --json exclude each other");
	if (o->count && o->time_limit_s)
		return refuse(error, room, "--count and --time-limit exclude each other");
	if (strlen(o->base) > BASE_MAX || !*o->base)
		return refuse(error, room, "--queue-base-name has 1 to 64 bytes");
	if (o->flag && strcmp(o->flag, "persistent") != 0)
		return refuse(error, room, "--flag is persistent: others are not known here");
	if (o->autoack && (o->ack || o->prefetch))
		return refuse(error, room, "--autoack: --ack and --prefetch want acks");
	if (o->prefetch && o->ack > o->prefetch)
		return refuse(error, room, "--ack: no more than --prefetch ever wait for one");
	o->durable = o->durable || o->flag;
	if (o->prefetch && !o->ack)
		o->ack = o->prefetch < 2 ? 1 : o->prefetch / 2;
	if (o->ack && !o->prefetch)
		o->prefetch = 2 * o->ack > PREFETCH_MIN ? 2 * o->ack : PREFETCH_MIN;
	if (o->report_ms && !o->series)
		o->series = "-";
	if (!o->report_ms)
		o->report_ms = REPORT_MS;
	o->format = o->csv ? LATENCY_CSV : o->json ? LATENCY_JSON : LATENCY_TABLE;
	if (!o->count)
		o->count = o->rate * (o->time_limit_s ? o->time_limit_s : 60);
	o->warmup_count = o->rate * o->warmup_ms / 1000;
	o->total = o->warmup_count + o->count;
	if (!o->machine.threads)
		o->machine.threads = 1;
	if (o->machine.threads > o->queues)
		return refuse(error, room, "--threads: each needs a queue");
	return 0;
}

void latency_queue_name(const struct latency_options *o, unsigned queue, char name[LATENCY_NAME_BYTES])
{
	snprintf(name, LATENCY_NAME_BYTES, "%s%u", o->base, queue);
}
