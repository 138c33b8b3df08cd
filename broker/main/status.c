/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl status`: a snapshot that each data core takes of itself in its own turn, and their sum. */
#include "broker/main/instance.h"
#include "broker/main/merge.h"
#include "dpdk_port/heap.h"
#include "runtime/clock.h"
#include "runtime/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STATUS_TIMEOUT_MS = 1000 };

struct snapshot {
	struct data_core *core;
	json_t *result; /* made and filled on the core */
};

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void add_core(struct data_core *d, const struct config *c, json_t *result)
{
	struct turn_stats t = turn_stats(&d->turn);
	json_t *o = json_object();

	set_int(o, "index", d->index);
	json_object_set_new(
		o, "cpu", c->lcores_auto ? json_string("any") : json_integer(c->lcores[d->index]));
	set_int(o, "turns", t.turns);
	set_int(o, "turns_busy", t.turns_busy);
	set_int(o, "sleeps", t.sleeps);
	set_int(o, "wakeups", t.wakeups);
	set_int(o, "turn_us_max", t.turn_us_max);
	set_int(o, "connections", amqp091_server_conn_count(d->amqp091));
	json_object_set_new(result, "core", o);
}

static void add_pool(json_t *pools, const char *name, const struct pool_stats *s)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(name));
	set_int(o, "capacity", s->capacity);
	set_int(o, "used", s->used);
	set_int(o, "used_max", s->used_max);
	set_int(o, "exhausted", s->exhausted);
	json_array_append_new(pools, o);
}

static void add_mempool(json_t *pools, const char *name, const struct rte_mempool *m)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(name));
	set_int(o, "capacity", m->size);
	set_int(o, "used", rte_mempool_in_use_count(m));
	json_array_append_new(pools, o);
}

static void add_stack_pools(json_t *pools, const struct bypass *b)
{
	struct stack *s = bypass_stack((struct bypass *)(uintptr_t)b);
	const struct pool *p;

	for (unsigned i = 0; (p = stack_pool(s, i)); i++) {
		struct pool_stats stats = pool_stats(p);
		add_pool(pools, pool_name(p), &stats);
	}
}

static void add_port_pools(struct data_core *d, uint32_t i, json_t *pools)
{
	const char *port = d->in->config.ports[i].name;
	char name[CONFIG_IFNAME_BYTES + 8];

	snprintf(name, sizeof(name), "rx %s", port);
	if (d->index == 0) /* it is that of all cores */
		add_mempool(pools, name, port_rx_pool(bypass_port(d->bypass[i]), 0));
	snprintf(name, sizeof(name), "tx %s", port);
	add_mempool(pools, name, d->bypass_tx_pool[i]);
}

static void add_pools(struct data_core *d, json_t *result)
{
	struct message_store_stats m = message_store_stats(message_cache_store(broker_core_cache(d->core)));
	struct pool_stats stats[8];
	const char *names[8];
	json_t *pools = json_array();
	unsigned n = amqp091_server_pools(d->amqp091, stats, names, 8);

	if (d->index == 0) { /* these are the whole broker's */
		add_pool(pools, "message cells", &m.cells);
		add_pool(pools, "message blocks", &m.blocks);
	}
	for (unsigned i = 0; i < n; i++)
		add_pool(pools, names[i], &stats[i]);
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (!d->bypass[i])
			continue;
		add_stack_pools(pools, d->bypass[i]);
		add_port_pools(d, i, pools);
	}
	if (d->ksock_pool)
		add_mempool(pools, "sockets", d->ksock_pool);
	json_object_set_new(result, "pools", pools);
	json_object_set_new(result, "publishers_held", json_boolean(m.above_watermark));
}

static void add_tcp(struct data_core *d, const struct config *c, json_t *result)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (!d->bypass[i])
			continue;
		struct bypass_stats b = bypass_stats(d->bypass[i]);
		struct stack_usage u = stack_usage(bypass_stack(d->bypass[i]));
		json_t *o = json_object(), *counters = json_object();
		json_object_set_new(o, "port", json_string(c->ports[i].name));
		set_int(o, "connections", b.conns);
		set_int(o, "half_open", u.half_open);
		set_int(o, "time_wait", u.time_wait);
		set_int(o, "rx_buffers", u.rx_buffers);
		set_int(o, "rx_buffers_high", u.rx_buffers_high);
		set_int(o, "accepted", b.accepted);
		set_int(o, "refused", b.refused);
		set_int(o, "conns_exhausted", b.conns_exhausted);
		set_int(o, "tx_waited", b.tx_waited);
		set_int(o, "tx_dropped", b.tx_dropped);
		for (unsigned k = 0; k < STACK_COUNTERS; k++)
			set_int(counters, stack_counter_name(k),
				stack_counter(bypass_stack(d->bypass[i]), k));
		json_object_set_new(o, "counters", counters);
		json_array_append_new(all, o);
	}
	json_object_set_new(result, "tcp", all);
}

static void add_kernel(struct data_core *d, json_t *result)
{
	json_t *o = json_object();

	if (d->ksock) {
		struct ksock_stats k = ksock_stats(d->ksock);
		set_int(o, "connections", k.conns);
		set_int(o, "accepted", k.accepted);
		set_int(o, "refused", k.refused);
		set_int(o, "closed", k.closed);
		set_int(o, "reset", k.reset);
		set_int(o, "accept_failed", k.accept_failed);
		set_int(o, "pool_empty", k.pool_empty);
		set_int(o, "reads", k.reads);
		set_int(o, "writes", k.writes);
		set_int(o, "rx_bytes", k.rx_bytes);
		set_int(o, "tx_bytes", k.tx_bytes);
	}
	json_object_set_new(result, "kernel", o);
}

static void add_amqp(struct data_core *d, json_t *result)
{
	const struct amqp091_counters *k = amqp091_server_counters(d->amqp091);
	json_t *o = json_object();

#define X(name, text) set_int(o, #name, k->name);
	AMQP091_COUNTERS(X)
#undef X
	json_object_set_new(result, "amqp", o);
	set_int(result, "connections", amqp091_server_conn_count(d->amqp091));
}

static void add_broker(struct data_core *d, json_t *result)
{
	struct broker_core_stats b;
	const struct broker_core_counters *counters = broker_core_counters(d->core);
	json_t *o = json_object();

	broker_core_stats(d->core, &b);
	set_int(o, "published", b.published);
	set_int(o, "routed", b.routed);
	set_int(o, "route_hits", b.route_hits);
	set_int(o, "unroutable", b.unroutable);
	set_int(o, "delivered", b.delivered);
	set_int(o, "acked", b.acked);
	set_int(o, "requeued", b.requeued);
	set_int(o, "dropped", b.dropped);
	set_int(o, "expired", b.expired);
	set_int(o, "dropped_length", b.dropped_length);
	set_int(o, "refused", b.refused);
	set_int(o, "returned_too_often", b.returned_too_often);
	set_int(o, "queues_expired", b.queues_expired);
	if (d->index == 0) { /* these are the whole broker's */
		set_int(o, "queues", b.queues);
		set_int(o, "exchanges", b.exchanges);
		set_int(o, "bindings", b.bindings);
		set_int(o, "consumers", b.consumers);
	}
	set_int(o, "messages_ready", b.messages_ready);
	set_int(o, "messages_unacked", b.messages_unacked);
	set_int(o, "messages_delayed", b.messages_delayed);
#define X(name, text) set_int(o, #name, counters->name);
	BROKER_CORE_COUNTERS(X)
#undef X
	json_object_set_new(result, "broker", o);
}

/* Of the whole broker. */
static void add_vhosts(struct data_core *d, json_t *result)
{
	json_t *all = json_array();
	struct vhost_stats v;

	for (uint32_t i = 0; vhost_stats(broker_core_broker(d->core), i, &v); i++) {
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(v.name));
		set_int(o, "exchanges", v.exchanges);
		set_int(o, "queues", v.queues);
		set_int(o, "connections", v.connections);
		json_array_append_new(all, o);
	}
	json_object_set_new(result, "vhosts", all);
}

static void on_core(void *arg)
{
	struct snapshot *s = arg;
	struct data_core *d = s->core;

	s->result = json_object();
	add_core(d, &d->in->config, s->result);
	add_tcp(d, &d->in->config, s->result);
	add_kernel(d, s->result);
	add_amqp(d, s->result);
	add_broker(d, s->result);
	if (d->index == 0)
		add_vhosts(d, s->result);
	add_pools(d, s->result);
}

static void add_addresses(json_t *o, const struct config_port *p)
{
	json_t *all = json_array();
	char address[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 5];
	struct config_prefix a;

	for (uint32_t i = 0; config_port_address(p, i, &a); i++) {
		snprintf(text, sizeof(text), "%s/%u", config_address_text(&a.address, address), a.bits);
		json_array_append_new(all, json_string(text));
		if (i == 0)
			json_object_set_new(o, "address", json_string(text));
	}
	json_object_set_new(o, "addresses", all);
	set_int(o, "vlan", p->vlan);
}

/* As of the last reading: nothing here asks a device. */
static void add_device(json_t *o, const struct device_view *v)
{
	json_object_set_new(o, "link_up", json_boolean(v->link.up));
	if (v->link.speed_mbps)
		set_int(o, "link_mbps", v->link.speed_mbps);
	if (!v->counted)
		return;
	set_int(o, "device_rx_frames", v->counters.rx_frames);
	set_int(o, "device_rx_bytes", v->counters.rx_bytes);
	set_int(o, "device_tx_frames", v->counters.tx_frames);
	set_int(o, "device_tx_bytes", v->counters.tx_bytes);
	set_int(o, "device_rx_missed", v->counters.rx_missed);
	set_int(o, "device_rx_no_buffer", v->counters.rx_no_buffer);
	set_int(o, "device_rx_errors", v->counters.rx_errors);
	set_int(o, "device_tx_errors", v->counters.tx_errors);
}

static void add_port(
	json_t *ports, const struct config_port *p, struct port *port, const struct device_view *v)
{
	const struct port_info *info = port_info(port);
	struct port_counters k;
	json_t *o = json_object();
	char text[32];

	port_counters(port, &k);
	json_object_set_new(o, "name", json_string(p->name));
	json_object_set_new(o, "device", json_string(info->device));
	json_object_set_new(o, "driver", json_string(info->driver));
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", info->mac[0], info->mac[1],
		info->mac[2], info->mac[3], info->mac[4], info->mac[5]);
	json_object_set_new(o, "mac", json_string(text));
	add_addresses(o, p);
	set_int(o, "mtu", info->mtu);
	add_device(o, v);
	set_int(o, "rx_frames", k.rx_frames);
	set_int(o, "rx_bytes", k.rx_bytes);
	set_int(o, "tx_frames", k.tx_frames);
	set_int(o, "tx_bytes", k.tx_bytes);
	set_int(o, "tx_refused", k.tx_refused);
	set_int(o, "tx_stuck", k.tx_stuck);
	set_int(o, "tx_too_long", k.tx_too_long);
	set_int(o, "tx_segmented", k.tx_segmented);
	set_int(o, "device_queues", info->device_queues);
	set_int(o, "spread_given", k.spread_given);
	set_int(o, "spread_full", k.spread_full);
	set_int(o, "spread_copy_none", k.spread_copy_none);
	json_array_append_new(ports, o);
}

static void add_listeners(const struct instance *in, json_t *result)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < in->config.listener_count; i++) {
		const struct config_listener *l = &in->config.listeners[i];
		char text[INET6_ADDRSTRLEN];
		json_t *o = json_object();
		json_object_set_new(o, "name", json_string(l->name));
		json_object_set_new(o, "transport",
			json_string(l->transport == CONFIG_TRANSPORT_BYPASS ? "bypass" : "kernel"));
		json_object_set_new(o, "address", json_string(config_address_text(&l->address, text)));
		set_int(o, "tcp_port", l->tcp_port);
		json_object_set_new(o, "open", json_boolean(in->listeners[i].open));
		json_array_append_new(all, o);
	}
	json_object_set_new(result, "listeners", all);
}

static void add_process(const struct instance *in, json_t *result)
{
	json_object_set_new(result, "product", json_string("Godwit"));
	json_object_set_new(result, "version", json_string(GODWIT_VERSION));
	set_int(result, "pid", (uint64_t)getpid());
	set_int(result, "uptime_s", (clock_now_us() - in->started_us) / 1000000);
	json_object_set_new(result, "user", json_string(in->user));
	json_object_set_new(result, "hugepages", json_boolean(in->hugepages));
	if (in->heap) {
		struct dpdk_heap_stats h = dpdk_heap_stats();
		json_t *o = json_object();
		set_int(o, "bytes", h.bytes);
		set_int(o, "used_bytes", h.used_bytes);
		set_int(o, "largest_free_bytes", h.largest_free_bytes);
		json_object_set_new(result, "heap", o);
	}
	set_int(result, "memory_mb", MEMORY_EAL_MB + in->memory_mb + (in->config.memory.message_bytes >> 20));
	json_object_set_new(result, "config", json_string(in->config.path));
	set_int(result, "log_dropped", log_dropped());
	json_object_set_new(result, "persistence",
		json_string(
			in->config.persistent == CONFIG_PERSISTENT_REFUSE
				? "none: durable queues are kept in memory only, persistent messages are "
				  "refused"
				: "none: durable queues and persistent messages are kept in memory only"));
}

/* What one core says of itself; NULL where it does not answer. */
static json_t *ask_core(struct data_core *d)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->core = d;
	int code = calls_run(d->calls, on_core, s, STATUS_TIMEOUT_MS);
	if (code == -ETIMEDOUT)
		return NULL; /* it may still come to it: what it will write to stays */
	json_t *result = code == 0 ? s->result : NULL;
	free(s);
	return result;
}

/* Of all cores: the sum of what they say, and what each says of itself in "cores". */
static json_t *ask_cores(struct instance *in, char *error, size_t error_bytes)
{
	json_t *sum = json_object(), *cores = json_array();

	for (unsigned i = 0; i < in->core_count; i++) {
		json_t *one = ask_core(&in->cores[i]);
		if (!one) {
			json_decref(sum);
			json_decref(cores);
			snprintf(error, error_bytes, "data core %u did not answer within %d ms", i,
				STATUS_TIMEOUT_MS);
			return NULL;
		}
		json_array_append(cores, json_object_get(one, "core"));
		json_object_del(one, "core");
		merge_json(sum, one);
		json_decref(one);
	}
	json_object_set_new(sum, "cores", cores);
	return sum;
}

json_t *status_handler(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	struct instance *in = ctx;
	json_t *result = ask_cores(in, error, error_bytes);

	(void)arguments;
	if (!result)
		return NULL;
	json_t *ports = json_array();
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (in->ports[i])
			add_port(ports, &in->config.ports[i], in->ports[i], &in->devices[i]);
	}
	json_object_set_new(result, "ports", ports);
	add_listeners(in, result);
	add_process(in, result);
	return result;
}
