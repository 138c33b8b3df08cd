/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ring.h"

#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 40, RECORD_BYTES_MAX = 100 };

static void fill(uint8_t *record, uint32_t bytes, uint64_t number)
{
	for (uint32_t i = 0; i < bytes; i++)
		record[i] = (uint8_t)(number * 31 + i);
}

static void like_a_counter(uint32_t record_bytes, uint32_t capacity)
{
	struct ring *r = ring_create(record_bytes, capacity);
	uint8_t batch[BATCH_MAX * RECORD_BYTES_MAX], want[RECORD_BYTES_MAX];
	uint64_t pushed = 0, popped = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	for (int step = 0; step < 4000; step++) {
		uint32_t n = unit_random_below(BATCH_MAX + 1), used = (uint32_t)(pushed - popped);
		if (unit_random_below(2)) {
			for (uint32_t i = 0; i < n; i++)
				fill(batch + i * record_bytes, record_bytes, pushed + i);
			uint32_t room = capacity - used;
			CU_ASSERT_EQUAL_FATAL(ring_push(r, batch, n), n < room ? n : room);
			pushed += n < room ? n : room;
		} else {
			uint32_t got = ring_pop(r, batch, n);
			CU_ASSERT_EQUAL_FATAL(got, n < used ? n : used);
			for (uint32_t i = 0; i < got; i++) {
				fill(want, record_bytes, popped++);
				CU_ASSERT_EQUAL_FATAL(
					memcmp(batch + i * record_bytes, want, record_bytes), 0);
			}
		}
		CU_ASSERT_EQUAL(ring_used(r), (uint32_t)(pushed - popped));
	}
	ring_destroy(r);
}

static void like_a_queue(void)
{
	like_a_counter(1, 2);
	like_a_counter(24, 16);
	like_a_counter(100, 64);
	like_a_counter(7, 1024);
}

/* Staged records are seen once they are committed, taken ones are room once they are released, and a position
 * is passed no earlier. */
static void in_place(void)
{
	struct ring *r = ring_create(8, 4);
	uint64_t *to;

	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	for (uint64_t round = 0; round < 100; round++) {
		uint32_t before = ring_position(r);
		for (uint64_t i = 0; i < 4; i++) {
			to = ring_stage(r);
			CU_ASSERT_PTR_NOT_NULL_FATAL(to);
			*to = round * 4 + i;
		}
		CU_ASSERT_PTR_NULL(ring_stage(r));
		CU_ASSERT_EQUAL(ring_position(r), before + 4);
		CU_ASSERT_PTR_NULL(ring_front(r));
		CU_ASSERT_EQUAL(ring_commit(r), 4);
		CU_ASSERT_EQUAL(ring_commit(r), 0);
		for (uint64_t i = 0; i < 3; i++) {
			const uint64_t *from = ring_front(r);
			CU_ASSERT_PTR_NOT_NULL_FATAL(from);
			CU_ASSERT_EQUAL(*from, round * 4 + i);
			ring_take(r);
		}
		CU_ASSERT_TRUE(ring_taken(r, before + 3));
		CU_ASSERT_FALSE(ring_taken(r, before + 4));
		CU_ASSERT_FALSE(ring_passed(r, before + 1));
		CU_ASSERT_EQUAL(ring_room(r, 1), 0);
		CU_ASSERT_EQUAL(ring_release(r), 3);
		CU_ASSERT_TRUE(ring_passed(r, before + 3));
		CU_ASSERT_FALSE(ring_passed(r, before + 4));
		CU_ASSERT_EQUAL(ring_room(r, 4), 3);
		uint64_t last;
		CU_ASSERT_EQUAL(ring_pop(r, &last, 1), 1);
		CU_ASSERT_EQUAL(last, round * 4 + 3);
		CU_ASSERT_TRUE(ring_passed(r, before + 4));
	}
	ring_destroy(r);
}

struct stream {
	struct ring *ring;
	uint64_t count;
};

struct record {
	uint64_t number, complement, spare;
};

static void *produce(void *arg)
{
	struct stream *s = arg;
	struct record batch[32];
	uint64_t number = 0;

	while (number < s->count) {
		uint32_t n = (uint32_t)(1 + number % 32), done = 0;
		for (uint32_t i = 0; i < n; i++)
			batch[i] = (struct record){number + i, ~(number + i), 0};
		while (done < n) {
			uint32_t pushed = ring_push(s->ring, batch + done, n - done);
			if (pushed == 0)
				sched_yield();
			done += pushed;
		}
		number += n;
	}
	return NULL;
}

static void two_threads(void)
{
	struct stream s = {ring_create(sizeof(struct record), 64), 300000};
	struct record batch[32];
	uint64_t next = 0, wrong = 0;
	pthread_t producer;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&producer, NULL, produce, &s), 0);
	while (next < s.count) {
		uint32_t n = ring_pop(s.ring, batch, (uint32_t)(1 + next % 32));
		if (n == 0)
			sched_yield();
		for (uint32_t i = 0; i < n; i++, next++)
			wrong += batch[i].number != next || batch[i].complement != ~next;
		wrong += ring_used(s.ring) > 64;
	}
	pthread_join(producer, NULL);
	CU_ASSERT_EQUAL(wrong, 0);
	ring_destroy(s.ring);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"like_a_queue", like_a_queue}, {"in_place", in_place},
			{"two_threads", two_threads}, {0}});
}
