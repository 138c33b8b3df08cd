/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers of a queue that are not equal: some have a higher priority (x-priority), or only one of them is
 * served (x-single-active-consumer). A queue of equal consumers has no order, and pays nothing for it.
 *
 * Rules
 *  1. queue.consumers holds those that are asked next, all of one priority: the highest that has any that may
 * be ready. Those of lower priorities stand aside by class, and are taken in when all above them are parked.
 *  2. queue.consumers is empty only where nobody stands aside who may be asked.
 *  3. Of a single active consumer's queue it holds the active one at most; the others stand aside by class,
 * in the order in which they came, and are neither asked nor parked. The active one stays so until it goes,
 * as RabbitMQ's.
 *  4. Priorities of a queue's consumers are CONSUMER_PRIORITIES_MAX different ones at most: each may have to
 * be passed for a delivery. All on the queue's core. */
#ifndef BROKER_CORE_CONSUMER_ORDER_H
#define BROKER_CORE_CONSUMER_ORDER_H

#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

struct consumer;
struct queue;

enum { CONSUMER_PRIORITIES_MAX = 256 };

struct consumer_class {
	struct cds_list_head link; /* consumer_order.classes */
	int64_t priority;
	uint32_t count;		    /* all of it, the parked too */
	struct cds_list_head aside; /* may be ready, but others come first; where one is active: the idle */
};

struct consumer_order {
	bool single;
	uint32_t count;		      /* of classes */
	struct cds_list_head classes; /* by descending priority; `zero` is always there */
	struct consumer_class *now; /* whose ready ones stand in queue.consumers; valid where there are any */
	struct consumer_class zero;
	struct consumer *active; /* of a single active consumer's queue */
};

/* Whether it takes an order to have that consumer. */
bool consumer_order_needed(const struct queue *q, const struct consumer *c);
/* A new consumer of a queue that has an order or needs one. False: no memory, or too many priorities; nothing
 * was done. Cold: it may allocate. O(priorities). */
bool consumer_order_add(struct queue *q, struct consumer *c);
/* Of a queue with an order, whose list it has left: others may have their turn now. O(priorities). */
void consumer_order_removed(struct queue *q, struct consumer *c);
/* May be asked again. O(priorities). */
void consumer_order_wake(struct queue *q, struct consumer *c);
/* queue.consumers is empty: the next class is taken in; false: there is none. O(priorities). */
bool consumer_order_next(struct queue *q);
/* The queue is gone, and its consumers before it. */
void consumer_order_free(struct consumer_order *o); /* may be NULL */

#endif
