/* SPDX-License-Identifier: Apache-2.0 */
/* Which x- arguments a new queue may have, and what they ask for; in RabbitMQ's words where they cannot be.
 * What is known and would change the queue's behaviour, but is not honoured, is refused rather than ignored:
 * a client that asks for a limit relies on it. */
#include "broker/core/core.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RabbitMQ's: ten years. */
#define TIME_MS_MAX INT64_C(315360000000)

#define LETTER_EXCHANGE "x-dead-letter-exchange"
#define LETTER_KEY	"x-dead-letter-routing-key"

struct checked {
	const struct field *arg;
	const struct fields *all;
	struct slice queue;
	const struct vhost *vhost;
	struct queue_policy *policy;
	struct failure *failure;
};

__attribute__((format(printf, 3, 4))) static enum failure_code refuse(
	const struct checked *c, enum failure_code code, const char *fmt, ...)
{
	char why[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return failure_set(c->failure, code, "invalid arg '" SLICE_FMT "' for " QUEUE_FMT ": %s",
		SLICE_ARG(c->arg->name), NAME_ARG(c->queue, c->vhost), why);
}

static enum failure_code wrong_type(const struct checked *c)
{
	return refuse(c, FAILURE_PRECONDITION, "{unacceptable_type,%s}", value_kind_name(&c->arg->value));
}

static bool is_text(const struct checked *c, const char *text)
{
	return slice_equals_text(c->arg->value.bytes, text);
}

static enum failure_code not_classic(const struct checked *c)
{
	return failure_set(c->failure, FAILURE_PRECONDITION,
		"invalid arg '" SLICE_FMT "' for " QUEUE_FMT " of queue type rabbit_classic_queue",
		SLICE_ARG(c->arg->name), NAME_ARG(c->queue, c->vhost));
}

static enum failure_code queue_type(const struct checked *c)
{
	const struct value *v = &c->arg->value;

	if (v->kind != VALUE_STRING)
		return wrong_type(c);
	if (is_text(c, "classic"))
		return FAILURE_NONE;
	if (is_text(c, "quorum") || is_text(c, "stream"))
		return refuse(c, FAILURE_NOT_IMPLEMENTED, "only classic queues are implemented");
	return refuse(
		c, FAILURE_PRECONDITION, "\"unsupported queue type '" SLICE_FMT "'\"", SLICE_ARG(v->bytes));
}

static enum failure_code queue_mode(const struct checked *c)
{
	const struct value *v = &c->arg->value;

	if (v->kind != VALUE_STRING)
		return wrong_type(c);
	if (is_text(c, "default") || is_text(c, "lazy"))
		return FAILURE_NONE;
	return refuse(
		c, FAILURE_PRECONDITION, "\"unsupported queue mode '" SLICE_FMT "'\"", SLICE_ARG(v->bytes));
}

static enum failure_code integer(const struct checked *c)
{
	if (c->arg->value.kind == VALUE_INT)
		return FAILURE_NONE;
	return refuse(
		c, FAILURE_PRECONDITION, "\"expected integer, got %s\"", value_kind_name(&c->arg->value));
}

static enum failure_code natural(const struct checked *c)
{
	enum failure_code code = integer(c);

	if (!code && c->arg->value.integer < 0)
		return refuse(c, FAILURE_PRECONDITION, "{value_negative,%" PRId64 "}", c->arg->value.integer);
	return code;
}

static enum failure_code number(const struct checked *c, uint64_t *out)
{
	enum failure_code code = natural(c);

	if (!code)
		*out = (uint64_t)c->arg->value.integer;
	return code;
}

static enum failure_code milliseconds(const struct checked *c, uint64_t *us)
{
	enum failure_code code = natural(c);

	if (code)
		return code;
	if (c->arg->value.integer > TIME_MS_MAX)
		return refuse(
			c, FAILURE_PRECONDITION, "{value_too_large,%" PRId64 "}", c->arg->value.integer);
	*us = (uint64_t)c->arg->value.integer * 1000;
	return FAILURE_NONE;
}

static enum failure_code queue_version(const struct checked *c)
{
	enum failure_code code = natural(c);

	if (code || c->arg->value.integer == 1 || c->arg->value.integer == 2)
		return code;
	return refuse(c, FAILURE_PRECONDITION, "\"unsupported queue version '%" PRId64 "'\"",
		c->arg->value.integer);
}

static enum failure_code message_ttl(const struct checked *c)
{
	return milliseconds(c, &c->policy->message_ttl_us);
}

static enum failure_code expires(const struct checked *c)
{
	enum failure_code code = milliseconds(c, &c->policy->expires_us);

	if (!code && c->policy->expires_us == 0)
		return refuse(c, FAILURE_PRECONDITION, "{value_zero,0}");
	return code;
}

static enum failure_code length_max(const struct checked *c)
{
	return number(c, &c->policy->length_max);
}

static enum failure_code bytes_max(const struct checked *c)
{
	return number(c, &c->policy->bytes_max);
}

/* RabbitMQ's quorum queues have it; here it is for all. */
static enum failure_code delivery_limit(const struct checked *c)
{
	return number(c, &c->policy->delivery_limit);
}

static enum failure_code priority_max(const struct checked *c)
{
	enum failure_code code = natural(c);

	if (code)
		return code;
	if (c->arg->value.integer >= LEVELS_MAX)
		return refuse(
			c, FAILURE_PRECONDITION, "{max_value_exceeded,%" PRId64 "}", c->arg->value.integer);
	c->policy->priority_max = (uint8_t)c->arg->value.integer;
	return FAILURE_NONE;
}

static enum failure_code overflow(const struct checked *c)
{
	if (c->arg->value.kind != VALUE_STRING)
		return wrong_type(c);
	if (is_text(c, "drop-head"))
		c->policy->overflow = OVERFLOW_DROP_HEAD;
	else if (is_text(c, "reject-publish"))
		c->policy->overflow = OVERFLOW_REFUSE;
	else if (is_text(c, "reject-publish-dlx"))
		c->policy->overflow = OVERFLOW_REFUSE_LETTER;
	else
		return refuse(c, FAILURE_PRECONDITION, "invalid_overflow");
	return FAILURE_NONE;
}

static const struct value *argument(const struct checked *c, const char *name)
{
	struct slice key = {(const uint8_t *)name, (uint32_t)strlen(name)};

	return fields_find_slice(c->all, key);
}

/* Exchanges and routing keys are short strings: nothing could be sent there. */
static enum failure_code name_fits(const struct checked *c)
{
	if (c->arg->value.bytes.bytes <= 255)
		return FAILURE_NONE;
	return refuse(c, FAILURE_PRECONDITION, "longer than 255 octets");
}

static enum failure_code letter_exchange(const struct checked *c)
{
	if (c->arg->value.kind == VALUE_STRING)
		return name_fits(c);
	return failure_set(c->failure, FAILURE_PRECONDITION,
		"invalid type '%s' for arg '" SLICE_FMT "' in " QUEUE_FMT, value_kind_name(&c->arg->value),
		SLICE_ARG(c->arg->name), NAME_ARG(c->queue, c->vhost));
}

static enum failure_code letter_key(const struct checked *c)
{
	if (c->arg->value.kind != VALUE_STRING)
		return wrong_type(c);
	if (!argument(c, LETTER_EXCHANGE))
		return refuse(c, FAILURE_PRECONDITION, "routing_key_but_no_dlx_defined");
	return name_fits(c);
}

static enum failure_code single_active(const struct checked *c)
{
	if (c->arg->value.kind != VALUE_BOOL)
		return wrong_type(c);
	c->policy->single_active = c->arg->value.boolean;
	return FAILURE_NONE;
}

/* The plugin's, to which all but false is true, and which compares it with no later declaration's. */
static enum failure_code deduplication(const struct checked *c)
{
	c->policy->deduplicates = c->arg->value.kind != VALUE_BOOL || c->arg->value.boolean;
	return FAILURE_NONE;
}

static const struct {
	const char *name;
	enum failure_code (*check)(const struct checked *c);
} checks[] = {
	{"x-expires", expires},
	{"x-message-ttl", message_ttl},
	{LETTER_EXCHANGE, letter_exchange},
	{LETTER_KEY, letter_key},
	{"x-max-length", length_max},
	{"x-max-length-bytes", bytes_max},
	{"x-max-priority", priority_max},
	{"x-delivery-limit", delivery_limit},
	{"x-overflow", overflow},
	{"x-queue-mode", queue_mode},
	{"x-queue-version", queue_version},
	{"x-single-active-consumer", single_active},
	{"x-queue-type", queue_type},
	{"x-message-deduplication", deduplication},
	/* What other types of queue have; a classic one of RabbitMQ refuses them too. */
	{"x-dead-letter-strategy", not_classic},
	{"x-max-age", not_classic},
	{"x-stream-max-segment-size-bytes", not_classic},
};

const char *const queue_arguments_known[] = {"x-expires", "x-message-ttl", "x-dead-letter-exchange",
	"x-dead-letter-routing-key", "x-max-length", "x-max-length-bytes", "x-max-priority", "x-overflow",
	"x-queue-mode", "x-queue-version", "x-single-active-consumer", "x-delivery-limit", "x-queue-type",
	"x-queue-master-locator", NULL};

/* Of several of one name the first counts, here as where declarations are compared. */
static bool said_before(const struct checked *c)
{
	return fields_find_slice(c->all, c->arg->name) != &c->arg->value;
}

static enum failure_code check(const struct checked *c)
{
	for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (slice_equals_text(c->arg->name, checks[i].name))
			return checks[i].check(c);
	return FAILURE_NONE;
}

static bool asks_for_nothing(const struct queue_policy *p)
{
	return p->message_ttl_us == UINT64_MAX && p->expires_us == 0 && p->length_max == UINT64_MAX &&
	       p->bytes_max == UINT64_MAX && p->delivery_limit == UINT64_MAX && !p->single_active &&
	       !p->letters && !p->priority_max && !p->deduplicates;
}

/* False: no memory. */
static bool letters_make(const struct checked *c)
{
	const struct value *exchange = argument(c, LETTER_EXCHANGE), *key = argument(c, LETTER_KEY);

	if (!exchange)
		return true;
	c->policy->letters = letter_address_make(
		(struct vhost *)c->vhost, c->queue, exchange->bytes, key ? &key->bytes : NULL);
	return c->policy->letters != NULL;
}

enum failure_code queue_policy_make(const struct fields *arguments, struct slice name, const struct vhost *v,
	struct queue_policy **out, struct failure *f)
{
	struct queue_policy p = {.message_ttl_us = UINT64_MAX,
		.length_max = UINT64_MAX,
		.bytes_max = UINT64_MAX,
		.delivery_limit = UINT64_MAX};
	struct checked c = {.all = arguments, .queue = name, .vhost = v, .policy = &p, .failure = f};

	*out = NULL;
	for (uint32_t i = 0; i < arguments->count; i++) {
		c.arg = &arguments->at[i];
		if (said_before(&c))
			continue;
		enum failure_code code = check(&c);
		if (code)
			return code;
	}
	if (!letters_make(&c))
		return failure_set(f, FAILURE_LIMIT, "no memory for " QUEUE_FMT, NAME_ARG(name, v));
	if (asks_for_nothing(&p))
		return FAILURE_NONE;
	*out = malloc(sizeof(p));
	if (!*out) {
		letter_address_drop(p.letters);
		return failure_set(f, FAILURE_LIMIT, "no memory for " QUEUE_FMT, NAME_ARG(name, v));
	}
	**out = p;
	return FAILURE_NONE;
}

/* x-stream-offset: where a stream would begin. x-cancel-on-ha-failover: nothing here, but of its type. */
static enum failure_code consumer_check(const struct checked *c, struct consumer *consumer)
{
	const struct field *arg = c->arg;
	enum failure_code code = FAILURE_NONE;

	if (slice_equals_text(arg->name, "x-priority")) {
		code = integer(c);
		consumer->priority = code ? 0 : arg->value.integer;
	} else if (slice_equals_text(arg->name, "x-stream-offset")) {
		code = not_classic(c);
	} else if (slice_equals_text(arg->name, "x-cancel-on-ha-failover") && arg->value.kind != VALUE_BOOL) {
		code = wrong_type(c);
	}
	return code;
}

enum failure_code consumer_arguments(struct session *s, struct slice queue, const struct fields *arguments,
	struct consumer *c, struct failure *f)
{
	struct checked checked = {.all = arguments, .queue = queue, .vhost = s->vhost, .failure = f};

	for (uint32_t i = 0; i < arguments->count; i++) {
		checked.arg = &arguments->at[i];
		enum failure_code code = said_before(&checked) ? FAILURE_NONE : consumer_check(&checked, c);
		if (code)
			return code;
	}
	return FAILURE_NONE;
}

void queue_policy_free(struct queue_policy *p)
{
	if (p)
		letter_address_drop(p->letters);
	free(p);
}
