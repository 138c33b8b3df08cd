/* SPDX-License-Identifier: Apache-2.0 */
/* What was asked for a queue when it was declared, beyond what every queue does. Nothing of it changes. */
#ifndef BROKER_CORE_QUEUE_POLICY_H
#define BROKER_CORE_QUEUE_POLICY_H

#include "broker/core/failure.h"
#include "broker/core/value.h"

struct vhost;

enum queue_overflow {
	OVERFLOW_DROP_HEAD,
	OVERFLOW_REFUSE,	/* its publisher hears of it */
	OVERFLOW_REFUSE_LETTER, /* and it goes on to the dead-letter exchange */
};

struct letter_address;

struct queue_policy {
	uint64_t message_ttl_us;	/* from a message's coming on; UINT64_MAX: it stays */
	uint64_t expires_us;		/* unused so long the queue goes; 0: it stays */
	uint64_t length_max, bytes_max; /* of what is ready, and of its bodies; UINT64_MAX: no limit */
	uint64_t delivery_limit;	/* a message comes back so often at most; UINT64_MAX: no limit */
	enum queue_overflow overflow;
	struct letter_address *letters; /* where what it gives up goes; NULL: nowhere */
	uint8_t priority_max;		/* of its messages' priorities; 0: it knows none */
	bool single_active;		/* one consumer is served, the others stand by */
	bool deduplicates;		/* of each value there is one message at most (queue_values.h) */
};

/* The policy in the arguments of a declaration, checked as RabbitMQ 3.10 checks them; NULL where they ask for
 * nothing. PRECONDITION: a wrong type or value; NOT_IMPLEMENTED: what is known and not honoured; LIMIT: no
 * memory. */
enum failure_code queue_policy_make(const struct fields *arguments, struct slice name, const struct vhost *v,
	struct queue_policy **out, struct failure *f);
void queue_policy_free(struct queue_policy *p); /* may be NULL; letters that wait keep their address */

#endif
