/* SPDX-License-Identifier: Apache-2.0 */
/* Headers: a binding's arguments are compared with the message's headers; x-match says whether all of them
 * or any one must be there and equal, and whether those named "x-..." count. An argument without a value asks
 * for presence alone. Cost: bindings times their arguments. */
#include "broker/core/core.h"

#include <string.h>
#include <urcu/rculist.h>

enum headers_match { MATCH_ALL, MATCH_ANY, MATCH_ALL_WITH_X, MATCH_ANY_WITH_X, MATCH_KINDS };

static const char *const match_names[MATCH_KINDS] = {"all", "any", "all-with-x", "any-with-x"};

/* MATCH_KINDS where it is none of them. */
static enum headers_match match_kind(const struct value *v)
{
	unsigned i = 0;

	if (!v)
		return MATCH_ALL;
	if (v->kind != VALUE_STRING)
		return MATCH_KINDS;
	while (i < MATCH_KINDS && !slice_equals_text(v->bytes, match_names[i]))
		i++;
	return (enum headers_match)i;
}

static enum failure_code validate(const struct binding_spec *spec, struct failure *f)
{
	const struct value *v = fields_find(&spec->arguments, "x-match");

	if (match_kind(v) != MATCH_KINDS)
		return FAILURE_NONE;
	if (v->kind != VALUE_STRING)
		return failure_set(f, FAILURE_PRECONDITION, "Invalid x-match field type; expected longstr");
	return failure_set(f, FAILURE_PRECONDITION,
		"Invalid x-match field value <<\"%.*s\">>; expected all, any, all-with-x, or any-with-x",
		v->bytes.bytes < 32 ? (int)v->bytes.bytes : 32, (const char *)v->bytes.data);
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	b->match = (uint8_t)match_kind(fields_find(&b->arguments, "x-match"));
	return FAILURE_NONE;
}

static bool takes_part(const struct field *a, enum headers_match match)
{
	if (slice_equals_text(a->name, "x-match"))
		return false;
	bool with_x = match == MATCH_ALL_WITH_X || match == MATCH_ANY_WITH_X;
	return with_x || a->name.bytes < 2 || memcmp(a->name.data, "x-", 2) != 0;
}

static bool header_matches(const struct field *a, const struct header_source *h)
{
	struct value v;

	if (!h || !h->find(h->ctx, a->name, &v))
		return false;
	return a->value.kind == VALUE_VOID || value_equal(&a->value, &v);
}

static bool binding_matches(const struct binding *b, const struct header_source *h)
{
	bool all = b->match == MATCH_ALL || b->match == MATCH_ALL_WITH_X;

	for (uint32_t i = 0; i < b->arguments.count; i++) {
		const struct field *a = &b->arguments.at[i];
		if (takes_part(a, b->match) && header_matches(a, h) != all)
			return !all;
	}
	return all;
}

static void route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct binding *b;

	cds_list_for_each_entry_rcu(b, &x->bindings, of_exchange) if (binding_matches(b, r->headers))
		route_set_add(out, b->queue);
}

const struct exchange_type route_headers = {"headers", validate, bind, NULL, route};
