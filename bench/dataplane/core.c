/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/core.h"

#include "broker/core/core.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	RING_FRAMES = 4096,
	RX_HELD = 4096,
	MBUFS = 16383,
	HUGEPAGE_BYTES = 2 << 20,
	EAL_MB = 64,
	EAL_CORE_MB = 160,
	MESSAGE_MAX_BYTES = 1 << 20,
};

unsigned core_eal_mb(const struct bench_options *o)
{
	/* Each connection may hold a part of a segment on either side. */
	return EAL_MB + o->cores * (EAL_CORE_MB + o->queues / 64);
}

unsigned core_mbufs(const struct bench_options *o)
{
	return MBUFS + 2 * o->queues;
}

/* Messages lie in memory as they do where a broker has hugepages. */
static void *huge_alloc(void *ctx, size_t bytes, size_t align)
{
	bytes = (bytes + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
	void *p = aligned_alloc(HUGEPAGE_BYTES, bytes);
	if (p)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static void huge_release(void *ctx, void *p, size_t bytes)
{
	free(p);
}

static const struct pool_memory huge_memory = {.alloc = huge_alloc, .release = huge_release};

static void no_wake(void *ctx)
{
}

static struct rte_ring *ring_make(const char *what, unsigned index)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%u", what, index);
	struct rte_ring *r = rte_ring_create(name, RING_FRAMES, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	MUST(r);
	return r;
}

static void port_make(struct core *k, const struct bench_options *o)
{
	struct ring_arguments a = {&k->in, 1, &k->out, 1, 0, &a};
	struct port_config c = {.queues = 1,
		.offloads = PORT_OFFLOADS_ALL,
		.rx_held = RX_HELD + 2 * o->queues,
		.mac = {2, 'G', 'w', 'B', 0}};
	char device[64], error[512];

	c.mac[5] = (uint8_t)k->index;
	k->in = ring_make("in", k->index);
	k->out = ring_make("out", k->index);
	snprintf(device, sizeof(device), "net_ring%u,internal=%p", k->index, (void *)&a);
	c.device = device;
	if (port_open(&c, &k->port, error, sizeof(error))) {
		fprintf(stderr, "%s: %s\n", device, error);
		abort();
	}
	/* A ring computes no checksums; every NIC that is meant does. What is received is marked as good
	 * (load.c), and nobody looks at what is sent. */
	if (o->offloads)
		((struct port_info *)(uintptr_t)port_info(k->port))->offloads = PORT_OFFLOADS_ALL;
}

static void bypass_make(struct core *k, const struct cluster *cluster)
{
	struct bypass_config c = {.port = k->port,
		.local_link = true,
		.phase = &k->turn.phase,
		.app = &amqp091_app,
		.app_ctx = k->server};
	char name[32];

	snprintf(name, sizeof(name), "broker_tx%u", k->index);
	k->tx_pool = port_pool_create(name, core_mbufs(cluster->o), port_pool_room(1500), -1);
	MUST(k->tx_pool);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, core_address(k->index, CORE_HOST), 24);
	c.stack.tx_pool = k->tx_pool;
	c.stack.conn_max = 2 * cluster->o->queues + cluster->o->fanout + 1024;
	c.stack.quick_acks = 0; /* of a connection's beginning */
	c.stack.memory = &huge_memory;
	k->bypass = bypass_create(&c, cluster->now_us);
	MUST(k->bypass);
	MUST(bypass_listen(k->bypass, NULL, CORE_PORT, NULL) == 0);
}

static void core_open(struct core *k, struct cluster *c, bool with_port)
{
	const struct bench_options *o = c->o;
	const uint32_t conns = 2 * o->queues + o->fanout + 64;

	k->broker_core = broker_core_create(c->broker, k->index, message_cache_create(c->store));
	MUST(k->broker_core);
	broker_core_set_phase(k->broker_core, &k->turn.phase);
	struct amqp091_server_config config = {.core = k->broker_core,
		.auth = c->auth,
		.conn_max = conns,
		.channel_max = 2047,
		.channels_max = conns,
		.consumers_max = o->queues * o->fanout + 64,
		.unacked_max = 1 << 20,
		.frame_max_bytes = 131072,
		.message_bytes_max = MESSAGE_MAX_BYTES,
		.heartbeat_s = 60,
		.handshake_timeout_us = 3600ull * 1000000,
		.close_timeout_us = 1000000,
		.wake = no_wake};
	k->server = amqp091_server_create(&config, c->now_us);
	MUST(k->server);
	MUST(turn_init(&k->turn, TURN_IDLE_POLL, 0) == 0);
	MUST(turn_add(&k->turn, amqp091_server_clock(k->server)) == 0);
	if (with_port) {
		port_make(k, o);
		bypass_make(k, c);
		MUST(turn_add(&k->turn, bypass_source(k->bypass)) == 0);
	}
	MUST(turn_add(&k->turn, amqp091_server_source(k->server)) == 0);
}

static struct message_store *store_make(const struct bench_options *o)
{
	struct message_store *s = message_store_create(
		&(struct message_store_config){.memory_bytes = (uint64_t)o->memory_mb * o->cores << 20,
			.watermark_percent = 80,
			.caches_max = o->cores,
			.memory = &huge_memory});
	MUST(s);
	return s;
}

void cluster_open(struct cluster *c, const struct bench_options *o, bool with_ports, uint64_t now_us)
{
	const uint32_t queues = o->queues * o->fanout * o->cores + 16;

	*c = (struct cluster){.o = o, .now_us = now_us};
	c->broker = broker_create(&(struct broker_config){.limits = {.queues = queues,
								  .exchanges = 16 + o->cores,
								  .bindings = o->bindings * o->cores + queues,
								  .consumers = queues},
		.key = {1, 2},
		.cores = o->cores});
	c->store = store_make(o);
	c->auth = auth_create(NULL, 0);
	MUST(c->broker && c->auth);
	for (unsigned i = 0; i < o->cores; i++) {
		c->cores[i].index = i;
		core_open(&c->cores[i], c, with_ports);
	}
}

static void core_close(struct core *k)
{
	struct rte_mbuf *m;

	amqp091_server_destroy(k->server);
	turn_fini(&k->turn);
	if (k->bypass) {
		bypass_destroy(k->bypass);
		while (rte_ring_dequeue(k->in, (void **)&m) == 0)
			rte_pktmbuf_free(m);
		while (rte_ring_dequeue(k->out, (void **)&m) == 0)
			rte_pktmbuf_free(m);
		port_close(k->port);
		rte_mempool_free(k->tx_pool);
	}
	while (!cds_list_empty(&k->broker_core->queues))
		queue_remove(cds_list_first_entry(&k->broker_core->queues, struct queue, of_core));
}

void cluster_close(struct cluster *c)
{
	for (unsigned i = 0; i < c->o->cores; i++)
		core_close(&c->cores[i]);
	broker_cores_settle(c->broker);
	for (unsigned i = 0; i < c->o->cores; i++)
		broker_core_destroy(c->cores[i].broker_core);
	auth_destroy(c->auth);
	broker_destroy(c->broker);
	message_store_destroy(c->store);
}
