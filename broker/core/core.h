/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's inside: what broker.h, exchange.h and queue.h declare and only this folder sees. */
#ifndef BROKER_CORE_CORE_H
#define BROKER_CORE_CORE_H

#include "broker/core/broker.h"
#include "broker/core/entries.h"
#include "broker/core/exchange.h"
#include "broker/core/queue.h"
#include "broker/core/route.h"
#include "broker/core/table.h"
#include "runtime/pool.h"
#include "runtime/reclaim.h"

#include <pthread.h>

enum { QUEUE_QUANTUM = 32 }; /* messages from one queue before the next one has its turn */

struct vhost {
	struct broker *broker;
	struct slice name;
	char text[256]; /* the same, with a NUL */
};

struct broker {
	struct broker_config config;
	pthread_mutex_t writer; /* guards every change to what stands below, but for consumers */
	struct vhost root;
	struct table queues, exchanges;
	struct table bindings_by_key;	/* of direct exchanges: (exchange, routing key) */
	struct table bindings_by_queue; /* (queue, routing key), to find a binding again */
	struct table trie_edges;	/* (trie node, word) */
	struct cds_list_head all_exchanges;
	uint32_t queue_count, exchange_count, binding_count;
	uint32_t consumer_count; /* atomic: consumers come and go without the mutex */
	uint32_t trie_nodes, trie_nodes_max;
	uint32_t nested_hash_nodes;
};

struct broker_core {
	struct broker *broker;
	uint32_t index;
	uint64_t now_us;
	struct message_cache *cache;
	struct pool *handles;	     /* of struct queue *; what a queue_handle resolves to */
	struct cds_list_head queues; /* owned by this core */
	struct cds_list_head ready;  /* queues with messages and consumers that may take them */
	struct route_set route;
	struct siphash_key name_key; /* names that the server makes */
	uint64_t name_count;
	struct broker_core_stats stats;
};

struct queue {
	struct table_entry by_name;
	struct vhost *vhost;
	struct broker_core *owner;
	queue_handle handle;
	struct session *exclusive_to; /* NULL: anyone's */
	bool durable, auto_delete, had_consumer;
	bool exclusive_consumer, is_ready, deleted;
	uint32_t consumer_count;
	struct entries entries;
	struct cds_list_head consumers, parked_consumers;
	struct cds_list_head of_core, of_session, of_ready;
	struct cds_list_head bindings;
	struct fields arguments;
	struct reclaim_node reclaim;
	uint8_t name[];
};

struct exchange_type;
struct trie_node;

struct exchange {
	struct table_entry by_name;
	struct vhost *vhost;
	const struct exchange_type *type;
	bool durable, auto_delete, internal, predeclared, deleted;
	struct cds_list_head bindings; /* RCU list */
	struct trie_node *trie;	       /* topic: the root */
	struct cds_list_head of_broker;
	struct fields arguments;
	struct reclaim_node reclaim;
	uint8_t name[];
};

struct binding {
	struct table_entry by_key, by_queue;
	struct cds_list_head of_exchange; /* RCU list */
	struct cds_list_head of_node;	  /* topic: RCU list */
	struct cds_list_head of_queue;
	struct exchange *exchange;
	struct queue *queue;
	struct trie_node *node; /* topic */
	uint8_t match;		/* headers: enum headers_match */
	struct fields arguments;
	struct reclaim_node reclaim;
	struct slice key;
	uint8_t key_bytes[];
};

/* How bindings of one exchange type are kept and matched. Writer mutex held but for route. */
struct exchange_type {
	const char *name;
	/* May a binding have these arguments? May be NULL: any. */
	enum failure_code (*validate)(const struct binding_spec *spec, struct failure *f);
	/* 0 or a negative failure_code, then nothing changed. May be NULL. */
	enum failure_code (*bind)(struct exchange *x, struct binding *b, struct failure *f);
	void (*unbind)(struct exchange *x, struct binding *b); /* may be NULL */
	/* Reader: adds the queues that match. */
	void (*route)(const struct exchange *x, const struct route_request *r, struct route_set *out);
};
extern const struct exchange_type route_direct, route_fanout, route_topic, route_headers;

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

static inline struct queue *queue_find(struct vhost *v, struct slice name)
{
	struct table_entry *e = table_find(&v->broker->queues, v, name);
	return e ? caa_container_of(e, struct queue, by_name) : NULL;
}

/* exchange.c: the predeclared ones of a virtual host; 0 or -1. */
int exchanges_predeclare(struct vhost *v);
/* Writer mutex held: removes it and its bindings from every table. */
void exchange_remove(struct exchange *x);

/* binding.c. Writer mutex held: the binding is gone for new readers; an auto-delete exchange goes with its
 * last one. */
void binding_unlink(struct binding *b);

/* queue_table.c: refuses a queue that is exclusive to another session. */
enum failure_code queue_check_access(const struct session *s, const struct queue *q, struct failure *f);
/* Deletes the queue: tables, bindings, messages, then tells its consumers. Owner's core. Returns how many
 * messages were ready. */
uint64_t queue_remove(struct queue *q);
/* "inequivalent arg ..." */
enum failure_code arguments_equivalent(const struct fields *current, const struct fields *given,
	const char *what, struct slice name, const struct vhost *v, struct failure *f);
enum failure_code flag_equivalent(bool current, bool given, const char *flag, const char *what,
	struct slice name, const struct vhost *v, struct failure *f);

/* queue_arguments.c: PRECONDITION or NOT_IMPLEMENTED for what a new queue may not have. */
enum failure_code queue_arguments_check(
	const struct fields *arguments, struct slice name, const struct vhost *v, struct failure *f);

/* queue.c. room, then enqueue: takes a reference of its own. */
bool queue_room(struct queue *q);
void queue_room_cancel(struct queue *q);
void queue_enqueue(struct queue *q, struct message *m);
bool queue_take(struct queue *q, bool no_ack, struct delivery *out);

/* deliver.c: puts the queue in its core's ready list where it has messages and consumers. */
void queue_mark_ready(struct queue *q);
void queue_unmark_ready(struct queue *q);

/* consumer.c: takes it off its queue without deleting an auto-delete one. */
void consumer_unlink(struct consumer *c);

#endif
