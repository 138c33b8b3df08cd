/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/route.h"

#include "broker/core/core.h"

#include <stdlib.h>

enum { SCAN_MAX = 8 }; /* up to here a look at the list is cheaper than the set */

int route_set_create(struct route_set *s, const struct broker_limits *limits)
{
	/* Twice the limit: a reader may still see a queue whose place another one has taken already. */
	*s = (struct route_set){
		.capacity = limits->queues > UINT32_MAX / 4 ? UINT32_MAX / 2 : limits->queues * 2};
	s->queues = calloc(s->capacity, sizeof(*s->queues));
	if (!s->queues || pointer_set_create(&s->seen, s->capacity) ||
		pointer_set_create(&s->nodes, nested_hash_nodes_max(limits->bindings))) {
		route_set_destroy(s);
		return -1;
	}
	return 0;
}

void route_set_destroy(struct route_set *s)
{
	free(s->queues);
	pointer_set_destroy(&s->seen);
	pointer_set_destroy(&s->nodes);
}

static bool known(struct route_set *s, const struct queue *q)
{
	if (s->count > SCAN_MAX)
		return pointer_set_add(&s->seen, q) == POINTER_SET_KNOWN;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->queues[i] == q)
			return true;
	return false;
}

void route_set_add(struct route_set *s, struct queue *q)
{
	if (known(s, q))
		return;
	if (s->count == s->capacity) {
		s->overflow = true;
		return;
	}
	s->queues[s->count++] = q;
	if (s->count == SCAN_MAX + 1)
		for (uint32_t i = 0; i < s->count; i++)
			pointer_set_add(&s->seen, s->queues[i]);
}

void route_set_add_all(struct route_set *s, const struct pointer_bag *queues)
{
	struct bag_cursor at = {0};
	const void *q;

	while ((q = pointer_bag_next(queues, &at)))
		route_set_add(s, (struct queue *)(uintptr_t)q);
}

void route_find(struct exchange *x, const struct route_request *r, struct route_set *out)
{
	out->count = 0;
	out->overflow = false;
	pointer_set_clear(&out->seen);
	if (x->by_name.name.bytes > 0) {
		x->type->route(x, r, out);
		return;
	}
	struct queue *q = queue_find(x->vhost, r->routing_key);
	if (q)
		route_set_add(out, q);
}
