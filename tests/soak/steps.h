/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of steps have in common. */
#ifndef SOAK_STEPS_H
#define SOAK_STEPS_H

#include "tests/soak/load.h"

/* Below n. */
static inline uint32_t roll(struct session *s, uint32_t n)
{
	return load_random(s->load, n);
}

static inline bool one_in(struct session *s, uint32_t n)
{
	return roll(s, n) == 0;
}

uint16_t roll_prefetch(struct session *s);
uint32_t roll_size(struct session *s);

/* Of a slot's queue in one of its lives; name has NAME_BYTES, empty where the broker names it. */
enum queue_kind kind_of(uint32_t slot, uint32_t life);
void queue_name(char *name, uint32_t slot, uint32_t life);

/* Connects and opens channel 1. */
void hello(struct session *s, struct out *o);
/* A confirmed message that is nobody's own. */
void publish_shared(struct session *s, struct out *o, const char *exchange, const char *key, bool mandatory);

/* steps_side.c: those that need channel 2 */
step_fn step_get, step_abandon, step_recover, step_refused, step_shared;

#endif
