/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting what has many parts must not hold a core: what is deleted is hidden at once, and taken apart a
 * slice a turn by whichever core comes by. Readers may still meet its bindings (those of a queue lead to one
 * that is hidden); a queue may take an exchange's with it, and the other way round. Until then they count.
 *
 * An exchange that goes with its last binding may have others bound to it, which then go too if they have no
 * other binding, and so on: within the change that began it up to a slice, and later what is left. */
#include "broker/core/core.h"

static void count_deleted(struct broker *b, int32_t by)
{
	__atomic_fetch_add(&b->deleted_count, (uint32_t)by, __ATOMIC_RELAXED);
}

void tidy_later(struct exchange *x)
{
	struct broker *b = x->vhost->broker;

	cds_list_add_tail(&x->of_broker, &b->deleted_exchanges);
	count_deleted(b, 1);
}

void tidy_cascading(struct exchange *x)
{
	struct broker *b = x->vhost->broker;

	cds_list_add(&x->of_broker, &b->deleted_exchanges);
	count_deleted(b, 1);
	b->cascading = true;
}

void tidy_queue_later(struct queue *q)
{
	struct broker *b = q->vhost->broker;

	/* Where it was all that matched, an alternate exchange takes its place. */
	exchange_links_changed(b);

	cds_list_add_tail(&q->of_broker, &b->deleted_queues);
	count_deleted(b, 1);
}

static unsigned left_of(const struct broker *b, uint32_t before)
{
	return TIDY_BINDINGS - (before - b->binding_count);
}

static void tidy_exchanges(struct broker *b, uint32_t before)
{
	/* A queue that went may have left an exchange with none. */
	for (unsigned i = 0; i < TIDY_BINDINGS && !cds_list_empty(&b->deleted_exchanges); i++) {
		struct exchange *x = cds_list_first_entry(&b->deleted_exchanges, struct exchange, of_broker);
		if (!exchange_take_apart(x, left_of(b, before)))
			break;
		count_deleted(b, -1);
	}
}

static void tidy_queues(struct broker *b, uint32_t before)
{
	for (unsigned i = 0; i < TIDY_BINDINGS && !cds_list_empty(&b->deleted_queues); i++) {
		struct queue *q = cds_list_first_entry(&b->deleted_queues, struct queue, of_broker);
		cds_list_del(&q->of_broker);
		if (!queue_take_apart(q, left_of(b, before))) {
			cds_list_add(&q->of_broker, &b->deleted_queues);
			break;
		}
		count_deleted(b, -1);
	}
}

unsigned tidy_slice(struct broker *b)
{
	uint32_t before = b->binding_count;

	b->cascading = false;
	tidy_exchanges(b, before);
	tidy_queues(b, before);
	return before - b->binding_count;
}

void tidy_cascade(struct broker *b)
{
	if (b->cascading)
		tidy_slice(b);
}

unsigned broker_core_tidy(struct broker_core *c)
{
	struct broker *b = c->broker;

	if (__atomic_load_n(&b->deleted_count, __ATOMIC_RELAXED) == 0)
		return 0;
	/* Somebody who changes something is not waited for. */
	if (pthread_mutex_trylock(&b->writer) != 0)
		return 0;
	unsigned n = tidy_slice(b);
	pthread_mutex_unlock(&b->writer);
	return n;
}
