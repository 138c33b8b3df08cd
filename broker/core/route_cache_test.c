/* SPDX-License-Identifier: Apache-2.0 */
/* A session's last routes: they are used while they hold, and never a moment longer. Memory that reclaim
 * gives back is poisoned, so that a note followed too long is seen. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <string.h>

static uint64_t hits(void)
{
	struct broker_core_stats stats;

	broker_core_stats(fixture.core, &stats);
	return stats.route_hits;
}

/* Publishes; how many queues, and whether it was a hit. */
static void expect(const char *exchange, const char *key, uint32_t queues, bool hit)
{
	uint64_t before = hits();

	CU_ASSERT_EQUAL(publish(exchange, key, 1), queues);
	CU_ASSERT_EQUAL(hits() - before, hit);
}

static void changes_of_the_exchange_end_a_route(void)
{
	static const char *const types[] = {"direct", "fanout", "topic"};

	fixture_begin();
	queue_make("a");
	queue_make("b");
	exchange_make("other", "topic");
	for (unsigned i = 0; i < 3; i++) {
		exchange_make(types[i], types[i]);
		expect(types[i], "k", 0, false);
		expect(types[i], "k", 0, true);
		bind_code(types[i], "a", "k");
		expect(types[i], "k", 1, false);
		expect(types[i], "k", 1, true);
		/* Another exchange's changes, or none, are nothing to this one. */
		bind_code("other", "b", "k");
		bind_code(types[i], "a", "k");
		unbind_code("other", "b", "k");
		unbind_code(types[i], "b", "k");
		expect(types[i], "k", 1, true);
		bind_code(types[i], "b", "k");
		expect(types[i], "k", 2, false);
		expect(types[i], "k", 2, true);
		unbind_code(types[i], "a", "k");
		expect(types[i], "k", 1, false);
		unbind_code(types[i], "b", "k");
	}
	fixture_end();
}

static void a_deleted_queue_ends_a_route(void)
{
	fixture_begin();
	queue_make("a");
	queue_make("b");
	bind_code("amq.fanout", "a", "");
	bind_code("amq.fanout", "b", "");
	expect("amq.fanout", "", 2, false);
	expect("amq.fanout", "", 2, true);
	queue_delete_code(0, "a");
	reclaim_run();
	expect("amq.fanout", "", 1, false);
	fixture_end();
}

/* Reply queues come and go all the time: they end no other's route. */
static void the_default_exchange_goes_by_the_handle(void)
{
	fixture_begin();
	queue_make("q");
	queue_make("reply");
	expect("", "none", 0, false);
	expect("", "none", 0, false);
	expect("", "q", 1, false);
	expect("", "q", 1, true);
	queue_delete_code(0, "reply");
	reclaim_run();
	queue_make("reply");
	expect("", "q", 1, true);
	queue_delete_code(0, "q");
	reclaim_run();
	expect("", "q", 0, false);
	queue_make("q");
	expect("", "q", 1, false);
	expect("", "q", 1, true);
	fixture_end();
}

static void delete_exchange(const char *name)
{
	CU_ASSERT_EQUAL(exchange_delete(&fixture.session[0], text(name), false, NULL), 0);
}

static void a_deleted_exchange_ends_a_route(void)
{
	struct message *m;
	uint32_t n;

	fixture_begin();
	queue_make("a");
	exchange_make("x", "direct");
	exchange_make("y", "direct");
	bind_code("x", "a", "k");
	expect("x", "k", 1, false);
	expect("x", "k", 1, true);
	/* Another one goes: found again by name, and still the same. */
	delete_exchange("y");
	reclaim_run();
	expect("x", "k", 1, true);
	expect("x", "k", 1, true);
	delete_exchange("x");
	m = message_new(fixture.core->cache, &(struct message_envelope){0});
	struct publish p = {.exchange = text("x"), .routing_key = text("k"), .message = m};
	for (unsigned round = 0; round < 2; round++) {
		CU_ASSERT_EQUAL(exchange_publish(&fixture.session[0], &p, NULL, &n, &fixture.failure),
			PUBLISH_FAILED);
		CU_ASSERT_EQUAL(fixture.failure.code, FAILURE_NOT_FOUND);
		reclaim_run();
	}
	message_unref(fixture.core->cache, m);
	/* Of the same name, perhaps in the same memory. */
	for (unsigned round = 0; round < 20; round++) {
		exchange_make("x", "direct");
		expect("x", "k", 0, false);
		expect("x", "k", 0, true);
		delete_exchange("x");
		reclaim_run();
	}
	fixture_end();
}

static void what_is_not_noted(void)
{
	char name[128], key[128];

	fixture_begin();
	memset(name, 'x', 60);
	name[60] = 0;
	memset(key, 'k', 127);
	key[ROUTE_CACHE_BYTES - 60] = 0;
	exchange_make(name, "direct");
	queue_make("a");
	bind_code(name, "a", key);
	expect(name, key, 1, false);
	expect(name, key, 1, true);
	key[ROUTE_CACHE_BYTES - 60] = 'k';
	key[ROUTE_CACHE_BYTES - 59] = 0;
	bind_code(name, "a", key);
	expect(name, key, 1, false);
	expect(name, key, 1, false);
	bind_code("amq.headers", "a", "");
	expect("amq.headers", "", 1, false);
	expect("amq.headers", "", 1, false);
	for (unsigned i = 0; i <= ROUTE_CACHE_QUEUES; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		queue_make(name);
		bind_code("amq.fanout", name, "");
		expect("amq.fanout", "", i + 1, false);
		expect("amq.fanout", "", i + 1, i < ROUTE_CACHE_QUEUES);
	}
	fixture_end();
}

enum { QUEUES = 6, KEYS = 6, CHANGES = 20000 };

static const char *const exchanges[] = {"", "amq.direct", "amq.topic", "amq.fanout", "x", "y"};
static const char *const keys[KEYS] = {"q0", "q1", "q2", "a.b", "a.c", "b"};

static void random_change(void)
{
	static const char *const patterns[] = {"q0", "a.*", "#", "a.b", "b"};
	const char *x = exchanges[1 + unit_random_below(5)], *pattern = patterns[unit_random_below(5)];
	struct exchange_declaration d = {.name = text(x), .type = text("topic"), .auto_delete = true};
	struct queue *q;
	char name[8];

	snprintf(name, sizeof(name), "q%u", unit_random_below(QUEUES));
	switch (unit_random_below(8)) {
	case 0:
		queue_delete_code(0, name);
		break;
	case 1:
		queue_declare_code(0, &(struct queue_declaration){.name = text(name)}, &q);
		break;
	case 2:
		exchange_delete(&fixture.session[0], text(x), false, NULL);
		break;
	case 3:
	case 4:
		exchange_declare(&fixture.session[0], &d, NULL);
		break;
	case 5:
		unbind_code(x, name, pattern);
		break;
	default:
		bind_code(x, name, pattern);
	}
}

static unsigned look(struct route_set *to)
{
	bool all;
	struct session *s = &fixture.session[0];
	struct slice exchange = text(exchanges[unit_random_below(6)]);
	struct route_request r = {.routing_key = text(keys[unit_random_below(KEYS)])};
	struct exchange *plain = exchange_find(s->vhost, exchange),
			*noted = route_cached(s, exchange, &r, to, &all);
	struct queue *queues[QUEUES];
	uint32_t count = 0;

	if (!plain || !noted)
		return plain != noted;
	count = to->count;
	CU_ASSERT_TRUE_FATAL(count <= QUEUES);
	memcpy(queues, to->queues, count * sizeof(queues[0]));
	route_find(plain, &r, to);
	return noted != plain || count != to->count ||
	       memcmp(queues, to->queues, count * sizeof(queues[0])) != 0;
}

static void random_changes_match_a_lookup(void)
{
	unsigned wrong = 0;

	fixture_begin();
	for (unsigned i = 0; i < CHANGES; i++) {
		random_change();
		for (unsigned k = 0; k < 8; k++)
			wrong += look(fixture.core->route);
		if (unit_random_below(4) == 0)
			reclaim_run();
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_TRUE(hits() > CHANGES / 4);
	printf("# %llu hits\n", (unsigned long long)hits());
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"changes_of_the_exchange_end_a_route", changes_of_the_exchange_end_a_route},
			{"a_deleted_queue_ends_a_route", a_deleted_queue_ends_a_route},
			{"the_default_exchange_goes_by_the_handle", the_default_exchange_goes_by_the_handle},
			{"a_deleted_exchange_ends_a_route", a_deleted_exchange_ends_a_route},
			{"what_is_not_noted", what_is_not_noted},
			{"random_changes_match_a_lookup", random_changes_match_a_lookup}, {0}});
}
