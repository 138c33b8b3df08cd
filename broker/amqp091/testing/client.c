/* SPDX-License-Identifier: Apache-2.0 */
/* The test client's connection, its frames and what it expects. */
#include "broker/amqp091/testing/client.h"

#include <stdlib.h>
#include <string.h>

enum { FRAME_ROOM = 1 << 20 };

static uint8_t frame_room[FRAME_ROOM];

struct client_options client_options(void)
{
	return (struct client_options){
		.user = "guest",
		.password = "guest",
		.vhost = "/",
		.frame_max = 16384,
		.channel_max = 2047,
		.notify_cancel = true,
	};
}

struct amqp091_shortstr str(const char *text)
{
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)strlen(text)};
}

static void attach_at(struct client *c, struct rig *r, unsigned core)
{
	memset(c, 0, sizeof(*c));
	c->rig = r;
	rig_attach_at(r, &c->link, core);
}

void client_attach(struct client *c, struct rig *r)
{
	attach_at(c, r, 0);
}

void client_open_at(struct client *c, struct rig *r, unsigned core)
{
	struct client_options o = client_options();

	o.core = core;
	client_open_with(c, r, &o);
}

void client_open(struct client *c, struct rig *r)
{
	struct client_options o = client_options();

	client_open_with(c, r, &o);
}

void client_open_with(struct client *c, struct rig *r, const struct client_options *o)
{
	char response[600];
	int n = snprintf(response, sizeof(response), "%c%s%c%s", 0, o->user, 0, o->password);

	attach_at(c, r, o->core);
	client_raw(c, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_expect(c, 0, AMQP091_METHOD_CONNECTION_START);
	client_start_ok(c, "PLAIN", response, (uint32_t)n,
		CLIENT_FAILURE_CLOSE | (o->notify_cancel ? CLIENT_CANCEL_NOTIFY : 0) |
			(o->hear_blocked ? CLIENT_BLOCKED : 0));
	client_expect(c, 0, AMQP091_METHOD_CONNECTION_TUNE);
	client_tune_ok(c, o->channel_max, o->frame_max, o->heartbeat_s);
	client_connection_open(c, o->vhost);
	client_expect(c, 0, AMQP091_METHOD_CONNECTION_OPEN_OK);
}

void client_channel(struct client *c, uint16_t number)
{
	client_plain(c, number, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect(c, number, AMQP091_METHOD_CHANNEL_OPEN_OK);
}

void client_close(struct client *c)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_CLOSE};

	m.args.connection_close.reply_code = 200;
	client_method(c, 0, &m);
	client_expect(c, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_expect_nothing(c);
	CU_ASSERT_FALSE(c->link.shut); /* that is the client's to do */
	c->link.fin = true;
	rig_settle(c->rig);
	CU_ASSERT_TRUE(c->link.shut && c->link.closed);
	rig_detach(c->rig, &c->link);
}

void client_drop(struct client *c)
{
	rig_detach(c->rig, &c->link);
	rig_turn(c->rig);
}

/* Sending */

void client_raw(struct client *c, const void *bytes, size_t n)
{
	link_feed(&c->link, bytes, n);
}

void client_frame(struct client *c, uint8_t type, uint16_t channel, const void *payload, uint32_t n)
{
	uint8_t head[AMQP091_FRAME_HEADER_SIZE], last = AMQP091_FRAME_END;

	amqp091_frame_header_put(head, type, channel, n);
	client_raw(c, head, sizeof(head));
	client_raw(c, payload, n);
	client_raw(c, &last, 1);
}

void client_method(struct client *c, uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(frame_room, sizeof(frame_room), channel, m);

	CU_ASSERT_FATAL(n > 0);
	client_raw(c, frame_room, (size_t)n);
}

void client_plain(struct client *c, uint16_t channel, uint32_t id)
{
	client_method(c, channel, &(struct amqp091_method){.id = id});
}

void client_start_ok(
	struct client *c, const char *mechanism, const void *response, uint32_t n, unsigned capabilities)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_START_OK};
	struct amqp091_table_builder b;
	uint8_t properties[256];

	amqp091_table_build(&b, properties, sizeof(properties));
	amqp091_table_open(&b, "capabilities");
	amqp091_table_add_bool(&b, "consumer_cancel_notify", capabilities & CLIENT_CANCEL_NOTIFY);
	amqp091_table_add_bool(&b, "connection.blocked", capabilities & CLIENT_BLOCKED);
	amqp091_table_add_bool(&b, "authentication_failure_close", capabilities & CLIENT_FAILURE_CLOSE);
	amqp091_table_close(&b);
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &m.args.connection_start_ok.client_properties), 0);
	m.args.connection_start_ok.mechanism = str(mechanism);
	m.args.connection_start_ok.response = (struct amqp091_longstr){response, n};
	m.args.connection_start_ok.locale = str("en_US");
	client_method(c, 0, &m);
}

void client_login(struct client *c, const char *user, const char *password)
{
	char response[600];
	int n = snprintf(response, sizeof(response), "%c%s%c%s", 0, user, 0, password);

	client_start_ok(c, "PLAIN", response, (uint32_t)n, CLIENT_CANCEL_NOTIFY | CLIENT_FAILURE_CLOSE);
}

void client_tune_ok(struct client *c, uint16_t channel_max, uint32_t frame_max, uint16_t heartbeat_s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_TUNE_OK};

	m.args.connection_tune_ok = (struct amqp091_connection_tune_ok){channel_max, frame_max, heartbeat_s};
	client_method(c, 0, &m);
	c->frame_max = frame_max;
}

void client_connection_open(struct client *c, const char *vhost)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_OPEN};

	m.args.connection_open.virtual_host = str(vhost);
	client_method(c, 0, &m);
}

/* Receiving */

bool client_next(struct client *c, struct client_frame *out)
{
	struct link_bytes *b = &c->link.out;

	rig_settle(c->rig);
	if (b->at == b->end)
		return false;
	int64_t n = amqp091_frame_parse(
		b->data + b->at, (uint32_t)(b->end - b->at), c->frame_max, &out->head);
	CU_ASSERT_TRUE_FATAL(n > 0);
	out->payload = b->data + b->at + AMQP091_FRAME_HEADER_SIZE;
	b->at += (size_t)n;
	return true;
}

const struct amqp091_method *client_expect(struct client *c, uint16_t channel, uint32_t id)
{
	struct client_frame f;

	CU_ASSERT_TRUE_FATAL(client_next(c, &f));
	CU_ASSERT_EQUAL_FATAL(f.head.type, AMQP091_FRAME_METHOD);
	CU_ASSERT_EQUAL_FATAL(f.head.channel, channel);
	CU_ASSERT_EQUAL_FATAL(amqp091_method_decode(f.payload, f.head.size, &c->method), 0);
	if (c->method.id != id)
		printf("# expected %s, got %s\n", amqp091_method_info(id)->name,
			amqp091_method_info(c->method.id)->name);
	CU_ASSERT_EQUAL_FATAL(c->method.id, id);
	return &c->method;
}

void client_expect_nothing(struct client *c)
{
	struct client_frame f;

	CU_ASSERT_FALSE(client_next(c, &f));
}

static void check_reply(uint16_t code, struct amqp091_shortstr text, uint16_t class_id, uint16_t method_id,
	uint16_t want_code, uint32_t want_id)
{
	const char *name = amqp091_reply_info(want_code)->name;

	if (code != want_code)
		printf("# got %u %.*s\n", code, (int)text.len, (const char *)text.data);
	CU_ASSERT_EQUAL(code, want_code);
	CU_ASSERT_EQUAL((uint32_t)class_id << 16 | method_id, want_id);
	CU_ASSERT_TRUE(amqp091_utf8_valid(text.data, text.len));
	CU_ASSERT_TRUE(text.len > strlen(name) + 3 && memcmp(text.data, name, strlen(name)) == 0);
}

void client_expect_channel_close(struct client *c, uint16_t channel, uint16_t code, uint32_t id)
{
	const struct amqp091_channel_close *m =
		&client_expect(c, channel, AMQP091_METHOD_CHANNEL_CLOSE)->args.channel_close;

	check_reply(m->reply_code, m->reply_text, m->class_id, m->method_id, code, id);
	client_plain(c, channel, AMQP091_METHOD_CHANNEL_CLOSE_OK);
}

void client_expect_refusal(struct client *c, uint16_t channel, uint16_t code, uint32_t id, const char *text)
{
	client_expect_channel_close(c, channel, code, id);
	struct amqp091_shortstr got = c->method.args.channel_close.reply_text;
	CU_ASSERT_EQUAL(got.len, strlen(text));
	CU_ASSERT_EQUAL(memcmp(got.data, text, got.len), 0);
	client_channel(c, channel);
}

void client_expect_close(struct client *c, uint16_t code, uint32_t id)
{
	const struct amqp091_connection_close *m =
		&client_expect(c, 0, AMQP091_METHOD_CONNECTION_CLOSE)->args.connection_close;

	check_reply(m->reply_code, m->reply_text, m->class_id, m->method_id, code, id);
}

void client_expect_ended(struct client *c, uint16_t code, uint32_t id)
{
	client_expect_close(c, code, id);
	client_plain(c, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_expect_silent_end(c);
}

void client_expect_close_with(struct client *c, uint16_t code, uint32_t id, const char *text)
{
	client_expect_close(c, code, id);
	struct amqp091_shortstr got = c->method.args.connection_close.reply_text;
	bool alike = got.len == strlen(text) && memcmp(got.data, text, got.len) == 0;
	if (!alike)
		printf("# got %.*s\n", (int)got.len, (const char *)got.data);
	CU_ASSERT_TRUE(alike);
}

void client_expect_ended_with(struct client *c, uint16_t code, uint32_t id, const char *text)
{
	client_expect_close_with(c, code, id, text);
	client_plain(c, 0, AMQP091_METHOD_CONNECTION_CLOSE_OK);
	client_expect_silent_end(c);
}

void client_expect_silent_end(struct client *c)
{
	client_expect_nothing(c);
	CU_ASSERT_TRUE(c->link.shut);
	c->link.fin = true;
	rig_settle(c->rig);
	CU_ASSERT_TRUE(c->link.closed);
	CU_ASSERT_EQUAL(c->link.writes_late, 0);
	rig_detach(c->rig, &c->link);
}
