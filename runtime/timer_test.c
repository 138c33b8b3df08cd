/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/timer.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

enum { TIMERS = 300 };

/* One timer beside its model: the tick in which it must fire, found without a wheel. */
struct watched {
	struct timer timer;
	bool armed;
	uint64_t tick_due;
	unsigned fired;
};

static struct timer_wheel wheel;
static struct watched watched[TIMERS];
static uint64_t model_arm_min;	/* no timer may fire in a tick before this one */
static uint64_t model_last_due; /* to see that ticks fire in order */
static unsigned rearm_one_in;	/* callbacks arm a timer again, one in so many; 0 never */

static uint64_t far(void)
{
	return unit_random() >> unit_random_below(64);
}

static void arm(struct watched *t, uint64_t expires_us)
{
	uint64_t tick = expires_us / wheel.tick_us + (expires_us % wheel.tick_us != 0);

	timer_arm(&wheel, &t->timer, expires_us);
	t->armed = true;
	t->tick_due = tick > model_arm_min ? tick : model_arm_min;
}

static void cancel(struct watched *t)
{
	timer_cancel(&wheel, &t->timer);
	CU_ASSERT_FALSE(timer_in_wheel(&t->timer));
	t->armed = false;
}

static void rest(struct watched *t)
{
	timer_rest(&wheel, &t->timer);
	t->armed = false;
}

static void watch(struct timer *timer, uint64_t now_us)
{
	struct watched *t = caa_container_of(timer, struct watched, timer);

	CU_ASSERT_FATAL(t->armed);
	CU_ASSERT_FALSE(timer_armed(timer));
	CU_ASSERT(t->tick_due <= now_us / wheel.tick_us);
	CU_ASSERT(t->tick_due >= model_last_due);
	model_last_due = t->tick_due;
	t->armed = false;
	t->fired++;
	if (rearm_one_in && unit_random_below(rearm_one_in) == 0) {
		arm(&watched[unit_random_below(TIMERS)], now_us);
		arm(t, now_us + far() % 100000);
		cancel(&watched[unit_random_below(TIMERS)]);
	}
}

static void reset(uint32_t tick_us, uint64_t now_us)
{
	timer_wheel_init(&wheel, tick_us, now_us);
	for (unsigned i = 0; i < TIMERS; i++) {
		watched[i] = (struct watched){0};
		timer_init(&watched[i].timer, watch);
	}
	model_arm_min = now_us / tick_us;
	rearm_one_in = 0;
}

static unsigned advance(uint64_t now_us, unsigned budget)
{
	uint64_t target = now_us / wheel.tick_us;

	if (target >= model_arm_min)
		model_arm_min = target + 1;
	model_last_due = 0;
	return timer_wheel_advance(&wheel, now_us, budget);
}

static unsigned count_due(uint64_t before_tick)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TIMERS; i++)
		n += watched[i].armed && watched[i].tick_due < before_tick;
	return n;
}

static unsigned count_armed(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TIMERS; i++)
		n += watched[i].armed;
	return n;
}

static unsigned count_placed(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < TIMERS; i++)
		n += timer_in_wheel(&watched[i].timer);
	return n;
}

static uint64_t earliest_tick(void)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < TIMERS; i++)
		if (watched[i].armed && watched[i].tick_due < best)
			best = watched[i].tick_due;
	return best;
}

static void check_wheel_against_model(void)
{
	uint64_t tick = earliest_tick(), next_us = timer_wheel_next_us(&wheel);

	CU_ASSERT_EQUAL(wheel.armed, count_armed());
	if (count_placed() == 0)
		CU_ASSERT_EQUAL(next_us, UINT64_MAX)
	else
		CU_ASSERT(next_us / wheel.tick_us <= tick && next_us != UINT64_MAX);
	for (unsigned l = 0; l < TIMER_LEVELS; l++)
		for (unsigned s = 0; s < TIMER_SLOTS; s++)
			CU_ASSERT_EQUAL(wheel.occupied[l] >> s & 1, !cds_list_empty(&wheel.slot[l][s]));
}

static void random_steps(uint32_t tick_us, uint64_t now_us, unsigned budgets)
{
	reset(tick_us, now_us);
	rearm_one_in = 5;
	for (int step = 0; step < 800; step++) {
		for (unsigned i = unit_random_below(20); i > 0; i--) {
			struct watched *t = &watched[unit_random_below(TIMERS)];
			unsigned what = unit_random_below(8);
			if (what == 0)
				cancel(t);
			else if (what == 1)
				rest(t);
			else
				arm(t, now_us + (far() >> 8) - unit_random_below(3) * (uint64_t)tick_us);
		}
		now_us += unit_random_below(2) ? unit_random_below(3000) : (far() >> 12);
		unsigned budget = budgets ? 1 + unit_random_below(budgets) : UINT32_MAX;
		unsigned fired = advance(now_us, budget);
		CU_ASSERT(fired <= budget);
		if (fired < budget)
			CU_ASSERT_EQUAL(count_due(model_arm_min), 0);
		if (step % 16 == 0)
			check_wheel_against_model();
	}
	while (advance(now_us, UINT32_MAX) != 0)
		;
	for (unsigned i = 0; i < TIMERS; i++)
		cancel(&watched[i]);
	check_wheel_against_model();
}

static void like_a_list_of_deadlines(void)
{
	static const uint32_t ticks_us[] = {1, 7, 100, 1000, 1000000};

	for (unsigned i = 0; i < 5; i++) {
		random_steps(ticks_us[i], far() >> 4, 0);
		random_steps(ticks_us[i], 0, 0);
		/* Just before the top level's circle closes. */
		random_steps(ticks_us[i], ((UINT64_C(1) << 36) - 3) * ticks_us[i], 0);
	}
}

static void like_a_list_with_budgets(void)
{
	random_steps(1, far() >> 4, 3);
	random_steps(100, far() >> 4, 30);
}

/* A sleeper that trusts next_us misses nothing and wakes in vain a bounded number of times. */
static void next_leads_to_every_timer(void)
{
	uint64_t now_us = far() >> 4;

	reset(100, now_us);
	for (unsigned i = 0; i < TIMERS; i++)
		arm(&watched[i], now_us + (far() >> 16));
	unsigned fired = 0, wakes = 0;
	while (fired < TIMERS && wakes < TIMERS * (TIMER_LEVELS + 70)) {
		uint64_t due = earliest_tick() * wheel.tick_us;
		uint64_t next = timer_wheel_next_us(&wheel);
		CU_ASSERT_FATAL(next <= due);
		if (next > now_us)
			now_us = next;
		fired += advance(now_us, UINT32_MAX);
		wakes++;
	}
	CU_ASSERT_EQUAL(fired, TIMERS);
	CU_ASSERT_EQUAL(timer_wheel_next_us(&wheel), UINT64_MAX);
}

/* What a retransmission timer does: it moves on with each acknowledgement, rests when all is acknowledged,
 * and its neighbours in the wheel are not touched by that. */
static void moving_on_touches_no_neighbour(void)
{
	reset(100, 1000000);
	arm(&watched[0], 1200000);
	arm(&watched[1], 1200000);
	struct timer neighbour = watched[0].timer, *moving = &watched[1].timer;
	struct cds_list_head link = moving->link;
	for (unsigned i = 1; i <= 1000; i++) {
		arm(&watched[1], 1200000 + i * 10);
		if (i % 3 == 0)
			rest(&watched[1]);
	}
	CU_ASSERT_EQUAL(memcmp(&watched[0].timer, &neighbour, sizeof(neighbour)), 0);
	CU_ASSERT_EQUAL(memcmp(&moving->link, &link, sizeof(link)), 0);
	/* Not fired where it lay first, but where it has moved to. */
	CU_ASSERT(advance(1200000, 10) >= 1);
	CU_ASSERT_EQUAL(watched[0].fired, 1);
	CU_ASSERT_EQUAL(watched[1].fired, 0);
	CU_ASSERT(timer_wheel_next_us(&wheel) <= 1210000);
	CU_ASSERT_EQUAL(advance(1209999, 10), 0);
	CU_ASSERT_EQUAL(advance(1210000, 10), 1);
	CU_ASSERT_EQUAL(watched[1].fired, 1);
	/* What rests is forgotten when the wheel gets there. */
	arm(&watched[1], 1300000);
	rest(&watched[1]);
	CU_ASSERT(timer_wheel_next_us(&wheel) <= 1300000);
	CU_ASSERT(advance(1300000, 10) <= 1);
	CU_ASSERT_EQUAL(watched[1].fired, 1);
	CU_ASSERT_FALSE(timer_in_wheel(&watched[1].timer));
	CU_ASSERT_EQUAL(timer_wheel_next_us(&wheel), UINT64_MAX);
	/* Earlier than its place: it is placed anew. */
	arm(&watched[1], 1900000);
	arm(&watched[1], 1400000);
	CU_ASSERT_EQUAL(advance(1400000, 10), 1);
	CU_ASSERT_EQUAL(watched[1].fired, 2);
}

static void never_early_late_by_a_tick(void)
{
	reset(100, 1000050);
	arm(&watched[0], 1000210);
	CU_ASSERT_EQUAL(advance(1000210, 10), 0);
	CU_ASSERT_EQUAL(advance(1000299, 10), 0);
	CU_ASSERT_EQUAL(advance(1000300, 10), 1);
	/* A deadline on the tick's boundary is met exactly. */
	arm(&watched[0], 1000500);
	CU_ASSERT_EQUAL(advance(1000499, 10), 0);
	CU_ASSERT_EQUAL(advance(1000500, 10), 1);
	/* What has passed fires with the next tick. */
	arm(&watched[0], 1);
	CU_ASSERT_EQUAL(advance(1000599, 10), 0);
	CU_ASSERT_EQUAL(advance(1000600, 10), 1);
}

static void backwards_clock_stands_still(void)
{
	reset(1, 5000);
	arm(&watched[0], 6000);
	CU_ASSERT_EQUAL(advance(5500, 10), 0);
	CU_ASSERT_EQUAL(advance(100, 10), 0);
	arm(&watched[1], 5400);
	CU_ASSERT_EQUAL(advance(5500, 10), 0);
	CU_ASSERT_EQUAL(advance(5501, 10), 1);
	CU_ASSERT_EQUAL(advance(6000, 10), 1);
}

static unsigned loop_runs;

static void rearm_to_now(struct timer *t, uint64_t now_us)
{
	loop_runs++;
	timer_arm(&wheel, t, now_us);
}

static void rearm_to_the_past(struct timer *t, uint64_t now_us)
{
	loop_runs++;
	timer_arm(&wheel, t, 0);
}

static void rearming_does_not_loop(void)
{
	struct timer now, past;

	reset(10, 0);
	timer_init(&now, rearm_to_now);
	timer_init(&past, rearm_to_the_past);
	timer_arm(&wheel, &now, 0);
	timer_arm(&wheel, &past, 0);
	loop_runs = 0;
	/* Steps that end inside a slot, at its end, and in another slot of a higher level. */
	for (uint64_t t = 0, n = 1; n <= 2000; n++, t += 10 * (1 + n % 70)) {
		CU_ASSERT_EQUAL(timer_wheel_advance(&wheel, t, 1000), 2);
		CU_ASSERT_EQUAL(loop_runs, 2 * n);
	}
	timer_cancel(&wheel, &now);
	timer_cancel(&wheel, &past);
	CU_ASSERT_EQUAL(wheel.armed, 0);
}

static void budget_leaves_the_rest_due(void)
{
	reset(10, 0);
	for (unsigned i = 0; i < 10; i++)
		arm(&watched[i], 100);
	CU_ASSERT_EQUAL(advance(100, 4), 4);
	CU_ASSERT_EQUAL(timer_wheel_next_us(&wheel), 0);
	cancel(&watched[9]);
	arm(&watched[8], 300); /* moved away although it is due */
	CU_ASSERT_EQUAL(advance(100, 0), 0);
	CU_ASSERT_EQUAL(advance(100, 10), 5); /* four, and the one that moves on */
	CU_ASSERT_EQUAL(watched[8].fired, 0);
	CU_ASSERT_EQUAL(advance(300, 10), 1);
	CU_ASSERT_EQUAL(wheel.armed, 0);
}

static struct watched *on_heap;

static void release_itself(struct timer *t, uint64_t now_us)
{
	free(caa_container_of(t, struct watched, timer));
	on_heap = NULL;
}

static void an_object_may_go_in_its_timer(void)
{
	reset(10, 0);
	on_heap = calloc(1, sizeof(*on_heap));
	timer_init(&on_heap->timer, release_itself);
	timer_arm(&wheel, &on_heap->timer, 50);
	CU_ASSERT_EQUAL(timer_wheel_advance(&wheel, 60, 10), 1);
	CU_ASSERT_PTR_NULL(on_heap);
}

/* A tick of 1 us and a century: some 3 * 10^15 ticks must not be walked, however far the timers lie. */
static void a_jump_is_cheap(void)
{
	const uint64_t century_us = UINT64_C(100) * 365 * 86400 * 1000000;

	reset(1, 0);
	for (unsigned i = 0; i < TIMERS; i++)
		arm(&watched[i], 1 + unit_random() % (UINT64_C(1) << 36));
	CU_ASSERT_EQUAL(advance(century_us, UINT32_MAX), TIMERS);
	arm(&watched[0], UINT64_MAX);
	CU_ASSERT_EQUAL(advance(2 * century_us, UINT32_MAX), 0);
	CU_ASSERT(timer_armed(&watched[0].timer));
	cancel(&watched[0]);
	CU_ASSERT_EQUAL(advance(3 * century_us, UINT32_MAX), 0);
	CU_ASSERT_EQUAL(wheel.tick, 3 * century_us + 1);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"like_a_list_of_deadlines", like_a_list_of_deadlines},
			{"like_a_list_with_budgets", like_a_list_with_budgets},
			{"next_leads_to_every_timer", next_leads_to_every_timer},
			{"moving_on_touches_no_neighbour", moving_on_touches_no_neighbour},
			{"never_early_late_by_a_tick", never_early_late_by_a_tick},
			{"backwards_clock_stands_still", backwards_clock_stands_still},
			{"rearming_does_not_loop", rearming_does_not_loop},
			{"budget_leaves_the_rest_due", budget_leaves_the_rest_due},
			{"an_object_may_go_in_its_timer", an_object_may_go_in_its_timer},
			{"a_jump_is_cheap", a_jump_is_cheap}, {0}});
}
