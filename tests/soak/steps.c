/* SPDX-License-Identifier: Apache-2.0 */
/* What a session does in its life. A step's phases are told apart by s->phase. */
#include "tests/soak/steps.h"

#include <stdio.h>
#include <string.h>

enum {
	OWN_BATCH_MAX = 8,
	NO_ACK_ONE_IN = 5,
	DOOM_ONE_IN = 40,
	DOOM_FRAMES_MAX = 16,
	STALL_MESSAGES = 100,
	STALL_US_MIN = 20000,
	STALL_US_MAX = 400000,
};

static const char *const shared_exchange[ROUTES] = {"", "soak-direct", "soak-topic", "soak-headers"};
static const char *const types[] = {"direct", "topic", "headers", "fanout"};

uint16_t roll_prefetch(struct session *s)
{
	static const uint16_t of[] = {0, 1, 3, 10, 100};

	return of[roll(s, sizeof(of) / sizeof(*of))];
}

uint32_t roll_size(struct session *s)
{
	static const uint32_t of[] = {16, 16, 40, 100, 256, 256, 1000, 1500, 4000, 20000};

	return of[roll(s, sizeof(of) / sizeof(*of))];
}

enum queue_kind kind_of(uint32_t slot, uint32_t life)
{
	return (slot * 2654435761u + life * 40503u) >> 16 & (QUEUE_KINDS - 1);
}

void queue_name(char *name, uint32_t slot, uint32_t life)
{
	static const char *const of[QUEUE_KINDS] = {"", "own-%u-%u", "auto-%u-%u", "kept-%u-%u"};

	snprintf(name, NAME_BYTES, of[kind_of(slot, life)], slot, life);
}

void hello(struct session *s, struct out *o)
{
	say_hello(o, 0);
	expect(s, 0, START);
	expect(s, 0, TUNE);
	expect(s, 0, OPEN_OK);
	say_channel_open(o, 1);
	expect(s, 1, CHANNEL_OPEN_OK);
	s->load->counts.channels++;
}

static void bind_queue(
	struct session *s, struct out *o, const char *exchange, const char *pattern, const char *header)
{
	say_queue_bind(o, 1, s->queue, exchange, pattern, header);
	expect(s, 1, QUEUE_BIND_OK);
	s->load->counts.bindings++;
}

static void unbind_queue(
	struct session *s, struct out *o, const char *exchange, const char *pattern, const char *header)
{
	say_queue_unbind(o, 1, s->queue, exchange, pattern, header);
	expect(s, 1, QUEUE_UNBIND_OK);
	s->load->counts.unbound++;
}

static const char *header_of(const struct session *s)
{
	return s->route == ROUTE_HEADERS ? s->header : NULL;
}

/* A new way to its queue. */
static void route_make(struct session *s, struct out *o)
{
	unsigned n = s->names++;

	s->route = (enum route)roll(s, ROUTES);
	s->exchange = shared_exchange[s->route];
	s->pattern[0] = s->header[0] = 0;
	snprintf(s->key, sizeof(s->key), "%u.%u.%u", s->slot, s->life, n);
	if (s->route == ROUTE_DEFAULT) {
		snprintf(s->key, sizeof(s->key), "%s", s->queue);
		return;
	}
	if (s->route == ROUTE_DIRECT)
		snprintf(s->pattern, sizeof(s->pattern), "%s", s->key);
	else if (s->route == ROUTE_TOPIC)
		snprintf(s->pattern, sizeof(s->pattern), n & 1 ? "%u.*.%u" : "%u.%u.%u.#", s->slot,
			n & 1 ? n : s->life, n);
	else
		snprintf(s->header, sizeof(s->header), "%s", s->key);
	bind_queue(s, o, s->exchange, s->pattern, header_of(s));
}

static void consume(struct session *s, struct out *o)
{
	char tag[NAME_BYTES];

	snprintf(tag, sizeof(tag), "consumer-%u", ++s->consumer);
	say_consume(o, 1, s->queue, tag, s->no_ack);
	expect(s, 1, CONSUME_OK);
	s->load->counts.consumers++;
}

static void prefetch_set(struct session *s, struct out *o, uint16_t prefetch)
{
	s->prefetch = prefetch;
	s->batch = prefetch && prefetch < OWN_BATCH_MAX ? prefetch : OWN_BATCH_MAX;
	say_qos(o, 1, prefetch);
	expect(s, 1, QOS_OK);
}

bool step_birth(struct session *s, struct out *o)
{
	static const uint8_t bits[QUEUE_KINDS] = {EXCLUSIVE, EXCLUSIVE, AUTO_DELETE, 0};
	char before[NAME_BYTES];

	if (s->phase == 1) {
		route_make(s, o);
		if (s->slot % FANOUT_EACH == 0)
			bind_queue(s, o, "soak-fanout", "", NULL);
		consume(s, o);
		return false;
	}
	s->kind = kind_of(s->slot, s->life);
	s->no_ack = one_in(s, NO_ACK_ONE_IN);
	hello(s, o);
	say_confirm_select(o, 1);
	expect(s, 1, SELECT_OK);
	prefetch_set(s, o, roll_prefetch(s));
	if (s->life > 1 && kind_of(s->slot, s->life - 1) == QUEUE_KEPT) {
		queue_name(before, s->slot, s->life - 1);
		say_queue_delete(o, 1, before, true);
	}
	queue_name(s->queue, s->slot, s->life);
	say_queue_declare(o, 1, s->queue, bits[s->kind]);
	expect(s, 1, QUEUE_DECLARE_OK);
	s->load->counts.queues++;
	/* What nobody would delete after it is not left half made. */
	if (s->kind == QUEUE_UNNAMED || s->kind == QUEUE_EXCLUSIVE)
		s->doom = one_in(s, DOOM_ONE_IN) ? (int)roll(s, 8) : -1;
	return true;
}

bool step_leave(struct session *s, struct out *o)
{
	if (s->phase == 0) {
		say_close(o);
		expect(s, 0, CLOSE_OK);
		return true;
	}
	s->load->counts.left++;
	session_end(s, false);
	return false;
}

static void burst(struct session *s, struct out *o, uint32_t count, uint32_t size)
{
	bool plain = one_in(s, 4);

	own_burst_begin(s);
	for (uint32_t i = 0; i < count; i++)
		publish_own(s, o, plain ? "" : s->exchange, plain ? s->queue : s->key,
			plain ? NULL : header_of(s), size);
}

static bool step_burst(struct session *s, struct out *o)
{
	burst(s, o, 1 + roll(s, 32), roll_size(s));
	return false;
}

/* A slow consumer: there is more to read than it takes for a while. */
static bool step_stall(struct session *s, struct out *o)
{
	burst(s, o, STALL_MESSAGES, 1000 + roll(s, 3000));
	load_session_stalls(s, STALL_US_MIN + roll(s, STALL_US_MAX - STALL_US_MIN));
	return false;
}

static bool step_rebind(struct session *s, struct out *o)
{
	if (s->route != ROUTE_DEFAULT)
		unbind_queue(s, o, s->exchange, s->pattern, header_of(s));
	route_make(s, o);
	return false;
}

static bool step_other_consumer(struct session *s, struct out *o)
{
	char old[NAME_BYTES];
	uint16_t batch = s->batch;

	snprintf(old, sizeof(old), "consumer-%u", s->consumer);
	prefetch_set(s, o, roll_prefetch(s));
	if (batch < s->batch)
		s->batch = batch; /* what the old one has had is settled in its pieces */
	consume(s, o);
	say_cancel(o, 1, old);
	expect(s, 1, CANCEL_OK);
	return false;
}

static bool step_exchange(struct session *s, struct out *o)
{
	char name[NAME_BYTES];
	bool auto_delete = s->life & 1;

	snprintf(name, sizeof(name), "x-%u-%u-%u", s->slot, s->life, s->names);
	if (s->phase == 1) {
		unbind_queue(s, o, name, "key", "header");
		s->names++;
		if (!auto_delete) {
			say_exchange_delete(o, 1, name);
			expect(s, 1, EXCHANGE_DELETE_OK);
		}
		return false;
	}
	say_exchange_declare(o, 1, name, types[roll(s, 4)], auto_delete);
	expect(s, 1, EXCHANGE_DECLARE_OK);
	s->load->counts.exchanges++;
	bind_queue(s, o, name, "key", "header");
	own_burst_begin(s);
	for (uint32_t i = roll(s, 8); i < 8; i++)
		publish_own(s, o, name, "key", "header", roll_size(s));
	return true;
}

static struct stamp shared_stamp(struct session *s)
{
	return (struct stamp){STAMP_SHARED, s->slot, s->life, (uint32_t)s->published};
}

void publish_shared(struct session *s, struct out *o, const char *exchange, const char *key, bool mandatory)
{
	struct stamp stamp = shared_stamp(s);

	publish_confirmed(s, o,
		&(struct publish){.exchange = exchange,
			.key = key,
			.mandatory = mandatory,
			.head = &stamp,
			.head_bytes = sizeof(stamp),
			.body_bytes = roll_size(s)});
}

static bool step_returned(struct session *s, struct out *o)
{
	own_burst_begin(s);
	publish_shared(s, o, "soak-direct", "nobody", true);
	s->returns = 1;
	publish_shared(s, o, "soak-topic", "nobody", false);
	return false;
}

static bool step_fanout(struct session *s, struct out *o)
{
	own_burst_begin(s);
	publish_shared(s, o, "soak-fanout", "", false);
	return false;
}

static struct {
	step_fn *step;
	const char *name;
	unsigned weight;
	bool may_die; /* what it has made goes with its connection */
	uint64_t count, us, us_max;
} steps[] = {
	{step_burst, "burst", 40, true, 0, 0, 0},
	{step_rebind, "rebind", 12, true, 0, 0, 0},
	{step_other_consumer, "other_consumer", 10, true, 0, 0, 0},
	{step_get, "get", 8, true, 0, 0, 0},
	{step_shared, "shared", 8, true, 0, 0, 0},
	{step_abandon, "abandon", 6, true, 0, 0, 0},
	{step_recover, "recover", 4, true, 0, 0, 0},
	{step_exchange, "exchange", 5, false, 0, 0, 0},
	{step_refused, "refused", 3, true, 0, 0, 0},
	{step_returned, "returned", 3, true, 0, 0, 0},
	{step_stall, "stall", 2, true, 0, 0, 0},
	{step_fanout, "fanout", 1, true, 0, 0, 0},
};

void step_choose(struct session *s)
{
	unsigned all = 0, i = 0;

	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		all += steps[i].weight;
	uint32_t at = roll(s, all);
	for (i = 0; at >= steps[i].weight; i++)
		at -= steps[i].weight;
	s->step = steps[i].step;
	s->phase = 0;
	s->chosen = i + 1;
	s->chosen_us = s->load->now_us;
	s->doom = steps[i].may_die && one_in(s, DOOM_ONE_IN) ? (int)roll(s, DOOM_FRAMES_MAX) : -1;
}

void step_over(struct session *s)
{
	if (s->chosen == 0)
		return;
	uint64_t us = s->load->now_us - s->chosen_us;
	unsigned i = s->chosen - 1;
	s->chosen = 0;
	steps[i].count++;
	steps[i].us += us;
	if (us > steps[i].us_max)
		steps[i].us_max = us;
}

void steps_print(void)
{
	for (unsigned i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		printf("%s\"%s\": {\"count\": %llu, \"us\": %llu, \"us_max\": %llu}", i ? ", " : "",
			steps[i].name, (unsigned long long)steps[i].count, (unsigned long long)steps[i].us,
			(unsigned long long)steps[i].us_max);
		steps[i].count = steps[i].us = steps[i].us_max = 0;
	}
}

/* Most of a frame, and no more. */
static void half_a_frame(struct session *s)
{
	static struct out o;
	struct stamp stamp = shared_stamp(s);

	say_publish(&o, 1,
		&(struct publish){.exchange = "",
			.key = s->queue,
			.head = &stamp,
			.head_bytes = sizeof(stamp),
			.body_bytes = 4000});
	o.n -= 1 + roll(s, (uint32_t)o.n - 1);
	session_send(s, &o);
}

void session_die(struct session *s)
{
	uint32_t how = roll(s, 10);

	s->state = SESSION_BUSY;
	if (how < 5) {
		s->step = step_leave;
		s->phase = 0;
		session_go_on(s);
		return;
	}
	if (how < 7)
		half_a_frame(s);
	bool reset = one_in(s, 2);
	if (reset)
		s->load->counts.reset++;
	else
		s->load->counts.closed++;
	session_end(s, reset);
}
