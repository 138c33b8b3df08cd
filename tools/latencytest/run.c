/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/run.h"

#include "tools/latencytest/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LOOK_US = 5000,
	LEAD_NS = 20000000,
	LEAVE_US = 2000000,
	MARK_HOLD_NS = 100000000,
	MS_NS = 1000000,
	CONNECT_S = 10
};

/* A loop's probes, and what it has done about the phase that it knows of. */
struct loop_state {
	struct run *run;
	struct recorder *recorder;
	enum run_phase phase;
	unsigned first, step, count; /* probes: first, first + step, ... below count */
	uint64_t next_ns;	     /* the next message's time, or the next one's that is pretended */
};

static struct loop_state states[MACHINE_LOOPS_MAX];

#define EACH_PROBE(s, p)                                                                         \
	for (struct probe *p = &(s)->run->probes[(s)->first]; p < &(s)->run->probes[(s)->count]; \
		p += (s)->step)

/* Probes take their turns: their times are spread over the first one's interval. */
static uint64_t phase_ns(const struct run *r, const struct probe *p)
{
	return SCHEDULE_SECOND_NS / r->options.rate * p->index / r->options.queues;
}

/* When the first of the messages that are left of each probe's `total` is due. */
static uint64_t next_due_ns(const struct loop_state *s, uint64_t total)
{
	uint64_t next_ns = UINT64_MAX;

	EACH_PROBE(s, p)
	{
		uint64_t due_ns = schedule_due_ns(&p->schedule, p->sent);
		if (p->sent < total && due_ns < next_ns)
			next_ns = due_ns;
	}
	return next_ns;
}

static void pretend(struct loop_state *s, uint64_t now_ns)
{
	uint64_t total = s->run->options.rate * s->run->options.floor_ms / 1000;

	EACH_PROBE(s, p)
	probe_pretend(p, now_ns, total);
	s->next_ns = next_due_ns(s, total);
}

static void enter(struct loop_state *s, enum run_phase phase)
{
	struct run *r = s->run;

	if (s->phase == RUN_FLOOR)
		pretend(s, recorder_clock_ns());
	s->phase = phase;
	EACH_PROBE(s, p)
	{
		if (phase == RUN_CONNECTING) {
			probe_connect(p);
		} else if (phase == RUN_SENDING) {
			p->sent = 0;
			p->schedule = (struct schedule){
				r->start_ns + phase_ns(r, p), r->options.rate, r->options.burst};
		} else {
			client_close(&p->sender);
			client_close(&p->receiver);
		}
	}
	if (phase != RUN_SENDING)
		return;
	s->next_ns = r->start_ns;
	s->recorder->gap_limit_ns =
		s->run->machine.config.idle == TURN_IDLE_ADAPTIVE ? 0 : r->options.gap_us * 1000;
	const struct schedule counted = {r->start_ns, r->options.rate, 1};
	s->recorder->series.period_ns = r->options.report_ms * MS_NS;
	s->recorder->series.start_ns = schedule_due_ns(&counted, r->options.warmup_count);
}

static void send_due(struct loop_state *s, uint64_t now_ns)
{
	EACH_PROBE(s, p)
	probe_send(p, now_ns);
	s->next_ns = next_due_ns(s, s->run->options.total);
}

static void loop_begin(struct loop *l)
{
	struct loop_state *s = &states[l->config.index];

	if (s->phase == RUN_SENDING)
		recorder_turn(s->recorder, recorder_clock_ns());
}

static unsigned loop_poll(struct loop *l, uint64_t now_us)
{
	struct loop_state *s = &states[l->config.index];
	enum run_phase phase = __atomic_load_n(&s->run->phase, __ATOMIC_ACQUIRE);
	uint64_t now_ns = recorder_clock_ns();

	if (phase != s->phase)
		enter(s, phase);
	if (phase == RUN_FLOOR) {
		if (now_ns >= s->next_ns)
			pretend(s, now_ns);
	} else if (phase == RUN_SENDING) {
		recorder_look(s->recorder, now_ns);
		series_advance(&s->recorder->series, now_ns);
		if (now_ns >= s->next_ns)
			send_due(s, now_ns);
	}
	return 0;
}

/* Asleep no longer than until the next message; and looks up at times for what the main thread wants. */
static uint64_t loop_next_us(struct loop *l)
{
	const struct loop_state *s = &states[l->config.index];
	uint64_t look_us = l->now_us + LOOK_US;

	bool scheduled = s->phase == RUN_SENDING || s->phase == RUN_FLOOR;

	return scheduled && s->next_ns / 1000 < look_us ? s->next_ns / 1000 : look_us;
}

static bool make_probes(struct run *r)
{
	const struct latency_options *o = &r->options;
	unsigned loops = r->machine.count;

	r->probes = calloc(o->queues, sizeof(*r->probes));
	r->recorders = calloc(loops, sizeof(*r->recorders));
	if (!r->probes || !r->recorders)
		return false;
	for (unsigned i = 0; i < loops; i++) {
		r->recorders[i].cpu_clock_ns = recorder_cpu_clock_ns;
		states[i] = (struct loop_state){.run = r,
			.recorder = &r->recorders[i],
			.first = i,
			.step = loops,
			.count = (unsigned)o->queues};
	}
	for (unsigned i = 0; i < o->queues; i++) {
		struct probe *p = &r->probes[i];
		if (!probe_init(p, r, &r->machine.loops[i % loops], &r->recorders[i % loops], i))
			return false;
		p->schedule = (struct schedule){r->start_ns + phase_ns(r, p), o->rate, o->burst};
	}
	return true;
}

/* In seconds. */
static double begin_s(const struct run *r, uint64_t period)
{
	return (double)(period * r->options.report_ms) / 1000;
}

/* Periods that are over on every loop, to the series' file. */
static void take_series(struct run *r, FILE *out, struct distribution *d, uint64_t *period)
{
	for (;; (*period)++) {
		for (unsigned i = 0; i < r->machine.count; i++)
			if (series_over(&r->recorders[i].series) <= *period)
				return;
		distribution_clear(d);
		for (unsigned i = 0; i < r->machine.count; i++)
			series_take(&r->recorders[i].series, d);
		series_line(out, begin_s(r, *period), d);
	}
}

struct watch {
	FILE *series; /* NULL: nobody wants it */
	struct distribution *period_of;
	uint64_t period;
};

static bool wait_until(
	struct run *r, const unsigned *counter, unsigned wanted, uint64_t until_ns, struct watch *w)
{
	while (outcome_goes_on(&r->outcome) && __atomic_load_n(counter, __ATOMIC_ACQUIRE) != wanted) {
		usleep(LOOK_US);
		if (w->series)
			take_series(r, w->series, w->period_of, &w->period);
		if (recorder_clock_ns() > until_ns)
			return false;
	}
	return !outcome_has_failed(&r->outcome);
}

static void set_phase(struct run *r, enum run_phase phase, uint64_t start_ns)
{
	r->start_ns = start_ns;
	__atomic_store_n(&r->phase, phase, __ATOMIC_RELEASE);
}

static void complain_of_missing(struct run *r)
{
	char why[200];
	const struct latency_options *o = &r->options;

	/* The loops may still count: it is only told. */
	for (unsigned i = 0; i < o->queues; i++) {
		uint64_t got = __atomic_load_n(&r->probes[i].received, __ATOMIC_RELAXED);
		if (got == o->total)
			continue;
		snprintf(why, sizeof(why),
			"queue %u: %llu of %llu messages had come %llu s after the last one was due", i,
			(unsigned long long)got, (unsigned long long)o->total,
			(unsigned long long)o->timeout_s);
		outcome_fail(&r->outcome, why);
		return;
	}
}

/* Somebody who reads this may ask the broker what it has counted; at the end there is time for it. */
static void mark(const struct run *r, const char *what)
{
	if (r->options.marks)
		fprintf(stderr, "%s\n", what);
}

static void conduct(struct run *r, struct watch *w)
{
	const struct latency_options *o = &r->options;
	unsigned conns = 2 * (unsigned)o->queues, never = 0;
	uint64_t second_ns = SCHEDULE_SECOND_NS;

	wait_until(r, &never, 1, r->start_ns + o->floor_ms * MS_NS, w);
	set_phase(r, RUN_CONNECTING, 0);
	if (!wait_until(r, &r->ready, conns, recorder_clock_ns() + CONNECT_S * second_ns, w)) {
		outcome_fail(&r->outcome, "the broker does not answer");
		return;
	}
	mark(r, "sending");
	uint64_t start_ns = recorder_clock_ns() + LEAD_NS;
	const struct schedule all = {start_ns, o->rate, 1};
	set_phase(r, RUN_SENDING, start_ns);
	if (!wait_until(r, &r->done, (unsigned)o->queues,
		    schedule_due_ns(&all, o->total) + o->timeout_s * second_ns, w)) {
		complain_of_missing(r);
		return;
	}
	mark(r, "received");
	if (o->marks)
		wait_until(r, &never, 1, recorder_clock_ns() + MARK_HOLD_NS, w);
	set_phase(r, RUN_ENDING, 0);
	wait_until(r, &r->left, 0, recorder_clock_ns() + LEAVE_US * UINT64_C(1000), w);
}

/* The last periods, of which the loops say nothing more. */
static void end_series(struct run *r, struct watch *w)
{
	uint64_t last = 0;

	for (unsigned i = 0; i < r->machine.count; i++)
		last = r->recorders[i].series.period > last ? r->recorders[i].series.period : last;
	for (; w->period <= last; w->period++) {
		distribution_clear(w->period_of);
		for (unsigned i = 0; i < r->machine.count; i++)
			if (r->recorders[i].series.period >= w->period)
				series_take(&r->recorders[i].series, w->period_of);
		if (w->period < last || w->period_of->count)
			series_line(w->series, begin_s(r, w->period), w->period_of);
	}
}

static int open_watch(struct run *r, struct watch *w)
{
	const char *name = r->options.series;

	*w = (struct watch){0};
	if (!name)
		return 0;
	w->series = strcmp(name, "-") ? fopen(name, "w") : stdout;
	w->period_of = malloc(sizeof(*w->period_of));
	if (!w->series || !w->period_of) {
		fprintf(stderr, "godwit-latencytest: --series %s: %s\n", name, strerror(errno));
		return -1;
	}
	series_head(w->series);
	return 0;
}

static void close_watch(struct watch *w)
{
	free(w->period_of);
	if (w->series && w->series != stdout)
		fclose(w->series);
}

static void run_probes(struct run *r, struct watch *w)
{
	r->left = 2 * (unsigned)r->options.queues;
	machine_run(&r->machine);
	conduct(r, w);
	machine_stop(&r->machine);
	machine_join(&r->machine);
	if (w->series)
		end_series(r, w);
}

static void free_all(struct run *r)
{
	for (unsigned i = 0; r->probes && i < r->options.queues; i++)
		probe_free(&r->probes[i]);
	free(r->probes);
	free(r->recorders);
}

int run_all(struct run *r, struct recorder *sum)
{
	const struct latency_options *o = &r->options;
	unsigned threads = (unsigned)o->machine.threads;
	struct watch watch;
	char error[512];

	if (open_watch(r, &watch))
		return 1;
	r->machine.config.begin = loop_begin;
	r->machine.config.poll = loop_poll;
	r->machine.config.next_us = loop_next_us;
	if (machine_open(&r->machine, threads, 2 * ((unsigned)o->queues / threads + 1) + 2, error,
		    sizeof(error))) {
		outcome_fail(&r->outcome, error);
	} else {
		outcome_catch_signals();
		r->start_ns = recorder_clock_ns() + LEAD_NS;
		if (make_probes(r))
			run_probes(r, &watch);
		else
			outcome_fail(&r->outcome, "no memory");
		for (unsigned i = 0; r->recorders && i < r->machine.count; i++)
			recorder_merge(sum, &r->recorders[i]);
	}
	machine_close(&r->machine);
	free_all(r);
	close_watch(&watch);
	return outcome_tell(&r->outcome, "godwit-latencytest");
}
