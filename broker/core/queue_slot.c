/* SPDX-License-Identifier: Apache-2.0 */
/* Handles of queues, for the whole broker: the index of a slot and a generation. Slots are taken and given
 * under the writer mutex; any core resolves a handle without it, since a queue's memory stays for a grace
 * period. */
#include "broker/core/core.h"
#include "runtime/check.h"

bool queue_slot_take(struct broker *b, struct queue *q)
{
	if (b->free_slot_count == 0)
		return false;
	uint32_t index = b->free_slots[--b->free_slot_count];
	q->handle = (uint64_t)++b->slot_generations[index] << 32 | (index + 1);
	__atomic_store_n(&b->queue_slots[index], q, __ATOMIC_RELEASE);
	return true;
}

void queue_slot_hide(struct broker *b, struct queue *q)
{
	uint32_t index = (uint32_t)q->handle - 1;

	MUST(b->queue_slots[index] == q);
	__atomic_store_n(&b->queue_slots[index], NULL, __ATOMIC_RELEASE);
}

void queue_slot_give(struct broker *b, struct queue *q)
{
	uint32_t index = (uint32_t)q->handle - 1;

	MUST(!b->queue_slots[index]);
	b->free_slots[b->free_slot_count++] = index;
}

struct queue *queue_resolve(const struct broker *b, queue_handle h)
{
	uint32_t index = (uint32_t)h - 1;

	if (index >= b->config.limits.queues)
		return NULL;
	struct queue *q = __atomic_load_n(&b->queue_slots[index], __ATOMIC_ACQUIRE);
	return q && q->handle == h ? q : NULL;
}
