/* SPDX-License-Identifier: Apache-2.0 */
/* The scene of some server tests: `here` is a client of the first core, `there` one of the last, which owns
 * the queues; both have channel 1. One table of arguments or headers at a time is put together, one message
 * at a time is looked into. */
#ifndef BROKER_AMQP091_TESTING_PAIR_H
#define BROKER_AMQP091_TESTING_PAIR_H

#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

extern struct rig rig;
extern struct client here, there;

void pair_begin(uint32_t cores);
void pair_begin_with(const struct rig_options *o);
void pair_end(void); /* asserts that every pool is full again */

/* Under way since arguments(), which begins another one. */
extern struct amqp091_table_builder table;
struct amqp091_table_builder *arguments(void);
void pair_add_key(const char *header, const char *key); /* an array of one: CC, BCC */

/* By `there`, the answer asserted; with: the table as its arguments. */
void pair_declare_with(const char *queue);
void pair_bind(const char *exchange, const char *queue, const char *key);

/* By `here`, with the table as its headers, and a message-id; settled. */
void pair_publish_with(const char *exchange, const char *key, const char *body);

/* What came from a queue last, its properties decoded. */
extern struct pair_got {
	struct message *message; /* a reference, until pair_done */
	uint8_t block[4096];
	struct amqp091_basic_properties p;
} got;
void pair_take(const char *queue); /* the next one, settled, of the last core */
void pair_done(void);
bool pair_got_has(const char *header);
bool pair_text_is(const struct amqp091_table *t, const char *key, const char *text);

#endif
