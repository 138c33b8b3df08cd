/* SPDX-License-Identifier: Apache-2.0 */
/* What a message's body begins with where it has the room: who published it and its number, from 0 on. A
 * receiver holds the numbers against what it has a right to. */
#ifndef TOOLS_CLIENT_STAMP_H
#define TOOLS_CLIENT_STAMP_H

#include "runtime/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum { STAMP_BYTES = 8, STAMP_PUBLISHERS_MAX = 1 << 16 };
#define STAMP_NUMBER_BITS 48

static inline void stamp_put(uint8_t *p, unsigned publisher, uint64_t number)
{
	wire_put64(p, (uint64_t)publisher << STAMP_NUMBER_BITS | number);
}

static inline unsigned stamp_publisher(uint64_t stamp)
{
	return (unsigned)(stamp >> STAMP_NUMBER_BITS);
}

static inline uint64_t stamp_number(uint64_t stamp)
{
	return stamp & ((UINT64_C(1) << STAMP_NUMBER_BITS) - 1);
}

/* Adds up to the same in any order, and to something else where one is missing and another one is there
 * twice. */
static inline uint64_t stamp_mix(uint64_t stamp)
{
	stamp = (stamp ^ stamp >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	stamp = (stamp ^ stamp >> 27) * UINT64_C(0x94d049bb133111eb);
	return stamp ^ stamp >> 31;
}

enum stamp_fault { STAMP_FINE, STAMP_STRANGER, STAMP_LOST, STAMP_AGAIN };

/* One receiver's account of the publishers `first` to `first + count - 1`. */
struct stamp_account {
	uint64_t *next; /* a publisher: the number that is due */
	unsigned first, count;
	bool shared; /* others receive as well: numbers rise, with gaps, and the sum tells in the end */
	uint64_t sum;
	/* The first fault. */
	uint64_t bad, due;
};

/* False without memory. */
bool stamp_account_init(struct stamp_account *a, unsigned first, unsigned count, bool shared);
void stamp_account_free(struct stamp_account *a);

/* What became of the order with this message; after a fault a->bad and a->due tell. */
static inline enum stamp_fault stamp_take(struct stamp_account *a, uint64_t stamp)
{
	unsigned who = stamp_publisher(stamp) - a->first;
	uint64_t number = stamp_number(stamp);

	if (__builtin_expect(who < a->count && number == a->next[who] && !a->shared, 1)) {
		a->next[who]++;
		return STAMP_FINE;
	}
	a->bad = stamp;
	a->due = who < a->count ? a->next[who] : 0;
	if (who >= a->count)
		return STAMP_STRANGER;
	if (number < a->next[who])
		return STAMP_AGAIN;
	if (!a->shared)
		return STAMP_LOST;
	a->next[who] = number + 1;
	a->sum += stamp_mix(stamp);
	return STAMP_FINE;
}

/* A sentence about a fault. */
void stamp_say(const struct stamp_account *a, enum stamp_fault fault, char *text, unsigned room);

/* What the sums of all receivers add up to where each of these publishers' first `numbers` messages came
 * once. */
uint64_t stamp_sum(unsigned first, unsigned count, uint64_t numbers);

#endif
