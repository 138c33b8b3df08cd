/* SPDX-License-Identifier: Apache-2.0 */
/* A producer and a consumer at a ring of two: everything comes, once, whole and in order, no record is
 * written while it is read, and what is said of positions is true. */
#include "runtime/ring.h"

#include "tests/interleave/scenarios.h"

#include <stdlib.h>

enum { PRODUCER, CONSUMER, RECORDS = 4, TRIES = 4 };

struct record {
	uint64_t number, twice;
};

static struct state {
	struct ring *ring;
	uint64_t pushed, popped;
	struct {
		uint64_t number; /* written by the consumer once it has the record: no atomic word */
	} done[8];
} * s;

static void setup(void)
{
	s = calloc(1, sizeof(*s));
	s->ring = ring_create(sizeof(struct record), 2);
}

/* Not as a function's value: the compiler does not tell of a store of that. */
static void record_write(struct record *r, uint64_t n)
{
	r->number = n;
	r->twice = 2 * n;
}

static void arrived(const struct record *r)
{
	EXPECT(r->number == s->popped && r->twice == 2 * r->number);
	s->done[s->popped].number = r->number;
	s->popped++;
}

/* Records copied in and out */

static void push_pop(unsigned thread)
{
	struct record batch[2];

	for (unsigned i = 0; i < TRIES; i++) {
		if (thread == PRODUCER) {
			uint32_t n = s->pushed + 2 <= RECORDS ? 2 : (uint32_t)(RECORDS - s->pushed);
			for (uint32_t k = 0; k < n; k++)
				record_write(&batch[k], s->pushed + k);
			s->pushed += ring_push(s->ring, batch, n);
		} else {
			uint32_t n = ring_pop(s->ring, batch, i % 2 + 1);
			for (uint32_t k = 0; k < n; k++)
				arrived(&batch[k]);
		}
	}
}

static void all_there(void)
{
	struct record r;

	EXPECT(ring_used(s->ring) == s->pushed - s->popped);
	while (ring_pop(s->ring, &r, 1))
		arrived(&r);
	EXPECT(s->popped == s->pushed);
}

/* Records filled in and read in place, published and given back in bursts */

static void in_place_producer(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		struct record *r;
		while (s->pushed < RECORDS && (r = ring_stage(s->ring)))
			record_write(r, s->pushed++);
		ring_commit(s->ring);
	}
}

static void in_place_consumer(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		const struct record *r;
		for (unsigned k = 0; k <= i % 2 && (r = ring_front(s->ring)); k++) {
			arrived(r);
			ring_take(s->ring);
		}
		ring_release(s->ring);
	}
}

static void in_place(unsigned thread)
{
	if (thread == PRODUCER)
		in_place_producer();
	else
		in_place_consumer();
}

/* A position that was passed: what the consumer did with the records before it is seen. Confirms stand on it.
 */
static void confirms_producer(void)
{
	uint32_t marks[RECORDS];
	unsigned staged = 0, confirmed = 0;

	for (unsigned i = 0; i < TRIES + 1; i++) {
		struct record *r;
		while (staged < RECORDS - 1 && (r = ring_stage(s->ring))) {
			record_write(r, staged);
			marks[staged++] = ring_position(s->ring);
		}
		ring_commit(s->ring);
		for (; confirmed < staged && ring_passed(s->ring, marks[confirmed]); confirmed++)
			EXPECT(s->done[confirmed].number == confirmed + 100);
	}
	s->pushed = staged;
}

static void confirms_consumer(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		const struct record *r = ring_front(s->ring);
		if (!r)
			continue;
		EXPECT(r->number == s->popped);
		s->done[s->popped++].number = r->number + 100;
		ring_take(s->ring);
		if (i % 2)
			ring_release(s->ring);
	}
	ring_release(s->ring);
}

static void confirms(unsigned thread)
{
	if (thread == PRODUCER)
		confirms_producer();
	else
		confirms_consumer();
}

/* Somebody counts while both are at work: from either end, and it is never more than fits. */
static void counted(unsigned thread)
{
	struct record r;

	for (unsigned i = 0; i < 2 + (thread == CONSUMER); i++) {
		uint32_t used = ring_used(s->ring);
		EXPECT(used <= 2);
		if (thread == PRODUCER) {
			record_write(&r, s->pushed);
			s->pushed += ring_push(s->ring, &r, 1);
			EXPECT(ring_room(s->ring, 2) <= 2);
		} else {
			/* What this end knows of is there at least. */
			uint32_t n = ring_pop(s->ring, &r, 1);
			EXPECT(n >= (used > 0));
			if (n)
				arrived(&r);
		}
	}
}

/* The producer's mark, told through another word, is where the consumer must have come to (move.c, call.c).
 */
struct told {
	uint32_t mark;
	uint32_t there;
};
static struct told *told;

static void setup_told(void)
{
	setup();
	told = calloc(1, sizeof(*told));
}

static void marks(unsigned thread)
{
	struct record *r;

	if (thread == PRODUCER) {
		for (unsigned i = 0; i < 2 && (r = ring_stage(s->ring)); i++)
			record_write(r, s->pushed++);
		ring_commit(s->ring);
		told->mark = ring_position(s->ring);
		__atomic_store_n(&told->there, 1, __ATOMIC_RELEASE);
		return;
	}
	for (unsigned i = 0; i < TRIES; i++) {
		bool there = __atomic_load_n(&told->there, __ATOMIC_ACQUIRE);
		const struct record *front = ring_front(s->ring);
		if (there && ring_taken(s->ring, told->mark))
			EXPECT(s->popped == 2 && !front);
		/* What was published before the mark was told is found by whoever has been told. */
		if (there && s->popped < 2)
			EXPECT(front);
		if (front) {
			arrived(front);
			ring_take(s->ring);
		}
	}
	ring_release(s->ring);
}

const struct weak_scenario ring_scenarios[] = {
	{"ring: push and pop", 2, setup, push_pop, all_there, 1000, 0},
	{"ring: in place", 2, setup, in_place, all_there, 1000, 0},
	{"ring: positions that were passed", 2, setup, confirms, NULL, 1000, 0},
	{"ring: counted meanwhile", 2, setup, counted, all_there, 1000, 0},
	{"ring: a mark that is told", 2, setup_told, marks, NULL, 20, 0},
	{NULL, 0, NULL, NULL, NULL, 0, 0},
};
