/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/entries.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

static struct message_store *store;
static struct message_cache *cache;
static struct entries entries;
static struct entries_grave grave;

static void begin(void)
{
	store = message_store_create(
		&(struct message_store_config){.memory_bytes = 4 << 20, .watermark_percent = 80});
	CU_ASSERT_PTR_NOT_NULL_FATAL(store);
	cache = message_cache_create(store);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cache);
	entries_init(&entries, cache);
	entries_grave_init(&grave);
}

static void clear(struct entries *e)
{
	entries_clear(e, &grave);
	while (entries_grave_empty(&grave, cache, 100))
		;
}

static void end(void)
{
	clear(&entries);
	CU_ASSERT_EQUAL(message_store_stats(store).blocks.used, 0);
	CU_ASSERT_EQUAL(message_store_stats(store).cells.used, 0);
	message_cache_destroy(cache);
	message_store_destroy(store);
}

static struct message *numbered(uint64_t n)
{
	return message_new(cache, &(struct message_envelope){.received_us = n});
}

static void push(uint64_t n)
{
	CU_ASSERT_TRUE_FATAL(entries_room(&entries));
	entries_push(&entries, numbered(n));
}

static void pop_expect(uint64_t n, bool redelivered, struct entry *out)
{
	CU_ASSERT_TRUE_FATAL(entries_pop(&entries, false, out));
	CU_ASSERT_EQUAL(message_received_us(out->message), n);
	CU_ASSERT_EQUAL(out->redelivered, redelivered);
}

static void settle(struct entry *x)
{
	entries_settle(&entries, x);
	message_unref(cache, x->message);
}

static void an_empty_queue_holds_no_page(void)
{
	struct entry x;

	begin();
	CU_ASSERT_FALSE(entries_pop(&entries, true, &x));
	for (unsigned i = 0; i < 2000; i++) {
		push(i);
		pop_expect(i, false, &x);
		CU_ASSERT_EQUAL(message_store_stats(store).blocks.used, 1);
		settle(&x);
		CU_ASSERT_EQUAL(message_store_stats(store).blocks.used, 0);
	}
	end();
}

static void order_holds_over_pages(void)
{
	struct entry x;

	begin();
	for (unsigned i = 0; i < 3000; i++)
		push(i);
	CU_ASSERT_EQUAL(entries.ready, 3000);
	for (unsigned i = 0; i < 3000; i++) {
		CU_ASSERT_TRUE_FATAL(entries_pop(&entries, true, &x));
		CU_ASSERT_EQUAL(message_received_us(x.message), i);
		CU_ASSERT_PTR_NULL(x.page);
		message_unref(cache, x.message);
	}
	CU_ASSERT_EQUAL(entries.ready, 0);
	end();
}

/* All orders of putting five delivered messages back, each with every subset settled instead. */
static void requeue_all(const unsigned *order, unsigned settled_mask)
{
	struct entry x[5];

	for (unsigned i = 0; i < 7; i++)
		push(i);
	for (unsigned i = 0; i < 5; i++)
		pop_expect(i, false, &x[i]);
	for (unsigned i = 0; i < 5; i++) {
		if (settled_mask >> order[i] & 1)
			settle(&x[order[i]]);
		else
			entries_requeue(&entries, &x[order[i]]);
	}
	struct entry y;
	for (unsigned i = 0; i < 7; i++) {
		if (i < 5 && settled_mask >> i & 1)
			continue;
		pop_expect(i, i < 5, &y);
		settle(&y);
	}
	CU_ASSERT_EQUAL(entries.ready + entries.unsettled, 0);
}

static void permute(unsigned *order, unsigned n)
{
	if (n == 1) {
		for (unsigned mask = 0; mask < 32; mask++)
			requeue_all(order, mask);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned t = order[i];
		order[i] = order[n - 1];
		order[n - 1] = t;
		permute(order, n - 1);
		order[n - 1] = order[i];
		order[i] = t;
	}
}

static void requeued_messages_come_first_in_order(void)
{
	begin();
	permute((unsigned[]){0, 1, 2, 3, 4}, 5);
	end();
}

/* Thousands delivered at once, over several pages, put back in random order and in part settled instead. */
static void requeueing_over_pages_keeps_order(void)
{
	enum { COUNT = 3000 };
	static struct entry held[COUNT];
	static unsigned order[COUNT];
	static bool settled[COUNT];

	begin();
	for (unsigned i = 0; i < COUNT; i++) {
		push(i);
		order[i] = i;
	}
	for (unsigned i = 0; i < COUNT; i++)
		pop_expect(i, false, &held[i]);
	for (unsigned i = COUNT; i > 1; i--) {
		unsigned k = unit_random_below(i), t = order[k];
		order[k] = order[i - 1];
		order[i - 1] = t;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		settled[order[i]] = unit_random_below(10) == 0;
		if (settled[order[i]])
			settle(&held[order[i]]);
		else
			entries_requeue(&entries, &held[order[i]]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		struct entry x;
		if (settled[i])
			continue;
		pop_expect(i, true, &x);
		settle(&x);
	}
	CU_ASSERT_EQUAL(message_store_stats(store).blocks.used, 0);
	end();
}

enum { MODEL_MAX = 6000 };
enum model_state { FRESH, DELIVERED, REQUEUED, SETTLED };

/* Against a flat array scanned from its start. */
static void random_operations_match_a_model(void)
{
	static enum model_state state[MODEL_MAX];
	static struct entry held[MODEL_MAX];
	unsigned pushed = 0, low = 0, out = 0;

	begin();
	for (unsigned step = 0; step < 60000; step++) {
		unsigned what = unit_random_below(100);
		if (what < 10 && pushed < MODEL_MAX) {
			state[pushed] = FRESH;
			push(pushed++);
		} else if (what < 40) {
			while (low < pushed && state[low] == SETTLED)
				low++;
			unsigned i = low;
			while (i < pushed && (state[i] == DELIVERED || state[i] == SETTLED))
				i++;
			struct entry x;
			if (i == pushed) {
				CU_ASSERT_FALSE(entries_pop(&entries, false, &x));
				continue;
			}
			pop_expect(i, state[i] == REQUEUED, &x);
			CU_ASSERT_EQUAL(x.position, i);
			state[i] = DELIVERED;
			held[i] = x;
			out++;
		} else if (out > 0 && pushed > 0) {
			unsigned i = unit_random_below(pushed);
			while (state[i] != DELIVERED)
				i = (i + 1) % pushed;
			out--;
			state[i] = what < 70 ? REQUEUED : SETTLED;
			if (state[i] == REQUEUED)
				entries_requeue(&entries, &held[i]);
			else
				settle(&held[i]);
		}
		CU_ASSERT_EQUAL(entries.unsettled, out);
	}
	for (unsigned i = 0; i < pushed; i++)
		if (state[i] == DELIVERED)
			settle(&held[i]);
	end();
}

static void purge_leaves_what_is_delivered(void)
{
	struct entry x[3], y;

	begin();
	for (unsigned i = 0; i < 1200; i++)
		push(i);
	for (unsigned i = 0; i < 3; i++)
		pop_expect(i, false, &x[i]);
	entries_requeue(&entries, &x[1]);
	CU_ASSERT_EQUAL(entries_purge(&entries, &grave), 1198);
	CU_ASSERT_EQUAL(entries.unsettled, 2);
	push(7777);
	entries_requeue(&entries, &x[2]);
	pop_expect(2, true, &y);
	settle(&y);
	pop_expect(7777, false, &y);
	settle(&y);
	settle(&x[0]);
	end();
}

static void room_is_all_or_nothing(void)
{
	void *taken[2048];
	unsigned n = 0;

	begin();
	push(0);
	while (n < 2048 && (taken[n] = message_store_block_take(cache)))
		n++;
	struct entries other;
	entries_init(&other, cache);
	CU_ASSERT_FALSE(entries_room(&other));
	message_store_block_give(cache, taken[--n]);
	CU_ASSERT_TRUE(entries_room(&other));
	CU_ASSERT_TRUE(entries_room(&other));
	entries_room_cancel(&other);
	entries_room_cancel(&other);
	CU_ASSERT_TRUE(entries_room(&other));
	entries_push(&other, numbered(1));
	entries_room_cancel(&other);
	CU_ASSERT_EQUAL(other.ready, 1);
	clear(&other);
	while (n > 0)
		message_store_block_give(cache, taken[--n]);
	end();
}

/* Both blocks of a page are there, or neither. */
static void counts_have_their_room(void)
{
	void *taken[2048];
	struct entry x;
	unsigned n = 0;

	begin();
	entries.counted = true;
	while ((taken[n] = message_store_block_take(cache)))
		n++;
	message_store_block_give(cache, taken[--n]);
	CU_ASSERT_FALSE(entries_room(&entries));
	message_store_block_give(cache, taken[--n]);
	CU_ASSERT_TRUE(entries_room(&entries));
	CU_ASSERT_PTR_NULL(message_store_block_take(cache));
	entries_room_cancel(&entries);
	while (n > 0)
		message_store_block_give(cache, taken[--n]);
	for (unsigned i = 0; i < 2; i++)
		push(i);
	CU_ASSERT_EQUAL(entries_peek_returns(&entries), 0);
	pop_expect(0, false, &x);
	CU_ASSERT_EQUAL(entry_count_return(&x), 1);
	CU_ASSERT_EQUAL(entries_peek_returns(&entries), 0); /* of the next one */
	entries_requeue(&entries, &x);
	CU_ASSERT_EQUAL(entries_peek_returns(&entries), 1);
	pop_expect(0, true, &x);
	entries_return(&entries, &x);
	CU_ASSERT_EQUAL(entries_peek_returns(&entries), 1);
	end();
}

/* A page made room for and given back must not be taken for the next fresh one. */
static void cancelled_room_behind_a_full_page(void)
{
	struct entry x;

	begin();
	for (unsigned i = 0; i < ENTRIES_A_PAGE; i++)
		push(i);
	CU_ASSERT_TRUE(entries_room(&entries));
	for (unsigned i = 0; i < ENTRIES_A_PAGE; i++) {
		pop_expect(i, false, &x);
		settle(&x);
	}
	CU_ASSERT_EQUAL(message_store_stats(store).blocks.used, 1);
	entries_room_cancel(&entries);
	CU_ASSERT_EQUAL(message_store_stats(store).blocks.used, 0);
	push(9);
	pop_expect(9, false, &x);
	settle(&x);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"an_empty_queue_holds_no_page", an_empty_queue_holds_no_page},
			{"order_holds_over_pages", order_holds_over_pages},
			{"requeued_messages_come_first_in_order", requeued_messages_come_first_in_order},
			{"requeueing_over_pages_keeps_order", requeueing_over_pages_keeps_order},
			{"random_operations_match_a_model", random_operations_match_a_model},
			{"purge_leaves_what_is_delivered", purge_leaves_what_is_delivered},
			{"room_is_all_or_nothing", room_is_all_or_nothing},
			{"counts_have_their_room", counts_have_their_room},
			{"cancelled_room_behind_a_full_page", cancelled_room_behind_a_full_page}, {0}});
}
