/* SPDX-License-Identifier: Apache-2.0 */
/* x-consistent-hash, as RabbitMQ's plugin: a message goes to one destination, chosen by a hash of its routing
 * key (or of the header or property that the exchange's arguments name), in proportion to the numbers that
 * the binding keys are. Jump consistent hash (Lamping and Veach) over the sum of the weights: where a
 * destination comes last, nothing moves but to it. The hash has no secret: the same key goes to the same
 * place after a restart. Of several bindings of one destination the oldest counts.
 *
 * Readers see one array of ends of weights, replaced as a whole: a change costs the exchange's bindings,
 * which are bounded for that. */
#include "broker/core/core.h"
#include "broker/core/route_graph.h"
#include "runtime/rcu.h"

#include <stdlib.h>
#include <string.h>

enum { BINDINGS_MAX = 1024, WEIGHT_MAX = 1000000 };

struct hash_place {
	void *to; /* NULL: it went, and there was no memory for another array; atomic */
	bool to_exchange;
	uint64_t end; /* of its share: weights up to here */
};

struct hash_ring {
	struct reclaim_node reclaim;
	uint32_t count;
	struct hash_place at[];
};

/* 0: no number, or not between 1 and WEIGHT_MAX. */
static uint32_t weight_of(struct slice key)
{
	uint32_t weight = 0;

	if (key.bytes > 0 && key.data[0] == '+')
		key = (struct slice){key.data + 1, key.bytes - 1};
	for (uint32_t i = 0; i < key.bytes; i++) {
		if (key.data[i] < '0' || key.data[i] > '9')
			return 0;
		weight = weight * 10 + (uint32_t)(key.data[i] - '0');
		if (weight > WEIGHT_MAX)
			return 0;
	}
	return weight;
}

static enum failure_code validate(const struct binding_spec *spec, struct failure *f)
{
	if (weight_of(spec->routing_key) > 0)
		return FAILURE_NONE;
	return failure_set(f, FAILURE_PRECONDITION,
		"The binding key must be an integer from 1 to %d: <<\"" SLICE_FMT "\">>", WEIGHT_MAX,
		spec->routing_key.bytes < 32 ? (int)spec->routing_key.bytes : 32,
		(const char *)spec->routing_key.data);
}

static enum failure_code check(const struct exchange_declaration *d, struct failure *f)
{
	static const char *const properties[] = {"correlation_id", "message_id", "timestamp"};
	const struct value *header = fields_find(&d->arguments, "hash-header");
	const struct value *property = fields_find(&d->arguments, "hash-property");

	if (header && property)
		return failure_set(
			f, FAILURE_PRECONDITION, "hash-header and hash-property are mutually exclusive");
	if ((header && header->kind != VALUE_STRING) || (property && property->kind != VALUE_STRING))
		return failure_set(f, FAILURE_PRECONDITION, "invalid type for arg '%s': a string is expected",
			header ? "hash-header" : "hash-property");
	for (unsigned i = 0; property && i < 3; i++)
		if (slice_equals_text(property->bytes, properties[i]))
			return FAILURE_NONE;
	if (!property)
		return FAILURE_NONE;
	return failure_set(
		f, FAILURE_PRECONDITION, "Unsupported property: " SLICE_FMT, SLICE_ARG(property->bytes));
}

static void begin(struct exchange *x)
{
	x->hash_header = fields_find(&x->arguments, "hash-header");
	x->hash_property = fields_find(&x->arguments, "hash-property");
	x->by_key = !x->hash_header && !x->hash_property;
}

static void places_release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct hash_ring, reclaim));
}

static void places_replace(struct exchange *x, struct hash_ring *ring)
{
	struct hash_ring *old = x->ring;

	RCU_PUBLISH(x->ring, ring);
	if (old)
		reclaim_defer(&old->reclaim, places_release);
}

static void places_append(struct hash_ring *ring, const struct binding *b)
{
	uint64_t before = ring->count ? ring->at[ring->count - 1].end : 0;

	ring->at[ring->count++] = (struct hash_place){
		b->to, b->to_exchange, before + weight_of(b->entry.name)};
}

/* Of all that count; one more may come that is not in the list yet. -1: no memory. */
static int places_make(struct exchange *x, const struct binding *more)
{
	struct hash_ring *ring = calloc(1, sizeof(*ring) + BINDINGS_MAX * sizeof(ring->at[0]));
	const struct binding *b;

	if (!ring)
		return -1;
	cds_list_for_each_entry (b, &x->bindings, of_exchange)
		if (b->hash_counts)
			places_append(ring, b);
	if (more)
		places_append(ring, more);
	places_replace(x, ring);
	return 0;
}

static struct binding *another_of(struct exchange *x, const struct binding *than)
{
	struct binding *b;

	cds_list_for_each_entry (b, &x->bindings, of_exchange)
		if (b != than && b->to == than->to)
			return b;
	return NULL;
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	if (x->hash_bindings == BINDINGS_MAX)
		return failure_set(f, FAILURE_LIMIT,
			"the limit of %d bindings of an exchange of this type is reached", BINDINGS_MAX);
	b->hash_counts = !another_of(x, b);
	if (b->hash_counts && places_make(x, b))
		return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
	x->hash_bindings++;
	return FAILURE_NONE;
}

/* What goes must not be met any more, with memory or without. */
static void leave_out(struct exchange *x, const void *to)
{
	for (uint32_t i = 0; i < x->ring->count; i++)
		if (x->ring->at[i].to == to)
			RCU_PUBLISH(x->ring->at[i].to, NULL);
}

static void unbind(struct exchange *x, struct binding *b)
{
	struct binding *next = b->hash_counts ? another_of(x, b) : NULL;

	x->hash_bindings--;
	if (!b->hash_counts)
		return;
	b->hash_counts = false;
	if (next)
		next->hash_counts = true;
	if (x->hash_bindings == 0)
		places_replace(x, NULL);
	else if (places_make(x, NULL))
		leave_out(x, b->to);
}

static uint64_t hash_of(const struct exchange *x, const struct route_request *r)
{
	static const struct siphash_key open;
	struct value v = {.kind = VALUE_STRING, .bytes = r->routing_key};
	bool known = true;

	if (x->hash_header)
		known = r->headers && r->headers->find(r->headers->ctx, x->hash_header->bytes, &v);
	else if (x->hash_property)
		known = r->headers && r->headers->property &&
			r->headers->property(r->headers->ctx, x->hash_property->bytes, &v);
	return known ? field_hash(&open, 0, &v) : 0;
}

static uint64_t jump(uint64_t hash, uint64_t buckets)
{
	uint64_t at = 0;

	for (double next = 0; next < (double)buckets;) {
		at = (uint64_t)next;
		hash = hash * UINT64_C(2862933555777941757) + 1;
		next = (double)(at + 1) * ((double)(UINT64_C(1) << 31) / (double)((hash >> 33) + 1));
	}
	return at;
}

static const struct hash_place *place_of(const struct hash_ring *ring, uint64_t bucket)
{
	uint32_t low = 0, high = ring->count - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (bucket < ring->at[middle].end)
			high = middle;
		else
			low = middle + 1;
	}
	return &ring->at[low];
}

static bool route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	const struct hash_ring *ring = RCU_LOAD(x->ring);

	if (!ring || ring->count == 0)
		return true;
	const struct hash_place *p = place_of(ring, jump(hash_of(x, r), ring->at[ring->count - 1].end));
	const void *to = RCU_LOAD(p->to);
	if (!to)
		return true;
	if (!p->to_exchange)
		route_set_add(out, to);
	else if (out->in_graph) /* else it leads on since a moment ago, and is walked again */
		route_set_add(&out->graph->exchanges, to);
	return true;
}

const struct exchange_type route_hash = {.name = "x-consistent-hash",
	.by_key = true,
	.one_half = true,
	.check = check,
	.begin = begin,
	.validate = validate,
	.bind = bind,
	.unbind = unbind,
	.route = route};
