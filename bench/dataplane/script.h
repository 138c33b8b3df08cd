/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says, as bytes made in advance: the way to an open channel, and a lap of messages that is
 * sent over and over. */
#ifndef BENCH_DATAPLANE_SCRIPT_H
#define BENCH_DATAPLANE_SCRIPT_H

#include "bench/dataplane/bench.h"

#include <stddef.h>

struct script {
	uint8_t *bytes;
	size_t count, room;
};

enum { SCRIPT_ACK_BYTES = 21, SCRIPT_NAME_BYTES = 16 };

void script_free(struct script *s);

/* The handshake without waiting for its answers, and channel 1. */
void script_open(struct script *s);
void script_confirm_select(struct script *s);
void script_declare_exchange(struct script *s, const char *name, const char *type);
void script_declare(struct script *s, const char *queue);
void script_bind(struct script *s, const char *queue, const char *exchange, const char *key);
void script_consume(struct script *s, const char *queue, bool no_ack);
void script_qos(struct script *s, uint16_t count);
void script_publish(struct script *s, const char *exchange, const char *key, unsigned bytes);

/* A basic.ack of SCRIPT_ACK_BYTES. */
void script_ack_put(uint8_t *p, uint64_t tag, bool multiple);

#endif
