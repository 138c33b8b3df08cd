/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a declaration asks for what exists already, in RabbitMQ's words where it does not. */
#include "broker/core/core.h"

#include <stdio.h>
#include <string.h>

/* Without the other one its type is said too. */
static void side_text(char text[2 * VALUE_TEXT_BYTES], const struct value *v, bool alone)
{
	char value[VALUE_TEXT_BYTES];

	if (!v) {
		snprintf(text, 2 * VALUE_TEXT_BYTES, "none");
		return;
	}
	value_text(value, v);
	if (alone)
		snprintf(
			text, 2 * VALUE_TEXT_BYTES, "the value '%s' of type '%s'", value, value_kind_name(v));
	else
		snprintf(text, 2 * VALUE_TEXT_BYTES, "'%s'", value);
}

/* A queue without x-queue-type is a classic one. */
static bool same(struct slice name, const struct value *a, const struct value *b)
{
	const struct value *only = a ? a : b;

	if (!only)
		return true;
	if (a && b)
		return value_equal(a, b);
	return slice_equals_text(name, "x-queue-type") && only->kind == VALUE_STRING &&
	       slice_equals_text(only->bytes, "classic");
}

enum failure_code argument_equivalent(struct slice argument, const struct fields *current,
	const struct fields *given, const char *what, struct slice name, const struct vhost *v,
	struct failure *f)
{
	const struct value *have = fields_find_slice(current, argument);
	const struct value *want = fields_find_slice(given, argument);
	char have_text[2 * VALUE_TEXT_BYTES], want_text[2 * VALUE_TEXT_BYTES];

	if (same(argument, have, want))
		return FAILURE_NONE;
	side_text(have_text, have, !want);
	side_text(want_text, want, !have);
	return failure_set(f, FAILURE_PRECONDITION,
		"inequivalent arg '" SLICE_FMT "' for %s '" SLICE_FMT
		"' in vhost '%s': received %s but current is %s",
		SLICE_ARG(argument), what, NAME_ARG(name, v), want_text, have_text);
}

enum failure_code queue_arguments_equivalent(
	const struct queue *q, const struct fields *given, struct failure *f)
{
	enum failure_code code = FAILURE_NONE;

	for (const char *const *known = queue_arguments_known; *known && !code; known++) {
		struct slice argument = {(const uint8_t *)*known, (uint32_t)strlen(*known)};
		code = argument_equivalent(
			argument, &q->arguments, given, "queue", q->by_name.name, q->vhost, f);
	}
	return code;
}

enum failure_code flag_equivalent(bool current, bool given, const char *flag, const char *what,
	struct slice name, const struct vhost *v, struct failure *f)
{
	if (current == given)
		return FAILURE_NONE;
	return failure_set(f, FAILURE_PRECONDITION,
		"inequivalent arg '%s' for %s '" SLICE_FMT
		"' in vhost '%s': received '%s' but current is '%s'",
		flag, what, NAME_ARG(name, v), given ? "true" : "false", current ? "true" : "false");
}
