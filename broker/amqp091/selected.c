/* SPDX-License-Identifier: Apache-2.0 */
/* Sender-selected distribution, RabbitMQ's extension: the headers CC and BCC are arrays of further routing
 * keys, and BCC does not reach who gets the message. What is no string in them is passed over. */
#include "broker/amqp091/internal.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	KEYS_MAX = 1024,   /* of a message: each costs a lookup */
	KEYS_A_FRAME = 16, /* that cost as much as a frame */
};

static const char *type_name(const struct amqp091_value *v)
{
	struct value n;

	return arguments_value(v, NULL, 0, &n) ? value_kind_name(&n) : "unknown";
}

__attribute__((format(printf, 2, 3))) static bool refuse(struct amqp091_channel *ch, const char *fmt, ...)
{
	char why[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"invalid message: %s", why);
	return false;
}

static bool check_keys(
	struct amqp091_channel *ch, const char *header, const struct amqp091_value *v, uint32_t *count)
{
	struct amqp091_table rest = v->array;
	struct amqp091_value key;

	if (v->type != 'A')
		return refuse(ch, "{unacceptable_type_in_header,\"%s\",%s}", header, type_name(v));
	while (amqp091_array_next(&rest, &key) == 1) {
		if (key.type == 'S' && key.bytes.len > AMQP091_TEXT_MAX)
			return refuse(
				ch, "a routing key in %s is longer than %d octets", header, AMQP091_TEXT_MAX);
		if (++*count > KEYS_MAX)
			return refuse(ch, "CC and BCC have more than %d elements", KEYS_MAX);
	}
	return true;
}

enum selected selected_check(struct amqp091_channel *ch, const struct amqp091_table *headers)
{
	struct amqp091_value cc, bcc;
	bool has_cc = amqp091_table_find(headers, "CC", &cc) == 0;
	bool has_bcc = amqp091_table_find(headers, "BCC", &bcc) == 0;
	uint32_t count = 0;

	if ((has_cc && !check_keys(ch, "CC", &cc, &count)) ||
		(has_bcc && !check_keys(ch, "BCC", &bcc, &count)))
		return SELECTED_REFUSED;
	conn_charge(ch->conn, count / KEYS_A_FRAME);
	if (has_bcc)
		return SELECTED_BCC;
	return has_cc ? SELECTED_CC : SELECTED_NONE;
}

bool selected_hidden(struct amqp091_shortstr key)
{
	return key.len == 3 && memcmp(key.data, "BCC", 3) == 0;
}

/* The bytes may lie where they go to: they move towards its beginning. */
static uint32_t append(uint8_t *block, uint32_t at, const uint8_t *from, size_t n)
{
	memmove(block + at, from, n);
	return at + (uint32_t)n;
}

struct slice selected_strip(
	const uint8_t *properties, uint32_t n, struct amqp091_table headers, uint8_t *block)
{
	const uint8_t *behind = headers.data + headers.len, *end = properties + n;
	uint32_t begin = (uint32_t)(headers.data - properties), at = append(block, 0, properties, begin);
	struct amqp091_shortstr key;
	struct amqp091_value v;

	while (headers.len) {
		const uint8_t *entry = headers.data;
		MUST(amqp091_table_next(&headers, &key, &v) == 1); /* decoded before */
		if (!selected_hidden(key))
			at = append(block, at, entry, (size_t)(headers.data - entry));
	}
	wire_put32(block + begin - 4, at - begin);
	at = append(block, at, behind, (size_t)(end - behind));
	return (struct slice){block, at};
}

struct selected_keys selected_keys(const struct amqp091_table *headers)
{
	struct selected_keys k = {0};
	struct amqp091_value v;

	if (amqp091_table_find(headers, "CC", &v) == 0)
		k.cc = v.array;
	if (amqp091_table_find(headers, "BCC", &v) == 0)
		k.bcc = v.array;
	return k;
}

/* Where it stands is counted through both, one behind the other. */
bool selected_next(const struct selected_keys *k, uint32_t *at, struct slice *key)
{
	struct amqp091_value v;

	while (*at < k->cc.len + k->bcc.len) {
		bool in_cc = *at < k->cc.len;
		struct amqp091_table rest = in_cc ? k->cc : k->bcc;
		uint32_t from = in_cc ? *at : *at - k->cc.len;
		rest.data += from;
		rest.len -= from;
		uint32_t before = rest.len;
		MUST(amqp091_array_next(&rest, &v) == 1); /* decoded before */
		*at += before - rest.len;
		if (v.type == 'S') {
			*key = (struct slice){v.bytes.data, v.bytes.len};
			return true;
		}
	}
	return false;
}
