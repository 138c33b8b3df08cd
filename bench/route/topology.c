/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/route/bench.h"

#include "runtime/check.h"

#include <stdio.h>
#include <string.h>

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static bool is(const struct topology *t, const char *type)
{
	return strcmp(t->type, type) == 0;
}

static void queue_text(char name[TEXT_BYTES], unsigned i)
{
	snprintf(name, TEXT_BYTES, "queue-%u", i);
}

static void queues_make(struct topology *t)
{
	char name[TEXT_BYTES];
	struct queue *q;

	for (unsigned i = 0; i < t->queues; i++) {
		queue_text(name, i);
		MUST(queue_declare(&t->session, &(struct queue_declaration){.name = text(name)}, &q, NULL) ==
			0);
	}
}

void topology_make(struct topology *t, const struct bench_options *o)
{
	static const struct siphash_key key = {1, 2};
	unsigned bindings = o->bindings > 16 ? o->bindings : 16;

	t->type = strcmp(o->op, "cached") == 0 ? "direct" : o->op;
	t->queues = o->bindings < QUEUES_MAX ? o->bindings : QUEUES_MAX;
	/* As many queues as a consumer's application has; only a fan-out has one a binding. */
	if (!is(t, "fanout") && t->queues > 1000)
		t->queues = 1000;
	t->broker = broker_create(&(struct broker_config){
		.limits = {.queues = t->queues, .exchanges = 16, .bindings = bindings, .consumers = 1},
		.key = key});
	MUST(t->broker);
	t->store = message_store_create(&(struct message_store_config){
		.memory_bytes = 1 << 20, .watermark_percent = 80, .caches_max = 1});
	MUST(t->store);
	t->core = broker_core_create(t->broker, 0, message_cache_create(t->store));
	MUST(t->core);
	session_begin(&t->session, t->core, vhost_find(t->broker, text("/")));
	queues_make(t);
	MUST(exchange_declare(&t->session,
		     &(struct exchange_declaration){.name = text("bench"), .type = text(t->type)},
		     NULL) == 0);
	t->exchange = exchange_find(t->session.vhost, text("bench"));
}

void topology_end(struct topology *t)
{
	session_end(&t->session);
	broker_core_destroy(t->core);
	broker_destroy(t->broker);
	message_store_destroy(t->store);
}

struct binding_spec topology_binding(const struct topology *t, unsigned i, struct words *w)
{
	struct binding_spec s = {.exchange = text("bench")};

	queue_text(w->queue, i % t->queues);
	/* A word of a hundred, one of its own, and one of any. */
	snprintf(w->key, sizeof(w->key), is(t, "topic") ? "region-%u.device-%u.*" : "region-%u.device-%u",
		i % 100, i);
	s.destination = text(w->queue);
	s.routing_key = text(w->key);
	if (is(t, "headers")) {
		snprintf(w->id, sizeof(w->id), "device-%u", i);
		w->fields[0] = (struct field){text("id"), {.kind = VALUE_STRING, .bytes = text(w->id)}};
		w->fields[1] = (struct field){text("kind"), {.kind = VALUE_INT, .integer = i % 100}};
		s.routing_key = text("");
		s.arguments = (struct fields){w->fields, 2};
	}
	return s;
}

static bool header_find(const void *ctx, struct slice name, struct value *out)
{
	const struct value *v = fields_find_slice(ctx, name);

	if (v)
		*out = *v;
	return v;
}

static bool header_next(const void *ctx, uint32_t *at, struct field *out)
{
	const struct fields *f = ctx;

	if (*at == f->count)
		return false;
	*out = f->at[(*at)++];
	return true;
}

struct route_request topology_message(const struct topology *t, unsigned i, struct words *w,
	struct header_source *source, struct fields *headers)
{
	struct binding_spec s = topology_binding(t, i, w);

	if (is(t, "topic")) {
		strcpy(strrchr(w->key, '*'), "up");
		s.routing_key = text(w->key);
	}
	w->fields[2] = (struct field){text("time"), {.kind = VALUE_TIMESTAMP, .integer = i}};
	*headers = (struct fields){w->fields, HEADERS_MAX};
	*source = (struct header_source){header_find, header_next, headers, NULL};
	return (struct route_request){
		.routing_key = s.routing_key, .headers = is(t, "headers") ? source : NULL};
}
