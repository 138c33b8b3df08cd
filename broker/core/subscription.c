/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/subscription.h"

#include "broker/core/core.h"
#include "runtime/check.h"

#include <string.h>

/* The home's half */

enum failure_code subscription_open(
	struct broker_core *c, struct consumer *k, struct queue *q, struct failure *f)
{
	struct subscription *s = pool_take(c->subscriptions);

	if (!s)
		return failure_set(f, FAILURE_LIMIT, "the limit of %u consumers is reached",
			c->broker->config.limits.consumers);
	memset(s, 0, sizeof(*s));
	s->home = c;
	s->consumer = k;
	s->queue = q->handle;
	s->proxy = (struct consumer){
		.ops = &subscription_proxy_ops, .exclusive = k->exclusive, .priority = k->priority};
	CDS_INIT_LIST_HEAD(&s->crediting);
	CDS_INIT_LIST_HEAD(&s->owing);
	CDS_INIT_LIST_HEAD(&s->waiting_room);
	/* Should the queue be gone when this arrives. */
	failure_set(&s->failure, FAILURE_NOT_FOUND, "no " QUEUE_FMT, NAME_ARG(q->by_name.name, q->vhost));
	k->subscription = s;
	parcel_send(c, queue_owner(q)->index, &s->parcel, PARCEL_ATTACH);
	return FAILURE_NONE;
}

static void subscription_free(struct subscription *s)
{
	struct consumer *k = s->consumer;

	CHECK(list_is_empty(&s->owing) && list_is_empty(&s->waiting_room));
	cds_list_del(&s->crediting);
	if (k)
		k->subscription = NULL;
	pool_give(s->home->subscriptions, s);
}

static void detach_send(struct subscription *s)
{
	s->state = SUBSCRIPTION_DETACHING;
	parcel_send(s->home, __atomic_load_n(&s->at, __ATOMIC_RELAXED), &s->parcel, PARCEL_DETACH);
}

void subscription_detach(struct subscription *s)
{
	if (s->state == SUBSCRIPTION_ATTACHING)
		s->detach_wanted = true;
	else if (s->state != SUBSCRIPTION_DETACHING)
		detach_send(s);
}

void subscription_abandon(struct subscription *s)
{
	s->consumer->subscription = NULL;
	s->consumer = NULL;
	subscription_detach(s);
}

void subscription_wake(struct subscription *s)
{
	if (s->state == SUBSCRIPTION_FLOWING || s->state == SUBSCRIPTION_STOPPED) {
		if (list_is_empty(&s->crediting))
			cds_list_add_tail(&s->crediting, &s->home->crediting);
	}
}

static void credit_send(struct subscription *s)
{
	/* The owner clears it, then reads the words: one of the two sees the other's last write. */
	if (__atomic_exchange_n(&s->credit_travels, 1, __ATOMIC_SEQ_CST) == 0)
		parcel_send(
			s->home, __atomic_load_n(&s->at, __ATOMIC_RELAXED), &s->credit_parcel, PARCEL_CREDIT);
}

/* Grants what the consumer could take; small amounts wait until there are more of them. */
static bool credit_grant(struct subscription *s)
{
	struct consumer *k = s->consumer;
	uint32_t want = k->ops->credit ? k->ops->credit(k) : SUBSCRIPTION_CREDIT_MAX;
	uint64_t there = s->granted - s->used;

	if (want > SUBSCRIPTION_CREDIT_MAX)
		want = SUBSCRIPTION_CREDIT_MAX;
	if (want <= there || want - there < want / 2)
		return false;
	__atomic_store_n(&s->granted, s->used + want, __ATOMIC_RELEASE);
	return true;
}

/* Over, but a parcel may be on its way through a core that the queue has left. */
static void end(struct subscription *s)
{
	if (__atomic_load_n(&s->credit_travels, __ATOMIC_ACQUIRE))
		cds_list_add_tail(&s->crediting, &s->home->crediting);
	else
		subscription_free(s);
}

static void credit_update(struct subscription *s)
{
	if (s->ended) {
		end(s);
		return;
	}
	if (!s->consumer)
		return;
	if (s->state == SUBSCRIPTION_STOPPED && s->consumer->ops->ready(s->consumer)) {
		s->state = SUBSCRIPTION_FLOWING;
		/* Behind what came back, which the shared words are not. The last one has arrived long since.
		 */
		parcel_send(s->home, __atomic_load_n(&s->at, __ATOMIC_RELAXED), &s->restart_parcel,
			PARCEL_RESTART);
	}
	if (s->state == SUBSCRIPTION_FLOWING && credit_grant(s))
		credit_send(s);
}

static void attached(struct subscription *s)
{
	struct consumer *k = s->consumer;

	if (s->code != FAILURE_NONE) {
		struct failure f = s->failure;
		bool detaching = s->detach_wanted;
		subscription_free(s);
		if (k && detaching)
			k->ops->detached(k);
		else if (k)
			k->ops->attached(k, &f);
		return;
	}
	s->state = SUBSCRIPTION_FLOWING;
	if (s->detach_wanted) {
		detach_send(s);
		return;
	}
	k->ops->attached(k, NULL);
	subscription_wake(s);
	subscription_settle(s);
}

/* It has left the queue, which is being deleted. */
static void cancelled(struct subscription *s)
{
	struct consumer *k = s->consumer;

	if (s->state == SUBSCRIPTION_DETACHING)
		return;
	detach_send(s);
	s->consumer = NULL;
	k->subscription = NULL;
	k->ops->cancelled(k);
}

static void detached(struct subscription *s)
{
	struct consumer *k = s->consumer;

	s->ended = true;
	s->consumer = NULL;
	cds_list_del_init(&s->crediting);
	end(s);
	if (!k)
		return;
	k->subscription = NULL;
	k->ops->detached(k);
}

static void send_back(struct subscription *s, uint32_t from, const struct deliver_record *r)
{
	bool leaving = s->state == SUBSCRIPTION_DETACHING;

	*link_control(s->home, from) = (struct control_record){
		.settle = SETTLE_RETURN,
		.redelivered = r->redelivered,
		.queue = r->queue,
		.position = r->position,
		.place = r->place,
		.message = r->message,
		/* The owner sees DETACH before this, and the subscription may be gone by then. */
		.subscription = leaving ? NULL : s,
	};
	if (s->state == SUBSCRIPTION_FLOWING)
		s->state = SUBSCRIPTION_STOPPING;
}

static bool message(struct subscription *s, uint32_t from, const struct deliver_record *r)
{
	struct broker_core *c = s->home;
	struct consumer *k = s->consumer;

	if (!link_control_room(c, from, 1))
		return false;
	s->used++;
	if (s->state != SUBSCRIPTION_FLOWING || !k->ops->ready(k)) {
		send_back(s, from, r);
		return true;
	}
	struct delivery d = {.message = r->message,
		.queue = r->queue,
		.position = r->position,
		.place = r->place,
		.redelivered = r->redelivered,
		.attempt = r->attempt};
	if (k->no_ack)
		*link_control(c, from) = (struct control_record){.settle = SETTLE_FORGET,
			.queue = d.queue,
			.position = d.position,
			.place = d.place,
			.message = d.message};
	subscription_wake(s); /* first: deliver may end it */
	consumer_give(k, &d);
	return true;
}

bool subscription_deliver(struct broker_core *c, uint32_t from, const struct deliver_record *r)
{
	struct subscription *s = r->subscription;

	CHECK(s->home == c);
	switch ((enum deliver_kind)r->kind) {
	case DELIVER_MESSAGE:
		return message(s, from, r);
	case DELIVER_ATTACHED:
		attached(s);
		break;
	case DELIVER_STOPPED:
		if (s->state == SUBSCRIPTION_STOPPING) {
			s->state = SUBSCRIPTION_STOPPED;
			subscription_wake(s);
		}
		break;
	case DELIVER_CANCELLED:
		cancelled(s);
		break;
	case DELIVER_DETACHED:
		detached(s);
		break;
	}
	return true;
}

/* The owner's half */

static void owe(struct broker_core *c, struct subscription *s, uint8_t what)
{
	s->owes |= what;
	if (list_is_empty(&s->owing))
		cds_list_add_tail(&s->owing, &c->owing);
}

static bool marker_send(struct broker_core *c, struct subscription *s, uint8_t bit, enum deliver_kind kind)
{
	if (!(s->owes & bit))
		return true;
	struct deliver_record *r = link_deliver(c, s->home->index);
	if (!r)
		return false;
	s->owes &= (uint8_t)~bit;
	s->marked = ring_position(c->out[s->home->index].link->deliver);
	*r = (struct deliver_record){.kind = kind, .subscription = s};
	return true;
}

static void markers_send(struct broker_core *c, struct subscription *s)
{
	if (marker_send(c, s, OWES_ATTACHED, DELIVER_ATTACHED) &&
		marker_send(c, s, OWES_STOPPED, DELIVER_STOPPED) &&
		marker_send(c, s, OWES_CANCELLED, DELIVER_CANCELLED) &&
		marker_send(c, s, OWES_DETACHED, DELIVER_DETACHED) && s->proxy.queue)
		consumer_wake(&s->proxy);
}

static bool proxy_ready(struct consumer *k)
{
	struct subscription *s = subscription_of_proxy(k);
	struct broker_core *c = queue_owner(k->queue);

	/* At home already: the consumer takes its place first. */
	if (s->stopped || s->owes || s->sent == s->granted_seen || s->home == c)
		return false;
	struct link_out *out = &c->out[s->home->index];
	if (ring_room(out->link->deliver, 1))
		return true;
	if (list_is_empty(&s->waiting_room))
		cds_list_add_tail(&s->waiting_room, &out->waiting);
	return false;
}

static void proxy_deliver(struct consumer *k, const struct delivery *d)
{
	struct subscription *s = subscription_of_proxy(k);
	struct deliver_record *r = link_deliver(queue_owner(k->queue), s->home->index);

	MUST(r); /* proxy_ready has just said so */
	s->sent++;
	message_share(d->message);
	*r = (struct deliver_record){
		.kind = DELIVER_MESSAGE,
		.redelivered = d->redelivered,
		.attempt = d->attempt,
		.subscription = s,
		.message = d->message,
		.queue = d->queue,
		.position = d->position,
		.place = d->place,
	};
}

static void proxy_cancelled(struct consumer *k)
{
	struct subscription *s = subscription_of_proxy(k);

	cds_list_del_init(&s->waiting_room);
	owe(s->proxy_core, s, OWES_CANCELLED);
}

const struct consumer_ops subscription_proxy_ops = {
	.ready = proxy_ready, .deliver = proxy_deliver, .cancelled = proxy_cancelled};

static void attach(struct broker_core *c, struct subscription *s)
{
	struct queue *q = queue_resolve(c->broker, s->queue);

	if (q && !queue_mine(c, q)) {
		parcel_send(c, queue_owner(q)->index, &s->parcel, PARCEL_ATTACH);
		return;
	}
	s->code = q ? consumer_attach_local(&s->proxy, q, &s->failure) : FAILURE_NOT_FOUND;
	s->proxy_core = c;
	__atomic_store_n(&s->at, c->index, __ATOMIC_RELAXED);
	if (!s->code)
		move_consider(q);
	owe(c, s, OWES_ATTACHED);
}

static void credit(struct broker_core *c, struct subscription *s)
{
	__atomic_exchange_n(&s->credit_travels, 0, __ATOMIC_SEQ_CST);
	s->granted_seen = __atomic_load_n(&s->granted, __ATOMIC_ACQUIRE);
	if (s->proxy.queue)
		consumer_wake(&s->proxy);
	if (s->home == c)
		subscription_settle(s);
}

static void restart(struct subscription *s)
{
	s->stopped = false;
	if (s->proxy.queue)
		consumer_wake(&s->proxy);
}

static void detach(struct broker_core *c, struct subscription *s)
{
	cds_list_del_init(&s->waiting_room);
	if (s->proxy.queue)
		consumer_detach_local(&s->proxy);
	s->owes = 0;
	owe(c, s, OWES_DETACHED);
}

void subscription_parcel(struct broker_core *c, struct parcel *p)
{
	if (p->kind == PARCEL_ATTACH) {
		attach(c, caa_container_of(p, struct subscription, parcel));
		return;
	}
	struct subscription *s = p->kind == PARCEL_CREDIT
					 ? caa_container_of(p, struct subscription, credit_parcel)
				 : p->kind == PARCEL_RESTART
					 ? caa_container_of(p, struct subscription, restart_parcel)
					 : caa_container_of(p, struct subscription, parcel);
	uint32_t at = __atomic_load_n(&s->at, __ATOMIC_ACQUIRE);
	if (at != c->index) { /* it has moved with its queue */
		parcel_send(c, at, p, p->kind);
		return;
	}
	if (s->proxy.queue && !queue_mine(c, s->proxy.queue)) {
		parcel_send(c, c->index, p, p->kind); /* it is just coming */
		return;
	}
	if (p->kind == PARCEL_CREDIT)
		credit(c, s);
	else if (p->kind == PARCEL_RESTART)
		restart(s);
	else
		detach(c, s);
}

void subscription_returned(struct broker_core *c, struct subscription *s)
{
	if (s->stopped)
		return;
	s->stopped = true;
	owe(c, s, OWES_STOPPED);
}

static void room_poll(struct broker_core *c)
{
	for (uint32_t to = 0; to < c->broker->config.cores; to++) {
		struct link_out *out = &c->out[to];
		if (list_is_empty(&out->waiting))
			continue;
		uint32_t enough = ring_capacity(out->link->deliver) / 4;
		if (ring_room(out->link->deliver, enough) < enough)
			continue;
		while (!list_is_empty(&out->waiting)) {
			struct subscription *s = cds_list_first_entry(
				&out->waiting, struct subscription, waiting_room);
			cds_list_del_init(&s->waiting_room);
			consumer_wake(&s->proxy);
		}
	}
}

void subscriptions_poll(struct broker_core *c)
{
	struct subscription *s;
	CDS_LIST_HEAD(round);

	cds_list_splice(&c->crediting, &round);
	CDS_INIT_LIST_HEAD(&c->crediting);
	while (!list_is_empty(&round)) {
		s = cds_list_first_entry(&round, struct subscription, crediting);
		cds_list_del_init(&s->crediting);
		credit_update(s);
	}
	cds_list_splice(&c->owing, &round);
	CDS_INIT_LIST_HEAD(&c->owing);
	while (!list_is_empty(&round)) {
		s = cds_list_first_entry(&round, struct subscription, owing);
		cds_list_del_init(&s->owing);
		markers_send(c, s);
		if (s->owes)
			cds_list_add_tail(&s->owing, &c->owing);
	}
	room_poll(c);
}

bool subscriptions_idle(const struct broker_core *c)
{
	/* Who makes room in a ring wakes nobody. */
	for (uint32_t to = 0; to < c->broker->config.cores; to++)
		if (!list_is_empty(&c->out[to].waiting))
			return false;
	return list_is_empty(&c->crediting) && list_is_empty(&c->owing);
}

void subscription_settle(struct subscription *s)
{
	struct consumer *k = s->consumer;

	if (!k || s->state != SUBSCRIPTION_FLOWING ||
		__atomic_load_n(&s->at, __ATOMIC_ACQUIRE) != s->home->index)
		return;
	/* The other half is ours by now, once the queue has been taken in. */
	struct queue *q = s->proxy.queue;
	if (!q || q->arriving || s->owes || s->stopped ||
		__atomic_load_n(&s->credit_travels, __ATOMIC_RELAXED))
		return;
	/* Everything that was sent before the queue moved has been settled. */
	CHECK(s->sent == s->used);
	cds_list_add(&k->link, &s->proxy.link);
	cds_list_del(&s->proxy.link);
	cds_list_del_init(&s->waiting_room);
	k->queue = q;
	k->parked = s->proxy.parked;
	k->class = s->proxy.class;
	if (q->order && q->order->active == &s->proxy)
		q->order->active = k;
	subscription_free(s);
	consumer_wake(k);
	queue_mark_ready(q);
}
