/* SPDX-License-Identifier: Apache-2.0 */
/* Sees what a thread must not do any more: system calls (a seccomp filter that turns each into a signal),
 * allocations (sanitizer hooks) and page faults. The thread's minor faults tell nothing here: the sanitizer
 * meets pages of its shadow long after the memory that they stand for; what is resident does. */
#ifndef TESTS_STEADY_TRAPS_H
#define TESTS_STEADY_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

struct traps {
	int thread; /* its id */
	/* Counted by the thread since traps_arm. */
	uint64_t system_calls, allocations, frees;
	long first_system_call; /* its number */
};

/* Once a process, main thread. */
void traps_init(void);

/* On the thread that is watched. It can never make a system call again: traps_park is its end. */
void traps_arm(struct traps *t);
/* On the same thread: counts no more, and never returns (which the compiler is not told: the sanitizer would
 * make a system call of it). */
void traps_park(void);

/* Page faults of the thread so far that waited for a device. Another thread. */
uint64_t traps_faults(const struct traps *t);

/* Pages of the process that are resident, without the sanitizer's own: one that is met for the first time is
 * one more. */
uint64_t traps_pages(void);

#endif
