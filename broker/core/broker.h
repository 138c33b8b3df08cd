/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol-neutral broker: what is shared by all cores (struct broker: virtual hosts, exchanges, queues
 * by name, limits) and what belongs to one core (struct broker_core: messages, ready queues, the clock).
 *
 * Invariants
 *  1. A queue and its list of consumers belong to one core at a time (queue_owner); only that core changes
 * them. What others want of it travels over links (link.h), messages by reference.
 *  2. Routing tables are read under RCU, never locked by a reader; changes are made under the broker's one
 *     writer mutex, which no hot path takes, and what they replace is released by reclaim_defer.
 *  3. A change is visible to its own connection before its answer is sent.
 *  4. An adaptor's session (one AMQP connection) owns what is exclusive to it: session_end deletes it. */
#ifndef BROKER_CORE_BROKER_H
#define BROKER_CORE_BROKER_H

#include "broker/core/failure.h"
#include "broker/core/message.h"
#include "broker/core/route_cache.h"
#include "broker/core/value.h"
#include "runtime/phase.h"
#include "runtime/siphash.h"

#include <stddef.h>
#include <urcu/list.h>

struct broker;
struct broker_core;
struct vhost;
struct exchange;
struct queue;

enum broker_protocol { BROKER_PROTOCOL_AMQP091 = 1 };

struct broker_limits {
	/* For the whole broker, all virtual hosts together, each at least 1. The predeclared exchanges do not
	 * count. */
	uint32_t queues, exchanges, bindings, consumers;
};

enum { BROKER_VHOSTS_MAX = 256, VHOST_NAME_MAX = 255 };

struct broker_config {
	struct broker_limits limits;
	struct siphash_key key; /* for names in tables; random in production */
	uint32_t cores;		/* 1 to 64; 0 is 1 */
	uint32_t calls_max; /* on each core: sessions that wait for queues of other cores; 0: limits.consumers
			     */
	uint32_t remembered_max; /* values that exchanges and queues remember, all together; 0: 2^20 */
	uint32_t letters_max;	 /* dead letters that wait on each core; 0: 4096 */
	uint32_t link_records;	 /* room of each ring between two cores, a power of two; 0: by the cores */
	/* Names of virtual hosts, no two alike, 1 to VHOST_NAME_MAX octets without a NUL; up to
	 * BROKER_VHOSTS_MAX of them. 0: "/" alone. Borrowed during broker_create. */
	const char *const *vhosts;
	uint32_t vhost_count;
};

/* Main thread. Creates the virtual hosts, each with the predeclared exchanges: "" and amq.direct (direct),
 * amq.fanout, amq.topic, amq.headers and amq.match (headers), all durable. NULL without memory. */
struct broker *broker_create(const struct broker_config *config);
void broker_destroy(struct broker *b);	       /* after its cores */
uint32_t broker_cores(const struct broker *b); /* how many it was made for; any thread */

/* One core's part, index below the configured cores. Main thread, before the cores run. The cache is taken.
 */
struct broker_core *broker_core_create(struct broker *b, uint32_t index, struct message_cache *cache_take);
/* Takes in what is still under way between the cores. All sessions have ended and no core runs; before the
 * first broker_core_destroy. */
void broker_cores_settle(struct broker *b);
void broker_core_destroy(struct broker_core *c); /* deletes the queues that it owns */

/* How another core makes this one take a turn; called on that core. NULL (the default): it polls anyway. */
void broker_core_set_wake(struct broker_core *c, void (*wake)(void *ctx), void *ctx);

/* What the core is doing is said there; borrowed. One of its own otherwise. Main thread, before it runs. */
void broker_core_set_phase(struct broker_core *c, struct phase_mark *phase);
struct phase_mark *broker_core_phase(struct broker_core *c);

/* At the head of each turn: the clock for everything the core does in it. */
void broker_core_now(struct broker_core *c, uint64_t now_us);
uint64_t broker_core_now_us(const struct broker_core *c);
struct message_cache *broker_core_cache(struct broker_core *c);
struct broker *broker_core_broker(struct broker_core *c);
uint32_t broker_core_index(const struct broker_core *c);

/* What other cores sent, and work that is done in slices: at most LINK_QUANTUM records of a ring, then the
 * next ring. Returns how much was done. Before broker_core_deliver. */
unsigned broker_core_poll(struct broker_core *c);

/* Delivers from queues that have both messages and a ready consumer, round-robin, a bounded number of
 * messages a queue and `budget` in all. Returns how many were delivered; queues left over stay ready. */
unsigned broker_core_deliver(struct broker_core *c, unsigned budget);

/* Once a turn: takes apart what has been deleted, a bounded piece of it (a deleted exchange cannot be found
 * any more, but may have a million bindings). Any core does it for all, one at a time. Returns how many
 * bindings went. */
unsigned broker_core_tidy(struct broker_core *c);

/* At the end of a turn: what it has for other cores becomes theirs, and they are woken. O(cores). */
void broker_core_flush(struct broker_core *c);

/* When the next turn is due at the latest, though nothing comes: a time of broker_core_now; UINT64_MAX:
 * never.
 */
uint64_t broker_core_next_us(const struct broker_core *c);

/* True where the next turn has work: the core must not sleep. */
bool broker_core_busy(const struct broker_core *c);

/* The virtual host of that name; NULL where unknown. They stay as long as the broker. O(virtual hosts). */
struct vhost *vhost_find(struct broker *b, struct slice name);
const char *vhost_name(const struct vhost *v);

/* A protocol connection has been let into the virtual host, or has left it: status counts them. Any core. */
void vhost_enter(struct vhost *v);
void vhost_leave(struct vhost *v);

/* What status shows of a virtual host. */
struct vhost_stats {
	const char *name;   /* as long as the broker */
	uint32_t exchanges; /* with the predeclared ones */
	uint32_t queues;    /* a deleted one counts until its bindings are gone */
	uint32_t connections;
};
/* Of the virtual host with this index, counted from 0 in the configuration's order. False: there are not so
 * many. Any thread; takes the writer mutex. */
bool vhost_stats(struct broker *b, uint32_t index, struct vhost_stats *out);

/* Who is asking: one protocol connection. Lies in the adaptor's connection. */
struct session {
	struct broker_core *core;
	struct vhost *vhost;
	struct cds_list_head exclusive_queues; /* the core's */
	struct route_cache routes;	       /* the core's */
	struct cds_list_head fan_out_turn;     /* in its core's line of fan-outs */
	uint64_t held_since; /* its message's value is held, maybe until what was settled here is there; or 0
			      */
};
void session_begin(struct session *s, struct broker_core *core, struct vhost *vhost);
void session_end(struct session *s); /* deletes its exclusive queues */

/* What status shows; a snapshot taken on the core. */
struct broker_core_stats {
	/* Messages since the start. routed: one for each queue that took the message. delivered: to consumers
	 * and by basic.get. dropped: rejected, purged, or gone with their queue. */
	uint64_t published, routed, unroutable, delivered, acked, requeued, dropped;
	uint64_t route_hits;				 /* published without a lookup */
	uint64_t expired;				 /* messages whose time was over */
	uint64_t dropped_length;			 /* from the head of queues that had too much */
	uint64_t refused;				 /* by queues that had too much: copies */
	uint64_t returned_too_often;			 /* more than their queue's x-delivery-limit */
	uint64_t queues_expired;			 /* that nobody used */
	uint32_t queues, exchanges, bindings, consumers; /* of the whole broker */
	uint64_t messages_ready, messages_unacked;
	uint64_t messages_delayed; /* that exchanges hold back */
};
void broker_core_stats(const struct broker_core *c, struct broker_core_stats *out);

/* What crosses between cores: name, text. */
#define BROKER_CORE_COUNTERS(X)                                                                      \
	X(publish_again, "publishes that waited: for memory, a link's room, or a queue on the move") \
	X(publish_stalls, "turns in which messages of another core waited for memory")               \
	X(fan_outs, "messages for so many queues that they went out in slices")                      \
	X(parcels_waited, "parcels that found a control ring full")                                  \
	X(dead_letters, "messages that queues gave up and that went on to another exchange")         \
	X(dead_letters_lost, "of these, no queue took them, they went in a circle, or had no room")  \
	X(delayed, "messages that an x-delayed-message exchange held back")                          \
	X(delayed_lost, "of these, no queue took them in the end, or their exchange went")           \
	X(duplicates, "messages that an exchange had let through, or a queue holds: by their value") \
	X(values_unwatched, "taken by such queues without their value: limits.deduplication")        \
	X(moves_out, "queues that went to their only consumer's core")                               \
	X(moves_in, "queues that came to their only consumer's core")                                \
	X(moves_given_up, "moves that were given up: another consumer came, or deliveries were out")

struct broker_core_counters {
#define X(name, text) uint64_t name;
	BROKER_CORE_COUNTERS(X)
#undef X
};
const struct broker_core_counters *broker_core_counters(const struct broker_core *c);

#endif
