/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/fan_out.h"

#include "broker/core/core.h"
#include "broker/core/deduplication.h"

#include <stdlib.h>

int fan_out_create(struct broker_core *c)
{
	const struct broker_limits *l = &c->broker->config.limits;
	struct fan_out *f = &c->fan_out;

	CDS_INIT_LIST_HEAD(&f->waiting);
	c->route = &c->routes[0];
	f->found = &c->routes[1];
	if (route_set_create(c->route, l) || route_set_create(f->found, l))
		return -1;
	f->queues = calloc(f->found->capacity, sizeof(*f->queues));
	return f->queues ? 0 : -1;
}

void fan_out_destroy(struct broker_core *c)
{
	route_set_destroy(&c->routes[0]);
	route_set_destroy(&c->routes[1]);
	free(c->fan_out.queues);
}

void fan_out_wait(struct fan_out *f, struct session *s)
{
	cds_list_add_tail(&s->fan_out_turn, &f->waiting);
}

void fan_out_wait_end(struct session *s)
{
	cds_list_del_init(&s->fan_out_turn);
}

static void looking_ends(struct fan_out *f)
{
	f->exchange = NULL;
	reclaim_hold_end();
}

static void fan_out_ends(struct broker_core *c)
{
	struct fan_out *f = &c->fan_out;

	if (f->exchange)
		looking_ends(f);
	if (f->found->gated)
		gates_undo(c, f->found);
	message_unref(c->cache, f->message);
	f->message = NULL;
	f->session = NULL;
}

/* The gates on the way have their say before the message is given. False: not now. */
static bool keep_gates(struct broker_core *c)
{
	struct fan_out *f = &c->fan_out;

	if (!f->found->gated)
		return true;
	if (!gates_ready(c, f->found))
		return false;
	f->given += gates_keep(c, f->found, f->message, f->keys);
	return true;
}

/* The next slice of pointers becomes handles, after which nothing found is looked at again. */
static void name_queues(struct broker_core *c)
{
	struct fan_out *f = &c->fan_out;
	uint32_t end = f->found->count;

	if (end - f->count > ROUTE_SLICE)
		end = f->count + ROUTE_SLICE;
	for (; f->count < end; f->count++) {
		struct queue *q = f->found->queues[f->count];
		bool takes = !f->filter || f->filter->takes(f->filter->ctx, queue_name(q));
		f->queues[f->count] = takes ? q->handle : QUEUE_NONE;
	}
	if (f->count == f->found->count && keep_gates(c))
		looking_ends(f);
}

void fan_out_begin(struct session *s, struct exchange *x, const struct publish *p, bool complete)
{
	struct message *m = p->message;
	struct broker_core *c = s->core;
	struct fan_out *f = &c->fan_out;
	struct route_set *found = c->route;

	message_share(m);
	message_ref(m);
	reclaim_hold();
	c->route = f->found;
	f->found = found;
	f->message = m;
	f->session = s;
	f->exchange = x;
	f->filter = p->filter;
	f->keys = p->keys;
	f->has_value = deduplication_key(c->broker->value_key, p->headers, &f->value);
	f->held_since = 0;
	f->complete = complete;
	f->refused = false;
	f->count = f->at = f->given = 0;
	f->idle_turns = 0;
	c->counters.fan_outs++;
	if (complete)
		name_queues(c);
}

static enum publish_result look(struct broker_core *c, const struct route_request *r)
{
	struct fan_out *f = &c->fan_out;

	f->idle_turns = 0;
	if (f->complete) {
		name_queues(c);
		return PUBLISH_AGAIN;
	}
	f->complete = route_find_more(f->exchange, r, f->found);
	bool overflow = f->found->overflow;
	/* A gate that could not answer is asked anew, with all others. */
	if (overflow || (f->found->gated && gates_again(f->found)))
		fan_out_ends(c);
	return overflow ? PUBLISH_FAILED : PUBLISH_AGAIN;
}

enum publish_result fan_out_offer(
	struct session *s, const struct route_request *r, struct publish_marks *marks, uint32_t *queues_out)
{
	struct broker_core *c = s->core;
	struct fan_out *f = &c->fan_out;

	if (f->exchange)
		return look(c, r);
	if (f->at < f->count)
		return PUBLISH_AGAIN;
	/* Wherever it went: what was sent until now covers it. */
	for (uint32_t i = 0; marks && i < c->broker->config.cores; i++)
		if (i != c->index)
			publish_mark(marks, i, c);
	*queues_out = f->given;
	bool refused = f->refused;
	fan_out_ends(c);
	return refused ? PUBLISH_REFUSED : PUBLISH_DONE;
}

/* A publisher that does not come back would hold up what others have taken away. Nothing is given yet. */
static void looking_waits(struct broker_core *c)
{
	struct fan_out *f = &c->fan_out;

	if (++f->idle_turns <= FAN_OUT_IDLE_TURNS)
		return;
	cds_list_add(&f->session->fan_out_turn, &f->waiting);
	fan_out_ends(c);
}

unsigned fan_out_poll(struct broker_core *c)
{
	struct fan_out *f = &c->fan_out;
	unsigned n = 0;

	if (!f->message)
		return 0;
	if (f->exchange) {
		looking_waits(c);
		return 1;
	}
	for (; n < FAN_OUT_QUANTUM && f->at < f->count; n++, f->at++) {
		struct queue *q = queue_resolve(c->broker, f->queues[f->at]);
		enum publish_given given = q ? publish_give(c, q, f->message) : GIVEN;
		if (given == GIVE_AGAIN)
			break;
		f->refused |= given == GIVE_REFUSED;
		f->given += q != NULL;
	}
	if (f->at == f->count && !f->session)
		fan_out_ends(c);
	return n;
}

void exchange_publish_forget(struct session *s)
{
	struct fan_out *f = &s->core->fan_out;

	fan_out_wait_end(s);
	if (f->session != s)
		return;
	if (f->exchange)
		fan_out_ends(s->core);
	else
		f->session = NULL;
}
