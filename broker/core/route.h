/* SPDX-License-Identifier: Apache-2.0 */
/* Which queues a message goes to. Two route_sets a core, sized once; one is filled anew for every message. */
#ifndef BROKER_CORE_ROUTE_H
#define BROKER_CORE_ROUTE_H

#include "broker/core/exchange.h"
#include "broker/core/pointer_bag.h"
#include "broker/core/pointer_set.h"

struct route_request {
	struct slice routing_key;
	const struct header_source *headers; /* may be NULL: there are none */
	const struct key_source *more_keys;  /* may be NULL: there are none */
	struct broker_core *core; /* whose message it is; NULL: nobody's, gates stand open (gate.h) */
	struct session *session;  /* who publishes it; NULL: nobody yet */
};

enum {
	ROUTE_SLICE = 4096, /* queues, nodes and bindings that one call looks at, more or less */
	TOPIC_WORDS_MAX = 256,
	TOPIC_STACK_MAX = 4 * TOPIC_WORDS_MAX,
};

struct topic_word {
	uint16_t from, bytes; /* in the routing key */
};

struct topic_step { /* a node of the trie, and how many words have led there */
	const struct trie_node *node;
	uint16_t at;
	bool again; /* a '#' that has been looked at with fewer words */
};

/* Where a walk through an exchange's bindings stands. What it points to stays while the reader is not
 * quiescent, whatever is unbound meanwhile. */
struct route_walk {
	bool begun;
	const struct pointer_bag *bag; /* NULL: between two of them */
	struct bag_cursor at;
	union {
		struct {
			uint32_t words, hashed, depth;
			struct topic_word word[TOPIC_WORDS_MAX];
			uint64_t hash[TOPIC_WORDS_MAX]; /* of the first `hashed` words: a long key is hashed
							   as deep as patterns go */
			struct topic_step stack[TOPIC_STACK_MAX];
		} topic;
		struct {
			uint32_t pairs; /* that are done with */
			bool presence;	/* what it began with: each header has as many pairs in each slice */
		} headers;
	};
};

struct route_graph;

/* Destinations that a message's walk has met: queues, or (route_graph.h) exchanges. */
struct route_set {
	union {
		struct queue **queues;
		struct exchange **exchanges;
		void **to;
	};
	uint32_t count, capacity;
	uint32_t slice;	 /* ROUTE_SLICE, or what a test wants: 16 at least */
	uint32_t budget; /* what is left of the call's slice */
	bool overflow;	 /* more matched than there may be */
	bool changing;	 /* what is walked changes all the time */
	bool repeats;	 /* anything may come twice */
	bool in_graph;	 /* the walk leads through other exchanges, or takes several keys */
	bool met_again;	 /* in a graph: something that stands came twice */
	bool of_exchanges;
	bool gated;		   /* a gate was met: gates_keep or gates_undo is due */
	uint8_t tries;		   /* how often a change has made it begin again */
	uint64_t generation;	   /* when the walk began: the exchange's, or */
	const uint64_t *changes;   /* in a graph: this one */
	struct pointer_set seen;   /* the destinations above, once there are more than a few */
	struct pointer_set *nodes; /* the topic trie's '#' nodes that were walked */
	struct route_graph *graph; /* NULL: a set of exchanges */
	struct route_walk walk;
};

int route_set_create(struct route_set *s, const struct broker_limits *limits); /* 0, or -1 without memory */
void route_set_destroy(struct route_set *s);

/* A destination that matches; again is the same as once. O(1). */
void route_set_add(struct route_set *s, const void *to);

/* All destinations of a bag, from the walk's place in it on. False: the slice is used up before its end. */
bool route_set_add_all(struct route_set *s, const struct pointer_bag *bag);
/* The same into an empty set, where nothing lies in the bag twice. About a nanosecond each. */
bool route_set_add_distinct(struct route_set *s, const struct pointer_bag *bag);

/* An exchange's walk ends, the next one's or the next key's begins. */
static inline void route_walk_reset(struct route_walk *w)
{
	w->begun = false;
	w->bag = NULL;
	w->at = (struct bag_cursor){0};
}

/* All queues of an exchange (of the default one: by name) that match, those to which other exchanges lead on
 * included, as they did at one moment of the call; where bindings change faster than they are walked, at
 * least all that matched throughout.
 * False: the call's slice is used up before the end, and route_find_more goes on. Any registered reader; the
 * result is valid until it goes quiescent. No lock, no allocation. */
bool route_find(struct exchange *x, const struct route_request *r, struct route_set *out);

/* Another slice, of the same request (its bytes may have moved). The reader has not been quiescent since
 * route_find. True: it is all there, as of one moment since the first call. */
bool route_find_more(struct exchange *x, const struct route_request *r, struct route_set *out);

#endif
