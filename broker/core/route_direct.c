/* SPDX-License-Identifier: Apache-2.0 */
/* Direct: the routing key is the binding's, byte for byte. All direct exchanges share one table of keys; a
 * key lives while it has bindings. */
#include "broker/core/core.h"

#include <stdlib.h>
#include <string.h>

struct direct_key {
	struct table_entry entry;
	struct pointer_bag to;
	struct reclaim_node reclaim;
	uint8_t bytes[];
};

static struct direct_key *key_find(const struct exchange *x, struct slice key)
{
	struct table_entry *e = table_find(&x->vhost->broker->direct_keys, x, key);
	return e ? caa_container_of(e, struct direct_key, entry) : NULL;
}

static enum failure_code no_memory(struct failure *f)
{
	return failure_set(f, FAILURE_LIMIT, "no memory for the binding");
}

static enum failure_code bind(struct exchange *x, struct binding *b, struct failure *f)
{
	struct slice key = b->entry.name;
	struct direct_key *k = key_find(x, key);

	b->direct_key = k;
	if (k)
		return pointer_bag_add(&k->to, b->to, &b->place) ? no_memory(f) : FAILURE_NONE;
	b->direct_key = k = calloc(1, sizeof(*k) + key.bytes);
	if (!k)
		return no_memory(f);
	if (key.bytes)
		memcpy(k->bytes, key.data, key.bytes);
	/* The first one needs no memory. */
	pointer_bag_add(&k->to, b->to, &b->place);
	table_add(&x->vhost->broker->direct_keys, &k->entry, x, (struct slice){k->bytes, key.bytes});
	return FAILURE_NONE;
}

static void key_release(struct reclaim_node *n)
{
	free(caa_container_of(n, struct direct_key, reclaim));
}

static void unbind(struct exchange *x, struct binding *b)
{
	struct direct_key *k = b->direct_key;

	pointer_bag_remove(&k->to, &b->place);
	if (k->to.count > 0)
		return;
	table_remove(&x->vhost->broker->direct_keys, &k->entry);
	reclaim_defer(&k->reclaim, key_release);
}

static bool route(const struct exchange *x, const struct route_request *r, struct route_set *out)
{
	struct route_walk *w = &out->walk;

	if (!w->bag) {
		const struct direct_key *k = key_find(x, r->routing_key);
		if (!k)
			return true;
		w->bag = &k->to;
	}
	return route_set_add_all(out, w->bag);
}

const struct exchange_type route_direct = {
	.name = "direct", .by_key = true, .each_key = true, .bind = bind, .unbind = unbind, .route = route};
