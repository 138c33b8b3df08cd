/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/wire.h"
#include "tests/world/client.h"
#include "tests/world/house_private.h"
#include "tests/world/world.h"

static void address_give(struct config_port *p)
{
	const struct stack_address *a = &house.net.addresses[0];
	struct config_address gateway = {.version = 6};

	if (ip_is_v4(&a->address)) {
		p->address = (struct config_ipv4_prefix){
			wire_get32(a->address.bytes + IP_V4_AT), a->prefix_bits};
		p->gateway = wire_get32(house.net.gateway_v4.bytes + IP_V4_AT);
		return;
	}
	p->addresses.count = 1;
	p->addresses.entry[0].address.version = 6;
	memcpy(p->addresses.entry[0].address.bytes, a->address.bytes, 16);
	p->addresses.entry[0].bits = a->prefix_bits;
	memcpy(gateway.bytes, house.net.gateway_v6.bytes, 16);
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
	*c = house.base;
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
static void sizes_choose(struct sizes *s, const struct config *c, bool wide)
{
	*s = sizes_of(c);
	s->conns = WORLD_ONE_OF(64, 64, 4);
	s->calls = 2 * s->conns;
	s->channels = WORLD_ONE_OF(200, 200, 8);
	s->consumers = wide ? 100 : WORLD_ONE_OF(300, 300, 12);
	s->unacked = WORLD_ONE_OF(8192, 8192, 64);
	s->link_records = WORLD_ONE_OF(0, 64, 8, 2);
	s->stack_conns = 128;
	s->syn_backlog = 64;
	s->time_wait = 64;
}

void shape_choose(struct config *c, struct sizes *s, unsigned cores, bool wide)
{
	config_choose(c, cores);
	sizes_choose(s, c, wide);
}
