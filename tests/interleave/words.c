/* SPDX-License-Identifier: Apache-2.0 */
/* interleave_words [SCENARIO]: the lock-free parts in all executions. Without an argument also the same with
 * bugs that are planted in them (tests/interleave/bugs), and with each of their memory orders made relaxed,
 * one after the other: each must be found, or be named below. */
#include "tests/interleave/report.h"
#include "tests/interleave/scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct weak_scenario *const sets[] = {
	ring_scenarios, depot_scenarios, slab_scenarios, message_scenarios};
enum { SETS = sizeof(sets) / sizeof(sets[0]) };

static const char *const bugs[] = {"ring_published_before_written", "ring_full_off_by_one",
	"ring_passed_one_early", "ring_released_as_taken", "depot_tag_stands_still", "depot_linked_late"};

/* Functions with orders that may be relaxed as far as the two ends can tell. */
static struct spare {
	const char *function;
	bool swaps, failed; /* its compare-and-swaps, or where these fail; else its loads and stores */
	const char *why;
	bool met;
} spares[] = {
	{"ring_used", false, false, "a snapshot, clipped; the order is for the view of a third thread",
		false},
	{"stack_pop", true, false, "no two heads are alike: the load before it has acquired this one", false},
	{"listed_pop", true, false, "likewise", false},
	{"collect", false, false, "the exchange of the word that follows acquires", false},
	{"put_out", false, false, "likewise", false},
	{"own_listed", false, false, "likewise", false},
	{"slab_cell_give", false, false, "likewise; and the class stays while a cell is held", false},
	{"word_change", true, true, "where it fails it is tried again, and then acquires", false},
};

static void run_all(const char *only)
{
	for (unsigned i = 0; i < SETS; i++) {
		for (const struct weak_scenario *s = sets[i]; s->name; s++) {
			struct weak_result r;
			if (only && strcmp(only, s->name))
				continue;
			double began = report_seconds();
			weak_explore(s, true, &r);
			report(!r.found && r.executions >= s->executions_min, s->name,
				"%llu executions, %llu cut short, %.1f s%s%s",
				(unsigned long long)r.executions, (unsigned long long)r.cut,
				report_seconds() - began, r.found ? ": " : "", r.what);
		}
	}
}

/* The first scenario that finds it, or NULL. */
static const char *finder(void)
{
	for (unsigned i = 0; i < SETS; i++) {
		for (const struct weak_scenario *s = sets[i]; s->name; s++) {
			struct weak_result r;
			weak_explore(s, false, &r);
			if (r.found)
				return s->name;
		}
	}
	return NULL;
}

static void bug(void *name)
{
	plant(name);
	const char *found_by = finder();
	report(found_by, name, "%s%s", found_by ? "is found by " : "is not found", found_by ? found_by : "");
}

struct weakening {
	const void *from;
	bool failed;
	char name[128];
};

static struct spare *spare_of(const struct weakening *k, bool swaps)
{
	for (unsigned i = 0; i < sizeof(spares) / sizeof(spares[0]); i++) {
		size_t n = strlen(spares[i].function);
		if (strncmp(k->name, spares[i].function, n) == 0 && k->name[n] == ' ' &&
			spares[i].swaps == swaps && spares[i].failed == k->failed)
			return &spares[i];
	}
	return NULL;
}

static void weakened(void *context)
{
	const struct weakening *k = context;

	weak_weaken(k->from, k->failed);
	const char *found_by = finder();
	report(found_by, k->name, "%s%s", found_by ? "is found by " : "is not found",
		found_by ? found_by : "");
}

static void weaken(const struct weak_place *p, bool failed)
{
	struct weakening k = {.from = p->from, .failed = failed};

	snprintf(
		k.name, sizeof(k.name), "%s relaxed%s", place_text(p->from), failed ? " where it fails" : "");
	struct spare *spare = spare_of(&k, p->order_failed != __ATOMIC_RELAXED);
	if (spare)
		spare->met = true;
	else
		report_apart(weakened, &k);
}

static void weaken_all(void)
{
	const struct weak_place *places;
	unsigned n = weak_places(&places);

	for (unsigned i = 0; i < n; i++) {
		if (strstr(place_text(places[i].from), "_scenarios.c"))
			continue; /* not the code's, ours */
		if (places[i].order != __ATOMIC_RELAXED)
			weaken(&places[i], false);
		if (places[i].order_failed != __ATOMIC_RELAXED)
			weaken(&places[i], true);
	}
}

static void spares_met(void)
{
	for (unsigned i = 0; i < sizeof(spares) / sizeof(spares[0]); i++)
		if (!spares[i].met)
			report(false, spares[i].function, "is spared but was never met");
}

int main(int argc, char **argv)
{
	run_all(argc > 1 ? argv[1] : NULL);
	if (argc > 1)
		return report_end();
	for (unsigned i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++)
		report_apart(bug, (void *)(uintptr_t)bugs[i]);
	weaken_all();
	spares_met();
	return report_end();
}
