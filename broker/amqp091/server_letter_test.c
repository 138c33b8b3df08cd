/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters as octets: their headers, and where they go. `here` is a client of the first core, `there` one
 * of the last, which owns the queues. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;
static struct client here, there;
static uint8_t table_bytes[2048];
static struct amqp091_table_builder table;

static void begin(uint32_t cores)
{
	struct rig_options o = rig_options();

	o.cores = cores;
	test_begin(&rig, &o);
	client_open_at(&here, &rig, 0);
	client_open_at(&there, &rig, cores - 1);
	client_channel(&here, 1);
	client_channel(&there, 1);
}

static void finish(void)
{
	client_close(&here);
	client_close(&there);
	test_end(&rig);
}

static struct amqp091_table_builder *arguments(void)
{
	amqp091_table_build(&table, table_bytes, sizeof(table_bytes));
	return &table;
}

/* To the default exchange with that key (NULL: the message's own), and what is added to arguments(). */
static void letters_to(const char *key)
{
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "");
	if (key)
		amqp091_table_add_cstring(&table, "x-dead-letter-routing-key", key);
}

static void declare(const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
}

static void publish_plain(const char *key)
{
	client_publish_with(&here, 1, key,
		&(struct amqp091_basic_properties){
			.flags = AMQP091_BASIC_MESSAGE_ID, .message_id = str("id")},
		"body");
}

/* What lies in a queue: its properties, decoded. */
static struct {
	struct message *message;
	uint8_t block[4096];
	struct amqp091_basic_properties p;
} got;

static void take(const char *queue)
{
	rig_settle(&rig);
	got.message = rig_take(&rig, queue);
	CU_ASSERT_PTR_NOT_NULL_FATAL(got.message);
	uint32_t n = message_properties_bytes(got.message);
	CU_ASSERT_FATAL(n <= sizeof(got.block));
	message_properties_copy(got.message, got.block);
	CU_ASSERT_EQUAL_FATAL(amqp091_basic_properties_decode(got.block, n, &got.p), 0);
	CU_ASSERT_EQUAL(message_body_bytes(got.message), 4);
}

static void done(void)
{
	message_unref(broker_core_cache(rig.cores[rig.core_count - 1].core), got.message);
}

static bool header_is(const struct amqp091_table *t, const char *key, const char *text)
{
	struct amqp091_longstr s;

	return amqp091_table_get_string(t, key, &s) == 0 && s.len == strlen(text) &&
	       memcmp(s.data, text, s.len) == 0;
}

/* The event at that place of x-death. */
static struct amqp091_table event(unsigned at)
{
	struct amqp091_value v = {0}, found;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&got.p.headers, "x-death", &found), 0);
	CU_ASSERT_EQUAL_FATAL(found.type, 'A');
	for (unsigned i = 0; i <= at; i++)
		CU_ASSERT_EQUAL_FATAL(amqp091_array_next(&found.array, &v), 1);
	CU_ASSERT_EQUAL_FATAL(v.type, 'F');
	return v.table;
}

static unsigned events(void)
{
	struct amqp091_value v, found;
	unsigned n = 0;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&got.p.headers, "x-death", &found), 0);
	while (found.array.len && amqp091_array_next(&found.array, &v) == 1)
		n++;
	return n;
}

static void expect_event(unsigned at, const char *queue, const char *reason, int64_t count)
{
	struct amqp091_table t = event(at);
	int64_t n = 0;

	CU_ASSERT_TRUE(header_is(&t, "queue", queue));
	CU_ASSERT_TRUE(header_is(&t, "reason", reason));
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "count", &n), 0);
	CU_ASSERT_EQUAL(n, count);
}

static void expect_first(const char *queue, const char *reason)
{
	CU_ASSERT_TRUE(header_is(&got.p.headers, "x-first-death-queue", queue));
	CU_ASSERT_TRUE(header_is(&got.p.headers, "x-first-death-reason", reason));
	CU_ASSERT_TRUE(header_is(&got.p.headers, "x-first-death-exchange", ""));
}

/* Gets the next one of that queue and rejects it. */
static void reject(struct client *c, const char *queue, uint64_t tag)
{
	client_get(c, 1, queue, false);
	client_expect_text(c, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	client_nack(c, 1, tag, false, false);
	rig_settle(&rig);
}

static void a_rejected_one_with(uint32_t cores)
{
	begin(cores);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	publish_plain("q");
	rig_settle(&rig);
	reject(&here, "q", 1);
	take("dead");
	expect_event(0, "q", "rejected", 1);
	CU_ASSERT_EQUAL(events(), 1);
	expect_first("q", "rejected");
	struct amqp091_table t = event(0);
	struct amqp091_value v;
	CU_ASSERT_TRUE(header_is(&t, "exchange", ""));
	CU_ASSERT_EQUAL(amqp091_table_find(&t, "time", &v), 0);
	CU_ASSERT_EQUAL(v.type, 'T');
	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&t, "routing-keys", &v), 0);
	struct amqp091_table keys = v.array;
	CU_ASSERT_EQUAL(amqp091_array_next(&keys, &v), 1);
	CU_ASSERT_TRUE(v.type == 'S' && v.bytes.len == 1 && *v.bytes.data == 'q');
	CU_ASSERT_EQUAL(keys.len, 0);
	CU_ASSERT_TRUE(got.p.message_id.len == 2);
	CU_ASSERT_EQUAL(message_exchange(got.message).bytes, 0);
	CU_ASSERT_EQUAL(message_routing_key(got.message).bytes, 4);
	done();
	finish();
}

static void a_rejected_one(void)
{
	a_rejected_one_with(1);
	a_rejected_one_with(2);
}

static void an_expired_one_loses_its_expiration(void)
{
	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	client_publish_with(&here, 1, "q",
		&(struct amqp091_basic_properties){
			.flags = AMQP091_BASIC_EXPIRATION, .expiration = str("10")},
		"body");
	rig_advance(&rig, 50000);
	take("dead");
	expect_event(0, "q", "expired", 1);
	struct amqp091_table t = event(0);
	CU_ASSERT_TRUE(header_is(&t, "original-expiration", "10"));
	CU_ASSERT_FALSE(got.p.flags & AMQP091_BASIC_EXPIRATION);
	CU_ASSERT_FALSE(message_expires(got.message));
	done();
	finish();
}

/* From q to w by rejection, back by expiry, and so on: one event for each queue and reason, the last one in
 * front. */
static void events_are_counted(void)
{
	begin(1);
	letters_to("w");
	declare("q");
	letters_to("q");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	declare("w");
	publish_plain("q");
	rig_settle(&rig);
	for (unsigned i = 1; i <= 3; i++) {
		reject(&here, "q", i);
		rig_advance(&rig, 50000);
	}
	take("q");
	CU_ASSERT_EQUAL(events(), 2);
	expect_event(0, "w", "expired", 3);
	expect_event(1, "q", "rejected", 3);
	expect_first("q", "rejected");
	done();
	finish();
}

/* Another reason is another event, though the queue is the same. */
static void each_reason_is_an_event(void)
{
	begin(1);
	letters_to("w");
	amqp091_table_add_int32(&table, "x-message-ttl", 100);
	declare("q");
	letters_to("q");
	declare("w");
	publish_plain("q");
	rig_settle(&rig);
	reject(&here, "q", 1);
	reject(&here, "w", 2);
	rig_advance(&rig, 150000);
	take("w");
	CU_ASSERT_EQUAL(events(), 3);
	expect_event(0, "q", "expired", 1);
	expect_event(1, "w", "rejected", 1);
	expect_event(2, "q", "rejected", 1);
	done();
	finish();
}

static void a_letter_is_what_the_message_was(void)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_DELIVERY_MODE | AMQP091_BASIC_PRIORITY,
		.delivery_mode = 2,
		.priority = 7};

	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	for (unsigned i = 0; i < 2; i++) {
		p.delivery_mode = i ? 1 : 2;
		p.priority = i ? 0 : 7;
		client_publish_with(&here, 1, "q", &p, "body");
		rig_settle(&rig);
		reject(&here, "q", i + 1);
		take("dead");
		CU_ASSERT_EQUAL(message_persistent(got.message), i == 0);
		CU_ASSERT_EQUAL(message_priority(got.message), i ? 0 : 7);
		CU_ASSERT_EQUAL(got.p.delivery_mode, p.delivery_mode);
		done();
	}
	finish();
}

/* It begins to live when the message dies. */
static void a_letter_is_young(void)
{
	begin(1);
	letters_to("brief");
	declare("q");
	amqp091_table_add_int32(arguments(), "x-message-ttl", 100);
	declare("brief");
	publish_plain("q");
	rig_advance(&rig, 500000);
	reject(&here, "q", 1);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "brief"), 1);
	rig_advance(&rig, 150000);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "brief"), 0);
	finish();
}

static void a_circle_of_expiry_ends(void)
{
	begin(1);
	letters_to("w");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	declare("q");
	letters_to("q");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	declare("w");
	publish_plain("q");
	rig_advance(&rig, 100000);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "q"), 0);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "w"), 0);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters, 2);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 1);
	finish();
}

/* One after the other, of queues of the same names. */
static void letters_stay_in_their_vhost(void)
{
	static const char *const vhosts[] = {"/", "other"};
	struct rig_options o = rig_options();
	struct client_options in_other = client_options();
	struct client *const clients[] = {&there, &here};

	o.vhosts = vhosts;
	o.vhost_count = 2;
	in_other.vhost = "other";
	test_begin(&rig, &o);
	client_open(&there, &rig);
	client_open_with(&here, &rig, &in_other);
	for (unsigned i = 0; i < 2; i++) {
		struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
		client_channel(clients[i], 1);
		letters_to("dead");
		m.args.queue_declare.queue = str("q");
		CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
		client_method(clients[i], 1, &m);
		client_expect(clients[i], 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
		client_declare(clients[i], 1, "dead");
	}
	for (unsigned i = 0; i < 4; i++) {
		struct client *c = clients[i % 2], *not = clients[!(i % 2)];
		client_publish(c, 1, "", "q", "body", 4);
		rig_settle(&rig);
		reject(c, "q", i / 2 + 1);
		CU_ASSERT_EQUAL(client_ready_count(c, 1, "dead"), i / 2 + 1);
		CU_ASSERT_EQUAL(client_ready_count(not, 1, "dead"), (i + 1) / 2);
	}
	finish();
}

static void one_that_nobody_takes_is_counted(void)
{
	begin(1);
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "nowhere");
	declare("q");
	publish_plain("q");
	rig_settle(&rig);
	reject(&here, "q", 1);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 1);
	finish();
}

/* Its own keys where the queue names none: CC stays and counts. */
static void further_keys_count(void)
{
	uint8_t bytes[256];
	struct amqp091_table_builder headers;
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	begin(1);
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "amq.direct");
	declare("q");
	for (unsigned i = 0; i < 2; i++) {
		struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};
		client_declare(&there, 1, i ? "b" : "a");
		m.args.queue_bind = (struct amqp091_queue_bind){.queue = str(i ? "b" : "a"),
			.exchange = str("amq.direct"),
			.routing_key = str(i ? "more" : "q")};
		client_method(&there, 1, &m);
		client_expect(&there, 1, AMQP091_METHOD_QUEUE_BIND_OK);
	}
	amqp091_table_build(&headers, bytes, sizeof(bytes));
	amqp091_array_open(&headers, "CC");
	amqp091_table_add_cstring(&headers, NULL, "more");
	amqp091_table_close(&headers);
	CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
	client_publish_with(&here, 1, "q", &p, "body");
	rig_settle(&rig);
	reject(&here, "q", 1);
	take("a");
	struct amqp091_value v;
	CU_ASSERT_EQUAL(amqp091_table_find(&got.p.headers, "CC", &v), 0);
	done();
	take("b");
	done();
	finish();
}

static void a_key_of_the_queues_replaces_them(void)
{
	uint8_t bytes[256];
	struct amqp091_table_builder headers;
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	amqp091_table_build(&headers, bytes, sizeof(bytes));
	amqp091_array_open(&headers, "CC");
	amqp091_table_add_cstring(&headers, NULL, "more");
	amqp091_table_close(&headers);
	amqp091_table_add_cstring(&headers, "mine", "stays");
	CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
	client_publish_with(&here, 1, "q", &p, "body");
	rig_settle(&rig);
	reject(&here, "q", 1);
	take("dead");
	struct amqp091_value v;
	CU_ASSERT_EQUAL(amqp091_table_find(&got.p.headers, "CC", &v), AMQP091_ERR_ABSENT);
	CU_ASSERT_TRUE(header_is(&got.p.headers, "mine", "stays"));
	struct amqp091_table t = event(0);
	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&t, "routing-keys", &v), 0);
	struct amqp091_table keys = v.array;
	unsigned n = 0;
	while (keys.len && amqp091_array_next(&keys, &v) == 1)
		n++;
	CU_ASSERT_EQUAL(n, 2);
	done();
	finish();
}

static void bind(const char *queue, const char *key)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	m.args.queue_bind = (struct amqp091_queue_bind){
		.queue = str(queue), .exchange = str("amq.direct"), .routing_key = str(key)};
	client_method(&there, 1, &m);
	client_expect(&there, 1, AMQP091_METHOD_QUEUE_BIND_OK);
}

static void add_key(struct amqp091_table_builder *b, const char *header, const char *key)
{
	amqp091_array_open(b, header);
	amqp091_table_add_cstring(b, NULL, key);
	amqp091_table_close(b);
}

/* With CC "cc" and BCC "bcc". */
static void publish_with_keys(const char *key)
{
	uint8_t bytes[256];
	struct amqp091_table_builder headers;
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	amqp091_table_build(&headers, bytes, sizeof(bytes));
	add_key(&headers, "CC", "cc");
	add_key(&headers, "BCC", "bcc");
	CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
	client_publish_with(&here, 1, key, &p, "body");
	rig_settle(&rig);
}

/* The routing keys of an event: the message's own, then that of CC, and no other. */
static void expect_keys(unsigned at, const char *first, const char *second)
{
	struct amqp091_table t = event(at);
	struct amqp091_value v;

	CU_ASSERT_EQUAL_FATAL(amqp091_table_find(&t, "routing-keys", &v), 0);
	struct amqp091_table keys = v.array;
	for (unsigned i = 0; i < 2; i++) {
		const char *key = i ? second : first;
		CU_ASSERT_EQUAL_FATAL(amqp091_array_next(&keys, &v), 1);
		CU_ASSERT_TRUE(v.bytes.len == strlen(key) && memcmp(v.bytes.data, key, v.bytes.len) == 0);
	}
	CU_ASSERT_EQUAL(keys.len, 0);
}

static bool has(const char *header)
{
	return amqp091_table_find(&got.p.headers, header, &(struct amqp091_value){0}) == 0;
}

/* Queues that give up to amq.direct under the message's own keys. */
static void declare_to_direct(const char *queue)
{
	amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", "amq.direct");
	declare(queue);
}

/* They are remembered from death to death, and no header tells of them. */
static void hidden_keys_count_and_stay_hidden_with(uint32_t cores)
{
	static const char *const queues[] = {"a", "b", "c"}, *const keys[] = {"q", "cc", "bcc"};

	begin(cores);
	declare_to_direct("q");
	declare_to_direct("c");
	client_declare(&there, 1, "a");
	client_declare(&there, 1, "b");
	for (unsigned i = 0; i < 3; i++)
		bind(queues[i], keys[i]);
	publish_with_keys("q");
	for (unsigned death = 1; death <= 2; death++) {
		reject(&here, death == 1 ? "q" : "c", death);
		for (unsigned i = 0; i < 3; i++) {
			if (death == 1 && i == 2)
				continue; /* it dies there once more */
			take(queues[i]);
			CU_ASSERT_EQUAL(events(), death);
			for (unsigned at = 0; at < death; at++)
				expect_keys(at, "q", "cc");
			CU_ASSERT_TRUE(has("CC") && !has("BCC"));
			done();
		}
	}
	finish();
}

static void hidden_keys_count_and_stay_hidden(void)
{
	hidden_keys_count_and_stay_hidden_with(1);
	hidden_keys_count_and_stay_hidden_with(2);
}

/* A key of the queue's replaces them for good. */
static void hidden_keys_are_replaced(void)
{
	begin(1);
	letters_to("w");
	declare("q");
	declare_to_direct("w");
	client_declare(&there, 1, "a");
	client_declare(&there, 1, "c");
	bind("a", "w");
	bind("c", "bcc");
	bind("c", "cc");
	publish_with_keys("q");
	reject(&here, "q", 1);
	reject(&here, "w", 2);
	take("a");
	CU_ASSERT_EQUAL(events(), 2);
	CU_ASSERT_TRUE(!has("CC") && !has("BCC"));
	done();
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "c"), 0);
	finish();
}

/* One that a client made up, or that is none, is not believed more than it can be. */
static void a_strange_x_death_does_no_harm(void)
{
	static const char kinds[] = {'S', 'A', 'a'};

	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		uint8_t bytes[256];
		struct amqp091_table_builder headers;
		struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

		amqp091_table_build(&headers, bytes, sizeof(bytes));
		if (kinds[i] == 'S') {
			amqp091_table_add_cstring(&headers, "x-death", "no array");
		} else {
			amqp091_array_open(&headers, "x-death");
			amqp091_table_add_cstring(&headers, NULL, "no table");
			if (kinds[i] == 'a') {
				amqp091_table_open(&headers, NULL);
				amqp091_table_add_cstring(&headers, "queue", "q");
				amqp091_table_add_cstring(&headers, "reason", "rejected");
				amqp091_table_add_int32(&headers, "count", 41);
				amqp091_table_close(&headers);
			}
			amqp091_table_close(&headers);
		}
		CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
		client_publish_with(&here, 1, "q", &p, "body");
		rig_settle(&rig);
		reject(&here, "q", i + 1);
		take("dead");
		expect_event(0, "q", "rejected", kinds[i] == 'a' ? 42 : 1);
		CU_ASSERT_EQUAL(events(), kinds[i] == 'S' ? 1 : 2);
		done();
	}
	finish();
}

/* Headers of a message that claims to have died before. */
static struct amqp091_table_builder claimed;
static uint8_t claimed_bytes[16384];

static void claim(void)
{
	amqp091_table_build(&claimed, claimed_bytes, sizeof(claimed_bytes));
}

static void claim_event(const char *queue, const char *reason)
{
	amqp091_table_open(&claimed, NULL);
	amqp091_table_add_cstring(&claimed, "queue", queue);
	amqp091_table_add_cstring(&claimed, "reason", reason);
}

static void publish_claimed(const char *key)
{
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	CU_ASSERT_EQUAL(amqp091_table_finish(&claimed, &p.headers), 0);
	client_publish_with(&here, 1, key, &p, "body");
	rig_settle(&rig);
}

static void counts_have_an_end_and_a_beginning(void)
{
	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	for (unsigned has_count = 0; has_count < 2; has_count++) {
		claim();
		amqp091_array_open(&claimed, "x-death");
		claim_event("q", "rejected");
		if (has_count)
			amqp091_table_add_int64(&claimed, "count", INT64_MAX);
		amqp091_table_close(&claimed);
		amqp091_table_close(&claimed);
		publish_claimed("q");
		reject(&here, "q", has_count + 1);
		take("dead");
		CU_ASSERT_EQUAL(events(), 1);
		expect_event(0, "q", "rejected", has_count ? INT64_MAX : 1);
		done();
	}
	finish();
}

/* It has died before, whatever became of the account of that. */
static void what_is_no_array_leaves_the_first_death_alone(void)
{
	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	claim();
	amqp091_table_add_cstring(&claimed, "x-death", "no array");
	amqp091_table_add_cstring(&claimed, "x-first-death-queue", "long ago");
	publish_claimed("q");
	reject(&here, "q", 1);
	take("dead");
	struct amqp091_value v;
	expect_event(0, "q", "rejected", 1);
	CU_ASSERT_TRUE(header_is(&got.p.headers, "x-first-death-queue", "long ago"));
	CU_ASSERT_EQUAL(amqp091_table_find(&got.p.headers, "x-first-death-reason", &v), AMQP091_ERR_ABSENT);
	done();
	finish();
}

/* Whoever has not died has no first death, whatever he says. */
static void a_first_death_is_not_believed(void)
{
	struct amqp091_table rest;
	struct amqp091_shortstr key;
	struct amqp091_value v;
	unsigned n = 0;

	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	claim();
	amqp091_table_add_cstring(&claimed, "x-first-death-queue", "never");
	publish_claimed("q");
	reject(&here, "q", 1);
	take("dead");
	expect_first("q", "rejected");
	for (rest = got.p.headers; rest.len && amqp091_table_next(&rest, &key, &v) == 1;)
		n += slice_equals_text(slice_of(key), "x-first-death-queue");
	CU_ASSERT_EQUAL(n, 1);
	done();
	finish();
}

/* Looked at for each queue, and so only so far: whoever has been through more goes in a circle. */
static void a_long_account_is_a_circle(void)
{
	char name[16];

	for (unsigned more = 0; more < 2; more++) {
		begin(1);
		letters_to("w");
		amqp091_table_add_int32(&table, "x-message-ttl", 10);
		declare("q");
		client_declare(&there, 1, "w");
		claim();
		amqp091_array_open(&claimed, "x-death");
		for (unsigned i = 1; i < LETTER_QUEUES_MAX + more; i++) {
			snprintf(name, sizeof(name), "%u", i);
			claim_event(name, "expired");
			amqp091_table_close(&claimed);
		}
		amqp091_table_close(&claimed);
		publish_claimed("q");
		rig_advance(&rig, 100000);
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, "w"), !more);
		CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, more);
		finish();
	}
}

/* From q by expiry to w, where it claims to have been: a circle, unless something else is said before that.
 */
static void a_claim_that_is_no_table_is_no_circle(void)
{
	for (unsigned strange = 0; strange < 2; strange++) {
		begin(1);
		letters_to("w");
		amqp091_table_add_int32(&table, "x-message-ttl", 10);
		declare("q");
		client_declare(&there, 1, "w");
		claim();
		amqp091_array_open(&claimed, "x-death");
		if (strange)
			amqp091_table_add_cstring(&claimed, NULL, "no table");
		claim_event("w", "expired");
		amqp091_table_close(&claimed);
		amqp091_table_close(&claimed);
		publish_claimed("q");
		rig_advance(&rig, 100000);
		CU_ASSERT_EQUAL(client_ready_count(&there, 1, "w"), strange);
		CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, !strange);
		finish();
	}
}

/* The whole body goes on. */
static void large_bodies_go_on(void)
{
	static uint8_t big[100000];
	struct client_content content;

	begin(1);
	letters_to("dead");
	declare("q");
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
	finish();
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

	begin(1);
	letters_to("w");
	declare("q");
	letters_to("dead");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	declare("w");
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
	finish();
}

/* With a header so long; returns how many of such letters have come. */
static uint32_t reject_with_header(uint32_t bytes, uint64_t tag)
{
	static uint8_t table_of_it[16384];
	static char text[16384];
	struct amqp091_table_builder headers;
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_HEADERS};

	memset(text, 'x', bytes);
	text[bytes] = 0;
	amqp091_table_build(&headers, table_of_it, sizeof(table_of_it));
	amqp091_table_add_cstring(&headers, "long", text);
	CU_ASSERT_EQUAL(amqp091_table_finish(&headers, &p.headers), 0);
	client_publish_with(&here, 1, "q", &p, "body");
	rig_settle(&rig);
	reject(&here, "q", tag);
	return client_ready_count(&there, 1, "dead");
}

/* Where its headers would be more than a frame takes nobody could ever be given it. */
static void a_letter_fits_a_frame(void)
{
	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	CU_ASSERT_EQUAL(reject_with_header(16000, 1), 1);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 0);
	client_get(&there, 1, "dead", true);
	client_expect_text(&there, 1, AMQP091_METHOD_BASIC_GET_OK, "body");
	CU_ASSERT_EQUAL(reject_with_header(16300, 2), 0);
	CU_ASSERT_EQUAL(broker_core_counters(rig.core)->dead_letters_lost, 1);
	finish();
}

/* They are read and written again: a few are a turn's work. */
static void long_headers_go_on_in_slices(void)
{
	enum { BYTES = 12000, LETTERS = 30 };
	static char text[BYTES + 1];

	begin(1);
	letters_to("dead");
	amqp091_table_add_int32(&table, "x-message-ttl", 10);
	declare("q");
	client_declare(&there, 1, "dead");
	memset(text, 'x', BYTES);
	for (unsigned i = 0; i < LETTERS; i++) {
		claim();
		amqp091_table_add_cstring(&claimed, "long", text);
		publish_claimed("q");
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
	finish();
}

static void a_name_too_long_for_a_letter_is_refused(void)
{
	static char name[257];
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	memset(name, 'n', 256);
	for (unsigned key = 0; key < 2; key++) {
		begin(1);
		letters_to(key ? name : NULL);
		if (!key)
			amqp091_table_add_cstring(arguments(), "x-dead-letter-exchange", name);
		m.args.queue_declare.queue = str("q");
		CU_ASSERT_EQUAL(amqp091_table_finish(&table, &m.args.queue_declare.arguments), 0);
		client_method(&there, 1, &m);
		client_expect_channel_close(
			&there, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_QUEUE_DECLARE);
		finish();
	}
}

static void a_transaction_rejects_at_commit(void)
{
	begin(1);
	letters_to("dead");
	declare("q");
	client_declare(&there, 1, "dead");
	publish_plain("q");
	rig_settle(&rig);
	client_plain(&here, 1, AMQP091_METHOD_TX_SELECT);
	client_expect(&here, 1, AMQP091_METHOD_TX_SELECT_OK);
	reject(&here, "q", 1);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), 0);
	client_plain(&here, 1, AMQP091_METHOD_TX_COMMIT);
	client_expect(&here, 1, AMQP091_METHOD_TX_COMMIT_OK);
	rig_settle(&rig);
	CU_ASSERT_EQUAL(client_ready_count(&there, 1, "dead"), 1);
	finish();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_rejected_one", a_rejected_one},
			{"an_expired_one_loses_its_expiration", an_expired_one_loses_its_expiration},
			{"events_are_counted", events_are_counted},
			{"each_reason_is_an_event", each_reason_is_an_event},
			{"a_letter_is_what_the_message_was", a_letter_is_what_the_message_was},
			{"a_letter_is_young", a_letter_is_young},
			{"letters_stay_in_their_vhost", letters_stay_in_their_vhost},
			{"a_first_death_is_not_believed", a_first_death_is_not_believed},
			{"a_circle_of_expiry_ends", a_circle_of_expiry_ends},
			{"one_that_nobody_takes_is_counted", one_that_nobody_takes_is_counted},
			{"further_keys_count", further_keys_count},
			{"a_key_of_the_queues_replaces_them", a_key_of_the_queues_replaces_them},
			{"hidden_keys_count_and_stay_hidden", hidden_keys_count_and_stay_hidden},
			{"hidden_keys_are_replaced", hidden_keys_are_replaced},
			{"a_strange_x_death_does_no_harm", a_strange_x_death_does_no_harm},
			{"counts_have_an_end_and_a_beginning", counts_have_an_end_and_a_beginning},
			{"what_is_no_array_leaves_the_first_death_alone",
				what_is_no_array_leaves_the_first_death_alone},
			{"a_long_account_is_a_circle", a_long_account_is_a_circle},
			{"long_headers_go_on_in_slices", long_headers_go_on_in_slices},
			{"a_claim_that_is_no_table_is_no_circle", a_claim_that_is_no_table_is_no_circle},
			{"large_bodies_go_on", large_bodies_go_on},
			{"bodies_are_not_copied", bodies_are_not_copied},
			{"a_letter_fits_a_frame", a_letter_fits_a_frame},
			{"a_name_too_long_for_a_letter_is_refused", a_name_too_long_for_a_letter_is_refused},
			{"a_transaction_rejects_at_commit", a_transaction_rejects_at_commit}, {0}});
}
