/* SPDX-License-Identifier: Apache-2.0 */
/* How cores talk: a link from each core to each, itself included, of three bounded single-producer
 * single-consumer rings. Everything that is staged in a turn becomes visible at its end, and wakes the other
 * core once.
 *
 *   publish  a message for a queue. The receiver takes it when the queue has room for an entry, so it may
 * wait for memory. deliver  a message for a consumer, and what must stay in order with these. The receiver
 * takes it when there is room to send it back, so it may wait for the control ring of the other direction.
 *   control  everything else. Always taken: what it makes the receiver send travels in the object that came,
 * or is owed (flags in an object) until there is room.
 *
 * So each kind waits for a later one alone, and control for nothing: two cores that wait for each other go
 * on. A full ring never drops: who cannot stage is held (a publisher, an acknowledgement) or waits in the
 * outbox. */
#ifndef BROKER_CORE_LINK_H
#define BROKER_CORE_LINK_H

#include "broker/core/queue.h"
#include "runtime/ring.h"

struct message;
struct subscription;

struct publish_record {
	struct message *message; /* one reference */
	queue_handle queue;
	uint32_t claim; /* of its value; CLAIM_NONE: the queue has no interest in it */
};

enum deliver_kind { DELIVER_MESSAGE, DELIVER_ATTACHED, DELIVER_STOPPED, DELIVER_CANCELLED, DELIVER_DETACHED };

struct deliver_record {
	uint8_t kind;
	bool redelivered;
	uint32_t attempt;
	struct subscription *subscription;
	struct message *message; /* from here on: DELIVER_MESSAGE */
	queue_handle queue;
	uint64_t position;
	void *place;
};

enum settlement { SETTLE_FORGET, SETTLE_DROP, SETTLE_REQUEUE, SETTLE_PUT_BACK, SETTLE_RETURN };

struct control_record {
	struct parcel *parcel; /* NULL: a settlement, which is what follows */
	enum settlement settle;
	bool redelivered;
	queue_handle queue;
	uint64_t position;
	void *place;
	struct message *message;	   /* but for FORGET with its reference */
	struct subscription *subscription; /* RETURN: whose proxy stops; NULL where that is detaching */
};

/* Something that travels by itself and therefore always can: it waits in the outbox for room in the control
 * ring. Lies in the object that it is about. */
enum parcel_kind {
	PARCEL_ATTACH, /* subscription.c */
	PARCEL_CREDIT,
	PARCEL_RESTART,
	PARCEL_DETACH,
	PARCEL_CALL, /* call.c */
	PARCEL_ANSWER,
	PARCEL_FENCE, /* move.c */
	PARCEL_ADOPT,
};

struct parcel {
	struct cds_list_head outbox;
	enum parcel_kind kind;
};

struct core_link {
	struct ring *publish, *deliver, *control;
};

struct link_out { /* the sender's side */
	struct core_link *link;
	struct cds_list_head outbox;  /* parcels, oldest first */
	struct cds_list_head waiting; /* subscriptions whose deliveries wait for room */
	bool staged;
	struct {
		uint64_t passed; /* what was settled up to that stamp has been taken */
		uint64_t asked;	 /* likewise what is before `mark`, once that is passed; 0: nobody asks */
		uint32_t mark;
	} settled;
};

/* Ring sizes for that many cores: all links together stay within a stated memory. Main thread; 0 or -1. */
int links_create(struct broker *b);
void links_destroy(struct broker *b);

/* Records a ring of a link has room for; the same for all three. */
uint32_t link_capacity(uint32_t cores);

/* The sending core. NULL: full. The record is seen by `to` after links_flush. */
struct publish_record *link_publish(struct broker_core *c, uint32_t to);
struct deliver_record *link_deliver(struct broker_core *c, uint32_t to);
struct control_record *link_control(struct broker_core *c, uint32_t to);

/* A moment, later than all before; and whether `to` has taken what was settled there until then: false, to be
 * asked again in later turns. O(1). */
uint64_t link_stamp(struct broker_core *c);
bool link_settled(struct broker_core *c, uint32_t to, uint64_t stamp);

/* Room for at least n more. */
bool link_control_room(struct broker_core *c, uint32_t to, uint32_t n);

/* Never fails; in order with the other parcels to that core. The parcel is the receiver's from now on. */
void parcel_send(struct broker_core *c, uint32_t to, struct parcel *p, enum parcel_kind kind);

/* At the head of a turn: parcels have the first of the room that there is. */
void links_post(struct broker_core *c);

/* At the end of a turn: outboxes into the rings, staged records published, each core that got some woken. */
void links_flush(struct broker_core *c);

#endif
