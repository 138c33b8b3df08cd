/* SPDX-License-Identifier: Apache-2.0 */
/* What queues give up, with an office that publishes it as it is. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static struct {
	unsigned letters;
	enum death why[8];
	bool not_now, never;
	const char *shut_out; /* a queue that is filtered out */
} office;

static bool takes(const void *ctx, struct slice queue)
{
	const char *shut_out = ctx;

	return !slice_equals_text(queue, shut_out);
}

static enum publish_result office_publish(void *ctx, const struct dead_letter *l)
{
	const struct letter_address *a = l->address;
	static struct queue_filter filter; /* a fan-out looks at it in later turns */
	struct publish p = {.exchange = a->exchange,
		.routing_key = a->has_key ? a->routing_key : message_routing_key(l->message),
		.message = l->message,
		.filter = office.shut_out ? &filter : NULL,
		.from_inside = true};
	uint32_t queues;
	struct failure f;

	filter = (struct queue_filter){takes, office.shut_out};
	CU_ASSERT_PTR_EQUAL(ctx, &office);
	if (office.not_now)
		return PUBLISH_AGAIN;
	if (office.letters < 8)
		office.why[office.letters] = l->why;
	office.letters++;
	return office.never ? PUBLISH_FAILED : exchange_publish(&fixture.session[2], &p, NULL, &queues, &f);
}

static void begin(void)
{
	fixture_begin();
	memset(&office, 0, sizeof(office));
	broker_core_set_letter_office(fixture.core, office_publish, &office);
}

static void turns(void)
{
	for (unsigned i = 0; i < 200; i++) {
		broker_core_poll(fixture.core);
		broker_core_deliver(fixture.core, 1000);
	}
}

/* x-dead-letter-exchange "", routing key "dead", and what else is asked for. */
static struct queue *mortal(const char *name, const struct field *more)
{
	struct field all[3] = {argument_text("x-dead-letter-exchange", ""),
		argument_text("x-dead-letter-routing-key", "dead")};

	if (more)
		all[2] = *more;
	return queue_make_with(name, more ? 3 : 2, all);
}

static void the_rejected_go_on(void)
{
	begin();
	struct queue *q = mortal("q", NULL);
	queue_make("dead");
	struct test_consumer *t = consumer_make(q, 100, false);
	for (unsigned i = 0; i < 3; i++)
		publish("", "q", i);
	turns();
	CU_ASSERT_EQUAL(t->taken, 3);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_TRUE(queue_drop_ready(fixture.core, &t->kept[i]));
	queue_drop(fixture.core, &t->kept[1]);
	queue_ack(fixture.core, &t->kept[0]);
	queue_drop(fixture.core, &t->kept[2]);
	turns();
	CU_ASSERT_EQUAL(office.letters, 2);
	CU_ASSERT_EQUAL(office.why[0], DEATH_REJECTED);
	CU_ASSERT_EQUAL(ready_in("dead"), 2);
	CU_ASSERT_EQUAL(take_from("dead"), 1);
	CU_ASSERT_EQUAL(take_from("dead"), 2);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->dead_letters, 2);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->dead_letters_lost, 0);
	consumer_detach(&t->consumer);
	free(t);
	fixture_end();
}

static void the_expired_go_on(void)
{
	struct field ttl = argument_int("x-message-ttl", 1000);

	begin();
	mortal("q", &ttl);
	queue_make("dead");
	for (unsigned i = 0; i < 3; i++)
		publish("", "q", i);
	fixture_advance(999000);
	turns();
	CU_ASSERT_EQUAL(ready_in("dead"), 0);
	fixture_advance(2000);
	turns();
	CU_ASSERT_EQUAL(ready_in("dead"), 3);
	CU_ASSERT_EQUAL(office.why[2], DEATH_EXPIRED);
	CU_ASSERT_EQUAL(take_from("dead"), 0);
	fixture_end();
}

static void what_is_too_much_goes_on(void)
{
	struct field most = argument_int("x-max-length", 2);

	begin();
	mortal("q", &most);
	queue_make("dead");
	for (unsigned i = 0; i < 5; i++)
		publish("", "q", i);
	turns();
	CU_ASSERT_EQUAL(ready_in("q"), 2);
	CU_ASSERT_EQUAL(ready_in("dead"), 3);
	CU_ASSERT_EQUAL(office.why[0], DEATH_MAXLEN);
	CU_ASSERT_EQUAL(take_from("dead"), 0);
	CU_ASSERT_EQUAL(take_from("q"), 3);
	fixture_end();
}

static void what_is_refused_goes_on(void)
{
	struct field all[] = {argument_text("x-dead-letter-exchange", "amq.fanout"),
		argument_int("x-max-length", 1), argument_text("x-overflow", "reject-publish-dlx")};

	begin();
	queue_make_with("q", 3, all);
	queue_make("dead");
	CU_ASSERT_EQUAL(bind_code("amq.fanout", "dead", ""), 0);
	publish("", "q", 1);
	CU_ASSERT_FALSE(fixture_refused);
	publish("", "q", 2);
	CU_ASSERT_TRUE(fixture_refused);
	turns();
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	CU_ASSERT_EQUAL(take_from("dead"), 2);
	CU_ASSERT_EQUAL(office.why[0], DEATH_MAXLEN);
	fixture_end();
}

static void purge_and_delete_make_no_letters(void)
{
	struct queue_call_request purge = {.kind = QUEUE_CALL_PURGE, .queue = text("q")};
	uint64_t n;

	begin();
	mortal("q", NULL);
	queue_make("dead");
	publish("", "q", 1);
	CU_ASSERT_EQUAL(queue_call_code(0, &purge, &n), 0);
	publish("", "q", 2);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	turns();
	CU_ASSERT_EQUAL(office.letters, 0);
	fixture_end();
}

/* A letter keeps its address; the queue that it came from may be gone. */
static void a_letter_waits_in_its_place(void)
{
	struct field ttl = argument_int("x-message-ttl", 0);

	begin();
	mortal("q", &ttl);
	queue_make("dead");
	office.not_now = true;
	publish("", "q", 1);
	turns();
	publish("", "q", 2);
	turns();
	CU_ASSERT_EQUAL(ready_in("q"), 0);
	CU_ASSERT_FALSE(broker_core_busy(fixture.core));
	CU_ASSERT_TRUE(broker_core_next_us(fixture.core) < UINT64_MAX);
	CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	graves_empty();
	office.not_now = false;
	turns();
	CU_ASSERT_EQUAL(take_from("dead"), 1);
	CU_ASSERT_EQUAL(take_from("dead"), 2);
	fixture_end();
}

/* However many there are: what else the core has to do goes on. */
static void a_turn_publishes_so_many(void)
{
	struct field ttl = argument_int("x-message-ttl", 0);

	begin();
	mortal("q", &ttl);
	queue_make("dead");
	office.not_now = true;
	for (unsigned i = 0; i < 150; i++)
		publish("", "q", i);
	turns();
	office.not_now = false;
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 64);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 128);
	turns();
	CU_ASSERT_EQUAL(ready_in("dead"), 150);
	fixture_end();
}

/* Those with long headers, which are written anew, one by one. */
static void a_turn_publishes_so_many_octets(void)
{
	static const uint8_t long_properties[16 * 1024];
	struct field ttl = argument_int("x-message-ttl", 0);
	struct message_envelope e = {.routing_key = text("q"), .properties = {long_properties, 16 * 1024}};
	struct publish p = {.routing_key = text("q")};
	uint32_t queues;

	begin();
	mortal("q", &ttl);
	queue_make("dead");
	office.not_now = true;
	for (unsigned i = 0; i < 10; i++) {
		p.message = message_new(fixture.core->cache, &e);
		CU_ASSERT_EQUAL(exchange_publish(&fixture.session[0], &p, NULL, &queues, &fixture.failure),
			PUBLISH_DONE);
		message_unref(fixture.core->cache, p.message);
	}
	turns();
	office.not_now = false;
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 4);
	broker_core_poll(fixture.core);
	CU_ASSERT_EQUAL(office.letters, 8);
	turns();
	CU_ASSERT_EQUAL(ready_in("dead"), 10);
	fixture_end();
}

static void nothing_is_given_up_without_room(void)
{
	struct field ttl = argument_int("x-message-ttl", 1);

	begin();
	struct queue *q = mortal("q", &ttl);
	queue_make("dead");
	office.not_now = true;
	unsigned sent = 0;
	for (; sent < 10000 && letters_open(fixture.core); sent++) {
		publish("", "q", sent);
		if (sent % 64 == 63)
			fixture_advance(2000);
	}
	CU_ASSERT_EQUAL(sent, 4096);
	publish("", "q", sent);
	fixture_advance(2000);
	CU_ASSERT_EQUAL(ready_in("q"), 1);
	struct delivery d;
	CU_ASSERT_FALSE(queue_take(q, true, &d)); /* its time is over all the same */
	office.not_now = false;
	turns();
	CU_ASSERT_EQUAL(ready_in("q"), 0);
	CU_ASSERT_EQUAL(ready_in("dead"), 4097);
	fixture_end();
}

/* Queues that have to wait are looked at in slices too, a turn each. */
static void those_who_wait_for_room_cost_a_turn_little(void)
{
	enum { QUEUES = RULES_QUANTUM + 100 };
	struct field all[] = {argument_int("x-message-ttl", 1), argument_text("x-dead-letter-exchange", "")};
	char name[16];

	fixture_begin_with(&(struct broker_limits){QUEUES + 2, 50, 5000, 200}, 8 << 20);
	memset(&office, 0, sizeof(office));
	office.not_now = true;
	broker_core_set_letter_office(fixture.core, office_publish, &office);
	queue_make_with("q", 2, all);
	for (unsigned sent = 0; letters_open(fixture.core); sent++) {
		publish("", "q", sent);
		if (sent % 64 == 63)
			fixture_advance(2000);
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		queue_make_with(name, 2, all);
		publish("", name, i);
	}
	for (unsigned i = 0; i < 20; i++)
		fixture_advance(2000);
	queue_make_with("plain", 1, all);
	publish("", "plain", 1);
	fixture_advance(2000);
	CU_ASSERT_EQUAL(ready_in("plain"), 1);
	for (unsigned i = 0; i < 3; i++)
		fixture_advance(2000);
	CU_ASSERT_EQUAL(ready_in("plain"), 0);
	office.not_now = false;
	turns();
	fixture_end();
}

/* A queue that refuses everything, whose refusals go to "grave"; and as many letters as there may be. */
static void begin_full_of_letters(const char *to)
{
	struct field all[] = {argument_text("x-dead-letter-exchange", ""),
		argument_text("x-dead-letter-routing-key", "grave"), argument_int("x-max-length", 0),
		argument_text("x-overflow", "reject-publish-dlx")};
	struct field mortals[] = {
		argument_text("x-dead-letter-exchange", to), argument_int("x-message-ttl", 1)};
	unsigned sent = 0;

	begin();
	queue_make_with("dead", 4, all);
	queue_make_with("q", 2, mortals);
	queue_make("grave");
	CU_ASSERT_EQUAL(bind_code("amq.fanout", "dead", ""), 0);
	CU_ASSERT_EQUAL(bind_code("amq.direct", "dead", "q"), 0);
	office.not_now = true;
	while (letters_open(fixture.core)) {
		publish("", "q", sent++);
		if (sent % 64 == 0)
			fixture_advance(2000);
	}
	office.not_now = false;
}

/* A letter that is refused does not wait for room that only its own going can make. */
static void letters_do_not_wait_for_themselves(void)
{
	begin_full_of_letters("amq.direct");
	turns();
	CU_ASSERT_EQUAL(ready_in("grave"), 4096);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->dead_letters_lost, 0);
	fixture_end();
}

/* Letters of several queues that refuse them are more than have gone. */
static void letters_that_become_more_are_lost(void)
{
	struct field all[] = {argument_text("x-dead-letter-exchange", ""),
		argument_text("x-dead-letter-routing-key", "grave"), argument_int("x-max-length", 0),
		argument_text("x-overflow", "reject-publish-dlx")};
	char name[16];

	begin_full_of_letters("amq.fanout");
	for (unsigned i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		queue_make_with(name, 4, all);
		CU_ASSERT_EQUAL(bind_code("amq.fanout", name, ""), 0);
	}
	for (unsigned i = 0; i < 20; i++)
		turns();
	const struct broker_core_counters *n = broker_core_counters(fixture.core);
	CU_ASSERT_EQUAL(ready_in("grave") + n->dead_letters_lost, 10 * 4096);
	CU_ASSERT_TRUE(n->dead_letters_lost > 0 && ready_in("grave") >= 4096);
	CU_ASSERT_TRUE(letters_open(fixture.core));
	fixture_end();
}

/* The letters wait for the fan-out, so that it does not wait for them. */
static void a_fan_out_does_not_wait_for_those_who_wait_for_it(void)
{
	char name[16];

	begin_full_of_letters("amq.fanout");
	for (unsigned i = 0; i < 90; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		queue_make(name);
		CU_ASSERT_EQUAL(bind_code("amq.fanout", name, ""), 0);
	}
	CU_ASSERT_EQUAL(publish("amq.fanout", "", 7), 91);
	CU_ASSERT_TRUE(fixture_refused);
	CU_ASSERT_EQUAL(ready_in("d89"), 1);
	turns();
	CU_ASSERT_TRUE(ready_in("d89") > 1);
	fixture_end();
}

static void what_cannot_go_on_is_counted(void)
{
	struct field ttl = argument_int("x-message-ttl", 0);

	begin();
	mortal("q", &ttl);
	office.never = true;
	publish("", "q", 1);
	turns();
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->dead_letters, 1);
	CU_ASSERT_EQUAL(broker_core_counters(fixture.core)->dead_letters_lost, 1);
	fixture_end();
}

static void queues_may_be_shut_out(void)
{
	struct field all[] = {
		argument_text("x-dead-letter-exchange", "amq.fanout"), argument_int("x-message-ttl", 0)};
	char name[16];

	begin();
	queue_make_with("q", 2, all);
	for (unsigned i = 0; i < 90; i++) { /* the last time more than are served at once */
		snprintf(name, sizeof(name), "d%u", i);
		queue_make(name);
		CU_ASSERT_EQUAL(bind_code("amq.fanout", name, ""), 0);
		if (i != 1 && i != 89)
			continue;
		office.shut_out = "d1";
		publish("", "q", i);
		turns();
		CU_ASSERT_EQUAL(ready_in("d1"), 0);
		CU_ASSERT_EQUAL(ready_in("d0"), i == 1 ? 1 : 2);
	}
	CU_ASSERT_EQUAL(ready_in("d89"), 1);
	fixture_end();
}

static void an_internal_exchange_takes_them(void)
{
	struct exchange_declaration d = {.name = text("inside"), .type = text("fanout"), .internal = true};
	struct field all[] = {
		argument_text("x-dead-letter-exchange", "inside"), argument_int("x-message-ttl", 0)};

	begin();
	CU_ASSERT_EQUAL(exchange_declare_code(&d), 0);
	queue_make_with("q", 2, all);
	queue_make("dead");
	CU_ASSERT_EQUAL(bind_code("inside", "dead", ""), 0);
	publish("", "q", 1);
	turns();
	CU_ASSERT_EQUAL(ready_in("dead"), 1);
	fixture_end();
}

static void arguments_are_checked(void)
{
	struct field number = argument_int("x-dead-letter-exchange", 1),
		     key = argument_text("x-dead-letter-routing-key", "k");
	struct queue_declaration d = {.name = text("q"), .arguments = {&number, 1}};
	struct queue *q;

	begin();
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "invalid type 'signedint' for arg "
						     "'x-dead-letter-exchange' in queue 'q' in vhost '/'");
	d.arguments.at = &key;
	CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
	CU_ASSERT_STRING_EQUAL(fixture.failure.text, "invalid arg 'x-dead-letter-routing-key' for queue 'q' "
						     "in vhost '/': routing_key_but_no_dlx_defined");
	fixture_end();
}

/* Where names are short strings no message could go there. */
static void long_names_are_refused(void)
{
	static char name[257];
	struct field all[] = {
		argument_text("x-dead-letter-exchange", ""), argument_text("x-dead-letter-routing-key", "k")};
	struct queue_declaration d = {.name = text("q"), .arguments = {all, 2}};
	struct queue *q;

	begin();
	memset(name, 'n', 256);
	for (unsigned i = 0; i < 2; i++) {
		name[255] = 'n';
		all[i].value.bytes = text(name);
		CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), FAILURE_PRECONDITION);
		name[255] = 0;
		all[i].value.bytes = text(name);
		CU_ASSERT_EQUAL(queue_declare_code(0, &d, &q), 0);
		CU_ASSERT_EQUAL(queue_delete_code(0, "q"), 0);
	}
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"the_rejected_go_on", the_rejected_go_on},
			{"the_expired_go_on", the_expired_go_on},
			{"what_is_too_much_goes_on", what_is_too_much_goes_on},
			{"what_is_refused_goes_on", what_is_refused_goes_on},
			{"purge_and_delete_make_no_letters", purge_and_delete_make_no_letters},
			{"a_letter_waits_in_its_place", a_letter_waits_in_its_place},
			{"a_turn_publishes_so_many", a_turn_publishes_so_many},
			{"a_turn_publishes_so_many_octets", a_turn_publishes_so_many_octets},
			{"nothing_is_given_up_without_room", nothing_is_given_up_without_room},
			{"those_who_wait_for_room_cost_a_turn_little",
				those_who_wait_for_room_cost_a_turn_little},
			{"letters_do_not_wait_for_themselves", letters_do_not_wait_for_themselves},
			{"letters_that_become_more_are_lost", letters_that_become_more_are_lost},
			{"a_fan_out_does_not_wait_for_those_who_wait_for_it",
				a_fan_out_does_not_wait_for_those_who_wait_for_it},
			{"what_cannot_go_on_is_counted", what_cannot_go_on_is_counted},
			{"queues_may_be_shut_out", queues_may_be_shut_out},
			{"an_internal_exchange_takes_them", an_internal_exchange_takes_them},
			{"arguments_are_checked", arguments_are_checked},
			{"long_names_are_refused", long_names_are_refused}, {0}});
}
