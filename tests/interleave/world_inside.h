/* SPDX-License-Identifier: Apache-2.0 */
/* The state of world.h's model: one scene's broker, clients and account. All of it lies in the arena. */
#ifndef INTERLEAVE_WORLD_INSIDE_H
#define INTERLEAVE_WORLD_INSIDE_H

#include "tests/interleave/world.h"

#include "broker/core/core.h"

#include <string.h>

enum { NUMBERS = 16, HELD_MAX = 16, DEFERRED_MAX = 32 };

enum copy_state { NEVER, MAYBE, /* a letter, if its queue is still there */ UNDER_WAY, OUT, DONE };

struct copy { /* of a message, in a queue */
	uint8_t state;
	bool seen; /* a client had it */
};

struct held {
	struct delivery d;
	uint8_t queue;
};

struct client {
	struct session session;
	const struct deed *script;
	unsigned at;
	bool gone;
	struct message *message; /* offered again until it is taken */
	uint8_t number, to;
	bool fanout;
	struct {
		struct publish_marks marks;
		bool waits;
		uint8_t queue;
	} confirms[WORLD_SCRIPT];
	unsigned confirm_count;
	struct queue_call *call;
	bool calling; /* done has not been called */
	uint8_t call_queue, call_what;
	bool call_no_ack;
	unsigned answers;
	struct held held[HELD_MAX];
	unsigned held_count;
};

struct taker {
	struct consumer consumer;
	struct client *client;
	uint8_t queue, credit;
	bool there, coming, leaving;
	bool stalled;		     /* no room in its transport */
	uint8_t last[WORLD_CLIENTS]; /* the number from each client that came last, never delivered before */
};

struct world {
	struct broker *broker;
	struct message_store *store;
	struct broker_core *cores[WORLD_CORES];
	struct session own[WORLD_CORES]; /* which declare */
	struct client clients[WORLD_CLIENTS];
	struct taker takers[WORLD_CONSUMERS];
	struct copy copies[NUMBERS * WORLD_CLIENTS][WORLD_QUEUES];
	uint64_t confirmed[WORLD_QUEUES];
	struct {
		struct reclaim_node *node;
		reclaim_fn release;
		uint8_t readers; /* cores that may still look */
	} deferred[DEFERRED_MAX];
	unsigned deferred_count;
	unsigned held;	      /* reclaim_hold, by any core */
	uint8_t letters_held; /* a bit a core: its office publishes none */
	size_t live_before;
};

extern const struct scene *scene;
extern struct world *w;

static inline struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

struct slice queue_text(unsigned queue);
struct queue *queue_of(unsigned queue); /* NULL: it has been deleted */
uint8_t number_of(const struct message *m);

/* world_account.c: a delivery reaches a client. */
void account(unsigned queue, const struct delivery *d, enum copy_state next);
void hold(struct client *c, unsigned queue, const struct delivery *d);
/* A core's office: letters go on as they are. ctx: its session. */
enum publish_result letter_goes_on(void *ctx, const struct dead_letter *l);
/* A core is at the end of a turn. */
void quiescent(unsigned core);
extern const struct consumer_ops taker_ops;
bool taker_ready(struct consumer *k);
void taker_gone(struct taker *k);

/* world_client.c: what clients do. */
bool client_may(const struct client *c); /* its next deed, now */
void client_does(struct client *c);
bool client_waits(const struct client *c); /* for an answer */
void client_declares(struct session *s, unsigned queue);
bool client_offers(struct client *c);	/* its message once more; true: it was taken */
void client_confirms(struct client *c); /* at the end of a turn */
/* Its oldest delivery: DO_ACK, DO_REQUEUE or DO_REJECT; false: there is no room. */
bool client_settles(struct client *c, enum do_what how);
void client_abandons(unsigned consumer);

#endif
