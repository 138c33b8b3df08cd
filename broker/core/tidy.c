/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting what has many parts must not hold a core: what is deleted is hidden at once, and taken apart a
 * slice a turn by whichever core comes by. Readers may still meet its bindings; a queue may take them with
 * it. Until then they count. */
#include "broker/core/core.h"

void tidy_later(struct exchange *x)
{
	struct broker *b = x->vhost->broker;

	cds_list_add_tail(&x->of_broker, &b->deleted_exchanges);
	__atomic_fetch_add(&b->deleted_exchange_count, 1, __ATOMIC_RELAXED);
}

unsigned tidy_slice(struct broker *b)
{
	uint32_t before = b->binding_count;

	/* A queue that went may have left an exchange with none. */
	for (unsigned i = 0; i < TIDY_BINDINGS && !cds_list_empty(&b->deleted_exchanges); i++) {
		struct exchange *x = cds_list_first_entry(&b->deleted_exchanges, struct exchange, of_broker);
		if (!exchange_take_apart(x, TIDY_BINDINGS - (before - b->binding_count)))
			break;
		__atomic_fetch_sub(&b->deleted_exchange_count, 1, __ATOMIC_RELAXED);
	}
	return before - b->binding_count;
}

unsigned broker_core_tidy(struct broker_core *c)
{
	struct broker *b = c->broker;

	if (__atomic_load_n(&b->deleted_exchange_count, __ATOMIC_RELAXED) == 0)
		return 0;
	/* Somebody who changes something is not waited for. */
	if (pthread_mutex_trylock(&b->writer) != 0)
		return 0;
	unsigned n = tidy_slice(b);
	pthread_mutex_unlock(&b->writer);
	return n;
}
