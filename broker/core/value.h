/* SPDX-License-Identifier: Apache-2.0 */
/* The neutral form of what protocols say in argument tables and message headers. An adaptor converts from and
 * to its own encoding; exchanges, queues and consumers see these alone. */
#ifndef BROKER_CORE_VALUE_H
#define BROKER_CORE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct siphash_key;

/* Borrowed bytes; not NUL-terminated. */
struct slice {
	const uint8_t *data;
	uint32_t bytes;
};

enum value_kind {
	VALUE_VOID,
	VALUE_BOOL,
	VALUE_INT,    /* any integer width, signed or not, that fits int64 */
	VALUE_DOUBLE, /* float and double */
	VALUE_STRING, /* text or binary */
	VALUE_TIMESTAMP,
	VALUE_OPAQUE, /* decimal, table, array: compared byte for byte, as encoded by the protocol */
};

struct value {
	enum value_kind kind;
	char letter; /* its type in AMQP 0-9-1's tables, or 0: error texts name it, nothing is compared by it
		      */
	union {
		bool boolean;
		int64_t integer; /* also VALUE_TIMESTAMP, seconds */
		double real;
		struct slice bytes;
	};
};

struct field {
	struct slice name;
	struct value value;
};

/* A list of fields; borrowed. */
struct fields {
	const struct field *at;
	uint32_t count;
};

/* The field of that name, or NULL. O(count). */
const struct value *fields_find(const struct fields *f, const char *name);

const struct value *fields_find_slice(const struct fields *f, struct slice name);

bool slice_equal(struct slice a, struct slice b);
bool slice_equals_text(struct slice a, const char *text);
/* Same kind and same content; integers compare by value whatever their width was. */
bool value_equal(const struct value *a, const struct value *b);
/* For copies alone: puts names in order, and the values of one name. O(count log count). */
void fields_sort(struct fields *copy);
/* Both sorted: the same fields, names that come several times included. O(count). */
bool fields_equal(const struct fields *a, const struct fields *b);

/* For error texts: RabbitMQ's name of its type; and what it is, cut to what fits (returns text). */
const char *value_kind_name(const struct value *v);
enum { VALUE_TEXT_BYTES = 64 };
const char *value_text(char text[VALUE_TEXT_BYTES], const struct value *v);

/* A keyed hash of a field, from one of its name: equal fields have equal ones. */
uint64_t field_hash(const struct siphash_key *key, uint64_t name_hash, const struct value *v);

size_t fields_bytes(const struct fields *f); /* of a copy */

/* A copy in one allocation, independent of what `from` borrows; 0, or -1 without memory. fields_free gives
 * it back. Cold paths, any thread. */
int fields_copy(struct fields *to, const struct fields *from);
void fields_free(struct fields *f);

#endif
