/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/client.h"

#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_MAX = 131072, CHANNEL_MAX = 2047 };

static void on_method(void *ctx, uint16_t channel, const struct amqp091_method *m, bool decoded);

static void on_delivery(void *ctx, const struct reader_delivery *d)
{
	struct client *c = ctx;

	if (c->state == CLIENT_READY)
		c->app->delivery(c, d);
}

/* The connection is given up after the bytes at hand were read: they lie in it. */
static void doom(struct client *c, const char *why)
{
	if (!c->why[0])
		snprintf(c->why, sizeof(c->why), "%s", why);
	c->state = CLIENT_OVER;
	reader_stop(&c->reader);
}

static void on_broken(void *ctx, const char *why)
{
	doom(ctx, why);
}

static const struct reader_app reader_app = {
	.method = on_method, .delivery = on_delivery, .broken = on_broken};

void client_init(struct client *c, const struct client_app *app, const struct client_login *login, void *user)
{
	*c = (struct client){.app = app, .login = login, .user = user};
	reader_init(&c->reader, &reader_app, c);
}

void client_free(struct client *c)
{
	script_free(&c->setup);
	script_free(&c->out);
}

void client_opening(struct client *c, struct transport_conn *conn)
{
	c->conn = conn;
	c->state = CLIENT_CONNECTING;
	c->why[0] = '\0';
	c->out.count = c->out_at = 0;
	c->answers_due = 0;
	reader_init(&c->reader, &reader_app, c);
}

void client_try(struct client *c)
{
	while (c->conn && c->out_at < c->out.count) {
		size_t left = c->out.count - c->out_at, room = transport_tx_room(c->conn);
		uint32_t n = (uint32_t)(left < room ? left : room);
		if (n == 0 || transport_write(c->conn, c->out.bytes + c->out_at, n))
			return;
		c->out_at += n;
	}
	c->out.count = c->out_at = 0;
}

void client_say(struct client *c, const struct script *s)
{
	if (!c->conn)
		return;
	c->answers_due += s->answers;
	script_raw(&c->out, s->bytes, s->count);
	client_try(c);
}

static void say_once(struct client *c, struct script *s)
{
	client_say(c, s);
	script_free(s);
}

static void end(struct client *c)
{
	c->state = CLIENT_OVER;
	c->conn = NULL;
	c->app->ended(c, c->why[0] ? c->why : NULL);
}

/* After a callback in which it may have been doomed. */
static void bury(struct client *c)
{
	if (c->state != CLIENT_OVER || !c->conn || c->inside)
		return;
	transport_abort(c->conn);
	end(c);
}

void client_fail(struct client *c, const char *why)
{
	if (c->state == CLIENT_OVER)
		return;
	doom(c, why);
	if (c->conn)
		bury(c);
	else
		end(c);
}

void client_close(struct client *c)
{
	struct script s = {0};

	if (!c->conn || c->state == CLIENT_CLOSING || c->state == CLIENT_OVER)
		return;
	if (c->state == CLIENT_CONNECTING) {
		c->state = CLIENT_OVER;
		bury(c);
		return;
	}
	c->state = CLIENT_CLOSING;
	script_close(&s);
	say_once(c, &s);
}

static void on_start(struct client *c)
{
	struct script s = {0};

	script_start_ok(&s, c->login->user, c->login->password);
	say_once(c, &s);
}

static void on_tune(struct client *c, const struct amqp091_connection_tune *m)
{
	struct script s = {0};

	c->frame_max = m->frame_max && m->frame_max < FRAME_MAX ? m->frame_max : FRAME_MAX;
	script_tune_ok(&s, m->channel_max && m->channel_max < CHANNEL_MAX ? m->channel_max : CHANNEL_MAX,
		c->frame_max, 0);
	script_connection_open(&s, c->login->vhost);
	say_once(c, &s);
}

static void on_connection_open(struct client *c)
{
	struct script s = {0};

	script_channel_open(&s);
	say_once(c, &s);
}

static void ready(struct client *c)
{
	c->state = CLIENT_READY;
	c->app->ready(c);
}

static void on_channel_open(struct client *c)
{
	c->state = CLIENT_SETUP;
	client_say(c, &c->setup);
	if (c->answers_due == 0)
		ready(c);
}

static void on_closed_by_peer(struct client *c, const char *what, uint16_t code, struct amqp091_shortstr text,
	uint16_t class_id, uint16_t method_id)
{
	char why[320];
	const struct amqp091_method_info *info = amqp091_method_info((uint32_t)class_id << 16 | method_id);

	snprintf(why, sizeof(why), "the broker closed the %s: %u %.*s%s%s%s", what, code, text.len, text.data,
		info ? " (" : "", info ? info->name : "", info ? ")" : "");
	doom(c, why);
}

/* In what it needs. */
static void lacks(struct client *c)
{
	doom(c, "the broker said something else than the handshake wants");
}

static bool handshake(struct client *c, const struct amqp091_method *m, bool decoded)
{
	switch (m->id) {
	case AMQP091_METHOD_CONNECTION_START:
		on_start(c);
		return true;
	case AMQP091_METHOD_CONNECTION_TUNE:
		if (decoded)
			on_tune(c, &m->args.connection_tune);
		else
			lacks(c);
		return true;
	case AMQP091_METHOD_CONNECTION_OPEN_OK:
		on_connection_open(c);
		return true;
	case AMQP091_METHOD_CHANNEL_OPEN_OK:
		c->answers_due = 0;
		on_channel_open(c);
		return true;
	default:
		return false;
	}
}

/* What is not an answer, though it may come among them. */
static bool unasked(uint32_t id)
{
	return id == AMQP091_METHOD_BASIC_ACK || id == AMQP091_METHOD_BASIC_NACK ||
	       id == AMQP091_METHOD_BASIC_RETURN || id == AMQP091_METHOD_BASIC_CANCEL ||
	       id == AMQP091_METHOD_CHANNEL_FLOW;
}

static void heard(struct client *c, const struct amqp091_method *m)
{
	if (!unasked(m->id) && c->answers_due)
		c->answers_due--;
	if (c->state == CLIENT_SETUP && c->answers_due == 0)
		ready(c);
	else if (c->state == CLIENT_READY)
		c->app->method(c, m);
}

static void on_method(void *ctx, uint16_t channel, const struct amqp091_method *m, bool decoded)
{
	struct client *c = ctx;
	const struct amqp091_connection_close *close = &m->args.connection_close;
	const struct amqp091_channel_close *channel_close = &m->args.channel_close;

	if (m->id == AMQP091_METHOD_CONNECTION_CLOSE && decoded) {
		on_closed_by_peer(c, "connection", close->reply_code, close->reply_text, close->class_id,
			close->method_id);
	} else if (m->id == AMQP091_METHOD_CHANNEL_CLOSE && decoded) {
		on_closed_by_peer(c, "channel", channel_close->reply_code, channel_close->reply_text,
			channel_close->class_id, channel_close->method_id);
	} else if (m->id == AMQP091_METHOD_CONNECTION_CLOSE_OK && c->state == CLIENT_CLOSING) {
		transport_shutdown(c->conn);
	} else if (channel == 0 || c->state == CLIENT_LOGIN) {
		/* connection.blocked and the like have no answer. */
		if (!handshake(c, m, decoded) && c->state == CLIENT_LOGIN)
			lacks(c);
	} else if (!decoded) {
		doom(c, "a method of the broker's cannot be read");
	} else {
		heard(c, m);
	}
}

static struct client *client_of(struct transport_conn *conn)
{
	return conn->user;
}

static void on_connected(struct transport_conn *conn, int error)
{
	struct client *c = client_of(conn);
	struct script s = {0};

	if (error) {
		snprintf(c->why, sizeof(c->why), "cannot connect: %s", strerror(-error));
		end(c);
		return;
	}
	c->state = CLIENT_LOGIN;
	script_protocol_header(&s);
	say_once(c, &s);
}

static void on_readable(struct transport_conn *conn)
{
	struct client *c = client_of(conn);
	uint32_t n = conn->rx->bytes;

	c->inside = true;
	if (!c->reader.stopped)
		reader_take(&c->reader, conn->rx);
	c->inside = false;
	if (c->state == CLIENT_OVER)
		bury(c);
	else
		transport_consume(conn, n);
}

static void on_writable(struct transport_conn *conn)
{
	struct client *c = client_of(conn);

	c->inside = true;
	client_try(c);
	if (c->state == CLIENT_READY && c->out_at == c->out.count)
		c->app->writable(c);
	c->inside = false;
	bury(c);
}

/* A broker may end a connection without a word where it does not like the login. */
static const char *during(const struct client *c, const char *otherwise)
{
	return c->state == CLIENT_LOGIN ? "the broker ended the connection during the handshake: it refuses "
					  "this login, or it does not "
					  "speak AMQP 0-9-1"
					: otherwise;
}

static void on_peer_closed(struct transport_conn *conn)
{
	struct client *c = client_of(conn);

	if (c->state == CLIENT_CLOSING)
		transport_shutdown(conn);
	else
		doom(c, during(c, "the broker ended the connection"));
	bury(c);
}

static void on_closed(struct transport_conn *conn, enum transport_reason reason)
{
	static const char *const reasons[] = {
		[TRANSPORT_DONE] = "the broker ended the connection",
		[TRANSPORT_RESET] = "the connection was reset",
		[TRANSPORT_TIMED_OUT] = "the connection timed out",
		[TRANSPORT_FAILED] = "the connection failed",
	};
	struct client *c = client_of(conn);

	/* The broker's last words may lie in what was not read yet. */
	c->inside = true;
	if (!c->reader.stopped && conn->rx->bytes)
		reader_take(&c->reader, conn->rx);
	c->inside = false;
	if (!c->why[0] && c->state != CLIENT_CLOSING && c->state != CLIENT_OVER)
		snprintf(c->why, sizeof(c->why), "%s", during(c, reasons[reason]));
	end(c);
}

static int on_accepted(void *app, struct transport_conn *conn)
{
	return -1;
}

const struct transport_app client_transport_app = {
	.accepted = on_accepted,
	.connected = on_connected,
	.readable = on_readable,
	.writable = on_writable,
	.peer_closed = on_peer_closed,
	.closed = on_closed,
};
