/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/seeds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_SEEDS = 5 };

struct wanted {
	uint64_t first;
	unsigned seeds;
};

static bool option(const struct seed_program *p, struct wanted *w, const char *name, const char *value)
{
	if (!strcmp(name, "--seeds"))
		w->seeds = (unsigned)strtoul(value, NULL, 0);
	else if (!strcmp(name, "--seed"))
		w->first = strtoull(value, NULL, 0);
	else if (!strcmp(name, "--trace"))
		*p->tracing = strtoul(value, NULL, 0) != 0;
	else
		return p->option && p->option(name, value);
	return true;
}

static int usage(const struct seed_program *p)
{
	fprintf(stderr, "usage: %s\n", p->usage);
	return 2;
}

static bool repeats(const struct seed_program *p, const struct wanted *w, const uint64_t *digests)
{
	for (unsigned i = 0; i < w->seeds && i < AGAIN_SEEDS; i++)
		if (p->run(w->first + i) != digests[i]) {
			printf("# seed %llu took another way\n", (unsigned long long)(w->first + i));
			return false;
		}
	return true;
}

int seeds_main(const struct seed_program *p, int argc, char **argv)
{
	struct wanted w = {.first = 1, .seeds = p->complete};
	uint64_t digests[AGAIN_SEEDS];

	if (argc % 2 == 0)
		return usage(p);
	for (int i = 1; i < argc; i += 2)
		if (!option(p, &w, argv[i], argv[i + 1]))
			return usage(p);
	p->prepare();
	printf("TAP version 13\n1..3\n# seeds %llu to %llu\n", (unsigned long long)w.first,
		(unsigned long long)(w.first + w.seeds - 1));
	for (unsigned i = 0; i < w.seeds; i++) {
		uint64_t digest = p->run(w.first + i);
		if (i < AGAIN_SEEDS)
			digests[i] = digest;
	}
	printf("ok 1 %s\n", p->holds);
	bool same = *p->tracing || repeats(p, &w, digests);
	printf("%s 2 seeds repeat\n", same ? "ok" : "not ok");
	unsigned missing = p->tally(w.seeds >= p->complete);
	printf("%s 3 every situation occurred\n", missing ? "not ok" : "ok");
	return missing || !same;
}
