/* SPDX-License-Identifier: Apache-2.0 */
/* How a run ends: well, or for the first reason that anybody gave. */
#ifndef TOOLS_CLIENT_OUTCOME_H
#define TOOLS_CLIENT_OUTCOME_H

#include <stdbool.h>

/* Zeroed: nothing has gone wrong. */
struct outcome {
	unsigned claimed, failed; /* why is set between the two */
	char why[520];
};

/* Any thread; the first one counts. why: a sentence that people read, copied. */
void outcome_fail(struct outcome *o, const char *why);

/* Any thread; why may be read then. */
static inline bool outcome_has_failed(const struct outcome *o)
{
	return __atomic_load_n(&o->failed, __ATOMIC_ACQUIRE);
}

/* From here on SIGINT and SIGTERM are noted instead of ending the process. Main thread. */
void outcome_catch_signals(void);

/* Whether the run is to go on; a signal that was caught fails it. Main thread. */
bool outcome_goes_on(struct outcome *o);

/* The exit status, 0 or 1; says why on stderr. When no other thread runs any more. */
int outcome_tell(const struct outcome *o, const char *program);

#endif
