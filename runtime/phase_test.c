/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/phase.h"
#include "runtime/turn.h"
#include "tests/unit/unit.h"

#include <string.h>

static enum phase seen_within;

static unsigned poll_one(struct turn_source *s, uint64_t now_us);
static struct turn_source source = {.name = "one", .poll = poll_one, .wake_fd = -1};
static struct turn turn;

static unsigned poll_one(struct turn_source *s, uint64_t now_us)
{
	enum phase before = phase_enter(&turn.phase, PHASE_ROUTE);

	(void)s;
	(void)now_us;
	seen_within = phase_look(&turn.phase);
	CU_ASSERT_EQUAL(before, PHASE_OTHER);
	phase_leave(&turn.phase, before);
	CU_ASSERT_EQUAL(phase_look(&turn.phase), PHASE_OTHER);
	return 0;
}

static void a_turn_says_what_it_does(void)
{
	CU_ASSERT_EQUAL_FATAL(turn_init(&turn, TURN_IDLE_POLL, 0), 0);
	CU_ASSERT_EQUAL_FATAL(turn_add(&turn, &source), 0);
	CU_ASSERT_EQUAL(phase_look(&turn.phase), PHASE_IDLE);
	turn_run_once(&turn, 1);
	CU_ASSERT_EQUAL(seen_within, PHASE_ROUTE);
	CU_ASSERT_EQUAL(phase_look(&turn.phase), PHASE_IDLE);
	turn_fini(&turn);
}

static void each_has_a_name_of_its_own(void)
{
	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		CU_ASSERT(strlen(phase_name(i)) > 0 && strlen(phase_text(i)) > 0);
		for (unsigned k = 0; k < i; k++)
			CU_ASSERT_STRING_NOT_EQUAL(phase_name(i), phase_name(k));
	}
}

/* Two cores that never do anything else. */
static void a_watch_sees_what_each_does(void)
{
	struct phase_mark a = {PHASE_IDLE}, b = {PHASE_IDLE}, *marks[] = {&a, &b};
	struct phase_count seen[2];
	uint64_t all = 0;

	phase_enter(&a, PHASE_QUEUE);
	phase_enter(&b, PHASE_TX);
	struct phase_watch *w = phase_watch_start(marks, 2, 50);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w);
	phase_watch_stop(w, seen);
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		all += seen[0].seen[i];
	CU_ASSERT(all > 0);
	CU_ASSERT_EQUAL(seen[0].seen[PHASE_QUEUE], all);
	CU_ASSERT_EQUAL(seen[1].seen[PHASE_TX], all);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_turn_says_what_it_does", a_turn_says_what_it_does},
			{"each_has_a_name_of_its_own", each_has_a_name_of_its_own},
			{"a_watch_sees_what_each_does", a_watch_sees_what_each_does}, {0}});
}
