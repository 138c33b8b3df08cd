/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a table's entries. A valid one iterates without an error at every depth, and a copy of it,
 * written by the builder, has the same length and copies to the same octets. An invalid one fails at some
 * entry or in some nested table, within bounds. */
#include "broker/amqp091/codec.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define SIZE_MAX_OCTETS (1u << 16)

/* 0 when all entries could be read, or the error. */
static int walk(struct amqp091_table rest, bool keys, unsigned depth)
{
	struct amqp091_shortstr key;
	struct amqp091_value v;
	int rc, inner = 0;

	if (depth > AMQP091_TABLE_DEPTH_MAX)
		return AMQP091_ERR_DEPTH;
	while ((rc = keys ? amqp091_table_next(&rest, &key, &v) : amqp091_array_next(&rest, &v)) > 0) {
		if (v.type == 'F' || v.type == 'A')
			inner = walk(v.table, v.type == 'F', depth + 1);
		if (inner)
			return inner;
	}
	return rc;
}

static struct amqp091_table copy(const struct amqp091_table *from, uint8_t *dst)
{
	struct amqp091_table_builder b;
	struct amqp091_table rest = *from, out = {NULL, 0};
	struct amqp091_shortstr key;
	struct amqp091_value v;

	amqp091_table_build(&b, dst, SIZE_MAX_OCTETS);
	while (amqp091_table_next(&rest, &key, &v) > 0)
		amqp091_table_add_value(&b, key, &v);
	FUZZ_MUST(amqp091_table_finish(&b, &out) == 0);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t first[SIZE_MAX_OCTETS], second[SIZE_MAX_OCTETS];

	if (size > SIZE_MAX_OCTETS)
		return 0;
	struct amqp091_table t = {data, (uint32_t)size};
	int rc = amqp091_table_validate(data, (uint32_t)size);
	FUZZ_MUST(rc == walk(t, true, 1));
	int64_t integer;
	amqp091_table_get_int(&t, "x-max-length", &integer);
	if (rc)
		return 0;
	struct amqp091_table once = copy(&t, first), twice = copy(&once, second);
	FUZZ_MUST(once.len == size && twice.len == size);
	FUZZ_MUST(size == 0 || memcmp(first, second, size) == 0);
	FUZZ_MUST(amqp091_table_validate(first, once.len) == 0);
	return 0;
}
