/* SPDX-License-Identifier: Apache-2.0 */
/* From queues to consumers: queues take turns of QUEUE_QUANTUM messages, and within a queue its consumers
 * take turns of one. A consumer's deliver may do anything to its queue, deleting it included. */
#include "broker/core/core.h"
#include "runtime/check.h"

static bool has_work(struct queue *q)
{
	return q->entries.ready > 0 && !cds_list_empty(&q->consumers) && !q->move && !q->is_expiring;
}

void queue_mark_ready(struct queue *q)
{
	if (q->is_ready || !has_work(q))
		return;
	CHECK(!q->arriving);
	q->is_ready = true;
	cds_list_add_tail(&q->of_ready, &q->owner->ready);
}

void queue_unmark_ready(struct queue *q)
{
	if (!q->is_ready)
		return;
	q->is_ready = false;
	cds_list_del(&q->of_ready);
}

/* The next one in the queue's list that takes a message now, or NULL; those asked in vain are parked. */
static inline struct consumer *next_in_turn(struct queue *q)
{
	while (!cds_list_empty(&q->consumers)) {
		struct consumer *c = cds_list_first_entry(&q->consumers, struct consumer, link);
		cds_list_del(&c->link);
		if (c->ops->ready(c)) {
			cds_list_add_tail(&c->link, &q->consumers);
			return c;
		}
		c->parked = true;
		cds_list_add_tail(&c->link, &q->parked_consumers);
	}
	return NULL;
}

/* All that come first are parked. Not a part of what plain queues run through. */
__attribute__((noinline)) static struct consumer *next_of_lower_classes(struct queue *q)
{
	struct consumer *c = NULL;

	while (!c && consumer_order_next(q))
		c = next_in_turn(q);
	return c;
}

static inline struct consumer *next_consumer(struct queue *q)
{
	struct consumer *c = next_in_turn(q);

	return c || !q->order ? c : next_of_lower_classes(q);
}

/* Before a consumer is asked it is clear that there is something for it. */
__attribute__((noinline)) static unsigned deliver_ruled(struct queue *q, unsigned most)
{
	unsigned n = 0;

	while (n < most && !q->deleted && !q->move && queue_rules_head_lives(q)) {
		struct consumer *c = next_consumer(q);
		if (!c)
			break;
		struct delivery d;
		MUST(queue_take_ruled(q, c->no_ack, &d));
		consumer_give(c, &d);
		n++;
	}
	if (!q->deleted)
		queue_rules_taken(q);
	return n;
}

static unsigned deliver_from(struct queue *q, unsigned most)
{
	unsigned n = 0;

	if (__builtin_expect(queue_rules(q), 0))
		return deliver_ruled(q, most);
	while (n < most && !q->deleted && !q->move && q->entries.ready > 0) {
		struct consumer *c = next_consumer(q);
		if (!c)
			break;
		struct delivery d;
		MUST(queue_take_plain(q, c->no_ack, &d));
		c->ops->deliver(c, &d);
		n++;
	}
	return n;
}

unsigned broker_core_deliver(struct broker_core *c, unsigned budget)
{
	enum phase before = phase_enter(c->phase, PHASE_DELIVER);
	unsigned n = 0;

	broker_core_tidy(c);
	while (n < budget && !cds_list_empty(&c->ready)) {
		struct queue *q = cds_list_first_entry(&c->ready, struct queue, of_ready);
		unsigned left = budget - n;
		n += deliver_from(q, left < QUEUE_QUANTUM ? left : QUEUE_QUANTUM);
		/* A deleted queue has left the list; its memory stays until this core is quiescent. */
		queue_unmark_ready(q);
		if (!q->deleted)
			queue_mark_ready(q);
	}
	if (!cds_list_empty(&c->watched))
		queue_rules_poll(c);
	phase_leave(c->phase, before);
	return n;
}
