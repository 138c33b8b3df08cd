/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that look at a message before their bindings do, as RabbitMQ's plugins of these names:
 *
 *   x-delayed-message         holds it back while its header x-delay says so (gate_delay.c); its bindings are
 *                             those of the type that the argument x-delayed-type names
 *   x-message-deduplication   lets no value of its header x-deduplication-header through twice, as long as it
 *                             is remembered (gate_once.c); behind it is a fanout
 *
 * Whatever a gate does for a message, it is undone where the message is offered again, and stands once the
 * message has been given to its queues. */
#ifndef BROKER_CORE_GATE_H
#define BROKER_CORE_GATE_H

#include "broker/core/delay.h"
#include "broker/core/exchange.h"

struct exchange_type;
struct gate;
struct route_request;
struct route_set;

enum { GATES_MAX = 16 }; /* that hold one message back, or remember it */

/* What a gate has done for a message. */
struct gate_met {
	struct gate *gate;
	uint64_t us; /* how long it is held back, or until when it is remembered */
	struct delayed *delayed;
	uint32_t claim;
	bool known; /* it was let through before */
};

/* All of those on a message's way; in its route_set's graph. */
struct gates_met {
	uint32_t count;
	bool again; /* one of them cannot answer now */
	struct gate_met at[GATES_MAX];
};

enum gate_answer {
	GATE_OPEN, /* its bindings may be looked at */
	GATE_SHUT, /* as if nothing were bound: an alternate exchange is asked */
	GATE_HELD, /* not now: nor is an alternate exchange asked */
};

/* A kind of gates; struct gate is the beginning of each. */
struct gate_type {
	const char *name; /* of the exchanges' type */
	/* Writer mutex held; errors as gate_make. */
	enum failure_code (*make)(struct vhost *v, const struct exchange_declaration *d,
		const struct exchange_type **bindings, struct gate **out, struct failure *f);
	void (*free)(struct gate *g);
	void (*gone)(struct gate *g); /* may be NULL */
	enum gate_answer (*ask)(struct gate *g, const struct route_request *r, struct route_set *s);
	bool (*ready)(struct broker_core *c, struct gate_met *met); /* may be NULL: always */
	/* Whether it holds the message back. */
	bool (*keep)(struct broker_core *c, struct gate_met *met, struct message *m, struct message *keys);
	void (*undo)(struct broker_core *c, struct gate_met *met);
};
extern const struct gate_type gate_delay, gate_once;

struct gate {
	const struct gate_type *type;
};

bool gate_type_exists(struct slice name);
/* The type of the bindings and, where the declared type has a gate, that: NULL else. Writer mutex held.
 * COMMAND_INVALID: there is no such type; PRECONDITION: wrong arguments; LIMIT. */
enum failure_code gate_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate **out, struct failure *f);
void gate_free(struct gate *g); /* may be NULL; after a grace period */
/* Writer mutex held: its exchange is hidden. May be NULL. */
void gate_exchange_gone(struct gate *g);

/* In a walk; s is the walk's set. O(headers). */
enum gate_answer gate_ask(struct gate *g, const struct route_request *r, struct route_set *s);
/* For the types' ask: what has been done. False: these are too many for one message, and s overflows. */
bool gate_meet(struct route_set *s, struct gate_met met);
void gate_again(struct route_set *s); /* it cannot answer now */

/* The following of a set that is `gated`, which it is no more after keep and undo. */

/* Whether keep can be done, now that the message can be given: else undo, and the message is offered again.
 */
bool gates_ready(struct broker_core *c, struct route_set *s);
/* Whether it never will in this walk. */
bool gates_again(const struct route_set *s);
/* The message has been given. Returns how many hold it back. */
uint32_t gates_keep(
	struct broker_core *c, struct route_set *s, struct message *m, struct message *keys_or_null);
void gates_undo(struct broker_core *c, struct route_set *s);

/* For their arguments and headers: a whole number, as one or in text; 0 where it is none. */
int64_t gate_number(const struct value *v);

#endif
