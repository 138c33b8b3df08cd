/* SPDX-License-Identifier: Apache-2.0 */
/* A message into the queues that it is routed to, on this core and on others. All of them take it, or it is
 * offered again: nothing is dropped for want of room. A message for very many queues goes out in slices,
 * while its publisher waits. */
#include "broker/core/core.h"
#include "runtime/check.h"
#include "runtime/planted.h"

static bool fenced(const struct broker_core *c, const struct queue *q)
{
	/* Acquired before the owner is read: where the fence is down the new owner is seen. */
	return !PLANTED(fence_is_no_fence) && __atomic_load_n(&q->fenced, __ATOMIC_ACQUIRE) >> c->index & 1;
}

static void mark(struct publish_marks *marks, uint32_t core, const struct broker_core *c)
{
	if (!marks)
		return;
	marks->cores |= UINT64_C(1) << core;
	marks->at[core] = ring_position(c->out[core].link->publish);
}

bool publish_marks_passed(struct broker_core *c, struct publish_marks *marks)
{
	while (marks->cores) {
		uint32_t core = (uint32_t)__builtin_ctzll(marks->cores);
		if (!ring_passed(c->out[core].link->publish, marks->at[core]))
			return false;
		marks->cores &= marks->cores - 1;
	}
	return true;
}

/* False: not now. */
static bool give_one(struct broker_core *c, struct queue *q, struct message *m, struct publish_marks *marks)
{
	if (fenced(c, q))
		return false;
	if (queue_mine(c, q)) {
		if (!queue_room(q))
			return false;
		queue_enqueue(q, m);
		return true;
	}
	uint32_t to = queue_owner(q)->index;
	struct publish_record *r = link_publish(c, to);
	if (!r)
		return false;
	message_share(m);
	message_ref(m);
	*r = (struct publish_record){m, q->handle};
	mark(marks, to, c);
	return true;
}

static bool room_for(struct broker_core *c, struct queue *q, uint32_t *wanted)
{
	if (fenced(c, q))
		return false;
	if (queue_mine(c, q))
		return queue_room(q);
	uint32_t to = queue_owner(q)->index;
	wanted[to]++;
	return ring_room(c->out[to].link->publish, wanted[to]) >= wanted[to];
}

/* Room in every queue, or in none. */
static bool rooms_take(struct broker_core *c, const struct route_set *to)
{
	uint32_t wanted[CORES_MAX] = {0};

	for (uint32_t i = 0; i < to->count; i++) {
		if (room_for(c, to->queues[i], wanted))
			continue;
		while (i-- > 0)
			if (queue_owner(to->queues[i]) == c)
				queue_room_cancel(to->queues[i]);
		return false;
	}
	return true;
}

static bool give_all(
	struct broker_core *c, const struct route_set *to, struct message *m, struct publish_marks *marks)
{
	if (to->count > 1 && !rooms_take(c, to))
		return false;
	/* One of its queues may move while others stay. */
	if (to->count > 1 && c->broker->config.cores > 1)
		message_share(m);
	for (uint32_t i = 0; i < to->count; i++)
		if (!give_one(c, to->queues[i], m, marks)) {
			MUST(i == 0 && to->count == 1);
			return false;
		}
	return true;
}

/* A queue that is deleted is hidden at once, its bindings go in slices. */
static void leave_hidden_out(struct route_set *to)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < to->count; i++)
		if (!queue_hidden(to->queues[i]))
			to->queues[n++] = to->queues[i];
	to->count = n;
}

/* Fan-out in slices */

static void fan_out_begin(struct session *s, const struct route_set *to, struct message *m)
{
	struct fan_out *f = &s->core->fan_out;

	if (f->message)
		return; /* another one first */
	message_share(m);
	message_ref(m);
	f->message = m;
	f->session = s;
	f->count = to->count;
	f->at = f->given = 0;
	for (uint32_t i = 0; i < to->count; i++)
		f->queues[i] = to->queues[i]->handle;
	s->core->counters.fan_outs++;
}

unsigned fan_out_poll(struct broker_core *c)
{
	struct fan_out *f = &c->fan_out;
	unsigned n = 0;

	if (!f->message)
		return 0;
	for (; n < FAN_OUT_QUANTUM && f->at < f->count; n++, f->at++) {
		struct queue *q = queue_resolve(c->broker, f->queues[f->at]);
		if (q && !give_one(c, q, f->message, NULL))
			break;
		f->given += q != NULL;
	}
	if (f->at == f->count && !f->session) {
		message_unref(c->cache, f->message);
		f->message = NULL;
	}
	return n;
}

void exchange_publish_forget(struct session *s)
{
	if (s->core->fan_out.session == s)
		s->core->fan_out.session = NULL;
}

/* The publisher of the fan-out asks whether it is done. */
static enum publish_result fan_out_ask(
	struct broker_core *c, struct publish_marks *marks, uint32_t *queues_out)
{
	struct fan_out *f = &c->fan_out;

	if (f->at < f->count)
		return PUBLISH_AGAIN;
	/* Wherever it went: what was sent until now covers it. */
	for (uint32_t i = 0; marks && i < c->broker->config.cores; i++)
		if (i != c->index)
			mark(marks, i, c);
	*queues_out = f->given;
	message_unref(c->cache, f->message);
	f->message = NULL;
	f->session = NULL;
	return PUBLISH_DONE;
}

static enum publish_result count_done(struct broker_core *c, uint32_t queues)
{
	c->stats.published++;
	c->stats.routed += queues;
	c->stats.unroutable += queues == 0;
	return PUBLISH_DONE;
}

static enum publish_result route(
	struct session *s, const struct publish *p, struct route_set *to, struct failure *f)
{
	struct exchange *x = route_cached(
		s, p->exchange, &(struct route_request){p->routing_key, p->headers}, to);

	if (!x) {
		failure_set(f, FAILURE_NOT_FOUND, "no " EXCHANGE_FMT, NAME_ARG(p->exchange, s->vhost));
		return PUBLISH_FAILED;
	}
	if (x->internal) {
		failure_set(f, FAILURE_ACCESS_REFUSED, "cannot publish to internal " EXCHANGE_FMT,
			NAME_ARG(p->exchange, s->vhost));
		return PUBLISH_FAILED;
	}
	if (to->overflow) {
		failure_set(f, FAILURE_LIMIT, "no memory for the queues of the message");
		return PUBLISH_FAILED;
	}
	return PUBLISH_DONE;
}

/* Not one that is being served in slices. */
static enum publish_result publish_new(struct session *s, const struct publish *p,
	struct publish_marks *marks, uint32_t *queues_out, struct failure *f)
{
	struct broker_core *c = s->core;
	struct route_set *to = &c->route;

	if (route(s, p, to, f) != PUBLISH_DONE)
		return PUBLISH_FAILED;
	if (to->count > c->fan_out.at_once) {
		fan_out_begin(s, to, p->message);
		return PUBLISH_AGAIN;
	}
	leave_hidden_out(to);
	phase_enter(c->phase, PHASE_QUEUE);
	if (!give_all(c, to, p->message, marks)) {
		c->counters.publish_again++;
		return PUBLISH_AGAIN;
	}
	*queues_out = to->count;
	return count_done(c, to->count);
}

enum publish_result exchange_publish(struct session *s, const struct publish *p, struct publish_marks *marks,
	uint32_t *queues_out, struct failure *f)
{
	struct broker_core *c = s->core;

	CHECK(message_missing_bytes(p->message) == 0);
	MUST(p->routing_key.bytes <= 255);
	*queues_out = 0;
	if (c->fan_out.session == s) {
		enum publish_result done = fan_out_ask(c, marks, queues_out);
		return done == PUBLISH_DONE ? count_done(c, *queues_out) : done;
	}
	enum phase before = phase_enter(c->phase, PHASE_ROUTE);
	enum publish_result result = publish_new(s, p, marks, queues_out, f);
	phase_leave(c->phase, before);
	return result;
}
