/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/route/bench.h"

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
	const char *name;
	int (*run)(const struct bench_options *o);
} modes[] = {{"lookup", lookup_run}, {"load", load_run}};

static const struct {
	const char *name;
	size_t at;
} words[] = {{"--op", offsetof(struct bench_options, op)}, {"--end", offsetof(struct bench_options, end)}},
  numbers[] = {{"--bindings", offsetof(struct bench_options, bindings)},
	  {"--blocks", offsetof(struct bench_options, blocks)},
	  {"--lookups", offsetof(struct bench_options, lookups)}};

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
	return false;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double bench_ns_of_cycles(uint64_t cycles)
{
	static double ns_of_cycle;

	if (ns_of_cycle == 0) {
		uint64_t ns = clock_ns(), c = __rdtsc();
		while (clock_ns() - ns < 20000000)
			;
		ns_of_cycle = (double)(clock_ns() - ns) / (double)(__rdtsc() - c);
	}
	return (double)cycles * ns_of_cycle;
}

uint64_t bench_heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

uint32_t bench_random(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return (uint32_t)(x >> 16);
}

int main(int argc, char **argv)
{
	struct bench_options o = {
		.op = "direct", .bindings = 1000, .blocks = 201, .lookups = 1024, .end = "unbind"};

	for (int i = 2; i < argc; i += 2)
		if (i + 1 == argc || !option(&o, argv[i], argv[i + 1])) {
			fprintf(stderr, "bench_route lookup|load [--NAME VALUE...]; bench/README.md\n%s\n",
				argv[i]);
			return 2;
		}
	for (size_t i = 0; argc > 1 && i < COUNT_OF(modes); i++)
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(&o);
	fprintf(stderr, "bench_route lookup|load [--NAME VALUE...]; bench/README.md\n");
	return 2;
}
