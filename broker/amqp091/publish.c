/* SPDX-License-Identifier: Apache-2.0 */
/* basic.publish and its content: method, header, bodies; then routing, basic.return and the confirm. */
#include "broker/amqp091/internal.h"

#include "runtime/log.h"

static void confirm_due(struct amqp091_channel *ch)
{
	if (cds_list_empty(&ch->confirm_link))
		cds_list_add_tail(&ch->confirm_link, &ch->conn->server->confirms);
}

/* Up to which publish all is in its queues. What went to queues of other cores is there when the links have
 * been taken so far: it is asked for in batches, one after the other. */
static struct confirm_point confirmable(struct amqp091_channel *ch)
{
	struct confirm_point at = ch->confirmed;

	if (ch->due.seq) {
		if (!publish_marks_passed(ch->conn->server->config.core, &ch->waiting))
			return at;
		at = ch->due;
		ch->due.seq = 0;
	}
	if (ch->accepted.seq == at.seq)
		return at;
	if (!ch->marks.cores)
		return ch->accepted;
	ch->waiting = ch->marks;
	ch->due = ch->accepted;
	ch->marks.cores = 0;
	return at;
}

/* One basic.ack for everything since the last of which the promise is true. */
void confirm_flush(struct amqp091_channel *ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};

	cds_list_del_init(&ch->confirm_link);
	if (ch->closing || !conn_live(ch->conn))
		return;
	struct confirm_point at = confirmable(ch);
	uint64_t n = at.count - ch->confirmed.count;
	if (ch->due.seq)
		confirm_due(ch);
	if (n == 0)
		return;
	m.args.basic_ack = (struct amqp091_basic_ack){.delivery_tag = at.seq, .multiple = n > 1};
	ch->conn->server->counters.confirmed += n;
	ch->conn->server->counters.confirmed_not_stored += at.persistent - ch->confirmed.persistent;
	ch->confirmed = at;
	conn_send_method(ch->conn, ch->number, &m);
}

static void accepted(struct amqp091_channel *ch, uint32_t n, bool persistent)
{
	ch->publish_seq += n;
	ch->accepted.seq = ch->publish_seq;
	ch->accepted.count += n;
	ch->accepted.persistent += persistent ? n : 0;
	confirm_due(ch);
}

/* A queue would not take it: basic.nack at once, so that no later ack speaks of it. */
static void refused(struct amqp091_channel *ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_NACK};

	m.args.basic_nack = (struct amqp091_basic_nack){.delivery_tag = ++ch->publish_seq, .requeue = true};
	ch->refusals = true;
	ch->conn->server->counters.publishes_refused++;
	conn_send_method(ch->conn, ch->number, &m);
}

/* Asked once for contents in a row that go to the same exchange. */
static bool write_permitted(struct amqp091_channel *ch, struct slice exchange)
{
	struct content_in *in = &ch->in;

	if (in->permitted && exchange.bytes == in->exchange_bytes &&
		bytes_alike(exchange.data, in->exchange, exchange.bytes))
		return true;
	in->permitted = exchange_permitted(ch, ACCESS_WRITE, exchange, AMQP091_METHOD_BASIC_PUBLISH);
	return in->permitted;
}

void publish_begin(struct amqp091_channel *ch, const struct amqp091_basic_publish *p)
{
	struct content_in *in = &ch->in;

	if (p->immediate) {
		conn_exception(ch->conn, AMQP091_REPLY_NOT_IMPLEMENTED, AMQP091_METHOD_BASIC_PUBLISH,
			"immediate=true");
		return;
	}
	if (!write_permitted(ch, slice_of(p->exchange)))
		return;
	in->expected = true;
	in->rewritten = false;
	in->mandatory = p->mandatory;
	in->exchange_bytes = p->exchange.len;
	in->key_bytes = p->routing_key.len;
	if (p->exchange.len)
		memcpy(in->exchange, p->exchange.data, p->exchange.len);
	if (p->routing_key.len)
		memcpy(in->key, p->routing_key.data, p->routing_key.len);
}

static void keys_drop(struct amqp091_channel *ch)
{
	if (ch->in.keys)
		message_unref(conn_cache(ch->conn), ch->in.keys);
	ch->in.keys = NULL;
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
	keys_drop(ch);
}

void publish_give_back(struct amqp091_channel *ch, struct message *m)
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
	conn_send_content_take(ch->conn, ch->number, &r, m, NULL);
}

struct publish_run publish_run_like(struct amqp091_channel *ch, struct message *like)
{
	struct header_lookup lookup = {.message = like, .block = ch->conn->server->scratch};
	struct header_source headers = header_source(&lookup);
	struct publish p = {.exchange = message_exchange(like),
		.routing_key = message_routing_key(like),
		.headers = &headers,
		.message = like};

	return publish_run_begin(&ch->conn->session, &p);
}

void publish_run_done(struct amqp091_channel *ch, const struct publish_run *run, uint32_t n)
{
	publish_run_end(&ch->conn->session, run, n);
	ch->conn->server->counters.messages_received += n;
	if (ch->confirming)
		accepted(ch, n, ch->template.persistent);
}

/* An answer over direct reply-to reaches no queue: a mandatory one comes back too, as RabbitMQ's
 * documentation has it. */
static bool reached_nobody(const struct publish *p, uint32_t queues)
{
	bool answer = p->exchange.bytes == 0 && !p->more_keys && reply_to_hidden(p->routing_key);

	return queues == 0 || answer;
}

enum publish_result publish_offer(struct amqp091_channel *ch, const struct publish_content *content,
	struct publish_marks *marks, struct failure *f)
{
	struct amqp091_conn *c = ch->conn;
	struct message *m = content->message, *keys = content->keys;
	uint32_t queues;
	struct header_lookup lookup = {
		.message = keys ? keys : m, .block = c->server->scratch, .selected = keys != NULL};
	struct header_source headers = header_source(&lookup);
	struct key_source more = key_source(&lookup);
	struct publish p = {.exchange = message_exchange(m),
		.routing_key = message_routing_key(m),
		.headers = &headers,
		.message = m,
		.more_keys = keys ? &more : NULL,
		.keys = keys};

	enum publish_result result = exchange_publish(&c->session, &p, marks, &queues, f);
	if (content->mandatory && result == PUBLISH_DONE && reached_nobody(&p, queues))
		publish_give_back(ch, m);
	return result;
}

void publish_route(struct amqp091_channel *ch)
{
	struct content_in *in = &ch->in;
	struct amqp091_conn *c = ch->conn;
	struct failure f;
	struct publish_content content = {in->message, in->keys, in->mandatory};
	enum publish_result result = publish_offer(ch, &content, ch->confirming ? &ch->marks : NULL, &f);

	if (result == PUBLISH_AGAIN) {
		c->routing = ch;
		conn_hold(c, HOLD_ROUTE);
		return;
	}
	struct message *m = in->message;
	in->message = NULL;
	in->expected = false;
	keys_drop(ch);
	c->server->counters.messages_received++;
	if (result == PUBLISH_FAILED) {
		message_unref(conn_cache(c), m);
		channel_failure(ch, AMQP091_METHOD_BASIC_PUBLISH, &f);
		return;
	}
	bool persistent = message_persistent(m);
	message_unref(conn_cache(c), m);
	if (ch->confirming && result == PUBLISH_REFUSED)
		refused(ch);
	else if (ch->confirming)
		accepted(ch, 1, persistent);
}

void publish_again(struct amqp091_channel *ch)
{
	ch->conn->routing = NULL;
	publish_route(ch);
}

static void publish_complete(struct amqp091_channel *ch)
{
	if (ch->tx.on)
		transaction_publish(ch);
	else
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

static bool fits_memory(struct amqp091_channel *ch, uint64_t body_bytes, uint32_t properties_bytes)
{
	if (room_ever(conn_cache(ch->conn), body_bytes, properties_bytes))
		return true;
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"message size %llu is larger than the broker's message memory",
		(unsigned long long)body_bytes);
	return false;
}

static bool header_fits(struct amqp091_channel *ch, const struct amqp091_content_header *h)
{
	struct amqp091_server *s = ch->conn->server;

	if (h->body_size > s->config.message_bytes_max) {
		too_large(ch, h->body_size, s->config.message_bytes_max);
		return false;
	}
	return fits_memory(ch, h->body_size, h->properties_len);
}

/* What routing asks once the body is there, where the headers name further keys; what hides is taken out of
 * the properties that the message gets, which remembers it for its dead letters. False: there is no memory
 * now. */
static bool keys_keep(struct amqp091_channel *ch, enum selected selected, const struct amqp091_table *headers,
	struct message_envelope *e)
{
	struct amqp091_conn *c = ch->conn;
	struct message_envelope keys = {.protocol = e->protocol, .properties = e->properties};

	if (selected != SELECTED_BCC)
		return true;
	ch->in.keys = message_new(conn_cache(c), &keys);
	if (!ch->in.keys)
		return false;
	e->keys = ch->in.keys;
	e->properties = selected_strip(e->properties.data, e->properties.bytes, *headers, c->server->scratch);
	return true;
}

/* The property is a promise to whoever gets the message. False: the channel has been told. */
static bool user_id_true(struct amqp091_channel *ch, const struct amqp091_basic_properties *p)
{
	const char *user = ch->conn->user;

	if (!(p->flags & AMQP091_BASIC_USER_ID) || slice_equals_text(slice_of(p->user_id), user))
		return true;
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"user_id property set to '%.*s' but authenticated user was '%s'", SHORT_ARG(p->user_id),
		user);
	return false;
}

/* False: the channel has been told. */
static bool delivery_mode_known(struct amqp091_channel *ch, const struct amqp091_basic_properties *p)
{
	if (p->delivery_mode == 1 || p->delivery_mode == 2 || !(p->flags & AMQP091_BASIC_DELIVERY_MODE))
		return true;
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"invalid message: {delivery_mode_unknown,%u}", p->delivery_mode);
	return false;
}

/* What is not stored must not look as if it were. False: the channel has been told. */
static bool persistent_taken(struct amqp091_channel *ch)
{
	struct amqp091_server *s = ch->conn->server;

	if (s->config.refuse_persistent) {
		publish_drop(ch);
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
			"persistent messages are refused: nothing is stored on disk here");
		return false;
	}
	if (!s->persistent_seen)
		LOG_WARN("amqp",
			"'%s' publishes persistent messages, which are kept in memory only; said once",
			ch->conn->user);
	s->persistent_seen = true;
	return true;
}

void publish_unexpected(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;

	if (!ch->in.expected)
		conn_exception(c, AMQP091_REPLY_UNEXPECTED_FRAME, 0,
			"expected method frame, got non method frame instead");
	else if (!ch->in.message)
		conn_exception(c, AMQP091_REPLY_UNEXPECTED_FRAME, AMQP091_METHOD_BASIC_PUBLISH,
			"expected content header for class 60, got non content header frame instead");
	else
		conn_exception(c, AMQP091_REPLY_UNEXPECTED_FRAME, AMQP091_METHOD_BASIC_PUBLISH,
			"expected content body, got non content body frame instead");
}

bool publish_header(struct amqp091_channel *ch, const uint8_t *payload, uint32_t n)
{
	struct content_in *in = &ch->in;
	struct amqp091_conn *c = ch->conn;
	struct message_cache *cache = conn_cache(c);
	struct amqp091_content_header h;
	struct amqp091_basic_properties properties;

	if (!in->expected || in->message) {
		publish_unexpected(ch);
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
	if (!user_id_true(ch, &properties) || !reply_to_rewrite(ch, &h, &properties))
		return true;
	uint64_t lifetime_us = 0;
	bool expires = properties.flags & AMQP091_BASIC_EXPIRATION;
	if (!header_fits(ch, &h) || (properties.delivery_mode == 2 && !persistent_taken(ch)) ||
		(expires && !expiration_read(ch, properties.expiration, &lifetime_us)) ||
		!delivery_mode_known(ch, &properties))
		return true;
	if (!room_now(cache, h.body_size))
		return false;
	enum selected selected = SELECTED_NONE;
	if (properties.headers.len)
		selected = selected_check(ch, &properties.headers);
	if (selected == SELECTED_REFUSED ||
		(selected == SELECTED_BCC &&
			!fits_memory(ch, h.body_size + h.properties_len, h.properties_len))) {
		publish_drop(ch);
		return true;
	}
	struct message_envelope e = {
		.protocol = BROKER_PROTOCOL_AMQP091,
		.persistent = properties.delivery_mode == 2,
		.priority = properties.priority,
		.exchange = {in->exchange, in->exchange_bytes},
		.routing_key = {in->key, in->key_bytes},
		.properties = {h.properties, h.properties_len},
		.body_bytes = h.body_size,
		.received_us = c->server->now_us,
		.expires = expires,
		.lifetime_us = lifetime_us,
	};
	enum phase before = phase_enter(c->server->phase, PHASE_MESSAGE);
	if (selected == SELECTED_NONE || keys_keep(ch, selected, &properties.headers, &e))
		in->message = message_new(cache, &e);
	phase_leave(c->server->phase, before);
	if (!in->message) {
		keys_drop(ch);
		return false;
	}
	if (selected == SELECTED_CC) {
		message_ref(in->message);
		in->keys = in->message;
	}
	if (h.body_size == 0)
		publish_complete(ch);
	return true;
}

bool publish_accepts_body(struct amqp091_channel *ch, uint32_t n)
{
	struct content_in *in = &ch->in;

	if (!in->message) {
		publish_unexpected(ch);
		return false;
	}
	if (n > message_missing_bytes(in->message)) {
		conn_exception(ch->conn, AMQP091_REPLY_UNEXPECTED_FRAME, AMQP091_METHOD_BASIC_PUBLISH,
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
	if (!ch->in.message || message_missing_bytes(ch->in.message) > 0)
		return;
	message_received(ch->in.message, ch->conn->server->now_us);
	publish_complete(ch);
}
