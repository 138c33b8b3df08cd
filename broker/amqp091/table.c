/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/table.h"
#include "broker/amqp091/table_types.h"

/* Takes one value's octets; sets the reader's error where that cannot be. */
static const uint8_t *value_take(struct amqp091_reader *r, char *type, uint32_t *len)
{
	*type = (char)amqp091_read8(r);
	if (r->error)
		return NULL;
	int size = amqp091_type_size(*type);
	if (size == AMQP091_TYPE_NONE) {
		r->error = AMQP091_ERR_MALFORMED;
		return NULL;
	}
	*len = size == AMQP091_TYPE_COUNTED ? amqp091_read32(r) : (uint32_t)size;
	return amqp091_read_bytes(r, *len);
}

static int fields_validate(const uint8_t *data, uint32_t len, bool keys, unsigned depth)
{
	struct amqp091_reader r;

	if (depth > AMQP091_TABLE_DEPTH_MAX)
		return AMQP091_ERR_DEPTH;
	amqp091_reader_init(&r, data, len);
	while (r.left && !r.error) {
		char type;
		uint32_t size;
		if (keys)
			amqp091_read_shortstr(&r);
		const uint8_t *p = value_take(&r, &type, &size);
		if (r.error || (type != 'F' && type != 'A'))
			continue;
		r.error = fields_validate(p, size, type == 'F', depth + 1);
	}
	return r.error;
}

int amqp091_table_validate(const uint8_t *data, uint32_t len)
{
	return fields_validate(data, len, true, 1);
}

static double real_get32(const uint8_t *p)
{
	uint32_t bits = wire_get32(p);
	float f;
	memcpy(&f, &bits, sizeof(f));
	return (double)f;
}

static double real_get64(const uint8_t *p)
{
	uint64_t bits = wire_get64(p);
	double d;
	memcpy(&d, &bits, sizeof(d));
	return d;
}

static void value_get(struct amqp091_value *v, char type, const uint8_t *p, uint32_t len)
{
	*v = (struct amqp091_value){.type = type};
	switch (type) {
	case 't':
		v->boolean = *p != 0;
		break;
	case 'b':
		v->integer = (int8_t)*p;
		break;
	case 'B':
		v->integer = *p;
		break;
	case 's':
	case 'U':
		v->integer = (int16_t)wire_get16(p);
		break;
	case 'u':
		v->integer = wire_get16(p);
		break;
	case 'I':
		v->integer = (int32_t)wire_get32(p);
		break;
	case 'i':
		v->integer = wire_get32(p);
		break;
	case 'l':
	case 'L':
		v->integer = (int64_t)wire_get64(p);
		break;
	case 'D':
		v->scale = *p;
		v->integer = wire_get32(p + 1);
		break;
	case 'T':
		v->timestamp = wire_get64(p);
		break;
	case 'f':
		v->real = real_get32(p);
		break;
	case 'd':
		v->real = real_get64(p);
		break;
	case 'V':
		break;
	case 'F':
	case 'A':
		v->table = (struct amqp091_table){p, len};
		break;
	default:
		v->bytes = (struct amqp091_longstr){p, len};
	}
}

static int field_next(struct amqp091_table *rest, struct amqp091_shortstr *key, struct amqp091_value *value)
{
	struct amqp091_reader r;
	char type;
	uint32_t len = 0;

	if (rest->len == 0)
		return 0;
	amqp091_reader_init(&r, rest->data, rest->len);
	if (key)
		*key = amqp091_read_shortstr(&r);
	const uint8_t *p = value_take(&r, &type, &len);
	if (r.error)
		return r.error;
	value_get(value, type, p, len);
	*rest = (struct amqp091_table){r.p, r.left};
	return 1;
}

int amqp091_table_next(struct amqp091_table *rest, struct amqp091_shortstr *key, struct amqp091_value *value)
{
	return field_next(rest, key, value);
}

int amqp091_array_next(struct amqp091_table *rest, struct amqp091_value *value)
{
	return field_next(rest, NULL, value);
}

int amqp091_table_find(const struct amqp091_table *t, const char *key, struct amqp091_value *value)
{
	struct amqp091_table rest = *t;
	struct amqp091_shortstr k;
	size_t len = strlen(key);
	int rc;

	while ((rc = field_next(&rest, &k, value)) > 0)
		if (k.len == len && memcmp(k.data, key, len) == 0)
			return 0;
	return rc ? rc : AMQP091_ERR_ABSENT;
}

bool amqp091_value_is_integer(const struct amqp091_value *v)
{
	switch (v->type) {
	case 'b':
	case 'B':
	case 's':
	case 'U':
	case 'u':
	case 'I':
	case 'i':
	case 'l':
	case 'L':
		return true;
	default:
		return false;
	}
}

int amqp091_table_get_bool(const struct amqp091_table *t, const char *key, bool *out)
{
	struct amqp091_value v;
	int rc = amqp091_table_find(t, key, &v);

	if (rc)
		return rc;
	if (v.type != 't')
		return AMQP091_ERR_TYPE;
	*out = v.boolean;
	return 0;
}

int amqp091_table_get_int(const struct amqp091_table *t, const char *key, int64_t *out)
{
	struct amqp091_value v;
	int rc = amqp091_table_find(t, key, &v);

	if (rc)
		return rc;
	if (!amqp091_value_is_integer(&v))
		return AMQP091_ERR_TYPE;
	*out = v.integer;
	return 0;
}

int amqp091_table_get_string(const struct amqp091_table *t, const char *key, struct amqp091_longstr *out)
{
	struct amqp091_value v;
	int rc = amqp091_table_find(t, key, &v);

	if (rc)
		return rc;
	if (v.type != 'S')
		return AMQP091_ERR_TYPE;
	*out = v.bytes;
	return 0;
}

int amqp091_table_get_table(const struct amqp091_table *t, const char *key, struct amqp091_table *out)
{
	struct amqp091_value v;
	int rc = amqp091_table_find(t, key, &v);

	if (rc)
		return rc;
	if (v.type != 'F')
		return AMQP091_ERR_TYPE;
	*out = v.table;
	return 0;
}
