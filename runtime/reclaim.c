/* SPDX-License-Identifier: Apache-2.0 */
/* Deferred nodes are pushed on one shared stack, which is always taken whole (so a reused address cannot
 * confuse the exchange), turned into arrival order, and released after a grace period. */
#include "runtime/reclaim.h"

#include "runtime/check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <urcu/urcu-qsbr.h>

/* ThreadSanitizer cannot look into liburcu: tell it what a grace period orders. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define GRACE_ENTERS(p) __tsan_release(p)
#define GRACE_LEAVES(p) __tsan_acquire(p)
#else
#define GRACE_ENTERS(p) ((void)(p))
#define GRACE_LEAVES(p) ((void)(p))
#endif

/* Nobody wakes the thread (that would be a system call on a data core): it looks, rarely while idle. */
enum { LOOK_MS_MIN = 1, LOOK_MS_MAX = 64 };

enum mode { MODE_OFF, MODE_MANUAL, MODE_QSBR };

static struct {
	enum mode mode; /* written while no other thread runs */
	bool stopping;
	pthread_t thread;
	char grace;
	__attribute__((aligned(64))) struct reclaim_node *deferred;
	uint64_t pending;
} self;

static __thread bool registered;
static __thread unsigned held;

static struct reclaim_node *take_all(void)
{
	struct reclaim_node *n = __atomic_exchange_n(&self.deferred, NULL, __ATOMIC_ACQUIRE), *first = NULL;

	while (n) {
		struct reclaim_node *next = n->next;
		n->next = first;
		first = n;
		n = next;
	}
	return first;
}

static unsigned release_all(struct reclaim_node *n)
{
	unsigned count = 0;

	while (n) {
		struct reclaim_node *next = n->next;
		n->release(n);
		__atomic_fetch_sub(&self.pending, 1, __ATOMIC_RELEASE);
		n = next;
		count++;
	}
	return count;
}

static void wait_grace_period(void)
{
	urcu_qsbr_synchronize_rcu();
	GRACE_LEAVES(&self.grace);
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	reclaim_offline();
	nanosleep(&t, NULL);
	reclaim_online();
}

/* Registered itself: a release function may walk RCU structures. */
static void *reclaim_main(void *arg)
{
	unsigned look_ms = LOOK_MS_MIN;

	reclaim_thread_register();
	for (;;) {
		bool stopping = __atomic_load_n(&self.stopping, __ATOMIC_ACQUIRE);
		struct reclaim_node *n = take_all();
		if (n) {
			wait_grace_period();
			release_all(n);
			look_ms = LOOK_MS_MIN;
		} else if (stopping) {
			break;
		} else {
			sleep_ms(look_ms);
			look_ms = look_ms < LOOK_MS_MAX ? look_ms * 2 : LOOK_MS_MAX;
		}
	}
	reclaim_thread_unregister();
	return NULL;
}

int reclaim_start(void)
{
	sigset_t all, old;

	MUST(self.mode == MODE_OFF);
	self.mode = MODE_QSBR;
	self.stopping = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&self.thread, NULL, reclaim_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		self.mode = MODE_OFF;
		return -error;
	}
	pthread_setname_np(self.thread, "godwit-rcu");
	return 0;
}

void reclaim_stop(void)
{
	if (self.mode == MODE_QSBR) {
		__atomic_store_n(&self.stopping, true, __ATOMIC_RELEASE);
		reclaim_offline();
		pthread_join(self.thread, NULL);
		reclaim_online();
	} else {
		while (reclaim_run() != 0)
			;
	}
	MUST(self.deferred == NULL && self.pending == 0);
	self.mode = MODE_OFF;
}

void reclaim_start_manual(void)
{
	MUST(self.mode == MODE_OFF);
	self.mode = MODE_MANUAL;
}

unsigned reclaim_run(void)
{
	MUST(self.mode != MODE_QSBR);
	return held > 0 ? 0 : release_all(take_all());
}

void reclaim_defer(struct reclaim_node *n, reclaim_fn release)
{
	CHECK(self.mode != MODE_OFF);
	n->release = release;
	n->next = __atomic_load_n(&self.deferred, __ATOMIC_RELAXED);
	__atomic_fetch_add(&self.pending, 1, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(
		&self.deferred, &n->next, n, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

uint64_t reclaim_pending(void)
{
	return __atomic_load_n(&self.pending, __ATOMIC_ACQUIRE);
}

void reclaim_thread_register(void)
{
	MUST(!registered);
	if (self.mode != MODE_QSBR)
		return;
	urcu_qsbr_register_thread();
	registered = true;
}

void reclaim_thread_unregister(void)
{
	held = 0;
	if (!registered)
		return;
	GRACE_ENTERS(&self.grace);
	urcu_qsbr_unregister_thread();
	registered = false;
}

void reclaim_hold(void)
{
	held++;
}

void reclaim_hold_end(void)
{
	if (held > 0)
		held--;
}

void reclaim_quiescent(void)
{
	if (!registered || held > 0)
		return;
	GRACE_ENTERS(&self.grace);
	urcu_qsbr_quiescent_state();
}

void reclaim_offline(void)
{
	MUST(held == 0);
	if (!registered)
		return;
	GRACE_ENTERS(&self.grace);
	urcu_qsbr_thread_offline();
}

void reclaim_online(void)
{
	if (registered)
		urcu_qsbr_thread_online();
}
