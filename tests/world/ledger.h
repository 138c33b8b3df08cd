/* SPDX-License-Identifier: Apache-2.0 */
/* The model: slow and obvious. An account of every copy of every message: where it may be, who had it, what
 * was said of it. It knows what clients know, so of some things only that they may be either way. */
#ifndef TESTS_WORLD_LEDGER_H
#define TESTS_WORLD_LEDGER_H

#include "tests/world/map.h"

enum { LEDGER_LIVES_MAX = 2048, LEDGER_MESSAGES_MAX = 8192, LEDGER_BODY_HEAD = 8, LEDGER_KEY_MAX = 16 };

/* A channel from its opening to its end. What was said on it has been heard for certain where it ended clean.
 */
typedef uint32_t ledger_life; /* 0: none */

void ledger_reset(void);

ledger_life ledger_life_begin(void);
/* What is out on it may come to others from now on. */
void ledger_life_closing(ledger_life life);
/* clean: by a close that was answered. */
void ledger_life_end(ledger_life life, bool clean);

/* A message of so many bytes that life publishes; its number, or UINT32_MAX where there is no room for more.
 */
uint32_t ledger_publish(ledger_life life, const struct map_route *r, uint32_t body_bytes, bool mandatory);
/* Its body: bytes from offset on. */
void ledger_body(uint32_t number, uint32_t offset, uint8_t *out, uint32_t bytes);
uint32_t ledger_body_bytes(uint32_t number);

/* The broker has answered for it, or for something that came after it: it is in its queues. */
void ledger_committed(uint32_t number);
void ledger_returned(uint32_t number);

/* What a delivery said. */
struct ledger_arrival {
	unsigned queue;
	ledger_life holder;
	bool redelivered, settled; /* settled: it needs no acknowledgement */
	const char *exchange, *key;
	const uint8_t *body;
	uint32_t body_bytes;
};
/* Fails the seed where it may not come; else its number. */
uint32_t ledger_arrived(const struct ledger_arrival *a);
/* Who published it, and as which of its messages: what keeps its order. */
ledger_life ledger_publisher(uint32_t number, uint32_t *order);

/* The holder said so. */
void ledger_settled(ledger_life holder, uint32_t number, unsigned queue);
void ledger_put_back(ledger_life holder, uint32_t number, unsigned queue);

/* A question about how many messages a queue has: at most and at least, once it has been answered. */
struct ledger_question {
	unsigned queue;
	uint32_t gone; /* copies that were settled when it was asked */
	uint64_t asked;
	ledger_life life; /* who asked, and how much it had published */
	uint32_t order;
};
struct ledger_question ledger_ask(unsigned queue, ledger_life life);
uint32_t ledger_most(const struct ledger_question *q);
uint32_t ledger_least(const struct ledger_question *q); /* of MAP_STILL; of others 0 */
void ledger_get_sent(unsigned queue);
void ledger_get_answered(unsigned queue);

/* All queues have been emptied: nothing is lost. */
void ledger_check(bool wide);

#endif
