/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/client.h"

#include "runtime/check.h"
#include "tests/world/peer.h"
#include "tests/world/world.h"

#include <stdlib.h>
#include <string.h>

enum { READ_PIECE = 16384, OUT_ENOUGH = 128 * 1024 };

struct client clients[CLIENTS_MAX];
unsigned client_count;

struct amqp091_shortstr client_text(const char *text)
{
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)strlen(text)};
}

void clients_open(unsigned count)
{
	client_count = count;
	for (unsigned i = 0; i < count; i++) {
		struct client *c = &clients[i];
		c->index = i;
		c->keeper = i == 0;
		c->peer = i % peers_count();
		c->state = CLIENT_AWAY;
		c->tcp = NULL;
		c->act_us = c->sleep_until_us = 0;
		c->finished = false;
		c->refused = -1;
		c->in_end = c->out_at = c->out_end = 0;
		for (unsigned k = 0; k < CLIENT_CHANNELS; k++) {
			c->channels[k].state = CHANNEL_SHUT;
			c->channels[k].opened = false;
			c->channels[k].expect_count = 0;
			c->channels[k].number = (uint16_t)(k + 1);
			c->channels[k].consumer_count = 0;
		}
	}
}

static void consumers_free(struct channel *ch)
{
	for (unsigned i = 0; i < ch->consumer_count; i++)
		free(ch->consumers[i].last);
	ch->consumer_count = 0;
}

void clients_close(void)
{
	for (unsigned i = 0; i < client_count; i++)
		for (unsigned k = 0; k < CLIENT_CHANNELS; k++)
			consumers_free(&clients[i].channels[k]);
}

void channel_begin(struct client *c, struct channel *ch)
{
	consumers_free(ch);
	ch->state = CHANNEL_OPEN;
	ch->life = ledger_life_begin();
	ch->confirming = ch->opened = ch->recovering = ch->crossed = false;
	ch->refusals = 0;
	ch->publishes = ch->confirmed = ch->sure = 0;
	ch->expect_first = ch->expect_count = 0;
	ch->held_count = 0;
	ch->tag_next = 1;
}

void channel_end(struct channel *ch, bool clean)
{
	if (ch->state == CHANNEL_SHUT)
		return;
	ledger_life_end(ch->life, clean);
	ch->state = CHANNEL_SHUT;
	ch->held_count = 0;
	ch->expect_count = 0;
	ch->opened = false;
}

void client_lost(struct client *c, bool clean)
{
	world_trace("client %u: connection over%s", c->index, clean ? ", as agreed" : "");
	for (unsigned k = 0; k < CLIENT_CHANNELS; k++)
		channel_end(&c->channels[k], clean);
	world_met(clean ? WORLD_closed_well : WORLD_connection_lost);
	c->state = CLIENT_AWAY;
	c->tcp = NULL;
	c->content = false;
	c->in_end = c->out_at = c->out_end = 0;
	c->act_us = world.now_us + world_below(world.phase == WORLD_RUN ? 200000 : 2000000);
	c->finished |= !c->keeper && world.phase > WORLD_RUN;
}

/* TCP tells */

static void connected(struct tcp_conn *tcp, int error)
{
	struct client *c = tcp_conn_user(tcp);

	if (error) {
		client_lost(c, false);
		return;
	}
	c->state = CLIENT_GREETING;
	c->heard_us = c->said_us = world.now_us;
	memcpy(client_room(c, AMQP091_PROTOCOL_HEADER_SIZE), AMQP091_PROTOCOL_HEADER,
		AMQP091_PROTOCOL_HEADER_SIZE);
}

static void nothing(struct tcp_conn *tcp)
{
}

/* The rest is read by client_pump. */
static void peer_closed(struct tcp_conn *tcp)
{
}

static void closed(struct tcp_conn *tcp, int reason)
{
	client_lost(tcp_conn_user(tcp), false);
}

static const struct tcp_app app = {
	.connected = connected,
	.readable = nothing,
	.writable = nothing,
	.peer_closed = peer_closed,
	.closed = closed,
};

void client_connect(struct client *c)
{
	struct ip_addr to = sim_net_address(&world.net, 0);

	c->heartbeat_us = WORLD_ONE_OF(0, 2000000, 10000000);
	c->tcp = tcp_connect(peer_stack(c->peer), &to, WORLD_TCP_PORT, NULL, &app, c, world.now_us);
	if (!c->tcp) {
		c->act_us = world.now_us + 100000;
		return;
	}
	c->state = CLIENT_CONNECTING;
	world_trace("client %u: connects", c->index);
}

/* Sending */

uint8_t *client_room(struct client *c, uint32_t bytes)
{
	MUST(c->out_end + bytes <= CLIENT_BUFFER);
	c->out_end += bytes;
	return c->out + c->out_end - bytes;
}

bool client_has_room(const struct client *c)
{
	return c->out_end - c->out_at < OUT_ENOUGH;
}

void client_method(struct client *c, uint16_t channel, const struct amqp091_method *m)
{
	uint8_t *room = client_room(c, CLIENT_FRAME_MAX);
	ssize_t n = amqp091_method_frame(room, CLIENT_FRAME_MAX, channel, m);

	MUST(n > 0);
	c->out_end -= CLIENT_FRAME_MAX - (uint32_t)n;
	world_trace("client %u: channel %u: %s", c->index, channel, amqp091_method_info(m->id)->name);
}

static void flush(struct client *c)
{
	while (c->out_at < c->out_end) {
		uint32_t n = c->out_end - c->out_at, room = tcp_conn_tx_room(c->tcp);
		n = n < room ? n : room;
		if (n == 0 || tcp_conn_write(c->tcp, c->out + c->out_at, n) != 0)
			break;
		c->out_at += n;
		c->said_us = world.now_us;
	}
	memmove(c->out, c->out + c->out_at, c->out_end - c->out_at);
	c->out_end -= c->out_at;
	c->out_at = 0;
}

void client_close(struct client *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	m.args.connection_close.reply_code = 200;
	client_method(c, 0, &m);
	c->state = CLIENT_CLOSING;
	for (unsigned k = 0; k < CLIENT_CHANNELS; k++)
		if (c->channels[k].state != CHANNEL_SHUT)
			ledger_life_closing(c->channels[k].life);
}

/* The greeting */

static void start_ok(struct client *c)
{
	static const char response[] = "\0world\0secret";
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_START_OK};
	struct amqp091_table_builder b;
	uint8_t properties[128];

	amqp091_table_build(&b, properties, sizeof(properties));
	amqp091_table_open(&b, "capabilities");
	amqp091_table_add_bool(&b, "consumer_cancel_notify", true);
	amqp091_table_close(&b);
	MUST(amqp091_table_finish(&b, &m.args.connection_start_ok.client_properties) == 0);
	m.args.connection_start_ok.mechanism = client_text("PLAIN");
	m.args.connection_start_ok.response = (struct amqp091_longstr){
		(const uint8_t *)response, sizeof(response) - 1};
	m.args.connection_start_ok.locale = client_text("en_US");
	client_method(c, 0, &m);
}

static void tune_ok(struct client *c, const struct amqp091_connection_tune *t)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_TUNE_OK};

	m.args.connection_tune_ok = (struct amqp091_connection_tune_ok){
		t->channel_max, CLIENT_FRAME_MAX, (uint16_t)(c->heartbeat_us / 1000000)};
	client_method(c, 0, &m);
	m = (struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_OPEN};
	m.args.connection_open.virtual_host = client_text("/");
	client_method(c, 0, &m);
}

/* The broker ends the connection. */
static void closed_by_broker(struct client *c, const struct amqp091_connection_close *m)
{
	unsigned may = 0;

	for (unsigned k = 0; k < CLIENT_CHANNELS; k++)
		for (unsigned i = 0; i < c->channels[k].expect_count; i++)
			may |= c->channels[k]
				       .expects[(c->channels[k].expect_first + i) % CLIENT_EXPECTS]
				       .refusals;
	if (!(m->reply_code == 506 && (may & REFUSE_504)))
		world_fail("client %u: the broker closed the connection: %u %.*s", c->index, m->reply_code,
			(int)m->reply_text.len, (const char *)m->reply_text.data);
	world_met(WORLD_channel_pool_empty);
	client_method(c, 0, &(struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_CLOSE_OK});
	flush(c);
	tcp_conn_close(c->tcp);
	client_lost(c, false);
}

static void connection_method(struct client *c, const struct amqp091_method *m)
{
	switch (m->id) {
	case AMQP091_METHOD_CONNECTION_START:
		start_ok(c);
		return;
	case AMQP091_METHOD_CONNECTION_TUNE:
		tune_ok(c, &m->args.connection_tune);
		return;
	case AMQP091_METHOD_CONNECTION_OPEN_OK:
		c->state = CLIENT_OPEN;
		c->act_us = world.now_us;
		return;
	case AMQP091_METHOD_CONNECTION_CLOSE_OK:
		if (c->state != CLIENT_CLOSING)
			world_fail("client %u: close-ok without a close", c->index);
		for (unsigned k = 0; k < CLIENT_CHANNELS; k++)
			if (c->channels[k].state != CHANNEL_SHUT)
				channel_sure(&c->channels[k], c->channels[k].publishes);
		tcp_conn_close(c->tcp);
		client_lost(c, true);
		return;
	case AMQP091_METHOD_CONNECTION_CLOSE:
		closed_by_broker(c, &m->args.connection_close);
		return;
	default:
		world_fail("client %u: %s on channel 0", c->index, amqp091_method_info(m->id)->name);
	}
}

/* Receiving */

static void name_keep(char *to, struct amqp091_shortstr s)
{
	if (s.len >= LEDGER_KEY_MAX)
		world_fail(
			"a name of %u bytes that nobody gave: %.*s", s.len, (int)s.len, (const char *)s.data);
	memcpy(to, s.data, s.len);
	to[s.len] = 0;
}

/* True where a content follows. */
static bool content_begins(struct client *c, uint16_t channel, const struct amqp091_method *m)
{
	switch (m->id) {
	case AMQP091_METHOD_BASIC_DELIVER:
		name_keep(c->exchange, m->args.basic_deliver.exchange);
		name_keep(c->key, m->args.basic_deliver.routing_key);
		name_keep(c->tag, m->args.basic_deliver.consumer_tag);
		break;
	case AMQP091_METHOD_BASIC_GET_OK:
		name_keep(c->exchange, m->args.basic_get_ok.exchange);
		name_keep(c->key, m->args.basic_get_ok.routing_key);
		break;
	case AMQP091_METHOD_BASIC_RETURN:
		name_keep(c->exchange, m->args.basic_return.exchange);
		name_keep(c->key, m->args.basic_return.routing_key);
		break;
	default:
		return false;
	}
	c->method = *m;
	c->content_channel = channel;
	c->content = true;
	c->header = false;
	c->body_have = 0;
	return true;
}

static void content_check_end(struct client *c)
{
	if (c->body_have < c->body_bytes)
		return;
	c->content = false;
	world_met(c->body_bytes > CLIENT_FRAME_MAX ? WORLD_large_body : WORLD_delivered);
	channel_content(c, client_channel(c, c->content_channel));
}

static void content_frame(struct client *c, const struct amqp091_frame *f, const uint8_t *payload)
{
	struct amqp091_content_header h;

	if (!c->content || f->channel != c->content_channel || (f->type == AMQP091_FRAME_HEADER) == c->header)
		world_fail("client %u: a content's frame of type %u where none may be", c->index, f->type);
	if (f->type == AMQP091_FRAME_HEADER) {
		if (amqp091_content_header_decode(payload, f->size, &h) || h.body_size > CLIENT_BODY_MAX)
			world_fail("client %u: a content header that makes no sense", c->index);
		c->header = true;
		c->body_bytes = h.body_size;
	} else {
		if (f->size > c->body_bytes - c->body_have)
			world_fail("client %u: a body longer than its header says", c->index);
		memcpy(c->body + c->body_have, payload, f->size);
		c->body_have += f->size;
	}
	content_check_end(c);
}

static void method_frame(struct client *c, uint16_t channel, const uint8_t *payload, uint32_t n)
{
	struct amqp091_method m;

	if (amqp091_method_decode(payload, n, &m))
		world_fail("client %u: a method that makes no sense", c->index);
	world_trace("client %u: channel %u: gets %s", c->index, channel, amqp091_method_info(m.id)->name);
	if (c->content)
		world_fail("client %u: %s within a content", c->index, amqp091_method_info(m.id)->name);
	world.digest = world.digest * 31 + m.id + channel;
	if (channel == 0) {
		connection_method(c, &m);
		return;
	}
	struct channel *ch = client_channel(c, channel);
	if (!ch || ch->state == CHANNEL_SHUT)
		world_fail("client %u: %s on channel %u, which is not open", c->index,
			amqp091_method_info(m.id)->name, channel);
	if (!content_begins(c, channel, &m))
		channel_hears(c, ch, &m);
}

/* False: no whole frame is there. */
static bool one_frame(struct client *c, uint32_t *at)
{
	struct amqp091_frame f;
	int64_t n = amqp091_frame_parse(c->in + *at, c->in_end - *at, CLIENT_FRAME_MAX, &f);
	const uint8_t *payload = c->in + *at + AMQP091_FRAME_HEADER_SIZE;

	if (n < 0)
		world_fail("client %u: a frame that makes no sense", c->index);
	if (n == 0)
		return false;
	*at += (uint32_t)n;
	if (f.type == AMQP091_FRAME_METHOD)
		method_frame(c, f.channel, payload, f.size);
	else if (f.type != AMQP091_FRAME_HEARTBEAT)
		content_frame(c, &f, payload);
	return true;
}

static void read_in(struct client *c)
{
	struct chain *rx = tcp_conn_rx(c->tcp);
	uint32_t n = rx->bytes < READ_PIECE ? rx->bytes : READ_PIECE, at = 0;

	if (!n)
		return;
	MUST(c->in_end + n <= CLIENT_BUFFER);
	chain_copy(rx, 0, c->in + c->in_end, n);
	c->in_end += n;
	tcp_conn_rx_consume(c->tcp, n);
	c->heard_us = world.now_us;
	while (c->state > CLIENT_CONNECTING && one_frame(c, &at))
		;
	if (c->state <= CLIENT_CONNECTING)
		return; /* it is over */
	memmove(c->in, c->in + at, c->in_end - at);
	c->in_end -= at;
}

static void beat(struct client *c)
{
	if (c->heartbeat_us && c->state == CLIENT_OPEN && world.now_us - c->said_us >= c->heartbeat_us / 2 &&
		c->out_end == 0) {
		amqp091_heartbeat_put(client_room(c, AMQP091_HEARTBEAT_SIZE));
		c->said_us = world.now_us;
	}
}

void client_pump(struct client *c)
{
	if (c->state <= CLIENT_CONNECTING)
		return;
	if (world.now_us >= c->sleep_until_us || world.phase > WORLD_RUN)
		read_in(c);
	if (c->state <= CLIENT_CONNECTING || c->state == CLIENT_ENDING)
		return;
	beat(c);
	flush(c);
}

bool client_quiet(const struct client *c)
{
	for (unsigned k = 0; k < CLIENT_CHANNELS; k++)
		if (!channel_quiet(&c->channels[k]))
			return false;
	return c->out_end == 0 && !c->content;
}
