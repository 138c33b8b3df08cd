/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/undo.h"

#include <string.h>

enum { PAGE_BYTES = 512, PAGES = (64 << 20) / PAGE_BYTES, LOG_MAX = 1 << 17, IGNORED_MAX = 32 };

struct entry {
	uint32_t page;
	uint32_t logged_before; /* in which step */
	uint64_t hash;
	uint8_t content[PAGE_BYTES];
};

static struct {
	struct entry *log;
	size_t count, hashed; /* entries; those whose pages' hashes are as they were before them */
	uint32_t *logged;     /* by page: the step that has its entry */
	uint64_t *hashes;
	uint32_t step;
	uint64_t hash;
	struct turns_range ignored[IGNORED_MAX];
	unsigned ignored_count;
} u;

static uint8_t *page_at(uint32_t page)
{
	return (uint8_t *)arena_base() + (size_t)page * PAGE_BYTES;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return h ^ h >> 32;
}

/* An empty page counts for nothing: the arena may grow. */
static uint64_t page_hash(uint32_t page)
{
	uint64_t words[PAGE_BYTES / 8], h = page + 1, all = 0;
	uint8_t *from = page_at(page);

	memcpy(words, from, PAGE_BYTES);
	for (unsigned i = 0; i < u.ignored_count; i++) {
		uint8_t *at = u.ignored[i].at, *end = at + u.ignored[i].bytes;
		if (at >= from + PAGE_BYTES || end <= from)
			continue;
		at = at < from ? from : at;
		end = end > from + PAGE_BYTES ? from + PAGE_BYTES : end;
		memset((uint8_t *)words + (at - from), 0, (size_t)(end - at));
	}
	for (unsigned i = 0; i < PAGE_BYTES / 8; i++) {
		all |= words[i];
		h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 31;
	}
	return all ? mix(h) : 0;
}

static uint32_t pages_used(void)
{
	return (uint32_t)((arena_bytes() + PAGE_BYTES - 1) / PAGE_BYTES);
}

void undo_begin(const struct turns_range *ignored, unsigned count)
{
	if (!u.log) {
		u.log = machine_memory(LOG_MAX * sizeof(*u.log));
		u.logged = machine_memory(PAGES * sizeof(*u.logged));
		u.hashes = machine_memory(PAGES * sizeof(*u.hashes));
	}
	u.count = u.hashed = 0;
	u.step++;
	u.ignored_count = count < IGNORED_MAX ? count : IGNORED_MAX;
	memcpy(u.ignored, ignored, u.ignored_count * sizeof(*ignored));
	memset(u.hashes, 0, PAGES * sizeof(*u.hashes));
	u.hash = 0;
	for (uint32_t i = 0; i < pages_used(); i++)
		u.hash += u.hashes[i] = page_hash(i);
}

void undo_write(const void *at, size_t bytes, bool write, const void *from)
{
	uint32_t first = (uint32_t)(((uintptr_t)at - (uintptr_t)arena_base()) / PAGE_BYTES);
	uint32_t last = (uint32_t)(((uintptr_t)at + bytes - 1 - (uintptr_t)arena_base()) / PAGE_BYTES);

	if (!write || bytes == 0)
		return;
	for (uint32_t page = first; page <= last; page++) {
		if (u.logged[page] == u.step)
			continue;
		if (u.count == LOG_MAX)
			machine_expect(__FILE__, __LINE__, "room in the undo log");
		struct entry *e = &u.log[u.count++];
		e->page = page;
		e->logged_before = u.logged[page];
		e->hash = u.hashes[page];
		memcpy(e->content, page_at(page), PAGE_BYTES);
		u.logged[page] = u.step;
	}
}

struct undo_mark undo_mark(void)
{
	u.step++;
	return (struct undo_mark){u.count, undo_hash()};
}

void undo_back(struct undo_mark m)
{
	while (u.count > m.count) {
		struct entry *e = &u.log[--u.count];
		memcpy(page_at(e->page), e->content, PAGE_BYTES);
		u.hashes[e->page] = e->hash;
		u.logged[e->page] = 0;
	}
	u.hashed = u.count;
	u.hash = m.hash;
	u.step++;
}

uint64_t undo_hash(void)
{
	for (; u.hashed < u.count; u.hashed++) {
		uint32_t page = u.log[u.hashed].page;
		uint64_t now = page_hash(page);
		u.hash += now - u.hashes[page];
		u.hashes[page] = now;
	}
	return u.hash;
}

bool undo_holds(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < pages_used(); i++)
		sum += page_hash(i);
	return sum == u.hash;
}
