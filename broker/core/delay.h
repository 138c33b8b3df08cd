/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that an exchange of type x-delayed-message holds back for as long as their header x-delay says.
 * How a message says that it has been held back is the protocol's matter, so an adaptor's office publishes it
 * again; here it waits for its time.
 *
 * Rules
 *  1. A message waits with the core of its publisher. Its entry lies in a page of the message store: what
 *     bounds messages bounds these.
 *  2. Those whose time has come are published in the order of their times, the next one when the one before
 *     has gone; those of one time in the order in which they came.
 *  3. With its exchange it is given up, in slices. What no queue takes is dropped and counted. */
#ifndef BROKER_CORE_DELAY_H
#define BROKER_CORE_DELAY_H

#include "broker/core/exchange.h"
#include "runtime/timer.h"

/* Of an exchange; outlives it as long as messages of it wait. */
struct delay_address {
	uint32_t refs; /* atomic: several cores hold back */
	bool gone;     /* atomic: the exchange has been deleted */
	struct vhost *vhost;
	struct slice exchange; /* in text */
	uint8_t text[];
};

struct delayed {
	struct timer timer;
	struct cds_list_head link;
	struct delay_address *address;
	struct message *message;
	struct message *keys; /* whose headers name its further routing keys; NULL: there are none */
	uint64_t due_us;
	uint64_t number; /* in the order of their coming */
};

/* On the core that it was given to, from broker_core_poll: publishes the message to its address, or gives up
 * what it has begun where that is gone (delay_address_is_gone): FAILED. Answers as a letter_office. */
typedef enum publish_result (*delay_office)(void *ctx, const struct delayed *d);

/* Without an office what was held back is lost. Main thread, before the core runs; NULL: none. */
void broker_core_set_delay_office(struct broker_core *c, delay_office office, void *ctx);

bool delay_address_is_gone(const struct delay_address *a);

/* The rest is the core's own. */

struct delay_address *delay_address_make(struct vhost *v, struct slice exchange); /* NULL without memory */
void delay_address_drop(struct delay_address *a);				  /* may be NULL */
/* Writer mutex held: the exchange has gone. */
void delay_address_gone(struct delay_address *a);

void delays_create(struct broker_core *c);
void delays_destroy(struct broker_core *c);

/* An entry for delay_begin or delay_cancel; NULL: no memory now. O(1). */
struct delayed *delay_take(struct broker_core *c);
void delay_cancel(struct broker_core *c, struct delayed *d);
/* Holds the message back, with references of its own. keys_or_null: see above. O(1). */
void delay_begin(struct broker_core *c, struct delayed *d, struct delay_address *a, struct message *m,
	struct message *keys_or_null, uint64_t us);

/* A slice, once a turn; how many have gone. */
unsigned delays_poll(struct broker_core *c);
/* Whether the next turn has work, and when else it has, at the latest. */
bool delays_busy(const struct broker_core *c);
uint64_t delays_next_us(const struct broker_core *c);

#endif
