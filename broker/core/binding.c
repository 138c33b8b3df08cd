/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings: each is known to its exchange (routing), to the queue or exchange where it leads (deletion), and
 * by what it joins (to find it again). */
#include "broker/core/core.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

/* What a binding is told by: the same exchange, destination, key and arguments. */
struct identity {
	struct exchange *exchange;
	void *to;
	bool to_exchange;
	struct slice key;
	struct fields arguments; /* sorted */
};

/* Of all that the table's own hash of (destination, key) leaves out: the bindings of one key must not be one
 * long chain. */
static uint64_t identity_hash(const struct table *t, const struct identity *id)
{
	uint64_t hash = table_hash(t, id->key) + (uintptr_t)id->exchange * UINT64_C(0x9e3779b97f4a7c15);

	for (uint32_t i = 0; i < id->arguments.count; i++) {
		const struct field *a = &id->arguments.at[i];
		hash += field_hash(&t->key, table_hash(t, a->name), &a->value);
	}
	return hash;
}

/* Writer mutex held. */
static struct binding *binding_find(const struct identity *id)
{
	const struct table *t = &id->exchange->vhost->broker->bindings;
	struct table_entry *e = table_find_hashed(t, identity_hash(t, id), id->to, id->key);

	for (; e; e = table_next(t, e)) {
		struct binding *b = caa_container_of(e, struct binding, entry);
		if (b->exchange == id->exchange && fields_equal(&b->arguments, &id->arguments))
			return b;
	}
	return NULL;
}

static void binding_release(struct reclaim_node *n)
{
	struct binding *b = caa_container_of(n, struct binding, reclaim);

	if (b->free)
		b->free(b);
	fields_free(&b->arguments);
	free(b);
}

/* Takes the arguments. */
static struct binding *binding_alloc(struct identity *id)
{
	struct binding *b = calloc(1, sizeof(*b) + id->key.bytes);

	if (!b)
		return NULL;
	if (id->key.bytes)
		memcpy(b->key, id->key.data, id->key.bytes);
	b->entry.name = (struct slice){b->key, id->key.bytes};
	b->exchange = id->exchange;
	b->to = id->to;
	b->to_exchange = id->to_exchange;
	b->free = id->exchange->type->free;
	b->arguments = id->arguments;
	id->arguments = (struct fields){0};
	return b;
}

/* Writer mutex held. What is deleted and still there makes room. */
static enum failure_code limits_check(struct broker *b, uint64_t bytes, struct failure *f)
{
	while (b->binding_count >= b->config.limits.bindings)
		if (tidy_slice(b) == 0)
			return failure_set(f, FAILURE_LIMIT, "the limit of %u bindings is reached",
				b->config.limits.bindings);
	while (b->binding_bytes + bytes > b->binding_bytes_max)
		if (tidy_slice(b) == 0)
			return failure_set(
				f, FAILURE_LIMIT, "no memory for the key and the arguments of the binding");
	return FAILURE_NONE;
}

/* Where readers look. */
static enum failure_code file(struct binding *b, struct failure *f)
{
	struct exchange *x = b->exchange;

	if (b->to_exchange && exchange_link(x, b->onward))
		return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
	return x->type->bind(exchange_half(x, b->to_exchange), b, f);
}

static enum failure_code no_exchange(struct slice name, const struct vhost *v, struct failure *f)
{
	return failure_set(f, FAILURE_NOT_FOUND, "no " EXCHANGE_FMT, NAME_ARG(name, v));
}

/* Making room may have taken what was to be joined: an exchange goes with its last binding. */
static enum failure_code still_there(const struct identity *id, struct failure *f)
{
	const struct exchange *from = id->exchange, *to = id->to_exchange ? id->to : NULL;

	if (from->deleted)
		return no_exchange(from->by_name.name, from->vhost, f);
	return to && to->deleted ? no_exchange(to->by_name.name, to->vhost, f) : FAILURE_NONE;
}

/* Writer mutex held. */
static enum failure_code binding_create(struct identity *id, struct failure *f)
{
	struct exchange *x = id->exchange;
	struct broker *broker = x->vhost->broker;
	uint64_t bytes = id->key.bytes + fields_bytes(&id->arguments);
	enum failure_code code = limits_check(broker, bytes, f);

	if (!code)
		code = still_there(id, f);
	if (code)
		return code;
	uint64_t hash = identity_hash(&broker->bindings, id);
	struct binding *b = binding_alloc(id);
	if (!b)
		return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
	b->bytes = (uint32_t)bytes;
	code = file(b, f);
	if (code) {
		reclaim_defer(&b->reclaim, binding_release);
		return code;
	}
	table_add_hashed(&broker->bindings, &b->entry, hash, b->to, b->entry.name);
	cds_list_add_tail(&b->of_destination, b->to_exchange ? &b->onward->arriving : &b->queue->bindings);
	cds_list_add_tail(&b->of_exchange, &x->bindings);
	broker->binding_count++;
	broker->binding_bytes += b->bytes;
	exchange_changed(x);
	return FAILURE_NONE;
}

void binding_unlink(struct binding *b)
{
	struct exchange *x = b->exchange;
	struct broker *broker = x->vhost->broker;

	x->type->unbind(exchange_half(x, b->to_exchange), b);
	exchange_changed(x);
	table_remove(&broker->bindings, &b->entry);
	cds_list_del(&b->of_destination);
	cds_list_del(&b->of_exchange);
	broker->binding_count--;
	broker->binding_bytes -= b->bytes;
	reclaim_defer(&b->reclaim, binding_release);
	if (x->auto_delete && !x->deleted && cds_list_empty(&x->bindings))
		exchange_auto_delete(x);
}

/* Writer mutex held. Both sides, NULL where there is none. */
static void find_sides(struct session *s, const struct binding_spec *spec, struct identity *id)
{
	id->exchange = exchange_find(s->vhost, spec->exchange);
	id->to_exchange = spec->to_exchange;
	if (spec->to_exchange)
		id->to = exchange_find(s->vhost, spec->destination);
	else
		id->to = queue_find(s->vhost, spec->destination);
}

static enum failure_code check_access(const struct session *s, const struct identity *id, struct failure *f)
{
	return id->to_exchange ? FAILURE_NONE : queue_check_access(s, id->to, f);
}

/* Writer mutex held. id's arguments are taken with the new binding. */
static enum failure_code binding_add_locked(
	struct session *s, const struct binding_spec *spec, struct identity *id, struct failure *f)
{
	enum failure_code code;

	find_sides(s, spec, id);
	if (!id->exchange)
		return no_exchange(spec->exchange, s->vhost, f);
	if (!id->to && spec->to_exchange)
		return no_exchange(spec->destination, s->vhost, f);
	if (!id->to)
		return failure_set(
			f, FAILURE_NOT_FOUND, "no " QUEUE_FMT, NAME_ARG(spec->destination, s->vhost));
	code = check_access(s, id, f);
	if (!code && id->exchange->type->validate)
		code = id->exchange->type->validate(spec, f);
	if (code || binding_find(id))
		return code;
	return binding_create(id, f);
}

/* Writer mutex held. */
static enum failure_code binding_remove_locked(
	struct session *s, const struct binding_spec *spec, struct identity *id, struct failure *f)
{
	find_sides(s, spec, id);
	if (!id->exchange || !id->to)
		return FAILURE_NONE;
	struct binding *b = binding_find(id);
	if (!b) /* nothing to take away, whoever asks */
		return FAILURE_NONE;
	enum failure_code code = check_access(s, id, f);
	if (!code)
		binding_unlink(b);
	return code;
}

typedef enum failure_code (*change_fn)(
	struct session *s, const struct binding_spec *spec, struct identity *id, struct failure *f);

static enum failure_code change(
	struct session *s, const struct binding_spec *spec, struct failure *f, change_fn locked)
{
	pthread_mutex_t *writer = &s->vhost->broker->writer;
	struct identity id = {.key = spec->routing_key};

	MUST(spec->routing_key.bytes <= 255);
	if (spec->exchange.bytes == 0 || (spec->to_exchange && spec->destination.bytes == 0))
		return failure_set(
			f, FAILURE_ACCESS_REFUSED, "operation not permitted on the default exchange");
	if (fields_copy(&id.arguments, &spec->arguments))
		return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
	fields_sort(&id.arguments);
	pthread_mutex_lock(writer);
	enum failure_code code = locked(s, spec, &id, f);
	tidy_cascade(s->vhost->broker);
	pthread_mutex_unlock(writer);
	fields_free(&id.arguments);
	return code;
}

enum failure_code binding_add(struct session *s, const struct binding_spec *spec, struct failure *f)
{
	return change(s, spec, f, binding_add_locked);
}

enum failure_code binding_remove(struct session *s, const struct binding_spec *spec, struct failure *f)
{
	return change(s, spec, f, binding_remove_locked);
}
