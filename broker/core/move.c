/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/core.h"
#include "runtime/check.h"

static uint64_t bit_of(const struct broker_core *c)
{
	return UINT64_C(1) << c->index;
}

/* The only consumer, where it is on another core and nothing of the queue is with it. */
static struct subscription *only_subscription(const struct queue *q)
{
	const struct cds_list_head *list = list_is_empty(&q->consumers) ? &q->parked_consumers
									: &q->consumers;

	if (q->consumer_count != 1 || q->entries.unsettled != 0)
		return NULL;
	return subscription_of_proxy(cds_list_first_entry(list, struct consumer, link));
}

static struct queue_move *slot_free(struct broker_core *c)
{
	for (unsigned i = 0; i < MOVES_MAX; i++)
		if (!c->moves[i].active)
			return &c->moves[i];
	return NULL;
}

static void fence(struct queue_move *m)
{
	struct broker_core *c = m->from;

	for (uint32_t i = 0; i < c->broker->config.cores; i++) {
		struct fence *f = &m->fences[i];
		f->move = m;
		f->answered = i == c->index;
		if (i != c->index)
			parcel_send(c, i, &f->parcel, PARCEL_FENCE);
	}
}

void move_consider(struct queue *q)
{
	struct broker_core *c = queue_owner(q);
	struct queue_move *m = slot_free(c);
	struct subscription *s = only_subscription(q);

	if (!m || !s || q->move || q->exclusive_to)
		return;
	m->active = true;
	m->handed_over = false;
	m->adopted = 0;
	m->from = c;
	m->to = s->home;
	m->queue = q->handle;
	m->stalls = c->counters.publish_stalls;
	q->move = m;
	c->moves_active++;
	queue_unmark_ready(q);
	__atomic_or_fetch(&q->fenced, bit_of(c), __ATOMIC_RELAXED);
	fence(m);
}

/* On a core whose publishers are to wait. */
static void fenced(struct broker_core *c, struct fence *f)
{
	struct queue *q = queue_resolve(c->broker, f->move->queue);

	if (q)
		__atomic_or_fetch(&q->fenced, bit_of(c), __ATOMIC_RELAXED);
	f->mark = ring_position(c->out[f->move->from->index].link->publish);
	__atomic_store_n(&f->answered, 1, __ATOMIC_RELEASE);
}

static void release(struct queue_move *m)
{
	m->active = false;
	m->from->moves_active--;
}

/* It stays: publishers and deliveries go on here. */
static void give_up(struct queue_move *m, struct queue *q)
{
	q->move = NULL;
	__atomic_store_n(&q->fenced, 0, __ATOMIC_RELEASE);
	queue_mark_ready(q);
	m->from->counters.moves_given_up++;
	release(m);
}

static void hand_over(struct queue_move *m, struct queue *q, struct subscription *s)
{
	struct broker_core *c = m->from;

	queue_rules_leave(q);
	cds_list_del(&q->of_core);
	cds_list_del_init(&s->waiting_room);
	c->stats.messages_ready -= q->entries.ready;
	q->move = NULL;
	q->arriving = true;
	m->handed_over = true;
	c->counters.moves_out++;
	__atomic_store_n(&s->at, m->to->index, __ATOMIC_RELEASE);
	__atomic_store_n(&q->owner, m->to, __ATOMIC_RELEASE);
	parcel_send(c, m->to->index, &m->adopt, PARCEL_ADOPT);
}

static bool answered(struct queue_move *m)
{
	for (uint32_t i = 0; i < m->from->broker->config.cores; i++)
		if (!__atomic_load_n(&m->fences[i].answered, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

static bool drained(struct queue_move *m)
{
	struct broker_core *c = m->from;

	for (uint32_t i = 0; i < c->broker->config.cores; i++)
		if (i != c->index && !ring_taken(c->in[i]->publish, m->fences[i].mark))
			return false;
	return true;
}

static void move_step(struct queue_move *m)
{
	if (m->handed_over) {
		if (__atomic_load_n(&m->adopted, __ATOMIC_ACQUIRE))
			release(m);
		return;
	}
	if (!answered(m))
		return;
	struct queue *q = queue_resolve(m->from->broker, m->queue);
	struct subscription *s = q ? only_subscription(q) : NULL;
	/* Memory is short: the queue had better deliver than wait for what cannot come in. */
	bool stuck = m->from->counters.publish_stalls != m->stalls;
	if (!drained(m) && !stuck)
		return;
	if (!q)
		release(m);
	else if (!drained(m) || !s || s->home != m->to || s->stopped)
		give_up(m, q);
	else if (!s->owes && ring_passed(m->from->out[s->home->index].link->deliver, s->marked))
		hand_over(m, q, s); /* what it owed has come from here first */
}

void moves_poll(struct broker_core *c)
{
	for (unsigned i = 0; c->moves_active && i < MOVES_MAX; i++)
		if (c->moves[i].active)
			move_step(&c->moves[i]);
}

bool queue_mine(struct broker_core *c, struct queue *q)
{
	if (queue_owner(q) != c)
		return false;
	if (!q->arriving)
		return true;
	q->arriving = false;
	entries_adopt(&q->entries, c->cache);
	if (q->entries.levels)
		levels_adopt(&q->entries, c->cache);
	cds_list_add_tail(&q->of_core, &c->queues);
	c->stats.messages_ready += q->entries.ready;
	c->counters.moves_in++;
	struct subscription *s = only_subscription(q);
	s->proxy_core = c;
	__atomic_store_n(&q->fenced, 0, __ATOMIC_RELEASE);
	subscription_settle(s);
	queue_rules_arrive(q);
	queue_mark_ready(q);
	return true;
}

static void adopt(struct broker_core *c, struct queue_move *m)
{
	struct queue *q = queue_resolve(c->broker, m->queue);

	if (q)
		queue_mine(c, q);
	__atomic_store_n(&m->adopted, 1, __ATOMIC_RELEASE);
}

void move_parcel(struct broker_core *c, struct parcel *p)
{
	if (p->kind == PARCEL_FENCE)
		fenced(c, caa_container_of(p, struct fence, parcel));
	else
		adopt(c, caa_container_of(p, struct queue_move, adopt));
}
