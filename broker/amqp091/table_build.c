/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/table.h"
#include "broker/amqp091/table_types.h"

static void build_error(struct amqp091_table_builder *b, int error)
{
	if (!b->error)
		b->error = error;
}

/* Room for len more octets, or NULL with the error kept. */
static uint8_t *build_room(struct amqp091_table_builder *b, uint64_t len)
{
	if (!b->error && len > b->room - b->len)
		b->error = AMQP091_ERR_ROOM;
	if (b->error)
		return NULL;
	uint8_t *p = b->dst + b->len;
	b->len += (uint32_t)len;
	return p;
}

void amqp091_table_build(struct amqp091_table_builder *b, uint8_t *dst, uint32_t room)
{
	*b = (struct amqp091_table_builder){.dst = dst, .room = room};
}

/* The value's octets after its type letter, or a negative number for a letter that is no type. */
static int64_t value_wire_size(const struct amqp091_value *v)
{
	int size = amqp091_type_size(v->type);

	if (size != AMQP091_TYPE_COUNTED)
		return size;
	return 4 + (int64_t)(v->type == 'F' || v->type == 'A' ? v->table.len : v->bytes.len);
}

static void real_put32(uint8_t *p, double v)
{
	float f = (float)v;
	uint32_t bits;
	memcpy(&bits, &f, sizeof(bits));
	wire_put32(p, bits);
}

static void real_put64(uint8_t *p, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	wire_put64(p, bits);
}

static void value_put(uint8_t *p, const struct amqp091_value *v)
{
	switch (v->type) {
	case 't':
		*p = v->boolean;
		break;
	case 'b':
	case 'B':
		*p = (uint8_t)v->integer;
		break;
	case 's':
	case 'U':
	case 'u':
		wire_put16(p, (uint16_t)v->integer);
		break;
	case 'I':
	case 'i':
		wire_put32(p, (uint32_t)v->integer);
		break;
	case 'l':
	case 'L':
		wire_put64(p, (uint64_t)v->integer);
		break;
	case 'D':
		wire_put32(amqp091_put8(p, v->scale), (uint32_t)v->integer);
		break;
	case 'T':
		wire_put64(p, v->timestamp);
		break;
	case 'f':
		real_put32(p, v->real);
		break;
	case 'd':
		real_put64(p, v->real);
		break;
	case 'S':
	case 'x':
		amqp091_put_longstr(p, v->bytes);
		break;
	case 'F':
	case 'A':
		amqp091_put_table(p, v->table);
		break;
	}
}

void amqp091_table_add_value(
	struct amqp091_table_builder *b, struct amqp091_shortstr key, const struct amqp091_value *v)
{
	int64_t size = value_wire_size(v);
	bool keyed = !b->in_array[b->depth];

	if (size < 0) {
		build_error(b, AMQP091_ERR_MALFORMED);
		return;
	}
	uint8_t *p = build_room(b, (keyed ? 1u + key.len : 0) + 1 + (uint64_t)size);
	if (!p)
		return;
	if (keyed)
		p = amqp091_put_shortstr(p, key);
	value_put(amqp091_put8(p, (uint8_t)v->type), v);
}

static void add(struct amqp091_table_builder *b, const char *key, struct amqp091_value v)
{
	size_t len = key ? strlen(key) : 0;

	if (len > UINT8_MAX) {
		build_error(b, AMQP091_ERR_MALFORMED);
		return;
	}
	amqp091_table_add_value(b, (struct amqp091_shortstr){(const uint8_t *)key, (uint8_t)len}, &v);
}

void amqp091_table_add_bool(struct amqp091_table_builder *b, const char *key, bool v)
{
	add(b, key, (struct amqp091_value){.type = 't', .boolean = v});
}

void amqp091_table_add_int32(struct amqp091_table_builder *b, const char *key, int32_t v)
{
	add(b, key, (struct amqp091_value){.type = 'I', .integer = v});
}

void amqp091_table_add_int64(struct amqp091_table_builder *b, const char *key, int64_t v)
{
	add(b, key, (struct amqp091_value){.type = 'l', .integer = v});
}

void amqp091_table_add_timestamp(struct amqp091_table_builder *b, const char *key, uint64_t seconds)
{
	add(b, key, (struct amqp091_value){.type = 'T', .timestamp = seconds});
}

void amqp091_table_add_bytes(struct amqp091_table_builder *b, const char *key, const void *data, uint32_t len)
{
	add(b, key, (struct amqp091_value){.type = 'S', .bytes = {data, len}});
}

void amqp091_table_add_cstring(struct amqp091_table_builder *b, const char *key, const char *v)
{
	amqp091_table_add_bytes(b, key, v, (uint32_t)strlen(v));
}

static void nest(struct amqp091_table_builder *b, const char *key, char type)
{
	if (b->depth == AMQP091_BUILDER_DEPTH_MAX) {
		build_error(b, AMQP091_ERR_DEPTH);
		return;
	}
	add(b, key, (struct amqp091_value){.type = type});
	if (b->error)
		return;
	b->depth++;
	b->in_array[b->depth] = type == 'A';
	b->opened_at[b->depth] = b->len;
}

void amqp091_table_open(struct amqp091_table_builder *b, const char *key)
{
	nest(b, key, 'F');
}

void amqp091_array_open(struct amqp091_table_builder *b, const char *key)
{
	nest(b, key, 'A');
}

void amqp091_table_close(struct amqp091_table_builder *b)
{
	if (b->error)
		return;
	if (b->depth == 0) {
		b->error = AMQP091_ERR_DEPTH;
		return;
	}
	uint32_t at = b->opened_at[b->depth--];
	wire_put32(b->dst + at - 4, b->len - at);
}

int amqp091_table_finish(const struct amqp091_table_builder *b, struct amqp091_table *out)
{
	if (b->error)
		return b->error;
	if (b->depth)
		return AMQP091_ERR_DEPTH;
	*out = (struct amqp091_table){b->dst, b->len};
	return 0;
}
