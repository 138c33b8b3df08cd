/* SPDX-License-Identifier: Apache-2.0 */
/* The office for what an x-delayed-message exchange held back (broker/core/delay.h): the same message,
 * published to the same exchange with its header x-delay negated, as RabbitMQ's plugin does, so that it is
 * held back once, there and wherever it leads. A lifetime of its own begins now. */
#include "broker/amqp091/internal.h"
#include "broker/core/delay.h"

#include <stdlib.h>

static bool is_delay(struct amqp091_shortstr key)
{
	return slice_equals_text(slice_of(key), "x-delay");
}

/* Whatever it was written as, it was a number when the message was held back. */
static struct amqp091_value negated(const struct amqp091_value *v)
{
	struct amqp091_value out = {.type = 'l'};
	char text[24] = {0};

	if (amqp091_value_is_integer(v))
		out.integer = -v->integer;
	else if (v->type == 'f' || v->type == 'd')
		out.integer = -(int64_t)v->real;
	else if ((v->type == 'S' || v->type == 'x') && v->bytes.len < sizeof(text)) {
		memcpy(text, v->bytes.data, v->bytes.len);
		out.integer = -strtoll(text, NULL, 10);
	}
	if (out.integer >= INT32_MIN)
		out.type = 'I';
	return out;
}

static int headers_make(
	struct amqp091_office *o, const struct amqp091_basic_properties *p, struct amqp091_table *out)
{
	struct amqp091_table rest = p->headers;
	struct amqp091_table_builder b;
	struct amqp091_shortstr key;
	struct amqp091_value v;

	amqp091_table_build(&b, o->headers, o->room);
	while (rest.len && amqp091_table_next(&rest, &key, &v) == 1) {
		if (is_delay(key))
			v = negated(&v);
		amqp091_table_add_value(&b, key, &v);
	}
	return amqp091_table_finish(&b, out);
}

static enum publish_result make(struct amqp091_server *s, const struct delayed *d)
{
	struct amqp091_office *o = &s->delayed;
	struct amqp091_basic_properties p;
	struct amqp091_table headers;
	struct slice block;

	if (office_properties(s, d->message, &p) || headers_make(o, &p, &headers) ||
		office_properties_put(o, headers, &p, &block))
		return PUBLISH_FAILED;
	struct message_envelope e = {
		.protocol = BROKER_PROTOCOL_AMQP091,
		.persistent = message_persistent(d->message),
		.priority = message_priority(d->message),
		.exchange = message_exchange(d->message),
		.routing_key = message_routing_key(d->message),
		.properties = block,
		.body_bytes = message_body_bytes(d->message),
		.received_us = s->now_us,
		.expires = message_expires(d->message),
		.lifetime_us = message_lifetime_us(d->message),
		.keys = message_keys(d->message),
	};
	return office_make(s, o, d->message, &e);
}

/* From the exchange that held it back, though it may have been published to another one that leads there. */
static enum publish_result offer(struct amqp091_server *s, const struct delayed *d)
{
	struct amqp091_office *o = &s->delayed;
	struct header_lookup of_made = {.message = o->made, .block = s->scratch};
	struct header_lookup of_keys = {.message = d->keys, .block = o->properties, .selected = true};
	struct header_source headers = header_source(&of_made);
	struct key_source more = key_source(&of_keys);
	struct publish p = {
		.exchange = d->address->exchange,
		.routing_key = message_routing_key(o->made),
		.headers = &headers,
		.more_keys = d->keys ? &more : NULL,
		.keys = d->keys,
	};

	return office_offer(s, o, d->address->vhost, &p);
}

static enum publish_result delayed_publish(void *ctx, const struct delayed *d)
{
	struct amqp091_server *s = ctx;
	struct amqp091_office *o = &s->delayed;
	enum publish_result result = PUBLISH_FAILED;

	if (!delay_address_is_gone(d->address)) {
		result = o->made ? PUBLISH_DONE : make(s, d);
		if (result == PUBLISH_DONE)
			result = offer(s, d);
	} else if (o->made) {
		exchange_publish_forget(&o->session);
	}
	if (result != PUBLISH_AGAIN)
		office_done(s, o);
	return result;
}

int delayed_begin(struct amqp091_server *s)
{
	broker_core_set_delay_office(s->config.core, delayed_publish, s);
	return office_begin(s, &s->delayed);
}

void delayed_end(struct amqp091_server *s)
{
	broker_core_set_delay_office(s->config.core, NULL, NULL);
	office_end(s, &s->delayed);
}
