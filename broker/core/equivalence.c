/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a declaration asks for what exists already, in RabbitMQ's words where it does not. */
#include "broker/core/core.h"

#include <inttypes.h>
#include <stdio.h>

enum { VALUE_TEXT_BYTES = 64 };

static void value_text(char text[VALUE_TEXT_BYTES], const struct value *v)
{
	if (!v) {
		snprintf(text, VALUE_TEXT_BYTES, "none");
		return;
	}
	switch (v->kind) {
	case VALUE_VOID:
		snprintf(text, VALUE_TEXT_BYTES, "the value 'undefined' of type 'void'");
		break;
	case VALUE_BOOL:
		snprintf(text, VALUE_TEXT_BYTES, "the value '%s' of type 'bool'",
			v->boolean ? "true" : "false");
		break;
	case VALUE_INT:
	case VALUE_TIMESTAMP:
		snprintf(text, VALUE_TEXT_BYTES, "the value '%" PRId64 "' of type '%s'", v->integer,
			v->kind == VALUE_INT ? "long" : "timestamp");
		break;
	case VALUE_DOUBLE:
		snprintf(text, VALUE_TEXT_BYTES, "the value '%g' of type 'double'", v->real);
		break;
	case VALUE_STRING:
		snprintf(text, VALUE_TEXT_BYTES, "the value '%.*s' of type 'longstr'",
			v->bytes.bytes < 32 ? (int)v->bytes.bytes : 32, (const char *)v->bytes.data);
		break;
	case VALUE_OPAQUE:
		snprintf(text, VALUE_TEXT_BYTES, "another table, array or decimal");
		break;
	}
}

/* A queue without x-queue-type is a classic one. */
static bool same(struct slice name, const struct value *a, const struct value *b)
{
	const struct value *only = a ? a : b;

	if (a && b)
		return value_equal(a, b);
	return slice_equals_text(name, "x-queue-type") && only->kind == VALUE_STRING &&
	       slice_equals_text(only->bytes, "classic");
}

enum failure_code arguments_equivalent(const struct fields *current, const struct fields *given,
	const char *what, struct slice name, const struct vhost *v, struct failure *f)
{
	for (uint32_t i = 0; i < current->count + given->count; i++) {
		const struct field *a = i < current->count ? &current->at[i] : &given->at[i - current->count];
		const struct value *have = fields_find_slice(current, a->name);
		const struct value *want = fields_find_slice(given, a->name);
		if (same(a->name, have, want))
			continue;
		char have_text[VALUE_TEXT_BYTES], want_text[VALUE_TEXT_BYTES];
		value_text(have_text, have);
		value_text(want_text, want);
		return failure_set(f, FAILURE_PRECONDITION,
			"inequivalent arg '" SLICE_FMT "' for %s '" SLICE_FMT
			"' in vhost '%s': received %s but current is %s",
			SLICE_ARG(a->name), what, NAME_ARG(name, v), want_text, have_text);
	}
	return FAILURE_NONE;
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
