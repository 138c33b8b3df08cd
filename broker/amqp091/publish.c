/* SPDX-License-Identifier: Apache-2.0 */
/* basic.publish and its content: method, header, bodies; then routing, basic.return and the confirm. */
#include "broker/amqp091/internal.h"

static void confirm_due(struct amqp091_channel *ch)
{
	if (cds_list_empty(&ch->confirm_link))
		cds_list_add_tail(&ch->confirm_link, &ch->conn->server->confirms);
}

/* Up to which publish all is in its queues. What went to queues of other cores is there when the links have
 * been taken so far: it is asked for in batches, one after the other. */
static uint64_t confirmable_seq(struct amqp091_channel *ch)
{
	uint64_t seq = ch->confirmed_seq;

	if (ch->waiting_seq) {
		if (!publish_marks_passed(ch->conn->server->config.core, &ch->waiting))
			return seq;
		seq = ch->waiting_seq;
		ch->waiting_seq = 0;
	}
	if (ch->publish_seq == seq)
		return seq;
	if (!ch->marks.cores)
		return ch->publish_seq;
	ch->waiting = ch->marks;
	ch->waiting_seq = ch->publish_seq;
	ch->marks.cores = 0;
	return seq;
}

/* One basic.ack for everything since the last of which the promise is true. */
void confirm_flush(struct amqp091_channel *ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};

	cds_list_del_init(&ch->confirm_link);
	if (ch->closing || !conn_live(ch->conn))
		return;
	uint64_t seq = confirmable_seq(ch), due = seq - ch->confirmed_seq;
	if (ch->waiting_seq)
		confirm_due(ch);
	if (due == 0)
		return;
	m.args.basic_ack = (struct amqp091_basic_ack){.delivery_tag = seq, .multiple = due > 1};
	ch->confirmed_seq = seq;
	ch->conn->server->counters.confirmed += due;
	conn_send_method(ch->conn, ch->number, &m);
}

void publish_begin(struct amqp091_channel *ch, const struct amqp091_basic_publish *p)
{
	struct content_in *in = &ch->in;

	if (p->immediate) {
		conn_exception(ch->conn, AMQP091_REPLY_NOT_IMPLEMENTED, AMQP091_METHOD_BASIC_PUBLISH,
			"immediate=true");
		return;
	}
	in->expected = true;
	in->mandatory = p->mandatory;
	in->exchange_bytes = p->exchange.len;
	in->key_bytes = p->routing_key.len;
	if (p->exchange.len)
		memcpy(in->exchange, p->exchange.data, p->exchange.len);
	if (p->routing_key.len)
		memcpy(in->key, p->routing_key.data, p->routing_key.len);
}

void publish_drop(struct amqp091_channel *ch)
{
	struct content_in *in = &ch->in;

	if (ch->conn->routing == ch) {
		ch->conn->routing = NULL;
		exchange_publish_forget(&ch->conn->session);
	}
	if (in->message)
		message_unref(conn_cache(ch->conn), in->message);
	in->message = NULL;
	in->expected = false;
}

/* Only a headers exchange looks inside a message, so its properties are decoded when it asks. */
struct header_lookup {
	const struct message *message;
	uint8_t *block; /* room for the properties */
	struct amqp091_table headers;
	bool decoded;
};

static void headers_decode(struct header_lookup *l)
{
	struct amqp091_basic_properties properties;

	message_properties_copy(l->message, l->block);
	/* Validated when it came, so this cannot fail. */
	MUST(amqp091_basic_properties_decode(l->block, message_properties_bytes(l->message), &properties) ==
		0);
	l->headers = properties.headers;
	l->decoded = true;
}

static bool next_header(const void *ctx, uint32_t *at, struct field *out)
{
	struct header_lookup *l = (struct header_lookup *)(uintptr_t)ctx;
	struct amqp091_shortstr key;
	struct amqp091_value v;

	if (!l->decoded)
		headers_decode(l);
	for (struct amqp091_table rest = {l->headers.data + *at, l->headers.len - *at};;) {
		const uint8_t *entry = rest.data;
		if (amqp091_table_next(&rest, &key, &v) != 1)
			return false;
		*at = l->headers.len - rest.len;
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

static void give_back(struct amqp091_channel *ch, struct message *m)
{
	struct amqp091_method r = {.id = AMQP091_METHOD_BASIC_RETURN};
	static const char why[] = "NO_ROUTE";

	r.args.basic_return = (struct amqp091_basic_return){
		.reply_code = 312, /* RabbitMQ's; the specification's XML of today no longer lists it */
		.reply_text = {(const uint8_t *)why, sizeof(why) - 1},
		.exchange = shortstr_of(message_exchange(m)),
		.routing_key = shortstr_of(message_routing_key(m)),
	};
	ch->conn->server->counters.returned++;
	message_ref(m);
	conn_send_content_take(ch->conn, ch->number, &r, m);
}

static enum publish_result publish_offer(struct amqp091_channel *ch, uint32_t *queues, struct failure *f)
{
	struct amqp091_conn *c = ch->conn;
	struct message *m = ch->in.message;
	struct header_lookup lookup = {.message = m, .block = c->server->scratch};
	struct header_source headers = {find_header, next_header, &lookup};
	struct publish p = {message_exchange(m), message_routing_key(m), &headers, m};

	return exchange_publish(&c->session, &p, ch->confirming ? &ch->marks : NULL, queues, f);
}

void publish_route(struct amqp091_channel *ch)
{
	struct content_in *in = &ch->in;
	struct amqp091_conn *c = ch->conn;
	struct failure f;
	uint32_t queues = 0;
	enum publish_result result = publish_offer(ch, &queues, &f);

	if (result == PUBLISH_AGAIN) {
		c->routing = ch;
		conn_hold(c, HOLD_ROUTE);
		return;
	}
	struct message *m = in->message;
	in->message = NULL;
	in->expected = false;
	c->server->counters.messages_received++;
	if (result == PUBLISH_FAILED) {
		message_unref(conn_cache(c), m);
		channel_failure(ch, AMQP091_METHOD_BASIC_PUBLISH, &f);
		return;
	}
	if (queues == 0 && in->mandatory)
		give_back(ch, m);
	message_unref(conn_cache(c), m);
	if (ch->confirming) {
		ch->publish_seq++;
		confirm_due(ch);
	}
}

void publish_again(struct amqp091_channel *ch)
{
	ch->conn->routing = NULL;
	publish_route(ch);
}

static void too_large(struct amqp091_channel *ch, uint64_t bytes, uint64_t most)
{
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"message size %llu is larger than configured max size %llu", (unsigned long long)bytes,
		(unsigned long long)most);
}

/* Blocks for queues' entries and for output that waits must be there beside a body, however large: only one
 * of many blocks can take them all. used_blocks 0: could it ever? */
static bool leaves_room(const struct message_store_stats *store, uint64_t body_bytes, uint64_t used_blocks)
{
	uint64_t capacity = store->blocks.capacity, spare = capacity / 16 + 1;

	return body_bytes / MESSAGE_BLOCK_BYTES + used_blocks + spare <= capacity;
}

static bool room_now(struct message_cache *cache, uint64_t body_bytes)
{
	if (message_store_full(cache))
		return false;
	if (body_bytes < AMQP091_LARGE_BODY)
		return true;
	struct message_store_stats stats = message_store_stats(message_cache_store(cache));
	return leaves_room(&stats, body_bytes, stats.blocks.used + stats.slabs);
}

static bool room_ever(const struct message_cache *cache, uint64_t body_bytes, uint32_t properties_bytes)
{
	struct message_store_stats stats = message_store_stats(message_cache_store(cache));

	return message_store_could_hold(cache, body_bytes, properties_bytes) &&
	       (body_bytes < AMQP091_LARGE_BODY || leaves_room(&stats, body_bytes, 0));
}

static bool header_fits(struct amqp091_channel *ch, const struct amqp091_content_header *h)
{
	struct amqp091_server *s = ch->conn->server;

	if (h->body_size > s->config.message_bytes_max) {
		too_large(ch, h->body_size, s->config.message_bytes_max);
		return false;
	}
	if (!room_ever(conn_cache(ch->conn), h->body_size, h->properties_len)) {
		publish_drop(ch);
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
			"message size %llu is larger than the broker's message memory",
			(unsigned long long)h->body_size);
		return false;
	}
	return true;
}

bool publish_header(struct amqp091_channel *ch, const uint8_t *payload, uint32_t n)
{
	struct content_in *in = &ch->in;
	struct amqp091_conn *c = ch->conn;
	struct message_cache *cache = conn_cache(c);
	struct amqp091_content_header h;
	struct amqp091_basic_properties properties;

	if (!in->expected || in->message) {
		conn_exception(c, AMQP091_REPLY_UNEXPECTED_FRAME, 0,
			"expected %s, got content header instead", in->expected ? "content body" : "method");
		return true;
	}
	int error = amqp091_content_header_decode(payload, n, &h);
	if (error == 0 && h.class_id != AMQP091_CLASS_BASIC) { /* 4.2.6.1: 501 */
		c->server->counters.frames_malformed++;
		conn_exception(c, AMQP091_REPLY_FRAME_ERROR, AMQP091_METHOD_BASIC_PUBLISH,
			"content header of class %u after a method of class 60", h.class_id);
		return true;
	}
	if (error != 0 || amqp091_basic_properties_decode(h.properties, h.properties_len, &properties) != 0) {
		c->server->counters.frames_malformed++;
		conn_exception(c, AMQP091_REPLY_SYNTAX_ERROR, AMQP091_METHOD_BASIC_PUBLISH,
			"content header on channel %u could not be decoded", ch->number);
		return true;
	}
	if (!header_fits(ch, &h))
		return true;
	if (!room_now(cache, h.body_size))
		return false;
	struct message_envelope e = {
		.protocol = BROKER_PROTOCOL_AMQP091,
		.persistent = properties.delivery_mode == 2,
		.priority = properties.priority,
		.exchange = {in->exchange, in->exchange_bytes},
		.routing_key = {in->key, in->key_bytes},
		.properties = {h.properties, h.properties_len},
		.body_bytes = h.body_size,
		.received_us = c->server->now_us,
	};
	enum phase before = phase_enter(c->server->phase, PHASE_MESSAGE);
	in->message = message_new(cache, &e);
	phase_leave(c->server->phase, before);
	if (!in->message)
		return false;
	if (h.body_size == 0)
		publish_route(ch);
	return true;
}

bool publish_accepts_body(struct amqp091_channel *ch, uint32_t n)
{
	struct content_in *in = &ch->in;

	if (!in->message) {
		conn_exception(ch->conn, AMQP091_REPLY_UNEXPECTED_FRAME, 0,
			"expected %s, got content body instead", in->expected ? "content header" : "method");
		return false;
	}
	if (n > message_missing_bytes(in->message)) {
		conn_exception(ch->conn, AMQP091_REPLY_UNEXPECTED_FRAME, 0,
			"content body is longer than its header announced");
		return false;
	}
	return true;
}

void publish_body(struct amqp091_channel *ch, const uint8_t *bytes, uint32_t n)
{
	struct phase_mark *phase = ch->conn->server->phase;

	if (!ch->in.message)
		return;
	enum phase before = phase_enter(phase, PHASE_MESSAGE);
	message_append(ch->in.message, bytes, n);
	phase_leave(phase, before);
}

void publish_body_end(struct amqp091_channel *ch)
{
	if (ch->in.message && message_missing_bytes(ch->in.message) == 0)
		publish_route(ch);
}
