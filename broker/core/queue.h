/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CORE_QUEUE_H
#define BROKER_CORE_QUEUE_H

#include "broker/core/broker.h"

#include <urcu/list.h>

typedef uint64_t queue_handle; /* index and generation: outlives the queue safely */

struct queue_declaration {
	struct slice name; /* up to 255 bytes; empty: the server makes "amq.gen-" and 22 random characters */
	bool passive, durable, exclusive, auto_delete;
	struct fields arguments; /* x-queue-type classic and other no-ops accepted; known and not honoured
				    yet: NOT_IMPLEMENTED; unknown: kept, compared on redeclaration */
};

/* Declares, or checks that an equal one exists. NOT_FOUND (passive), RESOURCE_LOCKED (exclusive to another
 * session, or exclusive differs), PRECONDITION (differs), ACCESS_REFUSED (reserved name), LIMIT. The new
 * queue belongs to the session's core. Cold path. */
enum failure_code queue_declare(
	struct session *s, const struct queue_declaration *d, struct queue **out, struct failure *f);

/* The queue as the session may use it: NOT_FOUND or RESOURCE_LOCKED otherwise. RCU read, no lock. */
enum failure_code queue_lookup(struct session *s, struct slice name, struct queue **out, struct failure *f);

/* messages_out: how many ready ones went with it. PRECONDITION: if_unused with consumers, if_empty with
 * messages. A queue that does not exist: ok and 0, as RabbitMQ. Consumers are told with `cancelled`. */
enum failure_code queue_delete(struct session *s, struct slice name, bool if_unused, bool if_empty,
	uint64_t *messages_out, struct failure *f);
/* Drops what is ready, not what is with clients; messages_out: how many. NOT_FOUND, RESOURCE_LOCKED.
 * O(ready). */
enum failure_code queue_purge(
	struct session *s, struct slice name, uint64_t *messages_out, struct failure *f);

struct slice queue_name(const struct queue *q);
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
};

void queue_ack(struct broker_core *c, const struct delivery *d);
void queue_drop(struct broker_core *c, const struct delivery *d); /* reject without requeue */
/* Back to its old place in the queue, marked redelivered. Needs no memory and cannot fail. O(1) for positions
 * that ascend or descend, else O(pages of entries that hold requeued ones). */
void queue_requeue(struct broker_core *c, const struct delivery *d);

/* basic.get: the next message, or false when empty. With no_ack it counts as settled: the caller only
 * unrefs the message. */
bool queue_get(struct queue *q, bool no_ack, struct delivery *out);

struct consumer;
struct consumer_ops {
	/* Has credit (prefetch) and room in its transport for at least the start of a message. A question: it
	 * changes nothing. */
	bool (*ready)(struct consumer *c);
	/* Takes the delivery. With no_ack it is settled already: the consumer only unrefs the message. It may
	 * settle, detach and delete. */
	void (*deliver)(struct consumer *c, const struct delivery *d);
	/* The queue was deleted; the consumer is detached already. */
	void (*cancelled)(struct consumer *c);
};

/* Lies in the adaptor's own consumer. */
struct consumer {
	const struct consumer_ops *ops;
	struct queue *queue; /* NULL while detached */
	struct cds_list_head link;
	bool no_ack, exclusive;
	bool parked; /* core's: was not ready when asked; consumer_wake puts it back */
};

/* ops, no_ack and exclusive are set. ACCESS_REFUSED where an exclusive consumer is there, or where exclusive
 * is asked and there are consumers; LIMIT. */
enum failure_code consumer_attach(struct consumer *c, struct queue *q, struct failure *f);
/* May delete an auto-delete queue. A no-op where detached. */
void consumer_detach(struct consumer *c);
/* Credit or transport room came back. O(1). */
void consumer_wake(struct consumer *c);

#endif
