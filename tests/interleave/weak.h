/* SPDX-License-Identifier: Apache-2.0 */
/* All executions of a few threads, one atomic operation at a time, in weak memory: a load returns any store
 * of the location that coherence and happens-before (release, acquire, fences; seq_cst among themselves)
 * allow; accesses that are not atomic must be ordered by happens-before, whatever order they were run in.
 * Stores of a location take effect in the order in which they are run; a load does not see a store that is
 * run later (what C11 calls load buffering, which needs relaxed loads before stores, is not explored).
 *
 * Depth first; of executions that differ only in the order of independent operations one is run to its end
 * (sleep sets). */
#ifndef INTERLEAVE_WEAK_H
#define INTERLEAVE_WEAK_H

#include "tests/interleave/machine.h"

enum { WEAK_THREADS_MAX = 3 };

struct weak_scenario {
	const char *name;
	unsigned threads;
	/* Before the threads; once, then its memory is put back before each execution. */
	void (*setup)(void);
	void (*run)(unsigned thread);
	/* After them, having seen all that they did. */
	void (*check)(void);
	uint64_t executions_min; /* fewer: the checker does not do what it says */
	/* Turns taken from a thread that could go on, in an execution; 0: any number. With it independent
	 * operations are not recognised. */
	unsigned preemptions_max;
};

struct weak_result {
	uint64_t executions; /* run to their end */
	uint64_t cut;	     /* seen to be like others, and not run to their end */
	bool found;	     /* something that must hold did not */
	char what[512];	     /* then */
};

/* verbose: a fault is printed with the operations that led to it. */
void weak_explore(const struct weak_scenario *s, bool verbose, struct weak_result *out);

/* Places in the code with an order other than relaxed that the executions since the start came by. */
enum { WEAK_PLACES_MAX = 512 };
struct weak_place {
	const void *from;
	int order, order_failed;
};
unsigned weak_places(const struct weak_place **out);
/* From now on what stands there is relaxed. failed: the order of a failed compare-and-swap instead. */
void weak_weaken(const void *from, bool failed);

#endif
