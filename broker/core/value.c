/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/value.h"

#include "runtime/siphash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool slice_equal(struct slice a, struct slice b)
{
	return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

bool slice_equals_text(struct slice a, const char *text)
{
	size_t n = strlen(text);
	return a.bytes == n && (n == 0 || memcmp(a.data, text, n) == 0);
}

const struct value *fields_find_slice(const struct fields *f, struct slice name)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (slice_equal(f->at[i].name, name))
			return &f->at[i].value;
	return NULL;
}

const struct value *fields_find(const struct fields *f, const char *name)
{
	return fields_find_slice(f, (struct slice){(const uint8_t *)name, (uint32_t)strlen(name)});
}

bool value_equal(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case VALUE_VOID:
		return true;
	case VALUE_BOOL:
		return a->boolean == b->boolean;
	case VALUE_INT:
	case VALUE_TIMESTAMP:
		return a->integer == b->integer;
	case VALUE_DOUBLE:
		return a->real == b->real;
	case VALUE_STRING:
	case VALUE_OPAQUE:
		return slice_equal(a->bytes, b->bytes);
	}
	return false;
}

static int slice_compare(struct slice a, struct slice b)
{
	uint32_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
	int order = n ? memcmp(a.data, b.data, n) : 0;

	return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static bool value_has_bytes(const struct value *v)
{
	return v->kind == VALUE_STRING || v->kind == VALUE_OPAQUE;
}

static struct slice copy_bytes(struct slice from, uint8_t **at)
{
	struct slice to = {*at, from.bytes};
	if (from.bytes)
		memcpy(*at, from.data, from.bytes);
	*at += from.bytes;
	return to;
}

size_t fields_bytes(const struct fields *f)
{
	size_t bytes = f->count * sizeof(struct field);

	for (uint32_t i = 0; i < f->count; i++) {
		bytes += f->at[i].name.bytes;
		if (value_has_bytes(&f->at[i].value))
			bytes += f->at[i].value.bytes.bytes;
	}
	return bytes;
}

int fields_copy(struct fields *to, const struct fields *from)
{
	*to = (struct fields){0};
	if (from->count == 0)
		return 0;
	struct field *copy = malloc(fields_bytes(from));
	if (!copy)
		return -1;
	uint8_t *at = (uint8_t *)(copy + from->count);
	for (uint32_t i = 0; i < from->count; i++) {
		copy[i] = from->at[i];
		copy[i].name = copy_bytes(from->at[i].name, &at);
		if (value_has_bytes(&copy[i].value))
			copy[i].value.bytes = copy_bytes(from->at[i].value.bytes, &at);
	}
	*to = (struct fields){copy, from->count};
	return 0;
}

void fields_free(struct fields *f)
{
	free((void *)f->at);
	*f = (struct fields){0};
}

/* Both zeros are one number; a NaN is itself. */
static uint64_t double_bits(double real)
{
	uint64_t bits = 0;

	if (real != 0)
		memcpy(&bits, &real, sizeof(bits));
	return bits;
}

/* An order of all values, whatever it means. */
static int value_compare(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (value_has_bytes(a))
		return slice_compare(a->bytes, b->bytes);
	switch (a->kind) {
	case VALUE_BOOL:
		return a->boolean - b->boolean;
	case VALUE_DOUBLE:
		return (double_bits(a->real) > double_bits(b->real)) -
		       (double_bits(a->real) < double_bits(b->real));
	case VALUE_INT:
	case VALUE_TIMESTAMP:
		return (a->integer > b->integer) - (a->integer < b->integer);
	default:
		return 0;
	}
}

static int field_compare(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	int order = slice_compare(x->name, y->name);

	return order ? order : value_compare(&x->value, &y->value);
}

void fields_sort(struct fields *copy)
{
	if (copy->count > 1)
		qsort((void *)copy->at, copy->count, sizeof(*copy->at), field_compare);
}

bool fields_equal(const struct fields *a, const struct fields *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (field_compare(&a->at[i], &b->at[i]) != 0)
			return false;
	return true;
}

static uint64_t value_digest(const struct siphash_key *key, const struct value *v)
{
	switch (v->kind) {
	case VALUE_VOID:
		return 0;
	case VALUE_BOOL:
		return v->boolean;
	case VALUE_INT:
	case VALUE_TIMESTAMP:
		return (uint64_t)v->integer;
	case VALUE_DOUBLE:
		return double_bits(v->real);
	case VALUE_STRING:
	case VALUE_OPAQUE:
		return siphash_quick(key, v->bytes.data, v->bytes.bytes);
	}
	return 0;
}

uint64_t field_hash(const struct siphash_key *key, uint64_t name_hash, const struct value *v)
{
	uint64_t all[3] = {name_hash, v->kind, value_digest(key, v)};

	return siphash_quick(key, all, sizeof(all));
}

/* Where a kind is more than one type. */
static const char *letter_name(char letter)
{
	static const struct {
		char letter;
		const char *name;
	} names[] = {{'b', "byte"}, {'B', "unsignedbyte"}, {'s', "short"}, {'u', "unsignedshort"},
		{'I', "signedint"}, {'i', "unsignedint"}, {'l', "long"}, {'L', "long"}, {'f', "float"},
		{'x', "binary"}, {'D', "decimal"}, {'A', "array"}};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].letter == letter)
			return names[i].name;
	return NULL;
}

const char *value_kind_name(const struct value *v)
{
	const char *name = letter_name(v->letter);

	if (name)
		return name;
	switch (v->kind) {
	case VALUE_VOID:
		return "void";
	case VALUE_BOOL:
		return "bool";
	case VALUE_INT:
		return v->integer == (int32_t)v->integer ? "signedint" : "long";
	case VALUE_TIMESTAMP:
		return "timestamp";
	case VALUE_DOUBLE:
		return "double";
	case VALUE_STRING:
		return "longstr";
	case VALUE_OPAQUE:
		return "table";
	}
	return "unknown";
}

const char *value_text(char text[VALUE_TEXT_BYTES], const struct value *v)
{
	switch (v->kind) {
	case VALUE_VOID:
		snprintf(text, VALUE_TEXT_BYTES, "undefined");
		break;
	case VALUE_BOOL:
		snprintf(text, VALUE_TEXT_BYTES, "%s", v->boolean ? "true" : "false");
		break;
	case VALUE_INT:
	case VALUE_TIMESTAMP:
		snprintf(text, VALUE_TEXT_BYTES, "%" PRId64, v->integer);
		break;
	case VALUE_DOUBLE:
		snprintf(text, VALUE_TEXT_BYTES, "%g", v->real);
		break;
	case VALUE_STRING:
		snprintf(text, VALUE_TEXT_BYTES, "%.*s", v->bytes.bytes < 60 ? (int)v->bytes.bytes : 60,
			(const char *)v->bytes.data);
		break;
	case VALUE_OPAQUE:
		snprintf(text, VALUE_TEXT_BYTES, "another table, array or decimal");
		break;
	}
	return text;
}
