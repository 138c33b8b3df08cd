/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl stats`: where each core's time goes, and what is filling up. Everything is read from here, on
 * the control thread: no core notices. */
#include "broker/main/instance.h"

#include <stdio.h>

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

/* A duration, to the nanosecond. */
static void set_us(json_t *o, const char *key, uint64_t ticks, double per_us)
{
	json_object_set_new(o, key, json_real((double)(int64_t)((double)ticks / per_us * 1000) / 1000));
}

static void set_percent(json_t *o, const char *key, uint64_t part, uint64_t all)
{
	json_object_set_new(o, key, json_real(all ? (double)(part * 10000 / all) / 100 : 0));
}

static json_t *row_of(const struct data_core *d)
{
	json_t *o = json_object();

	set_int(o, "core", d->index);
	return o;
}

static void add_core(json_t *rows, const struct data_core *d, double per_us)
{
	struct turn_stats t = turn_stats(&d->turn);
	json_t *o = row_of(d);

	json_object_set_new(o, "cpu",
		d->in->config.lcores_auto ? json_string("any")
					  : json_integer(d->in->config.lcores[d->index]));
	set_int(o, "turns", t.turns);
	set_int(o, "turns_busy", t.turns_busy);
	set_percent(o, "busy_percent", t.ticks_busy, turn_ticks() - d->turn.began_ticks);
	set_int(o, "sleeps", t.sleeps);
	set_int(o, "wakeups", t.wakeups);
	set_int(o, "gaps", t.gaps);
	set_int(o, "gap_us", t.gap_us);
	set_int(o, "gap_max_us", t.gap_us_max);
	set_us(o, "turn_max_us", t.ticks_max, per_us);
	json_object_set_new(o, "turn_max_by", t.ticks_max_name ? json_string(t.ticks_max_name) : json_null());
	set_us(o, "turn_max_by_us", t.ticks_max_source, per_us);
	json_array_append_new(rows, o);
}

static void add_sources(json_t *rows, const struct data_core *d, double per_us)
{
	struct turn_source_stats s;
	uint64_t turns = turn_stats(&d->turn).turns;

	for (unsigned i = 0; turn_source_stats(&d->turn, i, &s); i++) {
		json_t *o = row_of(d);
		json_object_set_new(o, "source", json_string(s.name));
		set_int(o, "polls_busy", s.polls_busy);
		set_int(o, "poll_ticks", s.poll_ticks);
		set_int(o, "flush_ticks", s.flush_ticks);
		set_int(o, "ticks_a_turn", turns ? (s.poll_ticks + s.flush_ticks) / turns : 0);
		set_us(o, "max_us", s.ticks_max, per_us);
		json_array_append_new(rows, o);
	}
}

static void add_ring(json_t *rows, const struct data_core *d, const char *name, const struct port *p)
{
	json_t *o = row_of(d);
	struct port_counters k;

	port_queue_counters(p, d->index, &k);
	json_object_set_new(o, "port", json_string(name));
	set_int(o, "used", port_ring_used(p, d->index));
	set_int(o, "room", port_ring_room(p));
	set_int(o, "given", k.spread_given);
	set_int(o, "full", k.spread_full);
	json_array_append_new(rows, o);
}

/* low_water: the fewest that were ever free. */
static void add_pool(json_t *rows, const struct data_core *d, const struct pool *p)
{
	struct pool_stats s = pool_stats(p);
	json_t *o = row_of(d);

	json_object_set_new(o, "pool", json_string(pool_name(p)));
	set_int(o, "capacity", s.capacity);
	set_int(o, "used", s.used);
	set_int(o, "low_water", s.capacity - s.used_max);
	set_int(o, "exhausted", s.exhausted);
	json_array_append_new(rows, o);
}

static void add_named_pools(
	json_t *rows, const struct data_core *d, const struct pool_stats *s, const char **names, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		json_t *o = row_of(d);
		json_object_set_new(o, "pool", json_string(names[i]));
		set_int(o, "capacity", s[i].capacity);
		set_int(o, "used", s[i].used);
		set_int(o, "low_water", s[i].capacity - s[i].used_max);
		set_int(o, "exhausted", s[i].exhausted);
		json_array_append_new(rows, o);
	}
}

static void add_turnaround(
	json_t *result, const struct data_core *d, const char *port, const struct bypass *b, double per_us)
{
	struct histogram h;
	uint64_t total = histogram_read(bypass_turnaround(b), &h);
	json_t *o = row_of(d);

	json_object_set_new(o, "port", json_string(port));
	set_int(o, "count", total);
	set_us(o, "p50_us", histogram_quantile(&h, total, 0.5), per_us);
	set_us(o, "p90_us", histogram_quantile(&h, total, 0.9), per_us);
	set_us(o, "p99_us", histogram_quantile(&h, total, 0.99), per_us);
	set_us(o, "p999_us", histogram_quantile(&h, total, 0.999), per_us);
	set_us(o, "max_us", histogram_quantile(&h, total, 1), per_us);
	json_array_append_new(json_object_get(result, "rx_to_tx"), o);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h.count[i] == 0)
			continue;
		json_t *bucket = row_of(d);
		json_object_set_new(bucket, "port", json_string(port));
		set_int(bucket, "bucket", i);
		set_us(bucket, "from_us", histogram_from(i), per_us);
		set_us(bucket, "to_us", histogram_from(i + 1), per_us);
		set_int(bucket, "count", h.count[i]);
		json_array_append_new(json_object_get(result, "rx_to_tx_buckets"), bucket);
	}
}

static void add_ports(json_t *result, const struct data_core *d, double per_us)
{
	const struct pool *p;

	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (!d->bypass[i])
			continue;
		const char *name = d->in->config.ports[i].name;
		if (d->in->core_count > 1)
			add_ring(json_object_get(result, "rings"), d, name, d->in->ports[i]);
		for (unsigned k = 0; (p = stack_pool(bypass_stack(d->bypass[i]), k)); k++)
			add_pool(json_object_get(result, "pools"), d, p);
		add_turnaround(result, d, name, d->bypass[i], per_us);
	}
}

json_t *stats_handler(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	static const char *const tables[] = {
		"cores", "sources", "rings", "pools", "rx_to_tx", "rx_to_tx_buckets"};
	struct instance *in = ctx;
	json_t *result = json_object();

	(void)arguments;
	for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		json_object_set_new(result, tables[i], json_array());
	for (unsigned i = 0; i < in->core_count; i++) {
		const struct data_core *d = &in->cores[i];
		double per_us = turn_ticks_per_us(&d->turn);
		struct pool_stats stats[8];
		const char *names[8];
		add_core(json_object_get(result, "cores"), d, per_us);
		add_sources(json_object_get(result, "sources"), d, per_us);
		add_ports(result, d, per_us);
		add_named_pools(json_object_get(result, "pools"), d, stats, names,
			amqp091_server_pools(d->amqp091, stats, names, 8));
		stats[0] = message_cache_names(broker_core_cache(d->core));
		names[0] = "names";
		add_named_pools(json_object_get(result, "pools"), d, stats, names, 1);
	}
	if (in->core_count)
		json_object_set_new(result, "ticks_a_us",
			json_integer((json_int_t)(turn_ticks_per_us(&in->cores[0].turn) + 0.5)));
	return result;
}
