/* SPDX-License-Identifier: Apache-2.0 */
/* From root to an ordinary user, for good: once ports and listeners are open, nothing needs root any more. */
#ifndef DPDK_PORT_PRIVILEGES_H
#define DPDK_PORT_PRIVILEGES_H

#include <stddef.h>

/* Raises the limit of open files to wanted, or, without privilege, to the hard limit, and has the kernel make
 * its table of that size now (8 bytes each). Before privileges_drop, and before there are threads: later the
 * table's growth holds up whoever opens a file. Returns the limit that holds now. */
unsigned long privileges_files_limit(unsigned long wanted);

/* From here on no program that this process, or a thread or process that it starts from now on, runs can gain
 * privileges. It is a property of each thread: call it first in main. 0 or -errno. */
int privileges_no_new(void);

/* Whether privileges_drop would find the user good, so that a wrong one is known before anything is made. 0,
 * or 1 where there is nothing to drop, or -ENOENT or -EINVAL as below with the reason in error. */
int privileges_check(const char *user, char *error, size_t error_bytes);

/* Becomes user (a name, or a number) with its group and no other, and without capabilities, in every thread
 * of the process; then proves that root cannot be regained. Sets no_new_privs for the calling thread as well.
 * The process stays closed to debuggers of that user (not in sanitizer builds, which trace themselves).
 * 0: dropped. 1: nothing to drop, the process is not root. Or -ENOENT (no such user), -EINVAL (the user is
 * root, or in its group), -errno of the step that failed, -EPERM (root could be regained): after one of these
 * the process may be half way and should end; error says which, and names no key. Main thread. */
int privileges_drop(const char *user, char *error, size_t error_bytes);

#endif
