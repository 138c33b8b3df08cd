/* SPDX-License-Identifier: Apache-2.0 */
/* Messages into a queue and out of it, on its owner's core. */
#include "broker/core/queue.h"

#include "broker/core/core.h"
#include "runtime/check.h"

bool queue_room(struct queue *q)
{
	CHECK(!q->deleted);
	return entries_room(&q->entries);
}

void queue_room_cancel(struct queue *q)
{
	entries_room_cancel(&q->entries);
}

void queue_enqueue(struct queue *q, struct message *m)
{
	message_ref(m);
	entries_push(&q->entries, m);
	q->owner->stats.messages_ready++;
	queue_mark_ready(q);
}

bool queue_take(struct queue *q, bool no_ack, struct delivery *out)
{
	struct broker_core_stats *stats = &q->owner->stats;
	struct entry x;

	if (!entries_pop(&q->entries, no_ack, &x))
		return false;
	*out = (struct delivery){
		.message = x.message,
		.queue = q->handle,
		.position = x.position,
		.place = x.page,
		.redelivered = x.redelivered,
	};
	stats->messages_ready--;
	stats->delivered++;
	if (!no_ack)
		stats->messages_unacked++;
	return true;
}

bool queue_get(struct queue *q, bool no_ack, struct delivery *out)
{
	CHECK(!q->deleted);
	return queue_take(q, no_ack, out);
}

/* The queue of a delivery, or NULL where it has been deleted since. */
static struct queue *delivery_queue(struct broker_core *c, const struct delivery *d)
{
	struct queue **at = pool_resolve(c->handles, d->queue);
	return at ? *at : NULL;
}

static struct entry entry_of(const struct delivery *d)
{
	return (struct entry){d->message, d->place, d->position, d->redelivered};
}

static void settle(struct broker_core *c, const struct delivery *d)
{
	struct queue *q = delivery_queue(c, d);
	struct entry x = entry_of(d);

	if (q) {
		entries_settle(&q->entries, &x);
		c->stats.messages_unacked--;
	}
	message_unref(c->cache, d->message);
}

void queue_ack(struct broker_core *c, const struct delivery *d)
{
	c->stats.acked++;
	settle(c, d);
}

void queue_drop(struct broker_core *c, const struct delivery *d)
{
	c->stats.dropped++;
	settle(c, d);
}

void queue_requeue(struct broker_core *c, const struct delivery *d)
{
	struct queue *q = delivery_queue(c, d);
	struct entry x = entry_of(d);

	if (!q) {
		c->stats.dropped++;
		message_unref(c->cache, d->message);
		return;
	}
	entries_requeue(&q->entries, &x);
	c->stats.requeued++;
	c->stats.messages_unacked--;
	c->stats.messages_ready++;
	queue_mark_ready(q);
}

struct slice queue_name(const struct queue *q)
{
	return q->by_name.name;
}

uint64_t queue_ready_count(const struct queue *q)
{
	return q->entries.ready;
}

uint32_t queue_consumer_count(const struct queue *q)
{
	return q->consumer_count;
}

queue_handle queue_handle_of(const struct queue *q)
{
	return q->handle;
}
