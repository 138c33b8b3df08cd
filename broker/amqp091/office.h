/* SPDX-License-Identifier: Apache-2.0 */
/* What the core's offices (dead_letter.h, delay.h) have in common: each publishes messages that were in the
 * broker already, under other headers, one at a time. Lies in the core's server. */
#ifndef BROKER_AMQP091_OFFICE_H
#define BROKER_AMQP091_OFFICE_H

#include "broker/amqp091/codec.h"
#include "broker/core/exchange.h"

struct amqp091_server;

struct amqp091_office {
	struct session session; /* of the virtual host of the last message */
	bool has_session;
	struct message *made;	       /* the message under way, as it is published; NULL: none */
	uint8_t *headers, *properties; /* where its own are put together; headers: delivery_count.c's too */
	uint32_t room;		       /* of each, in octets */
};

/* Main thread. 0, or -1 without memory; end in either case. */
int office_begin(struct amqp091_server *s, struct amqp091_office *o);
void office_end(struct amqp091_server *s, struct amqp091_office *o);

/* The rest: the server's core. */

/* The message's properties, in the server's scratch. 0, or -1. */
int office_properties(struct amqp091_server *s, const struct message *m, struct amqp091_basic_properties *p);

/* Puts *p together with these headers, which may lie in o->headers: *block, decoded into *p again. 0, or -1:
 * there is no room for it. */
int office_properties_put(struct amqp091_office *o, struct amqp091_table headers,
	struct amqp091_basic_properties *p, struct slice *block);

/* o->made: e with the body of `from`. AGAIN: no memory now; FAILED: there never will be. The body is not
 * copied where it is a long one (message_new_with_body). */
enum publish_result office_make(struct amqp091_server *s, struct amqp091_office *o, struct message *from,
	const struct message_envelope *e);

/* Offers it by p, which says neither message nor from_inside. FAILED: nobody takes it. */
enum publish_result office_offer(
	struct amqp091_server *s, struct amqp091_office *o, struct vhost *v, struct publish *p);

/* It has gone, or will not. */
void office_done(struct amqp091_server *s, struct amqp091_office *o);

#endif
