/* SPDX-License-Identifier: Apache-2.0 */
/* Soft errors close a channel, hard ones the connection (1.2, "constants"). The reply text is the code's
 * name, a dash, and what happened, as clients of RabbitMQ know it. */
#include "broker/amqp091/internal.h"

#include "runtime/log.h"

#include <stdarg.h>
#include <stdio.h>

/* A reply text is a short string and so UTF-8 (4.2.5.3), but it names what peers made up, and is cut at 255
 * octets. */
static void make_utf8(char *text)
{
	uint8_t *p = (uint8_t *)text;
	uint32_t n = (uint32_t)strlen(text);

	if (amqp091_utf8_valid(p, n))
		return;
	for (uint32_t back = 1; back <= 3 && back < n; back++) {
		if (amqp091_utf8_valid(p, n - back)) {
			text[n - back] = 0;
			return;
		}
	}
	for (; n; p++, n--) {
		if (*p >= 0x80)
			*p = '?';
	}
}

__attribute__((format(printf, 4, 0))) static struct amqp091_shortstr reply_text(
	char *text, size_t room, uint16_t code, const char *fmt, va_list ap)
{
	static const char more[] = "...";
	const struct amqp091_reply_info *info = amqp091_reply_info(code);
	size_t n = (size_t)snprintf(text, room, "%s - ", info->name);

	int wanted = vsnprintf(text + n, room - n, fmt, ap);
	if (wanted < 0)
		text[n] = 0;
	bool cut = wanted >= (int)(room - n);
	if (cut)
		text[room - sizeof(more)] = 0;
	make_utf8(text);
	if (cut)
		strcat(text, more);
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)strlen(text)};
}

/* Before tune-ok was accepted a connection ends without a word (4.2.2, and the rules of tune-ok's fields), as
 * RabbitMQ ends it; what was wrong is in the log. A refused login is told to those who asked for that. */
static bool is_told(const struct amqp091_conn *c, uint16_t code)
{
	return c->state >= CONN_OPEN || code == AMQP091_REPLY_ACCESS_REFUSED;
}

void conn_exception(struct amqp091_conn *c, uint16_t code, uint32_t id, const char *fmt, ...)
{
	char text[AMQP091_TEXT_MAX + 1];
	va_list ap;

	if (c->state >= CONN_CLOSING)
		return;
	va_start(ap, fmt);
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};
	m.args.connection_close = (struct amqp091_connection_close){
		.reply_code = code,
		.reply_text = reply_text(text, sizeof(text), code, fmt, ap),
		.class_id = (uint16_t)(id >> 16),
		.method_id = (uint16_t)id,
	};
	va_end(ap);
	if (code != AMQP091_REPLY_CONNECTION_FORCED) {
		c->server->counters.connection_exceptions++;
		LOG_WARN("amqp", "connection of '%s' closed: %u %s", c->user, code, text);
	}
	if (!is_told(c, code)) {
		conn_drain(c);
		return;
	}
	struct amqp091_channel *ch;
	cds_list_for_each_entry (ch, &c->channels, link)
		channel_stop(ch);
	c->state = CONN_CLOSING;
	/* Before it is sent: that may be the connection's end. */
	timer_arm(&c->server->wheel, &c->deadline, c->server->now_us + c->server->config.close_timeout_us);
	conn_send_method(c, 0, &m);
}

static void channel_close_send(
	struct amqp091_channel *ch, uint16_t code, uint32_t id, struct amqp091_shortstr text)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_CLOSE};

	m.args.channel_close = (struct amqp091_channel_close){
		.reply_code = code,
		.reply_text = text,
		.class_id = (uint16_t)(id >> 16),
		.method_id = (uint16_t)id,
	};
	ch->conn->server->counters.channel_exceptions++;
	confirm_flush(ch);
	channel_stop(ch);
	ch->closing = true;
	conn_send_method(ch->conn, ch->number, &m);
}

void channel_exception(struct amqp091_channel *ch, uint16_t code, uint32_t id, const char *fmt, ...)
{
	char text[AMQP091_TEXT_MAX + 1];
	va_list ap;

	if (ch->closing || ch->conn->state != CONN_RUNNING)
		return;
	va_start(ap, fmt);
	struct amqp091_shortstr reply = reply_text(text, sizeof(text), code, fmt, ap);
	va_end(ap);
	LOG_DEBUG("amqp", "channel %u of '%s' closed: %u %s", ch->number, ch->conn->user, code, text);
	channel_close_send(ch, code, id, reply);
}

static uint16_t reply_of(enum failure_code code)
{
	switch (code) {
	case FAILURE_NOT_FOUND:
		return AMQP091_REPLY_NOT_FOUND;
	case FAILURE_ACCESS_REFUSED:
		return AMQP091_REPLY_ACCESS_REFUSED;
	case FAILURE_RESOURCE_LOCKED:
		return AMQP091_REPLY_RESOURCE_LOCKED;
	case FAILURE_PRECONDITION:
	case FAILURE_LIMIT:
		return AMQP091_REPLY_PRECONDITION_FAILED;
	case FAILURE_COMMAND_INVALID:
		return AMQP091_REPLY_COMMAND_INVALID;
	case FAILURE_NOT_IMPLEMENTED:
		return AMQP091_REPLY_NOT_IMPLEMENTED;
	default:
		return AMQP091_REPLY_INTERNAL_ERROR;
	}
}

void channel_failure(struct amqp091_channel *ch, uint32_t id, const struct failure *f)
{
	uint16_t code = reply_of(f->code);

	if (amqp091_reply_info(code)->hard)
		conn_exception(ch->conn, code, id, "%s", f->text);
	else
		channel_exception(ch, code, id, "%s", f->text);
}
