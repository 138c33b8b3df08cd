/* SPDX-License-Identifier: Apache-2.0 */
/* The property `expiration`: milliseconds as text, which RabbitMQ reads and refuses as this does. */
#include "broker/amqp091/internal.h"

#include <stdarg.h>
#include <stdio.h>

/* RabbitMQ's: ten years. */
#define EXPIRATION_MS_MAX UINT64_C(315360000000)

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

__attribute__((format(printf, 3, 4))) static bool refuse(
	struct amqp091_channel *ch, struct amqp091_shortstr text, const char *fmt, ...)
{
	char why[AMQP091_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"invalid expiration '%.*s': %s", SHORT_ARG(text), why);
	return false;
}

bool expiration_read(struct amqp091_channel *ch, struct amqp091_shortstr text, uint64_t *us)
{
	const uint8_t *p = text.data;
	uint32_t begin = text.len && (*p == '-' || *p == '+'), at = begin;
	uint64_t ms = 0;

	for (; at < text.len && is_digit(p[at]); at++)
		if (ms <= EXPIRATION_MS_MAX) /* beyond that it only has to stay there */
			ms = ms * 10 + (p[at] - '0');
	if (at == begin)
		return refuse(ch, text, "no_integer");
	if (at < text.len)
		return refuse(ch, text, "{leftover_string,\"%.*s\"}", text.len - at, (const char *)p + at);
	if (*p == '-' && ms > 0)
		return refuse(ch, text, "{value_negative,%.*s}", text.len, (const char *)p);
	if (ms > EXPIRATION_MS_MAX)
		return refuse(ch, text, "{value_too_large,%.*s}", text.len - begin, (const char *)p + begin);
	*us = ms * 1000;
	return true;
}
