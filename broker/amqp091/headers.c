/* SPDX-License-Identifier: Apache-2.0 */
/* What routing asks of a message beside its key. */
#include "broker/amqp091/internal.h"

static void headers_decode(struct header_lookup *l)
{
	struct amqp091_basic_properties properties;

	message_properties_copy(l->message, l->block);
	/* Validated when it came, so this cannot fail. */
	MUST(amqp091_basic_properties_decode(l->block, message_properties_bytes(l->message), &properties) ==
		0);
	l->headers = properties.headers;
	l->decoded = true;
	if (l->selected)
		l->keys = selected_keys(&l->headers);
}

static bool next_header(const void *ctx, uint32_t *at, struct field *out)
{
	struct header_lookup *l = (struct header_lookup *)(uintptr_t)ctx;
	struct amqp091_shortstr key;
	struct amqp091_value v;

	if (!l->decoded)
		headers_decode(l);
	if (!l->headers.len) /* its data may be NULL */
		return false;
	for (struct amqp091_table rest = {l->headers.data + *at, l->headers.len - *at};;) {
		const uint8_t *entry = rest.data;
		if (amqp091_table_next(&rest, &key, &v) != 1)
			return false;
		*at = l->headers.len - rest.len;
		if (l->selected && selected_hidden(key))
			continue;
		const uint8_t *raw = entry + 1 + key.len;
		out->name = slice_of(key);
		if (arguments_value(&v, raw, (uint32_t)(rest.data - raw), &out->value))
			return true;
	}
}

static bool find_header(const void *ctx, struct slice name, struct value *out)
{
	struct field f;

	for (uint32_t at = 0; next_header(ctx, &at, &f);)
		if (slice_equal(f.name, name)) {
			*out = f.value;
			return true;
		}
	return false;
}

static bool next_key(const void *ctx, uint32_t *at, struct slice *key)
{
	struct header_lookup *l = (struct header_lookup *)(uintptr_t)ctx;

	if (!l->decoded)
		headers_decode(l);
	return selected_next(&l->keys, at, key);
}

static bool find_property(const void *ctx, struct slice name, struct value *out)
{
	struct header_lookup *l = (struct header_lookup *)(uintptr_t)ctx;
	struct amqp091_basic_properties p;

	message_properties_copy(l->message, l->block);
	MUST(amqp091_basic_properties_decode(l->block, message_properties_bytes(l->message), &p) == 0);
	if (slice_equals_text(name, "timestamp")) {
		*out = (struct value){.kind = VALUE_TIMESTAMP, .integer = (int64_t)p.timestamp};
		return p.flags & AMQP091_BASIC_TIMESTAMP;
	}
	bool correlation = slice_equals_text(name, "correlation_id");
	*out = (struct value){
		.kind = VALUE_STRING, .bytes = slice_of(correlation ? p.correlation_id : p.message_id)};
	return p.flags & (correlation ? AMQP091_BASIC_CORRELATION_ID : AMQP091_BASIC_MESSAGE_ID);
}

struct header_source header_source(struct header_lookup *l)
{
	return (struct header_source){find_header, next_header, l, find_property};
}

struct key_source key_source(struct header_lookup *l)
{
	return (struct key_source){next_key, l};
}
