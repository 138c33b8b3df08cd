/* SPDX-License-Identifier: Apache-2.0 */
/* Who has seen what: vector clocks of threads, and when each byte of the arena was last touched by whom. Two
 * accesses to one byte, one of them writing and one of them not atomic, must be ordered. */
#ifndef INTERLEAVE_CLOCK_H
#define INTERLEAVE_CLOCK_H

#include "tests/interleave/weak.h"

struct clock {
	uint32_t at[WEAK_THREADS_MAX];
};

static inline void clock_join(struct clock *to, const struct clock *with)
{
	for (unsigned i = 0; i < WEAK_THREADS_MAX; i++)
		if (to->at[i] < with->at[i])
			to->at[i] = with->at[i];
}

struct race {
	const void *from;
	const char *of; /* the other's kind of access */
	unsigned other;
};

/* An execution begins: nothing has been touched. */
void clock_begin(uint64_t execution);
/* True: a race. */
bool clock_plain(
	const void *at, size_t bytes, bool write, unsigned thread, const struct clock *now, struct race *out);
bool clock_atomic(
	const void *at, size_t bytes, bool write, unsigned thread, const struct clock *now, struct race *out);

#endif
