/* SPDX-License-Identifier: Apache-2.0 */
/* A timer lies at the level of the highest six bits in which its tick differs from the wheel's, in the slot
 * that these bits name. So a slot of level 0 is one tick, one of level l is 64^l ticks, and every timer of a
 * slot lies ahead of the wheel. When the wheel arrives at the first tick of a slot of a higher level, the
 * slot's timers move to the levels below. The wheel walks from one occupied slot to the next. A timer that
 * was armed for later, or rests, lies in a slot before its own, and is seen to when the wheel arrives there.
 */
#include "runtime/timer.h"

#include "runtime/check.h"

enum { SLOT_BITS = 6, TOP = TIMER_LEVELS - 1 };

#define NO_TICK UINT64_MAX

static uint64_t tick_at_or_after(const struct timer_wheel *w, uint64_t us)
{
	return us / w->tick_us + (us % w->tick_us != 0);
}

static uint64_t us_of_tick(const struct timer_wheel *w, uint64_t tick)
{
	uint64_t us;

	return __builtin_mul_overflow(tick, w->tick_us, &us) ? UINT64_MAX : us;
}

static unsigned slot_of_tick(uint64_t tick, unsigned level)
{
	return tick >> (SLOT_BITS * level) & (TIMER_SLOTS - 1);
}

/* A tick that is too far for the top level waits in its furthest slot and is placed anew from there. */
static void place(struct timer_wheel *w, struct timer *t)
{
	uint64_t tick = tick_at_or_after(w, t->expires_us);
	uint64_t top_block = w->tick >> (SLOT_BITS * TOP);

	if (tick >> (SLOT_BITS * TOP) >= top_block + TIMER_SLOTS)
		tick = (top_block + TIMER_SLOTS - 1) << (SLOT_BITS * TOP);
	uint64_t differs = tick ^ w->tick;
	unsigned level = differs ? (63 - (unsigned)__builtin_clzll(differs)) / SLOT_BITS : 0;
	if (level > TOP)
		level = TOP;
	unsigned slot = slot_of_tick(tick, level);
	t->placed = true;
	t->placed_us = t->expires_us;
	cds_list_add_tail(&t->link, &w->slot[level][slot]);
	w->occupied[level] |= UINT64_C(1) << slot;
}

/* When t is alone in its list, its neighbour is the list's head, which tells the slot (or is w->due). */
static void unplace(struct timer_wheel *w, struct timer *t)
{
	struct cds_list_head *head = t->link.next, *first = &w->slot[0][0];
	bool alone = head == t->link.prev;

	t->placed = false;
	cds_list_del(&t->link);
	if (alone && head != &w->due) {
		size_t i = (size_t)(head - first);
		CHECK(i < TIMER_LEVELS * TIMER_SLOTS);
		w->occupied[i / TIMER_SLOTS] &= ~(UINT64_C(1) << i % TIMER_SLOTS);
	}
}

/* The first tick of the level's next occupied slot. The top level is a circle, the others never wrap. */
static uint64_t next_slot_tick(const struct timer_wheel *w, unsigned level)
{
	uint64_t bits = w->occupied[level];
	unsigned now = slot_of_tick(w->tick, level);

	if (!bits)
		return NO_TICK;
	bits = bits >> now | bits << (-now & (TIMER_SLOTS - 1));
	return ((w->tick >> (SLOT_BITS * level)) + (unsigned)__builtin_ctzll(bits)) << (SLOT_BITS * level);
}

/* Of two slots that begin at one tick the higher level is the next: it may hold timers of that tick. */
static uint64_t next_slot(const struct timer_wheel *w, unsigned *level)
{
	uint64_t best = NO_TICK;

	for (unsigned l = 0; l < TIMER_LEVELS; l++) {
		uint64_t tick = next_slot_tick(w, l);
		if (tick != NO_TICK && tick <= best) {
			best = tick;
			*level = l;
		}
	}
	return best;
}

/* Moves the wheel to its next occupied slot, if that begins by target, and empties the slot: to the levels
 * below, or into due. False where nothing is left by target. */
static bool step(struct timer_wheel *w, uint64_t target)
{
	CDS_LIST_HEAD(emptied);
	struct timer *t, *after;
	unsigned level = 0;
	uint64_t tick = next_slot(w, &level);

	if (tick > target) {
		w->tick = target + 1;
		return false;
	}
	CHECK(tick >= w->tick);
	unsigned slot = slot_of_tick(tick, level);
	w->tick = tick;
	w->occupied[level] &= ~(UINT64_C(1) << slot);
	if (level == 0) {
		cds_list_splice(&w->slot[0][slot], &w->due);
		CDS_INIT_LIST_HEAD(&w->slot[0][slot]);
		w->tick++;
		return true;
	}
	cds_list_splice(&w->slot[level][slot], &emptied);
	CDS_INIT_LIST_HEAD(&w->slot[level][slot]);
	cds_list_for_each_entry_safe (t, after, &emptied, link)
		place(w, t);
	return true;
}

static unsigned fire_due(struct timer_wheel *w, uint64_t now_us, unsigned budget)
{
	unsigned done = 0;

	for (; done < budget && !cds_list_empty(&w->due); done++) {
		struct timer *t = cds_list_first_entry(&w->due, struct timer, link);
		cds_list_del(&t->link);
		t->placed = false;
		if (!t->armed)
			continue;
		if (tick_at_or_after(w, t->expires_us) >= w->tick) { /* it has moved on */
			place(w, t);
			continue;
		}
		t->armed = false;
		w->armed--;
		t->fire(t, now_us);
	}
	return done;
}

void timer_wheel_init(struct timer_wheel *w, uint32_t tick_us, uint64_t now_us)
{
	MUST(tick_us >= 1 && tick_us <= 1000000);
	*w = (struct timer_wheel){.tick = now_us / tick_us, .tick_us = tick_us};
	w->tick_arm_min = w->tick;
	w->arm_min_us = us_of_tick(w, w->tick);
	CDS_INIT_LIST_HEAD(&w->due);
	for (unsigned l = 0; l < TIMER_LEVELS; l++)
		for (unsigned s = 0; s < TIMER_SLOTS; s++)
			CDS_INIT_LIST_HEAD(&w->slot[l][s]);
}

void timer_init(struct timer *t, timer_fn fire)
{
	*t = (struct timer){.fire = fire};
}

void timer_place(struct timer_wheel *w, struct timer *t, uint64_t expires_us)
{
	w->armed += !t->armed;
	t->armed = true;
	t->expires_us = expires_us > w->arm_min_us ? expires_us : w->arm_min_us;
	if (t->placed && t->expires_us >= t->placed_us)
		return;
	if (t->placed)
		unplace(w, t);
	place(w, t);
}

void timer_cancel(struct timer_wheel *w, struct timer *t)
{
	timer_rest(w, t);
	if (t->placed)
		unplace(w, t);
}

unsigned timer_wheel_advance(struct timer_wheel *w, uint64_t now_us, unsigned budget)
{
	uint64_t target = now_us / w->tick_us;

	if (target >= w->tick_arm_min) {
		w->tick_arm_min = target + 1;
		w->arm_min_us = us_of_tick(w, w->tick_arm_min);
	}
	/* A clock that went backwards is taken to stand still. */
	target = w->tick_arm_min - 1;
	uint64_t target_us = us_of_tick(w, target);
	if (now_us < target_us)
		now_us = target_us;

	unsigned done = fire_due(w, now_us, budget);
	while (done < budget && w->tick <= target && step(w, target))
		done += fire_due(w, now_us, budget - done);
	return done;
}

uint64_t timer_wheel_next_us(const struct timer_wheel *w)
{
	unsigned level;

	if (w->due.next != &w->due)
		return 0;
	uint64_t tick = next_slot(w, &level);
	return tick == NO_TICK ? UINT64_MAX : us_of_tick(w, tick);
}
