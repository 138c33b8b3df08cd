/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/house.h"

#include "broker/core/core.h"
#include "broker/main/instance.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"
#include "runtime/log.h"
#include "tests/unit/poison.h"
#include "tests/world/client.h"
#include "tests/world/explain.h"
#include "tests/world/map.h"
#include "tests/world/world.h"

#include <rte_ring.h>
#include <stdio.h>

enum {
	EAL_MB = 512,
	WIRE_FRAMES = 1024,
	CORES_MAX_HERE = 4,
	TURN_US_MIN = 20, /* at most so long is a turn; longer, while nothing goes in or out */
	TURN_US_MAX = 1000,
	HOARD_MAX = 16384,
	SKIP_PERMILLE = 100, /* a core that is slower than the others */
	THOROUGH = 64,	     /* turns between two looks at everything */
};

/* A port with rings for a wire. */
struct door {
	unsigned cores, queues;
	struct port *port;
	struct rte_ring *rx[CORES_MAX_HERE], *tx[CORES_MAX_HERE];
};

static struct door doors[] = {{.cores = 1, .queues = 1}, {.cores = 2, .queues = 1}, {.cores = 2, .queues = 2},
	{.cores = 4, .queues = 1}, {.cores = 4, .queues = 4}};
enum { DOORS = sizeof(doors) / sizeof(doors[0]) };

static struct {
	struct instance in;
	struct config base;
	struct door *door;
	struct stack_config net; /* the broker's addresses, and where its frames go */
	bool asleep[CORES_MAX_HERE];
	bool polls; /* cores look again although they have nothing to do */
	struct rte_mbuf *hoard[HOARD_MAX];
	unsigned hoarded;
	unsigned turns;
	uint32_t turn_us;
} h;

struct ring_arguments { /* what rte_eth_from_rings hands its driver */
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

static struct rte_ring *ring_make(unsigned door, const char *what, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "door%u %s%u", door, what, i);
	struct rte_ring *r = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, 0);
	MUST(r);
	return r;
}

static void door_open(struct door *d)
{
	static const uint8_t key[PORT_RSS_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41,
		0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4,
		0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01,
		0xfa};
	struct ring_arguments a = {d->rx, d->queues, d->tx, d->queues, 0, &a};
	struct port_config c = {.queues = d->cores,
		.device_queues_max = d->queues,
		.offloads = PORT_OFFLOADS_ALL,
		.rx_held = 512,
		.rss_key = key,
		.mac = {2, 0, 0, 0, 0, 1}};
	char device[64], error[512];

	snprintf(device, sizeof(device), "net_ring0,internal=%p", (void *)&a);
	c.device = device;
	if (port_open(&c, &d->port, error, sizeof(error))) {
		fprintf(stderr, "%s: %s\n", device, error);
		abort();
	}
}

void house_prepare(void)
{
	const struct auth_user user = {.name = "world", .password = "secret"};
	const struct eal_options o = {.memory_mb = EAL_MB, .data_cores = CORES_MAX_HERE};
	char error[512];

	if (dpdk_eal_start(&o, error, sizeof(error)) || config_load(NULL, &h.base, stderr)) {
		fprintf(stderr, "the simulation could not be set up: %s\n", error);
		abort();
	}
	log_set_level(LOG_LEVEL_ERROR);
	reclaim_start_manual();
	h.in.auth = auth_create(&user, 1);
	MUST(h.in.auth);
	for (unsigned i = 0; i < DOORS; i++)
		for (unsigned q = 0; q < doors[i].queues; q++) {
			doors[i].rx[q] = ring_make(i, "rx", q);
			doors[i].tx[q] = ring_make(i, "tx", q);
		}
}

/* What the seed chose */

static void address_give(struct config_port *p)
{
	const struct stack_address *a = &h.net.addresses[0];
	struct config_address gateway = {.version = 6};

	if (ip_is_v4(&a->address)) {
		p->address = (struct config_ipv4_prefix){
			wire_get32(a->address.bytes + IP_V4_AT), a->prefix_bits};
		p->gateway = wire_get32(h.net.gateway_v4.bytes + IP_V4_AT);
		return;
	}
	p->addresses.count = 1;
	p->addresses.entry[0].address.version = 6;
	memcpy(p->addresses.entry[0].address.bytes, a->address.bytes, 16);
	p->addresses.entry[0].bits = a->prefix_bits;
	memcpy(gateway.bytes, h.net.gateway_v6.bytes, 16);
	if (world.net.routed)
		p->gateway6.address = gateway;
}

static void port_choose(struct config *c)
{
	struct config_port *p = &c->ports[0];

	c->port_count = 1;
	*p = (struct config_port){.name = "world", .device_kind = CONFIG_DEVICE_VDEV, .mtu_bytes = 1500};
	p->vlan = world.net.vlan;
	address_give(p);
	c->listener_count = 1;
	struct config_listener *l = &c->listeners[0];
	*l = (struct config_listener){
		.name = "world", .transport = CONFIG_TRANSPORT_BYPASS, .tcp_port = WORLD_TCP_PORT};
	l->address.version = world.net.v6 ? 6 : 4;
	l->rto_us_min = c->tcp.rto_us_min = WORLD_ONE_OF(1000, 10000, 200000);
	l->delayed_ack_us = c->tcp.delayed_ack_us = WORLD_ONE_OF(0, 1000, 40000);
	l->keepalive_us = c->tcp.keepalive_us = 5000000;
	l->user_timeout_us = c->tcp.user_timeout_us = 20000000;
	l->nodelay = world_permille(500);
	c->tcp.rx_buffer_bytes = WORLD_ONE_OF(16384, 65536, 262144);
	c->tcp.tx_buffer_bytes = WORLD_ONE_OF(16384, 65536, 262144);
	c->tcp.time_wait_us = 1000000;
	c->tcp.sack = world_permille(800);
}

static void config_choose(struct config *c, unsigned cores)
{
	*c = h.base;
	c->lcore_count = cores;
	c->idle = CONFIG_IDLE_ADAPTIVE;
	c->memory.message_bytes = WORLD_ONE_OF(1, 4, 4, 8) << 20;
	c->memory.buffers = WORLD_ONE_OF(1024, 4096);
	c->limits.messages = (uint32_t)(c->memory.message_bytes / 256);
	c->limits.message_bytes_max = CLIENT_BODY_MAX;
	c->limits.connections = WORLD_ONE_OF(64, 64, 5);
	c->limits.frame_bytes_max = CLIENT_FRAME_MAX;
	c->limits.handshake_timeout_us = 10000000;
	c->limits.queues = 200;
	c->limits.exchanges = 50;
	c->limits.bindings = 1000;
	c->limits.consumers = 300;
	port_choose(c);
}

/* What is derived from a configuration is made for work: here it shall run dry. */
static void sizes_choose(struct sizes *s)
{
	*s = sizes_of(&h.in.config);
	s->conns = WORLD_ONE_OF(64, 64, 4);
	s->calls = 2 * s->conns;
	s->channels = WORLD_ONE_OF(200, 200, 8);
	s->consumers = WORLD_ONE_OF(300, 300, 100);
	s->unacked = WORLD_ONE_OF(8192, 8192, 64);
	s->link_records = WORLD_ONE_OF(0, 64, 8, 2);
	s->stack_conns = 128;
	s->syn_backlog = 64;
	s->time_wait = 64;
}

static struct door *door_choose(unsigned cores)
{
	unsigned first = world_below(DOORS);

	for (unsigned i = 0; i < DOORS; i++) {
		struct door *d = &doors[(first + i) % DOORS];
		if (!cores || d->cores == cores)
			return d;
	}
	world_fail("no port has %u cores; 1, 2 and 4 are possible", cores);
}

void house_open(unsigned cores, bool wide)
{
	struct auth *auth = h.in.auth;

	stack_config_defaults(&h.net);
	sim_net_configure(&world.net, 0, &h.net);
	h.door = door_choose(cores);
	h.in = (struct instance){.auth = auth};
	config_choose(&h.in.config, h.door->cores);
	sizes_choose(&h.in.sizes);
	door_open(h.door);
	h.in.ports[0] = h.door->port;
	h.polls = world_permille(300);
	memset(h.asleep, 0, sizeof(h.asleep));
	h.turns = 0;
	h.turn_us = TURN_US_MIN;
	if (cores_create(&h.in, world.now_us) || listeners_open(&h.in) != 1)
		world_fail("the broker could not be made");
	world.situations[WORLD_many_cores] += h.door->cores > 1;
}

/* Turns */

static void from_wire(void)
{
	struct rte_mbuf *burst[PORT_BURST];
	unsigned n;

	while ((n = sim_link_arrived(&world.net.links[0], burst, PORT_BURST))) {
		h.turn_us = TURN_US_MIN;
		poison_around(burst, n);
		/* Spread by nothing that we go by. */
		for (unsigned i = 0; i < n; i++)
			if (rte_ring_enqueue(h.door->rx[burst[i]->pkt_len % h.door->queues], burst[i]))
				rte_pktmbuf_free(burst[i]);
	}
}

static void to_wire(void)
{
	struct rte_mbuf *m;

	for (unsigned q = 0; q < h.door->queues; q++)
		while (rte_ring_dequeue(h.door->tx[q], (void **)&m) == 0) {
			h.net.tx(h.net.tx_ctx, &m, 1);
			h.turn_us = TURN_US_MIN;
		}
}

static bool due(unsigned i)
{
	struct turn *t = &h.in.cores[i].turn;

	return !h.asleep[i] || turn_woken(t) || turn_next_us(t) <= world.now_us ||
	       (i < h.door->queues && rte_ring_count(h.door->rx[i]));
}

static void core_turn(unsigned i)
{
	struct turn *t = &h.in.cores[i].turn;

	if (!due(i) && !h.polls)
		return;
	if (!h.asleep[i] && world_permille(SKIP_PERMILLE))
		return;
	if (h.asleep[i])
		turn_sleep_end(t);
	h.asleep[i] = false;
	unsigned work = turn_run_once(t, world.now_us);
	to_wire();
	h.turns++;
	if (work == 0 && turn_sleep_begin(t)) {
		h.asleep[i] = true;
		world_met(WORLD_core_slept);
	}
}

void house_turn(void)
{
	unsigned order[CORES_MAX_HERE], n = h.door->cores;

	from_wire();
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned k = world_below(i), last = order[i - 1];
		order[i - 1] = order[k];
		order[k] = last;
	}
	h.turn_us = h.turn_us < TURN_US_MAX / 2 ? h.turn_us * 2 : TURN_US_MAX;
	for (unsigned i = 0; i < n; i++)
		core_turn(order[i]);
	/* A grace period: no core is within a turn. */
	if (world_permille(200))
		reclaim_run();
}

uint64_t house_next_us(void)
{
	uint64_t t = sim_link_next_us(&world.net.links[0]);

	for (unsigned i = 0; i < h.door->cores; i++) {
		if (due(i))
			return world.now_us + 1 + world_below(h.turn_us);
		uint64_t turn_us = turn_next_us(&h.in.cores[i].turn);
		t = RTE_MIN(t, turn_us);
	}
	return t;
}

bool house_idle(void)
{
	for (unsigned i = 0; i < h.door->cores; i++)
		if (broker_core_busy(h.in.cores[i].core))
			return false;
	return true;
}

bool house_silent(void)
{
	for (unsigned i = 0; i < h.door->cores; i++) {
		struct stack_usage u = stack_usage(bypass_stack(h.in.cores[i].bypass[0]));
		if (u.conns || u.half_open)
			return false;
	}
	return true;
}

unsigned house_conns(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h.door->cores; i++)
		n += amqp091_server_conn_count(h.in.cores[i].amqp091);
	return n;
}

void house_explain(void)
{
	struct message_store_stats s = message_store_stats(h.in.messages);
	const struct broker *b = h.in.broker;

	printf("# the store: %llu of %llu blocks, %llu cells%s\n", (unsigned long long)s.blocks.used,
		(unsigned long long)s.blocks.capacity, (unsigned long long)s.cells.used,
		message_store_full(h.in.cores[0].core->cache) ? ", full" : "");
	for (unsigned i = 0; i < h.door->cores; i++)
		explain_conns(i, h.in.cores[i].amqp091);
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

bool house_short(void)
{
	return message_store_full(h.in.cores[0].core->cache);
}

void house_hoard(void)
{
	struct rte_mempool *pool = h.in.cores[world_below(h.door->cores)].bypass_tx_pool[0];

	world_met(WORLD_transmit_pool_taken);
	while (h.hoarded < HOARD_MAX && (h.hoard[h.hoarded] = rte_pktmbuf_alloc(pool)))
		h.hoarded++;
}

void house_hoard_end(void)
{
	rte_pktmbuf_free_bulk(h.hoard, h.hoarded);
	h.hoarded = 0;
}

/* What must hold */

static void check_rings(void)
{
	const struct broker *b = h.in.broker;

	for (unsigned i = 0; i < h.door->cores * h.door->cores; i++) {
		const struct core_link *l = &b->links[i];
		const struct ring *rings[] = {l->publish, l->deliver, l->control};
		for (unsigned k = 0; k < 3; k++)
			if (ring_used(rings[k]) > ring_capacity(rings[k]))
				world_fail("a ring between cores holds more than it has room for");
	}
}

/* Every queue, by its slot: the cores' sums are the queues'. */
static void check_sums(void)
{
	const struct broker *b = h.in.broker;
	uint64_t ready = 0, unsettled = 0, consumers = 0, sum_ready = 0, sum_unsettled = 0;

	for (uint32_t i = 0; i < b->config.limits.queues; i++) {
		const struct queue *q = b->queue_slots[i];
		if (!q || q->deleted)
			continue;
		ready += q->arriving ? 0 : q->entries.ready;
		unsettled += q->entries.unsettled;
		consumers += q->consumer_count;
	}
	for (unsigned i = 0; i < h.door->cores; i++) {
		sum_ready += h.in.cores[i].core->stats.messages_ready;
		sum_unsettled += h.in.cores[i].core->stats.messages_unacked;
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
	struct message_store_stats s = message_store_stats(h.in.messages);

	if (s.blocks.used > s.blocks.capacity)
		world_fail("the message store gave more than it has");
	check_rings();
	if (h.turns >= THOROUGH) {
		h.turns = 0;
		check_sums();
	}
}

uint64_t house_messages(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < h.door->cores; i++) {
		const struct broker_core *c = h.in.cores[i].core;
		n += c->stats.messages_ready + c->stats.messages_unacked;
	}
	return n;
}

void house_check_vanished(void)
{
	const struct broker *b = h.in.broker;

	for (uint32_t i = 0; i < b->config.limits.queues; i++) {
		const struct queue *q = b->queue_slots[i];
		if (q && !q->deleted && (q->exclusive_to || (q->auto_delete && q->had_consumer)))
			world_fail("queue %.*s should have gone with its %s", (int)q->by_name.name.bytes,
				(const char *)q->by_name.name.data,
				q->exclusive_to ? "connection" : "consumers");
	}
}

/* The end */

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
	struct port_counters now;
	struct rte_mbuf *m;

	port_counters(h.door->port, &now);
	world.situations[WORLD_frame_spread] += now.spread_given;
	for (unsigned q = 0; q < h.door->queues; q++) {
		while (rte_ring_dequeue(h.door->rx[q], (void **)&m) == 0)
			rte_pktmbuf_free(m);
		while (rte_ring_dequeue(h.door->tx[q], (void **)&m) == 0)
			rte_pktmbuf_free(m);
	}
	for (unsigned i = 0; i < h.door->cores; i++) {
		const struct rte_mempool *pool = h.in.cores[i].bypass_tx_pool[0];
		if (rte_mempool_avail_count(pool) != pool->size)
			world_fail("core %u: %u transmit buffers leaked", i, rte_mempool_in_use_count(pool));
	}
}

void house_close(void)
{
	const struct broker *b = h.in.broker;

	check_sums();
	for (unsigned i = 0; i < h.door->cores; i++) {
		core_tally(&h.in.cores[i]);
		core_check(&h.in.cores[i]);
		/* What lies in a core's cache is not lost. */
		message_cache_flush(h.in.cores[i].core->cache);
	}
	if (b->queue_count || b->binding_count || b->consumer_count ||
		b->free_slot_count != b->config.limits.queues)
		world_fail("%u queues, %u bindings and %u consumers are left", b->queue_count,
			b->binding_count, b->consumer_count);
	struct message_store_stats s = message_store_stats(h.in.messages);
	if (s.cells.used || s.blocks.used)
		world_fail("%llu messages and %llu blocks of message memory leaked",
			(unsigned long long)s.cells.used, (unsigned long long)s.blocks.used);
	if (h.in.connections)
		world_fail("%u connections are counted that are not there", h.in.connections);
	cores_destroy(&h.in);
	reclaim_run();
	port_check();
	port_close(h.door->port);
	cores_free(&h.in);
}
