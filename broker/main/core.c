/* SPDX-License-Identifier: Apache-2.0 */
/* The data cores, each: its turn, the transports, the broker's core and the adaptor. */
#include "broker/main/instance.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/heap.h"
#include "runtime/log.h"
#include "runtime/reclaim.h"

#include <stdlib.h>
#include <string.h>

enum {
	/* For a client to answer connection.close: the whole shutdown takes two seconds at most. */
	CLOSE_TIMEOUT_US = 1000000,
	WATERMARK_PERCENT = 80,
	ARP_PROBES = 3, /* RFC 5227's PROBE_NUM */
};

static void wake(void *ctx)
{
	turn_wake(ctx);
}

static enum turn_idle idle_of(const struct config *c)
{
	switch (c->idle) {
	case CONFIG_IDLE_POLL:
		return TURN_IDLE_POLL;
	case CONFIG_IDLE_PAUSE:
		return TURN_IDLE_PAUSE;
	default:
		return TURN_IDLE_ADAPTIVE;
	}
}

static int create_broker_core(struct instance *in, struct data_core *d)
{
	struct message_cache *cache = message_cache_create(in->messages);

	d->core = cache ? broker_core_create(in->broker, d->index, cache) : NULL;
	if (!d->core) {
		if (cache)
			message_cache_destroy(cache);
		LOG_ERROR("core", "no memory for the broker's tables");
		return -1;
	}
	broker_core_set_wake(d->core, wake, &d->turn);
	broker_core_set_phase(d->core, &d->turn.phase);
	return 0;
}

static int create_messages(struct instance *in)
{
	const struct config *c = &in->config;
	struct pool_memory memory = in->heap ? dpdk_heap_memory() : (struct pool_memory){0};
	struct message_store_config sc = {
		.memory_bytes = c->memory.message_bytes,
		.messages_max = c->limits.messages,
		.watermark_percent = WATERMARK_PERCENT,
		.caches_max = c->lcore_count,
		.memory = in->heap ? &memory : NULL,
	};

	in->messages = message_store_create(&sc);
	if (!in->messages)
		LOG_ERROR("core", "no memory for messages: memory.messages asks for %llu MiB",
			(unsigned long long)(c->memory.message_bytes >> 20));
	return in->messages ? 0 : -1;
}

static int create_broker(struct instance *in)
{
	const struct config *c = &in->config;
	const char *vhosts[CONFIG_VHOSTS_MAX];
	struct broker_config bc = {
		.limits = {.queues = c->limits.queues,
			.exchanges = c->limits.exchanges,
			.bindings = c->limits.bindings,
			.consumers = c->limits.consumers},
		.key = siphash_key_random(),
		.cores = c->lcore_count,
		.calls_max = in->sizes.calls,
		.remembered_max = c->limits.deduplication,
		.link_records = in->sizes.link_records,
		.vhosts = vhosts,
		.vhost_count = c->vhost_count,
	};

	for (uint32_t i = 0; i < c->vhost_count; i++)
		vhosts[i] = c->vhosts[i].name;
	in->broker = broker_create(&bc);
	if (!in->broker)
		LOG_ERROR("core", "no memory for the broker's tables");
	return in->broker ? 0 : -1;
}

static int create_server(struct instance *in, struct data_core *d, uint64_t now_us)
{
	const struct config *c = &in->config;
	struct amqp091_server_config sc = {
		.core = d->core,
		.auth = in->auth,
		.access = in->access,
		.conn_max = in->sizes.conns,
		.conns_all = in->core_count > 1 ? &in->connections : NULL,
		.conns_all_max = c->limits.connections,
		.channel_max = c->limits.channels,
		.channels_max = in->sizes.channels,
		.consumers_max = in->sizes.consumers,
		.unacked_max = in->sizes.unacked,
		.frame_max_bytes = c->limits.frame_bytes_max,
		.message_bytes_max = c->limits.message_bytes_max,
		.heartbeat_s = c->limits.heartbeat_s,
		.refuse_persistent = c->persistent == CONFIG_PERSISTENT_REFUSE,
		.handshake_timeout_us = c->limits.handshake_timeout_us,
		.consumer_timeout_us = c->limits.consumer_timeout_us,
		.close_timeout_us = CLOSE_TIMEOUT_US,
		.wake = wake,
		.wake_ctx = &d->turn,
	};

	d->amqp091 = amqp091_server_create(&sc, now_us);
	if (!d->amqp091)
		LOG_ERROR(
			"core", "no memory for connections: limits.connections and limits.channels size it");
	return d->amqp091 ? 0 : -1;
}

const struct tcp_cc *congestion_named(enum config_congestion which)
{
	static const char *const names[] = {
		[CONFIG_CONGESTION_CUBIC] = "cubic",
		[CONFIG_CONGESTION_NEWRENO] = "newreno",
		[CONFIG_CONGESTION_NONE] = "none",
	};

	return tcp_cc_by_name(names[which]);
}

static void add_addresses(struct stack_config *sc, const struct config_port *p)
{
	struct config_prefix a;

	_Static_assert((int)STACK_ADDRESSES_MAX > (int)CONFIG_MORE_ADDRESSES_MAX, "all of them have room");
	for (uint32_t i = 0; config_port_address(p, i, &a); i++)
		stack_config_add(sc, instance_ip(&a.address), a.bits);
}

static int create_bypass(struct instance *in, struct data_core *d, uint32_t i, uint64_t now_us)
{
	const struct config *c = &in->config;
	const struct config_port *p = &c->ports[i];
	struct bypass_config bc = {
		.port = in->ports[i],
		.queue = d->index,
		.local_link = p->device_kind == CONFIG_DEVICE_TAP,
		.sleeps = c->idle == CONFIG_IDLE_ADAPTIVE,
		.phase = &d->turn.phase,
		.app = &amqp091_app,
		.app_ctx = d->amqp091,
	};
	char name[32];

	snprintf(name, sizeof(name), "tx%u %s", d->index, p->name);
	struct rte_mempool *tx = port_pool_create(name, in->sizes.tx_buffers + sizes_ring_buffers(c, p),
		port_pool_room(p->mtu_bytes), dpdk_core_node(d->index));
	if (!tx) {
		LOG_ERROR("core", "port %s: no memory for its transmit buffers: memory.buffers sizes them",
			p->name);
		return -1;
	}
	d->bypass_tx_pool[i] = tx;
	stack_config_defaults(&bc.stack);
	add_addresses(&bc.stack, p);
	if (p->gateway)
		bc.stack.gateway_v4 = ip_v4(p->gateway);
	if (p->gateway6.address.version)
		bc.stack.gateway_v6 = ip_v6(p->gateway6.address.bytes);
	bc.stack.router_discovery = p->gateway6.automatic;
	bc.stack.vlan = p->vlan;
	bc.stack.arp_probes = p->probe ? ARP_PROBES : 0;
	bc.stack.tx_pool = tx;
	bc.stack.conn_max = in->sizes.stack_conns;
	bc.stack.rx_buffers_max = in->sizes.rx_held;
	bc.stack.rx_buffer_bytes = (uint32_t)c->tcp.rx_buffer_bytes;
	bc.stack.tx_buffer_bytes = (uint32_t)c->tcp.tx_buffer_bytes;
	bc.stack.rto_us_min = (uint32_t)c->tcp.rto_us_min;
	bc.stack.delayed_ack_us = (uint32_t)c->tcp.delayed_ack_us;
	bc.stack.keepalive_us = c->tcp.keepalive_us;
	bc.stack.user_timeout_us = (uint32_t)c->tcp.user_timeout_us;
	bc.stack.sack = c->tcp.sack;
	bc.stack.timestamps = c->tcp.timestamps;
	bc.stack.initial_window_segments = c->tcp.initial_window_segments;
	bc.stack.syn_backlog_max = in->sizes.syn_backlog;
	bc.stack.time_wait_us = (uint32_t)c->tcp.time_wait_us;
	bc.stack.time_wait_max = in->sizes.time_wait;
	bc.stack.challenge_acks_per_s = (c->tcp.challenge_acks_per_s + c->lcore_count - 1) / c->lcore_count;
	bc.stack.challenge_interval_us = (uint32_t)c->tcp.challenge_interval_us;
	_Static_assert((int)STACK_SYN_COOKIES_ALWAYS == (int)CONFIG_SYN_COOKIES_ALWAYS &&
			       (int)STACK_SYN_COOKIES_NEVER == (int)CONFIG_SYN_COOKIES_NEVER,
		"one order");
	bc.stack.syn_cookies = (enum stack_syn_cookies)c->tcp.syn_cookies;
	bc.stack.cc = congestion_named(c->tcp.congestion);
	_Static_assert((int)STACK_ECN_OFF == (int)CONFIG_ECN_OFF && (int)STACK_ECN_ON == (int)CONFIG_ECN_ON,
		"one order");
	bc.stack.ecn = (enum stack_ecn)c->tcp.ecn;
	bc.stack.reass_segments_max = in->sizes.reass_segments;
	bc.stack.key = siphash_key_random();
	d->bypass[i] = bypass_create(&bc, now_us);
	/* A core that never sleeps looks by itself: to tell it would cost every burst a line of its. */
	port_set_wake(in->ports[i], d->index, c->idle == CONFIG_IDLE_ADAPTIVE ? wake : NULL, &d->turn);
	if (!d->bypass[i])
		LOG_ERROR("core", "port %s: its TCP stack could not be made: out of memory", p->name);
	return d->bypass[i] ? 0 : -1;
}

static bool has_kernel_listener(const struct config *c)
{
	for (uint32_t i = 0; i < c->listener_count; i++) {
		if (c->listeners[i].transport == CONFIG_TRANSPORT_KERNEL)
			return true;
	}
	return false;
}

static int create_ksock(struct instance *in, struct data_core *d)
{
	const struct config *c = &in->config;

	char name[32];

	snprintf(name, sizeof(name), "sockets%u", d->index);
	d->ksock_pool = port_pool_create(name, sizes_of_core(c, c->memory.socket_buffers), SIZES_SOCKET_ROOM,
		dpdk_core_node(d->index));
	if (!d->ksock_pool) {
		LOG_ERROR("core", "no memory for socket buffers: memory.socket_buffers sizes them");
		return -1;
	}
	struct ksock_config kc = {
		.pool = d->ksock_pool,
		.conn_max = sizes_of_core(c, c->limits.connections),
		.rx_buffer_bytes = (uint32_t)c->tcp.rx_buffer_bytes,
		.tx_buffer_bytes = (uint32_t)c->tcp.tx_buffer_bytes,
		.keepalive_us = c->tcp.keepalive_us,
		.busy_poll_us = (uint32_t)c->tcp.busy_poll_us,
		.phase = &d->turn.phase,
		.app = &amqp091_app,
		.app_ctx = d->amqp091,
		.spread = in->ksock_spread,
		.core = d->index,
	};
	ksock_spread_set_wake(in->ksock_spread, d->index, wake, &d->turn);
	d->ksock = ksock_create(&kc);
	if (!d->ksock)
		LOG_ERROR("core", "kernel sockets could not be set up: %s", strerror(errno));
	return d->ksock ? 0 : -1;
}

/* The order of a turn: what the control thread asks, what the transports received, then what the broker does
 * about it; each transport sends at the turn's end. */
static int add_sources(struct data_core *d)
{
	int error = turn_add(&d->turn, calls_source(d->calls)) |
		    turn_add(&d->turn, amqp091_server_clock(d->amqp091));

	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (d->bypass[i])
			error |= turn_add(&d->turn, bypass_source(d->bypass[i]));
	}
	if (d->ksock)
		error |= turn_add(&d->turn, ksock_source(d->ksock));
	return error | turn_add(&d->turn, amqp091_server_source(d->amqp091));
}

static int create_core(struct instance *in, struct data_core *d, uint64_t now_us)
{
	int error = turn_init(&d->turn, idle_of(&in->config), (uint32_t)in->config.idle_spin_us);

	if (error) {
		LOG_ERROR("core", "the turn of core %u could not be set up: %s", d->index, strerror(-error));
		return -1;
	}
	d->calls = calls_create(&d->turn);
	if (!d->calls) {
		LOG_ERROR("core", "no memory for calls to core %u", d->index);
		return -1;
	}
	if (create_broker_core(in, d) != 0 || create_server(in, d, now_us) != 0)
		return -1;
	for (uint32_t i = 0; i < in->config.port_count; i++) {
		if (in->ports[i] && create_bypass(in, d, i, now_us) != 0)
			return -1;
	}
	if (has_kernel_listener(&in->config) && create_ksock(in, d) != 0)
		return -1;
	if (add_sources(d) != 0) {
		LOG_ERROR("core", "the sources of core %u could not be set up", d->index);
		return -1;
	}
	return 0;
}

int cores_create(struct instance *in, uint64_t now_us)
{
	unsigned n = in->config.lcore_count;

	/* A core's hot words share no line with another's. */
	in->cores = aligned_alloc(64, n * sizeof(*in->cores));
	if (!in->cores) {
		LOG_ERROR("core", "no memory for %u data cores", n);
		return -1;
	}
	memset(in->cores, 0, n * sizeof(*in->cores));
	in->core_count = n;
	for (unsigned i = 0; i < n; i++) {
		in->cores[i].in = in;
		in->cores[i].index = i;
		in->cores[i].turn.event_fd = -1;
	}
	in->ksock_spread = ksock_spread_create(n, in->config.limits.connections);
	if (!in->ksock_spread || create_messages(in) != 0 || create_broker(in) != 0)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		if (create_core(in, &in->cores[i], now_us) != 0)
			return -1;
	}
	return 0;
}

static int core_run(void *context)
{
	struct data_core *d = context;

	turn_run(&d->turn);
	return 0;
}

int cores_start(struct instance *in)
{
	for (unsigned i = 0; i < in->core_count; i++) {
		int error = dpdk_core_launch(i, core_run, &in->cores[i]);
		if (error) {
			LOG_ERROR("core", "data core %u did not start: %s", i, strerror(-error));
			return error;
		}
	}
	return 0;
}

/* All are told before the first is waited for: what one still waits for, another may have to give. */
void cores_stop(struct instance *in)
{
	for (unsigned i = 0; i < in->core_count; i++)
		turn_stop(&in->cores[i].turn);
	for (unsigned i = 0; i < in->core_count; i++)
		dpdk_core_join(i);
}

static void destroy_transports(struct data_core *d)
{
	/* The adaptor lets its connections go through their transports, so it goes first. */
	if (d->amqp091)
		amqp091_server_destroy(d->amqp091);
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (d->bypass[i])
			bypass_destroy(d->bypass[i]);
	}
	if (d->ksock)
		ksock_destroy(d->ksock);
}

static bool all_created(const struct instance *in)
{
	for (unsigned i = 0; i < in->core_count; i++)
		if (!in->cores[i].core)
			return false;
	return in->core_count > 0;
}

void cores_destroy(struct instance *in)
{
	for (unsigned i = 0; i < in->core_count; i++)
		destroy_transports(&in->cores[i]);
	if (all_created(in))
		broker_cores_settle(in->broker);
	for (unsigned i = 0; i < in->core_count; i++) {
		if (in->cores[i].core)
			broker_core_destroy(in->cores[i].core);
	}
	ksock_spread_destroy(in->ksock_spread);
	if (in->broker)
		broker_destroy(in->broker);
	if (in->messages)
		message_store_destroy(in->messages);
	for (unsigned i = 0; i < in->core_count; i++) {
		calls_destroy(in->cores[i].calls);
		if (in->cores[i].turn.event_fd >= 0)
			turn_fini(&in->cores[i].turn);
	}
}

void cores_free(struct instance *in)
{
	for (unsigned i = 0; i < in->core_count; i++) {
		for (uint32_t k = 0; k < CONFIG_PORTS_MAX; k++)
			rte_mempool_free(in->cores[i].bypass_tx_pool[k]);
		rte_mempool_free(in->cores[i].ksock_pool);
	}
	free(in->cores);
	in->cores = NULL;
	in->core_count = 0;
}
