/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges by name, and publishing. */
#include "broker/core/exchange.h"

#include "broker/core/core.h"
#include "runtime/check.h"
#include "runtime/rcu.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	PREDECLARED = 6,   /* in each virtual host; do not count towards the limit */
	IN_USE_SCAN = 256, /* bindings that are looked at in one go */
};

static const struct slice alternate_key = {
	(const uint8_t *)ALTERNATE_EXCHANGE, sizeof(ALTERNATE_EXCHANGE) - 1};

static const struct exchange_type *const types[] = {
	&route_direct, &route_fanout, &route_topic, &route_headers, &route_hash, NULL};

const struct exchange_type *exchange_type_find(struct slice name)
{
	for (unsigned i = 0; types[i]; i++)
		if (slice_equals_text(name, types[i]->name))
			return types[i];
	return NULL;
}

static enum failure_code not_found(struct slice name, const struct vhost *v, struct failure *f)
{
	return failure_set(f, FAILURE_NOT_FOUND, "no " EXCHANGE_FMT, NAME_ARG(name, v));
}

static enum failure_code refuse_default(struct failure *f)
{
	return failure_set(f, FAILURE_ACCESS_REFUSED, "operation not permitted on the default exchange");
}

static bool reserved(struct slice name)
{
	return name.bytes >= 4 && memcmp(name.data, "amq.", 4) == 0;
}

/* Writer mutex held, or no reader yet. Takes the gate; NULL: nothing was done. */
static struct exchange *exchange_create(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type *type, struct gate *gate_or_null)
{
	struct exchange *x = calloc(1, sizeof(*x) + d->name.bytes);

	if (!x || fields_copy(&x->arguments, &d->arguments)) {
		free(x);
		return NULL;
	}
	if (d->name.bytes)
		memcpy(x->name, d->name.data, d->name.bytes);
	x->vhost = v;
	x->type = type;
	x->durable = d->durable;
	x->auto_delete = d->auto_delete;
	x->internal = d->internal;
	x->gate = gate_or_null;
	x->by_key = type->by_key && !x->gate;
	if (type->begin)
		type->begin(x);
	CDS_INIT_LIST_HEAD(&x->bindings);
	CDS_INIT_LIST_HEAD(&x->arriving);
	x->by_name.name = (struct slice){x->name, d->name.bytes};
	exchange_links_begin(x);
	cds_list_add_tail(&x->of_broker, &v->broker->all_exchanges);
	v->broker->exchange_count++;
	v->exchange_count++;
	RCU_PUBLISH(x->generation, ++v->broker->generation);
	table_add(&v->broker->exchanges, &x->by_name, v, x->by_name.name);
	/* Somebody's alternate that was not there. */
	if (x->linked)
		exchange_links_changed(v->broker);
	return x;
}

uint32_t exchanges_most(const struct broker_limits *limits)
{
	return limits->exchanges < UINT32_MAX - PREDECLARED ? limits->exchanges + PREDECLARED : UINT32_MAX;
}

int exchanges_predeclare(struct vhost *v)
{
	static const struct {
		const char *name;
		const struct exchange_type *type;
	} all[PREDECLARED] = {{"", &route_direct}, {"amq.direct", &route_direct},
		{"amq.fanout", &route_fanout}, {"amq.topic", &route_topic}, {"amq.headers", &route_headers},
		{"amq.match", &route_headers}};

	for (unsigned i = 0; i < PREDECLARED; i++) {
		struct exchange_declaration d = {.durable = true};
		d.name = (struct slice){(const uint8_t *)all[i].name, (uint32_t)strlen(all[i].name)};
		struct exchange *x = exchange_create(v, &d, all[i].type, NULL);
		if (!x)
			return -1;
		x->predeclared = true;
		v->broker->predeclared_count++;
	}
	return 0;
}

static enum failure_code exchange_equivalent(
	const struct exchange *x, const struct exchange_declaration *d, struct failure *f)
{
	struct slice name = x->by_name.name;
	enum failure_code code;

	const char *type = x->gate ? x->gate->type->name : x->type->name;

	if (!slice_equals_text(d->type, type))
		return failure_set(f, FAILURE_PRECONDITION,
			"inequivalent arg 'type' for " EXCHANGE_FMT ": received '" SLICE_FMT
			"' but current is '%s'",
			NAME_ARG(name, x->vhost), SLICE_ARG(d->type), type);
	code = flag_equivalent(x->durable, d->durable, "durable", "exchange", name, x->vhost, f);
	if (!code)
		code = flag_equivalent(
			x->auto_delete, d->auto_delete, "auto_delete", "exchange", name, x->vhost, f);
	if (!code)
		code = flag_equivalent(x->internal, d->internal, "internal", "exchange", name, x->vhost, f);
	if (!code)
		code = argument_equivalent(
			alternate_key, &x->arguments, &d->arguments, "exchange", name, x->vhost, f);
	return code;
}

static enum failure_code alternate_check(
	const struct vhost *v, const struct exchange_declaration *d, struct failure *f)
{
	const struct value *a = fields_find_slice(&d->arguments, alternate_key);

	if (!a || (a->kind == VALUE_STRING && a->bytes.bytes <= 255))
		return FAILURE_NONE;
	if (a->kind == VALUE_STRING)
		return failure_set(f, FAILURE_PRECONDITION,
			"'" SLICE_FMT "' of " EXCHANGE_FMT " is longer than 255 octets",
			SLICE_ARG(alternate_key), NAME_ARG(d->name, v));
	return failure_set(f, FAILURE_PRECONDITION,
		"invalid type '%s' for arg '" SLICE_FMT "' in " EXCHANGE_FMT, value_kind_name(a),
		SLICE_ARG(alternate_key), NAME_ARG(d->name, v));
}

/* Writer mutex held. */
static enum failure_code exchange_make(
	struct vhost *v, const struct exchange_declaration *d, struct failure *f)
{
	const struct exchange_type *type;
	struct gate *gate;
	enum failure_code code = gate_make(v, d, &type, &gate, f);

	if (!code && type->check)
		code = type->check(d, f);
	if (!code && !exchange_create(v, d, type, gate))
		code = failure_set(f, FAILURE_LIMIT, "no memory for " EXCHANGE_FMT, NAME_ARG(d->name, v));
	if (code) {
		gate_exchange_gone(gate);
		gate_free(gate);
	}
	return code;
}

/* Writer mutex held. */
static enum failure_code exchange_declare_new(
	struct vhost *v, const struct exchange_declaration *d, struct failure *f)
{
	struct broker *b = v->broker;

	if (reserved(d->name))
		return failure_set(f, FAILURE_ACCESS_REFUSED,
			"exchange name '" SLICE_FMT "' contains reserved prefix 'amq.*'", SLICE_ARG(d->name));
	enum failure_code code = alternate_check(v, d, f);
	if (code)
		return code;
	if (b->exchange_count - b->predeclared_count >= b->config.limits.exchanges)
		return failure_set(
			f, FAILURE_LIMIT, "the limit of %u exchanges is reached", b->config.limits.exchanges);
	code = arguments_count(b, &d->arguments, f);
	if (code)
		return code;
	code = exchange_make(v, d, f);
	if (code)
		arguments_uncount(b, &d->arguments);
	return code;
}

enum failure_code exchange_declare(struct session *s, const struct exchange_declaration *d, struct failure *f)
{
	struct broker *b = s->vhost->broker;
	enum failure_code code;

	MUST(d->name.bytes <= 255);
	if (d->name.bytes == 0)
		return refuse_default(f);
	if (d->passive)
		return exchange_find(s->vhost, d->name) ? FAILURE_NONE : not_found(d->name, s->vhost, f);
	if (!exchange_type_find(d->type) && !gate_type_exists(d->type))
		return failure_set(f, FAILURE_COMMAND_INVALID, "unknown exchange type '" SLICE_FMT "'",
			SLICE_ARG(d->type));
	pthread_mutex_lock(&b->writer);
	struct exchange *x = exchange_find(s->vhost, d->name);
	if (x)
		code = exchange_equivalent(x, d, f);
	else
		code = d->existing ? FAILURE_AGAIN : exchange_declare_new(s->vhost, d, f);
	pthread_mutex_unlock(&b->writer);
	return code;
}

static void exchange_release(struct reclaim_node *n)
{
	struct exchange *x = caa_container_of(n, struct exchange, reclaim);

	fields_free(&x->arguments);
	gate_free(x->gate);
	free(x->onward);
	free(x);
}

/* Nobody finds it any more; its name is free for another one. */
static void exchange_hide(struct exchange *x)
{
	struct broker *b = x->vhost->broker;

	__atomic_store_n(&x->deleted, true, __ATOMIC_RELAXED);
	table_remove(&b->exchanges, &x->by_name);
	exchange_links_end(x);
	gate_exchange_gone(x->gate);
	RCU_PUBLISH(b->deletions, b->deletions + 1);
	exchange_changed(x);
	cds_list_del_init(&x->of_broker);
	b->exchange_count--;
	x->vhost->exchange_count--;
	arguments_uncount(b, &x->arguments);
}

bool exchange_take_apart(struct exchange *x, unsigned bindings_max)
{
	for (; bindings_max > 0 && !cds_list_empty(&x->bindings); bindings_max--)
		binding_unlink(cds_list_first_entry(&x->bindings, struct binding, of_exchange));
	for (; bindings_max > 0 && !cds_list_empty(&x->arriving); bindings_max--)
		binding_unlink(cds_list_first_entry(&x->arriving, struct binding, of_destination));
	if (!cds_list_empty(&x->bindings) || !cds_list_empty(&x->arriving))
		return false;
	cds_list_del(&x->of_broker);
	reclaim_defer(&x->reclaim, exchange_release);
	return true;
}

void exchange_auto_delete(struct exchange *x)
{
	exchange_hide(x);
	if (!exchange_take_apart(x, 0))
		tidy_cascading(x);
}

/* One that goes with another's last binding is not met again. */
void exchanges_remove(struct broker *b, bool predeclared_too)
{
	struct exchange *x;
	bool some = true;

	while (some) {
		some = false;
		cds_list_for_each_entry (x, &b->all_exchanges, of_broker) {
			if (x->predeclared && !predeclared_too)
				continue;
			some = true;
			break;
		}
		if (some) {
			exchange_hide(x);
			exchange_take_apart(x, UINT_MAX);
		}
	}
}

/* Bindings of queues that are deleted only wait to be taken away: behind many of them it is seen later. */
static enum failure_code unused(const struct exchange *x, struct failure *f)
{
	const struct binding *b;
	unsigned left = IN_USE_SCAN;

	cds_list_for_each_entry (b, &x->bindings, of_exchange) {
		if (b->to_exchange ? !exchange_hidden(b->onward) : !queue_hidden(b->queue))
			return failure_set(f, FAILURE_PRECONDITION, EXCHANGE_FMT " in use",
				NAME_ARG(x->by_name.name, x->vhost));
		if (left-- == 0)
			return FAILURE_AGAIN;
	}
	return FAILURE_NONE;
}

/* Writer mutex held. */
static enum failure_code delete_found(struct exchange *x, bool if_unused, struct failure *f)
{
	struct broker *b = x->vhost->broker;
	enum failure_code code = if_unused ? unused(x, f) : FAILURE_NONE;
	if (code)
		return code;
	exchange_hide(x);
	if (!exchange_take_apart(x, TIDY_BINDINGS))
		tidy_later(x);
	tidy_cascade(b);
	return FAILURE_NONE;
}

enum failure_code exchange_delete(struct session *s, struct slice name, bool if_unused, struct failure *f)
{
	struct broker *b = s->vhost->broker;

	if (name.bytes == 0)
		return refuse_default(f);
	if (reserved(name)) /* whether it is there or not */
		return failure_set(f, FAILURE_ACCESS_REFUSED,
			"deletion of system " EXCHANGE_FMT " not allowed", NAME_ARG(name, s->vhost));
	pthread_mutex_lock(&b->writer);
	struct exchange *x = exchange_find(s->vhost, name);
	enum failure_code code = x ? delete_found(x, if_unused, f) : FAILURE_NONE;
	pthread_mutex_unlock(&b->writer);
	return code;
}
