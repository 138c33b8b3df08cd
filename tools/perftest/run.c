/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/run.h"

#include "tools/perftest/publisher.h"
#include "tools/perftest/steering.h"
#include "tools/perftest/subscriber.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu/compiler.h>

enum {
	TICK_US = 1000,
	SLICE = 256,		/* workers that are looked after, or connected, in a tick */
	LOOK_US = 2000,		/* how soon the main thread sees an end */
	LAST_WORDS_US = 100000, /* for what a failing worker says to be sent */
};

void run_leave(struct run *r)
{
	__atomic_sub_fetch(&r->left, 1, __ATOMIC_ACQ_REL);
}

/* A loop's workers. It looks after some of them at a time, so that many cost it no more than few. */
struct loop_state {
	struct run *run;
	uint64_t tick_us;
	struct worker **workers;
	unsigned count, connected, at;
};

static struct loop_state states[MACHINE_LOOPS_MAX];

static void tick_worker(struct worker *w, uint64_t now_us)
{
	if (w->pub)
		publisher_tick(caa_container_of(w, struct publisher, worker), now_us);
	else
		subscriber_tick(caa_container_of(w, struct subscriber, worker), now_us);
}

static void connect_workers(struct loop_state *s)
{
	for (unsigned i = 0; i < SLICE && s->connected < s->count; i++)
		worker_connect(s->workers[s->connected++]);
}

static void tick_workers(struct loop_state *s, uint64_t now_us)
{
	for (unsigned i = 0; i < SLICE && i < s->connected; i++) {
		s->at = s->at + 1 < s->connected ? s->at + 1 : 0;
		tick_worker(s->workers[s->at], now_us);
	}
}

static unsigned loop_poll(struct loop *l, uint64_t now_us)
{
	struct loop_state *s = &states[l->config.index];

	if (now_us - s->tick_us < TICK_US)
		return 0;
	s->tick_us = now_us;
	if (s->run->steering && s->run->steering->loop == l)
		steering_tick(s->run->steering, now_us);
	if (__atomic_load_n(&s->run->connect, __ATOMIC_ACQUIRE))
		connect_workers(s);
	tick_workers(s, now_us);
	return 0;
}

static uint64_t loop_next_us(struct loop *l)
{
	return states[l->config.index].tick_us + TICK_US;
}

static struct loop *place(struct run *r, unsigned *at, struct worker *w)
{
	unsigned loop = (*at)++ % r->machine.count;

	states[loop].workers[states[loop].count++] = w;
	return &r->machine.loops[loop];
}

static bool make_states(struct run *r)
{
	for (unsigned i = 0; i < r->machine.count; i++) {
		states[i] = (struct loop_state){.run = r};
		states[i].workers = calloc(
			r->options.local_count / r->machine.count + 2, sizeof(struct worker *));
		if (!states[i].workers)
			return false;
	}
	return true;
}

/* Publishers and subscribers in turns over the loops, so that two loops are one of either. */
static bool make_workers(struct run *r)
{
	const struct perftest_options *o = &r->options;
	unsigned at = 0;

	if (!make_states(r))
		return false;

	if (o->publish)
		r->publishers = calloc(o->pubs, sizeof(*r->publishers));
	if (o->subscribe)
		r->subscribers = calloc(o->subs, sizeof(*r->subscribers));
	if (o->setup || o->control)
		r->steering = calloc(1, sizeof(*r->steering));
	if ((o->publish && !r->publishers) || (o->subscribe && !r->subscribers) ||
		((o->setup || o->control) && !r->steering))
		return false;
	for (unsigned i = 0; i < o->pubs || i < o->subs; i++) {
		if (o->publish && i < o->pubs)
			publisher_init(&r->publishers[i], r, place(r, &at, &r->publishers[i].worker), i);
		if (o->subscribe && i < o->subs &&
			!subscriber_init(&r->subscribers[i], r, place(r, &at, &r->subscribers[i].worker), i))
			return false;
	}
	return !r->steering || steering_init(r->steering, r, &r->machine.loops[0]);
}

static void free_workers(struct run *r)
{
	for (unsigned i = 0; r->publishers && i < r->options.pubs; i++)
		publisher_free(&r->publishers[i]);
	for (unsigned i = 0; r->subscribers && i < r->options.subs; i++)
		subscriber_free(&r->subscribers[i]);
	if (r->steering)
		steering_free(r->steering);
	for (unsigned i = 0; i < MACHINE_LOOPS_MAX; i++)
		free(states[i].workers);
	free(r->publishers);
	free(r->subscribers);
	free(r->steering);
}

static void begin(struct run *r)
{
	const struct perftest_options *o = &r->options;

	r->left = (r->publishers ? o->pubs : 0) + (r->subscribers ? o->subs : 0) + (r->steering ? 1 : 0);
	r->connect = !r->steering;
	if (r->steering)
		steering_connect(r->steering);
	machine_run(&r->machine);
}

static void wait_for_end(struct run *r)
{
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE) && outcome_goes_on(&r->outcome))
		usleep(LOOK_US);
	if (outcome_has_failed(&r->outcome))
		usleep(LAST_WORDS_US);
	machine_stop(&r->machine);
	machine_join(&r->machine);
}

int run_all(struct run *r)
{
	struct perftest_options *o = &r->options;
	unsigned threads = (unsigned)o->machine.threads;
	unsigned conns = o->local_count / threads + 3;
	char error[512];

	r->machine.config.poll = loop_poll;
	r->machine.config.next_us = loop_next_us;
	if (machine_open(&r->machine, threads, conns, error, sizeof(error))) {
		outcome_fail(&r->outcome, error);
		machine_close(&r->machine);
		return outcome_tell(&r->outcome, "godwit-perftest");
	}
	outcome_catch_signals();
	if (make_workers(r)) {
		begin(r);
		wait_for_end(r);
	} else {
		outcome_fail(&r->outcome, "no memory for the workers");
	}
	machine_close(&r->machine);
	free_workers(r);
	return outcome_tell(&r->outcome, "godwit-perftest");
}
