/* SPDX-License-Identifier: Apache-2.0 */
/* A publisher's last routes: most publish to the same exchange with the same key again. Lies in the session
 * and is used by its core alone; readers of the routing tables are told nothing.
 *
 * The rule by which nothing is followed that may be gone:
 *  1. An exchange has another generation after each bind, unbind and deletion of a queue bound to it, before
 * the answer is sent and before what was taken away is given to reclaim. No two exchanges ever have the same
 * one. A route that leads through other exchanges is noted with the one generation of all of those
 * (exchange_links.c) instead, which moves on with each of theirs and with their coming and going.
 *  2. The broker counts deletions of exchanges, before the exchange is given to reclaim. A note of an
 * exchange is followed only while the count stands where it stood when it was found by name; else it is found
 * again.
 *  3. A queue that is noted is followed only while that generation is the noted one; one of the default
 *     exchange is noted by its handle.
 *  4. All of this within one turn: a reader that has compared holds off the grace period until it is
 * quiescent. */
#ifndef BROKER_CORE_ROUTE_CACHE_H
#define BROKER_CORE_ROUTE_CACHE_H

#include "broker/core/value.h"

struct exchange;
struct queue;
struct route_request;
struct route_set;
struct session;

enum {
	ROUTE_CACHE_WAYS = 4,	/* routes of a session */
	ROUTE_CACHE_QUEUES = 8, /* of a route: with more, looking up is the least of it */
	ROUTE_CACHE_BYTES = 88, /* names of exchange and key together */
};

struct route_note {
	struct exchange *exchange; /* NULL: nothing noted */
	const uint64_t *changes;   /* the generation to look at: it lies in the exchange or the broker */
	uint64_t generation;	   /* what it was; of the default exchange: the handle of the queue */
	uint64_t deletions;	   /* the broker's */
	uint16_t exchange_bytes, key_bytes, queue_count;
	struct queue *queues[ROUTE_CACHE_QUEUES];
	uint8_t names[ROUTE_CACHE_BYTES];
};

struct route_cache { /* all zero: empty */
	struct route_note ways[ROUTE_CACHE_WAYS];
};

/* The exchange of that name with the queues that match in *out, as of route_find, whose answer is *complete;
 * NULL where there is none.
 * Session's core. Without a lookup where nothing has changed since the same exchange and key; exchanges that
 * look at headers are never noted. No lock, no allocation, no write to what other cores see. */
struct exchange *route_cached(struct session *s, struct slice exchange, const struct route_request *r,
	struct route_set *out, bool *complete);

#endif
