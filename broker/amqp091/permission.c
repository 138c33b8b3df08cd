/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection's user may do with exchanges and queues, refused in RabbitMQ's words. */
#include "broker/amqp091/internal.h"

static bool permitted(
	struct amqp091_channel *ch, enum access_kind kind, const char *what, struct slice name, uint32_t id)
{
	struct amqp091_conn *c = ch->conn;

	if (!c->grant || access_allows(c->grant, c->server->match, kind, name))
		return true;
	c->server->counters.access_refused++;
	if (name.bytes == 0)
		name = (struct slice){(const uint8_t *)"amq.default", 11};
	channel_exception(ch, AMQP091_REPLY_ACCESS_REFUSED, id,
		"%s access to %s '%.*s' in vhost '%s' refused for user '%s'", access_kind_name(kind), what,
		SLICE_ARG(name), vhost_name(c->session.vhost), c->user);
	return false;
}

bool queue_permitted(struct amqp091_channel *ch, enum access_kind kind, struct slice name, uint32_t id)
{
	return permitted(ch, kind, "queue", name, id);
}

bool exchange_permitted(struct amqp091_channel *ch, enum access_kind kind, struct slice name, uint32_t id)
{
	return permitted(ch, kind, "exchange", name, id);
}

static const struct value *text_argument(const struct fields *all, const char *name)
{
	struct slice key = {(const uint8_t *)name, (uint32_t)strlen(name)};
	const struct value *v = fields_find_slice(all, key);

	return v && v->kind == VALUE_STRING && v->bytes.bytes <= AMQP091_TEXT_MAX ? v : NULL;
}

/* Declaring what is there changes nothing, and asks for no more than configure. Where messages would be sent
 * on, the user must be able to do that as well. A wrong type, or what is too long for a name, is the core's
 * to refuse. */
bool exchange_declare_permitted(struct amqp091_channel *ch, struct exchange_declaration *d, uint32_t id)
{
	struct session *s = &ch->conn->session;
	struct exchange_declaration look = {.name = d->name, .passive = true};
	struct failure f;

	if (d->passive || d->name.bytes == 0 || !ch->conn->grant)
		return true;
	if (!exchange_permitted(ch, ACCESS_CONFIGURE, d->name, id))
		return false;
	const struct value *to = text_argument(&d->arguments, "alternate-exchange");
	d->existing = to && exchange_declare(s, &look, &f) == FAILURE_NONE;
	if (!to || d->existing)
		return true;
	return exchange_permitted(ch, ACCESS_READ, d->name, id) &&
	       exchange_permitted(ch, ACCESS_WRITE, to->bytes, id);
}

bool queue_declare_permitted(struct amqp091_channel *ch, struct queue_declaration *d, uint32_t id)
{
	struct session *s = &ch->conn->session;
	struct failure f;
	struct queue *q;

	if (d->passive || !ch->conn->grant)
		return true;
	if (!queue_permitted(ch, ACCESS_CONFIGURE, d->name, id))
		return false;
	const struct value *to = text_argument(&d->arguments, "x-dead-letter-exchange");
	d->existing = to && queue_lookup(s, d->name, &q, &f) != FAILURE_NOT_FOUND;
	if (!to || d->existing)
		return true;
	return queue_permitted(ch, ACCESS_READ, d->name, id) &&
	       exchange_permitted(ch, ACCESS_WRITE, to->bytes, id);
}

/* The default exchange is no one's to bind, whatever the permissions: the core says so. */
bool binding_permitted(struct amqp091_channel *ch, const struct binding_spec *b, uint32_t id)
{
	if (b->exchange.bytes == 0 || b->destination.bytes == 0)
		return true;
	return (b->to_exchange ? exchange_permitted(ch, ACCESS_WRITE, b->destination, id)
			       : queue_permitted(ch, ACCESS_WRITE, b->destination, id)) &&
	       (exchange_permitted(ch, ACCESS_READ, b->exchange, id));
}
