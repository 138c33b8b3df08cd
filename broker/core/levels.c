/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/levels.h"

#include "runtime/check.h"

#include <stdlib.h>

int levels_create(struct entries *e, uint8_t priority_max)
{
	uint32_t count = (uint32_t)priority_max + 1;
	struct levels *l = calloc(1, sizeof(*l) + count * sizeof(l->at[0]));

	if (!l)
		return -1;
	l->count = count;
	for (uint32_t i = 0; i < count; i++)
		entries_init(&l->at[i], e->cache);
	e->levels = l;
	return 0;
}

void levels_destroy(struct entries *e)
{
	if (e->levels)
		CHECK(!e->levels->spare);
	free(e->levels);
	e->levels = NULL;
}

/* Other cores read it. */
static void ready_add(struct entries *e, int64_t n)
{
	__atomic_store_n(&e->ready, e->ready + (uint64_t)n, __ATOMIC_RELAXED);
}

static void bit_set(struct levels *l, uint32_t level, bool set)
{
	uint64_t bit = UINT64_C(1) << level % 64;

	if (set)
		l->ready_bits[level / 64] |= bit;
	else
		l->ready_bits[level / 64] &= ~bit;
}

/* The highest level that has any; there is one. */
static uint32_t highest(const struct levels *l)
{
	for (uint32_t w = LEVELS_MAX / 64; w-- > 0;)
		if (l->ready_bits[w])
			return w * 64 + 63 - (uint32_t)__builtin_clzll(l->ready_bits[w]);
	MUST(!"a ready message is of some level");
	return 0;
}

bool levels_room(struct entries *e)
{
	struct levels *l = e->levels;

	if (!l->spare)
		l->spare = entry_page_take(e);
	return l->spare != NULL;
}

/* A queue that holds nothing keeps no page. */
void levels_room_cancel(struct entries *e)
{
	struct levels *l = e->levels;

	if (!l->spare || e->ready > 0 || e->unsettled > 0)
		return;
	entry_page_give(e->cache, l->spare);
	l->spare = NULL;
}

static uint32_t level_of(const struct levels *l, const struct message *m)
{
	uint32_t level = message_priority(m);

	if (level < l->count)
		return level;
	return l->count - 1;
}

struct entries *levels_at(const struct entries *e, const struct message *m)
{
	return &e->levels->at[level_of(e->levels, m)];
}

void levels_push(struct entries *e, struct message *m_take)
{
	struct levels *l = e->levels;
	uint32_t level = level_of(l, m_take);

	if (!entries_has_room(&l->at[level])) {
		MUST(l->spare); /* levels_room has said so */
		entries_page_add(&l->at[level], l->spare);
		l->spare = NULL;
	}
	entries_push(&l->at[level], m_take);
	bit_set(l, level, true);
	ready_add(e, 1);
}

bool levels_pop(struct entries *e, bool settle, struct entry *out)
{
	struct levels *l = e->levels;

	if (e->ready == 0)
		return false;
	uint32_t level = highest(l);
	struct entries *at = &l->at[level];
	MUST(entries_pop(at, settle, out));
	at->unsettled = 0; /* counted for all levels together */
	e->unsettled += !settle;
	ready_add(e, -1);
	bit_set(l, level, at->ready > 0);
	levels_room_cancel(e);
	return true;
}

struct message *levels_peek(const struct entries *e)
{
	return e->ready ? entries_peek(&e->levels->at[highest(e->levels)]) : NULL;
}

uint32_t levels_peek_returns(const struct entries *e)
{
	MUST(e->ready > 0);
	return entries_peek_returns(&e->levels->at[highest(e->levels)]);
}

void levels_requeued(struct entries *e, struct entries *level)
{
	__atomic_store_n(&level->ready, level->ready + 1, __ATOMIC_RELAXED);
	bit_set(e->levels, (uint32_t)(level - e->levels->at), true);
}

uint64_t levels_purge(struct entries *e, struct entries_grave *g)
{
	struct levels *l = e->levels;
	uint64_t n = e->ready;

	for (uint32_t i = 0; i < l->count; i++) {
		entries_purge(&l->at[i], g);
		bit_set(l, i, false);
	}
	ready_add(e, -(int64_t)n);
	levels_room_cancel(e);
	return n;
}

void levels_clear(struct entries *e, struct entries_grave *g)
{
	struct levels *l = e->levels;

	for (uint32_t i = 0; i < l->count; i++) {
		entries_clear(&l->at[i], g);
		bit_set(l, i, false);
	}
	e->unsettled = 0;
	ready_add(e, -(int64_t)e->ready);
	levels_room_cancel(e);
}

void levels_adopt(struct entries *e, struct message_cache *c)
{
	struct levels *l = e->levels;

	for (uint32_t i = 0; i < l->count; i++)
		entries_adopt(&l->at[i], c);
}
