/* SPDX-License-Identifier: Apache-2.0 */
/* A publisher says nearly the same again and again: method and header as before, another body. Where all
 * three frames are here and match what the channel said last, nothing is parsed, and what lies behind it in
 * one receive buffer is not even routed by itself. What differs in anything goes the way of every frame; the
 * effect is the same (server_fast_test.c). */
#include "broker/amqp091/internal.h"

/* Of a content header frame: the body's size, which may differ from one message to the next. */
enum { SIZE_AT = AMQP091_FRAME_HEADER_SIZE + 4, SIZE_END = SIZE_AT + 8 };

/* Each mandatory answer over direct reply-to does, whether it is delivered or not. */
static bool comes_back(const struct content_in *in)
{
	return in->mandatory && in->exchange_bytes == 0 &&
	       reply_to_hidden((struct slice){in->key, in->key_bytes});
}

void publish_learn_method(struct amqp091_channel *ch, const uint8_t *frame, uint32_t n)
{
	struct publish_template *t = &ch->template;

	t->method_bytes = t->header_bytes = 0;
	if (n > AMQP091_TEMPLATE_FRAME_MAX || ch->tx.on || comes_back(&ch->in))
		return;
	memcpy(t->octets, frame, n);
	t->method_bytes = (uint8_t)n;
}

void publish_learn_header(struct amqp091_channel *ch, const uint8_t *frame, uint32_t n)
{
	struct publish_template *t = &ch->template;
	struct amqp091_basic_properties properties;
	const uint32_t head = AMQP091_FRAME_HEADER_SIZE + 12;

	t->header_bytes = 0;
	/* Further keys are each message's own. */
	if (!t->method_bytes || ch->in.keys || ch->in.rewritten || n > AMQP091_TEMPLATE_FRAME_MAX ||
		wire_get64(frame + SIZE_AT) >= AMQP091_LARGE_BODY)
		return;
	MUST(amqp091_basic_properties_decode(frame + head, n - head - 1, &properties) == 0);
	memcpy(t->octets + t->method_bytes, frame, n);
	t->header_bytes = (uint8_t)n;
	t->body_bytes_max = (uint32_t)wire_get64(frame + SIZE_AT);
	t->persistent = properties.delivery_mode == 2;
	t->priority = properties.priority;
	t->expires = properties.flags & AMQP091_BASIC_EXPIRATION;
	/* It was accepted, so it is one. */
	MUST(!t->expires || expiration_read(ch, properties.expiration, &t->lifetime_us));
}

/* Octets of a content before its body. */
static uint32_t head_bytes(const struct publish_template *t)
{
	return (uint32_t)t->method_bytes + t->header_bytes + AMQP091_FRAME_HEADER_SIZE;
}

/* The body's size after the head at p, which is here whole; 0 where that is not like the last. */
static uint32_t match_head(const struct publish_template *t, const uint8_t *p)
{
	uint32_t size_at = (uint32_t)t->method_bytes + SIZE_AT, behind = size_at + SIZE_END - SIZE_AT;
	uint32_t end = (uint32_t)t->method_bytes + t->header_bytes;

	if (!bytes_alike(p, t->octets, size_at) || !bytes_alike(p + behind, t->octets + behind, end - behind))
		return 0;
	uint64_t size = wire_get64(p + size_at);
	if (size > t->body_bytes_max || p[end] != AMQP091_FRAME_BODY ||
		wire_get16(p + end + 1) != wire_get16(p + 1) || wire_get32(p + end + 3) != size)
		return 0;
	return (uint32_t)size;
}

/* How long the content at p is, n octets of which are here; 0 where it is not like the last, then body_bytes
 * too, or not whole. */
static uint32_t match(const struct publish_template *t, const uint8_t *p, uint32_t n, uint32_t *body_bytes)
{
	uint32_t head = head_bytes(t);

	if (n <= head)
		return 0;
	*body_bytes = match_head(t, p);
	if (*body_bytes == 0 || n - head <= *body_bytes || p[head + *body_bytes] != AMQP091_FRAME_END)
		return 0;
	return head + *body_bytes + 1;
}

/* As match, of the chain's first octets, which lie in more than one buffer. */
static uint32_t match_split(const struct publish_template *t, const struct chain *rx, uint32_t *body_bytes)
{
	uint8_t scratch[2 * AMQP091_TEMPLATE_FRAME_MAX + AMQP091_FRAME_HEADER_SIZE], end;
	uint32_t head = head_bytes(t);

	if (rx->bytes <= head)
		return 0;
	*body_bytes = match_head(t, chain_peek(rx, head, scratch));
	if (*body_bytes == 0 || rx->bytes - head <= *body_bytes)
		return 0;
	chain_copy(rx, head + *body_bytes, &end, 1);
	return end == AMQP091_FRAME_END ? head + *body_bytes + 1 : 0;
}

static bool room_for(struct amqp091_server *s, uint32_t body_bytes)
{
	return body_bytes <= s->config.message_bytes_max &&
	       !message_store_full(broker_core_cache(s->config.core));
}

/* Without its body. */
static struct message *message_of(struct amqp091_channel *ch, uint32_t body_bytes)
{
	const struct publish_template *t = &ch->template;
	struct content_in *in = &ch->in;
	struct amqp091_server *s = ch->conn->server;
	const uint32_t head = AMQP091_FRAME_HEADER_SIZE + 12;
	struct message_envelope e = {
		.protocol = BROKER_PROTOCOL_AMQP091,
		.persistent = t->persistent,
		.priority = t->priority,
		.exchange = {in->exchange, in->exchange_bytes},
		.routing_key = {in->key, in->key_bytes},
		.properties = {t->octets + t->method_bytes + head, t->header_bytes - head - 1},
		.body_bytes = body_bytes,
		.received_us = s->now_us,
		.expires = t->expires,
		.lifetime_us = t->lifetime_us,
	};

	return room_for(s, body_bytes) ? message_new(conn_cache(ch->conn), &e) : NULL;
}

static void route(struct amqp091_channel *ch, struct message *m)
{
	struct amqp091_server *s = ch->conn->server;

	ch->in.message = m;
	ch->in.expected = true;
	s->fast_contents++;
	s->counters.frames_received += AMQP091_CONTENT_FRAMES;
	publish_route(ch);
	conn_charge(ch->conn, AMQP091_CONTENT_FRAMES);
}

/* As publish_header, publish_body and publish_body_end. NULL: nothing was done. Else the message; keep: with
 * a reference for the caller. */
static struct message *publish_like_the_last(
	struct amqp091_channel *ch, const uint8_t *body, uint32_t body_bytes, bool keep)
{
	struct amqp091_server *s = ch->conn->server;
	enum phase before = phase_enter(s->phase, PHASE_MESSAGE);
	struct message *m = message_of(ch, body_bytes);

	if (m)
		message_append(m, body, body_bytes);
	phase_leave(s->phase, before);
	if (!m)
		return NULL;
	if (keep)
		message_ref(m);
	route(ch, m);
	return m;
}

/* n octets of the chain, from `at`. */
static void append_from(struct message *m, const struct chain *rx, uint32_t at, uint32_t n)
{
	const struct rte_mbuf *b = rx->head;

	for (; at >= b->data_len; b = b->next)
		at -= b->data_len;
	for (; n > 0; b = b->next, at = 0) {
		uint32_t left = b->data_len - at, piece = left < n ? left : n;
		message_append(m, rte_pktmbuf_mtod_offset(b, const uint8_t *, at), piece);
		n -= piece;
	}
}

/* The next content, where it is here whole and lies in several buffers. False: nothing was done. */
static bool publish_split(struct amqp091_channel *ch)
{
	struct amqp091_conn *c = ch->conn;
	struct amqp091_server *s = c->server;
	uint32_t body_bytes, bytes = match_split(&ch->template, c->transport->rx, &body_bytes);

	if (!bytes)
		return false;
	enum phase before = phase_enter(s->phase, PHASE_MESSAGE);
	struct message *m = message_of(ch, body_bytes);
	if (m)
		append_from(m, c->transport->rx, head_bytes(&ch->template), body_bytes);
	phase_leave(s->phase, before);
	if (!m)
		return false;
	route(ch, m);
	c->memory_short = false;
	if (c->state != CONN_DEAD)
		transport_consume(c->transport, bytes);
	return true;
}

/* One more for the queue. Flat: the calls would cost as much as what they do. */
__attribute__((flatten)) static bool publish_into(struct amqp091_channel *ch, const struct publish_run *run,
	struct message *like, const uint8_t *body, uint32_t body_bytes)
{
	struct amqp091_server *s = ch->conn->server;
	struct message_cache *cache = conn_cache(ch->conn);
	enum phase before = phase_enter(s->phase, PHASE_MESSAGE);
	struct message *m = message_new_like(cache, like, body, body_bytes);
	phase_enter(s->phase, PHASE_QUEUE);
	bool added = m && publish_run_add(&ch->conn->session, run, m, ch->confirming ? &ch->marks : NULL);
	phase_leave(s->phase, before);
	if (m && !added)
		message_unref(cache, m);
	return added;
}

/* Those behind `like` that go where it went, without asking for each. Returns their octets, of n at p. */
static uint32_t publish_run(struct amqp091_channel *ch, struct message *like, const uint8_t *p, uint32_t n)
{
	const struct publish_template *t = &ch->template;
	struct amqp091_conn *c = ch->conn;
	uint32_t most = conn_input_left(c) / AMQP091_CONTENT_FRAMES, done = 0, used = 0, bytes, body_bytes;
	struct publish_run run = {0};

	while (done < most && (bytes = match(t, p + used, n - used, &body_bytes))) {
		/* The watermark is looked at once: the run lies in one receive buffer. */
		if (!run.queue && room_for(c->server, t->body_bytes_max))
			run = publish_run_like(ch, like);
		if (!run.queue || !publish_into(ch, &run, like, p + used + head_bytes(t), body_bytes))
			break;
		used += bytes;
		done++;
	}
	if (done == 0)
		return 0;
	c->server->fast_contents += done;
	c->server->fast_run_contents += done;
	c->server->counters.frames_received += AMQP091_CONTENT_FRAMES * (uint64_t)done;
	publish_run_done(ch, &run, done);
	conn_charge(c, AMQP091_CONTENT_FRAMES * done);
	return used;
}

static bool may_go_on(struct amqp091_conn *c, const struct amqp091_channel *ch)
{
	return c->state == CONN_RUNNING && c->hold == HOLD_NONE && !ch->closing && !ch->in.expected &&
	       conn_input_left(c) >= AMQP091_CONTENT_FRAMES &&
	       ((!ch->in.mandatory && !ch->refusals) || conn_may_read(c));
}

/* Those in the first buffer. Returns whether there were any; differs: what follows is not like them. */
static bool publish_whole(struct amqp091_channel *ch, bool *differs)
{
	struct amqp091_conn *c = ch->conn;
	const struct publish_template *t = &ch->template;
	const struct rte_mbuf *head = c->transport->rx->head;
	const uint8_t *p = rte_pktmbuf_mtod(head, const uint8_t *);
	uint32_t n = head->data_len, used = 0, bytes, body_bytes = 1;
	bool runs = true;

	while (may_go_on(c, ch) && (bytes = match(t, p + used, n - used, &body_bytes))) {
		/* Where the first has no run behind it, the others are not asked. */
		bool run = runs && n - used > bytes;
		struct message *m = publish_like_the_last(ch, p + used + head_bytes(t), body_bytes, run);
		if (!m)
			break;
		used += bytes;
		if (!run)
			continue;
		uint32_t more = may_go_on(c, ch) ? publish_run(ch, m, p + used, n - used) : 0;
		used += more;
		runs = more > 0;
		message_unref(conn_cache(c), m);
	}
	*differs = body_bytes == 0;
	if (!used)
		return false;
	c->memory_short = false;
	if (c->state != CONN_DEAD)
		transport_consume(c->transport, used);
	return true;
}

bool publish_fast(struct amqp091_conn *c)
{
	const struct chain *rx = c->transport->rx;
	uint8_t scratch[AMQP091_FRAME_HEADER_SIZE];

	if (c->server->plain || c->body_end || rx->bytes < AMQP091_FRAME_HEADER_SIZE)
		return false;
	const uint8_t *p = chain_peek(rx, AMQP091_FRAME_HEADER_SIZE, scratch);
	if (p[0] != AMQP091_FRAME_METHOD)
		return false;
	struct amqp091_channel *ch = channel_find(c, wire_get16(p + 1));
	if (!ch || !ch->template.header_bytes)
		return false;
	bool differs, some = publish_whole(ch, &differs);
	return (!differs && rx->bytes > 0 && may_go_on(c, ch) && publish_split(ch)) || some;
}
