/* SPDX-License-Identifier: Apache-2.0 */
/* What clients send, and what they await for it. */
#ifndef TESTS_WORLD_REQUESTS_H
#define TESTS_WORLD_REQUESTS_H

#include "tests/world/acts.h"

enum settle_how { SETTLE_TAKE, SETTLE_PUT_BACK, SETTLE_REJECT };

/* To this queue; -1: anywhere. */
void request_publish(struct client *c, struct channel *ch, int queue);
void request_get(struct client *c, struct channel *ch, unsigned queue);
void request_cancel(struct client *c, struct channel *ch, unsigned consumer);
/* The at-th that the channel holds; multiple: and all before it. */
void request_settle(struct client *c, struct channel *ch, unsigned at, bool multiple, enum settle_how how);
/* Only where nothing is delivered on the channel meanwhile. */
void request_recover(struct client *c, struct channel *ch);
void request_purge(struct client *c, struct channel *ch, unsigned queue);
void request_delete_exchange(struct client *c, struct channel *ch, const char *name);
/* Each ends the channel by an error. */
void request_missing_queue(struct client *c, struct channel *ch);
void request_missing_exchange(struct client *c, struct channel *ch);
void request_missing_tag(struct client *c, struct channel *ch);

#endif
