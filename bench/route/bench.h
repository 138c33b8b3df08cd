/* SPDX-License-Identifier: Apache-2.0 */
/* What routing costs: bench_route MODE [--NAME VALUE...] prints one line of "name=value" pairs a result,
 * which bench/route/run makes tables of. */
#ifndef BENCH_ROUTE_BENCH_H
#define BENCH_ROUTE_BENCH_H

#include "broker/core/core.h"

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

/* What stands inside is what is measured: a name for callgrind's --toggle-collect, one call a batch. */
#define BENCH_MEASURED __attribute__((noinline, noclone, used))

enum { HEADERS_MAX = 3, TEXT_BYTES = 32 };

struct bench_options {
	const char *op;	   /* direct, topic, headers, fanout, cached */
	unsigned bindings; /* of the one exchange */
	unsigned blocks;   /* of which the median is taken */
	unsigned lookups;  /* in a block */
	const char *end;   /* load: how they go: unbind, queue, exchange */
};

/* A broker with one core, one exchange of the op's type, and up to QUEUES_MAX queues. */
enum { QUEUES_MAX = 100000 };

struct topology {
	struct message_store *store;
	struct broker *broker;
	struct broker_core *core;
	struct session session;
	struct exchange *exchange;
	const char *type;
	unsigned queues;
};
void topology_make(struct topology *t, const struct bench_options *o);
void topology_end(struct topology *t);

/* The i-th binding, and a message that it alone matches (fanout: that all match). The text is the caller's.
 */
struct words {
	char queue[TEXT_BYTES], key[TEXT_BYTES], id[TEXT_BYTES];
	struct field fields[HEADERS_MAX];
};
struct binding_spec topology_binding(const struct topology *t, unsigned i, struct words *w);
struct route_request topology_message(const struct topology *t, unsigned i, struct words *w,
	struct header_source *source, struct fields *headers);

uint32_t bench_random(void);
double bench_ns_of_cycles(uint64_t cycles);
uint64_t bench_heap_bytes(void); /* what malloc has given out */

int lookup_run(const struct bench_options *o);
int load_run(const struct bench_options *o);

#endif
