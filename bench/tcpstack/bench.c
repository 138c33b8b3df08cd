/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tcpstack/bench.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dpdk_port/eal.h"

static const struct {
	const char *name;
	int (*run)(const struct bench_options *o);
	unsigned memory_mb, cores; /* of EAL; 0: it is not started */
} modes[] = {
	{"fastpath", fastpath_run, 512, 0},
	{"churn", churn_run, 256, 0},
	{"bulk", bulk_run, 256, 2},
	{"kernel", kernel_run, 0, 0},
};

static const struct {
	const char *name;
	size_t at;
} words[] = {{"--op", offsetof(struct bench_options, op)}, {"--order", offsetof(struct bench_options, order)},
	{"--wire", offsetof(struct bench_options, wire)}, {"--end", offsetof(struct bench_options, end)},
	{"--dir", offsetof(struct bench_options, dir)}, {"--from", offsetof(struct bench_options, netns[0])},
	{"--to", offsetof(struct bench_options, netns[1])},
	{"--address", offsetof(struct bench_options, address)}},
  numbers[] = {{"--bytes", offsetof(struct bench_options, bytes)},
	  {"--conns", offsetof(struct bench_options, conns)},
	  {"--blocks", offsetof(struct bench_options, blocks)},
	  {"--bursts", offsetof(struct bench_options, bursts)},
	  {"--seconds", offsetof(struct bench_options, seconds)},
	  {"--cores", offsetof(struct bench_options, cores)}},
  switches[] = {{"--offloads", offsetof(struct bench_options, offloads)},
	  {"--hugepages", offsetof(struct bench_options, hugepages)},
	  {"--ipv6", offsetof(struct bench_options, ipv6)}, {"--tso", offsetof(struct bench_options, tso)}};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

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

double bench_median(struct bench_blocks *b)
{
	qsort(b->ns, b->count, sizeof(*b->ns), ascending);
	return b->ns[b->count / 2];
}

double bench_ns_of_cycles(uint64_t cycles)
{
	return (double)cycles * 1e9 / (double)rte_get_tsc_hz();
}

static int usage(const char *what)
{
	fprintf(stderr, "bench_tcpstack fastpath|churn|bulk|kernel [--NAME VALUE...]; bench/README.md\n%s\n",
		what);
	return 2;
}

int main(int argc, char **argv)
{
	struct bench_options o = {.mode = argc > 1 ? argv[1] : "",
		.op = "receive",
		.order = "turns",
		.wire = "ring",
		.end = "peer",
		.bytes = 65,
		.conns = 1,
		.blocks = 21,
		.bursts = 1024,
		.seconds = 1,
		.cores = 2,
		.offloads = true,
		.dir = "/tmp"};
	char error[512];
	int status = 2;

	for (int i = 2; i < argc; i += 2)
		if (i + 1 == argc || !option(&o, argv[i], argv[i + 1]))
			return usage(argv[i]);
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		if (strcmp(o.mode, modes[i].name))
			continue;
		static const int cpus[] = {0, 1};
		/* With a CPU each, where there are two. */
		const bool pinned = modes[i].cores == 2 && sysconf(_SC_NPROCESSORS_ONLN) > 1;
		const struct eal_options eal = {.program = "bench",
			.memory_mb = modes[i].memory_mb,
			.data_cores = modes[i].cores,
			.data_core_cpus = pinned ? cpus : NULL,
			.hugepages = o.hugepages};
		if (eal.memory_mb && dpdk_eal_start(&eal, error, sizeof(error)))
			return usage(error);
		status = modes[i].run(&o);
		dpdk_eal_stop();
		return status;
	}
	return usage("no such mode");
}
