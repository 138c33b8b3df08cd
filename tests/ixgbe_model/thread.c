/* SPDX-License-Identifier: Apache-2.0 */
/* A device that plays by itself. */
#include "tests/ixgbe_model/private.h"

#include <time.h>

enum { IDLE_TURNS = 64, IDLE_NS = 50000 };

static void *run(void *context)
{
	struct ixm *m = context;
	unsigned idle = 0;

	while (!__atomic_load_n(&m->thread_stop, __ATOMIC_ACQUIRE)) {
		idle = ixm_turn(m) ? 0 : idle + 1;
		if (idle > IDLE_TURNS)
			nanosleep(&(struct timespec){.tv_nsec = IDLE_NS}, NULL);
	}
	return NULL;
}

int ixm_thread_start(struct ixm *m)
{
	m->thread_stop = false;
	int rc = pthread_create(&m->thread, NULL, run, m);
	m->threaded = rc == 0;
	return -rc;
}

void ixm_thread_stop(struct ixm *m)
{
	if (!m->threaded)
		return;
	__atomic_store_n(&m->thread_stop, true, __ATOMIC_RELEASE);
	pthread_join(m->thread, NULL);
	m->threaded = false;
}
