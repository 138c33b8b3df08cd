/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer whose queue belongs to another core. The subscription lies with the consumer's core (its home)
 * and has two halves: the home's, and the proxy that stands in the queue's list of consumers at the queue's
 * core. Only the core that a half belongs to touches it; what crosses goes by parcel, by marker in the
 * deliver ring, or is one of the two atomic words between them.
 *
 *   home                                   owner
 *   ATTACHING  -- ATTACH ->                proxy into the queue, or a failure
 *   FLOWING    <- ATTACHED --
 *              <- DELIVER_MESSAGE --       as long as there is credit
 *              -- CREDIT ->                what the consumer could take
 *   the consumer has no room now:
 *   STOPPING   -- SETTLE_RETURN ->         back to its old place; the first one stops the proxy
 *   STOPPED    <- STOPPED --               nothing comes after it
 *              -- RESTART ->               once the consumer is ready again; behind all that came back
 *   DETACHING  -- DETACH ->                proxy out of the queue
 *   freed      <- DETACHED --
 *              <- CANCELLED --             the queue was deleted; the home answers with DETACH
 *
 * Order: a delivery that comes back goes to its old place, and nothing that was sent after it reaches the
 * consumer before it: the home returns everything between the first refusal and STOPPED. */
#ifndef BROKER_CORE_SUBSCRIPTION_H
#define BROKER_CORE_SUBSCRIPTION_H

#include "broker/core/link.h"

enum { SUBSCRIPTION_CREDIT_MAX = 128 }; /* deliveries on their way to one consumer at once */

enum subscription_state {
	SUBSCRIPTION_ATTACHING,
	SUBSCRIPTION_FLOWING,
	SUBSCRIPTION_STOPPING,
	SUBSCRIPTION_STOPPED,
	SUBSCRIPTION_DETACHING
};

enum { OWES_ATTACHED = 1, OWES_STOPPED = 2, OWES_CANCELLED = 4, OWES_DETACHED = 8 };

struct subscription {
	/* The home's half. */
	struct broker_core *home;
	struct consumer *consumer; /* NULL: it is gone */
	enum subscription_state state;
	bool detach_wanted; /* while attaching: as soon as that is over */
	bool ended;	    /* nothing is left but to free it */
	queue_handle queue;
	uint64_t used; /* deliveries that came, of what was granted */
	struct cds_list_head crediting;
	struct parcel parcel; /* ATTACH, then DETACH */
	struct parcel credit_parcel, restart_parcel;
	/* Between the halves. */
	uint64_t granted;	 /* written by home: deliveries granted since the beginning */
	uint32_t credit_travels; /* set by home, cleared by the owner before it reads granted */
	uint32_t at;		 /* written by the owner: the core of the proxy; valid once attached */
	/* The owner's half. */
	__attribute__((aligned(64))) struct consumer proxy;
	uint64_t sent; /* deliveries, of what was granted */
	uint64_t granted_seen;
	uint8_t owes; /* markers that are not in the deliver ring yet */
	bool stopped;
	uint32_t marked;			  /* the deliver ring up to its last marker */
	struct broker_core *proxy_core;		  /* the owner, also once the proxy has left its queue */
	struct cds_list_head owing, waiting_room; /* idle: empty */
	enum failure_code code;
	struct failure failure;
};

/* For a consumer whose queue another core owns, on the consumer's core. FAILURE_NONE: `attached` follows.
 * LIMIT. */
enum failure_code subscription_open(
	struct broker_core *c, struct consumer *k, struct queue *q, struct failure *f);
/* The consumer's `detached` follows. */
void subscription_detach(struct subscription *s);
/* The same, and the consumer is gone at once: nothing follows. */
void subscription_abandon(struct subscription *s);
/* The consumer has credit or room again. */
void subscription_wake(struct subscription *s);

/* From the polling of links. */
void subscription_parcel(struct broker_core *c, struct parcel *p);
/* False: it waits for room in the control ring and is offered again. */
bool subscription_deliver(struct broker_core *c, uint32_t from, const struct deliver_record *r);
/* Owner: a delivery of this one came back untouched. */
void subscription_returned(struct broker_core *c, struct subscription *s);

/* Once a turn: credit that is due, markers that are owed, proxies that waited for room. */
void subscriptions_poll(struct broker_core *c);
/* False where subscriptions_poll has something to do, or to wait for without being woken. */
bool subscriptions_idle(const struct broker_core *c);

/* When its queue has come to the consumer's own core and nothing is under way between the halves, the
 * consumer takes the proxy's place and the subscription ends. */
void subscription_settle(struct subscription *s);

extern const struct consumer_ops subscription_proxy_ops;

static inline struct subscription *subscription_of_proxy(struct consumer *k)
{
	return k->ops == &subscription_proxy_ops ? caa_container_of(k, struct subscription, proxy) : NULL;
}

#endif
