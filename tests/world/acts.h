/* SPDX-License-Identifier: Apache-2.0 */
/* What clients do, by chance. */
#ifndef TESTS_WORLD_ACTS_H
#define TESTS_WORLD_ACTS_H

#include "tests/world/client.h"

/* What this seed does more or less of. */
struct acts {
	uint32_t budget; /* things still to be done, by all clients */
	uint32_t body_max;
	uint32_t kill_permille;	 /* of them */
	uint32_t close_permille; /* connections closed as they should be */
	bool wide;
	bool hot; /* much happens to few queues, consumers come and go at once */
};
extern struct acts acts;

/* What client c does now. */
void act(struct client *c);

/* Requests, for those who know what they want. */
void act_open_channel(struct client *c, struct channel *ch, bool confirming);
void act_declare(struct client *c, struct channel *ch, unsigned queue, bool passive);
void act_bind(struct client *c, struct channel *ch, const char *exchange, const char *key, unsigned queue,
	bool header, bool undo);
void act_declare_exchange(struct client *c, struct channel *ch, const char *name, const char *type);
void act_delete(struct client *c, struct channel *ch, unsigned queue);
void act_consume(struct client *c, struct channel *ch, unsigned queue, bool no_ack, bool exclusive);
void act_qos(struct client *c, struct channel *ch, uint16_t count, bool global);
/* All that the channel holds. */
void act_ack_all(struct client *c, struct channel *ch);
void act_close_channel(struct client *c, struct channel *ch);

#endif
