/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables (4.2.5.5): iterate, look up, build. The field types are those on the wire of RabbitMQ and its
 * clients, which is not quite the specification's list:
 *
 *   t bool            b int8    B uint8    s int16 (the specification's short string is used by nobody)
 *   U int16           u uint16  I int32    i uint32    l, L int64
 *   f float           d double  D decimal  S long string    x octets
 *   T timestamp       F table   A array    V nothing
 *
 * amqp091_table_validate() stands in wire091.h; tables that came out of a decoder have been through it.
 * amqp091_next functions may also be given unchecked octets: then they fail where these are malformed, and
 * never read outside them. */
#ifndef BROKER_AMQP091_TABLE_H
#define BROKER_AMQP091_TABLE_H

#include "broker/amqp091/wire091.h"

/* One field. The wire's type letter says which member counts. Nested values are borrowed. */
struct amqp091_value {
	char type;
	uint8_t scale; /* D: the value is integer / 10^scale */
	union {
		bool boolean;		      /* t */
		int64_t integer;	      /* b B s U u I i l L, and D's unscaled value (unsigned 32) */
		uint64_t timestamp;	      /* T: seconds since 1970 */
		double real;		      /* f d */
		struct amqp091_longstr bytes; /* S x */
		struct amqp091_table table;   /* F */
		struct amqp091_table array;   /* A: fields without keys */
	};
};

/* Takes the first entry off *rest (a copy of the table to walk). 1 with key and value set, 0 at the end, or
 * AMQP091_ERR_SHORT or _MALFORMED. A nested table is not looked into. */
int amqp091_table_next(struct amqp091_table *rest, struct amqp091_shortstr *key, struct amqp091_value *value);

/* The same for an array's fields. */
int amqp091_array_next(struct amqp091_table *rest, struct amqp091_value *value);

/* The value of the first entry with this key (NUL-terminated, compared octet by octet). 0,
 * AMQP091_ERR_ABSENT, or as amqp091_table_next. Costs a walk over the table. */
int amqp091_table_find(const struct amqp091_table *t, const char *key, struct amqp091_value *value);

/* find, and the value as a plain one: a bool (t alone), an integer of any width and sign (not T, D, f, d), a
 * long string (S alone), a table (F alone). As find, or AMQP091_ERR_TYPE, with out untouched. */
int amqp091_table_get_bool(const struct amqp091_table *t, const char *key, bool *out);
int amqp091_table_get_int(const struct amqp091_table *t, const char *key, int64_t *out);
int amqp091_table_get_string(const struct amqp091_table *t, const char *key, struct amqp091_longstr *out);
int amqp091_table_get_table(const struct amqp091_table *t, const char *key, struct amqp091_table *out);

/* True for the types that carry an integer. */
bool amqp091_value_is_integer(const struct amqp091_value *v);

#define AMQP091_BUILDER_DEPTH_MAX 8u

/* Writes a table's entries one after another into a buffer of the caller's. The first failure (no room, a key
 * of more than 255 octets, nesting beyond AMQP091_BUILDER_DEPTH_MAX or not closed) stays and is told by
 * finish, so that a caller checks once. */
struct amqp091_table_builder {
	uint8_t *dst;
	uint32_t room;
	uint32_t len;
	int error;
	uint8_t depth;
	bool in_array[AMQP091_BUILDER_DEPTH_MAX + 1];
	uint32_t opened_at[AMQP091_BUILDER_DEPTH_MAX + 1];
};

/* Starts an empty table in dst, which stays the caller's and must outlive the table that finish gives. */
void amqp091_table_build(struct amqp091_table_builder *b, uint8_t *dst, uint32_t room);

/* Each adds one entry; within an array key is ignored and may be NULL. Integers go out as I or l. */
void amqp091_table_add_bool(struct amqp091_table_builder *b, const char *key, bool v);
void amqp091_table_add_int32(struct amqp091_table_builder *b, const char *key, int32_t v);
void amqp091_table_add_int64(struct amqp091_table_builder *b, const char *key, int64_t v);
void amqp091_table_add_timestamp(struct amqp091_table_builder *b, const char *key, uint64_t seconds);
void amqp091_table_add_cstring(struct amqp091_table_builder *b, const char *key, const char *v);
void amqp091_table_add_bytes(
	struct amqp091_table_builder *b, const char *key, const void *data, uint32_t len); /* type S */

/* Adds any value, as decoded from another table or filled in: for tables that are edited on the way. The key
 * may hold any octets. A letter that is no field type is AMQP091_ERR_MALFORMED. */
void amqp091_table_add_value(
	struct amqp091_table_builder *b, struct amqp091_shortstr key, const struct amqp091_value *v);

/* Opens a nested table or array, into which the calls up to the matching close go. */
void amqp091_table_open(struct amqp091_table_builder *b, const char *key);
void amqp091_array_open(struct amqp091_table_builder *b, const char *key);
void amqp091_table_close(struct amqp091_table_builder *b);

/* 0 with *out borrowing from dst, or AMQP091_ERR_ROOM, _MALFORMED or _DEPTH. */
int amqp091_table_finish(const struct amqp091_table_builder *b, struct amqp091_table *out);

#endif
