/* SPDX-License-Identifier: Apache-2.0 */
/* Queues that do more than keep messages in order. A plain queue has no rule, and pays one look at
 * `queue.rules` for an enqueue and for a burst of deliveries.
 *
 * What has come may be delivered in the turn in which it came; what was not is held against the rules at the
 * turn's end, and before a call of a client looks at the queue (queue_rules_settle). So a message that lives
 * for no time reaches a consumer that is ready, and nobody else. A queue whose rules have to be looked at is
 * `watched`; a slice of that is done a turn. */
#ifndef BROKER_CORE_QUEUE_RULES_H
#define BROKER_CORE_QUEUE_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct broker_core;
struct delivery;
struct entry;
struct message;
struct queue;

enum queue_rule {
	RULE_EXPIRY = 1,   /* messages may expire: by the queue's policy or, since one such came, their own */
	RULE_LIMITS = 2,   /* there may only be so many, or so long ones */
	RULE_REFUSES = 4,  /* and what is too much does not get in */
	RULE_LEVELS = 8,   /* messages have priorities */
	RULE_RETURNS = 16, /* they may only come back so often */
	RULE_VALUES = 32,  /* there may only be one of each value */
};

enum { LIMIT_SLACK = 512 };   /* beyond its limits a queue waits no longer for consumers that are ready */
enum { RULES_QUANTUM = 512 }; /* messages that the rules drop in a turn: some 50 us */
enum { RULES_LEAST = 8 };     /* and where that is used up still for each client's call */

/* All on the owner's core but the first two. */

/* Of a queue that refuses, any core: a place is promised to the message, or there is none. What is promised
 * is given. */
bool queue_promise(struct queue *q, const struct message *m);

/* Messages with lifetimes of their own come from now on. */
void queue_expects_expiry(struct queue *q);

/* When it is created. */
void queue_rules_begin(struct queue *q);
/* When it leaves its core, or is deleted; and when it has come to another one. */
void queue_rules_leave(struct queue *q);
void queue_rules_arrive(struct queue *q);

/* Of a queue with rules: as queue_enqueue_take. */
void queue_rules_enqueue_take(struct queue *q, struct message *m_take);
/* As entries_pop. */
bool queue_rules_pop(struct queue *q, bool settle, struct entry *out);
/* Which delivery of it the next pop is, from 1 on; 0: this is not counted, or there is none. */
uint32_t queue_rules_attempt(const struct queue *q);
/* A delivered one comes back from a client, and is counted. True: once too often, and the queue has given it
 * up; where that makes a letter there MUST be room for it. */
bool queue_rules_gives_up(struct queue *q, const struct entry *x);
/* All that was ready has gone. */
void queue_rules_purged(struct queue *q, uint64_t count);
/* This came back to it. */
void queue_rules_requeued(struct queue *q, const struct message *m);
/* Whether there is a message that may be delivered, after dropping what may not, in the turn's slice. */
bool queue_rules_head_lives(struct queue *q);
/* After one or more have been taken. */
void queue_rules_taken(struct queue *q);
/* Holds the queue against its rules, in the turn's slice. */
void queue_rules_settle(struct queue *q);

/* A client has asked it something, or its last consumer has gone: x-expires counts from now on. */
void queue_used(struct queue *q);

/* Once a turn, after deliveries: a slice of what is watched. Returns how many messages were dropped. */
unsigned queue_rules_poll(struct broker_core *c);

#endif
