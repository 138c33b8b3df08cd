/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/phase.h"

#include "runtime/check.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { MARKS_MAX = 64, MEAN_US_MIN = 20, MEAN_US_MAX = 1000000 };

struct phase_watch {
	pthread_t thread;
	bool stop; /* atomic */
	unsigned count, mean_us;
	uint64_t random;
	struct phase_mark *marks[MARKS_MAX];
	struct phase_count seen[MARKS_MAX];
};

static const struct {
	const char *name, *text;
} phases[PHASE_COUNT] = {
#define X(id, name, text) {name, text},
	PHASES(X)
#undef X
};

const char *phase_name(enum phase p)
{
	return phases[p].name;
}

const char *phase_text(enum phase p)
{
	return phases[p].text;
}

/* Between half the mean and one and a half of it. */
static void wait(struct phase_watch *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	uint64_t ns = w->mean_us * 500ull + w->random % (w->mean_us * 1000ull);
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	nanosleep(&t, NULL);
}

static void *watch(void *ctx)
{
	struct phase_watch *w = ctx;

	pthread_setname_np(pthread_self(), "godwit-profile");
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	do {
		wait(w);
		for (unsigned i = 0; i < w->count; i++)
			w->seen[i].seen[phase_look(w->marks[i])]++;
	} while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED));
	return NULL;
}

struct phase_watch *phase_watch_start(struct phase_mark *const *marks, unsigned count, unsigned mean_us)
{
	struct phase_watch *w = calloc(1, sizeof(*w));

	MUST(count <= MARKS_MAX && mean_us >= MEAN_US_MIN && mean_us <= MEAN_US_MAX);
	if (!w)
		return NULL;
	w->count = count;
	w->mean_us = mean_us;
	w->random = ((uint64_t)(uintptr_t)w ^ (uint64_t)time(NULL) << 20) | 1;
	memcpy(w->marks, marks, count * sizeof(*marks));
	if (pthread_create(&w->thread, NULL, watch, w)) {
		free(w);
		return NULL;
	}
	return w;
}

void phase_watch_stop(struct phase_watch *w, struct phase_count *out)
{
	__atomic_store_n(&w->stop, true, __ATOMIC_RELAXED);
	pthread_join(w->thread, NULL);
	memcpy(out, w->seen, w->count * sizeof(*out));
	free(w);
}
