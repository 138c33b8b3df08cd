/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/outcome.h"

#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t caught;

static void on_signal(int signal)
{
	caught = signal;
}

void outcome_fail(struct outcome *o, const char *why)
{
	if (__atomic_exchange_n(&o->claimed, 1, __ATOMIC_ACQ_REL))
		return;
	snprintf(o->why, sizeof(o->why), "%s", why);
	__atomic_store_n(&o->failed, 1, __ATOMIC_RELEASE);
}

void outcome_catch_signals(void)
{
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
}

bool outcome_goes_on(struct outcome *o)
{
	if (caught)
		outcome_fail(o, "interrupted");
	return !outcome_has_failed(o);
}

int outcome_tell(const struct outcome *o, const char *program)
{
	if (!outcome_has_failed(o))
		return 0;
	fprintf(stderr, "%s: %s\n", program, o->why);
	return 1;
}
