/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of the broker between any two turns, and at its end. */
#include "tests/world/house_private.h"
#include "tests/world/inside.h"
#include "tests/world/world.h"

#include <stdio.h>

enum { THOROUGH = 64 }; /* turns between two looks at everything */

static void check_rings(void)
{
	const struct broker *b = house.in.broker;

	for (unsigned i = 0; i < house.door->cores * house.door->cores; i++) {
		const struct core_link *l = &b->links[i];
		const struct ring *rings[] = {l->publish, l->deliver, l->control};
		for (unsigned k = 0; k < 3; k++)
			if (ring_used(rings[k]) > ring_capacity(rings[k]))
				world_fail("a ring between cores holds more than it has room for");
	}
}

/* No more is on its way to a consumer on another core than it may have. */
static void check_credit(const struct queue *q)
{
	const struct cds_list_head *lists[] = {&q->consumers, &q->parked_consumers};
	struct consumer *k;

	for (unsigned i = 0; i < 2; i++)
		cds_list_for_each_entry (k, lists[i], link) {
			const struct subscription *s = subscription_of_proxy(k);
			if (s && (s->sent > s->granted_seen || s->granted_seen > s->granted ||
					 s->used > s->sent || s->sent - s->used > SUBSCRIPTION_CREDIT_MAX))
				world_fail(
					"a consumer of %.*s was sent %llu of %llu deliveries, and has %llu",
					(int)q->by_name.name.bytes, (const char *)q->by_name.name.data,
					(unsigned long long)s->sent, (unsigned long long)s->granted,
					(unsigned long long)s->used);
		}
}

/* Every queue, by its slot: the cores' sums are the queues'. */
static void check_sums(void)
{
	const struct broker *b = house.in.broker;
	uint64_t ready = 0, unsettled = 0, consumers = 0, sum_ready = 0, sum_unsettled = 0;

	for (uint32_t i = 0; i < b->config.limits.queues; i++) {
		const struct queue *q = b->queue_slots[i];
		if (!q || q->deleted)
			continue;
		ready += q->arriving ? 0 : q->entries.ready;
		unsettled += q->entries.unsettled;
		consumers += q->consumer_count;
		check_credit(q);
	}
	for (unsigned i = 0; i < house.door->cores; i++) {
		sum_ready += house.in.cores[i].core->stats.messages_ready;
		sum_unsettled += house.in.cores[i].core->stats.messages_unacked;
	}
	if (ready != sum_ready || unsettled != sum_unsettled)
		world_fail("queues have %llu messages and %llu with clients, but %llu and %llu are counted",
			(unsigned long long)ready, (unsigned long long)unsettled,
			(unsigned long long)sum_ready, (unsigned long long)sum_unsettled);
	if (consumers != b->consumer_count)
		world_fail("queues have %llu consumers, but %u are counted", (unsigned long long)consumers,
			b->consumer_count);
}

void house_check(void)
{
	struct message_store_stats s = message_store_stats(house.in.messages);

	if (s.blocks.used > s.blocks.capacity)
		world_fail("the message store gave more than it has");
	check_rings();
	for (unsigned i = 0; i < house.door->cores; i++)
		world.stalled |= house.in.cores[i].core->counters.publish_stalls > 0;
	if (house.turns >= THOROUGH) {
		house.turns = 0;
		check_sums();
	}
}

uint64_t house_messages(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < house.door->cores; i++) {
		const struct broker_core *c = house.in.cores[i].core;
		n += c->stats.messages_ready + c->stats.messages_unacked;
	}
	return n;
}

void house_check_vanished(void)
{
	const struct broker *b = house.in.broker;

	for (uint32_t i = 0; i < b->config.limits.queues; i++) {
		const struct queue *q = b->queue_slots[i];
		if (q && !q->deleted && (q->exclusive_to || (q->auto_delete && q->had_consumer)))
			world_fail("queue %.*s should have gone with its %s", (int)q->by_name.name.bytes,
				(const char *)q->by_name.name.data,
				q->exclusive_to ? "connection" : "consumers");
	}
}

static const struct {
	const char *pool;
	enum world_situation empty;
} pools_met[] = {{"amqp connections", WORLD_connection_pool_empty},
	{"amqp channels", WORLD_channel_pool_empty}, {"amqp consumers", WORLD_consumer_pool_empty},
	{"amqp unacked", WORLD_unacked_pool_empty}};

static void core_tally(const struct data_core *d)
{
	const struct broker_core_counters *k = broker_core_counters(d->core);
	const struct amqp091_counters *a = amqp091_server_counters(d->amqp091);

	world.situations[WORLD_publish_again] += k->publish_again;
	world.situations[WORLD_publish_stalled] += k->publish_stalls;
	world.situations[WORLD_fan_out_sliced] += k->fan_outs;
	world.situations[WORLD_parcel_waited] += k->parcels_waited;
	world.situations[WORLD_queue_moved] += k->moves_in;
	world.situations[WORLD_move_given_up] += k->moves_given_up;
	world.situations[WORLD_message_memory_short] += a->held_for_memory;
}

static void core_check(const struct data_core *d)
{
	struct pool_stats stats[16];
	const char *names[16];
	unsigned n = amqp091_server_pools(d->amqp091, stats, names, 16);

	for (unsigned i = 0; i < n; i++) {
		if (stats[i].used)
			world_fail(
				"core %u: %u left of pool %s", d->index, (unsigned)stats[i].used, names[i]);
		for (unsigned k = 0; k < sizeof(pools_met) / sizeof(pools_met[0]); k++)
			if (!strcmp(names[i], pools_met[k].pool) && stats[i].used_max >= stats[i].capacity)
				world_met(pools_met[k].empty);
	}
	if (pool_stats(d->core->subscriptions).used || pool_stats(d->core->calls).used ||
		d->core->moves_active)
		world_fail("core %u: something is left of what was on its way between cores", d->index);
	if (d->core->stats.messages_ready || d->core->stats.messages_unacked)
		world_fail("core %u: messages are counted that are not there", d->index);
	struct stack_usage u = stack_usage(bypass_stack(d->bypass[0]));
	if (u.conns || u.half_open || u.tx_segments || u.reass_segments)
		world_fail("core %u: something is left in its stack", d->index);
}

static void port_check(void)
{
	struct port_counters counters;

	port_counters(house.door->port, &counters);
	world.situations[WORLD_frame_spread] += counters.spread_given;
	for (unsigned i = 0; i < house.door->cores; i++) {
		const struct rte_mempool *pool = house.in.cores[i].bypass_tx_pool[0];
		if (rte_mempool_avail_count(pool) != pool->size)
			world_fail("core %u: %u transmit buffers leaked", i, rte_mempool_in_use_count(pool));
	}
}

void house_close(void)
{
	const struct broker *b = house.in.broker;

	check_sums();
	for (unsigned i = 0; i < house.door->cores; i++) {
		core_tally(&house.in.cores[i]);
		core_check(&house.in.cores[i]);
		/* What lies in a core's cache is not lost. */
		message_cache_flush(house.in.cores[i].core->cache);
	}
	if (b->queue_count || b->binding_count || b->consumer_count ||
		b->free_slot_count != b->config.limits.queues)
		world_fail("%u queues, %u bindings and %u consumers are left", b->queue_count,
			b->binding_count, b->consumer_count);
	struct message_store_stats s = message_store_stats(house.in.messages);
	if (s.cells.used || s.blocks.used)
		world_fail("%llu messages and %llu blocks of message memory leaked",
			(unsigned long long)s.cells.used, (unsigned long long)s.blocks.used);
	if (house.in.connections)
		world_fail("%u connections are counted that are not there", house.in.connections);
	cores_destroy(&house.in);
	reclaim_run();
	door_drain(house.door);
	port_check();
	door_close(house.door);
	cores_free(&house.in);
}

void house_explain(void)
{
	struct message_store_stats s = message_store_stats(house.in.messages);
	const struct broker *b = house.in.broker;

	printf("# the store: %llu of %llu blocks, %llu cells%s\n", (unsigned long long)s.blocks.used,
		(unsigned long long)s.blocks.capacity, (unsigned long long)s.cells.used,
		message_store_full(house.in.cores[0].core->cache) ? ", full" : "");
	for (unsigned i = 0; i < house.door->cores; i++)
		inside_explain(i, house.in.cores[i].amqp091);
	for (uint32_t i = 0; i < b->config.limits.queues; i++) {
		const struct queue *q = b->queue_slots[i];
		if (q && (q->entries.ready || q->entries.unsettled || q->fenced))
			printf("# queue %.*s of core %u: %llu ready, %llu out, %u consumers%s%s\n",
				(int)q->by_name.name.bytes, (const char *)q->by_name.name.data,
				q->owner->index, (unsigned long long)q->entries.ready,
				(unsigned long long)q->entries.unsettled, q->consumer_count,
				q->fenced ? ", fenced" : "", q->move ? ", moving" : "");
	}
}
