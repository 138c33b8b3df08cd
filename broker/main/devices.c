/* SPDX-License-Identifier: Apache-2.0 */
/* What the devices themselves tell: counters and link, read every few seconds, and what they want, here on
 * the control thread. A reading of an 82599 is some hundred reads over PCI, which no data core may wait for;
 * its counters of octets have 36 bits and go round after 55 s at 10 Gbit/s, and its driver adds up what it
 * reads. */
#include "broker/main/instance.h"
#include "runtime/log.h"

#include <string.h>
#include <urcu/compiler.h>

enum { RESTING_PERIOD_US = 50000 };

static void say_link(const char *name, struct port_link now)
{
	if (!now.up)
		LOG_WARN("port", "%s: the link is down", name);
	else if (now.speed_mbps)
		LOG_INFO("port", "%s: the link is up, %u Mbit/s", name, now.speed_mbps);
	else
		LOG_INFO("port", "%s: the link is up", name);
}

static void say_missed(
	const char *name, const struct port_device_counters *before, const struct port_device_counters *now)
{
	uint64_t missed = now->rx_missed - before->rx_missed, none = now->rx_no_buffer - before->rx_no_buffer;

	if (missed || none)
		LOG_WARN("port",
			"%s: %llu frames were lost for want of a free descriptor, %llu for want of a buffer: "
			"a core is too "
			"slow, or rx_descriptors or memory.buffers too small",
			name, (unsigned long long)missed, (unsigned long long)none);
}

static void on_left(struct reclaim_node *n)
{
	struct device_view *v = caa_container_of(n, struct device_view, grace);

	__atomic_store_n(&v->state, DEVICE_IS_LEFT, __ATOMIC_RELEASE);
}

static void restart(struct device_view *v, const char *name, struct port *p)
{
	int rc = port_restart(p);

	if (rc) {
		LOG_WARN("port", "%s: it cannot be set up anew yet: %s", name, strerror(-rc));
		return;
	}
	LOG_INFO("port", "%s: it is set up anew", name);
	v->state = DEVICE_RUNS;
	port_rest(p, false);
}

/* Begins or ends what a device wants. */
static void restart_step(struct device_view *v, const char *name, struct port *p)
{
	switch (__atomic_load_n(&v->state, __ATOMIC_ACQUIRE)) {
	case DEVICE_RUNS:
		if (!port_wants_restart(p))
			return;
		LOG_WARN("port", "%s: its host has reset it, it has to be set up anew", name);
		v->state = DEVICE_RESTS;
		port_rest(p, true);
		reclaim_defer(&v->grace, on_left);
		return;
	case DEVICE_RESTS:
		return;
	case DEVICE_IS_LEFT:
		restart(v, name, p);
	}
}

static void look(struct device_view *v, const char *name, struct port *p, bool first)
{
	restart_step(v, name, p);

	struct port_link link = port_link(p);
	struct port_device_counters counters;

	if (first ? !link.up : link.up != v->link.up)
		say_link(name, link);
	v->link = link;
	v->counted = port_device_counters(p, &counters) == 0;
	if (v->counted && !first)
		say_missed(name, &v->counters, &counters);
	v->counters = counters;
}

/* Returns when to look again. */
static uint64_t look_at_all(struct instance *in, bool first, uint64_t now_us)
{
	uint64_t period_us = DEVICES_PERIOD_US;

	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		if (!in->ports[i])
			continue;
		look(&in->devices[i], in->config.ports[i].name, in->ports[i], first);
		if (in->devices[i].state == DEVICE_RESTS)
			period_us = RESTING_PERIOD_US;
	}
	return now_us + period_us;
}

void devices_begin(struct instance *in, uint64_t now_us)
{
	in->devices_next_us = look_at_all(in, true, now_us);
}

int devices_wait_ms(const struct instance *in, uint64_t now_us)
{
	/* Rounded up, or the last millisecond would be spun through. */
	return in->devices_next_us > now_us ? (int)((in->devices_next_us - now_us + 999) / 1000) : 0;
}

void devices_look(struct instance *in, uint64_t now_us)
{
	if (now_us < in->devices_next_us)
		return;
	in->devices_next_us = look_at_all(in, false, now_us);
}
