/* SPDX-License-Identifier: Apache-2.0 */
/* Deferred release of what RCU readers may still see, behind one small interface: in the broker it stands on
 * liburcu's QSBR with a control thread that waits for grace periods; in tests and simulation one thread
 * decides when a grace period ends. Readers never wait. */
#ifndef RUNTIME_RECLAIM_H
#define RUNTIME_RECLAIM_H

#include <stdbool.h>
#include <stdint.h>

struct reclaim_node; /* lies in the object to be released */
typedef void (*reclaim_fn)(struct reclaim_node *n);

struct reclaim_node {
	struct reclaim_node *next;
	reclaim_fn release;
};

/* liburcu QSBR. Starts (and stops, when all that was deferred has been released) the thread that waits. Both
 * on the main thread, start before any other thread registers; at stop the caller may be registered, every
 * other reader must be gone, offline, or still saying quiescent. reclaim_start returns 0 or -errno. */
int reclaim_start(void);
void reclaim_stop(void);

/* Instead of reclaim_start: nothing is released until reclaim_run, all on the calling thread. */
void reclaim_start_manual(void);
unsigned reclaim_run(void); /* releases what was deferred before the call; returns how many */

/* After a grace period calls release(n), on the reclaim thread, in the order of the calls (an idle reclaim
 * thread notices after 64 ms at most). The object is already unreachable for new readers. release may defer
 * again. Any thread; lock-free, two atomic operations, never a system call; O(1). */
void reclaim_defer(struct reclaim_node *n, reclaim_fn release);

/* Deferred and not yet released. Any thread; a snapshot. */
uint64_t reclaim_pending(void);

/* A reading thread registers first, says quiescent once a loop (about 11 ns), and goes offline before it
 * sleeps. All no-ops in manual mode and, but for register, on threads that are not registered. */
void reclaim_thread_register(void);
void reclaim_thread_unregister(void);
void reclaim_quiescent(void);
/* Between them the calling thread is not quiescent, whatever it says, and reclaim_run releases nothing: what
 * it has found stays for a read that takes several loops. They nest. Grace periods of all wait for it, so a
 * hold is bounded; no offline meanwhile. A thread that unregisters holds nothing any more, and an end on
 * another thread does nothing. */
void reclaim_hold(void);
void reclaim_hold_end(void);
void reclaim_offline(void);
void reclaim_online(void);

#endif
