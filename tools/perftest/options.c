/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/options.h"

#include "tools/client/stamp.h"

#include <string.h>

enum {
	WORKERS_MAX = 20000,
	SIZE_MAX_BYTES = 64 << 20,
	BASE_MAX = 64,
	ACK_MAX = 32767,
	INTERVAL_MS_MAX = 10000,
	COUNT_DEFAULT = 500000,
	PREFETCH_MIN = 2000,
	WARMUP_TIMED_MS = 1000
};

/* Nobody asked for another one. */
#define WARMUP_DEFAULT UINT64_MAX

#define AT(field) offsetof(struct perftest_options, field)
#define NUMBER(name, letter, field, min, max, help)                         \
	{                                                                   \
		name, letter, OPTION_NUMBER, AT(field), min, max, "N", help \
	}
#define YES_NO(name, field, help)                                       \
	{                                                               \
		name, 0, OPTION_YES_NO, AT(field), 0, 0, "yes|no", help \
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
	MACHINE_ROWS(perftest_options, machine),
	FLAG("setup", 0, setup, "only the part: make the queues (before the other parts are started)"),
	FLAG("control", 0, control, "only the part: start, stop, report"),
	FLAG("publish", 0, publish, "only the part: all publishers"),
	FLAG("subscribe", 0, subscribe, "only the part: all subscribers; without any of these: all of them"),
	TEXT("mode", 0, mode_word, "shared|fanout|topic",
		"--qt queues; or a fanout exchange; or --qt topics [shared]"),
	NUMBER("npubs", 'x', npubs, 1, WORKERS_MAX, "publishers a queue or topic [1]"),
	NUMBER("nsubs", 'y', nsubs, 1, WORKERS_MAX, "subscribers a queue or topic [1]"),
	NUMBER("qt", 0, qt, 1, WORKERS_MAX, "queues or topics [1]"),
	NUMBER("count", 'C', count, 1, UINT64_C(1) << 40, "messages that each publisher sends [500000]"),
	NUMBER("time-limit", 'z', time_limit_s, 1, 86400,
		"instead: as many as take so many seconds, or a little more"),
	NUMBER("warmup", 0, warmup_ms, 0, 1000000,
		"milliseconds of messages before, which do not count [0; with --time-limit 1000]"),
	NUMBER("size", 0, size, 0, SIZE_MAX_BYTES,
		"bytes of a message; from 8 on its order is checked [1024]"),
	NUMBER("iterations", 0, iterations, 1, 1000000, "runs one after the other [1]"),
	YES_NO("durable", durable, "persistent messages, durable queues [no]"),
	TEXT("flag", 'f', flag, "persistent", "as --durable"),
	YES_NO("queue-durable", queue_durable, "durable queues, whatever the messages are [no]"),
	YES_NO("pub-confirm", confirm, "publishers wait for confirms at the end [yes]"),
	YES_NO("confirm", confirm, NULL),
	NUMBER("window", 'c', window, 0, UINT32_MAX,
		"messages that wait for their confirms at once; 0: any [0]"),
	YES_NO("sync-publish", sync, "as --window 1 [no]"),
	YES_NO("sync-pub", sync, NULL),
	NUMBER("rate", 'r', rate, 0, UINT32_MAX, "messages a second of each publisher at most; 0: any [0]"),
	NUMBER("interval_pub", 0, interval_pub_ms, 0, INTERVAL_MS_MAX,
		"milliseconds between two messages of a publisher [0]"),
	NUMBER("interval-pub", 0, interval_pub_ms, 0, INTERVAL_MS_MAX, NULL),
	NUMBER("sub-ack", 'A', ack, 0, ACK_MAX, "one ack for N messages; 0: none is wanted [0]"),
	NUMBER("ack", 0, ack, 0, ACK_MAX, NULL),
	FLAG("autoack", 'a', autoack, "as --sub-ack 0"),
	NUMBER("prefetch", 'q', prefetch, 0, UINT16_MAX,
		"messages that a subscriber has at most without an ack; --sub-ack is half of it unless "
		"given [2000, where there are acks]"),
	NUMBER("interval_sub", 0, interval_sub_ms, 0, INTERVAL_MS_MAX,
		"milliseconds between two messages of a subscriber, whose acks hold the next one back; "
		"--prefetch and --sub-ack are 1 unless given [0]"),
	NUMBER("interval-sub", 0, interval_sub_ms, 0, INTERVAL_MS_MAX, NULL),
	NUMBER("tx", 'm', tx, 0, UINT32_MAX, "messages a transaction; 0: none [0]"),
	YES_NO("unique-data", unique, "accepted: every message has its own number"),
	NUMBER("timeout", 0, timeout_s, 1, UINT32_MAX,
		"seconds without progress, or word of a worker: it failed [30]"),
	TEXT("base-name", 0, base, "NAME", "what the queues' names begin with [godwit-perftest]"),
	FLAG("summary", 's', summary, "publishes/s, receives/s, transfers/s, MB/s with tabs between"),
	FLAG("csv", 0, csv, "a head and a line an iteration"),
	FLAG("json", 0, json, "an object an iteration"),
	FLAG("ceiling", 0, ceiling, "what this client could do alone, into memory; no broker"),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

void perftest_options_help(FILE *out)
{
	fprintf(out,
		"usage: godwit-perftest [OPTION...]\n"
		"Publishes and receives as fast as an AMQP 0-9-1 broker can, and checks what comes.\n\n");
	options_help(out, rows, ROWS);
}

static int refuse(char *error, size_t room, const char *why)
{
	snprintf(error, room, "%s", why);
	return -1;
}

static int parse_mode(struct perftest_options *o, char *error, size_t room)
{
	static const char *const words[] = {
		[PERFTEST_SHARED] = "shared", [PERFTEST_FANOUT] = "fanout", [PERFTEST_TOPIC] = "topic"};

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(o->mode_word, words[i])) {
			o->mode = (enum perftest_mode)i;
			return 0;
		}
	snprintf(error, room, "--mode is shared, fanout or topic, not '%.40s'", o->mode_word);
	return -1;
}

static int check(struct perftest_options *o, char *error, size_t room)
{
	if (o->mode == PERFTEST_FANOUT && o->qt != 1)
		return refuse(error, room, "--mode fanout has one exchange: --qt must be 1");
	if (o->npubs * o->qt > WORKERS_MAX || o->nsubs * o->qt > WORKERS_MAX)
		return refuse(error, room, "--npubs and --nsubs times --qt may be 20000 at most");
	if (o->flag && strcmp(o->flag, "persistent") != 0)
		return refuse(error, room, "--flag is persistent: others are not known here");
	if (o->rate && o->interval_pub_ms)
		return refuse(error, room, "--rate and --interval_pub exclude each other");
	if (o->autoack && (o->ack || o->prefetch || o->interval_sub_ms))
		return refuse(error, room, "--autoack: --sub-ack, --prefetch and --interval_sub want acks");
	if (o->prefetch && o->ack > o->prefetch)
		return refuse(error, room, "--sub-ack: no more than --prefetch ever wait for one");
	if (o->tx && o->sync)
		return refuse(error, room, "--tx and --sync-publish exclude each other");
	if (o->count && o->time_limit_s)
		return refuse(error, room, "--count and --time-limit exclude each other");
	if (o->summary + o->csv + o->json > 1)
		return refuse(error, room, "--summary, --csv and --json exclude each other");
	if (strlen(o->base) > BASE_MAX || !*o->base)
		return refuse(error, room, "--base-name has 1 to 64 bytes");
	return 0;
}

static void follow_acks(struct perftest_options *o)
{
	if (o->interval_sub_ms && !o->prefetch)
		o->prefetch = o->ack ? o->ack : 1;
	if (o->prefetch && !o->ack)
		o->ack = o->prefetch > 1 && !o->interval_sub_ms ? o->prefetch / 2 : 1;
	if (o->ack && !o->prefetch)
		o->prefetch = 2 * o->ack > PREFETCH_MIN ? 2 * o->ack : PREFETCH_MIN;
	if (o->ack > ACK_MAX)
		o->ack = ACK_MAX;
}

static void follow(struct perftest_options *o)
{
	o->durable = o->durable || o->flag;
	o->queue_durable = o->queue_durable || o->durable;
	follow_acks(o);
	o->format = o->summary ? PERFTEST_SUMMARY
		    : o->csv   ? PERFTEST_CSV
		    : o->json  ? PERFTEST_JSON
			       : PERFTEST_TABLE;
	o->pubs = (unsigned)(o->npubs * o->qt);
	o->subs = (unsigned)(o->nsubs * o->qt);
	o->competing = o->mode == PERFTEST_SHARED && o->nsubs > 1;
	if (!o->count && !o->time_limit_s)
		o->count = COUNT_DEFAULT;
	if (o->warmup_ms == WARMUP_DEFAULT)
		o->warmup_ms = o->time_limit_s ? WARMUP_TIMED_MS : 0;
	o->first = o->time_limit_s || o->warmup_ms ? PERFTEST_WARM_FIRST : o->count;
	if (o->sync) {
		o->confirm = true;
		o->window = 1;
	}
	if (o->tx)
		o->confirm = false;
	if (!o->setup && !o->control && !o->publish && !o->subscribe)
		o->setup = o->control = o->publish = o->subscribe = true;
	o->local_count = (o->publish ? o->pubs : 0) + (o->subscribe ? o->subs : 0) + (o->control ? 1 : 0);
	if (!o->machine.threads)
		o->machine.threads = o->local_count > 2 || (o->publish && o->subscribe) ? 2 : 1;
}

int perftest_options_parse(struct perftest_options *o, int argc, char **argv, char *error, size_t room)
{
	*o = (struct perftest_options){.machine.idle = "adaptive",
		.mode_word = "shared",
		.base = "godwit-perftest",
		.npubs = 1,
		.nsubs = 1,
		.qt = 1,
		.size = 1024,
		.iterations = 1,
		.confirm = true,
		.warmup_ms = WARMUP_DEFAULT,
		.timeout_s = 30};
	if (options_parse(rows, ROWS, o, argc, argv, NULL, error, room) || parse_mode(o, error, room) ||
		check(o, error, room))
		return -1;
	follow(o);
	return 0;
}

void perftest_data_name(const struct perftest_options *o, unsigned queue, char name[PERFTEST_NAME_BYTES])
{
	snprintf(name, PERFTEST_NAME_BYTES, "%s%u", o->base, queue);
}

void perftest_worker_name(
	const struct perftest_options *o, bool pub, unsigned index, char name[PERFTEST_NAME_BYTES])
{
	snprintf(name, PERFTEST_NAME_BYTES, "%s_%s_%u", o->base, pub ? "pub" : "sub", index);
}

void perftest_control_name(const struct perftest_options *o, char name[PERFTEST_NAME_BYTES])
{
	snprintf(name, PERFTEST_NAME_BYTES, "%s_control", o->base);
}
