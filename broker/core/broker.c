/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/core.h"

#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What routing keeps beside the bindings themselves: each may bring a few nodes of a topic trie, or pairs of
 * headers, of its own; 256 lets small limits hold long ones. */
enum { PARTS_PER_BINDING = 4, PARTS_BASE = 256 };

/* Keys and arguments: a few bindings may have long ones, all together only this much each. With it a binding
 * costs 2 KiB at the very most: 176 bytes of its own, 512 of these, as much again for their words in a trie
 * or their terms for headers, 140 for each of its parts, and its places in tables. */
enum { BYTES_PER_BINDING = 512, BYTES_BASE = 1 << 20 };

/* Likewise the arguments of queues and exchanges. */
enum { BYTES_PER_DECLARATION = 512 };

/* Some 90 MB, where all of them are. */
enum { REMEMBERED_MAX = 1 << 20 };

static int tables_create(struct broker *b)
{
	const struct broker_limits *l = &b->config.limits;
	const struct siphash_key *k = &b->config.key;
	uint32_t bindings = l->bindings < UINT32_MAX / 8 ? l->bindings : UINT32_MAX / 8;

	b->trie_nodes_max = b->header_pairs_max = PARTS_BASE + bindings * PARTS_PER_BINDING;
	b->binding_bytes_max = BYTES_BASE + (uint64_t)l->bindings * BYTES_PER_BINDING;
	b->argument_bytes_max = BYTES_BASE + ((uint64_t)l->queues + l->exchanges) * BYTES_PER_DECLARATION;
	b->nested_hash_nodes_max = nested_hash_nodes_max(l->bindings);
	return table_create(&b->queues, k, l->queues) || table_create(&b->exchanges, k, l->exchanges) ||
	       table_create(&b->alternates, k, l->exchanges) || table_create(&b->bindings, k, l->bindings) ||
	       table_create(&b->direct_keys, k, l->bindings) ||
	       table_create(&b->trie_edges, k, l->bindings) || table_create(&b->header_pairs, k, l->bindings);
}

enum failure_code arguments_count(struct broker *b, const struct fields *arguments, struct failure *f)
{
	uint64_t bytes = fields_bytes(arguments);

	if (bytes > b->argument_bytes_max - b->argument_bytes)
		return failure_set(f, FAILURE_LIMIT, "no memory for the arguments");
	b->argument_bytes += bytes;
	return FAILURE_NONE;
}

void arguments_uncount(struct broker *b, const struct fields *arguments)
{
	b->argument_bytes -= fields_bytes(arguments);
}

static int vhost_begin(struct vhost *v, struct broker *b, const char *name)
{
	size_t bytes = strlen(name);

	MUST(bytes >= 1 && bytes <= VHOST_NAME_MAX);
	v->broker = b;
	memcpy(v->text, name, bytes + 1);
	v->name = (struct slice){(const uint8_t *)v->text, (uint32_t)bytes};
	MUST(vhost_find(b, v->name) == v); /* no other one has its name */
	return exchanges_predeclare(v);
}

static int vhosts_create(struct broker *b)
{
	static const char *const root[] = {"/"};
	const char *const *names = b->config.vhost_count ? b->config.vhosts : root;

	if (b->config.vhost_count == 0)
		b->config.vhost_count = 1;
	MUST(b->config.vhost_count <= BROKER_VHOSTS_MAX);
	b->vhosts = calloc(b->config.vhost_count, sizeof(*b->vhosts));
	if (!b->vhosts)
		return -1;
	for (uint32_t i = 0; i < b->config.vhost_count; i++)
		if (vhost_begin(&b->vhosts[i], b, names[i]))
			return -1;
	b->config.vhosts = NULL; /* was the caller's */
	return 0;
}

/* Handles of queues: slots, and a stack of the free ones. */
static int slots_create(struct broker *b)
{
	uint32_t n = b->config.limits.queues;

	b->queue_slots = calloc(n, sizeof(*b->queue_slots));
	b->slot_generations = calloc(n, sizeof(*b->slot_generations));
	b->free_slots = calloc(n, sizeof(*b->free_slots));
	if (!b->queue_slots || !b->slot_generations || !b->free_slots)
		return -1;
	while (b->free_slot_count < n) {
		b->free_slots[b->free_slot_count] = n - 1 - b->free_slot_count;
		b->free_slot_count++;
	}
	return 0;
}

struct broker *broker_create(const struct broker_config *config)
{
	struct broker *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->config = *config;
	if (b->config.cores == 0)
		b->config.cores = 1;
	b->value_key[0] = siphash_key_random();
	b->value_key[1] = siphash_key_random();
	if (b->config.remembered_max == 0)
		b->config.remembered_max = REMEMBERED_MAX;
	MUST(b->config.cores <= CORES_MAX);
	pthread_mutex_init(&b->writer, NULL);
	CDS_INIT_LIST_HEAD(&b->all_exchanges);
	CDS_INIT_LIST_HEAD(&b->deleted_exchanges);
	CDS_INIT_LIST_HEAD(&b->deleted_queues);
	b->cores = calloc(b->config.cores, sizeof(*b->cores));
	if (!b->cores || slots_create(b) || links_create(b) || tables_create(b) || vhosts_create(b)) {
		broker_destroy(b);
		return NULL;
	}
	return b;
}

void broker_destroy(struct broker *b)
{
	pthread_mutex_lock(&b->writer);
	exchanges_remove(b, true);
	while (b->deleted_count > 0)
		tidy_slice(b);
	pthread_mutex_unlock(&b->writer);
	MUST(b->queue_count == 0 && b->binding_count == 0 && b->trie_nodes == 0 &&
		b->nested_hash_nodes == 0 && b->header_pair_count == 0 && b->binding_bytes == 0 &&
		b->argument_bytes == 0 && b->level_count == 0 && b->remembered == 0);
	table_destroy(&b->queues);
	table_destroy(&b->exchanges);
	table_destroy(&b->alternates);
	table_destroy(&b->bindings);
	table_destroy(&b->direct_keys);
	table_destroy(&b->trie_edges);
	table_destroy(&b->header_pairs);
	pthread_mutex_destroy(&b->writer);
	links_destroy(b);
	free(b->queue_slots);
	free(b->slot_generations);
	free(b->free_slots);
	free(b->cores);
	free(b->vhosts);
	free(b);
}

static int core_pools(struct broker_core *c)
{
	static const struct pool_memory plain = {0};
	const struct broker_limits *l = &c->broker->config.limits;
	uint32_t calls = c->broker->config.calls_max ? c->broker->config.calls_max : l->consumers;

	c->out = calloc(c->broker->config.cores, sizeof(*c->out));
	c->in = calloc(c->broker->config.cores, sizeof(*c->in));
	c->subscriptions = pool_create("subscriptions", sizeof(struct subscription), l->consumers, &plain);
	c->calls = pool_create("queue calls", queue_call_bytes(), calls, &plain);
	if (!c->out || !c->in || !c->subscriptions || !c->calls)
		return -1;
	return fan_out_create(c);
}

static void core_free(struct broker_core *c)
{
	letters_destroy(c);
	fan_out_destroy(c);
	if (c->subscriptions)
		pool_destroy(c->subscriptions);
	if (c->calls)
		pool_destroy(c->calls);
	free(c->out);
	free(c->in);
	free(c);
}

static void core_links(struct broker_core *c)
{
	struct broker *b = c->broker;

	for (uint32_t i = 0; i < b->config.cores; i++) {
		c->out[i].link = &b->links[c->index * b->config.cores + i];
		CDS_INIT_LIST_HEAD(&c->out[i].outbox);
		CDS_INIT_LIST_HEAD(&c->out[i].waiting);
		c->in[i] = &b->links[i * b->config.cores + c->index];
	}
	/* All of a message's queues may be of one core. */
	uint32_t room = ring_capacity(c->out[c->index].link->publish);
	c->fan_out.at_once = room < FAN_OUT_AT_ONCE ? room : FAN_OUT_AT_ONCE;
}

struct broker_core *broker_core_create(struct broker *b, uint32_t index, struct message_cache *cache_take)
{
	struct broker_core *c = calloc(1, sizeof(*c));

	MUST(index < b->config.cores);
	if (!c)
		return NULL;
	c->broker = b;
	c->index = index;
	c->cache = cache_take;
	c->phase = &c->unseen;
	c->name_key = siphash_key_random();
	CDS_INIT_LIST_HEAD(&c->queues);
	CDS_INIT_LIST_HEAD(&c->ready);
	CDS_INIT_LIST_HEAD(&c->watched);
	c->rules_left = RULES_QUANTUM;
	timer_wheel_init(&c->wheel, 1000, 0);
	CDS_INIT_LIST_HEAD(&c->crediting);
	CDS_INIT_LIST_HEAD(&c->owing);
	entries_grave_init(&c->grave);
	delays_create(c);
	if (core_pools(c) || letters_create(c)) {
		core_free(c);
		return NULL;
	}
	core_links(c);
	b->cores[index] = c;
	return c;
}

void broker_cores_settle(struct broker *b)
{
	bool busy = true;

	while (busy) {
		busy = false;
		for (uint32_t i = 0; i < b->config.cores; i++) {
			broker_core_poll(b->cores[i]);
			broker_core_tidy(b->cores[i]);
			queue_rules_poll(b->cores[i]);
			broker_core_flush(b->cores[i]);
		}
		for (uint32_t i = 0; i < b->config.cores; i++)
			busy |= broker_core_busy(b->cores[i]);
	}
}

void broker_core_set_phase(struct broker_core *c, struct phase_mark *phase)
{
	c->phase = phase;
}

struct phase_mark *broker_core_phase(struct broker_core *c)
{
	return c->phase;
}

void broker_core_destroy(struct broker_core *c)
{
	while (!cds_list_empty(&c->queues))
		queue_remove(cds_list_first_entry(&c->queues, struct queue, of_core));
	while (entries_grave_empty(&c->grave, c->cache, GRAVE_QUANTUM))
		;
	letters_destroy(c);
	delays_destroy(c);
	message_cache_destroy(c->cache);
	c->broker->cores[c->index] = NULL;
	core_free(c);
}

void broker_core_set_wake(struct broker_core *c, void (*wake)(void *ctx), void *ctx)
{
	c->wake = wake;
	c->wake_ctx = ctx;
}

uint32_t broker_core_index(const struct broker_core *c)
{
	return c->index;
}

void broker_core_flush(struct broker_core *c)
{
	links_flush(c);
}

uint32_t broker_cores(const struct broker *b)
{
	return b->config.cores;
}

const struct broker_core_counters *broker_core_counters(const struct broker_core *c)
{
	return &c->counters;
}

void broker_core_now(struct broker_core *c, uint64_t now_us)
{
	c->now_us = now_us;
}

uint64_t broker_core_now_us(const struct broker_core *c)
{
	return c->now_us;
}

struct message_cache *broker_core_cache(struct broker_core *c)
{
	return c->cache;
}

struct broker *broker_core_broker(struct broker_core *c)
{
	return c->broker;
}

struct vhost *vhost_find(struct broker *b, struct slice name)
{
	for (uint32_t i = 0; i < b->config.vhost_count; i++)
		if (slice_equal(name, b->vhosts[i].name))
			return &b->vhosts[i];
	return NULL;
}

const char *vhost_name(const struct vhost *v)
{
	return v->text;
}

void vhost_enter(struct vhost *v)
{
	__atomic_add_fetch(&v->connection_count, 1, __ATOMIC_RELAXED);
}

void vhost_leave(struct vhost *v)
{
	__atomic_sub_fetch(&v->connection_count, 1, __ATOMIC_RELAXED);
}

bool vhost_stats(struct broker *b, uint32_t index, struct vhost_stats *out)
{
	if (index >= b->config.vhost_count)
		return false;
	struct vhost *v = &b->vhosts[index];
	pthread_mutex_lock(&b->writer);
	*out = (struct vhost_stats){v->text, .exchanges = v->exchange_count, .queues = v->queue_count};
	pthread_mutex_unlock(&b->writer);
	out->connections = __atomic_load_n(&v->connection_count, __ATOMIC_RELAXED);
	return true;
}

void session_begin(struct session *s, struct broker_core *core, struct vhost *vhost)
{
	s->core = core;
	s->vhost = vhost;
	s->routes = (struct route_cache){0};
	s->held_since = 0;
	CDS_INIT_LIST_HEAD(&s->exclusive_queues);
	CDS_INIT_LIST_HEAD(&s->fan_out_turn);
}

void session_end(struct session *s)
{
	exchange_publish_forget(s);
	while (!cds_list_empty(&s->exclusive_queues))
		queue_remove(cds_list_first_entry(&s->exclusive_queues, struct queue, of_session));
}

void broker_core_stats(const struct broker_core *c, struct broker_core_stats *out)
{
	struct broker *b = c->broker;

	*out = c->stats;
	pthread_mutex_lock(&b->writer);
	out->queues = b->queue_count;
	out->exchanges = b->exchange_count;
	out->bindings = b->binding_count;
	pthread_mutex_unlock(&b->writer);
	out->consumers = __atomic_load_n(&b->consumer_count, __ATOMIC_RELAXED);
}
