/* SPDX-License-Identifier: Apache-2.0 */
/* Which x- arguments a new queue may have. What is known and would change the queue's behaviour, but is not
 * honoured, is refused rather than ignored: a client that asks for a limit relies on it. */
#include "broker/core/core.h"

#include <string.h>

static const char *const not_honoured[] = {"x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes",
	"x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy", "x-max-priority",
	"x-overflow", NULL};

static bool one_of(const char *const *names, struct slice name)
{
	for (; *names; names++)
		if (slice_equals_text(name, *names))
			return true;
	return false;
}

static enum failure_code refuse(const struct field *a, struct slice queue, const struct vhost *v,
	enum failure_code code, const char *why, struct failure *f)
{
	return failure_set(f, code, "invalid arg '" SLICE_FMT "' for " QUEUE_FMT ": %s", SLICE_ARG(a->name),
		NAME_ARG(queue, v), why);
}

static enum failure_code check_type(
	const struct field *a, struct slice queue, const struct vhost *v, struct failure *f)
{
	if (a->value.kind != VALUE_STRING)
		return refuse(a, queue, v, FAILURE_PRECONDITION, "a string is expected", f);
	if (slice_equals_text(a->value.bytes, "classic"))
		return FAILURE_NONE;
	if (slice_equals_text(a->value.bytes, "quorum") || slice_equals_text(a->value.bytes, "stream"))
		return refuse(a, queue, v, FAILURE_NOT_IMPLEMENTED, "only classic queues are implemented", f);
	return refuse(a, queue, v, FAILURE_PRECONDITION, "unknown queue type", f);
}

static enum failure_code check_mode(
	const struct field *a, struct slice queue, const struct vhost *v, struct failure *f)
{
	if (a->value.kind == VALUE_STRING &&
		(slice_equals_text(a->value.bytes, "default") || slice_equals_text(a->value.bytes, "lazy")))
		return FAILURE_NONE;
	return refuse(a, queue, v, FAILURE_PRECONDITION, "'default' or 'lazy' is expected", f);
}

static enum failure_code check_one(
	const struct field *a, struct slice queue, const struct vhost *v, struct failure *f)
{
	if (slice_equals_text(a->name, "x-queue-type"))
		return check_type(a, queue, v, f);
	if (slice_equals_text(a->name, "x-queue-mode"))
		return check_mode(a, queue, v, f);
	if (slice_equals_text(a->name, "x-single-active-consumer")) {
		if (a->value.kind != VALUE_BOOL)
			return refuse(a, queue, v, FAILURE_PRECONDITION, "a boolean is expected", f);
		if (a->value.boolean)
			return refuse(a, queue, v, FAILURE_NOT_IMPLEMENTED, "it is not implemented", f);
	}
	if (one_of(not_honoured, a->name))
		return refuse(a, queue, v, FAILURE_NOT_IMPLEMENTED, "it is not implemented", f);
	return FAILURE_NONE;
}

enum failure_code queue_arguments_check(
	const struct fields *arguments, struct slice name, const struct vhost *v, struct failure *f)
{
	for (uint32_t i = 0; i < arguments->count; i++) {
		enum failure_code code = check_one(&arguments->at[i], name, v, f);
		if (code)
			return code;
	}
	return FAILURE_NONE;
}
