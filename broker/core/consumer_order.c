/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/consumer_order.h"

#include "broker/core/core.h"
#include "runtime/check.h"

#include <stdlib.h>

static bool single_active(const struct queue *q)
{
	return q->policy && q->policy->single_active;
}

bool consumer_order_needed(const struct queue *q, const struct consumer *c)
{
	return c->priority != 0 || single_active(q);
}

static struct consumer_class *class_of(const struct queue *q, const struct consumer *c)
{
	return c->class ? c->class : &q->order->zero;
}

static void class_begin(struct consumer_class *class, int64_t priority)
{
	class->priority = priority;
	CDS_INIT_LIST_HEAD(&class->aside);
}

/* All that are there have priority 0. */
static struct consumer_order *order_make(const struct queue *q)
{
	struct consumer_order *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->single = single_active(q);
	CDS_INIT_LIST_HEAD(&o->classes);
	class_begin(&o->zero, 0);
	o->zero.count = q->consumer_count;
	o->count = 1;
	o->now = &o->zero;
	cds_list_add(&o->zero.link, &o->classes);
	return o;
}

static struct consumer_class *class_find(struct consumer_order *o, int64_t priority)
{
	struct cds_list_head *at = o->classes.next;

	while (at != &o->classes && cds_list_entry(at, struct consumer_class, link)->priority > priority)
		at = at->next;
	if (at != &o->classes && cds_list_entry(at, struct consumer_class, link)->priority == priority)
		return cds_list_entry(at, struct consumer_class, link);
	struct consumer_class *class = o->count < CONSUMER_PRIORITIES_MAX ? calloc(1, sizeof(*class)) : NULL;
	if (!class)
		return NULL;
	o->count++;
	class_begin(class, priority);
	cds_list_add_tail(&class->link, at); /* before it */
	return class;
}

/* Those that stood in queue.consumers make way. */
static void stand_aside(struct queue *q)
{
	struct cds_list_head *aside = &q->order->now->aside;

	CHECK(list_is_empty(aside));
	cds_list_splice(&q->consumers, aside);
	CDS_INIT_LIST_HEAD(&q->consumers);
}

static void place(struct queue *q, struct consumer *c)
{
	struct consumer_order *o = q->order;
	struct consumer_class *class = class_of(q, c);

	if (list_is_empty(&q->consumers)) {
		o->now = class;
	} else if (class->priority > o->now->priority) {
		stand_aside(q);
		o->now = class;
	}
	cds_list_add_tail(&c->link, class == o->now ? &q->consumers : &class->aside);
}

static void add_single(struct queue *q, struct consumer *c)
{
	struct consumer_order *o = q->order;

	if (o->active) {
		cds_list_add_tail(&c->link, &class_of(q, c)->aside);
		return;
	}
	o->active = c;
	cds_list_add_tail(&c->link, &q->consumers);
}

bool consumer_order_add(struct queue *q, struct consumer *c)
{
	if (!q->order && !(q->order = order_make(q)))
		return false;
	struct consumer_class *class = class_find(q->order, c->priority);
	if (!class)
		return false;
	class->count++;
	c->class = class;
	if (q->order->single)
		add_single(q, c);
	else
		place(q, c);
	return true;
}

/* The one of the highest priority that has waited longest. */
static void activate_next(struct queue *q)
{
	struct consumer_order *o = q->order;
	struct consumer_class *class;

	o->active = NULL;
	cds_list_for_each_entry (class, &o->classes, link) {
		if (list_is_empty(&class->aside))
			continue;
		o->active = cds_list_first_entry(&class->aside, struct consumer, link);
		cds_list_move(&o->active->link, &q->consumers);
		return;
	}
}

void consumer_order_removed(struct queue *q, struct consumer *c)
{
	struct consumer_order *o = q->order;
	struct consumer_class *class = class_of(q, c);

	c->class = NULL;
	if (o->single && o->active == c)
		activate_next(q);
	else if (!o->single && list_is_empty(&q->consumers))
		consumer_order_next(q);
	MUST(class->count > 0);
	if (--class->count > 0 || class == &o->zero)
		return;
	cds_list_del(&class->link);
	o->count--;
	if (o->now == class)
		o->now = &o->zero; /* nobody stands in queue.consumers */
	free(class);
}

void consumer_order_wake(struct queue *q, struct consumer *c)
{
	cds_list_del(&c->link);
	if (q->order->single)
		cds_list_add_tail(&c->link, &q->consumers); /* the active one */
	else
		place(q, c);
}

bool consumer_order_next(struct queue *q)
{
	struct consumer_class *class;

	if (q->order->single)
		return false;
	cds_list_for_each_entry (class, &q->order->classes, link) {
		if (list_is_empty(&class->aside))
			continue;
		cds_list_splice(&class->aside, &q->consumers);
		CDS_INIT_LIST_HEAD(&class->aside);
		q->order->now = class;
		return true;
	}
	return false;
}

void consumer_order_free(struct consumer_order *o)
{
	if (!o)
		return;
	CHECK(o->classes.next == &o->zero.link && o->classes.prev == &o->zero.link);
	free(o);
}
