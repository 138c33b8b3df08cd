/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation does in weak memory: which stores of a location a load may return, and what it has seen
 * then. */
#include "tests/interleave/weak_inside.h"

#include <string.h>

/* Locations */

static struct location *location_of(const void *at)
{
	uint32_t i = address_hash(at);

	for (;; i++) {
		struct location *l = &w.locations[i % LOCATIONS_MAX];
		if (l->at == at && l->execution == w.execution)
			return l;
		if (l->execution != w.execution) {
			l->at = at;
			l->execution = w.execution;
			l->count = 0;
			return l;
		}
	}
}

/* What stands there came by plain writes, which whoever comes now is ordered after (clock.c has seen to it).
 */
static struct location *location_take(const struct op *op)
{
	struct location *l = location_of(op->at);

	if (l->count && l->bytes == op->bytes)
		return l;
	l->bytes = op->bytes;
	l->count = 1;
	l->stores[0] = (struct store){.value = op_value(op->at, op->bytes)};
	for (unsigned i = 0; i < THREADS; i++)
		l->stores[0].seen[i] = 0;
	return l;
}

/* A plain write: the history begins anew with it. */
void weak_written(const void *at, size_t bytes)
{
	const uint8_t *from = at;

	if (bytes > 64)
		return; /* a record or an object as a whole: none of these has atomic words */
	for (size_t i = 0; i < bytes; i++) {
		uint32_t k = address_hash(from + i);
		for (;; k++) {
			struct location *l = &w.locations[k % LOCATIONS_MAX];
			if (l->execution != w.execution)
				break;
			if (l->at == from + i)
				l->count = 0;
		}
	}
}

/* The oldest store that the running thread may still read: not one that it knows to be overwritten. */
static unsigned oldest_readable(const struct location *l, const struct op *op)
{
	const struct clock *now = &me()->now;

	for (unsigned i = l->count; i-- > 0;) {
		if (op->order == __ATOMIC_SEQ_CST && l->stores[i].seq_cst)
			return i;
		for (unsigned t = 0; t < THREADS; t++)
			if (l->stores[i].seen[t] && l->stores[i].seen[t] <= now->at[t])
				return i;
	}
	return 0;
}

static void acquire(const struct store *s, int order)
{
	if (order_acquires(order))
		clock_join(&me()->now, &s->release);
	else
		clock_join(&me()->fence_acquiring, &s->release);
}

static void append(struct location *l, const struct op *op, uint64_t value, const struct store *before)
{
	struct thread *t = me();
	struct store s = {.value = value, .seq_cst = op->order == __ATOMIC_SEQ_CST};

	if (l->count == STORES_MAX)
		weak_failed("a location has too many stores");
	s.release = order_releases(op->order) ? t->now : t->fence_released;
	if (before) /* a change goes on with what the store before it had released */
		clock_join(&s.release, &before->release);
	s.seen[w.running] = t->now.at[w.running];
	l->stores[l->count++] = s;
	memcpy(op->at, &value, op->bytes);
}

/* Which store it reads. */
static unsigned pick(const struct location *l, const struct op *op)
{
	uint8_t options[STORES_MAX];
	unsigned count = 0, last = l->count - 1;

	options[count++] = (uint8_t)last;
	if (op->kind != OP_LOAD && op->kind != OP_SWAP_IF)
		return last;
	for (unsigned i = oldest_readable(l, op); i < last; i++)
		if (op->kind == OP_LOAD || l->stores[i].value != op->expected)
			options[count++] = (uint8_t)i;
	return count == 1 ? last : weak_choose_store(options, count);
}

static void memory_do(struct op *op)
{
	struct location *l = location_take(op);
	unsigned which = op->kind == OP_STORE ? l->count - 1 : pick(l, op);
	struct store *s = &l->stores[which];
	struct store read = *s;

	op->before = s->value;
	op->done = op->kind != OP_SWAP_IF || s->value == op->expected;
	if (op->kind != OP_STORE) {
		acquire(s, op->done ? op->order : op->order_failed);
		if (!s->seen[w.running])
			s->seen[w.running] = me()->now.at[w.running];
	}
	if (w.step_count)
		w.steps[w.step_count - 1].stale = which != l->count - 1;
	if (op->kind != OP_LOAD && op->done)
		append(l, op, op_result(op, op->before), op->kind == OP_STORE ? NULL : &read);
}

static void fence_do(const struct op *op)
{
	struct thread *t = me();

	if (order_acquires(op->order))
		clock_join(&t->now, &t->fence_acquiring);
	if (order_releases(op->order))
		t->fence_released = t->now;
}

static void lock_do(struct op *op)
{
	struct location *l = location_take(op);
	struct store read = l->stores[l->count - 1];

	op->order = op->kind == OP_LOCK ? __ATOMIC_ACQUIRE : __ATOMIC_RELEASE;
	op->before = read.value;
	op->done = op->kind == OP_UNLOCK || read.value == 0;
	if (op->kind == OP_LOCK)
		acquire(&read, __ATOMIC_ACQUIRE);
	if (op->done)
		append(l, op, op->kind == OP_LOCK, NULL);
}

void weak_do(struct op *op)
{
	struct thread *t = me();
	struct race race;

	t->now.at[w.running]++;
	if (op->kind == OP_FENCE) {
		fence_do(op);
	} else {
		if (clock_atomic(op->at, op->bytes, op->kind != OP_LOAD, w.running, &t->now, &race)) {
			race.from = op->from;
			weak_raced(&race);
		}
		if (op->kind == OP_LOCK || op->kind == OP_UNLOCK)
			lock_do(op);
		else
			memory_do(op);
	}
	t->now.at[w.running]++;
}
