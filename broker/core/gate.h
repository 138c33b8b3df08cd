/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges that look at a message before their bindings do, as RabbitMQ's plugins of these names:
 *
 *   x-delayed-message         holds it back while its header x-delay says so; its bindings are those of the
 *                             type that the argument x-delayed-type names
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

/* What the gates on a message's way have done, in its route_set's graph. */
struct gates_met {
	uint32_t count;
	bool again; /* one of them cannot answer now */
	struct gate_met {
		struct gate *gate;
		uint64_t us; /* how long the message is held back */
		struct delayed *delayed;
	} at[GATES_MAX];
};

/* The type of the bindings and, where the declared type has a gate, that: NULL else. Writer mutex held.
 * COMMAND_INVALID: there is no such type; PRECONDITION: wrong arguments; LIMIT: no memory. */
enum failure_code gate_make(struct vhost *v, const struct exchange_declaration *d,
	const struct exchange_type **bindings, struct gate **out, struct failure *f);
void gate_free(struct gate *g); /* may be NULL; after a grace period */
/* Writer mutex held: its exchange is hidden. May be NULL. */
void gate_exchange_gone(struct gate *g);
const char *gate_type_name(const struct gate *g);
bool gate_type_exists(struct slice name);

enum gate_answer {
	GATE_OPEN, /* its bindings may be looked at */
	GATE_HELD, /* not now: nor is an alternate exchange asked */
};
/* In a walk; s is the walk's set. O(headers). */
enum gate_answer gate_ask(struct gate *g, const struct route_request *r, struct route_set *s);

/* The following of a set that is `gated`, which it is no more after keep and undo. */

/* Whether keep can be done, now that the message can be given: else undo, and the message is offered again.
 */
bool gates_ready(struct broker_core *c, struct route_set *s);
/* The message has been given. Returns how many hold it back. */
uint32_t gates_keep(
	struct broker_core *c, struct route_set *s, struct message *m, struct message *keys_or_null);
void gates_undo(struct broker_core *c, struct route_set *s);

#endif
