/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/turn.h"

#include "runtime/clock.h"
#include "runtime/reclaim.h"
#include "runtime/ring.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <urcu/compiler.h>

/* A source that does what the test tells it, and remembers what was asked of it. */
struct probe {
	struct turn_source source;
	struct turn *turn;
	unsigned polls, flushes, work;
	uint64_t next_us, polled_us, stop_at_us;
	unsigned order;
};

static unsigned order;

static unsigned probe_poll(struct turn_source *s, uint64_t now_us)
{
	struct probe *p = caa_container_of(s, struct probe, source);
	unsigned work = p->work;

	p->polls++;
	p->polled_us = now_us;
	p->order = order++;
	p->work = 0;
	if (now_us >= p->stop_at_us)
		turn_stop(p->turn);
	return work;
}

static void probe_flush(struct turn_source *s, uint64_t now_us)
{
	struct probe *p = caa_container_of(s, struct probe, source);

	p->flushes++;
	CU_ASSERT_EQUAL(now_us, p->polled_us);
	CU_ASSERT_EQUAL(order, p->turn->source_count);
}

static uint64_t probe_next_us(struct turn_source *s)
{
	return caa_container_of(s, struct probe, source)->next_us;
}

static struct probe probe_make(struct turn *t)
{
	return (struct probe){
		.source = {.name = "probe", .poll = probe_poll, .next_us = probe_next_us, .wake_fd = -1},
		.turn = t,
		.next_us = UINT64_MAX,
		.stop_at_us = UINT64_MAX,
	};
}

static uint64_t cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void *run(void *t)
{
	turn_run(t);
	return NULL;
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

static void polls_then_flushes(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_POLL, 0), 0);
	struct probe a = probe_make(&t), b = probe_make(&t), c = probe_make(&t);

	a.source.flush = b.source.flush = probe_flush;
	CU_ASSERT_EQUAL(turn_add(&t, &a.source), 0);
	CU_ASSERT_EQUAL(turn_add(&t, &b.source), 0);
	CU_ASSERT_EQUAL(turn_add(&t, &c.source), 0);
	a.work = 3;
	b.work = 4;
	a.next_us = 900;
	b.next_us = 800;
	order = 0;
	CU_ASSERT_EQUAL(turn_run_once(&t, 555), 7);
	CU_ASSERT(a.order == 0 && b.order == 1 && c.order == 2);
	CU_ASSERT(a.flushes == 1 && b.flushes == 1 && c.flushes == 0);
	CU_ASSERT_EQUAL(turn_next_us(&t), 800);
	turn_remove(&t, &b.source);
	order = 0;
	CU_ASSERT_EQUAL(turn_run_once(&t, 556), 0);
	CU_ASSERT(a.polls == 2 && b.polls == 1 && c.order == 1);
	CU_ASSERT_EQUAL(turn_next_us(&t), 900);
	CU_ASSERT_EQUAL(turn_stats(&t).turns, 2);
	CU_ASSERT_EQUAL(turn_stats(&t).turns_busy, 1);
	turn_fini(&t);
}

static void sources_are_limited(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_POLL, 0), 0);
	struct probe p[TURN_SOURCES_MAX + 1];

	for (int i = 0; i <= TURN_SOURCES_MAX; i++) {
		p[i] = probe_make(&t);
		CU_ASSERT_EQUAL(turn_add(&t, &p[i].source), i < TURN_SOURCES_MAX ? 0 : -ENOSPC);
	}
	turn_remove(&t, &p[0].source);
	p[0].source.wake_fd = 100000;
	CU_ASSERT_EQUAL(turn_add(&t, &p[0].source), -EBADF);
	CU_ASSERT_EQUAL(t.source_count, TURN_SOURCES_MAX - 1);
	turn_fini(&t);
}

/* Runs until the deadlines are met, each armed again from the poll before it. */
static unsigned deadline_poll(struct turn_source *s, uint64_t now_us)
{
	struct probe *p = caa_container_of(s, struct probe, source);

	if (now_us < p->next_us)
		return 0;
	p->polled_us += now_us - p->next_us;
	p->next_us = now_us + 3000;
	if (++p->polls == 20)
		turn_stop(p->turn);
	return 0;
}

static void honour_deadlines(bool coarse)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	struct probe p = probe_make(&t);

	t.coarse = coarse;
	p.source.poll = deadline_poll;
	p.next_us = clock_now_us() + 3000;
	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	turn_run(&t);
	CU_ASSERT_EQUAL(p.polls, 20);
	/* Late by some 10 us each on a quiet machine; this one may be busy. */
	CU_ASSERT(p.polled_us / 20 < 20000);
	CU_ASSERT(turn_stats(&t).sleeps >= 20);
	CU_ASSERT(turn_stats(&t).wakeups == 0);
	turn_fini(&t);
}

static void deadlines_are_honoured(void)
{
	honour_deadlines(false);
	honour_deadlines(true);
}

static void idle_costs_little(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 1000), 0);
	struct probe p = probe_make(&t);
	pthread_t thread;

	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	uint64_t before = cpu_us();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, &t), 0);
	sleep_ms(300);
	turn_stop(&t);
	pthread_join(thread, NULL);
	CU_ASSERT(cpu_us() - before < 100000);
	CU_ASSERT(turn_stats(&t).sleeps > 0 && turn_stats(&t).sleeps < 50);
	turn_fini(&t);
}

static void a_bound_bounds_sleep(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	struct probe p = probe_make(&t);

	p.source.sleep_us_max = 500;
	p.stop_at_us = clock_now_us() + 100000;
	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	turn_run(&t); /* nothing but the bound ever wakes it */
	CU_ASSERT(turn_stats(&t).sleeps >= 1 && turn_stats(&t).sleeps <= 201);
	turn_fini(&t);
}

static void spinning_policies_never_sleep(void)
{
	for (enum turn_idle idle = TURN_IDLE_POLL; idle <= TURN_IDLE_PAUSE; idle++) {
		struct turn t;
		CU_ASSERT_EQUAL_FATAL(turn_init(&t, idle, 0), 0);
		struct probe p = probe_make(&t);
		p.stop_at_us = clock_now_us() + 2000;
		CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
		turn_run(&t);
		CU_ASSERT_EQUAL(turn_stats(&t).sleeps, 0);
		CU_ASSERT(turn_stats(&t).turns > 1);
		turn_fini(&t);
	}
}

static void stop_before_run(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);

	turn_stop(&t);
	turn_run(&t);
	CU_ASSERT_EQUAL(turn_stats(&t).turns, 0);
	turn_fini(&t);
}

static unsigned fd_poll(struct turn_source *s, uint64_t now_us)
{
	struct probe *p = caa_container_of(s, struct probe, source);
	eventfd_t v;

	if (eventfd_read(s->wake_fd, &v) != 0)
		return 0;
	p->polls += (unsigned)v;
	if (p->polls == 10)
		turn_stop(p->turn);
	return (unsigned)v;
}

static void a_descriptor_wakes(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	struct probe p = probe_make(&t);
	pthread_t thread;

	p.source.poll = fd_poll;
	p.source.wake_fd = eventfd(0, EFD_NONBLOCK);
	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, &t), 0);
	for (int i = 0; i < 10; i++) {
		eventfd_write(p.source.wake_fd, 1);
		sleep_ms(2);
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(p.polls, 10);
	CU_ASSERT(turn_stats(&t).wakeups >= 1);
	turn_remove(&t, &p.source);
	close(p.source.wake_fd);
	turn_fini(&t);
}

/* Two turns throw one record back and forth: a lost wake-up would leave both asleep for ever. */
struct player {
	struct turn_source source;
	struct turn turn;
	struct ring *in;
	struct player *other;
	uint32_t left;
};

static unsigned play(struct turn_source *s, uint64_t now_us)
{
	struct player *p = caa_container_of(s, struct player, source);
	uint32_t ball;

	if (ring_pop(p->in, &ball, 1) == 0)
		return 0;
	ring_push(p->other->in, &ball, 1);
	turn_wake(&p->other->turn);
	if (--p->left == 0)
		turn_stop(&p->turn);
	return 1;
}

static bool nothing_to_play(struct turn_source *s)
{
	return ring_used(caa_container_of(s, struct player, source)->in) == 0;
}

static void no_wakeup_is_lost(void)
{
	static struct player p[2];
	const uint32_t throws = 20000, ball = 1;
	pthread_t thread[2];

	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	for (int i = 0; i < 2; i++) {
		p[i] = (struct player){.source = {.name = "player",
					       .poll = play,
					       .wake_fd = -1,
					       .sleep_prepare = i ? nothing_to_play : NULL},
			.in = ring_create(sizeof(ball), 2),
			.other = &p[1 - i],
			.left = throws};
		CU_ASSERT_EQUAL_FATAL(turn_init(&p[i].turn, TURN_IDLE_ADAPTIVE, 0), 0);
		CU_ASSERT_EQUAL(turn_add(&p[i].turn, &p[i].source), 0);
	}
	ring_push(p[0].in, &ball, 1);
	for (int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, run, &p[i].turn), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	reclaim_stop(); /* no turn held its grace period open */
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(p[i].left, 0);
		CU_ASSERT_EQUAL(turn_stats(&p[i].turn).turns_busy, throws);
		turn_fini(&p[i].turn);
		ring_destroy(p[i].in);
	}
}

/* Takes what a thread throws at it. */
struct catcher {
	struct turn_source source;
	struct ring *in;
	uint32_t caught;
};

static unsigned catch (struct turn_source *s, uint64_t now_us)
{
	struct catcher *c = caa_container_of(s, struct catcher, source);
	uint32_t ball;

	if (ring_pop(c->in, &ball, 1) == 0)
		return 0;
	__atomic_store_n(&c->caught, c->caught + 1, __ATOMIC_RELEASE);
	return 1;
}

static bool nothing_to_catch(struct turn_source *s)
{
	return ring_used(caa_container_of(s, struct catcher, source)->in) == 0;
}

static bool caught_in_time(const struct catcher *c, uint32_t want)
{
	uint64_t until_us = clock_now_us() + 5000000;

	for (unsigned i = 1; __atomic_load_n(&c->caught, __ATOMIC_ACQUIRE) != want; i++)
		if (i % 1000 == 0) {
			if (clock_now_us() > until_us)
				return false;
			sched_yield();
		}
	return true;
}

/* The next record comes a random while after the last was taken, so that wakes fall on each step of a core
 * that is going to sleep. */
static void catch_all(bool (*prepare)(struct turn_source *))
{
	struct turn t;
	struct catcher c = {
		.source = {.name = "catcher", .poll = catch, .sleep_prepare = prepare, .wake_fd = -1},
		.in = ring_create(sizeof(uint32_t), 2)};
	pthread_t thread;
	uint32_t n = 0;

	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	CU_ASSERT_EQUAL(turn_add(&t, &c.source), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, &t), 0);
	while (n < 50000) {
		for (unsigned i = unit_random_below(1500); i > 0; i--)
			__asm__ volatile("" ::: "memory");
		ring_push(c.in, &n, 1);
		turn_wake(&t);
		if (!caught_in_time(&c, ++n))
			break;
	}
	CU_ASSERT_EQUAL(n, 50000);
	CU_ASSERT_EQUAL(c.caught, n);
	turn_stop(&t);
	pthread_join(thread, NULL);
	ring_destroy(c.in);
	turn_fini(&t);
}

static void wakes_at_every_moment(void)
{
	catch_all(NULL);
	catch_all(nothing_to_catch);
}

static void note_release(struct reclaim_node *n)
{
	n->next = NULL;
}

/* A sleeping turn holds no grace period open: pending goes to zero long before anything wakes the turn. */
static void asleep_is_offline(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	struct probe p = probe_make(&t);
	struct reclaim_node node;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, &t), 0);
	sleep_ms(20);
	reclaim_defer(&node, note_release);
	for (int i = 0; i < 1000 && reclaim_pending() > 0; i++)
		sleep_ms(5);
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	turn_stop(&t);
	pthread_join(thread, NULL);
	reclaim_stop();
	turn_fini(&t);
}

static void ignore(int number)
{
}

static void signals_do_no_harm(void)
{
	struct turn t;
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	struct probe p = probe_make(&t);
	struct sigaction action = {.sa_handler = ignore}, old;
	pthread_t thread;

	sigaction(SIGUSR1, &action, &old);
	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, &t), 0);
	for (int i = 0; i < 20; i++) {
		sleep_ms(1);
		pthread_kill(thread, SIGUSR1);
	}
	turn_stop(&t);
	pthread_join(thread, NULL);
	CU_ASSERT(turn_stats(&t).sleeps >= 1);
	CU_ASSERT(turn_stats(&t).wakeups <= 1); /* a signal is not counted as one */
	sigaction(SIGUSR1, &old, NULL);
	turn_fini(&t);
}

struct slow {
	struct turn_source source;
	uint64_t poll_us, flush_us;
	unsigned work;
};

static void burn(uint64_t us)
{
	for (uint64_t until = clock_now_us() + us; clock_now_us() < until;)
		;
}

static unsigned slow_poll(struct turn_source *s, uint64_t now_us)
{
	struct slow *l = caa_container_of(s, struct slow, source);

	burn(l->poll_us);
	return l->work;
}

static void slow_flush(struct turn_source *s, uint64_t now_us)
{
	burn(caa_container_of(s, struct slow, source)->flush_us);
}

/* Where a turn's time goes is known by source, and whose the longest was. */
static void time_by_source(void)
{
	struct slow s[3] = {0};
	static const char *const names[] = {"a", "b", "c"};
	struct turn_source_stats k[3], none;
	struct turn t;

	CU_ASSERT_EQUAL(turn_init(&t, TURN_IDLE_POLL, 0), 0);
	CU_ASSERT_PTR_NULL(turn_stats(&t).ticks_max_name);
	for (unsigned i = 0; i < 3; i++) {
		s[i].source = (struct turn_source){
			.name = names[i], .poll = slow_poll, .flush = i ? slow_flush : NULL, .wake_fd = -1};
		CU_ASSERT_EQUAL(turn_add(&t, &s[i].source), 0);
	}
	s[0].poll_us = 300;
	s[0].work = 1;
	s[1].flush_us = 30000;
	turn_run_once(&t, 1);
	s[0].work = 0;
	s[1].flush_us = 0;
	s[2].poll_us = 100;
	turn_run_once(&t, 2);
	double us = turn_ticks_per_us(&t);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_TRUE(turn_source_stats(&t, i, &k[i]));
	CU_ASSERT_FALSE(turn_source_stats(&t, 3, &none));
	struct turn_stats all = turn_stats(&t);
	CU_ASSERT_STRING_EQUAL(all.ticks_max_name, "b");
	CU_ASSERT((double)all.ticks_max > 30000 * us && (double)all.ticks_max_source > 29900 * us);
	CU_ASSERT((double)all.ticks_busy > 30000 * us && all.ticks_busy <= all.ticks_max);
	CU_ASSERT(k[0].polls_busy == 1 && k[1].polls_busy == 0 && k[0].flush_ticks == 0);
	CU_ASSERT((double)k[0].poll_ticks > 590 * us && (double)k[1].flush_ticks > 29900 * us);
	CU_ASSERT((double)k[2].poll_ticks > 98 * us && k[1].ticks_max >= k[1].flush_ticks / 2);
	/* what goes takes its figures along */
	turn_remove(&t, &s[0].source);
	CU_ASSERT(turn_source_stats(&t, 0, &none) && none.flush_ticks == k[1].flush_ticks);
	turn_fini(&t);
}

struct gapped {
	struct turn_source source;
	struct turn *turn;
	unsigned polls;
};

enum { GAPS = 5, GAP_US = 300 };

/* Turns that take long without work, and with it, in turns. */
static unsigned gapped_poll(struct turn_source *s, uint64_t now_us)
{
	struct gapped *g = caa_container_of(s, struct gapped, source);

	burn(GAP_US);
	if (++g->polls == 2 * GAPS)
		turn_stop(g->turn);
	return g->polls % 2;
}

static void gaps_are_counted(void)
{
	struct turn t;
	struct gapped g = {.source = {.name = "gapped", .poll = gapped_poll, .wake_fd = -1}, .turn = &t};

	CU_ASSERT_EQUAL(turn_init(&t, TURN_IDLE_POLL, 0), 0);
	CU_ASSERT_EQUAL(turn_add(&t, &g.source), 0);
	turn_run(&t);
	struct turn_stats s = turn_stats(&t);
	CU_ASSERT_EQUAL(s.gaps, GAPS);
	CU_ASSERT(s.gap_us >= GAPS * GAP_US && s.gap_us_max >= GAP_US && s.gap_us_max <= s.gap_us);
	turn_fini(&t);
}

static bool may_sleep = true;

static bool probe_sleep_prepare(struct turn_source *s)
{
	return may_sleep;
}

static void sleeps_by_hand(void)
{
	struct turn t;

	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, 0), 0);
	struct probe p = probe_make(&t);
	p.source.sleep_prepare = probe_sleep_prepare;
	CU_ASSERT_EQUAL(turn_add(&t, &p.source), 0);
	may_sleep = false;
	CU_ASSERT_FALSE(turn_sleep_begin(&t));
	may_sleep = true;
	CU_ASSERT_TRUE(turn_sleep_begin(&t));
	CU_ASSERT_FALSE(turn_woken(&t));
	turn_wake(&t);
	CU_ASSERT_TRUE(turn_woken(&t));
	turn_sleep_end(&t);
	CU_ASSERT_FALSE(turn_woken(&t));
	/* A wake while it is awake: the next sleep does not begin. */
	turn_wake(&t);
	CU_ASSERT_FALSE(turn_sleep_begin(&t));
	CU_ASSERT_TRUE(turn_sleep_begin(&t));
	turn_fini(&t);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"polls_then_flushes", polls_then_flushes},
			{"sources_are_limited", sources_are_limited},
			{"deadlines_are_honoured", deadlines_are_honoured},
			{"idle_costs_little", idle_costs_little},
			{"a_bound_bounds_sleep", a_bound_bounds_sleep},
			{"spinning_policies_never_sleep", spinning_policies_never_sleep},
			{"stop_before_run", stop_before_run}, {"a_descriptor_wakes", a_descriptor_wakes},
			{"no_wakeup_is_lost", no_wakeup_is_lost},
			{"wakes_at_every_moment", wakes_at_every_moment},
			{"asleep_is_offline", asleep_is_offline}, {"signals_do_no_harm", signals_do_no_harm},
			{"time_by_source", time_by_source}, {"gaps_are_counted", gaps_are_counted},
			{"sleeps_by_hand", sleeps_by_hand}, {0}});
}
