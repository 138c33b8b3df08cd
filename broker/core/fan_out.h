/* SPDX-License-Identifier: Apache-2.0 */
/* A message for more queues than are served at once, or whose lookup takes more than a slice. Its publisher
 * waits; the core goes on with everything else between the slices.
 *
 *   looking   the exchange's bindings are walked, a slice each time the publisher offers the message again.
 *             What has been found are pointers, so this core does not let go of what others take away
 *             (reclaim_hold); a publisher that does not come back gives up its place.
 *   giving    the queues are handles: nothing is held. Each takes the message, or the fan-out waits for it.
 *
 * One a core at a time. Who has another one waits in a line. */
#ifndef BROKER_CORE_FAN_OUT_H
#define BROKER_CORE_FAN_OUT_H

#include "broker/core/exchange.h"
#include "broker/core/queue.h"
#include "broker/core/recent_keys.h"

#include <urcu/list.h>

struct route_request;
struct route_set;

enum {
	FAN_OUT_AT_ONCE = 64,  /* up to so many queues, or as many as a link has room for, take no fan-out */
	FAN_OUT_QUANTUM = 256, /* queues that get the message in a turn */
	FAN_OUT_IDLE_TURNS = 16, /* without the publisher, until a lookup is given up */
};

struct fan_out {
	struct message *message;	   /* NULL: none is under way */
	struct session *session;	   /* whose publisher waits; NULL: it has gone */
	struct exchange *exchange;	   /* looking; NULL: giving */
	const struct queue_filter *filter; /* the publisher's; as long as it is there */
	struct message *keys;		   /* likewise */
	struct route_set *found;
	bool refused;  /* by one of its queues at least */
	bool complete; /* all are found, but not all of them are handles yet */
	unsigned idle_turns;
	uint32_t count, at, given;
	uint32_t at_once;
	queue_handle *queues;
	struct recent_key value; /* the message's, for queues that hold each once */
	bool has_value;
	uint64_t held_since;	      /* as a session's */
	struct cds_list_head waiting; /* sessions, the next one first */
};

int fan_out_create(struct broker_core *c); /* 0, or -1 without memory */
void fan_out_destroy(struct broker_core *c);

/* All below: the core. A publisher of s comes: may it publish now what is no fan-out, or begin one? False: it
 * waits in the line, and not for the first time. O(1). */
static inline bool fan_out_turn(const struct fan_out *f, const struct session *s)
{
	return !f->message && (f->waiting.next == &f->waiting || f->waiting.next == &s->fan_out_turn);
}
static inline bool fan_out_waits(const struct session *s)
{
	return s->fan_out_turn.next != &s->fan_out_turn;
}
void fan_out_wait(struct fan_out *f, struct session *s);
void fan_out_wait_end(struct session *s);

/* What c->route holds of the message's queues (all of them: complete) becomes the fan-out, which has none
 * under way; c->route is another, empty one. The publisher goes on with fan_out_offer in later turns. */
void fan_out_begin(struct session *s, struct exchange *x, const struct publish *p, bool complete);

/* The publisher of the fan-out offers the same message again. As exchange_publish; FAILED: more queues match
 * than there may be. */
enum publish_result fan_out_offer(
	struct session *s, const struct route_request *r, struct publish_marks *marks, uint32_t *queues_out);

/* A slice of giving. Once a turn. How much was done; 0: no fan-out is under way, or it waits for room. */
unsigned fan_out_poll(struct broker_core *c);

#endif
