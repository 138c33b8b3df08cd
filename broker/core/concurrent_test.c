/* SPDX-License-Identifier: Apache-2.0 */
/* One thread declares, binds and deletes while another one looks names up and routes. The reader must find
 * what stands for the whole test in every look, and may find the rest or not; ASan tells where something is
 * released under it. */
#include "broker/core/core_fixture.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CHANGES = 20000, QUEUES = 8 };

static struct {
	struct broker_core *core; /* the reader's */
	bool stop;
	uint64_t looks, seen, wrong;
} reader;

static const char *const exchanges[] = {"amq.direct", "amq.fanout", "amq.topic", "amq.headers", "mine"};

static bool found(const struct route_set *s, const char *name)
{
	bool yes = false;

	for (uint32_t i = 0; i < s->count; i++)
		yes |= slice_equals_text(queue_name(s->queues[i]), name);
	return yes;
}

static void look(struct session *s)
{
	bool all;

	for (unsigned i = 0; i < 5; i++) {
		struct route_request r = {.routing_key = text("a.b")};
		struct exchange *x = route_cached(s, text(exchanges[i]), &r, s->core->route, &all);
		if (!x) {
			reader.wrong += i < 4;
			continue;
		}
		reader.wrong += i < 4 && !found(s->core->route, "stays");
		reader.seen += s->core->route->count;
	}
	struct queue *q;
	reader.wrong += queue_lookup(s, text("stays"), &q, NULL) != 0;
	char name[8];
	snprintf(name, sizeof(name), "q%u", (unsigned)(reader.looks % QUEUES));
	if (queue_lookup(s, text(name), &q, NULL) == 0)
		reader.wrong += !slice_equals_text(queue_name(q), name);
}

static void *read_loop(void *arg)
{
	struct session s;

	reclaim_thread_register();
	session_begin(&s, reader.core, vhost_find(fixture.broker, text("/")));
	while (!__atomic_load_n(&reader.stop, __ATOMIC_ACQUIRE)) {
		look(&s);
		reader.looks++;
		reclaim_quiescent();
	}
	session_end(&s);
	reclaim_thread_unregister();
	return NULL;
}

static void change(void)
{
	static const char *const patterns[] = {"a.b", "a.*", "#", "a.#.b", "*.b", "#.#", "z"};
	const char *pattern = patterns[unit_random_below(7)], *exchange = exchanges[unit_random_below(5)];
	struct queue *q;
	char name[8];

	snprintf(name, sizeof(name), "q%u", unit_random_below(QUEUES));
	switch (unit_random_below(8)) {
	case 0:
		queue_delete_code(0, name);
		break;
	case 1:
	case 2:
		queue_declare_code(0, &(struct queue_declaration){.name = text(name)}, &q);
		break;
	case 3:
		exchange_delete(&fixture.session[0], text("mine"), false, NULL);
		break;
	case 4:
		exchange_declare(&fixture.session[0],
			&(struct exchange_declaration){.name = text("mine"), .type = text("topic")}, NULL);
		break;
	case 5:
		unbind_code(exchange, name, pattern);
		break;
	default:
		bind_code(exchange, name, pattern);
	}
}

static pthread_t thread;
static void *(*reading)(void *);

static void begin(void *(*loop)(void *))
{
	fixture_begin_threads();
	reader = (typeof(reader)){
		.core = broker_core_create(fixture.broker, 1, message_cache_create(fixture.store))};
	CU_ASSERT_PTR_NOT_NULL_FATAL(reader.core);
	reading = loop;
	reclaim_thread_register();
}

static void start(void)
{
	CU_ASSERT_EQUAL(pthread_create(&thread, NULL, reading, NULL), 0);
}

static void end(void)
{
	__atomic_store_n(&reader.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(reader.wrong, 0);
	CU_ASSERT_TRUE(reader.looks > 0);
	printf("# %llu looks, %llu queues seen\n", (unsigned long long)reader.looks,
		(unsigned long long)reader.seen);
	broker_core_destroy(reader.core);
	fixture_end();
	reclaim_thread_unregister();
}

static void a_reader_sees_what_stands(void)
{
	begin(read_loop);
	queue_make("stays");
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(bind_code(exchanges[i], "stays", "a.b"), 0);
	start();
	for (unsigned i = 0; i < CHANGES; i++) {
		change();
		reclaim_quiescent();
	}
	end();
}

/* Two queues of which one at least is bound at every moment, far apart in what a reader walks. */

enum { BETWEEN = 150, SWAPS = 10000 };

static void *swap_loop(void *arg)
{
	struct session s;
	struct exchange *x;
	bool all;

	reclaim_thread_register();
	session_begin(&s, reader.core, vhost_find(fixture.broker, text("/")));
	x = exchange_find(s.vhost, text("amq.fanout"));
	while (!__atomic_load_n(&reader.stop, __ATOMIC_ACQUIRE)) {
		struct route_request r = {.routing_key = text("")};
		route_find(x, &r, s.core->route);
		reader.wrong += !found(s.core->route, "left") && !found(s.core->route, "right");
		reader.wrong += route_cached(&s, text("amq.fanout"), &r, s.core->route, &all) != x;
		reader.wrong += !found(s.core->route, "left") && !found(s.core->route, "right");
		__atomic_store_n(&reader.looks, reader.looks + 1, __ATOMIC_RELEASE);
		reclaim_quiescent();
	}
	session_end(&s);
	reclaim_thread_unregister();
	return NULL;
}

static void a_reader_sees_the_old_or_the_new(void)
{
	char name[8];

	begin(swap_loop);
	queue_make("left");
	queue_make("right");
	bind_code("amq.fanout", "left", "");
	bind_code("amq.fanout", "right", "");
	for (unsigned i = 0; i < BETWEEN; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		queue_make(name);
		bind_code("amq.fanout", name, "");
	}
	start();
	for (unsigned i = 0; i < SWAPS; i++) {
		const char *queue = i % 2 ? "right" : "left";
		unbind_code("amq.fanout", queue, "");
		bind_code("amq.fanout", queue, "");
		reclaim_quiescent();
		/* A walk that was disturbed is repeated, but not for ever: two swaps, then a whole look. */
		if (i % 2 == 0)
			continue;
		uint64_t looks = __atomic_load_n(&reader.looks, __ATOMIC_ACQUIRE);
		for (unsigned k = 0; k < 2000 && __atomic_load_n(&reader.looks, __ATOMIC_ACQUIRE) == looks;
			k++)
			sched_yield();
	}
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"a_reader_sees_what_stands", a_reader_sees_what_stands},
			{"a_reader_sees_the_old_or_the_new", a_reader_sees_the_old_or_the_new}, {0}});
}
