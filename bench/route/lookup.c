/* SPDX-License-Identifier: Apache-2.0 */
/* One lookup among many bindings: batches of messages, each for another binding at random, are made
 * beforehand. */
#include "bench/route/bench.h"

#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 };

struct message_made {
	struct words words;
	struct header_source source;
	struct fields headers;
	struct route_request request;
};

struct lookup {
	struct topology topology;
	struct message_made messages[BATCH];
	uint64_t matches;
};

BENCH_MEASURED static uint64_t measured_route(struct topology *t, const struct message_made *m, unsigned n)
{
	uint64_t matches = 0;

	for (unsigned i = 0; i < n; i++) {
		for (bool all = route_find(t->exchange, &m[i].request, t->core->route); !all;)
			all = route_find_more(t->exchange, &m[i].request, t->core->route);
		matches += t->core->route->count;
	}
	return matches;
}

/* The name of the exchange is looked at too, as in every publish. */
BENCH_MEASURED static uint64_t measured_cached(struct topology *t, const struct message_made *m, unsigned n)
{
	static const struct slice exchange = {(const uint8_t *)"bench", 5};
	uint64_t matches = 0;
	bool all;

	for (unsigned i = 0; i < n; i++) {
		MUST(route_cached(&t->session, exchange, &m[0].request, t->core->route, &all));
		matches += t->core->route->count;
	}
	return matches;
}

static void batch_make(struct lookup *l, const struct bench_options *o)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct message_made *m = &l->messages[i];
		m->request = topology_message(
			&l->topology, bench_random() % o->bindings, &m->words, &m->source, &m->headers);
	}
}

static double block(struct lookup *l, const struct bench_options *o)
{
	bool cached = strcmp(o->op, "cached") == 0;
	uint64_t cycles = 0, done = 0;

	while (done < o->lookups) {
		unsigned n = o->lookups - done < BATCH ? (unsigned)(o->lookups - done) : BATCH;
		batch_make(l, o);
		uint64_t t = __rdtsc();
		l->matches += (cached ? measured_cached : measured_route)(&l->topology, l->messages, n);
		cycles += __rdtsc() - t;
		done += n;
	}
	return bench_ns_of_cycles(cycles) / (double)done;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int lookup_run(const struct bench_options *o)
{
	struct lookup *l = calloc(1, sizeof(*l));
	double *ns = calloc(o->blocks, sizeof(*ns));
	struct words w;

	MUST(l && ns && o->bindings && o->blocks && o->lookups);
	reclaim_start_manual();
	topology_make(&l->topology, o);
	for (unsigned i = 0; i < o->bindings; i++) {
		struct binding_spec s = topology_binding(&l->topology, i, &w);
		MUST(binding_add(&l->topology.session, &s, NULL) == 0);
		if (i % 64 == 0)
			reclaim_run();
	}
	for (unsigned i = 0; i < o->blocks; i++)
		ns[i] = block(l, o);
	qsort(ns, o->blocks, sizeof(*ns), ascending);
	double lookups = (double)o->blocks * o->lookups;
	printf("op=%s bindings=%u ns=%.1f best_ns=%.1f lookups=%.0f matches=%.3f\n", o->op, o->bindings,
		ns[o->blocks / 2], ns[0], lookups, (double)l->matches / lookups);
	topology_end(&l->topology);
	reclaim_stop();
	free(ns);
	free(l);
	return 0;
}
