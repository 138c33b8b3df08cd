/* SPDX-License-Identifier: Apache-2.0 */
/* As much of AMQP 0-9-1 as the soak's clients say, written by hand: what is tried is not what tries. Texts
 * are C strings below 256 bytes; whoever writes owns the room. */
#ifndef SOAK_FRAMES_H
#define SOAK_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8, FRAME_OVERHEAD = 8 };

#define ID(class_id, method_id) ((uint32_t)(class_id) << 16 | (method_id))
enum {
	START = ID(10, 10),
	TUNE = ID(10, 30),
	OPEN_OK = ID(10, 41),
	CLOSE = ID(10, 50),
	CLOSE_OK = ID(10, 51),
	BLOCKED = ID(10, 60),
	UNBLOCKED = ID(10, 61),
	CHANNEL_OPEN_OK = ID(20, 11),
	CHANNEL_CLOSE = ID(20, 40),
	CHANNEL_CLOSE_OK = ID(20, 41),
	EXCHANGE_DECLARE_OK = ID(40, 11),
	EXCHANGE_DELETE_OK = ID(40, 21),
	QUEUE_DECLARE_OK = ID(50, 11),
	QUEUE_BIND_OK = ID(50, 21),
	QUEUE_PURGE_OK = ID(50, 31),
	QUEUE_DELETE_OK = ID(50, 41),
	QUEUE_UNBIND_OK = ID(50, 51),
	QOS_OK = ID(60, 11),
	CONSUME_OK = ID(60, 21),
	CANCEL = ID(60, 30),
	CANCEL_OK = ID(60, 31),
	RETURN = ID(60, 50),
	DELIVER = ID(60, 60),
	GET_OK = ID(60, 71),
	GET_EMPTY = ID(60, 72),
	ACK = ID(60, 80),
	RECOVER_OK = ID(60, 111),
	NACK = ID(60, 120),
	SELECT_OK = ID(85, 11),
};

/* What is to be sent: grows, aborts without memory. */
struct out {
	uint8_t *p;
	size_t n, room;
};

void out_raw(struct out *o, const void *p, size_t n);

/* Protocol header, start-ok as guest, tune-ok, open. heartbeat_s 0: none. */
void say_hello(struct out *o, uint16_t heartbeat_s);
void say_heartbeat(struct out *o);
void say_close(struct out *o);
void say_close_ok(struct out *o);
void say_channel_open(struct out *o, uint16_t channel);
void say_channel_close(struct out *o, uint16_t channel);
void say_channel_close_ok(struct out *o, uint16_t channel);
void say_exchange_declare(
	struct out *o, uint16_t channel, const char *name, const char *type, bool auto_delete);
void say_exchange_delete(struct out *o, uint16_t channel, const char *name);

enum { PASSIVE = 1, EXCLUSIVE = 4, AUTO_DELETE = 8, NO_WAIT = 16 };
void say_queue_declare(struct out *o, uint16_t channel, const char *name, unsigned bits);
/* header: the value that the header "id" must have; NULL: no arguments. Likewise when publishing. */
void say_queue_bind(struct out *o, uint16_t channel, const char *queue, const char *exchange, const char *key,
	const char *header);
void say_queue_unbind(struct out *o, uint16_t channel, const char *queue, const char *exchange,
	const char *key, const char *header);
void say_queue_purge(struct out *o, uint16_t channel, const char *name);
void say_queue_delete(struct out *o, uint16_t channel, const char *name, bool no_wait);
void say_qos(struct out *o, uint16_t channel, uint16_t count);
void say_consume(struct out *o, uint16_t channel, const char *queue, const char *tag, bool no_ack);
void say_cancel(struct out *o, uint16_t channel, const char *tag);
void say_get(struct out *o, uint16_t channel, const char *queue, bool no_ack);
void say_ack(struct out *o, uint16_t channel, uint64_t tag, bool multiple);
void say_nack(struct out *o, uint16_t channel, uint64_t tag, bool requeue);
void say_recover(struct out *o, uint16_t channel);
void say_confirm_select(struct out *o, uint16_t channel);

struct publish {
	const char *exchange, *key, *header;
	bool mandatory;
	const void *head; /* the body's first bytes; it is filled up with a pattern */
	uint32_t head_bytes, body_bytes;
};
void say_publish(struct out *o, uint16_t channel, const struct publish *p);

struct frame {
	uint8_t type;
	uint16_t channel;
	const uint8_t *p; /* the payload, n bytes */
	uint32_t n;
};

/* The frame that data, n bytes of it, begins with. Returns its length on the wire; 0: it is not all there;
 * -1: that is none. */
long frame_next(const uint8_t *data, size_t n, struct frame *out);

/* ID of a method frame, 0 where it is too short for one. */
uint32_t frame_method(const struct frame *f);

#endif
