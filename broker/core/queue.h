/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CORE_QUEUE_H
#define BROKER_CORE_QUEUE_H

#include "broker/core/broker.h"

#include <urcu/list.h>

typedef uint64_t queue_handle; /* index and generation: outlives the queue safely */
enum { QUEUE_NONE = 0 };       /* no queue's handle */

/* Octets of a name that the server makes. */
enum { QUEUE_GENERATED_NAME_BYTES = 8 + 22 };

struct queue_declaration {
	struct slice name; /* up to 255 bytes; empty: the server makes "amq.gen-" and 22 random characters */
	bool passive, durable, exclusive, auto_delete; /* an exclusive queue is never durable */
	struct fields arguments; /* x-queue-type classic and other no-ops accepted; known and not honoured
				    yet: NOT_IMPLEMENTED; unknown: kept, compared on redeclaration */
	bool existing;		 /* no new one is made: AGAIN where it is not there */
	bool generated;		 /* the name is queue_name_generate's: it may begin with amq. */
};

/* Another name each time, in text. The core. */
struct slice queue_name_generate(struct broker_core *c, uint8_t text[static QUEUE_GENERATED_NAME_BYTES]);

/* Declares, or checks that an equal one exists. NOT_FOUND (passive), RESOURCE_LOCKED (exclusive to another
 * session, or exclusive differs), PRECONDITION (differs), ACCESS_REFUSED (reserved name), LIMIT, AGAIN
 * where deleted queues are still taken apart at the limit, or it does not exist and should. The new queue
 * belongs to the session's core. Cold path. */
enum failure_code queue_declare(
	struct session *s, const struct queue_declaration *d, struct queue **out, struct failure *f);

/* Deletes a queue of the session's core that is exclusive to it, whatever is in it. O(1) but for its
 * bindings. */
void queue_delete_own(struct session *s, struct queue *q);

/* The queue as the session may use it: NOT_FOUND or RESOURCE_LOCKED otherwise. RCU read, no lock. */
enum failure_code queue_lookup(struct session *s, struct slice name, struct queue **out, struct failure *f);

/* What is asked of a queue and answered later where another core owns it.
 *  GET     basic.get: the next message. With no_ack it counts as settled: the caller only unrefs the message.
 *  COUNT   what queue.declare-ok tells: ready messages and consumers.
 *  PURGE   drops what is ready, not what is with clients. O(requeued); memory comes back in slices.
 *  DELETE  PRECONDITION: if_unused with consumers, if_empty with messages. A queue that does not exist is
 *well, as RabbitMQ. Consumers are told with `cancelled`. */
enum queue_call_kind { QUEUE_CALL_GET, QUEUE_CALL_COUNT, QUEUE_CALL_PURGE, QUEUE_CALL_DELETE };
struct queue_call;
struct queue_call_result;

struct queue_call_request {
	enum queue_call_kind kind;
	struct slice queue; /* borrowed for the call of queue_call */
	bool no_ack, if_unused, if_empty;
	/* Once, on the caller's core; may be within queue_call. */
	void (*done)(void *ctx, struct queue_call_result *result);
	void *ctx;
};

/* FAILURE_NONE: done was called (out NULL), or will be (out: the call). Else it was refused and done is not
 * called: NOT_FOUND, RESOURCE_LOCKED, what the kind says, LIMIT. */
enum failure_code queue_call(
	struct session *s, const struct queue_call_request *r, struct queue_call **out, struct failure *f);
/* done will not be called; what was got goes back to the queue. */
void queue_call_abandon(struct queue_call *call);

struct slice queue_name(const struct queue *q);
/* Any core: snapshots. A message that was confirmed to a client counts. */
uint64_t queue_ready_count(const struct queue *q);
uint32_t queue_consumer_count(const struct queue *q);
queue_handle queue_handle_of(const struct queue *q);

/* One message on its way to a client. The holder owns one reference to message and settles it exactly once
 * with ack, drop or requeue (also after the queue is gone: the handle is stale and only the message is
 * released). */
struct delivery {
	struct message *message;
	queue_handle queue;
	uint64_t position; /* order within the queue */
	void *place;	   /* the queue's: where it keeps the entry until it is settled */
	bool redelivered;
	uint32_t attempt; /* where the queue has a limit for it: which delivery this is, from 1 on; else 0 */
};

struct queue_call_result {
	enum failure_code code; /* NOT_FOUND: it was deleted meanwhile */
	struct failure *failure;
	uint32_t consumers; /* COUNT */
	uint64_t messages;  /* GET, COUNT: ready ones left; PURGE, DELETE: how many were dropped */
	bool found;	    /* GET */
	struct delivery delivery;
};

/* The core may be any; the settlement travels to the queue's. Before each: queue_settle_ready MUST have said
 * yes since the last one (false: the link there is full; in a later turn). */
bool queue_settle_ready(struct broker_core *c, const struct delivery *d);
void queue_ack(struct broker_core *c, const struct delivery *d);
/* Reject without requeue: the message goes on where the queue has a dead-letter exchange. Instead of
 * queue_settle_ready it is queue_drop_ready that MUST have said yes. */
bool queue_drop_ready(struct broker_core *c, const struct delivery *d);
void queue_drop(struct broker_core *c, const struct delivery *d);
/* Back to its old place in the queue, marked redelivered, or given up where it has come back more often than
 * x-delivery-limit says. Needs no memory and cannot fail. O(1) for positions that ascend or descend, else
 * O(pages of entries that hold requeued ones). Instead of queue_settle_ready it is queue_requeue_ready that
 * MUST have said yes: what would be given up waits for room for its letter. */
bool queue_requeue_ready(struct broker_core *c, const struct delivery *d);
void queue_requeue(struct broker_core *c, const struct delivery *d);

struct consumer;
struct consumer_ops {
	/* Has credit (prefetch) and room in its transport for at least the start of a message. A question: it
	 * changes nothing. */
	bool (*ready)(struct consumer *c);
	/* Takes the delivery. With no_ack it is settled already: the consumer only unrefs the message. It may
	 * settle, detach and delete. */
	void (*deliver)(struct consumer *c, const struct delivery *d);
	/* The same for a delivery whose attempt is not the first; NULL: deliver. */
	void (*redeliver)(struct consumer *c, const struct delivery *d);
	/* The queue was deleted; the consumer is detached already. */
	void (*cancelled)(struct consumer *c);
	/* How many deliveries prefetch allows it now: what another core may have on the way to it. */
	uint32_t (*credit)(struct consumer *c);
	/* After consumer_attach said PENDING: it is attached (NULL), or not. */
	void (*attached)(struct consumer *c, const struct failure *failure_or_null);
	/* After consumer_detach said PENDING. */
	void (*detached)(struct consumer *c);
};

/* Lies in the adaptor's own consumer. */
struct consumer {
	const struct consumer_ops *ops;
	struct queue *queue;		   /* of this core; NULL while detached, or elsewhere */
	struct subscription *subscription; /* the queue is another core's */
	struct cds_list_head link;
	bool no_ack, exclusive;
	bool parked;		      /* core's: was not ready when asked; consumer_wake puts it back */
	int64_t priority;	      /* one that is ready goes before all of lower ones */
	struct consumer_class *class; /* core's: of a queue whose consumers differ */
};

enum consumer_result { CONSUMER_DONE, CONSUMER_PENDING, CONSUMER_REFUSED };

/* What a consumer asks for in its arguments: x-priority. PRECONDITION, in RabbitMQ's words, where that is no
 * integer. Any core. */
enum failure_code consumer_arguments(struct session *s, struct slice queue, const struct fields *arguments,
	struct consumer *c, struct failure *f);

/* ops, no_ack, exclusive and priority are set, the rest is 0. REFUSED: ACCESS_REFUSED where an exclusive
 * consumer is there, or where exclusive is asked and there are consumers or the queue has a single active
 * one; LIMIT. PENDING: the queue is another core's, `attached` follows. An only consumer may draw its queue
 * to its core. */
enum consumer_result consumer_attach(
	struct broker_core *core, struct consumer *c, struct queue *q, struct failure *f);
/* May delete an auto-delete queue. DONE also where it was not attached. PENDING: `detached` follows, and
 * nothing else; nothing is delivered any more. */
enum consumer_result consumer_detach(struct consumer *c);
/* The same at once, for a consumer whose client is gone: nothing follows, its memory is the caller's again.
 */
void consumer_abandon(struct consumer *c);
/* Credit or transport room came back. O(1). */
void consumer_wake(struct consumer *c);

#endif
