/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings: each is known to its exchange (routing), to its queue (deletion), and by queue and key (to find
 * it again). */
#include "broker/core/core.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>
#include <urcu/rculist.h>

/* The same binding is the same exchange, queue, key and arguments. Writer mutex held. */
static struct binding *binding_find(
	const struct exchange *x, const struct queue *q, const struct binding_spec *spec)
{
	const struct table *t = &x->vhost->broker->bindings_by_queue;

	for (struct table_entry *e = table_find(t, q, spec->routing_key); e; e = table_next(t, e)) {
		struct binding *b = caa_container_of(e, struct binding, by_queue);
		if (b->exchange == x && fields_equal(&b->arguments, &spec->arguments))
			return b;
	}
	return NULL;
}

static void binding_free(struct binding *b)
{
	fields_free(&b->arguments);
	free(b);
}

static void binding_release(struct reclaim_node *n)
{
	binding_free(caa_container_of(n, struct binding, reclaim));
}

static struct binding *binding_alloc(struct exchange *x, struct queue *q, const struct binding_spec *spec)
{
	struct binding *b = calloc(1, sizeof(*b) + spec->routing_key.bytes);

	if (!b || fields_copy(&b->arguments, &spec->arguments)) {
		free(b);
		return NULL;
	}
	if (spec->routing_key.bytes)
		memcpy(b->key_bytes, spec->routing_key.data, spec->routing_key.bytes);
	b->key = (struct slice){b->key_bytes, spec->routing_key.bytes};
	b->exchange = x;
	b->queue = q;
	return b;
}

/* Writer mutex held. */
static enum failure_code binding_create(
	struct exchange *x, struct queue *q, const struct binding_spec *spec, struct failure *f)
{
	struct broker *broker = x->vhost->broker;

	if (broker->binding_count >= broker->config.limits.bindings)
		return failure_set(f, FAILURE_LIMIT, "the limit of %u bindings is reached",
			broker->config.limits.bindings);
	struct binding *b = binding_alloc(x, q, spec);
	if (!b)
		return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
	enum failure_code code = x->type->bind ? x->type->bind(x, b, f) : FAILURE_NONE;
	if (code) {
		binding_free(b);
		return code;
	}
	table_add(&broker->bindings_by_queue, &b->by_queue, q, b->key);
	cds_list_add_tail(&b->of_queue, &q->bindings);
	cds_list_add_tail_rcu(&b->of_exchange, &x->bindings);
	broker->binding_count++;
	return FAILURE_NONE;
}

void binding_unlink(struct binding *b)
{
	struct exchange *x = b->exchange;
	struct broker *broker = x->vhost->broker;

	if (x->type->unbind)
		x->type->unbind(x, b);
	table_remove(&broker->bindings_by_queue, &b->by_queue);
	cds_list_del(&b->of_queue);
	cds_list_del_rcu(&b->of_exchange);
	broker->binding_count--;
	reclaim_defer(&b->reclaim, binding_release);
	if (x->auto_delete && !x->deleted && cds_list_empty(&x->bindings))
		exchange_remove(x);
}

static enum failure_code refuse_default(struct failure *f)
{
	return failure_set(f, FAILURE_ACCESS_REFUSED, "operation not permitted on the default exchange");
}

/* Writer mutex held. */
static enum failure_code binding_add_locked(
	struct session *s, const struct binding_spec *spec, struct failure *f)
{
	struct exchange *x = exchange_find(s->vhost, spec->exchange);
	struct queue *q = queue_find(s->vhost, spec->queue);
	enum failure_code code;

	if (!x)
		return failure_set(
			f, FAILURE_NOT_FOUND, "no " EXCHANGE_FMT, NAME_ARG(spec->exchange, s->vhost));
	if (!q)
		return failure_set(f, FAILURE_NOT_FOUND, "no " QUEUE_FMT, NAME_ARG(spec->queue, s->vhost));
	code = queue_check_access(s, q, f);
	if (!code && x->type->validate)
		code = x->type->validate(spec, f);
	if (code || binding_find(x, q, spec))
		return code;
	return binding_create(x, q, spec, f);
}

enum failure_code binding_add(struct session *s, const struct binding_spec *spec, struct failure *f)
{
	pthread_mutex_t *writer = &s->vhost->broker->writer;

	MUST(spec->routing_key.bytes <= 255);
	if (spec->exchange.bytes == 0)
		return refuse_default(f);
	pthread_mutex_lock(writer);
	enum failure_code code = binding_add_locked(s, spec, f);
	pthread_mutex_unlock(writer);
	return code;
}

/* Writer mutex held. */
static enum failure_code binding_remove_locked(
	struct session *s, const struct binding_spec *spec, struct failure *f)
{
	struct exchange *x = exchange_find(s->vhost, spec->exchange);
	struct queue *q = queue_find(s->vhost, spec->queue);

	if (!x || !q)
		return FAILURE_NONE;
	enum failure_code code = queue_check_access(s, q, f);
	struct binding *b = code ? NULL : binding_find(x, q, spec);
	if (b)
		binding_unlink(b);
	return code;
}

enum failure_code binding_remove(struct session *s, const struct binding_spec *spec, struct failure *f)
{
	pthread_mutex_t *writer = &s->vhost->broker->writer;

	if (spec->exchange.bytes == 0)
		return refuse_default(f);
	pthread_mutex_lock(writer);
	enum failure_code code = binding_remove_locked(s, spec, f);
	pthread_mutex_unlock(writer);
	return code;
}
