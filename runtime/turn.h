/* SPDX-License-Identifier: Apache-2.0 */
/* One core's loop: poll every source, flush every source, be quiescent, and when nothing has happened for a
 * while sleep until something can. A turn knows nothing of what its sources do. It is passed down, never
 * found through the thread that runs it: a simulation runs many turns on one thread with turn_run_once. */
#ifndef RUNTIME_TURN_H
#define RUNTIME_TURN_H

#include "runtime/phase.h"

#include <stdbool.h>
#include <stdint.h>

enum { TURN_SOURCES_MAX = 16, TURN_GAP_US = 20 };

/* What a turn without work does: go on at once; go on after a pause that leaves the sibling hyperthread
 * more; spin for idle_spin_us after the last work, then sleep. */
enum turn_idle { TURN_IDLE_POLL, TURN_IDLE_PAUSE, TURN_IDLE_ADAPTIVE };

/* Lies in the object that it serves (caa_container_of). All functions run on the turn's thread. */
struct turn_source {
	const char *name;
	/* Receives and works, within a budget of its own; returns how many items it worked on, 0 for idle. */
	unsigned (*poll)(struct turn_source *s, uint64_t now_us);
	/* Sends what this turn has left to send; after every source was polled. NULL: nothing to send. */
	void (*flush)(struct turn_source *s, uint64_t now_us);
	/* The earliest time at which poll is wanted although nothing arrives; UINT64_MAX: none. May be NULL.
	 */
	uint64_t (*next_us)(struct turn_source *s);
	/* Arms wake-ups, then looks a last time: false when there is work after all. What arrives later must
	 * make wake_fd readable or call turn_wake. May be NULL. */
	bool (*sleep_prepare)(struct turn_source *s);
	int wake_fd;	       /* readable (level-triggered) while there is work; -1: none */
	uint32_t sleep_us_max; /* 0: no bound; set for what can neither be waited for nor wake */
};

/* Read by any thread as a snapshot. A turn's length is that of its work, without sleep. Ticks are the CPU's
 * time stamp counter, read once between any two sources: some 10 ns each, in turns without work too. */
struct turn_stats {
	uint64_t turns, turns_busy;
	uint64_t sleeps;
	uint64_t wakeups; /* sleeps that ended for a wake_fd or turn_wake, not for a deadline */
	uint64_t turn_us_max;
	/* Turns of turn_run without work that took longer than TURN_GAP_US: something else had the CPU
	 * (another thread, an interrupt, a hypervisor). What it took in turns with work is not told apart
	 * from the work. */
	uint64_t gaps, gap_us, gap_us_max;
	uint64_t ticks_busy;	    /* of turns with work */
	uint64_t ticks_max;	    /* of the longest turn */
	const char *ticks_max_name; /* the source that took most of it; NULL: there was no turn yet */
	uint64_t ticks_max_source;  /* what that took of it */
};

/* Of one source, in all turns. */
struct turn_source_stats {
	const char *name;
	uint64_t polls_busy; /* that found work */
	uint64_t poll_ticks, flush_ticks;
	uint64_t ticks_max; /* in one turn, both together */
};

struct turn {
	struct turn_source *sources[TURN_SOURCES_MAX];
	unsigned source_count;
	enum turn_idle idle;
	uint32_t idle_spin_us;
	int epoll_fd, event_fd;
	bool coarse; /* the kernel lacks epoll_pwait2: sleeps end a millisecond early and the rest is spun */
	struct turn_stats stats;
	struct turn_source_stats source_stats[TURN_SOURCES_MAX]; /* in the order of sources */
	uint64_t began_us, began_ticks;
	/* What it is doing: sources and what they call say so. On a line of its own: whoever looks takes it
	 * away from the core for a moment. */
	__attribute__((aligned(64))) struct phase_mark phase;
	/* Written by other threads, on a line of their own. */
	__attribute__((aligned(64))) unsigned state;
	bool stop;
};

/* Prepares a turn without sources. idle_spin_us: for TURN_IDLE_ADAPTIVE. Two descriptors. 0 or -errno. */
int turn_init(struct turn *t, enum turn_idle idle, uint32_t idle_spin_us);

/* Closes the descriptors. Sources stay their owner's. Not while turn_run runs. */
void turn_fini(struct turn *t);

/* Adds s (borrowed until turn_remove or turn_fini; polled in the order of adding). 0, -ENOSPC, or -errno of
 * watching wake_fd. Both before turn_run or on the turn's thread, not from within poll or flush. remove comes
 * before wake_fd is closed. */
int turn_add(struct turn *t, struct turn_source *s);
void turn_remove(struct turn *t, struct turn_source *s);

/* One turn at a time that the caller names: reads no clock, never sleeps, makes no system call of its own.
 * Returns the work items. */
unsigned turn_run_once(struct turn *t, uint64_t now_us);

/* The earliest next_us of the sources; UINT64_MAX: none. The turn's thread. */
uint64_t turn_next_us(struct turn *t);

/* What turn_run does around a sleep, for who runs turns by hand and has no thread to put to sleep. True:
 * there is nothing to do before turn_next_us, or until turn_woken; the next turn_run_once comes after
 * turn_sleep_end. False: it does not sleep. The turn's thread. */
bool turn_sleep_begin(struct turn *t);
bool turn_woken(const struct turn *t);
void turn_sleep_end(struct turn *t);

/* Runs on the calling thread until turn_stop; a stop that came first ends it at once. Registers the thread
 * with reclaim meanwhile (it must not be registered yet): quiescent once a turn, offline while asleep. Reads
 * the clock once a turn. */
void turn_run(struct turn *t);

/* Work was made visible to one of t's sources (a ring push, say): t's next look sees it, asleep or not. One
 * locked exchange; a system call only when t sleeps. Any thread, once a burst; signal handlers too. */
void turn_wake(struct turn *t);

/* Ends turn_run after the turn in progress. Any thread, signal handlers too. */
void turn_stop(struct turn *t);

struct turn_stats turn_stats(const struct turn *t);

/* Of the source with this index, in order of adding; false when there are no more. Any thread, while none is
 * added or removed. */
bool turn_source_stats(const struct turn *t, unsigned index, struct turn_source_stats *out);

/* How many ticks a microsecond has, as far as the time since turn_init tells (a millisecond is good for three
 * digits). Any thread. */
double turn_ticks_per_us(const struct turn *t);

/* The counter itself. */
static inline uint64_t turn_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

#endif
