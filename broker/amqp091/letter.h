/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_AMQP091_LETTER_H
#define BROKER_AMQP091_LETTER_H

#include "broker/amqp091/office.h"
#include "broker/core/dead_letter.h"

struct amqp091_server;

enum { LETTER_QUEUES_MAX = 256 }; /* that a message may have been through without a rejection */

/* A core's office for dead letters; lies in its server. */
struct amqp091_letters {
	struct amqp091_office office;
	bool rejected;			      /* the letter under way: the last event is a rejection */
	bool has_cc;			      /* and its header CC names further keys */
	struct slice been[LETTER_QUEUES_MAX]; /* the queues that must not get it again; in its properties */
	uint32_t been_count;
	bool endless; /* they are more than that: nobody gets it */
	struct queue_filter filter;
};

/* Main thread. 0, or -1 without memory; end in either case. */
int amqp091_letters_begin(struct amqp091_server *s);
void amqp091_letters_end(struct amqp091_server *s);

#endif
