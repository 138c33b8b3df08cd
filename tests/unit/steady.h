/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what a data core does in steady state: between steady_begin and steady_end the calling
 * thread's system calls, allocations and page faults are noticed. System calls by the kernel's user dispatch
 * (Linux 5.11), which costs nothing while there are none. */
#ifndef TESTS_UNIT_STEADY_H
#define TESTS_UNIT_STEADY_H

#include <stdbool.h>
#include <stddef.h>

struct steady_seen {
	long system_call;   /* the number of the first one, which was not made; -1: none. Those behind it were
			       made */
	size_t allocations; /* malloc and its kin; 0 where steady_sees_allocations is false */
	long page_faults;   /* minor and major */
};

/* Whether this build can notice allocations: one with AddressSanitizer. */
bool steady_sees_allocations(void);

/* 0, or -errno of the kernel. Any thread, several at once. */
int steady_begin(void);
void steady_end(struct steady_seen *out);

#endif
