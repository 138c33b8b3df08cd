/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's inside: what broker.h, exchange.h and queue.h declare and only this folder sees. */
#ifndef BROKER_CORE_CORE_H
#define BROKER_CORE_CORE_H

#include "broker/core/broker.h"
#include "broker/core/consumer_order.h"
#include "broker/core/dead_letter.h"
#include "broker/core/delay.h"
#include "broker/core/entries.h"
#include "broker/core/exchange.h"
#include "broker/core/fan_out.h"
#include "broker/core/gate.h"
#include "broker/core/levels.h"
#include "broker/core/link.h"
#include "broker/core/move.h"
#include "broker/core/pointer_bag.h"
#include "broker/core/queue.h"
#include "broker/core/queue_policy.h"
#include "broker/core/queue_rules.h"
#include "broker/core/queue_values.h"
#include "broker/core/route.h"
#include "broker/core/subscription.h"
#include "broker/core/table.h"
#include "runtime/pool.h"
#include "runtime/reclaim.h"
#include "runtime/timer.h"

#include <pthread.h>

enum {
	QUEUE_QUANTUM = 32,  /* messages from one queue before the next one has its turn */
	LINK_QUANTUM = 64,   /* records from one ring before the next one has its turn */
	GRAVE_QUANTUM = 512, /* purged messages released a turn */
	TIMERS_QUANTUM = 64, /* timers of queues fired a turn */
	LETTERS_RETRY_US = 1000,
	TIDY_BINDINGS = 64, /* of what is deleted that are taken away in a turn: some 20 us */
	/* Of topic patterns, in the whole broker: each core has a note for each of them (32 bytes). */
	NESTED_HASHES_MAX = 65536,
};

/* cds_list_empty wants one that may be changed. */
static inline bool list_is_empty(const struct cds_list_head *l)
{
	return l->next == l;
}

static inline uint32_t nested_hash_nodes_max(uint32_t bindings)
{
	return bindings < NESTED_HASHES_MAX ? bindings : NESTED_HASHES_MAX;
}

struct vhost {
	struct broker *broker;
	struct slice name;
	char text[VHOST_NAME_MAX + 1];	      /* the same, with a NUL */
	uint32_t queue_count, exchange_count; /* guarded by the broker's writer mutex */
	uint32_t connection_count;	      /* changed by any core */
};

struct broker {
	struct broker_config config;
	pthread_mutex_t writer;		/* guards every change to what stands below, but for consumers */
	struct vhost *vhosts;		/* as long as the broker: nobody changes them */
	struct table queues, exchanges; /* (virtual host, name) */
	struct table bindings;		/* (queue, routing key): to find one again */
	struct table direct_keys;	/* (exchange, routing key) */
	struct table trie_edges;	/* (trie node, word) */
	struct table header_pairs;	/* (exchange, header and value) */
	uint64_t binding_bytes, binding_bytes_max;   /* keys and arguments of all bindings */
	uint64_t argument_bytes, argument_bytes_max; /* of all queues and exchanges */
	struct table alternates;    /* (virtual host, name) of exchanges that are one's alternate */
	uint64_t generation;	    /* the last that was given */
	uint64_t linked_generation; /* of all exchanges that have to do with others; atomic */
	uint64_t deletions;	    /* of exchanges; atomic */
	struct cds_list_head all_exchanges;
	struct cds_list_head deleted_exchanges, deleted_queues; /* which still have bindings */
	uint32_t deleted_count;					/* of both; atomic */
	uint32_t remembered;		 /* values, and shares of exchanges that remember them; atomic */
	struct siphash_key value_key[2]; /* of the values that queues hold */
	uint64_t delays_gone;		 /* deletions of exchanges that hold messages back; atomic */
	bool cascading;		    /* an exchange went with its last binding, and others may go with it */
	struct broker_core **cores; /* by index; set before they run */
	struct core_link *links;    /* from * cores + to */
	struct queue **queue_slots; /* by the index in a handle; read without the mutex */
	uint32_t *free_slots;	    /* a stack of indexes */
	uint32_t free_slot_count;
	uint32_t *slot_generations;
	uint32_t queue_count, exchange_count, binding_count;
	uint64_t level_count;	    /* of queues with priorities */
	uint32_t predeclared_count; /* of the exchanges: these do not count towards the limit */
	uint32_t consumer_count;    /* atomic: consumers come and go without the mutex */
	uint32_t trie_nodes, trie_nodes_max;
	uint32_t nested_hash_nodes, nested_hash_nodes_max;
	uint32_t header_pair_count, header_pairs_max;
};

struct broker_core {
	struct broker *broker;
	uint32_t index;
	uint64_t now_us;
	struct phase_mark *phase;
	struct message_cache *cache;
	struct cds_list_head queues;  /* owned by this core */
	struct cds_list_head ready;   /* queues with messages and consumers that may take them */
	struct cds_list_head watched; /* queues whose rules have to be looked at */
	unsigned rules_left;	      /* of RULES_QUANTUM, in this turn */
	struct timer_wheel wheel;
	struct entries_grave grave;
	struct {
		struct cds_list_head all; /* oldest first */
		struct pool *pool;
		uint32_t count;
		bool open;    /* letters_open(): atomic */
		bool waiting; /* the oldest cannot be published now */
		bool going;   /* it is being published */
		letter_office office;
		void *ctx;
	} letters;
	struct {
		struct cds_list_head
			waiting; /* for their time, in no order; and, where an exchange has gone, */
		struct cds_list_head unswept; /* those that have not been looked at since */
		struct cds_list_head due;     /* to be published, the next one first */
		struct cds_list_head pages;   /* with room for another entry */
		uint64_t number;	      /* of the last that came */
		uint64_t swept_for;	      /* broker.delays_gone */
		bool stalled;		      /* the next one cannot be published now */
		delay_office office;
		void *ctx;
	} delays;
	struct route_set *route, routes[2]; /* for the message that comes next; the other is the fan-out's */
	struct fan_out fan_out;
	struct siphash_key name_key; /* names that the server makes */
	uint64_t name_count;
	struct broker_core_stats stats;
	struct broker_core_counters counters;
	/* Other cores. */
	void (*wake)(void *ctx);
	void *wake_ctx;
	struct link_out *out;  /* by core */
	uint64_t stamp;	       /* link_stamp() */
	struct core_link **in; /* by core */
	struct pool *subscriptions, *calls;
	struct cds_list_head crediting, owing; /* subscriptions */
	struct queue_move moves[MOVES_MAX];
	uint32_t moves_active;
	uint64_t stalled_from;	  /* a bit for each core whose messages wait here for memory */
	struct phase_mark unseen; /* where nobody looks */
};

struct queue {
	struct table_entry by_name;
	struct vhost *vhost;
	queue_handle handle;
	struct session *exclusive_to; /* NULL: anyone's; then it never leaves that session's core */
	bool durable, auto_delete;
	struct fields arguments;
	struct cds_list_head bindings; /* under the writer mutex */
	/* Between cores. */
	__attribute__((aligned(64))) struct broker_core *owner; /* queue_owner() */
	uint64_t fenced; /* a bit for each core whose publishers wait until it has moved */
	bool hidden;	 /* deleted; routes may still lead here. queue_hidden() */
	uint8_t rules;	 /* enum queue_rule: by any core that has a reason. queue_rules() */
	/* Where it refuses what is too much: what is ready or on its way to it, kept by every core. */
	uint64_t promised, promised_bytes;
	struct queue_policy *policy; /* NULL: nothing was asked for. As long as the queue */
	/* The owner's. */
	__attribute__((aligned(64))) struct entries entries;
	bool had_consumer, exclusive_consumer, is_ready, deleted;
	bool arriving;		 /* given to this owner, which has not taken it in yet */
	bool is_watched;	 /* queue_rules.c */
	bool is_expiring;	 /* what is at its head must not be delivered: it goes in slices */
	struct queue_move *move; /* on its way to another core: nothing is delivered meanwhile */
	uint32_t consumer_count;
	struct cds_list_head consumers, parked_consumers;
	struct consumer_order *order; /* where they are not equal, else NULL */
	uint64_t ready_bytes;	      /* of bodies; where it has limits */
	struct cds_list_head of_core, of_session, of_ready, of_watched;
	struct timer expiry, lease;	/* when its head's time is over, and its own */
	struct cds_list_head of_broker; /* deleted_queues; under the writer mutex */
	struct reclaim_node reclaim;
	uint8_t name[];
};

struct exchange_type;
struct direct_key;
struct fanout_place;
struct trie_node;
struct header_terms;
struct hash_ring;

struct exchange {
	struct table_entry by_name;
	struct vhost *vhost;
	const struct exchange_type *type;
	uint64_t generation; /* another one after each change; no two of a broker are the same; atomic */
	bool durable, auto_delete, internal, predeclared;
	bool deleted;  /* exchange_hidden() */
	bool by_key;   /* what matches depends on the routing key alone: it may be cached */
	bool leads_on; /* routes need not end here, or once did not; exchange_leads_on() */
	bool linked; /* its changes may be others': it has or had to do with other exchanges. The writer's */
	struct exchange
		*onward; /* a half of its own for bindings to exchanges; NULL: there never was one; atomic */
	struct table_entry
		alternate;	/* by the name of its alternate exchange, which is NULL where there is none */
	struct pointer_bag all; /* fanout: destinations; headers: bindings without arguments */
	struct trie_node *trie; /* topic: the root */
	uint32_t presence_pairs; /* headers: in the index, of those without a value; atomic */
	struct gate *gate;	 /* NULL: it has none */
	struct hash_ring *ring;	 /* x-consistent-hash; atomic */
	uint32_t hash_bindings;
	const struct value *hash_header, *hash_property; /* in the arguments; NULL: by the routing key */
	struct cds_list_head bindings;			 /* from here */
	struct cds_list_head arriving;			 /* to here */
	struct cds_list_head of_broker;
	struct fields arguments;
	struct reclaim_node reclaim;
	uint8_t name[];
};

/* Readers see those of headers exchanges alone; the others put their destination where readers look. */
struct binding {
	struct table_entry entry; /* (destination, routing key) */
	struct cds_list_head of_exchange, of_destination;
	struct exchange *exchange;
	union {
		struct queue *queue;
		struct exchange *onward; /* where to_exchange */
		void *to;
	};
	bool to_exchange;
	struct bag_place place; /* in the bag of what follows, or of the exchange */
	union {
		struct direct_key *direct_key;
		struct fanout_place *fanout_place;
		struct trie_node *trie_node;
		struct header_terms *header_terms;
		bool hash_counts;
	};
	struct fields arguments;	 /* sorted */
	uint32_t bytes;			 /* what it counts for in binding_bytes */
	void (*free)(struct binding *b); /* the exchange type's; the exchange may be gone by then */
	struct reclaim_node reclaim;
	uint8_t key[];
};

/* How bindings of one exchange type are kept and matched. Writer mutex held but for route. */
struct exchange_type {
	const char *name;
	bool by_key;   /* what matches depends on the routing key alone: it may be cached */
	bool one_half; /* bindings to exchanges are kept with those to queues */
	bool each_key; /* a message with several keys is asked for with each of them */
	/* May an exchange be declared so, and what it takes from its arguments. May be NULL. */
	enum failure_code (*check)(const struct exchange_declaration *d, struct failure *f);
	void (*begin)(struct exchange *x);
	/* May a binding have these arguments, and this key? May be NULL: any. */
	enum failure_code (*validate)(const struct binding_spec *spec, struct failure *f);
	/* 0 or a negative failure_code, then nothing changed. Cost: the words or arguments of the binding. */
	enum failure_code (*bind)(struct exchange *x, struct binding *b, struct failure *f);
	void (*unbind)(struct exchange *x, struct binding *b);
	/* What bind allocated for readers; after a grace period. May be NULL. */
	void (*free)(struct binding *b);
	/* Reader: adds the destinations that match; false where the slice ends before, then it is called
	 * again and goes on by out->walk, whose `begun` is false at first. */
	bool (*route)(const struct exchange *x, const struct route_request *r, struct route_set *out);
};
extern const struct exchange_type route_direct, route_fanout, route_topic, route_headers, route_hash;

/* exchange.c: of bindings; NULL where there is none of that name. */
const struct exchange_type *exchange_type_find(struct slice name);

#define ALTERNATE_EXCHANGE "alternate-exchange"

/* A wheel with nothing in it is not turned: it is brought up to date before something comes in. */
static inline void core_timer_arm(struct broker_core *c, struct timer *t, uint64_t at_us)
{
	if (c->wheel.armed == 0)
		timer_wheel_advance(&c->wheel, c->now_us, 1);
	timer_arm(&c->wheel, t, at_us);
}

/* For printf: "queue '%.*s' in vhost '%s'". */
#define SLICE_FMT      "%.*s"
#define SLICE_ARG(s)   (int)(s).bytes, (const char *)(s).data
#define QUEUE_FMT      "queue '%.*s' in vhost '%s'"
#define EXCHANGE_FMT   "exchange '%.*s' in vhost '%s'"
#define NAME_ARG(n, v) (int)(n).bytes, (const char *)(n).data, (v)->text

static inline struct exchange *exchange_find(struct vhost *v, struct slice name)
{
	struct table_entry *e = table_find(&v->broker->exchanges, v, name);
	return e ? caa_container_of(e, struct exchange, by_name) : NULL;
}

/* It has been deleted, but some of its bindings still stand. Any core that reads routes. */
static inline bool exchange_hidden(const struct exchange *x)
{
	return __atomic_load_n(&x->deleted, __ATOMIC_RELAXED);
}

/* The generation that tells whether what was found for x still holds: it moves on with each change. */
static inline const uint64_t *route_changes(const struct exchange *x, const struct route_set *found)
{
	return found->in_graph ? found->changes : &x->generation;
}

static inline bool exchange_leads_on(const struct exchange *x)
{
	return __atomic_load_n(&x->leads_on, __ATOMIC_RELAXED);
}

static inline struct queue *queue_find(struct vhost *v, struct slice name)
{
	struct table_entry *e = table_find(&v->broker->queues, v, name);
	return e ? caa_container_of(e, struct queue, by_name) : NULL;
}

/* broker.c, writer mutex held: what a new queue or exchange was declared with is counted. LIMIT: it is too
 * much, with what there is. */
enum failure_code arguments_count(struct broker *b, const struct fields *arguments, struct failure *f);
void arguments_uncount(struct broker *b, const struct fields *arguments);

/* exchange.c: the predeclared ones of a virtual host; 0 or -1. */
int exchanges_predeclare(struct vhost *v);
/* How many there may be, the predeclared ones included. */
uint32_t exchanges_most(const struct broker_limits *limits);
/* Writer mutex held: deletes all but the predeclared, or those too, and their bindings. Cost: all of it. */
void exchanges_remove(struct broker *b, bool predeclared_too);
/* Writer mutex held: the last of its bindings has gone, and it goes too. */
void exchange_auto_delete(struct exchange *x);
/* Writer mutex held: takes away up to that many bindings of a deleted exchange, and then, when none is left,
 * the exchange itself: true. */
bool exchange_take_apart(struct exchange *x, unsigned bindings_max);

/* exchange_links.c. Writer mutex held: its bindings have changed, or it has come or gone. */
void exchange_changed(struct exchange *x);
/* Something that others' routes may end at is hidden. */
void exchange_links_changed(struct broker *b);
/* A new one, before it can be found; its gate is in its place. */
void exchange_links_begin(struct exchange *x);
void exchange_links_end(struct exchange *x);
/* A binding leads from one to another. 0, or -1 without memory. */
int exchange_link(struct exchange *from, struct exchange *to);
/* Where a binding is filed: the exchange, or its half that leads to exchanges. */
struct exchange *exchange_half(struct exchange *x, bool to_exchange);

/* tidy.c. Writer mutex held: a deleted exchange whose bindings shall go in slices. */
void tidy_later(struct exchange *x);
void tidy_queue_later(struct queue *q);
/* The same for one that went with its last binding: before the others. */
void tidy_cascading(struct exchange *x);
/* After a change: a slice where others may have to go with it. */
void tidy_cascade(struct broker *b);
/* Writer mutex held: a slice. Returns how many bindings went; 0: nothing deleted has any. */
unsigned tidy_slice(struct broker *b);

/* binding.c. Writer mutex held: the binding is gone for new readers; an auto-delete exchange goes with its
 * last one. */
void binding_unlink(struct binding *b);

/* queue_table.c: refuses a queue that is exclusive to another session. */
enum failure_code queue_check_access(const struct session *s, const struct queue *q, struct failure *f);
/* Writer mutex held: takes away up to that many bindings of a deleted queue, and then, when none is left,
 * what it counted for and its memory: true. */
bool queue_take_apart(struct queue *q, unsigned bindings_max);
/* Deletes the queue: nobody finds it or routes to it any more, its messages go, its consumers are told.
 * Owner's core. Returns how many messages were ready. O(TIDY_BINDINGS + consumers); bindings beyond that go
 * in slices. */
uint64_t queue_remove(struct queue *q);
/* Owner: drops what is ready; returns how many. */
uint64_t queue_purge_here(struct queue *q);
/* "inequivalent arg ..." Of one argument. */
enum failure_code argument_equivalent(struct slice argument, const struct fields *current,
	const struct fields *given, const char *what, struct slice name, const struct vhost *v,
	struct failure *f);
/* Of the arguments that mean something (queue_arguments_known), as RabbitMQ. */
enum failure_code queue_arguments_equivalent(
	const struct queue *q, const struct fields *given, struct failure *f);
enum failure_code flag_equivalent(bool current, bool given, const char *flag, const char *what,
	struct slice name, const struct vhost *v, struct failure *f);

/* queue_slot.c: handles. Writer mutex held for the first three. */
bool queue_slot_take(struct broker *b, struct queue *q); /* false: limits.queues of them exist */
void queue_slot_hide(struct broker *b, struct queue *q); /* its handle leads nowhere */
void queue_slot_give(struct broker *b, struct queue *q); /* then, for another one */
/* The queue of a handle, or NULL where it has been deleted; valid until the caller is quiescent. Any core. */
struct queue *queue_resolve(const struct broker *b, queue_handle h);

static inline struct broker_core *queue_owner(const struct queue *q)
{
	return __atomic_load_n(&q->owner, __ATOMIC_ACQUIRE);
}

/* It has been deleted, but some of its bindings still stand. Any core that reads routes. */
static inline bool queue_hidden(const struct queue *q)
{
	return __atomic_load_n(&q->hidden, __ATOMIC_RELAXED);
}

static inline uint8_t queue_rules(const struct queue *q)
{
	return __atomic_load_n(&q->rules, __ATOMIC_RELAXED);
}

/* queue_arguments.c: which arguments of a declaration are compared with those of an earlier one; NULL ends.
 */
extern const char *const queue_arguments_known[];

/* move.c: true where the core owns the queue; one that has just been given to it is taken in. */
bool queue_mine(struct broker_core *c, struct queue *q);

/* queue.c, owner. room, then enqueue: takes a reference of its own. */
bool queue_room(struct queue *q);
void queue_room_cancel(struct queue *q);
void queue_enqueue(struct queue *q, struct message *m);
/* The same with the caller's reference. */
void queue_enqueue_take(struct queue *q, struct message *m_take);
/* Then: its value's claim is the queue's, CLAIM_NONE being nothing. */
static inline void queue_claim_take(struct queue *q, const struct message *m, uint32_t claim)
{
	if (__builtin_expect(claim != CLAIM_NONE, 0))
		entries_claim_take(q->entries.levels ? levels_at(&q->entries, m) : &q->entries, claim);
}
bool queue_take(struct queue *q, bool no_ack, struct delivery *out);
/* The same of a queue without rules, and of one with rules whose head lives. */
static inline void queue_taken(struct queue *q, const struct entry *x, bool no_ack, struct delivery *out)
{
	struct broker_core_stats *stats = &q->owner->stats;

	*out = (struct delivery){
		.message = x->message,
		.queue = q->handle,
		.position = x->position,
		.place = x->page,
		.redelivered = x->redelivered,
	};
	stats->messages_ready--;
	stats->delivered++;
	if (!no_ack)
		stats->messages_unacked++;
}

static inline bool queue_take_plain(struct queue *q, bool no_ack, struct delivery *out)
{
	struct entry x;

	if (!entries_pop(&q->entries, no_ack, &x))
		return false;
	queue_taken(q, &x, no_ack, out);
	return true;
}

static inline bool queue_take_ruled(struct queue *q, bool no_ack, struct delivery *out)
{
	uint32_t attempt = queue_rules_attempt(q);
	struct entry x;

	if (!queue_rules_pop(q, no_ack, &x))
		return false;
	queue_taken(q, &x, no_ack, out);
	out->attempt = attempt;
	return true;
}

static inline void consumer_give(struct consumer *c, const struct delivery *d)
{
	if (d->attempt > 1 && c->ops->redeliver)
		c->ops->redeliver(c, d);
	else
		c->ops->deliver(c, d);
}

/* What no client has seen, though others may have been given later ones meanwhile: back to its old place,
 * marked redelivered, and not counted. As queue_requeue, after queue_settle_ready. */
void queue_put_back(struct broker_core *c, const struct delivery *d);
/* A settlement that came from another core. */
void queue_settle_arrived(struct broker_core *c, const struct control_record *r);

/* publish.c: one queue of a fan-out. */
enum publish_given { GIVEN, GIVE_AGAIN, GIVE_REFUSED };
enum publish_given publish_give(struct broker_core *c, struct queue *q, struct message *m);
/* What was sent to that core until now shall be in its queues. */
void publish_mark(struct publish_marks *marks, uint32_t core, const struct broker_core *c);

/* call.c */
void call_parcel(struct broker_core *c, struct parcel *p);
uint32_t queue_call_bytes(void);

/* deliver.c: puts the queue in its core's ready list where it has messages and consumers. */
void queue_mark_ready(struct queue *q);
void queue_unmark_ready(struct queue *q);

/* consumer.c, owner. */
enum failure_code consumer_attach_local(struct consumer *c, struct queue *q, struct failure *f);
void consumer_detach_local(struct consumer *c);
/* Takes it off its queue without deleting an auto-delete one. */
void consumer_unlink(struct consumer *c);

#endif
