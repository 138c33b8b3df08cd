/* SPDX-License-Identifier: Apache-2.0 */
/* What a session asks of a queue and waits for: get, purge, delete. Done at once where the queue is at home,
 * else the call travels to the queue's core and comes back with its result. */
#include "broker/core/core.h"
#include "runtime/check.h"

#include <string.h>

struct queue_call {
	struct parcel parcel;
	struct broker_core *home;
	struct queue_call_request request;
	queue_handle queue;
	uint32_t asked; /* the core that it was sent to */
	uint32_t mark; /* and how far the publish ring to it was filled: what was published before comes first
			*/
	struct queue_call_result result;
	struct failure failure;
};

static enum failure_code remove_if(
	struct queue *q, const struct queue_call_request *r, uint64_t *messages, struct failure *f)
{
	struct slice name = q->by_name.name;

	if (r->if_unused && q->consumer_count > 0)
		return failure_set(f, FAILURE_PRECONDITION, QUEUE_FMT " in use", NAME_ARG(name, q->vhost));
	if (r->if_empty && q->entries.ready > 0)
		return failure_set(f, FAILURE_PRECONDITION, QUEUE_FMT " not empty", NAME_ARG(name, q->vhost));
	*messages = queue_remove(q);
	return FAILURE_NONE;
}

/* On the owner. */
static void execute(
	struct queue *q, const struct queue_call_request *r, struct queue_call_result *out, struct failure *f)
{
	if (queue_rules(q))
		queue_rules_settle(q);
	switch (r->kind) {
	case QUEUE_CALL_GET:
		queue_used(q);
		out->found = queue_take(q, r->no_ack, &out->delivery);
		if (queue_rules(q)) /* what is over behind it is not counted */
			queue_rules_settle(q);
		out->messages = q->entries.ready;
		break;
	case QUEUE_CALL_COUNT:
		queue_used(q);
		out->messages = q->entries.ready;
		out->consumers = q->consumer_count;
		break;
	case QUEUE_CALL_PURGE:
		out->messages = queue_purge_here(q);
		break;
	case QUEUE_CALL_DELETE:
		out->code = remove_if(q, r, &out->messages, f);
		break;
	}
	out->failure = f;
}

static enum failure_code queue_gone(
	const struct queue_call_request *r, const struct vhost *v, struct failure *f)
{
	/* To delete what is not there is well, as with RabbitMQ. */
	if (r->kind == QUEUE_CALL_DELETE)
		return FAILURE_NONE;
	return failure_set(f, FAILURE_NOT_FOUND, "no " QUEUE_FMT, NAME_ARG(r->queue, v));
}

static enum failure_code send(struct session *s, const struct queue_call_request *r, struct queue *q,
	struct queue_call **out, struct failure *f)
{
	struct broker_core *c = s->core;
	struct queue_call *call = pool_take(c->calls);

	if (!call)
		return failure_set(f, FAILURE_LIMIT, "too many connections wait for queues of other cores");
	memset(call, 0, sizeof(*call));
	call->home = c;
	call->request = *r;
	call->queue = q->handle;
	/* Should the queue be gone when this arrives: the name is not the call's to keep. */
	call->result.code = queue_gone(r, s->vhost, &call->failure);
	*out = call;
	call->asked = queue_owner(q)->index;
	call->mark = ring_position(c->out[call->asked].link->publish);
	parcel_send(c, call->asked, &call->parcel, PARCEL_CALL);
	return FAILURE_NONE;
}

enum failure_code queue_call(
	struct session *s, const struct queue_call_request *r, struct queue_call **out, struct failure *f)
{
	struct queue *q = queue_find(s->vhost, r->queue);
	struct queue_call_result result = {0};

	*out = NULL;
	if (!q) {
		enum failure_code code = queue_gone(r, s->vhost, f);
		if (!code)
			r->done(r->ctx, &result);
		return code;
	}
	enum failure_code code = queue_check_access(s, q, f);
	if (code)
		return code;
	if (!queue_mine(s->core, q))
		return send(s, r, q, out, f);
	execute(q, r, &result, f);
	if (!result.code)
		r->done(r->ctx, &result);
	return result.code;
}

void queue_call_abandon(struct queue_call *call)
{
	call->request.done = NULL;
}

/* Nobody waits any more: a message that was got goes back. */
static bool undo(struct queue_call *call)
{
	struct delivery *d = &call->result.delivery;

	if (!call->result.found)
		return true;
	if (call->request.no_ack) {
		message_unref(call->home->cache, d->message);
		return true;
	}
	if (!queue_settle_ready(call->home, d))
		return false;
	queue_put_back(call->home, d);
	return true;
}

static void answered(struct broker_core *c, struct queue_call *call)
{
	if (!call->request.done && !undo(call)) {
		/* To itself, and so once more: there is room in a while. */
		parcel_send(c, c->index, &call->parcel, PARCEL_ANSWER);
		return;
	}
	struct queue_call_request r = call->request;
	struct queue_call_result result = call->result;
	struct failure f = call->failure;
	pool_give(c->calls, call);
	result.failure = &f;
	if (r.done)
		r.done(r.ctx, &result);
}

/* What its connection published before is still on its way here. Where that waits for memory the call goes
 * first: it may make some. (A queue that has moved since came with everything.) */
static bool too_early(struct broker_core *c, const struct queue_call *call)
{
	uint32_t from = call->home->index;

	return call->asked == c->index && !ring_taken(c->in[from]->publish, call->mark) &&
	       !(c->stalled_from >> from & 1);
}

static void asked(struct broker_core *c, struct queue_call *call)
{
	struct queue *q = queue_resolve(c->broker, call->queue);

	if (too_early(c, call)) {
		parcel_send(c, c->index, &call->parcel, PARCEL_CALL);
		return;
	}

	if (q && !queue_mine(c, q)) {
		parcel_send(c, queue_owner(q)->index, &call->parcel, PARCEL_CALL);
		return;
	}
	if (q) {
		call->result.code = FAILURE_NONE;
		execute(q, &call->request, &call->result, &call->failure);
		if (call->result.found)
			message_share(call->result.delivery.message);
	}
	parcel_send(c, call->home->index, &call->parcel, PARCEL_ANSWER);
}

void call_parcel(struct broker_core *c, struct parcel *p)
{
	struct queue_call *call = caa_container_of(p, struct queue_call, parcel);

	if (p->kind == PARCEL_CALL)
		asked(c, call);
	else
		answered(c, call);
}

uint32_t queue_call_bytes(void)
{
	return sizeof(struct queue_call);
}
