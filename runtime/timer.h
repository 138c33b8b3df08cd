/* SPDX-License-Identifier: Apache-2.0 */
/* A hierarchical timer wheel driven by a passed-in clock. Timers are intrusive: a struct timer lies in the
 * object that it serves, and cancelling it unlinks it, so a timer cannot fire on an object that has been
 * released (release functions MUST that their timers are idle). One wheel belongs to one core. */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

struct timer;
typedef void (*timer_fn)(struct timer *t, uint64_t now_us);

/* The place in the wheel may be of an earlier time than expires_us: a timer that moves on, as a
 * retransmission timer does with each acknowledgement, stays where it is and is placed anew when the wheel
 * gets there. */
struct timer {
	struct cds_list_head link;
	timer_fn fire;	     /* set by timer_init; container_of finds the object */
	uint64_t expires_us; /* as armed, or the wheel's next tick where that had passed */
	uint64_t placed_us;  /* of its place, where it has one */
	bool armed, placed;
};

enum { TIMER_LEVELS = 6, TIMER_SLOTS = 64 };

struct timer_wheel {
	uint64_t tick;	       /* the next tick to be processed */
	uint64_t arm_min_us;   /* when tick_arm_min begins */
	uint64_t tick_arm_min; /* past the last advance: what is armed during it waits for the next */
	uint32_t tick_us;
	uint32_t armed;			 /* without those that rest in their places */
	uint64_t occupied[TIMER_LEVELS]; /* a bit a slot that holds timers */
	struct cds_list_head slot[TIMER_LEVELS][TIMER_SLOTS];
	struct cds_list_head due; /* expired, not fired yet: a budget ran out */
};

/* Prepares an empty wheel. tick_us: resolution, 1 to 1000000; now_us: the clock now. Deadlines
 * may be any distance away (beyond 64^6 ticks they cost a step each 63 * 64^5). O(slots), no allocation. */
void timer_wheel_init(struct timer_wheel *w, uint32_t tick_us, uint64_t now_us);

/* Prepares a timer, idle. fire is called on the wheel's core from timer_wheel_advance. */
void timer_init(struct timer *t, timer_fn fire);

static inline bool timer_armed(const struct timer *t)
{
	return t->armed;
}

/* Arms (or moves) t to fire at the first advance whose now_us is at or past expires_us: never early, late
 * by at most one tick. A deadline that has passed fires with the tick after the last advance, not within an
 * advance that is running. Timers of one tick fire in no promised order. O(1). */
void timer_place(struct timer_wheel *w, struct timer *t, uint64_t expires_us);
static inline void timer_arm(struct timer_wheel *w, struct timer *t, uint64_t expires_us)
{
	if (!t->placed || expires_us < t->placed_us || expires_us < w->arm_min_us) {
		timer_place(w, t, expires_us); /* the same, where it has to go to another slot */
		return;
	}
	w->armed += !t->armed;
	t->armed = true;
	t->expires_us = expires_us;
}

/* Cancels t and takes it out of the wheel: its memory may be released. A no-op where it is idle. O(1). */
void timer_cancel(struct timer_wheel *w, struct timer *t);

/* The same for a timer that will soon be armed again: it does not fire, but keeps its place, so that neither
 * this nor the next timer_arm touches other timers. timer_cancel must follow before its memory is released.
 * O(1). */
static inline void timer_rest(struct timer_wheel *w, struct timer *t)
{
	w->armed -= t->armed;
	t->armed = false;
}

/* Whether the wheel knows t: false is what a release needs. */
static inline bool timer_in_wheel(const struct timer *t)
{
	return t->placed;
}

/* Fires what is due, oldest tick first, at most budget timers (those that only move on count); a fired timer
 * is idle when its function runs and may be armed again (there or by another timer's function), its object
 * released, other timers armed or cancelled. Returns how many it dealt with; equal to budget: there may be
 * more. A jump of the clock costs O(levels * slots), not O(ticks); a timer moves at most TIMER_LEVELS times
 * on its way. A clock that goes backwards stands still. Not from within a timer's function. */
unsigned timer_wheel_advance(struct timer_wheel *w, uint64_t now_us, unsigned budget);

/* The earliest time at which advance may have something to do (a lower bound, exact to a slot, never past the
 * earliest timer by more than a tick, before it where a timer has moved on or rests; 0 when a budget left
 * some due); UINT64_MAX when the wheel is empty. O(levels). */
uint64_t timer_wheel_next_us(const struct timer_wheel *w);

#endif
