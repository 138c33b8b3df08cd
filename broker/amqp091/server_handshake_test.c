/* SPDX-License-Identifier: Apache-2.0 */
/* From the protocol header to connection.open-ok, in the right order and in every wrong one. */
#include "broker/amqp091/testing/rig_test.h"

#include <crypt.h>
#include <string.h>
#include <unistd.h>

static struct rig rig;
static struct client client;

/* How far a handshake has come when something else is said. */
enum stage { AT_START, AT_TUNE, AT_OPEN, AT_RUNNING, STAGES };

static void begin_at(enum stage stage)
{
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	if (stage == AT_START)
		return;
	client_login(&client, "guest", "guest");
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	if (stage == AT_TUNE)
		return;
	client_tune_ok(&client, 2047, 16384, 0);
	if (stage == AT_OPEN)
		return;
	client_connection_open(&client, "/");
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_OPEN_OK);
}

static void in_order(void)
{
	struct amqp091_table capabilities;
	bool flag = false;

	test_begin(&rig, NULL);
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	const struct amqp091_method *m = client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	CU_ASSERT_EQUAL(m->args.connection_start.version_major, 0);
	CU_ASSERT_EQUAL(m->args.connection_start.version_minor, 9);
	CU_ASSERT_EQUAL(m->args.connection_start.mechanisms.len, strlen("PLAIN AMQPLAIN"));
	CU_ASSERT_EQUAL(amqp091_table_get_table(
				&m->args.connection_start.server_properties, "capabilities", &capabilities),
		0);
	CU_ASSERT_EQUAL(amqp091_table_get_bool(&capabilities, "publisher_confirms", &flag), 0);
	CU_ASSERT_TRUE(flag);
	client_login(&client, "guest", "guest");
	m = client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	CU_ASSERT_EQUAL(m->args.connection_tune.channel_max, 2047);
	CU_ASSERT_EQUAL(m->args.connection_tune.frame_max, 16384);
	CU_ASSERT_EQUAL(m->args.connection_tune.heartbeat, 0);
	client_tune_ok(&client, 10, 4096, 0);
	client_expect_nothing(&client);
	client_connection_open(&client, "/");
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_OPEN_OK);
	client_expect_nothing(&client);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->connections_opened, 1);
	client_close(&client);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->connections_closed, 1);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->handshakes_failed, 0);
	test_end(&rig);
}

/* kombu takes basic.qos to mean what it means with RabbitMQ where product is RabbitMQ and version 3.3 or
 * more. */
static void clients_know_what_it_speaks(void)
{
	struct amqp091_longstr text;

	test_begin(&rig, NULL);
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	const struct amqp091_table *said = &client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START)
						    ->args.connection_start.server_properties;
	CU_ASSERT_EQUAL(amqp091_table_get_string(said, "product", &text), 0);
	CU_ASSERT_TRUE(text.len == 8 && memcmp(text.data, "RabbitMQ", 8) == 0);
	CU_ASSERT_EQUAL(amqp091_table_get_string(said, "version", &text), 0);
	CU_ASSERT_TRUE(text.len == 6 && memcmp(text.data, "3.10.8", 6) == 0);
	/* And who it is. */
	CU_ASSERT_EQUAL(amqp091_table_get_string(said, "platform", &text), 0);
	CU_ASSERT_TRUE(text.len > 7 && memcmp(text.data, "Godwit ", 7) == 0);
	client_drop(&client);
	test_end(&rig);
}

/* A client that does not wait for answers. */
static void pipelined(void)
{
	test_begin(&rig, NULL);
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_login(&client, "guest", "guest");
	client_tune_ok(&client, 10, 16384, 0);
	client_connection_open(&client, "/");
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_OPEN);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_OPEN_OK);
	client_expect(&client, 1, AMQP091_METHOD_CHANNEL_OPEN_OK);
	client_close(&client);
	test_end(&rig);
}

static const uint32_t methods_of_connection[] = {
	AMQP091_METHOD_CONNECTION_START,
	AMQP091_METHOD_CONNECTION_START_OK,
	AMQP091_METHOD_CONNECTION_SECURE,
	AMQP091_METHOD_CONNECTION_SECURE_OK,
	AMQP091_METHOD_CONNECTION_TUNE,
	AMQP091_METHOD_CONNECTION_TUNE_OK,
	AMQP091_METHOD_CONNECTION_OPEN,
	AMQP091_METHOD_CONNECTION_OPEN_OK,
	AMQP091_METHOD_CONNECTION_CLOSE_OK,
	AMQP091_METHOD_CONNECTION_BLOCKED,
	AMQP091_METHOD_CONNECTION_UPDATE_SECRET,
	AMQP091_METHOD_CHANNEL_OPEN,
	AMQP091_METHOD_QUEUE_DECLARE,
	AMQP091_METHOD_BASIC_PUBLISH,
};

static bool expected_at(enum stage stage, uint32_t id)
{
	switch (stage) {
	case AT_START:
		return id == AMQP091_METHOD_CONNECTION_START_OK;
	case AT_TUNE:
		return id == AMQP091_METHOD_CONNECTION_TUNE_OK;
	case AT_OPEN:
		return id == AMQP091_METHOD_CONNECTION_OPEN;
	default:
		return id == AMQP091_METHOD_CONNECTION_UPDATE_SECRET;
	}
}

/* Before tune-ok was accepted nobody is told why (4.2.2). */
static void expect_out_of_order(enum stage stage, uint32_t id)
{
	if (stage < AT_OPEN)
		client_expect_silent_end(&client);
	else
		client_expect_ended_with(&client, AMQP091_REPLY_CHANNEL_ERROR, id,
			stage == AT_OPEN ? "CHANNEL_ERROR - unexpected method in connection state opening"
					 : "CHANNEL_ERROR - unexpected method in connection state running");
}

static void every_wrong_order(void)
{
	test_begin(&rig, NULL);
	for (enum stage stage = AT_START; stage < STAGES; stage++) {
		for (unsigned i = 0; i < sizeof(methods_of_connection) / sizeof(uint32_t); i++) {
			uint32_t id = methods_of_connection[i];
			if (expected_at(stage, id))
				continue;
			begin_at(stage);
			client_plain(&client, 0, id);
			expect_out_of_order(stage, id);
		}
	}
	/* All but those that were running. */
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->handshakes_failed, 3 * 13);
	test_end(&rig);
}

static void expect_no_channels_yet(enum stage stage)
{
	if (stage < AT_OPEN)
		client_expect_silent_end(&client);
	else
		client_expect_ended(&client, AMQP091_REPLY_UNEXPECTED_FRAME, 0);
}

static void channels_before_open(void)
{
	test_begin(&rig, NULL);
	for (enum stage stage = AT_START; stage < AT_RUNNING; stage++) {
		begin_at(stage);
		client_plain(&client, 1, AMQP091_METHOD_CHANNEL_OPEN);
		expect_no_channels_yet(stage);
		begin_at(stage);
		client_content_header(&client, 1, 10);
		expect_no_channels_yet(stage);
		begin_at(stage);
		client_body(&client, 1, "body", 4);
		expect_no_channels_yet(stage);
	}
	test_end(&rig);
}

static void close_at_every_stage(void)
{
	test_begin(&rig, NULL);
	for (enum stage stage = AT_START; stage < STAGES; stage++) {
		begin_at(stage);
		client_close(&client);
	}
	test_end(&rig);
}

static void lost_at_every_stage(void)
{
	test_begin(&rig, NULL);
	for (int stage = -1; stage < STAGES; stage++) {
		for (int fin = 0; fin < 2; fin++) {
			if (stage < 0)
				client_attach(&client, &rig);
			else
				begin_at((enum stage)stage);
			if (fin) {
				client.link.fin = true;
				rig_settle(&rig);
				CU_ASSERT_TRUE(client.link.closed);
			}
			client_drop(&client);
			CU_ASSERT_EQUAL(amqp091_server_conn_count(rig.server), 0);
		}
	}
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->handshakes_failed, 8);
	test_end(&rig);
}

/* 4.2.2 */
static void other_protocol_headers(void)
{
	static const char *const headers[] = {"AMQP\0\0\x09\x00", "AMQP\0\1\0\0", "AMQP\1\1\0\x0a",
		"AMQP\3\1\0\0", "GET / HT", "\0\0\0\0\0\0\0\0", "XXXXXXXX", "AMQQ\0\0\x09\x01"};

	test_begin(&rig, NULL);
	for (unsigned i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		client_attach(&client, &rig);
		client_raw(&client, headers[i], 8);
		rig_settle(&rig);
		CU_ASSERT_EQUAL_FATAL(client.link.out.end, 8);
		CU_ASSERT_EQUAL(memcmp(client.link.out.data, AMQP091_PROTOCOL_HEADER, 8), 0);
		CU_ASSERT_TRUE(client.link.shut);
		client_raw(&client, "what comes then is not looked at", 32);
		client.link.fin = true;
		rig_settle(&rig);
		CU_ASSERT_TRUE(client.link.closed);
		CU_ASSERT_EQUAL(client.link.out.end, 8);
		client_drop(&client);
	}
	test_end(&rig);
}

static void header_cut_short(void)
{
	test_begin(&rig, NULL);
	for (unsigned n = 1; n < 8; n++) {
		client_attach(&client, &rig);
		client_raw(&client, AMQP091_PROTOCOL_HEADER, n);
		client_expect_nothing(&client);
		client.link.fin = true;
		rig_settle(&rig);
		CU_ASSERT_TRUE(client.link.closed);
		client_drop(&client);
	}
	test_end(&rig);
}

static void login(const char *mechanism, const void *response, uint32_t n)
{
	client_attach(&client, &rig);
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	client_start_ok(&client, mechanism, response, n, CLIENT_CANCEL_NOTIFY | CLIENT_FAILURE_CLOSE);
}

static void expect_refused(const char *mechanism)
{
	char text[256];

	snprintf(text, sizeof(text),
		"ACCESS_REFUSED - Login was refused using authentication mechanism %s. For details see the "
		"broker logfile.",
		mechanism);
	client_expect_close(&client, AMQP091_REPLY_ACCESS_REFUSED, 0);
	struct amqp091_shortstr got = client.method.args.connection_close.reply_text;
	CU_ASSERT_EQUAL(got.len, strlen(text));
	CU_ASSERT_EQUAL(memcmp(got.data, text, got.len), 0);
	client_drop(&client);
}

static void plain(void)
{
	static const struct {
		const char *response;
		uint32_t n;
	} wrong[] = {{"\0guest\0gues", 11}, {"\0guest\0", 7}, {"\0\0guest", 7}, {"\0nobody\0guest", 13},
		{"\0\0", 2}};
	/* No authorisation identity is taken, and no octet 0 in a password. */
	static const struct {
		const char *response;
		uint32_t n;
	} unreadable[] = {
		{"guest", 5}, {"", 0}, {"\0guest", 6}, {"\0guest\0guest\0", 13}, {"admin\0guest\0guest", 17}};

	test_begin(&rig, NULL);
	login("PLAIN", "\0guest\0guest", 12);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	client_close(&client);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		login("PLAIN", wrong[i].response, wrong[i].n);
		expect_refused("PLAIN");
	}
	for (unsigned i = 0; i < sizeof(unreadable) / sizeof(*unreadable); i++) {
		login("PLAIN", unreadable[i].response, unreadable[i].n);
		client_expect_silent_end(&client);
	}
	login("EXTERNAL", "\0guest\0guest", 12);
	client_expect_silent_end(&client);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->logins_refused, 5);
	test_end(&rig);
}

static void login_amqplain(const char *user, const char *password)
{
	struct amqp091_table_builder b;
	struct amqp091_table t;
	uint8_t room[256];

	amqp091_table_build(&b, room, sizeof(room));
	if (user)
		amqp091_table_add_cstring(&b, "LOGIN", user);
	if (password)
		amqp091_table_add_cstring(&b, "PASSWORD", password);
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &t), 0);
	login("AMQPLAIN", t.data, t.len);
}

static void amqplain(void)
{
	test_begin(&rig, NULL);
	login_amqplain("guest", "guest");
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	client_close(&client);
	login_amqplain("guest", "Guest");
	expect_refused("AMQPLAIN");
	login_amqplain("guest", NULL);
	client_expect_silent_end(&client);
	login_amqplain(NULL, "guest");
	client_expect_silent_end(&client);
	login("AMQPLAIN", "\5LOGINS\0\0\0\1", 11);
	client_expect_silent_end(&client);
	test_end(&rig);
}

static void guest_from_afar(void)
{
	test_begin(&rig, NULL);
	client_attach(&client, &rig);
	client.link.conn.local_link = false;
	client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
	client_login(&client, "guest", "guest");
	expect_refused("PLAIN");
	test_end(&rig);
}

/* Real time: the hashing thread takes what it takes. */
static void wait_for_output(void)
{
	size_t before = client.link.out.end;

	for (unsigned i = 0; i < 4000 && client.link.out.end == before && !link_over(&client.link); i++) {
		usleep(2000);
		rig_turn(&rig);
	}
}

static void hashed_passwords(void)
{
	char hash[CRYPT_OUTPUT_SIZE];
	struct crypt_data data = {0};
	const char *made = crypt_r("secret", "$5$rounds=1000$salt", &data);

	CU_ASSERT_PTR_NOT_NULL_FATAL(made);
	snprintf(hash, sizeof(hash), "%s", made);
	struct auth_user users[] = {{"ann", NULL, hash}};
	struct rig_options o = rig_options();
	o.users = users;
	o.user_count = 1;
	test_begin(&rig, &o);
	/* Input that comes meanwhile waits. */
	login("PLAIN", "\0ann\0secret", 11);
	client_tune_ok(&client, 10, 16384, 0);
	client_connection_open(&client, "/");
	rig_turn(&rig);
	wait_for_output();
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_TUNE);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_OPEN_OK);
	client_close(&client);
	login("PLAIN", "\0ann\0Secret", 11);
	rig_turn(&rig);
	wait_for_output();
	expect_refused("PLAIN");
	login_amqplain("ann", "Secret");
	rig_turn(&rig);
	wait_for_output();
	expect_refused("AMQPLAIN");
	/* Gone before the answer came; the place is another's by then. */
	login("PLAIN", "\0ann\0secret", 11);
	rig_turn(&rig);
	client_drop(&client);
	client_attach(&client, &rig);
	for (unsigned i = 0; i < 20; i++) {
		usleep(2000);
		rig_turn(&rig);
	}
	CU_ASSERT_EQUAL(client.link.out.end, 0);
	test_end(&rig);
}

static void tuned(uint16_t channel_max, uint32_t frame_max, bool refused)
{
	begin_at(AT_TUNE);
	client_tune_ok(&client, channel_max, frame_max, 0);
	client.frame_max = 0;
	if (refused) {
		client_expect_silent_end(&client);
		return;
	}
	client_connection_open(&client, "/");
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_OPEN_OK);
	client_close(&client);
}

static void tune_bounds(void)
{
	struct rig_options o = rig_options();

	o.server.channel_max = 100;
	test_begin(&rig, &o);
	tuned(100, 16384, false);
	tuned(1, 4096, false);
	tuned(0, 16384, true);
	tuned(101, 16384, true);
	tuned(65535, 16384, true);
	tuned(100, 0, true);
	tuned(100, 16385, true);
	tuned(100, 4095, true);
	tuned(100, 1, true);
	tuned(100, UINT32_MAX, true);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->handshakes_failed, 8);
	test_end(&rig);
}

static void unknown_vhost(void)
{
	char longest[256];

	test_begin(&rig, NULL);
	begin_at(AT_OPEN);
	client_connection_open(&client, "nowhere");
	client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_OPEN);
	begin_at(AT_OPEN);
	client_connection_open(&client, "");
	client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_OPEN);
	/* The reply text is cut between characters, not within one. */
	for (unsigned shift = 0; shift < 3; shift++) {
		memset(longest, 0, sizeof(longest));
		memset(longest, 'x', shift);
		for (unsigned i = shift; i + 3 < sizeof(longest); i += 3)
			memcpy(longest + i, "\xe2\x82\xac", 3);
		begin_at(AT_OPEN);
		client_connection_open(&client, longest);
		client_expect_ended(&client, AMQP091_REPLY_NOT_ALLOWED, AMQP091_METHOD_CONNECTION_OPEN);
	}
	test_end(&rig);
}

static void handshake_timeout(void)
{
	test_begin(&rig, NULL);
	for (int stage = -1; stage < AT_RUNNING; stage++) {
		if (stage < 0)
			client_attach(&client, &rig);
		else
			begin_at((enum stage)stage);
		rig_advance(&rig, 9900000);
		CU_ASSERT_FALSE(client.link.aborted);
		rig_advance(&rig, 200000);
		CU_ASSERT_TRUE(client.link.aborted);
		client_drop(&client);
	}
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->handshakes_timed_out, 4);
	begin_at(AT_RUNNING);
	rig_advance(&rig, 20000000);
	CU_ASSERT_FALSE(link_over(&client.link));
	client_close(&client);
	test_end(&rig);
}

/* The server sleeps while nothing happens: what ends a long sleep must not be measured from its beginning. */
static void after_a_long_sleep(void)
{
	test_begin(&rig, NULL);
	rig.now_us += 3600000000ull;
	client_open(&client, &rig);
	rig.now_us += 3600000000ull;
	client_close(&client);
	test_end(&rig);
}

static const struct unit_test tests[] = {
	{"in_order", in_order},
	{"clients_know_what_it_speaks", clients_know_what_it_speaks},
	{"pipelined", pipelined},
	{"every_wrong_order", every_wrong_order},
	{"channels_before_open", channels_before_open},
	{"close_at_every_stage", close_at_every_stage},
	{"lost_at_every_stage", lost_at_every_stage},
	{"other_protocol_headers", other_protocol_headers},
	{"header_cut_short", header_cut_short},
	{"plain", plain},
	{"amqplain", amqplain},
	{"guest_from_afar", guest_from_afar},
	{"hashed_passwords", hashed_passwords},
	{"tune_bounds", tune_bounds},
	{"unknown_vhost", unknown_vhost},
	{"handshake_timeout", handshake_timeout},
	{"after_a_long_sleep", after_a_long_sleep},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
