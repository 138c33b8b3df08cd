/* SPDX-License-Identifier: Apache-2.0 */
/* A slow model of channels in tx mode, and of some that are not: queues are arrays that are looked through
 * from their beginning, a transaction is a list of what is to be done at its end. Beside it stands a broker,
 * and what it must say to the same clients. */
#ifndef BROKER_AMQP091_TESTING_TRANSACTION_MODEL_H
#define BROKER_AMQP091_TESTING_TRANSACTION_MODEL_H

#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#define MS UINT64_C(1000)

enum {
	CLIENTS = 3,
	CHANNELS = 2,
	OUT_MAX = 9,	    /* of a channel; all of them are fewer than a core has room for */
	PLACES = 60,	    /* for messages in transactions, of a core */
	READY_MAX = 40,	    /* of a queue */
	LONG = 100000,	    /* octets of a long body: some of them are too much for transactions */
	LIVE_MAX = 3 << 20, /* octets in queues and transactions, before more long bodies come */
	EACH = 256 + 2,	    /* what is counted for one beside its body: itself, and its properties */
	FEW = 3,	    /* the most that a limited queue takes */
	TTL_MS = 30,
};

struct model_message {
	uint64_t number, received_us;
	uint32_t bytes;
	bool ready, seen;
};

struct model_queue {
	const char *name, *letters; /* where to; NULL: none */
	bool few, refuses, ttl;
	struct model_message *at;
	unsigned count, room, life; /* life: how often it was declared */
};

enum { A, FEW_HEAD, REFUSES, SENDS_ON, TTL, MORTAL, OF_FEW, OF_SENDS_ON, OF_TTL, OF_MORTAL, QUEUES };
extern struct model_queue model_queues[QUEUES];

/* Where messages go, as a bit a queue. */
struct target {
	const char *exchange, *key;
	unsigned queues;
};
enum { TARGET_GONE = 8, TARGETS };
extern const struct target model_targets[TARGETS];

struct model_out { /* delivered */
	uint64_t tag;
	struct model_queue *queue;
	unsigned index, life;
	enum kept_settlement kept;
};

struct model_kept { /* published */
	uint64_t number;
	uint32_t bytes;
	unsigned target;
	bool mandatory;
};

struct model_channel {
	bool tx;
	uint64_t tag_next;
	struct model_out out[OUT_MAX], settled[OUT_MAX]; /* by tag; in the order of their settling */
	unsigned out_count, settled_count;
	struct model_kept kept[PLACES];
	unsigned kept_count;
};

struct model_client {
	struct client client;
	unsigned core;
	struct model_channel channels[CHANNELS];
};

extern struct model {
	struct rig rig;
	struct client admin[2]; /* of each core */
	struct model_client clients[CLIENTS];
	struct session session; /* that looks at the queues */
	bool has_gone;		/* the exchange that comes and goes */
	uint64_t number;
	struct {
		unsigned commits, rollbacks, partial, returned, too_many, too_long, unknown, deaths, letters,
			expired, settled;
	} seen;
} model;

/* The model (transaction_model.c). */

unsigned model_ready_count(const struct model_queue *q);
struct model_message *model_head(struct model_queue *q);
/* What may come next, where number has come. In which order letters of several channels that end together are
 * written is not the model's matter. */
struct model_message *model_next(struct model_queue *q, uint64_t number);
void model_apply_rules(void);
bool model_route(const struct model_kept *k); /* whether a queue refused it */
bool model_leads_nowhere(unsigned target);
/* How many messages the transactions of a core keep, of so many octets. */
unsigned model_kept_on(unsigned core, uint64_t *bytes);
uint64_t model_live_bytes(void);
/* What is over and has no reader goes from the arrays when nothing is out. */
void model_shorten(void);
void model_settle_all(struct model_out *outs, unsigned *count, bool as_kept);
void model_channel_ends(struct model_channel *ch);
/* Its messages have been routed, its settlements done; whether a queue refused something. */
bool model_commit_done(struct model_channel *ch);
void model_take_at(struct model_channel *ch, unsigned at, enum kept_settlement how);

/* The broker beside it (transaction_model_broker.c). */

void model_begin(unsigned cores);
void model_end(unsigned cores); /* what is left is what the model has, in its order */
void model_compare(void);
void model_connect(struct model_client *c);
void model_begin_channel(struct model_client *c, unsigned ch); /* an open one: in tx mode, or not */
/* It was closed by the broker, for that reason; opens it anew. */
void model_refused(struct model_client *c, unsigned ch, uint16_t code, uint32_t id);
void model_expect_returned(struct model_client *c, unsigned ch, const struct model_kept *k);
void model_declare(struct model_queue *q);
void model_bind(const char *exchange, const char *queue);

#endif
