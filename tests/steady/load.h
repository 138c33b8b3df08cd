/* SPDX-License-Identifier: Apache-2.0 */
/* Two AMQP 0-9-1 clients over a stack and a port of their own, on the thread that calls: one publishes to a
 * queue, the other consumes from it. */
#ifndef TESTS_STEADY_LOAD_H
#define TESTS_STEADY_LOAD_H

#include "transport/bypass.h"

enum { LOAD_BODY_BYTES = 16, LOAD_AHEAD = 500 /* messages on their way at once */ };

enum load_step { LOAD_START, LOAD_TUNE, LOAD_OPEN, LOAD_CHANNEL, LOAD_READY, LOAD_WORKING };

struct load_client {
	struct load *load;
	struct transport_conn *conn;
	enum load_step step;
	bool consumes;
	uint8_t frame[512]; /* the beginning of one that has not come whole */
	uint32_t have, skip;
};

struct load {
	struct bypass *b;
	struct load_client client[2];
	uint64_t published, received;
	bool broken; /* something came that should not have */
};

extern const struct transport_app load_app;

/* Connects both to the broker at this address, port 5672. b was created with load_app. */
void load_open(struct load *l, struct bypass *b, const struct ip_addr *broker, uint64_t now_us);
/* Whether both are at work. */
bool load_ready(const struct load *l);
/* Publishes as long as fewer than LOAD_AHEAD are on their way and `until` have not been published. */
void load_publish(struct load *l, uint64_t until);

#endif
