/* SPDX-License-Identifier: Apache-2.0 */
/* Routes that do not end at the exchange that a message was published to: exchanges bound to exchanges,
 * alternate exchanges, and several keys a message (CC, BCC). The exchanges that are met form a list, walked
 * in order; none comes into it twice, so cycles end and the cost is that of the exchanges reached, each
 * walked once with every key. Whether an exchange is walked at all may be its gate's to say (gate.h).
 *
 * An exchange that leads on keeps its bindings to exchanges apart (exchange.onward), in the same form as
 * those to queues: a walk through queues alone passes nothing else.
 *
 * Whether such a route still holds is told by one generation of all exchanges that have to do with others
 * (broker.linked_generation, exchange_links.c), not by the first one's own. */
#ifndef BROKER_CORE_ROUTE_GRAPH_H
#define BROKER_CORE_ROUTE_GRAPH_H

#include "broker/core/gate.h"
#include "broker/core/route.h"

enum graph_step { GRAPH_GATE, GRAPH_QUEUES, GRAPH_EXCHANGES, GRAPH_MATCHED };

struct route_graph {
	struct route_set exchanges; /* met so far; the first is the one published to */
	uint32_t at;		    /* which of them is being walked */
	enum graph_step step;
	uint32_t key_from,
		key_next; /* more_keys' places of this key and the one behind it; 0, 0: the first */
	uint32_t queues_before, exchanges_before; /* what was met before this exchange */
	bool by_key;				  /* of all of them: what matches depends on the keys alone */
	struct gates_met gates;
};

/* A set of the exchange's in which nothing is found yet, and a slice of its walk: as the types' route. */
void route_graph_begin(struct exchange *x, struct route_set *s);
bool route_graph_walk(const struct route_request *r, struct route_set *s);

/* What a binding leads to has not been deleted. */
bool route_graph_stands(const struct route_set *s, const void *to);

/* The default exchange's route: by the queue's name. */
bool route_by_name(const struct exchange *x, const struct route_request *r, struct route_set *out);

#endif
