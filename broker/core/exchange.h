/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CORE_EXCHANGE_H
#define BROKER_CORE_EXCHANGE_H

#include "broker/core/broker.h"

struct exchange_declaration {
	struct slice name; /* 1 to 255 bytes, UTF-8; "amq." is reserved unless it exists; "" is refused */
	struct slice
		type; /* "direct", "fanout", "topic", "headers", "x-consistent-hash", "x-delayed-message" */
	bool passive, durable, auto_delete, internal;
	bool existing; /* no new one is made: AGAIN where it is not there */
	struct fields arguments;
};

/* Declares, or checks that an equal one exists (RabbitMQ's equivalence: type, durable, auto_delete, internal,
 * alternate-exchange). What matches nothing of an exchange with that argument goes on to the exchange of that
 * name, if there is one. NOT_FOUND (passive), ACCESS_REFUSED (reserved name, default exchange), PRECONDITION
 * (differs), COMMAND_INVALID (unknown type), LIMIT, AGAIN; PRECONDITION where alternate-exchange is no
 * string. Cold path: takes the writer mutex and allocates. */
enum failure_code exchange_declare(
	struct session *s, const struct exchange_declaration *d, struct failure *f);

/* RabbitMQ answers ok for one that does not exist; ACCESS_REFUSED for the predeclared, PRECONDITION when
 * if_unused and it has bindings, AGAIN where that is to be seen behind many bindings that are on their way
 * out.
 */
enum failure_code exchange_delete(struct session *s, struct slice name, bool if_unused, struct failure *f);

/* A binding from an exchange to a queue or to another exchange (or itself); the same one twice is one. The
 * queue must not be another session's exclusive one. The headers exchange reads x-match (all, any,
 * all-with-x, any-with-x) from arguments. An empty queue name is the adaptor's to resolve. NOT_FOUND,
 * ACCESS_REFUSED (the default exchange on either side), RESOURCE_LOCKED, PRECONDITION (arguments), LIMIT.
 * Unbinding what is not there is ok. Auto-delete exchanges go with their last binding, and those that are
 * bound to nothing else with them. */
struct binding_spec {
	struct slice exchange, destination, routing_key;
	struct fields arguments;
	bool to_exchange;
};
enum failure_code binding_add(struct session *s, const struct binding_spec *spec, struct failure *f);
enum failure_code binding_remove(struct session *s, const struct binding_spec *spec, struct failure *f);

/* Headers of the message being published, asked for only by headers exchanges. */
struct header_source {
	/* The value of the first header of that name, or false. */
	bool (*find)(const void *ctx, struct slice name, struct value *out);
	/* One header after the other: *at is 0 before the first and the source's from then on. False: no
	 * more. */
	bool (*next)(const void *ctx, uint32_t *at, struct field *out);
	const void *ctx;
	/* correlation_id, message_id or timestamp; false where the message has none. May be NULL. */
	bool (*property)(const void *ctx, struct slice name, struct value *out);
};

/* Further routing keys of a message (CC and BCC). *at is 0 before the first, and the source's and never 0
 * from then on; the bytes are the source's until the next call. False: no more. */
struct key_source {
	bool (*next)(const void *ctx, uint32_t *at, struct slice *key);
	const void *ctx;
};

/* Which of the queues that a message is routed to may have it. */
struct queue_filter {
	bool (*takes)(const void *ctx, struct slice queue);
	const void *ctx;
};

struct publish {
	struct slice exchange, routing_key;
	const struct header_source *headers; /* may be NULL */
	struct message *message;	     /* complete */
	const struct key_source *more_keys;  /* may be NULL */
	struct message *keys; /* what more_keys reads, for whoever publishes it later; NULL: nothing */
	const struct queue_filter *filter; /* may be NULL; as long as the message is offered */
	bool from_inside;		   /* internal exchanges take it too */
};

/* How far the links to other cores have to be taken for what was published to be in its queues. Begin with
 * cores 0. */
struct publish_marks {
	uint64_t cores; /* a bit each */
	uint32_t at[64];
};

enum publish_result {
	PUBLISH_DONE,
	PUBLISH_REFUSED, /* done, but a queue that had too much, or its value, would not have it */
	PUBLISH_AGAIN,	 /* not yet: offer the same message again in a later turn, and no other before it */
	PUBLISH_FAILED,
};

/* Routes a message and enqueues it on every matching queue once; the caller keeps its reference. queues_out:
 * how many queues it was for, and exchanges that hold it back (0: unroutable). AGAIN: a queue has no memory
 * for an entry, is moving to another core, or holds the message's value while such are on their way out of
 * it; the link to its core is full; or there are so many queues that they are served in slices. marks (may be
 * NULL): what went to other cores is added; it is in its queues when publish_marks_passed says so. FAILED:
 * NOT_FOUND where the exchange does not exist, ACCESS_REFUSED where it is internal, LIMIT where more queues
 * match than limits.queues. Hot path: no lock, no allocation from the system. Cost: lookup plus matches. */
enum publish_result exchange_publish(struct session *s, const struct publish *p, struct publish_marks *marks,
	uint32_t *queues_out, struct failure *f);

/* Whether the session may publish to the exchange now: NOT_FOUND, ACCESS_REFUSED (internal), as
 * exchange_publish says them. Any core of the session's. O(1). */
enum failure_code exchange_check_publish(struct session *s, struct slice exchange, struct failure *f);

/* What the session would have to offer again will not be: one that is being served in slices reaches its
 * queues all the same. */
void exchange_publish_forget(struct session *s);

/* Messages that differ in their bodies alone, one behind the other in one turn, need one lookup. Begin says
 * where all of them go; no queue: they take exchange_publish's way (several queues or none, a fence, a
 * fan-out under way, an error). p is of a message that was published so in this turn,
 * and without more_keys. Add hands the message's
 * reference over; false: no room, nothing was done; marks as for exchange_publish. End counts the n that were
 * added. The session's core. Costs: as exchange_publish; O(1). */
struct publish_run {
	struct queue *queue;
	uint32_t core; /* the queue's */
	bool noted;    /* the route was, and is found so */
};
struct publish_run publish_run_begin(struct session *s, const struct publish *p);
bool publish_run_add(struct session *s, const struct publish_run *run, struct message *m_take,
	struct publish_marks *marks);
void publish_run_end(struct session *s, const struct publish_run *run, uint32_t n);

/* True when all that was marked is in its queues; marks are cleared as they are passed. O(cores marked). */
bool publish_marks_passed(struct broker_core *c, struct publish_marks *marks);

#endif
