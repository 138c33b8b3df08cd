/* SPDX-License-Identifier: Apache-2.0 */
/* A set of addresses that is emptied in O(1): one core's note of what it has met while it routes one
 * message. Sized once. */
#ifndef BROKER_CORE_POINTER_SET_H
#define BROKER_CORE_POINTER_SET_H

#include <stdbool.h>
#include <stdint.h>

struct pointer_slot;

struct pointer_set {
	struct pointer_slot *slots;
	uint64_t round;
	uint32_t mask, used, capacity;
};

int pointer_set_create(struct pointer_set *s, uint32_t capacity); /* 0, or -1 without memory */
void pointer_set_destroy(struct pointer_set *s);
void pointer_set_clear(struct pointer_set *s);

enum pointer_set_result { POINTER_SET_FULL = -1, POINTER_SET_KNOWN = 0, POINTER_SET_NEW = 1 };
enum pointer_set_result pointer_set_add(struct pointer_set *s, const void *p);

/* Before pointer_set_add of several: a large set is not in the cache. */
void pointer_set_prefetch(const struct pointer_set *s, const void *p);

#endif
