/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/clock.h"

enum { CELLS = 64 << 20 };
enum kind { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE, KINDS };

/* When each thread touched a byte last; 0: not in this execution. */
struct cell {
	uint32_t execution;
	uint32_t when[KINDS][WEAK_THREADS_MAX];
};

static struct cell *cells; /* by the arena's bytes; made when they are touched */
static uint32_t execution_now;

void clock_begin(uint64_t execution)
{
	if (!cells)
		cells = machine_memory(CELLS * sizeof(*cells));
	execution_now = (uint32_t)execution;
}

static bool ordered(
	const struct cell *c, enum kind kind, unsigned thread, const struct clock *now, struct race *out)
{
	static const char *const names[] = {"a read", "a write", "an atomic load", "an atomic store"};

	for (unsigned i = 0; i < WEAK_THREADS_MAX; i++) {
		if (i == thread || c->when[kind][i] <= now->at[i])
			continue;
		*out = (struct race){.of = names[kind], .other = i};
		return false;
	}
	return true;
}

static bool touch(const void *at, size_t bytes, enum kind kind, unsigned thread, const struct clock *now,
	struct race *out)
{
	static const uint8_t conflicts[KINDS] = {
		[PLAIN_READ] = 1 << PLAIN_WRITE | 1 << ATOMIC_WRITE,
		[PLAIN_WRITE] = 1 << PLAIN_READ | 1 << PLAIN_WRITE | 1 << ATOMIC_READ | 1 << ATOMIC_WRITE,
		[ATOMIC_READ] = 1 << PLAIN_WRITE,
		[ATOMIC_WRITE] = 1 << PLAIN_READ | 1 << PLAIN_WRITE,
	};
	size_t first = (size_t)((uintptr_t)at - (uintptr_t)arena_base());

	for (size_t i = first; i < first + bytes; i++) {
		struct cell *c = &cells[i];
		if (c->execution != execution_now)
			*c = (struct cell){.execution = execution_now};
		for (enum kind k = 0; k < KINDS; k++)
			if (conflicts[kind] >> k & 1 && !ordered(c, k, thread, now, out))
				return true;
		c->when[kind][thread] = now->at[thread];
	}
	return false;
}

bool clock_plain(
	const void *at, size_t bytes, bool write, unsigned thread, const struct clock *now, struct race *out)
{
	return touch(at, bytes, write ? PLAIN_WRITE : PLAIN_READ, thread, now, out);
}

bool clock_atomic(
	const void *at, size_t bytes, bool write, unsigned thread, const struct clock *now, struct race *out)
{
	return touch(at, bytes, write ? ATOMIC_WRITE : ATOMIC_READ, thread, now, out);
}
