/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/calls.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <urcu/compiler.h>

struct calls {
	struct turn_source source;
	struct turn *turn;
	void (*_Atomic fn)(void *arg); /* set last by the caller, cleared by the core once it has run */
	void *arg;
	sem_t done;
};

static unsigned source_poll(struct turn_source *s, uint64_t now_us)
{
	struct calls *c = caa_container_of(s, struct calls, source);
	void (*fn)(void *) = atomic_load_explicit(&c->fn, memory_order_acquire);

	(void)now_us;
	if (!fn)
		return 0;
	fn(c->arg);
	atomic_store_explicit(&c->fn, NULL, memory_order_release);
	sem_post(&c->done);
	return 1;
}

static bool is_pending(struct calls *c)
{
	return atomic_load_explicit(&c->fn, memory_order_acquire) != NULL;
}

struct calls *calls_create(struct turn *turn)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->turn = turn;
	c->source = (struct turn_source){.name = "calls", .poll = source_poll, .wake_fd = -1};
	sem_init(&c->done, 0, 0);
	return c;
}

void calls_destroy(struct calls *c)
{
	if (!c)
		return;
	sem_destroy(&c->done);
	free(c);
}

struct turn_source *calls_source(struct calls *c)
{
	return &c->source;
}

int calls_run(struct calls *c, void (*fn)(void *arg), void *arg, unsigned timeout_ms)
{
	struct timespec until;

	if (is_pending(c))
		return -EBUSY;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	c->arg = arg;
	atomic_store_explicit(&c->fn, fn, memory_order_release);
	turn_wake(c->turn);
	/* A post may be that of an earlier call, which had timed out: only fn says that this one has run. */
	while (is_pending(c)) {
		if (sem_clockwait(&c->done, CLOCK_MONOTONIC, &until) != 0 && errno == ETIMEDOUT)
			return is_pending(c) ? -ETIMEDOUT : 0;
	}
	return 0;
}
