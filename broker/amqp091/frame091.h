/* SPDX-License-Identifier: Apache-2.0 */
/* Frames (4.2.3): type, channel, size, payload, frame-end. */
#ifndef BROKER_AMQP091_FRAME091_H
#define BROKER_AMQP091_FRAME091_H

#include "broker/amqp091/constants.h"
#include "broker/amqp091/wire091.h"

#define AMQP091_FRAME_HEADER_SIZE 7u
/* Header and frame-end: what a frame takes beyond its payload. frame-max counts it (connection.tune). */
#define AMQP091_FRAME_OVERHEAD 8u

/* What a client sends first, and what a server answers to any other opening, before it closes (4.2.2). */
#define AMQP091_PROTOCOL_HEADER	     "AMQP\0\0\x09\x01"
#define AMQP091_PROTOCOL_HEADER_SIZE 8u

struct amqp091_frame {
	uint8_t type;
	uint16_t channel;
	uint32_t size; /* of the payload */
};

/* Reads the 7 octets of a frame header; says nothing about their sense. */
static inline struct amqp091_frame amqp091_frame_header_get(const uint8_t *p)
{
	return (struct amqp091_frame){p[0], wire_get16(p + 1), wire_get32(p + 3)};
}

/* 0 for a frame that may be received, AMQP091_ERR_FRAME_TYPE, or AMQP091_ERR_FRAME_SIZE where payload and
 * overhead exceed frame_max octets (0: no limit). Which channels a type may use is the connection's matter.
 */
static inline int amqp091_frame_header_check(const struct amqp091_frame *f, uint32_t frame_max)
{
	if (f->type != AMQP091_FRAME_BODY && f->type != AMQP091_FRAME_METHOD &&
		f->type != AMQP091_FRAME_HEADER && f->type != AMQP091_FRAME_HEARTBEAT)
		return AMQP091_ERR_FRAME_TYPE;
	if (frame_max && (uint64_t)f->size + AMQP091_FRAME_OVERHEAD > frame_max)
		return AMQP091_ERR_FRAME_SIZE;
	return 0;
}

/* Takes a whole frame from the front of contiguous input. Returns its length in octets (payload at
 * p + AMQP091_FRAME_HEADER_SIZE), 0 when more input is needed, or AMQP091_ERR_FRAME_TYPE, _SIZE or _END. A
 * bad type or size is told as soon as the header is there. */
static inline int64_t amqp091_frame_parse(
	const uint8_t *p, uint32_t len, uint32_t frame_max, struct amqp091_frame *out)
{
	if (len < AMQP091_FRAME_HEADER_SIZE)
		return 0;
	*out = amqp091_frame_header_get(p);
	int error = amqp091_frame_header_check(out, frame_max);
	if (error)
		return error;
	uint64_t total = (uint64_t)out->size + AMQP091_FRAME_OVERHEAD;
	if (total > len)
		return 0;
	return p[total - 1] == AMQP091_FRAME_END ? (int64_t)total : AMQP091_ERR_FRAME_END;
}

/* Writes the 7 octets of a frame header, returns the octet after. The payload and AMQP091_FRAME_END follow.
 */
static inline uint8_t *amqp091_frame_header_put(uint8_t *p, uint8_t type, uint16_t channel, uint32_t size)
{
	return amqp091_put32(amqp091_put16(amqp091_put8(p, type), channel), size);
}

#define AMQP091_HEARTBEAT_SIZE 8u

/* Writes a heartbeat frame, AMQP091_HEARTBEAT_SIZE octets. */
static inline uint8_t *amqp091_heartbeat_put(uint8_t *p)
{
	return amqp091_put8(amqp091_frame_header_put(p, AMQP091_FRAME_HEARTBEAT, 0, 0), AMQP091_FRAME_END);
}

/* The payload of a content header frame (4.2.6.1). */
struct amqp091_content_header {
	uint16_t class_id;
	uint64_t body_size;	   /* octets, over all body frames */
	const uint8_t *properties; /* flag word and values, borrowed; not yet validated */
	uint32_t properties_len;
};

/* Reads a content header's payload. 0, AMQP091_ERR_SHORT, or _MALFORMED where weight is not 0. */
static inline int amqp091_content_header_decode(
	const uint8_t *payload, uint32_t len, struct amqp091_content_header *out)
{
	if (len < 14)
		return AMQP091_ERR_SHORT;
	*out = (struct amqp091_content_header){
		wire_get16(payload), wire_get64(payload + 4), payload + 12, len - 12};
	return wire_get16(payload + 2) ? AMQP091_ERR_MALFORMED : 0;
}

/* Octets of a whole content header frame with a property block of properties_len octets. */
static inline uint32_t amqp091_content_header_frame_size(uint32_t properties_len)
{
	return AMQP091_FRAME_OVERHEAD + 12 + properties_len;
}

/* Writes a whole content header frame, unchecked (room: the size above), returns the octet after. The
 * property block is written as given; at the least it is the flag word. */
static inline uint8_t *amqp091_content_header_frame_put(
	uint8_t *p, uint16_t channel, const struct amqp091_content_header *h)
{
	p = amqp091_frame_header_put(p, AMQP091_FRAME_HEADER, channel, 12 + h->properties_len);
	p = amqp091_put16(amqp091_put16(p, h->class_id), 0);
	p = amqp091_put64(p, h->body_size);
	p = amqp091_put_bytes(p, h->properties, h->properties_len);
	return amqp091_put8(p, AMQP091_FRAME_END);
}

#endif
