/* SPDX-License-Identifier: Apache-2.0 */
/* The values that the messages of a queue with x-message-deduplication have: of each value there is one
 * message in the queue at most, ready or with a client.
 *
 * A message's value is claimed where its publisher is, on whichever core, and before it leaves for the
 * queue's: so a refusal is known at once, as that of a full queue, and two that are on their way at the same
 * time cannot both come in. The claim goes with the message into the queue and stands beside its entry
 * (entries.h), which gives it back where it is forgotten, whatever for. Purged messages go in slices; until
 * the last of them has gone, who asks for a value that is still held asks again (VALUE_LEAVING).
 *
 * A set outlives its queue while entries lie in a grave: the queue and each page of entries refer to it. Each
 * queue has room for QUEUE_VALUES_LEAST values among the remembered ones (deduplication.h) from the
 * beginning; beyond that each counts, and where there is no room, or no memory, the message comes in without
 * its value. One lock a set, held for one operation. */
#ifndef BROKER_CORE_QUEUE_VALUES_H
#define BROKER_CORE_QUEUE_VALUES_H

#include "broker/core/recent_keys.h"

struct broker;
struct queue_values;

enum { QUEUE_VALUES_LEAST = 64 };
enum { CLAIM_NONE = 0 }; /* the claim of a message without a value */

/* One reference. NULL: no room for QUEUE_VALUES_LEAST of them, or no memory. Any thread. */
struct queue_values *queue_values_create(struct broker *b);
void queue_values_ref(struct queue_values *v);
/* The last one releases it, after a grace period. */
void queue_values_unref(struct queue_values *v);
/* Once, when the queue is deleted: nothing of it counts any more, and nothing is claimed. Any core. */
void queue_values_close(struct queue_values *v);

enum value_answer {
	VALUE_FREE,	 /* and claimed now */
	VALUE_HELD,	 /* by another message */
	VALUE_LEAVING,	 /* perhaps by one that is being purged: to be asked again in a later turn */
	VALUE_UNWATCHED, /* free, but there is no room to remember it: CLAIM_NONE */
};

/* Any core that may still find the queue. O(1) expected. */
enum value_answer queue_values_claim(struct queue_values *v, struct recent_key key, uint32_t *claim_out);
/* What it would be answered with, as far as that is known before: never VALUE_UNWATCHED. Claims nothing. */
enum value_answer queue_values_ask(struct queue_values *v, struct recent_key key);
/* Gives a claim back, once; CLAIM_NONE is nothing. With a reference. O(1). */
void queue_values_withdraw(struct queue_values *v, uint32_t claim);

/* Purged messages wait to be released, and have been. As often as the other. */
void queue_values_leave(struct queue_values *v);
void queue_values_left(struct queue_values *v);

/* How many are claimed: a snapshot. */
uint32_t queue_values_count(struct queue_values *v);

#endif
