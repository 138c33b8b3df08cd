/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/ksock_spread.h"

#include "runtime/check.h"
#include "runtime/ring.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 64 };

struct end {
	/* Written by the core itself. */
	__attribute__((aligned(LINE_BYTES))) uint32_t conns; /* what was given and taken is among them */
	uint32_t taken;
	/* Written by core 0. */
	__attribute__((aligned(LINE_BYTES))) uint32_t given;
	struct ring *ring;
	void (*wake)(void *ctx);
	void *wake_ctx;
};

struct ksock_spread {
	unsigned cores, next;
	uint32_t conn_max;
	uint64_t touched;
	struct end ends[];
};

struct ksock_spread *ksock_spread_create(unsigned cores, uint32_t conn_max)
{
	size_t bytes = sizeof(struct ksock_spread) + cores * sizeof(struct end);

	MUST(cores >= 1 && cores <= KSOCK_SPREAD_CORES_MAX);
	bytes = (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
	struct ksock_spread *s = aligned_alloc(LINE_BYTES, bytes);
	if (!s)
		return NULL;
	memset(s, 0, bytes);
	s->cores = cores;
	s->conn_max = conn_max;
	for (unsigned i = 1; i < cores; i++) {
		s->ends[i].ring = ring_create(sizeof(struct ksock_accepted), KSOCK_SPREAD_RING);
		if (!s->ends[i].ring) {
			ksock_spread_destroy(s);
			return NULL;
		}
	}
	return s;
}

void ksock_spread_destroy(struct ksock_spread *s)
{
	struct ksock_accepted a;

	for (unsigned i = 1; s && i < s->cores; i++) {
		if (!s->ends[i].ring)
			continue;
		while (ring_pop(s->ends[i].ring, &a, 1))
			close(a.fd);
		ring_destroy(s->ends[i].ring);
	}
	free(s);
}

void ksock_spread_set_wake(struct ksock_spread *s, unsigned core, void (*wake)(void *ctx), void *ctx)
{
	s->ends[core].wake = wake;
	s->ends[core].wake_ctx = ctx;
}

/* Those on their way count: taken is stored after conns, so none is missed between the two. */
static uint32_t load_of(const struct end *e)
{
	uint32_t on_the_way = e->given - __atomic_load_n(&e->taken, __ATOMIC_ACQUIRE);

	return on_the_way + __atomic_load_n(&e->conns, __ATOMIC_RELAXED);
}

int ksock_spread_pick(struct ksock_spread *s)
{
	uint32_t least = UINT32_MAX;
	uint64_t sum = 0;
	unsigned found = 0;

	for (unsigned i = 0; i < s->cores; i++) {
		unsigned core = (s->next + i) % s->cores;
		uint32_t load = load_of(&s->ends[core]);
		sum += load;
		if (load < least) {
			least = load;
			found = core;
		}
	}
	if (sum >= s->conn_max)
		return -1;
	s->next = (found + 1) % s->cores;
	return (int)found;
}

bool ksock_spread_give(struct ksock_spread *s, unsigned core, const struct ksock_accepted *a)
{
	struct end *e = &s->ends[core];

	if (ring_push(e->ring, a, 1) == 0)
		return false;
	e->given++;
	s->touched |= UINT64_C(1) << core;
	return true;
}

void ksock_spread_tell(struct ksock_spread *s)
{
	for (; s->touched; s->touched &= s->touched - 1) {
		struct end *e = &s->ends[__builtin_ctzll(s->touched)];
		if (e->wake)
			e->wake(e->wake_ctx);
	}
}

unsigned ksock_spread_take(struct ksock_spread *s, unsigned core, struct ksock_accepted *out, unsigned n)
{
	struct end *e = &s->ends[core];

	if (!e->ring)
		return 0;
	n = ring_pop(e->ring, out, n);
	if (n) {
		__atomic_store_n(&e->conns, e->conns + n, __ATOMIC_RELAXED);
		__atomic_store_n(&e->taken, e->taken + n, __ATOMIC_RELEASE);
	}
	return n;
}

bool ksock_spread_waiting(const struct ksock_spread *s, unsigned core)
{
	return s->ends[core].ring && ring_used(s->ends[core].ring) > 0;
}

void ksock_spread_count(struct ksock_spread *s, unsigned core, uint32_t conns)
{
	if (s->ends[core].conns != conns)
		__atomic_store_n(&s->ends[core].conns, conns, __ATOMIC_RELAXED);
}
