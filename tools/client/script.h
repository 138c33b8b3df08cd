/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says, as bytes made in advance. Everything after the handshake is said on its channel. Made
 * before a run: memory grows by realloc, and what is too long for a name aborts. */
#ifndef TOOLS_CLIENT_SCRIPT_H
#define TOOLS_CLIENT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amqp091_table;

struct script {
	uint8_t *bytes;
	size_t count, room;
	uint32_t frame_max; /* of body frames; 0: 131072 */
	uint16_t channel;   /* 0: 1 */
	unsigned answers;   /* methods among them that the broker answers; the handshake's not counted */
};

enum { SCRIPT_ACK_BYTES = 21, SCRIPT_NAME_BYTES = 16 };
enum script_queue { SCRIPT_DURABLE = 1, SCRIPT_EXCLUSIVE = 2, SCRIPT_AUTO_DELETE = 4 };

void script_free(struct script *s);
void script_clear(struct script *s); /* keeps the memory */
void script_raw(struct script *s, const void *bytes, size_t n);

/* The handshake, piece by piece. */
void script_protocol_header(struct script *s);
void script_start_ok(struct script *s, const char *user, const char *password);
void script_tune_ok(struct script *s, uint16_t channel_max, uint32_t frame_max, uint16_t heartbeat_s);
void script_connection_open(struct script *s, const char *vhost);
void script_channel_open(struct script *s);
/* All of it as guest, without waiting for answers, and channel 1. */
void script_open(struct script *s);

void script_close(struct script *s); /* connection.close */

void script_confirm_select(struct script *s);
void script_tx_select(struct script *s);
void script_tx_commit(struct script *s);
void script_declare_exchange(struct script *s, const char *name, const char *type);
/* flags: enum script_queue. */
void script_declare(struct script *s, const char *queue, unsigned flags);
/* The same with arguments, which are copied. */
void script_declare_with(
	struct script *s, const char *queue, unsigned flags, const struct amqp091_table *arguments);
void script_purge(struct script *s, const char *queue);
void script_delete(struct script *s, const char *queue);
/* Without an answer. */
void script_bind(struct script *s, const char *queue, const char *exchange, const char *key);
void script_consume(struct script *s, const char *queue, const char *tag, bool no_ack);
void script_qos(struct script *s, uint16_t count);
/* The body is x's. Returns where it begins in the message, which is what was added. */
size_t script_publish(struct script *s, const char *exchange, const char *key, size_t bytes, bool durable);
/* The same with this body. */
void script_publish_text(struct script *s, const char *exchange, const char *key, const char *text);

/* A basic.ack of SCRIPT_ACK_BYTES. */
void script_ack_put(uint8_t *p, uint64_t tag, bool multiple);

#endif
