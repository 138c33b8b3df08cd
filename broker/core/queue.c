/* SPDX-License-Identifier: Apache-2.0 */
/* Messages into a queue and out of it. Putting in and taking out happen on its owner's core; a settlement may
 * come from any, and travels to the owner. */
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

void queue_enqueue_take(struct queue *q, struct message *m_take)
{
	if (__builtin_expect(queue_rules(q), 0)) {
		queue_rules_enqueue_take(q, m_take);
		return;
	}
	entries_push(&q->entries, m_take);
	q->owner->stats.messages_ready++;
	queue_mark_ready(q);
}

void queue_enqueue(struct queue *q, struct message *m)
{
	message_ref(m);
	queue_enqueue_take(q, m);
}

bool queue_take(struct queue *q, bool no_ack, struct delivery *out)
{
	if (!queue_rules(q))
		return queue_take_plain(q, no_ack, out);
	bool found = queue_rules_head_lives(q) && queue_take_ruled(q, no_ack, out);
	queue_rules_taken(q);
	return found;
}

static struct entry entry_of(const struct delivery *d)
{
	return (struct entry){d->message, d->place, d->position, d->redelivered};
}

/* On the owner. */
static void settle_here(struct queue *q, const struct delivery *d, enum settlement how)
{
	struct broker_core *c = q->owner;
	struct entry x = entry_of(d);

	c->stats.messages_unacked--;
	if (how == SETTLE_FORGET) {
		entries_settle(&q->entries, &x);
		return;
	}
	/* Whoever gives it back may still be sending it, and the queue may move. */
	if (c->broker->config.cores > 1)
		message_share(d->message);
	if (how == SETTLE_DROP) {
		entries_settle(&q->entries, &x);
		letter_post(c, q->policy->letters, d->message, DEATH_REJECTED);
		return;
	}
	if (how == SETTLE_REQUEUE && queue_rules(q) && queue_rules_gives_up(q, &x))
		return;
	if (how == SETTLE_RETURN) {
		entries_return(&q->entries, &x);
		c->stats.delivered--;
	} else {
		entries_requeue(&q->entries, &x);
		c->stats.requeued++;
	}
	c->stats.messages_ready++;
	if (queue_rules(q))
		queue_rules_requeued(q, d->message);
	queue_mark_ready(q);
}

/* A delivery that found no room comes back as if it had never left, but not where others may have been given
 * later ones meanwhile: they would get an older one without being told. */
static enum settlement as_it_counts(const struct queue *q, const struct control_record *r)
{
	bool alone = r->subscription && r->subscription->proxy.queue == q && q->consumer_count == 1;

	return r->settle == SETTLE_RETURN && !alone ? SETTLE_PUT_BACK : r->settle;
}

void queue_settle_arrived(struct broker_core *c, const struct control_record *r)
{
	struct queue *q = queue_resolve(c->broker, r->queue);
	struct delivery d = {.message = r->message,
		.queue = r->queue,
		.position = r->position,
		.place = r->place,
		.redelivered = r->redelivered};

	if (q) {
		MUST(queue_mine(c, q)); /* it does not move while deliveries are out */
		settle_here(q, &d, as_it_counts(q, r));
	} else if (r->settle != SETTLE_FORGET) {
		c->stats.dropped++;
		message_unref(c->cache, r->message);
	}
	if (r->subscription)
		subscription_returned(c, r->subscription);
}

bool queue_settle_ready(struct broker_core *c, const struct delivery *d)
{
	struct queue *q = queue_resolve(c->broker, d->queue);

	return !q || queue_owner(q) == c || link_control_room(c, queue_owner(q)->index, 1);
}

/* False: the queue has been deleted. */
static bool settle(struct broker_core *c, const struct delivery *d, enum settlement how)
{
	struct queue *q = queue_resolve(c->broker, d->queue);

	if (!q)
		return false;
	if (queue_mine(c, q)) {
		settle_here(q, d, how);
		return true;
	}
	struct control_record *r = link_control(c, queue_owner(q)->index);
	MUST(r); /* queue_settle_ready has said so */
	*r = (struct control_record){.settle = how,
		.redelivered = d->redelivered,
		.queue = d->queue,
		.position = d->position,
		.place = d->place,
		.message = d->message};
	return true;
}

void queue_ack(struct broker_core *c, const struct delivery *d)
{
	c->stats.acked++;
	settle(c, d, SETTLE_FORGET);
	message_unref(c->cache, d->message);
}

static bool has_letters(const struct queue *q)
{
	return q && q->policy && q->policy->letters;
}

bool queue_drop_ready(struct broker_core *c, const struct delivery *d)
{
	struct queue *q = queue_resolve(c->broker, d->queue);

	return (!has_letters(q) || letters_open(queue_owner(q))) && queue_settle_ready(c, d);
}

void queue_drop(struct broker_core *c, const struct delivery *d)
{
	if (has_letters(queue_resolve(c->broker, d->queue)) && settle(c, d, SETTLE_DROP))
		return;
	c->stats.dropped++;
	settle(c, d, SETTLE_FORGET);
	message_unref(c->cache, d->message);
}

bool queue_requeue_ready(struct broker_core *c, const struct delivery *d)
{
	struct queue *q = queue_resolve(c->broker, d->queue);
	bool last = q && d->attempt > 0 && d->attempt > q->policy->delivery_limit;

	return (!last || !has_letters(q) || letters_open(queue_owner(q))) && queue_settle_ready(c, d);
}

static void take_back(struct broker_core *c, const struct delivery *d, enum settlement how)
{
	if (settle(c, d, how))
		return;
	c->stats.dropped++;
	message_unref(c->cache, d->message);
}

void queue_requeue(struct broker_core *c, const struct delivery *d)
{
	take_back(c, d, SETTLE_REQUEUE);
}

void queue_put_back(struct broker_core *c, const struct delivery *d)
{
	take_back(c, d, SETTLE_PUT_BACK);
}

struct slice queue_name(const struct queue *q)
{
	return q->by_name.name;
}

uint64_t queue_ready_count(const struct queue *q)
{
	return __atomic_load_n(&q->entries.ready, __ATOMIC_RELAXED);
}

uint32_t queue_consumer_count(const struct queue *q)
{
	return __atomic_load_n(&q->consumer_count, __ATOMIC_RELAXED);
}

queue_handle queue_handle_of(const struct queue *q)
{
	return q->handle;
}
