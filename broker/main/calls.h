/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the control thread has run on a data core, one at a time, in that core's own turn: status,
 * shutdown, reload. So core data is read and changed by its core alone. */
#ifndef BROKER_MAIN_CALLS_H
#define BROKER_MAIN_CALLS_H

#include "runtime/turn.h"

struct calls;

struct calls *calls_create(struct turn *turn);
void calls_destroy(struct calls *c);
struct turn_source *calls_source(struct calls *c);

/* Runs fn(arg) on the core and waits for it. 0; -ETIMEDOUT after timeout_ms: then fn may still run, or be
 * running, until the core has stopped, so arg must outlive the core; -EBUSY where the core has not come to an
 * earlier one that timed out: then fn will not run and arg is the caller's. Control thread. */
int calls_run(struct calls *c, void (*fn)(void *arg), void *arg, unsigned timeout_ms);

#endif
