/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of whole connections share: a rig, what well-behaved clients say, and what must hold of a
 * server's answers to anything. */
#ifndef TESTS_FUZZ_AMQP091_CLIENTS_H
#define TESTS_FUZZ_AMQP091_CLIENTS_H

#include "broker/amqp091/codec.h"
#include "broker/amqp091/testing/rig.h"

enum { SCRIPT_ROOM = 4096 };

/* What a client says at once. */
struct script {
	uint8_t bytes[SCRIPT_ROOM];
	uint32_t n;
};

/* Starts EAL and opens the rig. Once a process. */
void fuzz_rig_open(struct rig *rig, const struct rig_options *o);

struct amqp091_shortstr fuzz_str(const char *text);
void fuzz_say(struct script *s, uint16_t channel, const struct amqp091_method *m);
/* Begins the script: from the header to channel 1, as guest in "/". */
void fuzz_say_opening(struct script *s, uint16_t heartbeat_s);
void fuzz_say_declare(struct script *s, const char *queue, bool exclusive);

/* A client that comes, publishes, gets its message and goes: its answers are those and no others. */
void fuzz_good_client(struct rig *rig, unsigned core);

/* Whatever was asked, the answer is whole frames; a cut one only where the connection ended. */
void fuzz_check_frames(const struct link *l);

#endif
