/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/plan.h"

#include "broker/amqp091/table.h"
#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEYS = 1021,		  /* different ones in a lap for a topic exchange: no cache of routes helps */
	CONSUMERS_A_CLIENT = 100, /* with a fan-out */
	PREFETCH = 2000,
};

static bool is(const char *word, const char *what)
{
	return !strcmp(word, what);
}

/* All as long as each other, so that messages are. */
static void queue_name(char *name, unsigned core, unsigned i)
{
	snprintf(name, SCRIPT_NAME_BYTES, "%cq%06u", 'a' + (int)core, i);
}

static void exchange_name(char *name, unsigned core)
{
	snprintf(name, SCRIPT_NAME_BYTES, "%cx", 'a' + (int)core);
}

static unsigned queue_count(const struct bench_options *o)
{
	return o->queues * o->fanout;
}

static void lap_end(struct plan_client *c, unsigned messages)
{
	struct script *s = &c->lap;

	c->lap_bytes = s->count;
	c->message_bytes = (uint32_t)(s->count / messages);
	for (size_t left = PLAN_SEGMENT_BYTES + c->message_bytes; left;) {
		size_t piece = left < c->lap_bytes ? left : c->lap_bytes;
		s->bytes = realloc(s->bytes, s->count + piece);
		MUST(s->bytes);
		memcpy(s->bytes + s->count, s->bytes, piece);
		s->count = s->room = s->count + piece;
		left -= piece;
	}
}

static void publisher(struct plan_client *c, const struct bench_options *o, unsigned core, unsigned i)
{
	char queue[SCRIPT_NAME_BYTES], exchange[SCRIPT_NAME_BYTES], key[32];
	unsigned messages = 1;

	script_open(&c->setup);
	if (is(o->settle, "confirm"))
		script_confirm_select(&c->setup);
	queue_name(queue, core, i);
	exchange_name(exchange, core);
	if (is(o->exchange, "topic")) {
		messages = KEYS;
		for (unsigned k = 0; k < KEYS; k++) {
			snprintf(key, sizeof(key), "stock.%08u.usd",
				(unsigned)((uint64_t)k * 7919 % o->bindings));
			script_publish(&c->lap, exchange, key, o->bytes, false);
		}
	} else if (is(o->exchange, "fanout")) {
		script_publish(&c->lap, exchange, "", o->bytes, false);
	} else {
		script_publish(&c->lap, "", queue, o->bytes, false);
	}
	lap_end(c, messages);
}

static void consumer(
	struct plan_client *c, const struct bench_options *o, unsigned core, unsigned first, unsigned count)
{
	char queue[SCRIPT_NAME_BYTES];
	bool acks = is(o->settle, "ack");

	c->ack_every = acks ? o->ack_every : 0;
	script_open(&c->setup);
	if (acks)
		script_qos(&c->setup, PREFETCH);
	for (unsigned i = first; i < first + count; i++) {
		queue_name(queue, core, i);
		script_consume(&c->setup, queue, queue, !acks);
	}
}

/* Arguments that ask for something, but never come to it here. */
static const struct {
	const char *with, *argument;
	int32_t number; /* 0: `text`; -1: true */
	const char *text;
} arguments[] = {{"ttl", "x-message-ttl", 3600000, NULL}, {"limit", "x-max-length", 1000000, NULL},
	{"priority", "x-max-priority", 9, NULL}, {"letters", "x-dead-letter-exchange", 0, "amq.fanout"},
	{"single", "x-single-active-consumer", -1, NULL}, {"returns", "x-delivery-limit", 5, NULL},
	{"values", "x-message-deduplication", -1, NULL}};

enum { ARGUMENTS = sizeof(arguments) / sizeof(arguments[0]), ARGUMENT_BYTES = 128 };

bool plan_knows(const char *with)
{
	for (unsigned i = 0; i < ARGUMENTS; i++)
		if (is(with, arguments[i].with))
			return true;
	return !*with;
}

/* In bytes. */
static struct amqp091_table queue_arguments(const char *with, uint8_t bytes[static ARGUMENT_BYTES])
{
	struct amqp091_table_builder b;
	struct amqp091_table table;

	amqp091_table_build(&b, bytes, ARGUMENT_BYTES);
	for (unsigned i = 0; i < ARGUMENTS; i++) {
		if (!is(with, arguments[i].with))
			continue;
		if (arguments[i].text)
			amqp091_table_add_cstring(&b, arguments[i].argument, arguments[i].text);
		else if (arguments[i].number < 0)
			amqp091_table_add_bool(&b, arguments[i].argument, true);
		else
			amqp091_table_add_int32(&b, arguments[i].argument, arguments[i].number);
	}
	MUST(amqp091_table_finish(&b, &table) == 0);
	return table;
}

static void admin(struct plan_client *c, const struct bench_options *o, unsigned core)
{
	char queue[SCRIPT_NAME_BYTES], exchange[SCRIPT_NAME_BYTES], key[32];
	struct script *s = &c->setup;
	uint8_t bytes[ARGUMENT_BYTES];
	struct amqp091_table with = queue_arguments(o->with, bytes);

	script_open(s);
	exchange_name(exchange, core);
	if (*o->exchange)
		script_declare_exchange(s, exchange, o->exchange);
	for (unsigned i = 0; i < queue_count(o); i++) {
		queue_name(queue, core, i);
		script_declare_with(s, queue, 0, &with);
		if (is(o->exchange, "fanout"))
			script_bind(s, queue, exchange, "");
	}
	queue_name(queue, core, 0);
	for (unsigned i = 0; is(o->exchange, "topic") && i < o->bindings; i++) {
		snprintf(key, sizeof(key), i % 2 ? "*.%08u.usd" : "stock.%08u.#", i);
		script_bind(s, queue, exchange, key);
	}
}

void plan_make(struct plan *p, const struct bench_options *o, unsigned core)
{
	/* A consumer's queues are those of the core before, where they are to be on another one. */
	const unsigned of = o->across ? (core + 1) % o->cores : core;
	const unsigned a_client = o->fanout > 1 ? CONSUMERS_A_CLIENT : 1;

	*p = (struct plan){
		.publisher_count = o->queues, .consumer_count = (queue_count(o) + a_client - 1) / a_client};
	p->publishers = calloc(p->publisher_count, sizeof(*p->publishers));
	p->consumers = calloc(p->consumer_count, sizeof(*p->consumers));
	MUST(p->publishers && p->consumers);
	admin(&p->admin, o, core);
	for (unsigned i = 0; i < p->publisher_count; i++)
		publisher(&p->publishers[i], o, core, i);
	for (unsigned i = 0; i < p->consumer_count; i++) {
		unsigned first = i * a_client, left = queue_count(o) - first;
		consumer(&p->consumers[i], o, of, first, left < a_client ? left : a_client);
	}
}

static void client_free(struct plan_client *c)
{
	script_free(&c->setup);
	script_free(&c->lap);
}

void plan_free(struct plan *p)
{
	client_free(&p->admin);
	for (unsigned i = 0; i < p->publisher_count; i++)
		client_free(&p->publishers[i]);
	for (unsigned i = 0; i < p->consumer_count; i++)
		client_free(&p->consumers[i]);
	free(p->publishers);
	free(p->consumers);
}
