/* SPDX-License-Identifier: Apache-2.0 */
/* Headers: a binding's arguments are compared with the message's headers; x-match says whether all of them
 * or any one must be there and equal, and whether those named "x-..." count. An argument without a value asks
 * for presence alone.
 *
 * The index is one table of (exchange, header and value): a binding that wants all of its arguments is filed
 * under the one of them with the fewest bindings so far, one that wants any under each, one without arguments
 * lies in the exchange's own bag (and, wanting any, nowhere: it never matches). A message looks up each of
 * its headers twice, with its value and as present, and compares what is filed there as a whole: the index
 * may hold too much (it goes by a hash of the pair), never too little. Cost: headers, plus the bindings filed
 * under them times their arguments; of those wanting all, few are filed under a pair unless all their pairs
 * are common. */
#include "broker/core/core.h"

#include <stdlib.h>
#include <string.h>

enum headers_match { MATCH_ALL, MATCH_ANY, MATCH_ALL_WITH_X, MATCH_ANY_WITH_X, MATCH_KINDS };

enum {
	TERMS_MAX = 64, /* of a binding; what an adaptor reads from an argument table */
	VIEW_MAX = 64,	/* headers of a message that are decoded once; others are searched for */
};

static const char *const match_names[MATCH_KINDS] = {"all", "any", "all-with-x", "any-with-x"};

/* A header, with a value or (VALUE_VOID) as present. */
struct header_pair {
	struct table_entry entry;
	struct pointer_bag bindings;
	bool presence; /* without a value */
	struct reclaim_node reclaim;
};

struct header_term {
	uint64_t name_hash;
	const struct field *field; /* in the binding's arguments */
};

struct filing {
	struct header_pair *pair;
	struct bag_place place;
};

/* The arguments of a binding that take part, and where it is filed. */
struct header_terms {
	bool all;
	uint32_t count, filed_count;
	struct filing *filed;
	struct header_term at[];
};

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

static bool takes_part(const struct field *a, enum headers_match match)
{
	if (slice_equals_text(a->name, "x-match"))
		return false;
	bool with_x = match == MATCH_ALL_WITH_X || match == MATCH_ANY_WITH_X;
	return with_x || a->name.bytes < 2 || memcmp(a->name.data, "x-", 2) != 0;
}

static enum failure_code validate(const struct binding_spec *spec, struct failure *f)
{
	const struct value *v = fields_find(&spec->arguments, "x-match");
	char text[VALUE_TEXT_BYTES];

	if (spec->arguments.count > TERMS_MAX)
		return failure_set(f, FAILURE_PRECONDITION,
			"a binding to a headers exchange has at most %u arguments", (unsigned)TERMS_MAX);
	if (match_kind(v) != MATCH_KINDS)
		return FAILURE_NONE;
	if (v->kind != VALUE_STRING)
		return failure_set(f, FAILURE_PRECONDITION,
			"Invalid x-match field type %s (value %s); expected longstr", value_kind_name(v),
			value_text(text, v));
	return failure_set(f, FAILURE_PRECONDITION,
		"Invalid x-match field value <<%s%.*s%s>>; expected all, any, all-with-x, or any-with-x",
		v->bytes.bytes ? "\"" : "", v->bytes.bytes < 32 ? (int)v->bytes.bytes : 32,
		(const char *)v->bytes.data, v->bytes.bytes ? "\"" : "");
}

/* Numbers are equal by what they say, as RabbitMQ compares them: 1 and 1.0, and a time in seconds. */
static struct value comparable(const struct value *v)
{
	struct value n = *v;

	if (v->kind == VALUE_DOUBLE && v->real >= -0x1p63 && v->real < 0x1p63 &&
		v->real == (double)(int64_t)v->real)
		n = (struct value){.kind = VALUE_INT, .integer = (int64_t)v->real};
	else if (v->kind == VALUE_TIMESTAMP)
		n.kind = VALUE_INT;
	return n;
}

static struct header_pair *pair_find(const struct exchange *x, uint64_t hash)
{
	struct table_entry *e = table_find_hashed(
		&x->vhost->broker->header_pairs, hash, x, (struct slice){0});
	return e ? caa_container_of(e, struct header_pair, entry) : NULL;
}

/* How many ask for presence alone: without any, messages need not look for them. */
static void count_presence(struct exchange *x, const struct header_pair *p, uint32_t change)
{
	if (p->presence)
		__atomic_store_n(&x->presence_pairs, x->presence_pairs + change, __ATOMIC_RELEASE);
}

static struct header_pair *pair_make(struct exchange *x, uint64_t hash, bool presence)
{
	struct broker *broker = x->vhost->broker;
	struct header_pair *p = pair_find(x, hash);

	if (p || broker->header_pair_count == broker->header_pairs_max)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->presence = presence;
	broker->header_pair_count++;
	count_presence(x, p, 1);
	table_add_hashed(&broker->header_pairs, &p->entry, hash, x, (struct slice){0});
	return p;
}

static void pair_release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct header_pair, reclaim));
}

static void pair_prune(struct exchange *x, struct header_pair *p)
{
	struct broker *broker = x->vhost->broker;

	if (p->bindings.count > 0)
		return;
	table_remove(&broker->header_pairs, &p->entry);
	broker->header_pair_count--;
	count_presence(x, p, UINT32_MAX);
	reclaim_defer(&p->reclaim, pair_release);
}

static struct header_terms *terms_make(const struct exchange *x, const struct fields *arguments)
{
	const struct table *t = &x->vhost->broker->header_pairs;
	enum headers_match match = match_kind(fields_find(arguments, "x-match"));
	uint32_t count = 0;

	for (uint32_t i = 0; i < arguments->count; i++)
		count += takes_part(&arguments->at[i], match);
	bool all = match == MATCH_ALL || match == MATCH_ALL_WITH_X;
	uint32_t filings = all && count > 0 ? 1 : count;
	struct header_terms *terms = calloc(
		1, sizeof(*terms) + count * sizeof(terms->at[0]) + filings * sizeof(struct filing));
	if (!terms)
		return NULL;
	terms->all = all;
	terms->filed = (struct filing *)&terms->at[count];
	for (uint32_t i = 0; i < arguments->count; i++) {
		const struct field *a = &arguments->at[i];
		if (takes_part(a, match))
			terms->at[terms->count++] = (struct header_term){table_hash(t, a->name), a};
	}
	return terms;
}

static void withdraw(struct exchange *x, struct header_terms *terms)
{
	while (terms->filed_count > 0) {
		struct filing *filing = &terms->filed[--terms->filed_count];
		pointer_bag_remove(&filing->pair->bindings, &filing->place);
		pair_prune(x, filing->pair);
	}
}

static uint64_t term_hash(const struct exchange *x, const struct header_term *t)
{
	struct value v = comparable(&t->field->value);

	return field_hash(&x->vhost->broker->header_pairs.key, t->name_hash, &v);
}

static int file_under(struct exchange *x, struct binding *b, const struct header_term *t)
{
	struct header_terms *terms = b->header_terms;
	struct header_pair *p = pair_make(x, term_hash(x, t), t->field->value.kind == VALUE_VOID);

	if (!p)
		return -1;
	struct filing *filing = &terms->filed[terms->filed_count];
	filing->pair = p;
	if (pointer_bag_add(&p->bindings, b, &filing->place)) {
		pair_prune(x, p);
		return -1;
	}
	terms->filed_count++;
	return 0;
}

/* The one with the fewest bindings. */
static const struct header_term *most_selective(const struct exchange *x, const struct header_terms *terms)
{
	const struct header_term *best = NULL;
	uint32_t fewest = UINT32_MAX;

	for (uint32_t i = 0; i < terms->count && fewest > 0; i++) {
		const struct header_pair *p = pair_find(x, term_hash(x, &terms->at[i]));
		uint32_t count = p ? p->bindings.count : 0;
		if (count < fewest) {
			fewest = count;
			best = &terms->at[i];
		}
	}
	return best;
}

static int file(struct exchange *x, struct binding *b)
{
	struct header_terms *terms = b->header_terms;

	if (terms->all)
		return terms->count == 0 ? pointer_bag_add(&x->all, b, &b->place)
					 : file_under(x, b, most_selective(x, terms));
	for (uint32_t i = 0; i < terms->count; i++)
		if (file_under(x, b, &terms->at[i])) {
			withdraw(x, terms);
			return -1;
		}
	return 0;
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	b->header_terms = terms_make(x, &b->arguments);
	if (b->header_terms && file(x, b) == 0)
		return FAILURE_NONE;
	/* Readers may have seen it filed under some of its pairs. */
	return failure_set(f, FAILURE_LIMIT, "no memory for the headers of the binding");
}

static void unbind(struct exchange *x, struct binding *b)
{
	if (b->header_terms->all && b->header_terms->count == 0)
		pointer_bag_remove(&x->all, &b->place);
	else
		withdraw(x, b->header_terms);
}

static void terms_free(struct binding *b)
{
	free(b->header_terms);
}

/* The message's headers, decoded once. */
struct view {
	const struct header_source *source;
	uint32_t count;
	uint64_t name_hash[VIEW_MAX];
	struct field at[VIEW_MAX];
	bool complete; /* no headers but those */
};

static bool view_find(const struct view *v, const struct header_term *t, struct value *out)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (v->name_hash[i] == t->name_hash && slice_equal(v->at[i].name, t->field->name)) {
			*out = v->at[i].value;
			return true;
		}
	return !v->complete && v->source->find(v->source->ctx, t->field->name, out);
}

static bool term_matches(const struct view *v, const struct header_term *t)
{
	struct value found, wanted = comparable(&t->field->value);

	if (!view_find(v, t, &found))
		return false;
	found = comparable(&found);
	return wanted.kind == VALUE_VOID || value_equal(&wanted, &found);
}

static bool binding_matches(const struct view *v, const struct binding *b)
{
	const struct header_terms *terms = b->header_terms;

	for (uint32_t i = 0; i < terms->count; i++)
		if (term_matches(v, &terms->at[i]) != terms->all)
			return !terms->all;
	return terms->all;
}

/* False: the slice ends before the bag does. */
static bool add_matching(const struct view *v, const struct pointer_bag *bindings, struct route_set *out)
{
	struct bag_cursor *at = &out->walk.at;
	const struct binding *b;

	for (; out->budget > 0; out->budget--) {
		if (!(b = pointer_bag_next(bindings, at))) {
			*at = (struct bag_cursor){0};
			return true;
		}
		if (binding_matches(v, b))
			route_set_add(out, b->to);
	}
	return false;
}

/* What is filed under up to VIEW_MAX headers. All places are asked for before the first is looked at: among
 * many bindings each is a cache miss of its own. `skip` of them were done with in earlier slices. */
struct lookups {
	uint32_t count, skip;
	uint64_t hash[2 * VIEW_MAX];
	const struct header_pair *pair[2 * VIEW_MAX];
};

static void lookups_add(struct lookups *l, const struct exchange *x, uint64_t hash)
{
	if (l->skip > 0) {
		l->skip--;
		return;
	}
	l->hash[l->count++] = hash;
	table_prefetch_hashed(&x->vhost->broker->header_pairs, hash, x);
}

static void lookups_add_header(struct lookups *l, const struct exchange *x, const struct route_walk *w,
	uint64_t name_hash, const struct value *value)
{
	static const struct value present = {.kind = VALUE_VOID};
	const struct siphash_key *key = &x->vhost->broker->header_pairs.key;

	struct value v = comparable(value);

	if (v.kind != VALUE_VOID)
		lookups_add(l, x, field_hash(key, name_hash, &v));
	if (w->headers.presence)
		lookups_add(l, x, field_hash(key, name_hash, &present));
}

static bool lookups_do(
	struct lookups *l, const struct exchange *x, const struct view *v, struct route_set *out)
{
	struct route_walk *w = &out->walk;

	for (uint32_t i = 0; i < l->count; i++)
		l->pair[i] = pair_find(x, l->hash[i]);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct pointer_bag *bag = l->pair[i] ? &l->pair[i]->bindings : NULL;
		if (w->bag && w->bag != bag) /* another one in its place */
			w->at = (struct bag_cursor){0};
		w->bag = bag;
		if (bag && !add_matching(v, bag, out))
			return false;
		w->bag = NULL;
		w->headers.pairs++;
	}
	l->count = 0;
	return true;
}

static bool route_without_arguments(const struct exchange *x, const struct view *v, struct route_set *out)
{
	struct route_walk *w = &out->walk;

	if (!w->begun) {
		w->begun = true;
		w->headers.pairs = 0;
		w->headers.presence = __atomic_load_n(&x->presence_pairs, __ATOMIC_ACQUIRE) > 0;
		w->bag = &x->all;
	}
	if (w->bag != &x->all)
		return true;
	if (!add_matching(v, w->bag, out))
		return false;
	w->bag = NULL;
	return true;
}

static bool route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct table *t = &x->vhost->broker->header_pairs;
	struct lookups l;
	struct view v;
	struct field f;
	uint32_t at = 0;

	l.count = v.count = 0;
	v.source = r->headers;
	v.complete = true;
	if (!route_without_arguments(x, &v, out))
		return false;
	l.skip = out->walk.headers.pairs;
	if (!r->headers)
		return true;
	while (v.count < VIEW_MAX && r->headers->next(r->headers->ctx, &at, &f)) {
		uint64_t name_hash = v.name_hash[v.count] = table_hash(t, f.name);
		v.at[v.count++] = f;
		lookups_add_header(&l, x, &out->walk, name_hash, &f.value);
	}
	v.complete = v.count < VIEW_MAX;
	if (!lookups_do(&l, x, &v, out))
		return false;
	while (!v.complete && r->headers->next(r->headers->ctx, &at, &f)) {
		lookups_add_header(&l, x, &out->walk, table_hash(t, f.name), &f.value);
		if (!lookups_do(&l, x, &v, out))
			return false;
	}
	return true;
}

const struct exchange_type route_headers = {.name = "headers",
	.validate = validate,
	.bind = bind,
	.unbind = unbind,
	.free = terms_free,
	.route = route};
