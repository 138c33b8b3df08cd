/* SPDX-License-Identifier: Apache-2.0 */
/* Classes exchange and queue. */
#include "broker/amqp091/internal.h"

static bool read_arguments(struct amqp091_channel *ch, struct amqp091_table table, uint32_t id,
	struct field *at, struct fields *out)
{
	if (arguments_fields(table, at, out))
		return true;
	channel_exception(
		ch, AMQP091_REPLY_PRECONDITION_FAILED, id, "more than %d arguments", AMQP091_FIELDS_MAX);
	return false;
}

static void reply(struct amqp091_channel *ch, bool no_wait, const struct amqp091_method *m)
{
	if (!no_wait)
		conn_send_method(ch->conn, ch->number, m);
}

static void reply_plain(struct amqp091_channel *ch, bool no_wait, uint32_t id)
{
	struct amqp091_method m = {.id = id};

	reply(ch, no_wait, &m);
}

/* An empty name means the queue that this channel declared last. */
bool channel_queue_name(
	struct amqp091_channel *ch, struct amqp091_shortstr given, uint32_t id, struct slice *out)
{
	if (!given.len && !ch->has_last_queue) {
		channel_exception(ch, AMQP091_REPLY_NOT_FOUND, id, "no previously declared queue");
		return false;
	}
	*out = given.len ? slice_of(given) : (struct slice){ch->last_queue, ch->last_queue_bytes};
	if (!reply_to_hidden(*out))
		return true;
	channel_exception(ch, AMQP091_REPLY_NOT_FOUND, id, "no queue '%.*s' in vhost '%s'", SLICE_ARG(*out),
		vhost_name(ch->conn->session.vhost));
	return false;
}

/* True: not now, the frame is offered again. */
static bool again(struct amqp091_channel *ch, enum failure_code code)
{
	ch->conn->frame_again = code == FAILURE_AGAIN;
	return ch->conn->frame_again;
}

static void exchange_declare_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_exchange_declare *a = &m->args.exchange_declare;
	struct field fields[AMQP091_FIELDS_MAX];
	struct exchange_declaration d = {
		.name = slice_of(a->exchange),
		.type = slice_of(a->type),
		.passive = a->passive,
		.durable = a->durable,
		.auto_delete = a->auto_delete,
		.internal = a->internal,
	};
	struct failure f;

	if (!read_arguments(ch, a->arguments, m->id, fields, &d.arguments))
		return;
	if (!exchange_declare_permitted(ch, &d, m->id))
		return;
	enum failure_code code = exchange_declare(&ch->conn->session, &d, &f);
	if (again(ch, code))
		return;
	if (code)
		channel_failure(ch, m->id, &f);
	else
		reply_plain(ch, a->no_wait, AMQP091_METHOD_EXCHANGE_DECLARE_OK);
}

static void exchange_delete_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_exchange_delete *a = &m->args.exchange_delete;
	struct failure f;

	if (a->exchange.len && !exchange_permitted(ch, ACCESS_CONFIGURE, slice_of(a->exchange), m->id))
		return;
	enum failure_code code = exchange_delete(&ch->conn->session, slice_of(a->exchange), a->if_unused, &f);
	if (again(ch, code))
		return;
	if (code)
		channel_failure(ch, m->id, &f);
	else
		reply_plain(ch, a->no_wait, AMQP091_METHOD_EXCHANGE_DELETE_OK);
}

/* The binding is made or taken away, and the method answered. */
static void binding_change(
	struct amqp091_channel *ch, uint32_t id, const struct binding_spec *b, bool no_wait)
{
	struct session *s = &ch->conn->session;
	bool add = id == AMQP091_METHOD_QUEUE_BIND || id == AMQP091_METHOD_EXCHANGE_BIND;
	uint32_t queue_ok = add ? AMQP091_METHOD_QUEUE_BIND_OK : AMQP091_METHOD_QUEUE_UNBIND_OK;
	uint32_t exchange_ok = add ? AMQP091_METHOD_EXCHANGE_BIND_OK : AMQP091_METHOD_EXCHANGE_UNBIND_OK;
	struct failure f;

	if (!binding_permitted(ch, b, id))
		return;
	if ((add ? binding_add : binding_remove)(s, b, &f) != FAILURE_NONE)
		channel_failure(ch, id, &f);
	else
		reply_plain(ch, no_wait, b->to_exchange ? exchange_ok : queue_ok);
}

/* exchange.bind and exchange.unbind name the same things. */
static void exchange_binding(struct amqp091_channel *ch, uint32_t id, struct binding_spec b,
	struct amqp091_table arguments, bool no_wait)
{
	struct field fields[AMQP091_FIELDS_MAX];

	b.to_exchange = true;
	if (read_arguments(ch, arguments, id, fields, &b.arguments))
		binding_change(ch, id, &b, no_wait);
}

static void exchange_bind_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_exchange_bind *a = &m->args.exchange_bind;
	struct binding_spec b = {.exchange = slice_of(a->source),
		.destination = slice_of(a->destination),
		.routing_key = slice_of(a->routing_key)};

	exchange_binding(ch, m->id, b, a->arguments, a->no_wait);
}

static void exchange_unbind_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_exchange_unbind *a = &m->args.exchange_unbind;
	struct binding_spec b = {.exchange = slice_of(a->source),
		.destination = slice_of(a->destination),
		.routing_key = slice_of(a->routing_key)};

	exchange_binding(ch, m->id, b, a->arguments, a->no_wait);
}

static void remember_queue(struct amqp091_channel *ch, struct slice name)
{
	ch->has_last_queue = true;
	ch->last_queue_bytes = (uint8_t)name.bytes;
	memcpy(ch->last_queue, name.data, name.bytes);
}

static uint32_t count32(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void counted(void *ctx, struct queue_call_result *r)
{
	struct amqp091_channel *ch = ctx;
	struct amqp091_method ok = {.id = AMQP091_METHOD_QUEUE_DECLARE_OK};

	conn_answered(ch->conn);
	ok.args.queue_declare_ok = (struct amqp091_queue_declare_ok){
		.queue = {ch->last_queue, ch->last_queue_bytes},
		.message_count = count32(r->messages),
		.consumer_count = r->consumers,
	};
	if (r->code)
		channel_failure(ch, AMQP091_METHOD_QUEUE_DECLARE, r->failure);
	else
		reply(ch, ch->conn->asked_no_wait, &ok);
}

static void queue_declare_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_queue_declare *a = &m->args.queue_declare;
	struct field fields[AMQP091_FIELDS_MAX];
	struct queue_declaration d = {
		.name = slice_of(a->queue),
		.passive = a->passive,
		.durable = a->durable,
		.exclusive = a->exclusive,
		.auto_delete = a->auto_delete,
	};
	uint8_t generated[QUEUE_GENERATED_NAME_BYTES];
	struct queue *q;
	struct failure f;

	if (reply_to_hidden(d.name)) {
		reply_to_declare(ch, a);
		return;
	}
	if (!read_arguments(ch, a->arguments, m->id, fields, &d.arguments))
		return;
	d.generated = !a->passive && a->queue.len == 0;
	if (d.generated) /* here, since the user must be permitted to have it */
		d.name = queue_name_generate(ch->conn->server->config.core, generated);
	if (!queue_declare_permitted(ch, &d, m->id))
		return;
	enum failure_code code = queue_declare(&ch->conn->session, &d, &q, &f);
	if (again(ch, code))
		return;
	if (code) {
		channel_failure(ch, m->id, &f);
		return;
	}
	remember_queue(ch, queue_name(q));
	/* Counted by the queue's core, behind what this connection has published. */
	struct queue_call_request r = {.kind = QUEUE_CALL_COUNT,
		.queue = {ch->last_queue, ch->last_queue_bytes},
		.done = counted,
		.ctx = ch};
	channel_call(ch, &r, m->id, a->no_wait);
}

/* Nobody's queue: to take away what is not there is well. */
static bool names_no_queue(struct amqp091_shortstr queue)
{
	return reply_to_hidden(slice_of(queue));
}

/* queue.bind and queue.unbind name the same things. Both names empty: the routing key is the last queue's
 * name as well (queue.bind, "routing-key"). fields is the caller's, AMQP091_FIELDS_MAX long. */
static bool read_binding(struct amqp091_channel *ch, uint32_t id, struct amqp091_shortstr queue,
	struct amqp091_table arguments, struct field *fields, struct binding_spec *b)
{
	if (!read_arguments(ch, arguments, id, fields, &b->arguments) ||
		!channel_queue_name(ch, queue, id, &b->destination))
		return false;
	if (queue.len == 0 && b->routing_key.bytes == 0)
		b->routing_key = b->destination;
	return true;
}

static void queue_bind_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_queue_bind *a = &m->args.queue_bind;
	struct binding_spec b = {.exchange = slice_of(a->exchange), .routing_key = slice_of(a->routing_key)};
	struct field fields[AMQP091_FIELDS_MAX];

	if (read_binding(ch, m->id, a->queue, a->arguments, fields, &b))
		binding_change(ch, m->id, &b, a->no_wait);
}

static void queue_unbind_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_queue_unbind *a = &m->args.queue_unbind;
	struct binding_spec b = {.exchange = slice_of(a->exchange), .routing_key = slice_of(a->routing_key)};
	struct field fields[AMQP091_FIELDS_MAX];

	if (names_no_queue(a->queue))
		reply_plain(ch, false, AMQP091_METHOD_QUEUE_UNBIND_OK);
	else if (read_binding(ch, m->id, a->queue, a->arguments, fields, &b))
		binding_change(ch, m->id, &b, false);
}

static void purged(void *ctx, struct queue_call_result *r)
{
	struct amqp091_channel *ch = ctx;
	struct amqp091_method ok = {.id = AMQP091_METHOD_QUEUE_PURGE_OK};

	conn_answered(ch->conn);
	ok.args.queue_purge_ok.message_count = count32(r->messages);
	if (r->code)
		channel_failure(ch, AMQP091_METHOD_QUEUE_PURGE, r->failure);
	else
		reply(ch, ch->conn->asked_no_wait, &ok);
}

static void queue_purge_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_queue_purge *a = &m->args.queue_purge;
	struct queue_call_request r = {.kind = QUEUE_CALL_PURGE, .done = purged, .ctx = ch};

	if (channel_queue_name(ch, a->queue, m->id, &r.queue) &&
		queue_permitted(ch, ACCESS_READ, r.queue, m->id))
		channel_call(ch, &r, m->id, a->no_wait);
}

static void deleted(void *ctx, struct queue_call_result *r)
{
	struct amqp091_channel *ch = ctx;
	struct amqp091_method ok = {.id = AMQP091_METHOD_QUEUE_DELETE_OK};

	conn_answered(ch->conn);
	ok.args.queue_delete_ok.message_count = count32(r->messages);
	if (r->code)
		channel_failure(ch, AMQP091_METHOD_QUEUE_DELETE, r->failure);
	else
		reply(ch, ch->conn->asked_no_wait, &ok);
}

static void queue_delete_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	const struct amqp091_queue_delete *a = &m->args.queue_delete;
	struct queue_call_request r = {.kind = QUEUE_CALL_DELETE,
		.if_unused = a->if_unused,
		.if_empty = a->if_empty,
		.done = deleted,
		.ctx = ch};

	if (names_no_queue(a->queue))
		reply_plain(ch, a->no_wait, AMQP091_METHOD_QUEUE_DELETE_OK);
	else if (channel_queue_name(ch, a->queue, m->id, &r.queue) &&
		 queue_permitted(ch, ACCESS_CONFIGURE, r.queue, m->id))
		channel_call(ch, &r, m->id, a->no_wait);
}

void topology_method(struct amqp091_channel *ch, const struct amqp091_method *m)
{
	switch (m->id) {
	case AMQP091_METHOD_EXCHANGE_DECLARE:
		exchange_declare_method(ch, m);
		break;
	case AMQP091_METHOD_EXCHANGE_DELETE:
		exchange_delete_method(ch, m);
		break;
	case AMQP091_METHOD_QUEUE_DECLARE:
		queue_declare_method(ch, m);
		break;
	case AMQP091_METHOD_QUEUE_BIND:
		queue_bind_method(ch, m);
		break;
	case AMQP091_METHOD_QUEUE_UNBIND:
		queue_unbind_method(ch, m);
		break;
	case AMQP091_METHOD_QUEUE_PURGE:
		queue_purge_method(ch, m);
		break;
	case AMQP091_METHOD_QUEUE_DELETE:
		queue_delete_method(ch, m);
		break;
	case AMQP091_METHOD_EXCHANGE_BIND:
		exchange_bind_method(ch, m);
		break;
	case AMQP091_METHOD_EXCHANGE_UNBIND:
		exchange_unbind_method(ch, m);
		break;
	default:
		conn_exception(ch->conn, AMQP091_REPLY_COMMAND_INVALID, m->id, "unimplemented method");
	}
}
