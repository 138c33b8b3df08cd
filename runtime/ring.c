/* SPDX-License-Identifier: Apache-2.0 */
/* Positions count records and wrap at 2^32, which the capacity divides. Each end remembers the other's
 * position as it last saw it, and reads the shared one again only when that is not enough. */
#include "runtime/ring.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 64, RECORD_BYTES_MAX = 4096, CAPACITY_MAX = 1 << 24 };

struct ring {
	/* The producer's line: where it will write; written by it alone. */
	__attribute__((aligned(LINE_BYTES))) uint32_t pushed;
	uint32_t popped_seen;
	uint32_t staged; /* at or behind `pushed`: filled in, not yet published */
	/* The consumer's. */
	__attribute__((aligned(LINE_BYTES))) uint32_t popped;
	uint32_t pushed_seen;
	uint32_t taken; /* at or behind `popped`: done with, not yet given back */
	/* Never written after creation. */
	__attribute__((aligned(LINE_BYTES))) uint32_t capacity;
	uint32_t record_bytes;
	__attribute__((aligned(LINE_BYTES))) uint8_t records[];
};

static uint8_t *record_at(struct ring *r, uint32_t index)
{
	return r->records + (size_t)index * r->record_bytes;
}

struct ring *ring_create(uint32_t record_bytes, uint32_t capacity)
{
	MUST(record_bytes >= 1 && record_bytes <= RECORD_BYTES_MAX);
	MUST(capacity >= 2 && capacity <= CAPACITY_MAX && (capacity & (capacity - 1)) == 0);

	size_t bytes = sizeof(struct ring) + (size_t)record_bytes * capacity;
	bytes = (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
	struct ring *r = aligned_alloc(LINE_BYTES, bytes);
	if (r)
		*r = (struct ring){.capacity = capacity, .record_bytes = record_bytes};
	return r;
}

void ring_destroy(struct ring *r)
{
	free(r);
}

uint32_t ring_push(struct ring *r, const void *records, uint32_t n)
{
	uint32_t at = r->pushed;

	CHECK(r->staged == at);
	uint32_t room = r->capacity - (at - r->popped_seen);

	if (room < n) {
		r->popped_seen = __atomic_load_n(&r->popped, __ATOMIC_ACQUIRE);
		room = r->capacity - (at - r->popped_seen);
		if (n > room)
			n = room;
	}
	if (n == 0)
		return 0;

	uint32_t index = at & (r->capacity - 1);
	uint32_t to_end = r->capacity - index < n ? r->capacity - index : n;
	size_t first_bytes = (size_t)to_end * r->record_bytes;
	memcpy(record_at(r, index), records, first_bytes);
	memcpy(r->records, (const uint8_t *)records + first_bytes, (size_t)(n - to_end) * r->record_bytes);
	r->staged = at + n;
	__atomic_store_n(&r->pushed, at + n, __ATOMIC_RELEASE);
	return n;
}

uint32_t ring_pop(struct ring *r, void *records, uint32_t n)
{
	uint32_t at = r->popped;
	uint32_t there = r->pushed_seen - at;

	CHECK(r->taken == at);

	if (there < n) {
		r->pushed_seen = __atomic_load_n(&r->pushed, __ATOMIC_ACQUIRE);
		there = r->pushed_seen - at;
		if (n > there)
			n = there;
	}
	if (n == 0)
		return 0;

	uint32_t index = at & (r->capacity - 1);
	uint32_t to_end = r->capacity - index < n ? r->capacity - index : n;
	size_t first_bytes = (size_t)to_end * r->record_bytes;
	memcpy(records, record_at(r, index), first_bytes);
	memcpy((uint8_t *)records + first_bytes, r->records, (size_t)(n - to_end) * r->record_bytes);
	r->taken = at + n;
	__atomic_store_n(&r->popped, at + n, __ATOMIC_RELEASE);
	return n;
}

uint32_t ring_room(struct ring *r, uint32_t enough)
{
	uint32_t room = r->capacity - (r->staged - r->popped_seen);

	if (room >= enough)
		return room;
	r->popped_seen = __atomic_load_n(&r->popped, __ATOMIC_ACQUIRE);
	return r->capacity - (r->staged - r->popped_seen);
}

void *ring_stage(struct ring *r)
{
	return ring_room(r, 1) ? record_at(r, r->staged++ & (r->capacity - 1)) : NULL;
}

uint32_t ring_commit(struct ring *r)
{
	uint32_t n = r->staged - r->pushed;

	if (n)
		__atomic_store_n(&r->pushed, r->staged, __ATOMIC_RELEASE);
	return n;
}

uint32_t ring_position(const struct ring *r)
{
	return r->staged;
}

bool ring_passed(struct ring *r, uint32_t position)
{
	if ((int32_t)(r->popped_seen - position) >= 0)
		return true;
	r->popped_seen = __atomic_load_n(&r->popped, __ATOMIC_ACQUIRE);
	return (int32_t)(r->popped_seen - position) >= 0;
}

const void *ring_front(struct ring *r)
{
	if (r->taken == r->pushed_seen) {
		r->pushed_seen = __atomic_load_n(&r->pushed, __ATOMIC_ACQUIRE);
		if (r->taken == r->pushed_seen)
			return NULL;
	}
	return record_at(r, r->taken & (r->capacity - 1));
}

void ring_take(struct ring *r)
{
	CHECK(r->taken != r->pushed_seen);
	r->taken++;
}

uint32_t ring_release(struct ring *r)
{
	uint32_t n = r->taken - r->popped;

	if (n)
		__atomic_store_n(&r->popped, r->taken, __ATOMIC_RELEASE);
	return n;
}

bool ring_taken(const struct ring *r, uint32_t position)
{
	return (int32_t)(r->taken - position) >= 0;
}

uint32_t ring_capacity(const struct ring *r)
{
	return r->capacity;
}

/* popped first: it never passes the pushed that is read after it. */
uint32_t ring_used(const struct ring *r)
{
	uint32_t popped = __atomic_load_n(&r->popped, __ATOMIC_ACQUIRE);
	uint32_t used = __atomic_load_n(&r->pushed, __ATOMIC_ACQUIRE) - popped;

	return used < r->capacity ? used : r->capacity;
}
