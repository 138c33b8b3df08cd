/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/bench.h"

#include <rte_cycles.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/dataplane/core.h"
#include "bench/dataplane/plan.h"
#include "dpdk_port/eal.h"
#include "runtime/check.h"
#include "runtime/log.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define AT(name)    offsetof(struct bench_options, name)

static const struct {
	const char *name;
	size_t at;
} words[] = {{"--settle", AT(settle)}, {"--exchange", AT(exchange)}, {"--with", AT(with)}},
  numbers[] = {{"--bytes", AT(bytes)}, {"--queues", AT(queues)}, {"--fanout", AT(fanout)},
	  {"--bindings", AT(bindings)}, {"--backlog", AT(backlog)}, {"--ack-every", AT(ack_every)},
	  {"--segments", AT(segments)}, {"--pace", AT(pace)}, {"--cores", AT(cores)},
	  {"--blocks", AT(blocks)}, {"--rounds", AT(rounds)}, {"--memory", AT(memory_mb)}},
  switches[] = {{"--alone", AT(alone)}, {"--threads", AT(threads)}, {"--across", AT(across)},
	  {"--offloads", AT(offloads)}, {"--hugepages", AT(hugepages)}, {"--profile", AT(profile)}};

static bool option(struct bench_options *o, const char *name, const char *value)
{
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (!strcmp(name, words[i].name)) {
			*(const char **)((char *)o + words[i].at) = value;
			return true;
		}
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		if (!strcmp(name, numbers[i].name)) {
			*(unsigned *)((char *)o + numbers[i].at) = (unsigned)strtoul(value, NULL, 0);
			return true;
		}
	for (size_t i = 0; i < COUNT_OF(switches); i++)
		if (!strcmp(name, switches[i].name)) {
			*(bool *)((char *)o + switches[i].at) = !strcmp(value, "yes");
			return true;
		}
	return false;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double bench_report(const struct bench_options *o, const struct bench_block *blocks, double each)
{
	double *ns = calloc(o->blocks, 2 * sizeof(*ns)), *rate = ns + o->blocks,
	       ns_per_cycle = 1e9 / (double)rte_get_tsc_hz();
	double load = 0, delivered = 0, published = 0;

	MUST(ns);
	for (unsigned i = 0; i < o->blocks; i++) {
		MUST(blocks[i].delivered);
		ns[i] = (double)blocks[i].cycles * ns_per_cycle / (double)blocks[i].delivered;
		rate[i] = (double)blocks[i].delivered * 1e9 / ((double)blocks[i].cycles_max * ns_per_cycle);
		load += (double)blocks[i].load_cycles * ns_per_cycle;
		delivered += (double)blocks[i].delivered;
		published += (double)blocks[i].published;
	}
	qsort(ns, o->blocks, sizeof(*ns), ascending);
	qsort(rate, o->blocks, sizeof(*rate), ascending);
	printf("mode=%s settle=%s exchange=%s bytes=%u queues=%u fanout=%u bindings=%u backlog=%u cores=%u "
	       "threads=%d across=%d ns=%.1f best_ns=%.1f rate=%.0f published=%.0f delivered=%.0f "
	       "load_ns=%.1f load_ceiling=%.0f each=%.1f\n",
		o->mode, o->settle, *o->exchange ? o->exchange : "default", o->bytes, o->queues, o->fanout,
		o->bindings, o->backlog, o->cores, o->threads, o->across, ns[o->blocks / 2], ns[0],
		rate[o->blocks / 2], published, delivered, load / delivered, 1e9 / (load / delivered), each);
	double median = ns[o->blocks / 2];
	free(ns);
	return median;
}

static int usage(const char *what)
{
	fprintf(stderr, "bench_dataplane path|share [--NAME VALUE...]; bench/README.md\n%s\n", what);
	return 2;
}

static const char *refused(const struct bench_options *o)
{
	if (!o->cores || o->cores > BENCH_CORES_MAX || !o->queues || !o->blocks || !o->rounds ||
		!o->segments || !o->pace)
		return "a number is out of its range";
	if (!plan_knows(o->with))
		return "--with is ttl, limit, priority, letters, single, returns or values";
	if (o->backlog && strcmp(o->settle, "ack"))
		return "--backlog needs --settle ack";
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_options o = {.mode = argc > 1 ? argv[1] : "",
		.settle = "auto",
		.exchange = "",
		.with = "",
		.bytes = 16,
		.queues = 1,
		.fanout = 1,
		.bindings = 1,
		.ack_every = 1,
		.segments = 8,
		.pace = 1,
		.cores = 1,
		.blocks = 2001,
		.rounds = 5,
		.offloads = true,
		.memory_mb = 256};
	char error[512];

	for (int i = 2; i < argc; i += 2)
		if (i + 1 == argc || !option(&o, argv[i], argv[i + 1]))
			return usage(argv[i]);
	bool path = !strcmp(o.mode, "path");
	if (!path && strcmp(o.mode, "share"))
		return usage("no such mode");
	if (refused(&o))
		return usage(refused(&o));
	const int cpus[BENCH_CORES_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};
	const struct eal_options eal = {.program = "bench",
		.memory_mb = core_eal_mb(&o),
		.data_cores = o.threads ? o.cores : 1,
		.data_core_cpus = o.threads && sysconf(_SC_NPROCESSORS_ONLN) >= o.cores ? cpus : NULL,
		.hugepages = o.hugepages};
	log_set_level(LOG_LEVEL_ERROR);
	if (dpdk_eal_start(&eal, error, sizeof(error)))
		return usage(error);
	int status = path ? path_run(&o) : share_run(&o);
	dpdk_eal_stop();
	return status;
}
