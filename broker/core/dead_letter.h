/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: what a queue with x-dead-letter-exchange gives up (rejected, expired, too much, come back too
 * often) goes on to that exchange. How such a message looks is the protocol's matter, so an adaptor's office
 * makes and publishes it; here letters wait for their turn.
 *
 * Rules
 *  1. A letter lies with the core that posted it: the queue's, or the publisher's where a queue that has too
 * much refuses. A core's letters are published in their order, the next one when the one before has gone.
 *  2. There are so many letters a core. A queue gives up nothing while there is no room for another one: what
 * has expired stays undelivered, what was rejected or comes back once too often stays with its client, a
 * publisher waits. A letter that is refused itself, and a fan-out that letters may be waiting for, do not:
 * what they would add beyond a margin is lost.
 *  3. What cannot be published for good (no exchange, no queue, a circle) is dropped and counted, as RabbitMQ
 * drops it. Until a letter has been published it is in no queue: the end of the process loses it. */
#ifndef BROKER_CORE_DEAD_LETTER_H
#define BROKER_CORE_DEAD_LETTER_H

#include "broker/core/exchange.h"

enum death { DEATH_REJECTED, DEATH_EXPIRED, DEATH_MAXLEN, DEATH_DELIVERY_LIMIT };

/* Of a queue; outlives it as long as letters of it wait. */
struct letter_address {
	uint32_t refs; /* atomic: several cores post */
	struct vhost *vhost;
	bool has_key;
	struct slice queue, exchange, routing_key; /* in text */
	uint8_t text[];
};

struct dead_letter {
	struct cds_list_head link;
	struct message *message; /* as it was in the queue; a reference */
	struct letter_address *address;
	enum death why;
};

/* On the core that it was given to, from broker_core_poll: publishes the letter. DONE, REFUSED: it has gone.
 * AGAIN: the same letter is offered again in a later turn, and no other before it. FAILED: it cannot be
 * published. */
typedef enum publish_result (*letter_office)(void *ctx, const struct dead_letter *l);

/* Without an office letters are lost. Main thread, before the core runs; NULL: none. */
void broker_core_set_letter_office(struct broker_core *c, letter_office office, void *ctx);

/* RabbitMQ's word for it. */
const char *death_name(enum death why);

/* The rest is the core's own. */

/* NULL without memory. key_or_null: the message's own. */
struct letter_address *letter_address_make(
	struct vhost *v, struct slice queue, struct slice exchange, const struct slice *key_or_null);
void letter_address_drop(struct letter_address *a); /* may be NULL */

int letters_create(struct broker_core *c); /* 0, or -1 without memory */
void letters_destroy(struct broker_core *c);

/* Whether a queue of that core may give something up; any core. */
bool letters_open(const struct broker_core *c);
/* It had said so. Takes the message's reference. */
void letter_post(struct broker_core *c, struct letter_address *a, struct message *m_take, enum death why);

/* Where it could not be asked first: room beyond that of letters_open, for what the queues of one message
 * refuse. The core. */
bool letters_margin(const struct broker_core *c);
/* There was none. */
void letter_lost(struct broker_core *c);

/* A slice, once a turn; how many have gone. */
unsigned letters_poll(struct broker_core *c);

#endif
