/* SPDX-License-Identifier: Apache-2.0 */
/* No lost wake-up: a waker publishes its work, then exchanges the state; the core exchanges the state, then
 * looks for work a last time. Both exchanges are full fences on one word, so either the core sees that it was
 * notified (or the work itself), or the waker sees that the core sleeps and writes the eventfd. */
#include "runtime/turn.h"

#include "runtime/check.h"
#include "runtime/clock.h"
#include "runtime/reclaim.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { STATE_AWAKE, STATE_ASLEEP, STATE_NOTIFIED };
enum { PAUSES = 32, TIMER_SLACK_NS = 1000 };

/* One writer, readers on other threads. */
static void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static int watch(struct turn *t, int fd, void *tag)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = tag};

	return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

int turn_init(struct turn *t, enum turn_idle idle, uint32_t idle_spin_us)
{
	int error = 0;

	*t = (struct turn){.idle = idle, .idle_spin_us = idle_spin_us, .event_fd = -1};
	t->began_us = clock_now_us();
	t->began_ticks = turn_ticks();
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll_fd < 0)
		return -errno;
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event_fd < 0)
		error = -errno;
	else
		error = watch(t, t->event_fd, t);
	if (error)
		turn_fini(t);
	return error;
}

void turn_fini(struct turn *t)
{
	if (t->event_fd >= 0)
		close(t->event_fd);
	close(t->epoll_fd);
	t->event_fd = t->epoll_fd = -1;
}

int turn_add(struct turn *t, struct turn_source *s)
{
	if (t->source_count == TURN_SOURCES_MAX)
		return -ENOSPC;
	if (s->wake_fd >= 0) {
		int error = watch(t, s->wake_fd, s);
		if (error)
			return error;
	}
	t->source_stats[t->source_count] = (struct turn_source_stats){.name = s->name};
	t->sources[t->source_count++] = s;
	return 0;
}

void turn_remove(struct turn *t, struct turn_source *s)
{
	unsigned i = 0;

	while (i < t->source_count && t->sources[i] != s)
		i++;
	MUST(i < t->source_count);
	t->source_count--;
	memmove(&t->sources[i], &t->sources[i + 1], (t->source_count - i) * sizeof(t->sources[0]));
	memmove(&t->source_stats[i], &t->source_stats[i + 1],
		(t->source_count - i) * sizeof(t->source_stats[0]));
	if (s->wake_fd >= 0)
		epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, s->wake_fd, NULL);
}

/* The longest turn, and whose it mostly was. */
static void note_longest(struct turn *t, const uint64_t *spent, uint64_t ticks)
{
	unsigned most = 0;

	for (unsigned i = 1; i < t->source_count; i++)
		if (spent[i] > spent[most])
			most = i;
	__atomic_store_n(&t->stats.ticks_max, ticks, __ATOMIC_RELAXED);
	__atomic_store_n(&t->stats.ticks_max_name, t->sources[most]->name, __ATOMIC_RELAXED);
	__atomic_store_n(&t->stats.ticks_max_source, spent[most], __ATOMIC_RELAXED);
}

static uint64_t poll_all(struct turn *t, uint64_t now_us, uint64_t at, uint64_t *spent, unsigned *work)
{
	for (unsigned i = 0; i < t->source_count; i++) {
		unsigned n = t->sources[i]->poll(t->sources[i], now_us);
		uint64_t end = turn_ticks();
		spent[i] = end - at;
		at = end;
		count(&t->source_stats[i].poll_ticks, spent[i]);
		count(&t->source_stats[i].polls_busy, n > 0);
		*work += n;
	}
	return at;
}

static uint64_t flush_all(struct turn *t, uint64_t now_us, uint64_t at, uint64_t *spent)
{
	for (unsigned i = 0; i < t->source_count; i++) {
		if (t->sources[i]->flush) {
			t->sources[i]->flush(t->sources[i], now_us);
			uint64_t end = turn_ticks();
			count(&t->source_stats[i].flush_ticks, end - at);
			spent[i] += end - at;
			at = end;
		}
		if (spent[i] > t->source_stats[i].ticks_max)
			__atomic_store_n(&t->source_stats[i].ticks_max, spent[i], __ATOMIC_RELAXED);
	}
	return at;
}

unsigned turn_run_once(struct turn *t, uint64_t now_us)
{
	uint64_t spent[TURN_SOURCES_MAX], begin = turn_ticks();
	enum phase before = phase_enter(&t->phase, PHASE_OTHER);
	unsigned work = 0;

	uint64_t ticks = poll_all(t, now_us, begin, spent, &work);
	ticks = flush_all(t, now_us, ticks, spent) - begin;
	count(&t->stats.turns, 1);
	if (work > 0) {
		count(&t->stats.turns_busy, 1);
		count(&t->stats.ticks_busy, ticks);
	}
	if (ticks > t->stats.ticks_max && t->source_count)
		note_longest(t, spent, ticks);
	phase_leave(&t->phase, before);
	return work;
}

uint64_t turn_next_us(struct turn *t)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < t->source_count; i++) {
		struct turn_source *s = t->sources[i];
		uint64_t at = s->next_us ? s->next_us(s) : UINT64_MAX;
		if (at < next)
			next = at;
	}
	return next;
}

static bool prepare_all(struct turn *t)
{
	for (unsigned i = 0; i < t->source_count; i++)
		if (t->sources[i]->sleep_prepare && !t->sources[i]->sleep_prepare(t->sources[i]))
			return false;
	return true;
}

/* How long the turn may sleep from now on; UINT64_MAX: until it is woken. */
static uint64_t sleep_us(struct turn *t, uint64_t now_us)
{
	uint64_t next = turn_next_us(t);
	uint64_t us = next == UINT64_MAX ? UINT64_MAX : next > now_us ? next - now_us : 0;

	for (unsigned i = 0; i < t->source_count; i++) {
		uint32_t max = t->sources[i]->sleep_us_max;
		if (max != 0 && max < us)
			us = max;
	}
	return us;
}

/* Returns the number of readable descriptors among events, 0 also where a signal came. */
static int wait_events(struct turn *t, struct epoll_event *events, int room, uint64_t us)
{
	const uint64_t us_max = UINT64_C(86400) * 1000000;
	bool forever = us == UINT64_MAX;
	int n = -1;

	if (us > us_max)
		us = us_max;
	if (!t->coarse) {
		struct timespec ts = {
			.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
		n = epoll_pwait2(t->epoll_fd, events, room, forever ? NULL : &ts, NULL);
		t->coarse = n < 0 && (errno == ENOSYS || errno == EPERM);
	}
	if (t->coarse)
		n = epoll_wait(t->epoll_fd, events, room, forever ? -1 : (int)(us / 1000));
	return n > 0 ? n : 0;
}

static void sleep_now(struct turn *t, uint64_t us)
{
	struct epoll_event events[TURN_SOURCES_MAX + 1];
	uint64_t drained;

	reclaim_offline();
	int n = wait_events(t, events, TURN_SOURCES_MAX + 1, us);
	reclaim_online();
	count(&t->stats.sleeps, 1);
	if (n > 0)
		count(&t->stats.wakeups, 1);
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr == t && read(t->event_fd, &drained, sizeof(drained)) < 0)
			CHECK(errno == EAGAIN || errno == EINTR);
}

bool turn_sleep_begin(struct turn *t)
{
	if (__atomic_exchange_n(&t->state, STATE_ASLEEP, __ATOMIC_SEQ_CST) != STATE_NOTIFIED &&
		prepare_all(t))
		return true;
	turn_sleep_end(t);
	return false;
}

bool turn_woken(const struct turn *t)
{
	return __atomic_load_n(&t->state, __ATOMIC_ACQUIRE) == STATE_NOTIFIED;
}

void turn_sleep_end(struct turn *t)
{
	__atomic_exchange_n(&t->state, STATE_AWAKE, __ATOMIC_SEQ_CST);
}

/* Sleeps unless there is, or may be, work. Returns whether it slept. */
static bool try_sleep(struct turn *t)
{
	if (!turn_sleep_begin(t))
		return false;
	uint64_t us = sleep_us(t, clock_now_us());
	if (us > 0)
		sleep_now(t, us);
	turn_sleep_end(t);
	return us > 0;
}

static void pause_briefly(void)
{
	for (int i = 0; i < PAUSES; i++)
		__builtin_ia32_pause();
}

static void note_gap(struct turn *t, uint64_t us)
{
	count(&t->stats.gaps, 1);
	count(&t->stats.gap_us, us);
	if (us > t->stats.gap_us_max)
		__atomic_store_n(&t->stats.gap_us_max, us, __ATOMIC_RELAXED);
}

static void run_loop(struct turn *t)
{
	uint64_t now_us = clock_now_us(), work_us = now_us;

	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		unsigned work = turn_run_once(t, now_us);
		reclaim_quiescent();

		uint64_t end_us = clock_now_us();
		if (end_us - now_us > t->stats.turn_us_max)
			__atomic_store_n(&t->stats.turn_us_max, end_us - now_us, __ATOMIC_RELAXED);
		if (work == 0 && end_us - now_us > TURN_GAP_US)
			note_gap(t, end_us - now_us);
		now_us = end_us;
		if (work > 0) {
			work_us = now_us;
		} else if (t->idle == TURN_IDLE_ADAPTIVE && now_us - work_us >= t->idle_spin_us) {
			if (try_sleep(t))
				now_us = clock_now_us();
		} else if (t->idle != TURN_IDLE_POLL) {
			pause_briefly();
		}
	}
}

/* A thread's sleeps are late by its timer slack, 50 us unless it says otherwise. */
void turn_run(struct turn *t)
{
	int slack_ns = prctl(PR_GET_TIMERSLACK);

	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	reclaim_thread_register();
	run_loop(t);
	reclaim_thread_unregister();
	if (slack_ns > 0)
		prctl(PR_SET_TIMERSLACK, slack_ns);
	__atomic_store_n(&t->stop, false, __ATOMIC_RELEASE);
}

void turn_wake(struct turn *t)
{
	if (__atomic_exchange_n(&t->state, STATE_NOTIFIED, __ATOMIC_SEQ_CST) != STATE_ASLEEP)
		return;
	int saved = errno;
	/* EAGAIN: it is readable already, which is all that is wanted. */
	while (eventfd_write(t->event_fd, 1) != 0 && errno == EINTR)
		;
	errno = saved;
}

void turn_stop(struct turn *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELEASE);
	turn_wake(t);
}

struct turn_stats turn_stats(const struct turn *t)
{
	return (struct turn_stats){
		.turns = __atomic_load_n(&t->stats.turns, __ATOMIC_RELAXED),
		.turns_busy = __atomic_load_n(&t->stats.turns_busy, __ATOMIC_RELAXED),
		.sleeps = __atomic_load_n(&t->stats.sleeps, __ATOMIC_RELAXED),
		.wakeups = __atomic_load_n(&t->stats.wakeups, __ATOMIC_RELAXED),
		.turn_us_max = __atomic_load_n(&t->stats.turn_us_max, __ATOMIC_RELAXED),
		.gaps = __atomic_load_n(&t->stats.gaps, __ATOMIC_RELAXED),
		.gap_us = __atomic_load_n(&t->stats.gap_us, __ATOMIC_RELAXED),
		.gap_us_max = __atomic_load_n(&t->stats.gap_us_max, __ATOMIC_RELAXED),
		.ticks_busy = __atomic_load_n(&t->stats.ticks_busy, __ATOMIC_RELAXED),
		.ticks_max = __atomic_load_n(&t->stats.ticks_max, __ATOMIC_RELAXED),
		.ticks_max_name = __atomic_load_n(&t->stats.ticks_max_name, __ATOMIC_RELAXED),
		.ticks_max_source = __atomic_load_n(&t->stats.ticks_max_source, __ATOMIC_RELAXED),
	};
}

bool turn_source_stats(const struct turn *t, unsigned index, struct turn_source_stats *out)
{
	const struct turn_source_stats *s = &t->source_stats[index];

	if (index >= t->source_count)
		return false;
	*out = (struct turn_source_stats){
		.name = s->name,
		.polls_busy = __atomic_load_n(&s->polls_busy, __ATOMIC_RELAXED),
		.poll_ticks = __atomic_load_n(&s->poll_ticks, __ATOMIC_RELAXED),
		.flush_ticks = __atomic_load_n(&s->flush_ticks, __ATOMIC_RELAXED),
		.ticks_max = __atomic_load_n(&s->ticks_max, __ATOMIC_RELAXED),
	};
	return true;
}

double turn_ticks_per_us(const struct turn *t)
{
	uint64_t us = clock_now_us() - t->began_us;

	return us ? (double)(turn_ticks() - t->began_ticks) / (double)us : 1;
}
