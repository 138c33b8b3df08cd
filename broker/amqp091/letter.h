/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_AMQP091_LETTER_H
#define BROKER_AMQP091_LETTER_H

#include "broker/amqp091/codec.h"
#include "broker/core/dead_letter.h"

struct amqp091_server;

/* A core's office for dead letters; lies in its server. */
struct amqp091_letters {
	struct session session; /* of the virtual host of the last letter */
	bool has_session;
	bool rejected;		     /* the letter under way: the last event is a rejection */
	bool has_keys;		     /* and its header CC names further keys */
	struct message *made;	     /* the letter under way, as it is published; NULL: none */
	struct amqp091_table deaths; /* its x-death, in properties */
	struct queue_filter filter;
	uint8_t *headers, *properties; /* where its own are put together; headers: delivery_count.c's too */
	uint32_t room;		       /* of each, in octets */
};

/* Main thread. 0, or -1 without memory; end in either case. */
int amqp091_letters_begin(struct amqp091_server *s);
void amqp091_letters_end(struct amqp091_server *s);

#endif
