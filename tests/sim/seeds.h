/* SPDX-License-Identifier: Apache-2.0 */
/* A simulation's command line, its seeds one after the other, and what it prints (TAP). */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

struct seed_program {
	const char *usage;
	const char *holds; /* what every seed has shown, in words */
	unsigned complete; /* so many seeds meet everything; also how many are run unless told */
	bool *tracing;	   /* --trace 1 */
	/* An option of the program's own; false: there is none of that name. May be NULL. */
	bool (*option)(const char *name, const char *value);
	void (*prepare)(void); /* once, before the first seed */
	/* One seed; a digest of what happened. Ends the program where something does not hold. */
	uint64_t (*run)(uint64_t seed);
	/* Prints what occurred; how many things are missing, of a complete run. */
	unsigned (*tally)(bool complete);
};

/* The program: its exit code. The first seeds are run again after all the others: they must go the same way,
 * or a failure could not be repeated. */
int seeds_main(const struct seed_program *p, int argc, char **argv);

#endif
