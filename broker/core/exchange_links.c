/* SPDX-License-Identifier: Apache-2.0 */
/* Which exchanges have to do with others: by bindings between them, or as alternates, also of a name that is
 * no exchange's yet. A change of any of these moves the one generation that routes through several exchanges
 * are noted with; what has to do with no other never touches it.
 *
 * An exchange that was linked once stays so until it is deleted: a reader may have decided by it already
 * which generation to look at. */
#include "broker/core/core.h"
#include "runtime/rcu.h"

#include <stdlib.h>

void exchange_links_changed(struct broker *b)
{
	RCU_PUBLISH(b->linked_generation, ++b->generation);
}

void exchange_changed(struct exchange *x)
{
	struct broker *b = x->vhost->broker;

	RCU_PUBLISH(x->generation, ++b->generation);
	if (x->linked)
		exchange_links_changed(b);
}

static void lead_on(struct exchange *x)
{
	x->linked = true;
	__atomic_store_n(&x->leads_on, true, __ATOMIC_RELAXED);
}

void exchange_links_begin(struct exchange *x)
{
	struct vhost *v = x->vhost;
	struct broker *b = v->broker;
	const struct value *alternate = fields_find(&x->arguments, ALTERNATE_EXCHANGE);

	x->linked = table_find(&b->alternates, v, x->by_name.name);
	if (x->gate)
		lead_on(x);
	/* The default exchange has no bindings: as an alternate it matches nothing. */
	if (!alternate || alternate->bytes.bytes == 0)
		return;
	lead_on(x);
	table_add(&b->alternates, &x->alternate, v, alternate->bytes);
	struct exchange *to = exchange_find(v, alternate->bytes);
	if (to)
		to->linked = true;
}

void exchange_links_end(struct exchange *x)
{
	if (x->alternate.name.data)
		table_remove(&x->vhost->broker->alternates, &x->alternate);
}

struct exchange *exchange_half(struct exchange *x, bool to_exchange)
{
	return to_exchange && !x->type->one_half ? x->onward : x;
}

int exchange_link(struct exchange *from, struct exchange *to)
{
	if (!from->onward && !from->type->one_half) {
		struct exchange *half = calloc(1, sizeof(*half));
		if (!half)
			return -1;
		half->vhost = from->vhost;
		half->type = from->type;
		half->by_name.name = from->by_name.name;
		RCU_PUBLISH(from->onward, half);
	}
	lead_on(from);
	to->linked = true;
	return 0;
}
