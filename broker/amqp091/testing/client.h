/* SPDX-License-Identifier: Apache-2.0 */
/* A client for tests: writes frames as they should be or as they should not, and takes what the server sent
 * frame by frame, asserting on it. It waits for nothing but the rig to settle. */
#ifndef BROKER_AMQP091_TESTING_CLIENT_H
#define BROKER_AMQP091_TESTING_CLIENT_H

#include "broker/amqp091/codec.h"
#include "broker/amqp091/testing/rig.h"
#include "tests/unit/unit.h"

struct client {
	struct rig *rig;
	struct link link;
	uint32_t frame_max;
	struct amqp091_method method; /* the last one expected */
};

struct client_options {
	const char *user, *password, *vhost;
	uint32_t frame_max;
	uint16_t channel_max, heartbeat_s;
	bool notify_cancel, hear_blocked;
	unsigned core;
};

/* guest, "/", what the rig's defaults offer, with consumer_cancel_notify. */
struct client_options client_options(void);

void client_attach(struct client *c, struct rig *r);		     /* a connection without a word said */
void client_open(struct client *c, struct rig *r);		     /* handshake done */
void client_open_at(struct client *c, struct rig *r, unsigned core); /* the same on that core */
void client_open_with(struct client *c, struct rig *r, const struct client_options *o);
void client_channel(struct client *c, uint16_t number); /* opens a channel */
void client_close(struct client *c);			/* connection.close, close-ok, FIN; asserts each */
void client_drop(struct client *c);			/* RST */

/* Sending. Strings are NUL-terminated. */
void client_raw(struct client *c, const void *bytes, size_t n);
void client_frame(struct client *c, uint8_t type, uint16_t channel, const void *payload, uint32_t n);
void client_method(struct client *c, uint16_t channel, const struct amqp091_method *m);
void client_plain(struct client *c, uint16_t channel, uint32_t id); /* a method without arguments set */
/* What a client says that it can: bits. */
enum { CLIENT_CANCEL_NOTIFY = 1, CLIENT_BLOCKED = 2, CLIENT_FAILURE_CLOSE = 4 };
void client_start_ok(
	struct client *c, const char *mechanism, const void *response, uint32_t n, unsigned capabilities);
void client_login(struct client *c, const char *user, const char *password); /* start-ok with PLAIN */
void client_tune_ok(struct client *c, uint16_t channel_max, uint32_t frame_max, uint16_t heartbeat_s);
void client_connection_open(struct client *c, const char *vhost);

struct amqp091_shortstr str(const char *text);

/* Receiving: the rig settles, then the next frame is taken. */
struct client_frame {
	struct amqp091_frame head;
	const uint8_t *payload;
};
bool client_next(struct client *c, struct client_frame *out); /* false: nothing there */
const struct amqp091_method *client_expect(struct client *c, uint16_t channel, uint32_t id);
void client_expect_nothing(struct client *c);
void client_expect_channel_close(struct client *c, uint16_t channel, uint16_t code, uint32_t id);
/* The same with this text; then the channel is opened anew. */
void client_expect_refusal(struct client *c, uint16_t channel, uint16_t code, uint32_t id, const char *text);
void client_expect_close(struct client *c, uint16_t code, uint32_t id);
/* ... and answers it, and sees the connection end with FIN both ways. */
void client_expect_ended(struct client *c, uint16_t code, uint32_t id);
/* The same with this text. */
void client_expect_close_with(struct client *c, uint16_t code, uint32_t id, const char *text);
void client_expect_ended_with(struct client *c, uint16_t code, uint32_t id, const char *text);
void client_expect_silent_end(struct client *c); /* FIN both ways, without a word said */

/* Messages. */
struct client_content {
	uint64_t bytes; /* announced */
	uint32_t frames;
	uint8_t *body; /* bytes long, freed by client_content_free */
	uint32_t properties_bytes;
};
void client_publish_method(
	struct client *c, uint16_t channel, const char *exchange, const char *key, bool mandatory);
void client_content_header(struct client *c, uint16_t channel, uint64_t body_bytes);
/* With a header table that takes so many octets. */
void client_content_header_with(
	struct client *c, uint16_t channel, uint64_t body_bytes, uint32_t table_bytes);
void client_body(struct client *c, uint16_t channel, const void *body, uint32_t n);
/* All of it, the body in frames of the agreed size. */
void client_publish(struct client *c, uint16_t channel, const char *exchange, const char *key,
	const void *body, uint32_t n);
/* All of it, with properties and a body of one frame; with: to the default exchange. */
void client_publish_to(struct client *c, uint16_t channel, const char *exchange, const char *key,
	const struct amqp091_basic_properties *properties, const char *body);
void client_publish_with(struct client *c, uint16_t channel, const char *key,
	const struct amqp091_basic_properties *properties, const char *body);
/* A content-bearing method on this channel, its header and bodies. */
const struct amqp091_method *client_expect_content(
	struct client *c, uint16_t channel, uint32_t id, struct client_content *out);
void client_content_free(struct client_content *content);
/* The same where the body is this text. */
const struct amqp091_method *client_expect_text(
	struct client *c, uint16_t channel, uint32_t id, const char *text);

/* Requests and their answers. */
void client_declare(struct client *c, uint16_t channel, const char *queue); /* plain, declare-ok asserted */
void client_bind(
	struct client *c, uint16_t channel, const char *exchange, const char *queue, const char *key);
/* Declares a queue with so many bindings that its end takes turns, and sends queue.delete. */
void client_delete_slowly(struct client *c, uint16_t channel, const char *queue);
void client_consume(struct client *c, uint16_t channel, const char *queue, const char *tag, bool no_ack);
void client_get(struct client *c, uint16_t channel, const char *queue, bool no_ack); /* sends only */
void client_confirm_select(struct client *c, uint16_t channel);
void client_qos(struct client *c, uint16_t channel, uint16_t count, bool global);
void client_ack(struct client *c, uint16_t channel, uint64_t tag, bool multiple);
void client_nack(struct client *c, uint16_t channel, uint64_t tag, bool multiple, bool requeue);
uint32_t client_ready_count(struct client *c, uint16_t channel, const char *queue); /* passive declare */

#endif
