/* SPDX-License-Identifier: Apache-2.0 */
/* The arena: what was freed serves again what has the same size. */
#include "tests/interleave/machine.h"

#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

void *__real_memset(void *to, int byte, size_t bytes);

#define HERE __builtin_return_address(0)

#define ARENA_BASE  UINT64_C(0x200000000000)
#define ARENA_BYTES (UINT64_C(64) << 20)
enum { ALIGN = 64, SIZES = 1024, FREED_BYTE = 0xdb };

struct header { /* before each piece; ALIGN bytes */
	size_t bytes;
	struct header *next;
	uint64_t magic;
};

struct arena {
	uint64_t top, live;
	struct header *free[SIZES]; /* by size in units of ALIGN */
};

static struct arena *arena;

void *arena_base(void)
{
	return arena;
}

size_t arena_bytes(void)
{
	return arena->top;
}

size_t arena_live(void)
{
	return arena->live;
}

bool arena_holds(const void *at)
{
	return (uintptr_t)at - ARENA_BASE < ARENA_BYTES;
}

void arena_reset(void)
{
	if (!arena)
		arena = mmap((void *)ARENA_BASE, ARENA_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (arena == MAP_FAILED) {
		perror("arena");
		exit(2);
	}
	if (arena->top)
		__real_memset(arena, 0, arena->top);
	arena->top = (sizeof(*arena) + ALIGN - 1) / ALIGN * ALIGN;
}

void *machine_memory(size_t bytes)
{
	void *p = mmap(
		NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("memory");
		exit(2);
	}
	return p;
}

#define MAGIC_LIVE UINT64_C(0x6c697665206f626a)
#define MAGIC_FREE UINT64_C(0x667265656420212e)

static void inner(const void *at, size_t bytes)
{
	if (machine.inner)
		machine.inner(at, bytes, true, NULL);
}

static void arena_changes(size_t units)
{
	inner(arena, offsetof(struct arena, free));
	if (units < SIZES)
		inner(&arena->free[units], sizeof(arena->free[0]));
}

/* A thread's steps are one after the other in here: it is no part of what is checked. */
static void *allocate(size_t bytes, size_t align)
{
	size_t units = (bytes + ALIGN - 1) / ALIGN;
	struct header *h = units < SIZES && align <= ALIGN ? arena->free[units] : NULL;

	arena_changes(units);
	if (h) {
		arena->free[units] = h->next;
	} else {
		uint64_t at = ARENA_BASE + arena->top + ALIGN;
		if (align > ALIGN)
			at = (at + align - 1) / align * align;
		arena->top = at + units * ALIGN - ARENA_BASE;
		if (arena->top > ARENA_BYTES)
			return NULL;
		h = (struct header *)(at - ALIGN);
	}
	inner(h, ALIGN + units * ALIGN);
	*h = (struct header){.bytes = bytes, .magic = MAGIC_LIVE};
	arena->live += bytes;
	void *p = (uint8_t *)h + ALIGN;
	if (machine.plain)
		machine.plain(p, bytes, true, HERE);
	return __real_memset(p, 0, units * ALIGN);
}

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void __wrap_free(void *p);

void *__wrap_malloc(size_t bytes)
{
	return allocate(bytes, ALIGN);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return allocate(n * bytes, ALIGN);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return allocate(bytes, align);
}

void __wrap_free(void *p)
{
	if (!p)
		return;
	struct header *h = (struct header *)((uint8_t *)p - ALIGN);
	size_t units = (h->bytes + ALIGN - 1) / ALIGN;
	MUST(arena_holds(p) && h->magic == MAGIC_LIVE);
	if (machine.plain)
		machine.plain(p, h->bytes, true, HERE);
	arena_changes(units);
	inner(h, ALIGN + units * ALIGN);
	h->magic = MAGIC_FREE;
	arena->live -= h->bytes;
	__real_memset(p, FREED_BYTE, units * ALIGN);
	if (units < SIZES) {
		h->next = arena->free[units];
		arena->free[units] = h;
	}
}
