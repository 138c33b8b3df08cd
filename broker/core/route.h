/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues a message goes to. One route_set a core, sized once; it is filled anew for every message. */
#ifndef BROKER_CORE_ROUTE_H
#define BROKER_CORE_ROUTE_H

#include "broker/core/exchange.h"
#include "broker/core/pointer_bag.h"
#include "broker/core/pointer_set.h"

struct route_request {
	struct slice routing_key;
	const struct header_source *headers; /* may be NULL: there are none */
};

struct route_set {
	struct queue **queues;
	uint32_t count, capacity;
	bool overflow;		  /* more queues matched than there may be */
	bool changing;		  /* what is walked changes all the time: anything may come twice */
	struct pointer_set seen;  /* the queues above, once there are more than a few */
	struct pointer_set nodes; /* the topic trie's '#' nodes that were walked */
};

int route_set_create(struct route_set *s, const struct broker_limits *limits); /* 0, or -1 without memory */
void route_set_destroy(struct route_set *s);

/* A queue that matches; again is the same as once. O(1). */
void route_set_add(struct route_set *s, struct queue *q);

/* All queues of a bag. */
void route_set_add_all(struct route_set *s, const struct pointer_bag *queues);
/* The same into an empty set, where no queue lies in the bag twice. About a nanosecond each. */
void route_set_add_distinct(struct route_set *s, const struct pointer_bag *queues);

/* All queues of an exchange (of the default one: by name) that match, as they did at one moment of the call;
 * where the exchange's bindings change faster than they are walked, at least all that matched throughout. Any
 * registered reader; the result is valid until it goes quiescent. No lock, no allocation. */
void route_find(struct exchange *x, const struct route_request *r, struct route_set *out);

#endif
