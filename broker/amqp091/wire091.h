/* SPDX-License-Identifier: Apache-2.0 */
/* AMQP 0-9-1's wire: error codes, the field types as slices borrowed from the input, the reader and writers
 * that the generated methods are made of, UTF-8. Nothing here allocates, locks or keeps state; every function
 * may run on any core. */
#ifndef BROKER_AMQP091_WIRE091_H
#define BROKER_AMQP091_WIRE091_H

#include "runtime/wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Why a decode, an encode or a lookup failed. codec.h maps them to reply codes. */
enum amqp091_error {
	AMQP091_ERR_SHORT = -1,	      /* the input ends inside a field */
	AMQP091_ERR_MALFORMED = -2,   /* a value that the grammar does not allow */
	AMQP091_ERR_TRAILING = -3,    /* octets are left after the last field */
	AMQP091_ERR_UTF8 = -4,	      /* a short string that is not UTF-8 */
	AMQP091_ERR_DEPTH = -5,	      /* tables and arrays nested deeper than AMQP091_TABLE_DEPTH_MAX */
	AMQP091_ERR_UNKNOWN = -6,     /* no method has this class and method id */
	AMQP091_ERR_ROOM = -7,	      /* the output has no room; nothing usable was written */
	AMQP091_ERR_ABSENT = -8,      /* the table has no such key */
	AMQP091_ERR_TYPE = -9,	      /* the key is there with a value of another type */
	AMQP091_ERR_FRAME_TYPE = -10, /* no such frame type */
	AMQP091_ERR_FRAME_SIZE = -11, /* the frame is larger than frame-max */
	AMQP091_ERR_FRAME_END = -12,  /* the frame-end octet is not 206 */
};

/* Slices: data is borrowed from whatever was decoded and lives as long as that; it is not NUL-terminated and
 * may be NULL where len is 0. */
struct amqp091_shortstr {
	const uint8_t *data;
	uint8_t len;
};

struct amqp091_longstr {
	const uint8_t *data;
	uint32_t len;
};

/* A field table's entries as on the wire, without the length in front. A decoded one has been validated, so
 * iterating over it cannot fail (table.h). */
struct amqp091_table {
	const uint8_t *data;
	uint32_t len;
};

/* True where data is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). ASCII
 * costs one load per 8 octets. data may be NULL where len is 0. */
bool amqp091_utf8_valid(const uint8_t *data, uint32_t len);

/* Checks a table's len octets of entries (without the length in front) through to the last field of the last
 * nested table: 0, AMQP091_ERR_SHORT, _MALFORMED (no such field type) or _DEPTH. Its stack is bounded by
 * AMQP091_TABLE_DEPTH_MAX. Keys need not be UTF-8, may be empty and may repeat. (4.2.5.5) */
int amqp091_table_validate(const uint8_t *data, uint32_t len);

/* How many tables and arrays may lie within one another, the outermost table counted. */
#define AMQP091_TABLE_DEPTH_MAX 32u

/* Reads fields one after another. The first failure stays in error; reads after it give zeros and touch
 * nothing, so that a decoder checks once, at its end. */
struct amqp091_reader {
	const uint8_t *p;
	uint32_t left;
	int error;
};

static inline void amqp091_reader_init(struct amqp091_reader *r, const uint8_t *data, uint32_t len)
{
	r->p = data;
	r->left = len;
	r->error = 0;
}

/* 0 when all was read and nothing is left, or the first error, or AMQP091_ERR_TRAILING. */
static inline int amqp091_reader_finish(const struct amqp091_reader *r)
{
	if (r->error)
		return r->error;
	return r->left ? AMQP091_ERR_TRAILING : 0;
}

/* The next len octets, or NULL with error set. */
static inline const uint8_t *amqp091_read_bytes(struct amqp091_reader *r, uint32_t len)
{
	const uint8_t *p = r->p;

	if (__builtin_expect(len > r->left, 0)) {
		if (!r->error)
			r->error = AMQP091_ERR_SHORT;
		r->left = 0;
		return NULL;
	}
	if (len) {
		r->p += len;
		r->left -= len;
	}
	return p;
}

static inline uint8_t amqp091_read8(struct amqp091_reader *r)
{
	const uint8_t *p = amqp091_read_bytes(r, 1);
	return p ? *p : 0;
}

static inline uint16_t amqp091_read16(struct amqp091_reader *r)
{
	const uint8_t *p = amqp091_read_bytes(r, 2);
	return p ? wire_get16(p) : 0;
}

static inline uint32_t amqp091_read32(struct amqp091_reader *r)
{
	const uint8_t *p = amqp091_read_bytes(r, 4);
	return p ? wire_get32(p) : 0;
}

static inline uint64_t amqp091_read64(struct amqp091_reader *r)
{
	const uint8_t *p = amqp091_read_bytes(r, 8);
	return p ? wire_get64(p) : 0;
}

static inline struct amqp091_shortstr amqp091_read_shortstr(struct amqp091_reader *r)
{
	uint8_t len = amqp091_read8(r);
	const uint8_t *data = amqp091_read_bytes(r, len);
	return (struct amqp091_shortstr){data, data ? len : 0};
}

/* A short string that must be UTF-8 (4.2.5.3), or AMQP091_ERR_UTF8. */
static inline struct amqp091_shortstr amqp091_read_shortstr_utf8(struct amqp091_reader *r)
{
	struct amqp091_shortstr s = amqp091_read_shortstr(r);
	if (s.len && !amqp091_utf8_valid(s.data, s.len) && !r->error)
		r->error = AMQP091_ERR_UTF8;
	return s;
}

static inline struct amqp091_longstr amqp091_read_longstr(struct amqp091_reader *r)
{
	uint32_t len = amqp091_read32(r);
	const uint8_t *data = amqp091_read_bytes(r, len);
	return (struct amqp091_longstr){data, data ? len : 0};
}

/* A table whose entries are checked through, at any depth. */
static inline struct amqp091_table amqp091_read_table(struct amqp091_reader *r)
{
	struct amqp091_longstr raw = amqp091_read_longstr(r);
	int error = raw.len ? amqp091_table_validate(raw.data, raw.len) : 0;
	if (error && !r->error)
		r->error = error;
	return (struct amqp091_table){raw.data, raw.len};
}

/* Writers: each writes at p, where the caller has checked the room, and returns the octet after. */
static inline uint8_t *amqp091_put8(uint8_t *p, uint8_t v)
{
	*p = v;
	return p + 1;
}

static inline uint8_t *amqp091_put16(uint8_t *p, uint16_t v)
{
	wire_put16(p, v);
	return p + 2;
}

static inline uint8_t *amqp091_put32(uint8_t *p, uint32_t v)
{
	wire_put32(p, v);
	return p + 4;
}

static inline uint8_t *amqp091_put64(uint8_t *p, uint64_t v)
{
	wire_put64(p, v);
	return p + 8;
}

static inline uint8_t *amqp091_put_bytes(uint8_t *p, const uint8_t *data, uint32_t len)
{
	if (len)
		memcpy(p, data, len);
	return p + len;
}

static inline uint8_t *amqp091_put_shortstr(uint8_t *p, struct amqp091_shortstr s)
{
	return amqp091_put_bytes(amqp091_put8(p, s.len), s.data, s.len);
}

static inline uint8_t *amqp091_put_longstr(uint8_t *p, struct amqp091_longstr s)
{
	return amqp091_put_bytes(amqp091_put32(p, s.len), s.data, s.len);
}

static inline uint8_t *amqp091_put_table(uint8_t *p, struct amqp091_table t)
{
	return amqp091_put_bytes(amqp091_put32(p, t.len), t.data, t.len);
}

#endif
