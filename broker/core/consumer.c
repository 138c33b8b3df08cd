/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers of a queue. Those that may take a message stand in one list and are served in turn; one that was
 * not ready when it was asked is parked in another until consumer_wake, so that a slow consumer costs its
 * queue nothing. */
#include "broker/core/core.h"
#include "runtime/check.h"

static bool count_consumer(struct broker *b)
{
	if (__atomic_add_fetch(&b->consumer_count, 1, __ATOMIC_RELAXED) <= b->config.limits.consumers)
		return true;
	__atomic_sub_fetch(&b->consumer_count, 1, __ATOMIC_RELAXED);
	return false;
}

/* Read by other cores too. */
static void consumers_count(struct queue *q, int by)
{
	__atomic_store_n(&q->consumer_count, q->consumer_count + (uint32_t)by, __ATOMIC_RELAXED);
}

enum failure_code consumer_attach_local(struct consumer *c, struct queue *q, struct failure *f)
{
	struct broker *b = q->owner->broker;

	CHECK(!q->deleted);
	bool single = q->policy && q->policy->single_active;
	if (q->exclusive_consumer || (c->exclusive && (single || q->consumer_count > 0)))
		return failure_set(f, FAILURE_ACCESS_REFUSED, QUEUE_FMT " in exclusive use",
			NAME_ARG(q->by_name.name, q->vhost));
	if (!count_consumer(b))
		return failure_set(
			f, FAILURE_LIMIT, "the limit of %u consumers is reached", b->config.limits.consumers);
	if (!q->order && !consumer_order_needed(q, c)) {
		cds_list_add_tail(&c->link, &q->consumers);
	} else if (!consumer_order_add(q, c)) {
		__atomic_sub_fetch(&b->consumer_count, 1, __ATOMIC_RELAXED);
		return failure_set(f, FAILURE_LIMIT,
			"no memory for a consumer, or it is one of more than %d priorities",
			CONSUMER_PRIORITIES_MAX);
	}
	c->queue = q;
	c->parked = false;
	consumers_count(q, 1);
	q->exclusive_consumer = c->exclusive;
	q->had_consumer = true;
	queue_mark_ready(q);
	return FAILURE_NONE;
}

void consumer_unlink(struct consumer *c)
{
	struct queue *q = c->queue;

	cds_list_del(&c->link);
	if (q->order)
		consumer_order_removed(q, c);
	c->queue = NULL;
	c->parked = false;
	MUST(q->consumer_count > 0);
	consumers_count(q, -1);
	q->exclusive_consumer = false; /* it was the only one, or none was */
	__atomic_sub_fetch(&q->owner->broker->consumer_count, 1, __ATOMIC_RELAXED);
}

void consumer_detach_local(struct consumer *c)
{
	struct queue *q = c->queue;

	if (!q)
		return;
	consumer_unlink(c);
	if (q->auto_delete && q->consumer_count == 0) {
		queue_remove(q);
		return;
	}
	if (cds_list_empty(&q->consumers))
		queue_unmark_ready(q);
	else
		queue_mark_ready(q); /* another one may have its turn now */
	queue_used(q);
}

enum consumer_result consumer_attach(
	struct broker_core *core, struct consumer *c, struct queue *q, struct failure *f)
{
	enum failure_code code;

	c->subscription = NULL;
	if (queue_mine(core, q)) {
		code = consumer_attach_local(c, q, f);
		return code ? CONSUMER_REFUSED : CONSUMER_DONE;
	}
	code = subscription_open(core, c, q, f);
	return code ? CONSUMER_REFUSED : CONSUMER_PENDING;
}

enum consumer_result consumer_detach(struct consumer *c)
{
	if (c->subscription) {
		subscription_detach(c->subscription);
		return CONSUMER_PENDING;
	}
	consumer_detach_local(c);
	return CONSUMER_DONE;
}

void consumer_abandon(struct consumer *c)
{
	if (c->subscription)
		subscription_abandon(c->subscription);
	else
		consumer_detach_local(c);
}

void consumer_wake(struct consumer *c)
{
	if (c->subscription) {
		subscription_wake(c->subscription);
		return;
	}
	if (!c->queue || !c->parked)
		return;
	c->parked = false;
	if (__builtin_expect(c->queue->order != NULL, 0))
		consumer_order_wake(c->queue, c);
	else
		cds_list_move(&c->link, c->queue->consumers.prev); /* last in turn */
	queue_mark_ready(c->queue);
}
