/* SPDX-License-Identifier: Apache-2.0 */
/* All orders in which a few actors can do what they have to do: depth first over states. An activity (a turn,
 * a client's operation) belongs to an actor; it stops before each atomic operation on a word that another
 * actor also touches, where another actor may go on instead, so many times on one way. Memory is sequentially
 * consistent: weak.h is for the rest.
 *
 * A state is the whole arena, and where each actor stands. It is put back by the pages that were written
 * since (the compiler tells of each write), and one that was met before is not gone through again. */
#ifndef INTERLEAVE_TURNS_H
#define INTERLEAVE_TURNS_H

#include "tests/interleave/machine.h"

enum { TURNS_ACTORS_MAX = 4, TURNS_ACTIVITIES_MAX = 16 };

struct turns_range {
	void *at;
	size_t bytes;
};

struct turns_model {
	const char *name;
	void (*setup)(void); /* memory is kept from here on */
	unsigned activities;
	unsigned (*actor_of)(unsigned activity);
	bool (*may)(unsigned activity); /* begin, now; its actor is idle */
	void (*act)(unsigned activity);
	const char *(*text)(unsigned activity);
	/* Nothing is left to do and nothing under way. */
	bool (*quiet)(void);
	/* Whatever is left is done, in a fair order, and looked at. */
	void (*finish)(void);
	/* Bytes that are no part of a state (counters). */
	unsigned (*ignored)(struct turns_range *out, unsigned max);
	unsigned activities_max;  /* begun on one way; beyond it only the fair order is tried */
	unsigned preemptions_max; /* on one way: activities that have stopped while another actor goes on */
	/* Whether activities stop at a place in the code: "function file:line". */
	bool (*stops_at)(const char *place);
	uint64_t states_min;
};

struct turns_result {
	uint64_t states, steps, ends;
	bool found;
	char what[512];
};

void turns_explore(const struct turns_model *m, bool verbose, struct turns_result *out);

#endif
