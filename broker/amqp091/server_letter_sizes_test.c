/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters that are long: bodies, headers, names. */
#include "broker/amqp091/testing/letters.h"

#include <string.h>

/* The whole body goes on. */
static void large_bodies_go_on(void)
{
	static uint8_t big[100000];
	struct client_content content;

	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned i = 0; i < 20; i++)
		client_publish(&here, 1, "", "q", big, sizeof(big));
	for (unsigned i = 0; i < 20; i++) {
		client_get(&here, 1, "q", false);
		client_expect_content(&here, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
		client_content_free(&content);
	}
	client_nack(&here, 1, 20, true, false);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), 20);
	for (unsigned i = 0; i < 20; i++) {
		client_get(&there, 1, "dead", true);
		client_expect_content(&there, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
		CU_ASSERT_EQUAL(content.bytes, sizeof(big));
		CU_ASSERT_EQUAL(memcmp(content.body, big, sizeof(big)), 0);
		client_content_free(&content);
	}
	pair_end();
}

static void get_large(struct client *c, const char *queue, const uint8_t *body, uint32_t n)
{
	struct client_content content;

	client_get(c, 1, queue, false);
	client_expect_content(c, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
	CU_ASSERT_EQUAL_FATAL(content.bytes, n);
	CU_ASSERT_EQUAL(memcmp(content.body, body, n), 0);
	client_content_free(&content);
}

/* A copy could wait for memory that nobody but letters has. */
static void bodies_are_not_copied(void)
{
	enum { BYTES = 2 << 20, LETTERS = 3 }; /* in 8 MiB */
	static uint8_t big[BYTES];

	pair_begin(1);
	letters_to("w");
	pair_declare_with("q");
	letters_to("dead");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	pair_declare_with("w");
	client_declare(&there, 1, "dead");
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned i = 0; i < LETTERS; i++)
		client_publish(&here, 1, "", "q", big, sizeof(big));
	for (unsigned i = 0; i < LETTERS; i++)
		get_large(&here, "q", big, BYTES);
	uint32_t blocks = rig_store(&rig).blocks.used;
	client_nack(&here, 1, LETTERS, true, false);
	rig_settle(&rig);
	CU_ASSERT_TRUE(rig_store(&rig).blocks.used <= blocks + LETTERS);
	rig_advance(&rig, 50000);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), LETTERS);
	CU_ASSERT_TRUE(rig_store(&rig).blocks.used <= blocks + LETTERS);
	for (unsigned i = 0; i < LETTERS; i++)
		get_large(&there, "dead", big, BYTES);
	pair_end();
}

/* With a header so long; returns how many of such letters have come. */
static uint32_t reject_with_header(uint32_t bytes, uint64_t tag)
{
	static char text[16384];

	memset(text, 'x', bytes);
	text[bytes] = 0;
	amqp091_table_add_cstring(arguments(), "long", text);
	pair_publish_with("", "q", "body");
	letters_reject(&here, "q", tag);
	return client_ready_count(&there, 1, "dead");
}

/* Where its headers would be more than a frame takes nobody could ever be given it. */
static void a_letter_fits_a_frame(void)
{
	pair_begin(1);
	letters_to("dead");
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	CU_ASSERT_EQUAL(reject_with_header(16000, 1), 1);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 0);
	client_get(&there, 1, "dead", true);
	client_expect_text(&there, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	CU_ASSERT_EQUAL(reject_with_header(16300, 2), 0);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 1);
	pair_end();
}

/* They are read and written again: a few are a turn's work. */
static void long_headers_go_on_in_slices(void)
{
	enum { BYTES = 12000, LETTERS = 30 };
	static char text[BYTES + 1];

	pair_begin(1);
	letters_to("dead");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	pair_declare_with("q");
	client_declare(&there, 1, "dead");
	memset(text, 'x', BYTES);
	for (unsigned i = 0; i < LETTERS; i++) {
		arguments();
		amqp091_table_add_cstring(&table, "long", text);
		pair_publish_with("", "q", "body");
	}
	rig.now_us += 50000;
	const struct broker_core_counters *n = broker_core_counters(rig.core);
	for (unsigned turn = 0; turn < 20; turn++) {
		uint64_t before = n->dead_letters;
		rig_turn(&rig);
		CU_ASSERT_TRUE(n->dead_letters - before <= 65536 / BYTES + 1);
	}
	CU_ASSERT_EQUAL(n->dead_letters, LETTERS);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), LETTERS);
	pair_end();
}

static void a_name_too_long_for_a_letter_is_refused(void)
{
	static char name[257];
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	memset(name, 'n', 256);
	for (unsigned key = 0; key < 2; key++) {
		pair_begin(1);
		letters_to(key ? name : NULL);
		if (!key)
			amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", name);
		m.args.queue_declare.queue = str("q");
		CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
		client_method(&there, 1, &m);
		client_expect_channel_close(
			&there, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_QUEUE_DECLARE);
		pair_end();
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"large_bodies_go_on", large_bodies_go_on},
			{"bodies_are_not_copied", bodies_are_not_copied},
			{"a_letter_fits_a_frame", a_letter_fits_a_frame},
			{"long_headers_go_on_in_slices", long_headers_go_on_in_slices},
			{"a_name_too_long_for_a_letter_is_refused", a_name_too_long_for_a_letter_is_refused},
			{0}});
}
