/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings come and go, one call each as a client makes them, with the reclaim thread at work; and how long
 * the longest call holds its core. */
#include "bench/route/bench.h"

#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { TURN = 32 /* changes between two quiescent states */, LONG_CYCLES = 20000 };

struct spans {
	uint64_t longest; /* cycles */
	uint64_t count;
	long switches;
	double cpu_ns; /* of this thread, in all */
};

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static long switches(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nivcsw;
}

static void spans_begin(struct spans *s)
{
	*s = (struct spans){.switches = switches(), .cpu_ns = -cpu_ns()};
}

static void spans_end(struct spans *s)
{
	s->cpu_ns += cpu_ns();
}

static void span(struct spans *s, uint64_t from)
{
	uint64_t cycles = __rdtsc() - from;

	/* A call during which others had the CPU says nothing. */
	if (cycles > s->longest && cycles > LONG_CYCLES) {
		long now = switches();
		if (now == s->switches)
			s->longest = cycles;
		s->switches = now;
	}
	if (++s->count % TURN == 0)
		reclaim_quiescent();
}

static void load(struct topology *t, const struct bench_options *o, struct spans *s)
{
	struct words w;

	for (unsigned i = 0; i < o->bindings; i++) {
		struct binding_spec b = topology_binding(t, i, &w);
		uint64_t from = __rdtsc();
		MUST(binding_add(&t->session, &b, NULL) == 0);
		span(s, from);
	}
}

static void unbind_all(struct topology *t, const struct bench_options *o, struct spans *s)
{
	unsigned step = 1000003; /* a prime: another order than they came in */
	struct words w;

	for (unsigned i = 0, at = 0; i < o->bindings; i++, at = (at + step) % o->bindings) {
		struct binding_spec b = topology_binding(t, at, &w);
		uint64_t from = __rdtsc();
		MUST(binding_remove(&t->session, &b, NULL) == 0);
		span(s, from);
	}
}

static void deleted(void *ctx, struct queue_call_result *result)
{
	(void)ctx;
	(void)result;
}

static void delete_queues(struct topology *t, struct spans *s)
{
	struct words w;
	struct queue_call *call;

	for (unsigned i = 0; i < t->queues; i++) {
		struct binding_spec b = topology_binding(t, i, &w);
		struct queue_call_request r = {
			.kind = QUEUE_CALL_DELETE, .queue = b.destination, .done = deleted};
		uint64_t from = __rdtsc();
		MUST(queue_call(&t->session, &r, &call, NULL) == 0);
		span(s, from);
	}
}

static void delete_exchange(struct topology *t, struct spans *s)
{
	struct slice name = {(const uint8_t *)"bench", 5};
	uint64_t from = __rdtsc();

	MUST(exchange_delete(&t->session, name, false, NULL) == 0);
	span(s, from);
	/* What is left is done a slice a turn. */
	unsigned taken;
	do {
		from = __rdtsc();
		taken = broker_core_tidy(t->core);
		span(s, from);
		reclaim_quiescent();
	} while (taken);
}

static void say(const struct bench_options *o, const char *what, const struct spans *s, double bytes)
{
	double ns = s->cpu_ns;

	printf("op=%s bindings=%u what=%s ms=%.1f ns=%.0f longest_us=%.1f bytes=%.0f\n", o->op, o->bindings,
		what, ns / 1e6, ns / o->bindings, bench_ns_of_cycles(s->longest) / 1e3, bytes);
}

static void wait_reclaimed(void)
{
	while (reclaim_pending() > 0) {
		reclaim_quiescent();
		struct timespec t = {.tv_nsec = 1000000};
		nanosleep(&t, NULL);
	}
}

int load_run(const struct bench_options *o)
{
	struct topology t;
	struct spans coming = {0}, going = {0};

	MUST(reclaim_start() == 0);
	reclaim_thread_register();
	topology_make(&t, o);
	uint64_t before = bench_heap_bytes();
	spans_begin(&coming);
	load(&t, o, &coming);
	spans_end(&coming);
	wait_reclaimed();
	say(o, "load", &coming, (double)(bench_heap_bytes() - before) / o->bindings);
	spans_begin(&going);
	if (strcmp(o->end, "queue") == 0)
		delete_queues(&t, &going);
	else if (strcmp(o->end, "exchange") == 0)
		delete_exchange(&t, &going);
	else
		unbind_all(&t, o, &going);
	spans_end(&going);
	MUST(t.broker->binding_count == 0);
	wait_reclaimed();
	say(o, o->end, &going, 0);
	topology_end(&t);
	reclaim_stop();
	reclaim_thread_unregister();
	return 0;
}
