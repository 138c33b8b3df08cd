/* SPDX-License-Identifier: Apache-2.0 */
/* What clients of RabbitMQ know beside the specification: blocked connections, refused logins, user-id,
 * update-secret. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <string.h>

static struct rig rig;
static struct client client, other;
static uint8_t big[10000];

static void expect_reason(const struct amqp091_method *m, const char *text)
{
	struct amqp091_shortstr got = m->args.connection_blocked.reason;

	CU_ASSERT_EQUAL(got.len, strlen(text));
	CU_ASSERT_EQUAL(memcmp(got.data, text, got.len), 0);
}

static void begin_short_of_memory(bool hear_blocked)
{
	struct rig_options o = rig_options();
	struct client_options co = client_options();

	o.memory_bytes = 2 << 20;
	co.hear_blocked = hear_blocked;
	test_begin(&rig, &o);
	client_open_with(&client, &rig, &co);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	client_open_with(&other, &rig, &co);
	client_channel(&other, 1);
	for (unsigned i = 0; i < 300; i++)
		client_publish(&client, 1, "", "q", big, sizeof(big));
	rig_settle(&rig);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->held_for_memory, 1);
}

static void purge(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};

	m.args.queue_purge.queue = str("q");
	client_method(&other, 1, &m);
	client_expect(&other, 1, AMQP091_METHOD_QUEUE_PURGE_OK);
	rig_advance(&rig, 100000);
}

static void a_held_publisher_hears_of_it_once(void)
{
	begin_short_of_memory(true);
	expect_reason(client_expect(&client, 0, AMQP091_METHOD_CONNECTION_BLOCKED), "low on memory");
	client_expect_nothing(&client);
	rig_advance(&rig, 100000);
	client_expect_nothing(&client);
	client_expect_nothing(&other); /* has not published */
	do
		purge();
	while (client.link.in.at < client.link.in.end);
	/* As often as it was held and went on, one after the other. */
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_UNBLOCKED);
	struct client_frame f;
	bool blocked = false;
	while (client_next(&client, &f)) {
		CU_ASSERT_EQUAL(wire_get32(f.payload),
			blocked ? AMQP091_METHOD_CONNECTION_UNBLOCKED : AMQP091_METHOD_CONNECTION_BLOCKED);
		blocked = !blocked;
	}
	CU_ASSERT_FALSE(blocked);
	CU_ASSERT_TRUE(cds_list_empty(&rig.server->blocked));
	client_close(&client);
	client_close(&other);
	test_end(&rig);
}

/* There is memory, but not so much: it is blocked until there is. */
static void who_waits_for_a_large_body_is_blocked(void)
{
	struct rig_options o = rig_options();
	struct client_options co = client_options();

	o.memory_bytes = 2 << 20;
	co.hear_blocked = true;
	test_begin(&rig, &o);
	client_open_with(&client, &rig, &co);
	client_open_with(&other, &rig, &co);
	client_channel(&client, 1);
	client_channel(&other, 1);
	client_declare(&client, 1, "q");
	for (unsigned i = 0; i < 100; i++)
		client_publish(&other, 1, "", "q", big, sizeof(big));
	rig_settle(&rig);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->held_for_memory, 0);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 1 << 20);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_BLOCKED);
	rig_advance(&rig, 100000);
	client_expect_nothing(&client);
	purge();
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_UNBLOCKED);
	client_close(&client);
	client_close(&other);
	test_end(&rig);
}

static unsigned blocked_count(void)
{
	const struct cds_list_head *all = &rig.server->blocked;
	unsigned n = 0;

	for (const struct cds_list_head *at = all->next; at != all; at = at->next)
		n++;
	return n;
}

enum { MANY = 100, A_TURN = 64 };
static struct client many[MANY];

/* Until somebody is held. */
static void fill_memory(struct client *c)
{
	while (amqp091_server_counters(rig.server)->held_for_memory == 0) {
		client_publish(c, 1, "", "q", big, sizeof(big));
		rig_settle(&rig);
	}
}

/* The first so many of them wait for 3 of 4 MiB, of which one is taken for good, the others for little. */
static void begin_many_blocked(unsigned large)
{
	struct rig_options o = rig_options();
	struct client_options co = client_options();

	o.memory_bytes = 4 << 20;
	o.server.conn_max = o.server.channels_max = MANY + 2;
	co.hear_blocked = true;
	test_begin(&rig, &o);
	client_open_with(&client, &rig, &co);
	client_open_with(&other, &rig, &co);
	client_channel(&client, 1);
	client_channel(&other, 1);
	client_declare(&other, 1, "q");
	client_declare(&other, 1, "kept");
	for (unsigned i = 0; i < 100; i++)
		client_publish(&other, 1, "", "kept", big, sizeof(big));
	for (unsigned i = 0; i < MANY; i++) {
		client_open_with(&many[i], &rig, &co);
		client_channel(&many[i], 1);
	}
	fill_memory(&client);
	for (unsigned i = 0; i < MANY; i++) {
		client_publish_method(&many[i], 1, "", "q", false);
		client_content_header(&many[i], 1, i < large ? 3 << 20 : 1);
		client_expect(&many[i], 0, AMQP091_METHOD_CONNECTION_BLOCKED);
	}
}

static void finish_many(void)
{
	for (unsigned i = 0; i < MANY; i++)
		client_drop(&many[i]);
	client_drop(&client);
	client_close(&other);
	test_end(&rig);
}

/* Turns until no more than that are blocked, so many a turn. */
static void unblock_but(unsigned left)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};
	unsigned turns = 0;

	m.args.queue_purge.queue = str("q");
	client_method(&other, 1, &m);
	CU_ASSERT_EQUAL(blocked_count(), MANY + 1);
	for (unsigned now = MANY + 1; now > left; turns++) {
		unsigned before = now;
		rig.now_us += 10000;
		rig_turn(&rig);
		now = blocked_count();
		CU_ASSERT_TRUE_FATAL(before - now <= A_TURN && turns < 100);
	}
	CU_ASSERT_TRUE(turns >= 2);
	client_expect(&other, 1, AMQP091_METHOD_QUEUE_PURGE_OK);
	CU_ASSERT_EQUAL(blocked_count(), left);
}

static void many_are_unblocked_in_slices(void)
{
	begin_many_blocked(0);
	unblock_but(0);
	for (unsigned i = 0; i < MANY; i++)
		client_expect(&many[i], 0, AMQP091_METHOD_CONNECTION_UNBLOCKED);
	finish_many();
}

/* More of them than are looked at in a turn: the others have theirs. */
static void those_held_yet_stand_in_nobodys_way(void)
{
	enum { LARGE = A_TURN + 6 };

	begin_many_blocked(LARGE);
	unblock_but(LARGE);
	for (unsigned i = 0; i < MANY; i++) {
		if (i < LARGE)
			client_expect_nothing(&many[i]);
		else
			client_expect(&many[i], 0, AMQP091_METHOD_CONNECTION_UNBLOCKED);
	}
	finish_many();
}

static void who_does_not_know_it_hears_nothing(void)
{
	begin_short_of_memory(false);
	client_expect_nothing(&client);
	client_drop(&client);
	client_close(&other);
	test_end(&rig);
}

static void a_blocked_one_may_go(void)
{
	begin_short_of_memory(true);
	client_drop(&client);
	rig_settle(&rig);
	CU_ASSERT_TRUE(cds_list_empty(&rig.server->blocked));
	client_close(&other);
	test_end(&rig);
}

static void a_refused_login_is_told_to_who_can_hear_it(void)
{
	static const char wrong[] = "\0guest\0wrong";

	test_begin(&rig, NULL);
	for (unsigned hears = 0; hears < 2; hears++) {
		client_attach(&client, &rig);
		client_raw(&client, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
		client_expect(&client, 0, AMQP091_METHOD_CONNECTION_START);
		client_start_ok(&client, "PLAIN", wrong, sizeof(wrong) - 1, hears ? CLIENT_FAILURE_CLOSE : 0);
		if (hears) {
			client_expect_close(&client, AMQP091_REPLY_ACCESS_REFUSED, 0);
		} else {
			client_expect_nothing(&client);
			CU_ASSERT_TRUE(client.link.shut);
		}
		client_drop(&client);
	}
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->logins_refused, 2);
	test_end(&rig);
}

static void publish_as(const char *user)
{
	struct amqp091_basic_properties properties = {.flags = AMQP091_BASIC_USER_ID, .user_id = str(user)};

	client_publish_with(&client, 1, "q", &properties, "x");
}

static void a_false_user_id_is_refused(void)
{
	static const char text[] =
		"PRECONDITION_FAILED - user_id property set to 'admin' but authenticated user was 'guest'";

	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
	for (unsigned i = 0; i < 3; i++)
		publish_as("guest");
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 3);
	publish_as("admin");
	client_expect_refusal(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH, text);
	publish_as("gues");
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 3);
	client_close(&client);
	test_end(&rig);
}

static void a_new_secret_is_taken(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_UPDATE_SECRET};

	m.args.connection_update_secret.new_secret = (struct amqp091_longstr){(const uint8_t *)"new", 3};
	m.args.connection_update_secret.reason = str("rotation");
	test_begin(&rig, NULL);
	client_open(&client, &rig);
	client_method(&client, 0, &m);
	client_expect(&client, 0, AMQP091_METHOD_CONNECTION_UPDATE_SECRET_OK);
	client_channel(&client, 1);
	client_close(&client);
	test_end(&rig);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_held_publisher_hears_of_it_once", a_held_publisher_hears_of_it_once},
			{"who_does_not_know_it_hears_nothing", who_does_not_know_it_hears_nothing},
			{"who_waits_for_a_large_body_is_blocked", who_waits_for_a_large_body_is_blocked},
			{"many_are_unblocked_in_slices", many_are_unblocked_in_slices},
			{"those_held_yet_stand_in_nobodys_way", those_held_yet_stand_in_nobodys_way},
			{"a_blocked_one_may_go", a_blocked_one_may_go},
			{"a_refused_login_is_told_to_who_can_hear_it",
				a_refused_login_is_told_to_who_can_hear_it},
			{"a_false_user_id_is_refused", a_false_user_id_is_refused},
			{"a_new_secret_is_taken", a_new_secret_is_taken}, {0}});
}
