/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/loop.h"

#include "dpdk_port/port_pool.h"
#include "runtime/clock.h"
#include "transport/bypass.h"
#include "transport/ksock.h"

#include <stdio.h>
#include <string.h>
#include <urcu/compiler.h>

enum {
	KSOCK_ROOM = 8192,
	RX_BUFFER_BYTES = 256 * 1024,
	IDLE_SPIN_US = 50,
	SPARE_BUFFERS = 1024,
	CONNS_FEW = 64,
	BUFFERS_OF_MANY = 8,
	RX_HELD = 8192,
	SEGMENT_BYTES = 1024, /* the least that a transmit buffer can be counted on to hold */
};

/* Each of a few connections may be as far ahead as it wants. Of many, most are not: a pool that is used up is
 * waited for. */
static unsigned buffer_count(const struct loop_config *c, bool on_port)
{
	unsigned few = c->conn_max < CONNS_FEW ? c->conn_max : (unsigned)CONNS_FEW;
	unsigned others = (c->conn_max - few) * BUFFERS_OF_MANY;

	if (on_port)
		return SPARE_BUFFERS * 4 + few * (c->buffer_bytes / SEGMENT_BYTES + 4) + others;
	return SPARE_BUFFERS + few * ((c->buffer_bytes + RX_BUFFER_BYTES) / KSOCK_ROOM + 4) + others;
}

static unsigned buffer_room(const struct loop_config *c)
{
	return c->port_or_null ? port_pool_room(port_info(c->port_or_null)->mtu) : (unsigned)KSOCK_ROOM;
}

uint64_t loop_memory_bytes(const struct loop_config *c, bool on_port)
{
	return port_pool_memory_bytes(
		buffer_count(c, on_port), on_port ? port_pool_room(c->mtu) : (unsigned)KSOCK_ROOM);
}

static unsigned first_poll(struct turn_source *s, uint64_t now_us)
{
	struct loop *l = caa_container_of(s, struct loop, first);

	l->config.begin(l);
	return 0;
}

static struct loop *loop_of(struct turn_source *s)
{
	return caa_container_of(s, struct loop, source);
}

static unsigned source_poll(struct turn_source *s, uint64_t now_us)
{
	struct loop *l = loop_of(s);

	l->now_us = now_us;
	return l->config.poll ? l->config.poll(l, now_us) : 0;
}

static uint64_t source_next_us(struct turn_source *s)
{
	struct loop *l = loop_of(s);

	return l->config.next_us ? l->config.next_us(l) : UINT64_MAX;
}

static int bypass_open(struct loop *l)
{
	const struct loop_config *c = &l->config;
	struct bypass_config bc = {.port = c->port_or_null,
		.queue = c->index,
		.sleeps = c->idle == TURN_IDLE_ADAPTIVE,
		.app = &client_transport_app};

	stack_config_defaults(&bc.stack);
	stack_config_add(&bc.stack, c->address, c->prefix_bits);
	/* The one who starts a test answers for its address, of IPv6 as of IPv4: it is used at once. */
	bc.stack.dad_transmits = 0;
	if (ip_is_v4(&c->gateway))
		bc.stack.gateway_v4 = c->gateway;
	else
		bc.stack.gateway_v6 = c->gateway;
	bc.stack.tx_pool = l->pool;
	bc.stack.conn_max = c->conn_max + 16;
	bc.stack.rx_buffers_max = RX_HELD;
	bc.stack.rx_buffer_bytes = RX_BUFFER_BYTES;
	bc.stack.tx_buffer_bytes = c->buffer_bytes;
	bc.stack.key = siphash_key_random();
	l->bypass = bypass_create(&bc, clock_now_us());
	return l->bypass ? turn_add(&l->turn, bypass_source(l->bypass)) : -ENOMEM;
}

static int ksock_open(struct loop *l)
{
	const struct loop_config *c = &l->config;
	struct ksock_config kc = {.pool = l->pool,
		.conn_max = c->conn_max,
		.rx_buffer_bytes = RX_BUFFER_BYTES,
		.tx_buffer_bytes = c->buffer_bytes,
		.app = &client_transport_app};

	l->ksock = ksock_create(&kc);
	return l->ksock ? turn_add(&l->turn, ksock_source(l->ksock)) : -errno;
}

int loop_open(struct loop *l, const struct loop_config *config, char *error, size_t room)
{
	char name[32];

	*l = (struct loop){.config = *config, .now_us = clock_now_us()};
	l->source = (struct turn_source){
		.name = "tool", .poll = source_poll, .next_us = source_next_us, .wake_fd = -1};
	int status = turn_init(&l->turn, config->idle, IDLE_SPIN_US);
	if (status) {
		snprintf(error, room, "the event loop cannot be set up: %s", strerror(-status));
		return -1;
	}
	snprintf(name, sizeof(name), "loop%u", config->index);
	l->pool = port_pool_create(
		name, buffer_count(config, config->port_or_null != NULL), buffer_room(config), -1);
	if (!l->pool) {
		snprintf(error, room, "no memory for packet buffers");
		loop_close(l);
		return -1;
	}
	l->first = (struct turn_source){.name = "begin", .poll = first_poll, .wake_fd = -1};
	status = config->begin ? turn_add(&l->turn, &l->first) : 0;
	if (status == 0)
		status = config->port_or_null ? bypass_open(l) : ksock_open(l);
	if (status == 0)
		status = turn_add(&l->turn, &l->source);
	if (status) {
		snprintf(error, room, "the transport cannot be set up: %s", strerror(-status));
		loop_close(l);
		loop_free(l);
		return -1;
	}
	return 0;
}

void loop_close(struct loop *l)
{
	turn_fini(&l->turn);
	if (l->bypass)
		bypass_destroy(l->bypass);
	if (l->ksock)
		ksock_destroy(l->ksock);
}

void loop_free(struct loop *l)
{
	rte_mempool_free(l->pool);
	l->pool = NULL;
}

void loop_connect(struct loop *l, struct client *c, const struct transport_address *to)
{
	struct transport_conn *conn;

	errno = ENOBUFS;
	if (l->bypass) {
		struct ip_addr a;
		if (to->family == 4)
			a = ip_v4(wire_get32(to->bytes));
		else
			a = ip_v6(to->bytes);
		conn = bypass_connect(l->bypass, &a, to->port, c, l->now_us);
	} else {
		conn = ksock_connect(l->ksock, to, c);
	}
	client_opening(c, conn);
	if (!conn) {
		char why[128];
		snprintf(why, sizeof(why), "cannot connect: %s", strerror(errno));
		client_fail(c, why);
	}
}
