/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters of the scene of pair.h. */
#ifndef BROKER_AMQP091_TESTING_LETTERS_H
#define BROKER_AMQP091_TESTING_LETTERS_H

#include "broker/amqp091/testing/pair.h"

/* Begins arguments: to the default exchange with that key (NULL: the message's own). */
void letters_to(const char *key_or_null);
/* By `here`, with a message-id and nothing else. */
void letters_publish(const char *key);
/* Gets the next one of that queue, whose body is "body", and rejects it. */
void letters_reject(struct client *c, const char *queue, uint64_t tag);

/* Of what was taken last: the event at that place of x-death, and how many there are. */
struct amqp091_table letters_event(unsigned at);
unsigned letters_events(void);
void letters_expect_event(unsigned at, const char *queue, const char *reason, int64_t count);
void letters_expect_first(const char *queue, const char *reason); /* of the default exchange */

/* An event of the x-death that is under way begins, and is to be closed: a client claims it. */
void letters_claim(const char *queue, const char *reason);

#endif
