/* SPDX-License-Identifier: Apache-2.0 */
/* A queue moves to the core of its only consumer: that saves a hop for every delivery and every
 * acknowledgement.
 *
 *   1. The owner stops delivering from it and sends each core a FENCE.
 *   2. A core that gets it sets its bit in the queue's `fenced`, so that its publishers wait, notes how far
 * its publish ring to the owner has been filled, and answers.
 *   3. When all have answered and the owner has taken everything up to these marks, no message for the queue
 * is under way. If it still has that one consumer and no delivery is unsettled, it changes its owner: ADOPT.
 *   4. The new owner takes it in and lifts the fences. If it could not move, the old owner does.
 *
 * So messages of one publisher are never overtaken, and a settlement always finds the owner. */
#ifndef BROKER_CORE_MOVE_H
#define BROKER_CORE_MOVE_H

#include "broker/core/link.h"

enum { MOVES_MAX = 4, CORES_MAX = 64 }; /* at once from one core; cores */

struct queue_move;

struct fence {
	struct parcel parcel;
	struct queue_move *move;
	uint32_t mark;	   /* the sender's publish ring up to here */
	uint32_t answered; /* written last, by the core that was asked */
};

struct queue_move {
	bool active;
	struct broker_core *from;
	struct broker_core *to;
	queue_handle queue;
	struct parcel adopt;
	uint32_t adopted; /* written by the new owner: the slot is the old one's again */
	bool handed_over;
	uint64_t stalls; /* publish_stalls of the owner, when it began */
	struct fence fences[CORES_MAX];
};

/* Owner, when a consumer of another core has just been attached: begins a move where it would help and can be
 * done. */
void move_consider(struct queue *q);

/* Owner, once a turn. */
void moves_poll(struct broker_core *c);
void move_parcel(struct broker_core *c, struct parcel *p);

#endif
