/* SPDX-License-Identifier: Apache-2.0 */
/* How many of each thing are made at start, derived from the configuration in one place. */
#ifndef BROKER_MAIN_SIZES_H
#define BROKER_MAIN_SIZES_H

#include "config/config.h"
#include "dpdk_port/port_pool.h"
#include "dpdk_port/port_spread.h"
#include "transport/transport.h"

enum {
	SIZES_SOCKET_ROOM = 8192, /* data room of a kernel socket's buffer */
	SIZES_CHANNELS_A_CONNECTION = 16,
	SIZES_CHANNELS_MIN = 16384,
	SIZES_NEIGHBOURS = 1024,
};

/* limits.* and memory.* are for the whole broker, and connections are spread over the cores by a hash: of
 * many each core has about its even share, of few one may by chance have several times that. So a core's
 * tables have room for twice the even share and 64, never more than all; what is not used costs address space
 * alone. All cores together could hold more than the limit: connections are counted together beside it
 * (amqp091_server_config's conns_all), and messages lie in one store for all. */
static inline uint32_t sizes_of_core(const struct config *c, uint64_t all)
{
	uint64_t share = (all + c->lcore_count - 1) / c->lcore_count * 2 + 64;

	return (uint32_t)(c->lcore_count == 1 || share > all ? all : share);
}

/* Received frames that a core's connections may hold (unread, out of order) at once: memory.buffers. */
static inline uint32_t sizes_rx_held(const struct config *c)
{
	return sizes_of_core(c, c->memory.buffers);
}

/* Frames queued or unacknowledged in a core's connections over a port: as many. A small write takes a buffer
 * of its own only where the one before has left, so this is counted in segments and not in bytes. */
static inline uint32_t sizes_tx_buffers(const struct config *c)
{
	return sizes_of_core(c, c->memory.buffers);
}

/* What a port's rings and caches hold on top, a core. */
static inline uint32_t sizes_ring_buffers(const struct config *c, const struct config_port *p)
{
	struct port_pool_need need = {
		.rings = 1,
		.ring_descriptors = p->rx_descriptors > p->tx_descriptors ? p->rx_descriptors
									  : p->tx_descriptors,
		.cores = 1,
	};

	return port_pool_size(&need) + port_spread_frames_max(c->lcore_count, 1);
}

/* Open channels of a core's connections: clients use a handful each; channel-max times connections would be
 * millions. */
static inline uint32_t sizes_channels(const struct config *c)
{
	uint64_t n = (uint64_t)sizes_of_core(c, c->limits.connections) * SIZES_CHANNELS_A_CONNECTION;

	if (n < SIZES_CHANNELS_MIN)
		n = SIZES_CHANNELS_MIN;
	return n > 1u << 24 ? 1u << 24 : (uint32_t)n;
}

/* Unacknowledged deliveries of a core. All messages there could be, unacknowledged at once, would take
 * several times their own memory in records: one for each KiB of message memory, and some fan-out. */
static inline uint32_t sizes_unacked(const struct config *c)
{
	uint64_t share = c->memory.message_bytes / 1024;
	uint64_t n = sizes_of_core(c, (share < c->limits.messages ? share : c->limits.messages) * 2);

	return n > 1u << 28 ? 1u << 28 : (uint32_t)n;
}

/* What each core is made with. */
struct sizes {
	uint32_t conns, channels, consumers, unacked;
	uint32_t calls; /* to queues of other cores: one a connection, and as many of those that have gone */
	uint32_t link_records; /* 0: as many as suit the number of cores */
	uint32_t tx_buffers, rx_held, reass_segments;
	uint32_t stack_conns; /* what has been accepted, and what is being closed */
	uint32_t syn_backlog, time_wait;
};

static inline struct sizes sizes_of(const struct config *c)
{
	uint32_t conns = sizes_of_core(c, c->limits.connections);

	return (struct sizes){
		.conns = conns,
		.channels = sizes_channels(c),
		.consumers = sizes_of_core(c, c->limits.consumers),
		.unacked = sizes_unacked(c),
		.calls = 2 * conns,
		.tx_buffers = sizes_tx_buffers(c),
		.rx_held = sizes_rx_held(c),
		.reass_segments = sizes_rx_held(c) / 4,
		.stack_conns = conns + conns / 4 + 1024,
		.syn_backlog = sizes_of_core(c, c->tcp.syn_backlog),
		.time_wait = sizes_of_core(c, c->tcp.time_wait_max),
	};
}

#endif
