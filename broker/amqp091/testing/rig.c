/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/rig.h"

#include "broker/core/core.h"
#include "runtime/check.h"

#include <string.h>

enum { POOLS = 8, SETTLED_TURNS = 3, TURNS_MAX = 100000, STEP_US = 10000 };

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

void rig_open(struct rig *r, struct rte_mempool *pool, const struct rig_options *o)
{
	struct amqp091_server_config config = o->server;
	struct message_store *store = message_store_create(
		&(struct message_store_config){.memory_bytes = o->memory_bytes, .watermark_percent = 80});

	memset(r, 0, sizeof(*r));
	MUST(store);
	reclaim_by_hand();
	r->pool = pool;
	r->now_us = 1000000;
	r->broker = broker_create(&(struct broker_config){.limits = o->limits, .key = {1, 2}});
	MUST(r->broker);
	r->store = store;
	r->core = broker_core_create(r->broker, 0, message_cache_create(store));
	r->auth = auth_create(o->users, o->user_count);
	MUST(r->core && r->auth);
	config.core = r->core;
	config.auth = r->auth;
	r->server = amqp091_server_create(&config, r->now_us);
	MUST(r->server);
	r->clock = amqp091_server_clock(r->server);
	r->source = amqp091_server_source(r->server);
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

const char *rig_leak(struct rig *r)
{
	while (broker_core_busy(r->core)) /* what was deleted gives its memory back in slices */
		rig_turn(r);

	struct pool_stats pools[POOLS];
	const char *names[POOLS];
	unsigned n = amqp091_server_pools(r->server, pools, names, POOLS);
	struct message_store_stats store = rig_store(r);
	struct broker_core_stats core;

	for (unsigned i = 0; i < n; i++) {
		if (pools[i].used)
			return names[i];
	}
	broker_core_stats(r->core, &core);
	if (amqp091_server_conn_count(r->server))
		return "connections";
	if (core.consumers)
		return "consumers";
	if (core.queues || core.bindings ||
		r->core->broker->free_slot_count != r->core->broker->config.limits.queues)
		return "queues";
	if (core.messages_ready || core.messages_unacked)
		return "counted messages";
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
	struct exchange *x, *next;

	while (!cds_list_empty(&r->core->queues))
		queue_remove(cds_list_first_entry(&r->core->queues, struct queue, of_core));
	pthread_mutex_lock(&r->broker->writer);
	cds_list_for_each_entry_safe (x, next, &r->broker->all_exchanges, of_broker) {
		if (!x->predeclared)
			exchange_remove(x);
	}
	pthread_mutex_unlock(&r->broker->writer);
	reclaim_run();
}

const char *rig_close(struct rig *r)
{
	for (unsigned i = 0; i < RIG_LINKS; i++) {
		if (r->links[i])
			rig_detach(r, r->links[i]);
	}
	rig_turn(r);
	rig_clear(r);
	const char *leak = rig_leak(r);
	amqp091_server_destroy(r->server);
	auth_destroy(r->auth);
	broker_core_destroy(r->core);
	broker_destroy(r->broker);
	message_store_destroy(r->store);
	reclaim_run();
	return leak;
}

void rig_attach(struct rig *r, struct link *l)
{
	unsigned i = 0;

	while (i < RIG_LINKS && r->links[i])
		i++;
	MUST(i < RIG_LINKS);
	r->links[i] = l;
	r->clock->poll(r->clock, r->now_us);
	link_open(l, r->pool, &amqp091_app, r->server);
}

void rig_detach(struct rig *r, struct link *l)
{
	for (unsigned i = 0; i < RIG_LINKS; i++) {
		if (r->links[i] == l)
			r->links[i] = NULL;
	}
	l->reset = true;
	link_poll(l);
	link_free(l);
}

void rig_turn(struct rig *r)
{
	r->clock->poll(r->clock, r->now_us);
	for (unsigned i = 0; i < RIG_LINKS; i++) {
		if (r->links[i])
			link_poll(r->links[i]);
	}
	r->source->poll(r->source, r->now_us);
	for (unsigned i = 0; i < RIG_LINKS; i++) {
		if (r->links[i])
			link_flush(r->links[i]);
	}
	r->source->flush(r->source, r->now_us);
	reclaim_run();
}

struct message *rig_take(struct rig *r, const char *queue)
{
	struct slice name = {(const uint8_t *)queue, (uint32_t)strlen(queue)};
	struct queue *q = queue_find(&r->broker->root, name);
	struct delivery d;

	return q && queue_take(q, true, &d) ? d.message : NULL;
}

/* Everything that moves moves one of these. */
static uint64_t motion(const struct rig *r)
{
	const struct broker_core_stats *core = &r->core->stats;
	uint64_t sum = amqp091_server_conn_count(r->server) + core->acked * 11 + core->requeued * 13 +
		       core->dropped * 17;

	for (unsigned i = 0; i < RIG_LINKS; i++) {
		const struct link *l = r->links[i];
		if (l)
			sum += l->in.at + l->rx.bytes * 3 + l->out.end + l->sent * 5 + l->shut + l->fin_told +
			       link_over(l) + l->faults * 7;
	}
	return sum;
}

void rig_settle(struct rig *r)
{
	unsigned still = 0;

	for (unsigned i = 0; i < TURNS_MAX && still < SETTLED_TURNS; i++) {
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
