/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/pointer_set.h"

#include <stdlib.h>

struct pointer_slot {
	const void *p;
	uint64_t round; /* the slot is in use where this is the set's */
};

int pointer_set_create(struct pointer_set *s, uint32_t capacity)
{
	uint32_t slots = 64;

	while (slots < UINT32_C(1) << 31 && slots / 2 < capacity)
		slots *= 2;
	*s = (struct pointer_set){.slots = calloc(slots, sizeof(struct pointer_slot)),
		.round = 1,
		.mask = slots - 1,
		.capacity = capacity};
	return s->slots ? 0 : -1;
}

void pointer_set_destroy(struct pointer_set *s)
{
	free(s->slots);
	s->slots = NULL;
}

void pointer_set_clear(struct pointer_set *s)
{
	s->round++;
	s->used = 0;
}

static uint32_t slot_of(const struct pointer_set *s, const void *p)
{
	return (uint32_t)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & s->mask;
}

void pointer_set_prefetch(const struct pointer_set *s, const void *p)
{
	__builtin_prefetch(&s->slots[slot_of(s, p)], 1);
}

enum pointer_set_result pointer_set_add(struct pointer_set *s, const void *p)
{
	uint32_t i = slot_of(s, p);

	while (s->slots[i].round == s->round) {
		if (s->slots[i].p == p)
			return POINTER_SET_KNOWN;
		i = (i + 1) & s->mask;
	}
	if (s->used == s->capacity)
		return POINTER_SET_FULL;
	s->used++;
	s->slots[i].p = p;
	s->slots[i].round = s->round;
	return POINTER_SET_NEW;
}
