/* SPDX-License-Identifier: Apache-2.0 */
/* What weak.c (who goes on) and weak_memory.c (what an operation does) share. */
#ifndef INTERLEAVE_WEAK_INSIDE_H
#define INTERLEAVE_WEAK_INSIDE_H

#include "tests/interleave/clock.h"

#include <setjmp.h>
#include <ucontext.h>

enum {
	THREADS = WEAK_THREADS_MAX,
	STACK_BYTES = 256 * 1024,
	STORES_MAX = 96,
	LOCATIONS_MAX = 4096, /* a power of two */
	CHOICES_MAX = 4096,
	STEPS_MAX = 4096,
};

/* What was stored to a location, in order. */
struct store {
	uint64_t value;
	struct clock release;	/* what who acquires it has seen */
	uint32_t seen[THREADS]; /* when a thread first read or wrote it; 0: never */
	bool seq_cst;
};

/* Which thread's a location is, as long as it is one's alone; what is done to it is no step then. Kept from
 * execution to execution. */
struct owned {
	const void *at;
	uint8_t thread;
	bool shared;
};

struct location {
	const void *at;
	uint64_t execution; /* older: not in use */
	uint8_t bytes;
	unsigned count;
	struct store stores[STORES_MAX];
};

enum thread_state { THREAD_STOPS, THREAD_ENDED };

/* Threads are entered by a context and then go on by jumps, which save the signal mask's system calls. */
struct thread {
	ucontext_t context;
	jmp_buf place;
	bool entered;
	void *stack;
	enum thread_state state;
	struct op *next; /* what it does when it goes on */
	struct clock now;
	struct clock fence_released, fence_acquiring;
	struct clock depends; /* what its steps depend on */
};

/* Which store is read, or which thread goes on. */
struct choice {
	bool of_thread;
	uint8_t at;	  /* a thread, or an index into options */
	uint8_t sleeping; /* threads that need not go on here: bits */
	uint8_t enabled, todo, done;
	uint8_t count;
	uint8_t options[STORES_MAX];
};

struct step {
	uint8_t thread;
	struct op op;
	bool stale;
	unsigned choice;      /* that of the thread */
	struct clock depends; /* on so many steps of each thread, itself included */
};

struct weak_state {
	const struct weak_scenario *scenario;
	struct weak_result *result;
	bool verbose;
	uint64_t execution;
	jmp_buf main;
	jmp_buf given_up; /* where an execution ends that has failed */
	struct thread threads[THREADS];
	unsigned running;
	unsigned preemptions;
	/* The way to here, and what was chosen on it. */
	struct choice *choices;
	unsigned choice_count, choice_at;
	struct step steps[STEPS_MAX];
	unsigned step_count;
	struct location *locations;
	struct owned *owned;
	bool anew; /* all of it once more: a location turned out to be shared */
	uint8_t *kept;
	size_t kept_bytes;
	struct weak_place places[WEAK_PLACES_MAX];
	unsigned place_count;
	struct {
		const void *from;
		bool failed;
	} weakened;
};
extern struct weak_state w;

static inline struct thread *me(void)
{
	return &w.threads[w.running];
}

/* Of an address, for tables. */
static inline uint32_t address_hash(const void *at)
{
	return (uint32_t)(((uintptr_t)at >> 1) * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

/* weak.c. Do not return. */
void weak_failed(const char *what);
void weak_raced(const struct race *r);
/* Which of them is read: each of them in another execution. */
uint8_t weak_choose_store(const uint8_t *options, unsigned count);

/* weak_memory.c: the running thread does it. */
void weak_do(struct op *op);
/* It has written there, not atomically. */
void weak_written(const void *at, size_t bytes);

#endif
