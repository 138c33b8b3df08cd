/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/rig.h"

#include "broker/core/core.h"
#include "runtime/check.h"

#include <string.h>

/* Between cores a turn may show nothing of what is on its way. */
enum { POOLS = 8, SETTLED_TURNS = 3, SETTLED_TURNS_CORES = 12, TURNS_MAX = 100000, STEP_US = 10000 };

static void no_wake(void *ctx)
{
	(void)ctx;
}

struct rig_options rig_options(void)
{
	return (struct rig_options){
		.server =
			{
				.conn_max = 8,
				.channel_max = 2047,
				.channels_max = 32,
				.consumers_max = 32,
				.unacked_max = 1000,
				.frame_max_bytes = 16384,
				.message_bytes_max = 4 << 20,
				.handshake_timeout_us = 10000000,
				.close_timeout_us = 1000000,
				.wake = no_wake,
			},
		.limits = {.queues = 100, .exchanges = 50, .bindings = 500, .consumers = 100},
		.memory_bytes = 8 << 20,
	};
}

/* Once a process: a test that was left in the middle has not stopped it. */
static void reclaim_by_hand(void)
{
	static bool started;

	if (!started)
		reclaim_start_manual();
	started = true;
}

static void core_open(struct rig *r, unsigned index, const struct rig_options *o)
{
	struct rig_core *c = &r->cores[index];
	struct amqp091_server_config config = o->server;

	c->core = broker_core_create(r->broker, index, message_cache_create(r->store));
	MUST(c->core);
	config.core = c->core;
	config.auth = r->auth;
	config.access = r->access;
	c->server = amqp091_server_create(&config, r->now_us);
	MUST(c->server);
	c->clock = amqp091_server_clock(c->server);
	c->source = amqp091_server_source(c->server);
}

void rig_open(struct rig *r, struct rte_mempool *pool, const struct rig_options *o)
{
	char error[ACCESS_ERROR_BYTES];

	memset(r, 0, sizeof(*r));
	reclaim_by_hand();
	r->pool = pool;
	r->now_us = 1000000;
	r->core_count = o->cores ? o->cores : 1;
	MUST(r->core_count <= RIG_CORES);
	r->store = message_store_create(&(struct message_store_config){
		.memory_bytes = o->memory_bytes, .watermark_percent = 80, .caches_max = r->core_count});
	r->broker = broker_create(&(struct broker_config){.limits = o->limits,
		.key = {1, 2},
		.cores = r->core_count,
		.link_records = o->link_records,
		.letters_max = o->letters_max,
		.vhosts = o->vhosts,
		.vhost_count = o->vhost_count});
	r->auth = auth_create(o->users, o->user_count);
	r->access = access_create(o->permissions, o->permission_count, error);
	MUST(r->store && r->broker && r->auth && r->access);
	for (unsigned i = 0; i < r->core_count; i++)
		core_open(r, i, o);
	r->core = r->cores[0].core;
	r->server = r->cores[0].server;
	r->clock = r->cores[0].clock;
	r->source = r->cores[0].source;
}

void rig_open_default(struct rig *r, struct rte_mempool *pool)
{
	struct rig_options o = rig_options();

	rig_open(r, pool, &o);
}

struct message_store_stats rig_store(const struct rig *r)
{
	return message_store_stats(r->store);
}

/* Letters that wait are looked at again by the clock, which stands still here. */
static bool busy(const struct rig *r)
{
	bool yes = false;

	for (unsigned i = 0; i < r->core_count; i++)
		yes |= broker_core_busy(r->cores[i].core) || r->cores[i].core->letters.count > 0;
	return yes;
}

static const char *core_leak(const struct rig_core *c)
{
	struct pool_stats pools[POOLS];
	const char *names[POOLS];
	unsigned n = amqp091_server_pools(c->server, pools, names, POOLS);
	struct broker_core_stats stats;

	for (unsigned i = 0; i < n; i++) {
		if (pools[i].used)
			return names[i];
	}
	broker_core_stats(c->core, &stats);
	if (amqp091_server_conn_count(c->server))
		return "connections";
	if (stats.consumers)
		return "consumers";
	if (stats.queues || stats.bindings)
		return "queues";
	if (stats.messages_ready || stats.messages_unacked)
		return "counted messages";
	if (pool_stats(c->core->subscriptions).used || pool_stats(c->core->calls).used)
		return "what was on its way between cores";
	return NULL;
}

const char *rig_leak(struct rig *r)
{
	const char *leak = NULL;

	while (busy(r)) /* what was deleted gives its memory back in slices */
		rig_turn(r);
	for (unsigned i = 0; i < r->core_count && !leak; i++)
		leak = core_leak(&r->cores[i]);
	struct message_store_stats store = rig_store(r);
	if (leak)
		return leak;
	if (r->broker->free_slot_count != r->broker->config.limits.queues)
		return "queues";
	if (store.cells.used)
		return "messages";
	if (store.blocks.used)
		return "message blocks";
	if (rte_mempool_avail_count(r->pool) != r->pool->size)
		return "receive buffers";
	return NULL;
}

void rig_clear(struct rig *r)
{
	for (unsigned i = 0; i < r->core_count; i++) {
		struct cds_list_head *queues = &r->cores[i].core->queues;
		while (!cds_list_empty(queues))
			queue_remove(cds_list_first_entry(queues, struct queue, of_core));
	}
	pthread_mutex_lock(&r->broker->writer);
	exchanges_remove(r->broker, false);
	pthread_mutex_unlock(&r->broker->writer);
	reclaim_run();
}

const char *rig_close(struct rig *r)
{
	for (unsigned i = 0; i < r->core_count; i++)
		r->cores[i].stopped = false;
	for (unsigned i = 0; i < r->links_end; i++) {
		if (r->links[i])
			rig_detach(r, r->links[i]);
	}
	rig_turn(r);
	while (r->core_count > 1 && busy(r)) /* queues that move arrive */
		rig_turn(r);
	rig_clear(r);
	const char *leak = rig_leak(r);
	for (unsigned i = 0; i < r->core_count; i++)
		amqp091_server_destroy(r->cores[i].server);
	auth_destroy(r->auth);
	reclaim_run();
	access_destroy(r->access);
	broker_cores_settle(r->broker);
	for (unsigned i = 0; i < r->core_count; i++)
		broker_core_destroy(r->cores[i].core);
	broker_destroy(r->broker);
	message_store_destroy(r->store);
	reclaim_run();
	return leak;
}

void rig_attach_at(struct rig *r, struct link *l, unsigned core)
{
	struct rig_core *c = &r->cores[core];
	unsigned i = 0;

	while (i < RIG_LINKS && r->links[i])
		i++;
	MUST(i < RIG_LINKS && core < r->core_count);
	r->links[i] = l;
	r->links_end = i < r->links_end ? r->links_end : i + 1;
	r->link_core[i] = core;
	c->clock->poll(c->clock, r->now_us);
	link_open(l, r->pool, &amqp091_app, c->server);
}

void rig_attach(struct rig *r, struct link *l)
{
	rig_attach_at(r, l, 0);
}

void rig_detach(struct rig *r, struct link *l)
{
	for (unsigned i = 0; i < r->links_end; i++) {
		if (r->links[i] == l)
			r->links[i] = NULL;
	}
	l->reset = true;
	link_poll(l);
	link_free(l);
}

static void core_turn(struct rig *r, unsigned core)
{
	struct rig_core *c = &r->cores[core];

	c->clock->poll(c->clock, r->now_us);
	for (unsigned i = 0; i < r->links_end; i++) {
		if (r->links[i] && r->link_core[i] == core)
			link_poll(r->links[i]);
	}
	c->source->poll(c->source, r->now_us);
	for (unsigned i = 0; i < r->links_end; i++) {
		if (r->links[i] && r->link_core[i] == core)
			link_flush(r->links[i]);
	}
	c->source->flush(c->source, r->now_us);
}

void rig_turn(struct rig *r)
{
	for (unsigned i = 0; i < r->core_count; i++) {
		if (!r->cores[i].stopped)
			core_turn(r, i);
	}
	reclaim_run();
}

struct message *rig_take(struct rig *r, const char *queue)
{
	struct slice name = {(const uint8_t *)queue, (uint32_t)strlen(queue)};
	struct slice root = {(const uint8_t *)"/", 1};
	struct queue *q = queue_find(vhost_find(r->broker, root), name);
	struct delivery d;

	return q && queue_take(q, true, &d) ? d.message : NULL;
}

/* Everything that moves moves one of these. */
static uint64_t core_motion(const struct rig_core *c)
{
	const struct broker_core_stats *stats = &c->core->stats;

	return amqp091_server_conn_count(c->server) + stats->acked * 11 + stats->requeued * 13 +
	       stats->dropped * 17 + stats->messages_ready * 19 +
	       broker_core_counters(c->core)->dead_letters * 23 + stats->messages_delayed * 29;
}

static uint64_t motion(const struct rig *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->core_count; i++)
		sum += core_motion(&r->cores[i]) * (i + 1);

	for (unsigned i = 0; i < r->links_end; i++) {
		const struct link *l = r->links[i];
		if (l)
			sum += l->in.at + l->rx.bytes * 3 + l->out.end + l->sent * 5 + l->shut + l->fin_told +
			       link_over(l) + l->faults * 7;
	}
	return sum;
}

void rig_settle(struct rig *r)
{
	unsigned still = 0, enough = r->core_count > 1 ? SETTLED_TURNS_CORES : SETTLED_TURNS;

	for (unsigned i = 0; i < TURNS_MAX && still < enough; i++) {
		uint64_t before = motion(r);
		rig_turn(r);
		still = motion(r) == before ? still + 1 : 0;
	}
}

void rig_advance(struct rig *r, uint64_t us)
{
	while (us) {
		uint64_t step = us < STEP_US ? us : STEP_US;
		r->now_us += step;
		us -= step;
		rig_turn(r);
	}
}
