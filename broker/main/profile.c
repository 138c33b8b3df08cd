/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl profile`: which part of the cores' time goes where, for some seconds. A thread looks at what
 * each core is doing at random times (runtime/phase.h); the cores are asked for their counters at the
 * beginning and at the end and otherwise notice nothing. */
#include "broker/main/instance.h"
#include "runtime/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_US = 100, SECONDS_MAX = 3600, SECONDS = 5, CALL_TIMEOUT_MS = 1000 };

struct of_core {
	struct broker_core *core;
	struct broker_core_stats before, now;
	uint64_t busy_before;
};

struct profile {
	struct control_stream stream;
	struct instance *in;
	struct phase_watch *watch;
	uint64_t begin_us, end_us;
	bool stuck; /* a core may still write to it */
	struct of_core cores[CONFIG_LCORES_MAX];
};

static void take_stats(void *arg)
{
	struct of_core *c = arg;

	broker_core_stats(c->core, &c->now);
}

static int stats_take(struct profile *p, char *error, size_t error_bytes)
{
	for (unsigned i = 0; i < p->in->core_count; i++) {
		struct of_core *c = &p->cores[i];
		c->core = p->in->cores[i].core;
		if (calls_run(p->in->cores[i].calls, take_stats, c, CALL_TIMEOUT_MS) == 0)
			continue;
		p->stuck = true;
		snprintf(error, error_bytes, "data core %u does not answer", i);
		return -1;
	}
	return 0;
}

static void set_share(json_t *row, const char *key, double part)
{
	json_object_set_new(row, key, json_real((double)(int64_t)(part * 10000 + 0.5) / 100));
}

/* A phase of a core: its share of the time in turns, and of the cost of a delivery. */
static json_t *row_make(
	unsigned core, enum phase phase, const struct phase_count *seen, uint64_t turns, double ns_a_delivery)
{
	json_t *row = json_object();
	double share = turns ? (double)seen->seen[phase] / (double)turns : 0;

	json_object_set_new(row, "core", json_integer(core));
	json_object_set_new(row, "phase", json_string(phase_name(phase)));
	json_object_set_new(row, "seen", json_integer((json_int_t)seen->seen[phase]));
	set_share(row, "percent", share);
	json_object_set_new(
		row, "ns_a_delivery", json_real((double)(int64_t)(share * ns_a_delivery * 10 + 0.5) / 10));
	json_object_set_new(row, "what", json_string(phase_text(phase)));
	return row;
}

static void add_core(struct profile *p, unsigned index, const struct phase_count *seen, json_t *result)
{
	const struct data_core *d = &p->in->cores[index];
	const struct of_core *c = &p->cores[index];
	uint64_t delivered = c->now.delivered - c->before.delivered, turns = 0;
	uint64_t busy = turn_stats(&d->turn).ticks_busy - c->busy_before;
	double ns = delivered ? (double)busy * 1000 / turn_ticks_per_us(&d->turn) / (double)delivered : 0;
	json_t *core = json_object();

	for (enum phase i = PHASE_OTHER; i < PHASE_COUNT; i++)
		turns += seen->seen[i];
	json_object_set_new(core, "core", json_integer(index));
	json_object_set_new(core, "looks", json_integer((json_int_t)(turns + seen->seen[PHASE_IDLE])));
	json_object_set_new(
		core, "published", json_integer((json_int_t)(c->now.published - c->before.published)));
	json_object_set_new(core, "delivered", json_integer((json_int_t)delivered));
	json_object_set_new(core, "busy_ns_a_delivery", json_real((double)(int64_t)(ns * 10 + 0.5) / 10));
	json_array_append_new(json_object_get(result, "cores"), core);
	for (enum phase i = PHASE_OTHER; i < PHASE_COUNT; i++)
		json_array_append_new(json_object_get(result, "phases"), row_make(index, i, seen, turns, ns));
}

static int profile_next(
	struct control_stream *s, struct control_piece *piece, char *error, size_t error_bytes)
{
	struct profile *p = caa_container_of(s, struct profile, stream);
	struct phase_count seen[CONFIG_LCORES_MAX];
	uint64_t now_us = clock_now_us();

	if (now_us < p->end_us)
		return 0;
	phase_watch_stop(p->watch, seen);
	p->watch = NULL;
	if (stats_take(p, error, error_bytes) != 0)
		return -1;
	piece->result = json_object();
	json_object_set_new(
		piece->result, "seconds", json_real((double)((now_us - p->begin_us) / 1000) / 1000));
	json_object_set_new(piece->result, "cores", json_array());
	json_object_set_new(piece->result, "phases", json_array());
	for (unsigned i = 0; i < p->in->core_count; i++)
		add_core(p, i, &seen[i], piece->result);
	piece->last = true;
	return 1;
}

static void profile_stop(struct control_stream *s)
{
	caa_container_of(s, struct profile, stream)->end_us = 0;
}

static void profile_close(struct control_stream *s)
{
	struct profile *p = caa_container_of(s, struct profile, stream);
	struct phase_count seen[CONFIG_LCORES_MAX];

	if (p->watch)
		phase_watch_stop(p->watch, seen);
	if (!p->stuck)
		free(p);
}

static int seconds_read(const json_t *arguments, json_int_t *seconds, char *error, size_t error_bytes)
{
	const char *key;
	json_t *value;

	*seconds = SECONDS;
	json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
	{
		*seconds = json_integer_value(value);
		if (strcmp(key, "seconds") != 0 || *seconds < 1 || *seconds > SECONDS_MAX) {
			snprintf(error, error_bytes, "%.40s: profile takes seconds, from 1 to %d", key,
				SECONDS_MAX);
			return -1;
		}
	}
	return 0;
}

/* Counters of the beginning, and the watch. */
static int begin(struct profile *p, char *error, size_t error_bytes)
{
	struct phase_mark *marks[CONFIG_LCORES_MAX];

	if (stats_take(p, error, error_bytes) != 0)
		return -1;
	for (unsigned i = 0; i < p->in->core_count; i++) {
		struct turn *turn = &p->in->cores[i].turn;
		p->cores[i].before = p->cores[i].now;
		p->cores[i].busy_before = turn_stats(turn).ticks_busy;
		marks[i] = &turn->phase;
	}
	p->begin_us = clock_now_us();
	p->watch = phase_watch_start(marks, p->in->core_count, LOOK_US);
	if (!p->watch)
		snprintf(error, error_bytes, "out of memory, or of threads");
	return p->watch ? 0 : -1;
}

struct control_stream *profile_open(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	json_int_t seconds;
	struct profile *p;

	if (seconds_read(arguments, &seconds, error, error_bytes) != 0)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p) {
		snprintf(error, error_bytes, "out of memory");
		return NULL;
	}
	p->in = ctx;
	p->stream = (struct control_stream){
		.next = profile_next, .stop = profile_stop, .close = profile_close};
	if (begin(p, error, error_bytes) != 0) {
		profile_close(&p->stream);
		return NULL;
	}
	p->end_us = p->begin_us + (uint64_t)seconds * 1000000;
	return &p->stream;
}
