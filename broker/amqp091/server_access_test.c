/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual hosts and permissions, as a client meets them. */
#include "broker/amqp091/testing/rig_test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;
static struct client client;

static const struct auth_user users[] = {{"all", "x", NULL}, {"some", "x", NULL}, {"none", "x", NULL},
	{"gen", "x", NULL}, {"mine", "x", NULL}};
static const char *const vhosts[] = {"/", "other"};
static const struct access_permission permissions[] = {
	{"all", "/", {".*", ".*", ".*"}},
	{"all", "other", {".*", ".*", ".*"}},
	/* Configures c*, writes w*, reads r*; several letters in a name permit several things. */
	{"some", "/", {"c", "w", "r"}},
	{"mine", "/", {"^mine\\.", ".*", ".*"}},
	{"gen", "/", {"^amq\\.gen", "^amq\\.default$", ""}},
};

static void begin(void)
{
	struct rig_options o = rig_options();

	o.users = users;
	o.user_count = sizeof(users) / sizeof(users[0]);
	o.permissions = permissions;
	o.permission_count = sizeof(permissions) / sizeof(permissions[0]);
	o.vhosts = vhosts;
	o.vhost_count = sizeof(vhosts) / sizeof(vhosts[0]);
	test_begin(&rig, &o);
}

static void open_as(const char *user, const char *vhost)
{
	struct client_options o = client_options();

	o.user = user;
	o.password = "x";
	o.vhost = vhost;
	client_open_with(&client, &rig, &o);
	client_channel(&client, 1);
}

static void login_only(const char *user, const char *vhost)
{
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	client_login(&client, user, "x");
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	client_tune_ok(&client, 10, 16384, 0);
	client_connection_open(&client, vhost);
}

static void refused_open(const char *user, const char *vhost)
{
	login_only(user, vhost);
	client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_OPEN);
}

static void vhosts_are_opened_by_permission(void)
{
	begin();
	refused_open("all", "nowhere");
	refused_open("none", "/");
	refused_open("some", "other");
	open_as("all", "other");
	client_close(&client);
	open_as("some", "/");
	client_close(&client);
	test_end(&rig);
}

static void vhosts_are_apart(void)
{
	begin();
	open_as("all", "other");
	client_declare(&client, 1, "q");
	client_publish(&client, 1, "", "q", "hello", 5);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	client_close(&client);
	open_as("all", "/");
	client_declare(&client, 1, "q");
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 0);
	client_close(&client);
	test_end(&rig);
}

/* One operation on a channel of its own; NULL: it is allowed, and answered with ok. */
static void tried(const struct amqp091_method *m, uint32_t ok, const char *refused)
{
	client_plain(&client, 2, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect(&client, 2, AMQP091_METHOD_CHANNEL_OPEN_OK);
	uint64_t before = amqp091_server_counters(rig.server)->access_refused;
	client_method(&client, 2, m);
	if (!refused) {
		client_expect(&client, 2, ok);
		client_plain(&client, 2, AMQP091_METHOD_CHANNEL_CLOSE);
		client_expect(&client, 2, AMQP091_METHOD_CHANNEL_CLOSE_OK);
		return;
	}
	const struct amqp091_method *close = client_expect(&client, 2, AMQP091_METHOD_CHANNEL_CLOSE);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->access_refused, before + 1);
	char text[256];
	snprintf(text, sizeof(text), "ACCESS_REFUSED - %s in vhost '/' refused for user 'some'", refused);
	CU_ASSERT_EQUAL(close->args.channel_close.reply_code, AMQP091_REPLY_ACCESS_REFUSED);
	CU_ASSERT_EQUAL(close->args.channel_close.reply_text.len, strlen(text));
	CU_ASSERT_EQUAL(memcmp(close->args.channel_close.reply_text.data, text, strlen(text)), 0);
	client_plain(&client, 2, AMQP091_METHOD_CHANNEL_CLOSE_OK);
}

static void queue_declare(const char *name, bool passive, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str(name), .passive = passive};
	tried(&m, AMQP091_METHOD_QUEUE_DECLARE_OK, refused);
}

static void exchange_declare_as(const char *name, bool passive, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = str(name), .type = str("direct"), .passive = passive};
	tried(&m, AMQP091_METHOD_EXCHANGE_DECLARE_OK, refused);
}

static void bind(const char *exchange, const char *queue, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	m.args.queue_bind = (struct amqp091_queue_bind){.exchange = str(exchange), .queue = str(queue)};
	tried(&m, AMQP091_METHOD_QUEUE_BIND_OK, refused);
	m.id = AMQP091_METHOD_QUEUE_UNBIND;
	m.args.queue_unbind = (struct amqp091_queue_unbind){.exchange = str(exchange), .queue = str(queue)};
	tried(&m, AMQP091_METHOD_QUEUE_UNBIND_OK, refused);
}

static void operations_on_queues(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};

	begin();
	open_as("some", "/");
	queue_declare("crw", false, NULL);
	queue_declare("xq", false, "configure access to queue 'xq'");
	queue_declare("crw", true, NULL);
	m.args.queue_purge = (struct amqp091_queue_purge){.queue = str("crw")};
	tried(&m, AMQP091_METHOD_QUEUE_PURGE_OK, NULL);
	m.args.queue_purge.queue = str("xq");
	tried(&m, 0, "read access to queue 'xq'");
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_GET};
	m.args.basic_get.queue = str("xq");
	tried(&m, 0, "read access to queue 'xq'");
	m = (struct amqp091_method){.id = AMQP091_METHOD_BASIC_CONSUME};
	m.args.basic_consume.queue = str("xq");
	tried(&m, 0, "read access to queue 'xq'");
	m = (struct amqp091_method){.id = AMQP091_METHOD_QUEUE_DELETE};
	m.args.queue_delete.queue = str("xq");
	tried(&m, 0, "configure access to queue 'xq'");
	m.args.queue_delete.queue = str("crw");
	tried(&m, AMQP091_METHOD_QUEUE_DELETE_OK, NULL);
	client_close(&client);
	test_end(&rig);
}

static void operations_on_exchanges(void)
{
	begin();
	open_as("some", "/");
	exchange_declare_as("cr", false, NULL);
	exchange_declare_as("c", false, NULL);
	exchange_declare_as("xx", false, "configure access to exchange 'xx'");
	exchange_declare_as("c", true, NULL);
	queue_declare("cw", false, NULL);
	queue_declare("c", false, NULL);
	bind("cr", "cw", NULL);
	bind("c", "cw", "read access to exchange 'c'");
	bind("cr", "c", "write access to queue 'c'");
	client_close(&client);
	open_as("all", "/");
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};
	m.args.queue_delete.queue = str("cw");
	tried(&m, AMQP091_METHOD_QUEUE_DELETE_OK, NULL);
	m.args.queue_delete.queue = str("c");
	tried(&m, AMQP091_METHOD_QUEUE_DELETE_OK, NULL);
	client_close(&client);
	test_end(&rig);
}

static void exchange_bind(const char *source, const char *destination, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_BIND};

	m.args.exchange_bind = (struct amqp091_exchange_bind){
		.source = str(source), .destination = str(destination)};
	tried(&m, AMQP091_METHOD_EXCHANGE_BIND_OK, refused);
	m.id = AMQP091_METHOD_EXCHANGE_UNBIND;
	m.args.exchange_unbind = (struct amqp091_exchange_unbind){
		.source = str(source), .destination = str(destination)};
	tried(&m, AMQP091_METHOD_EXCHANGE_UNBIND_OK, refused);
}

static void exchange_delete(const char *name, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DELETE};

	m.args.exchange_delete.exchange = str(name);
	tried(&m, AMQP091_METHOD_EXCHANGE_DELETE_OK, refused);
}

static void exchanges_are_bound_by_permission(void)
{
	begin();
	open_as("some", "/");
	exchange_declare_as("cr", false, NULL);
	exchange_declare_as("cw", false, NULL);
	exchange_bind("cr", "cw", NULL);
	exchange_bind("cw", "cw", "read access to exchange 'cw'");
	exchange_bind("cr", "cr", "write access to exchange 'cr'");
	exchange_bind("none", "x", "write access to exchange 'x'"); /* whether it is there is not told */
	exchange_delete("xx", "configure access to exchange 'xx'");
	exchange_delete("cr", NULL);
	exchange_delete("cw", NULL);
	client_close(&client);
	test_end(&rig);
}

static uint8_t table_bytes[256];

static struct amqp091_table one_argument(const char *name, const char *value)
{
	struct amqp091_table_builder b;
	struct amqp091_table t;

	amqp091_table_build(&b, table_bytes, sizeof(table_bytes));
	amqp091_table_add_cstring(&b, name, value);
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), 0);
	return t;
}

static void alternate(const char *name, const char *to, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};

	m.args.exchange_declare = (struct amqp091_exchange_declare){.exchange = str(name),
		.type = str("direct"),
		.arguments = one_argument("alternate-exchange", to)};
	tried(&m, AMQP091_METHOD_EXCHANGE_DECLARE_OK, refused);
}

static void dead_letters(const char *name, const char *to, const char *refused)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare = (struct amqp091_queue_declare){
		.queue = str(name), .arguments = one_argument("x-dead-letter-exchange", to)};
	tried(&m, AMQP091_METHOD_QUEUE_DECLARE_OK, refused);
}

/* Whoever sends messages on must be able to read them here and to write them there; but for what is there
 * already, which is only compared. */
static void where_messages_are_sent_on(void)
{
	begin();
	open_as("all", "/");
	alternate("c old", "x", NULL);
	dead_letters("c old", "x", NULL);
	client_close(&client);
	open_as("some", "/");
	alternate("c old", "x", NULL);
	alternate("cr", "w", NULL);
	alternate("x", "w", "configure access to exchange 'x'");
	alternate("c", "w", "read access to exchange 'c'");
	alternate("cr 2", "x", "write access to exchange 'x'");
	alternate("cr 2", "", "write access to exchange 'amq.default'");
	dead_letters("c old", "x", NULL);
	dead_letters("cr", "w", NULL);
	dead_letters("x", "w", "configure access to queue 'x'");
	dead_letters("c", "w", "read access to queue 'c'");
	dead_letters("cr 2", "x", "write access to exchange 'x'");
	dead_letters("cr 2", "", "write access to exchange 'amq.default'");
	exchange_delete("c old", NULL);
	exchange_delete("cr", NULL);
	client_close(&client);
	rig_clear(&rig);
	test_end(&rig);
}

/* Whether it is there, anyone may ask; and nobody binds to the default exchange, whoever that is. */
static void what_no_permission_is_asked_for(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	begin();
	open_as("all", "/");
	client_declare(&client, 1, "xq");
	client_close(&client);
	open_as("some", "/");
	queue_declare("xq", true, NULL);
	exchange_declare_as("amq.fanout", true, NULL);
	m.args.queue_bind = (struct amqp091_queue_bind){.exchange = str(""), .queue = str("xq")};
	client_method(&client, 1, &m);
	client_expect_refusal(&client, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_QUEUE_BIND,
		"ACCESS_REFUSED - operation not permitted on the default exchange");
	client_close(&client);
	test_end(&rig);
}

static void server_made_names_are_checked(void)
{
	begin();
	open_as("gen", "/");
	queue_declare("", false, NULL);
	client_close(&client);
	open_as("mine", "/");
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	m.args.queue_declare.exclusive = true;
	client_method(&client, 1, &m);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_QUEUE_DECLARE);
	client_close(&client);
	test_end(&rig);
}

/* The answer is kept for contents in a row, and for no other exchange's. */
static void publishes(void)
{
	begin();
	open_as("some", "/");
	exchange_declare_as("cw", false, NULL);
	for (unsigned i = 0; i < 5; i++)
		client_publish(&client, 1, "cw", "k", "body", 4);
	client_expect_nothing(&client);
	client_publish(&client, 1, "amq.direct", "k", "body", 4);
	client_expect_channel_close(&client, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	client_publish(&client, 1, "cw", "k", "body", 4);
	client_publish(&client, 1, "cr", "k", "body", 4); /* as long */
	client_expect_refusal(&client, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_BASIC_PUBLISH,
		"ACCESS_REFUSED - write access to exchange 'cr' in vhost '/' refused for user 'some'");
	client_publish(&client, 1, "", "k", "body", 4);
	client_expect_refusal(&client, 1, AMQP091_REPLY_ACCESS_REFUSED, AMQP091_METHOD_BASIC_PUBLISH,
		"ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user "
		"'some'");
	client_close(&client);
	open_as("gen", "/");
	client_publish(&client, 1, "", "k", "body", 4);
	client_expect_nothing(&client);
	client_close(&client);
	test_end(&rig);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"vhosts_are_opened_by_permission", vhosts_are_opened_by_permission},
			{"vhosts_are_apart", vhosts_are_apart},
			{"operations_on_queues", operations_on_queues},
			{"operations_on_exchanges", operations_on_exchanges},
			{"exchanges_are_bound_by_permission", exchanges_are_bound_by_permission},
			{"what_no_permission_is_asked_for", what_no_permission_is_asked_for},
			{"where_messages_are_sent_on", where_messages_are_sent_on},
			{"server_made_names_are_checked", server_made_names_are_checked},
			{"publishes", publishes}, {0}});
}
