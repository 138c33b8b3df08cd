/* SPDX-License-Identifier: Apache-2.0 */
/* A connection's life: start, tune, open, close (class connection). */
#include "broker/amqp091/internal.h"

#include "runtime/log.h"

#include <stdio.h>

bool conn_live(const struct amqp091_conn *c)
{
	return c->state == CONN_RUNNING;
}

/* What clients go by, and not who we are: kombu, and so Celery, asks product and version what basic.qos means
 * here (to anybody but a RabbitMQ from 3.3 on it speaks as the specification has it, and a worker never gets
 * more than its first prefetch). It is that of RabbitMQ, which all of this is held against. */
#define SPEAKS_AS	  "RabbitMQ"
#define SPEAKS_AS_VERSION "3.10.8"

static void server_properties(struct amqp091_table_builder *b)
{
	amqp091_table_add_cstring(b, "product", SPEAKS_AS);
	amqp091_table_add_cstring(b, "version", SPEAKS_AS_VERSION);
	amqp091_table_add_cstring(b, "cluster_name", "godwit"); /* clients of RabbitMQ show it */
	amqp091_table_add_cstring(b, "platform", "Godwit " GODWIT_VERSION);
	amqp091_table_add_cstring(b, "copyright", "The Godwit authors");
	amqp091_table_add_cstring(b, "information",
		"This is Godwit " GODWIT_VERSION ", which speaks as RabbitMQ " SPEAKS_AS_VERSION
		" does. Licensed under the Apache License 2.0");
	amqp091_table_open(b, "capabilities");
	amqp091_table_add_bool(b, "publisher_confirms", true);
	amqp091_table_add_bool(b, "exchange_exchange_bindings", true);
	amqp091_table_add_bool(b, "basic.nack", true);
	amqp091_table_add_bool(b, "consumer_cancel_notify", true);
	amqp091_table_add_bool(b, "connection.blocked", true);
	amqp091_table_add_bool(b, "consumer_priorities", true);
	amqp091_table_add_bool(b, "authentication_failure_close", true);
	amqp091_table_add_bool(b, "per_consumer_qos", true);
	amqp091_table_add_bool(b, "direct_reply_to", true);
	amqp091_table_close(b);
}

static struct amqp091_longstr longstr(const char *text)
{
	return (struct amqp091_longstr){(const uint8_t *)text, (uint32_t)strlen(text)};
}

void conn_open_handshake(struct amqp091_conn *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_START};
	struct amqp091_connection_start *start = &m.args.connection_start;
	struct amqp091_table_builder b;
	uint8_t properties[1024];

	start->version_major = 0;
	start->version_minor = 9;
	start->mechanisms = longstr("PLAIN AMQPLAIN");
	start->locales = longstr("en_US");
	amqp091_table_build(&b, properties, sizeof(properties));
	server_properties(&b);
	MUST(amqp091_table_finish(&b, &start->server_properties) == 0);
	c->state = CONN_START;
	conn_send_method(c, 0, &m);
}

static void learn_capabilities(struct amqp091_conn *c, const struct amqp091_table *properties)
{
	struct amqp091_table capabilities;

	if (amqp091_table_get_table(properties, "capabilities", &capabilities) != 0)
		return;
	amqp091_table_get_bool(&capabilities, "consumer_cancel_notify", &c->notifies_cancel);
	amqp091_table_get_bool(&capabilities, "connection.blocked", &c->hears_blocked);
	amqp091_table_get_bool(&capabilities, "authentication_failure_close", &c->hears_refusal);
}

/* PLAIN (RFC 4616): authorisation identity, NUL, name, NUL, password. Nobody acts for another here, so the
 * identity is empty, as RabbitMQ wants it too. */
static bool split_plain(struct amqp091_longstr r, struct slice *user, struct slice *password)
{
	const uint8_t *end = r.data + r.len;
	const uint8_t *first = r.len ? memchr(r.data, 0, r.len) : NULL;
	const uint8_t *second = first ? memchr(first + 1, 0, (size_t)(end - first - 1)) : NULL;

	if (!second || first != r.data || memchr(second + 1, 0, (size_t)(end - second - 1)))
		return false;
	*user = (struct slice){first + 1, (uint32_t)(second - first - 1)};
	*password = (struct slice){second + 1, (uint32_t)(end - second - 1)};
	return true;
}

/* AMQPLAIN: a table's entries with LOGIN and PASSWORD. */
static bool split_amqplain(struct amqp091_longstr r, struct slice *user, struct slice *password)
{
	struct amqp091_table t = {r.data, r.len};
	struct amqp091_longstr login, secret;

	if (amqp091_table_validate(r.data, r.len) != 0 ||
		amqp091_table_get_string(&t, "LOGIN", &login) != 0 ||
		amqp091_table_get_string(&t, "PASSWORD", &secret) != 0)
		return false;
	*user = (struct slice){login.data, login.len};
	*password = (struct slice){secret.data, secret.len};
	return true;
}

static bool text_is(struct amqp091_shortstr s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static void tune(struct amqp091_conn *c)
{
	const struct amqp091_server_config *config = &c->server->config;
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_TUNE};

	m.args.connection_tune = (struct amqp091_connection_tune){
		.channel_max = (uint16_t)config->channel_max,
		.frame_max = config->frame_max_bytes,
		.heartbeat = (uint16_t)config->heartbeat_s,
	};
	c->state = CONN_TUNE;
	conn_send_method(c, 0, &m);
}

static void refuse_login(struct amqp091_conn *c)
{
	c->server->counters.logins_refused++;
	LOG_WARN("amqp", "login of '%s' refused", c->user);
	if (!c->hears_refusal) { /* 4.2.2 of the specification: closed without a word */
		conn_drain(c);
		return;
	}
	conn_exception(c, AMQP091_REPLY_ACCESS_REFUSED, 0,
		"Login was refused using authentication mechanism %s. For details see the broker logfile.",
		c->mechanism);
}

void conn_auth_answer(struct amqp091_conn *c, bool accepted)
{
	if (c->state != CONN_AUTH)
		return;
	if (accepted)
		tune(c);
	else
		refuse_login(c);
	conn_input(c);
}

static void start_ok(struct amqp091_conn *c, const struct amqp091_connection_start_ok *m)
{
	struct slice user, password;
	bool plain = text_is(m->mechanism, "PLAIN");

	if (!plain && !text_is(m->mechanism, "AMQPLAIN")) {
		conn_exception(c, AMQP091_REPLY_COMMAND_INVALID, AMQP091_METHOD_CONNECTION_START_OK,
			"invalid authentication mechanism '%.*s'", SHORT_ARG(m->mechanism));
		return;
	}
	c->mechanism = plain ? "PLAIN" : "AMQPLAIN";
	learn_capabilities(c, &m->client_properties);
	if (!(plain ? split_plain(m->response, &user, &password)
		    : split_amqplain(m->response, &user, &password))) {
		conn_exception(c, AMQP091_REPLY_SYNTAX_ERROR, AMQP091_METHOD_CONNECTION_START_OK,
			"response of mechanism %.*s could not be read", SHORT_ARG(m->mechanism));
		return;
	}
	snprintf(c->user, sizeof(c->user), "%.*s", SLICE_ARG(user));
	enum auth_verdict verdict = auth_check(
		c->server->auth_port, user, password, c->transport->local_link, c->auth_token);
	if (verdict == AUTH_ACCEPTED)
		tune(c);
	else if (verdict == AUTH_PENDING)
		c->state = CONN_AUTH;
	else
		refuse_login(c);
}

/* RabbitMQ's rule: 0 means no limit, which is above any limit of the server's. `zero` is what the log says of
 * it. */
static bool agreed(struct amqp091_conn *c, const char *what, const char *zero, uint32_t client,
	uint32_t server, uint32_t min)
{
	if (client == 0 || client > server) {
		conn_exception(c, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_TUNE_OK,
			"negotiated %s = %u%s is higher than the maximum allowed value (%u)", what, client,
			client ? "" : zero, server);
		return false;
	}
	if (client < min) {
		conn_exception(c, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_TUNE_OK,
			"negotiated %s = %u is lower than the minimum allowed value (%u)", what, client, min);
		return false;
	}
	return true;
}

static void tune_ok(struct amqp091_conn *c, const struct amqp091_connection_tune_ok *m)
{
	const struct amqp091_server_config *config = &c->server->config;

	if (!agreed(c, "frame_max", "", m->frame_max, config->frame_max_bytes, AMQP091_FRAME_MIN_SIZE) ||
		!agreed(c, "channel_max", " (no limit)", m->channel_max, config->channel_max, 1))
		return;
	c->channel_max = m->channel_max;
	c->frame_max = m->frame_max;
	c->state = CONN_OPEN;
	heartbeat_start(c, m->heartbeat);
}

static bool grant_open(struct amqp091_conn *c, struct amqp091_shortstr vhost)
{
	struct access *access = c->server->config.access;
	struct slice user = {(const uint8_t *)c->user, (uint32_t)strlen(c->user)};

	if (!access)
		return true;
	c->grant = access_open(access, user, slice_of(vhost));
	if (c->grant)
		return true;
	c->server->counters.access_refused++;
	conn_exception(c, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_OPEN,
		"access to vhost '%.*s' refused for user '%s'", SHORT_ARG(vhost), c->user);
	return false;
}

static void open_vhost(struct amqp091_conn *c, const struct amqp091_connection_open *m)
{
	struct broker_core *core = c->server->config.core;
	struct vhost *v = vhost_find(broker_core_broker(core), slice_of(m->virtual_host));
	struct amqp091_method ok = {.id = AMQP091_METHOD_CONNECTION_OPEN_OK};

	if (!v) {
		conn_exception(c, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_OPEN,
			"vhost %.*s not found", SHORT_ARG(m->virtual_host));
		return;
	}
	if (!grant_open(c, m->virtual_host))
		return;
	session_begin(&c->session, core, v);
	vhost_enter(v);
	c->opened = c->was_opened = true;
	c->state = CONN_RUNNING;
	timer_cancel(&c->server->wheel, &c->deadline);
	c->server->counters.connections_opened++;
	LOG_INFO("amqp", "connection of '%s' opened over %s", c->user,
		c->transport->ops->kind == TRANSPORT_BYPASS ? "the bypass" : "kernel sockets");
	conn_send_method(c, 0, &ok);
}

static void session_over(struct amqp091_conn *c)
{
	while (!cds_list_empty(&c->channels))
		channel_release(cds_list_first_entry(&c->channels, struct amqp091_channel, link));
	if (c->opened) {
		c->opened = false;
		session_end(&c->session);
		vhost_leave(c->session.vhost);
		access_close(c->grant);
		c->grant = NULL;
		c->server->counters.connections_closed++;
		LOG_INFO("amqp", "connection of '%s' closed", c->user);
	}
}

/* Nothing more is read, and nothing but what waits is sent. False: it is dead. */
static bool ends(struct amqp091_conn *c, enum conn_state how)
{
	struct amqp091_server *s = c->server;

	session_over(c);
	if (s->stage.conn == c)
		stage_flush(s);
	if (c->state == CONN_DEAD)
		return false;
	c->state = how;
	c->hold = HOLD_NONE;
	timer_cancel(&s->wheel, &c->heartbeat); /* nothing may follow what waits */
	timer_arm(&s->wheel, &c->deadline, s->now_us + s->config.close_timeout_us);
	return true;
}

/* Who asked for it closes the socket (4.2.2), as with RabbitMQ; one that does not in time has it closed. A
 * FIN right behind close-ok would be an error to clients that see it before they have acted upon that. */
static void close_by_peer(struct amqp091_conn *c)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_CONNECTION_CLOSE_OK};

	session_over(c);
	conn_send_method(c, 0, &ok);
	ends(c, CONN_CLOSED);
}

void conn_drain(struct amqp091_conn *c)
{
	if (c->state < CONN_DRAINING && ends(c, CONN_DRAINING) && conn_output_idle(c))
		transport_shutdown(c->transport);
}

/* As RabbitMQ does for users whose passwords do not expire: there is nothing to renew, whatever the secret
 * is. */
static void update_secret(struct amqp091_conn *c, const struct amqp091_connection_update_secret *m)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_CONNECTION_UPDATE_SECRET_OK};

	LOG_INFO("amqp", "connection of '%s': update-secret, which needs no renewal here: %.*s", c->user,
		SHORT_ARG(m->reason));
	conn_send_method(c, 0, &ok);
}

static bool in_order(const struct amqp091_conn *c, uint32_t id)
{
	switch (id) {
	case AMQP091_METHOD_CONNECTION_START_OK:
		return c->state == CONN_START;
	case AMQP091_METHOD_CONNECTION_TUNE_OK:
		return c->state == CONN_TUNE;
	case AMQP091_METHOD_CONNECTION_OPEN:
		return c->state == CONN_OPEN;
	case AMQP091_METHOD_CONNECTION_CLOSE:
		return true;
	case AMQP091_METHOD_CONNECTION_CLOSE_OK:
		return c->state == CONN_CLOSING;
	case AMQP091_METHOD_CONNECTION_UPDATE_SECRET:
		return c->state == CONN_RUNNING;
	default:
		return false;
	}
}

void conn_method(struct amqp091_conn *c, const struct amqp091_method *m)
{
	if (!in_order(c, m->id)) {
		conn_exception(c, AMQP091_REPLY_CHANNEL_ERROR, m->id,
			"unexpected method in connection state %s",
			c->state == CONN_RUNNING ? "running" : "opening");
		return;
	}
	switch (m->id) {
	case AMQP091_METHOD_CONNECTION_START_OK:
		start_ok(c, &m->args.connection_start_ok);
		break;
	case AMQP091_METHOD_CONNECTION_TUNE_OK:
		tune_ok(c, &m->args.connection_tune_ok);
		break;
	case AMQP091_METHOD_CONNECTION_OPEN:
		open_vhost(c, &m->args.connection_open);
		break;
	case AMQP091_METHOD_CONNECTION_CLOSE:
		close_by_peer(c);
		break;
	case AMQP091_METHOD_CONNECTION_CLOSE_OK:
		conn_drain(c);
		break;
	case AMQP091_METHOD_CONNECTION_UPDATE_SECRET:
		update_secret(c, &m->args.connection_update_secret);
		break;
	}
}

void conn_die(struct amqp091_conn *c, bool abort)
{
	struct amqp091_server *s = c->server;
	struct transport_conn *transport = c->transport;

	if (c->state == CONN_DEAD)
		return;
	if (!c->was_opened)
		s->counters.handshakes_failed++;
	c->state = CONN_DEAD;
	stage_drop(c);
	c->hold = HOLD_NONE;
	c->transport = NULL;
	timer_cancel(&s->wheel, &c->deadline);
	timer_cancel(&s->wheel, &c->heartbeat);
	cds_list_del_init(&c->waiting);
	cds_list_del_init(&c->blocked);
	cds_list_del(&c->link);
	cds_list_add_tail(&c->link, &s->dying);
	if (abort)
		transport_abort(transport);
}

void conn_release(struct amqp091_conn *c)
{
	struct amqp091_server *s = c->server;

	MUST(c->state == CONN_DEAD);
	MUST(!timer_armed(&c->deadline) && !timer_armed(&c->heartbeat));
	cds_list_del(&c->link);
	session_over(c);
	conn_output_clear(c);
	s->conn_count--;
	server_count_out(s);
	pool_give(s->conns_pool, c);
}
