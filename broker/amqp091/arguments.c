/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables as the core's neutral fields. */
#include "broker/amqp091/internal.h"

static bool neutral_value(
	const struct amqp091_value *v, const uint8_t *raw, uint32_t raw_bytes, struct value *out)
{
	switch (v->type) {
	case 't':
		*out = (struct value){.kind = VALUE_BOOL, .boolean = v->boolean};
		return true;
	case 'f':
	case 'd':
		*out = (struct value){.kind = VALUE_DOUBLE, .real = v->real};
		return true;
	case 'T':
		*out = (struct value){.kind = VALUE_TIMESTAMP, .integer = (int64_t)v->timestamp};
		return true;
	case 'S':
	case 'x':
		*out = (struct value){.kind = VALUE_STRING, .bytes = {v->bytes.data, v->bytes.len}};
		return true;
	case 'V':
		*out = (struct value){.kind = VALUE_VOID};
		return true;
	case 'D':
	case 'F':
	case 'A':
		*out = (struct value){.kind = VALUE_OPAQUE, .bytes = {raw, raw_bytes}};
		return true;
	default:
		if (!amqp091_value_is_integer(v))
			return false;
		*out = (struct value){.kind = VALUE_INT, .integer = v->integer};
		return true;
	}
}

bool arguments_value(const struct amqp091_value *v, const uint8_t *raw, uint32_t raw_bytes, struct value *out)
{
	if (!neutral_value(v, raw, raw_bytes, out))
		return false;
	out->letter = v->type;
	return true;
}

bool arguments_fields(struct amqp091_table table, struct field *at, struct fields *out)
{
	struct amqp091_shortstr key;
	struct amqp091_value v;
	uint32_t count = 0;

	while (table.len) {
		const uint8_t *entry = table.data;
		if (amqp091_table_next(&table, &key, &v) != 1)
			return false;
		if (count == AMQP091_FIELDS_MAX)
			return false;
		const uint8_t *raw = entry + 1 + key.len;
		at[count].name = slice_of(key);
		if (!arguments_value(&v, raw, (uint32_t)(table.data - raw), &at[count].value))
			return false;
		count++;
	}
	*out = (struct fields){at, count};
	return true;
}
