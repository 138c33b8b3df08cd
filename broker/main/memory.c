/* SPDX-License-Identifier: Apache-2.0 */
/* The sums behind the memory that is taken at start. */
#include "broker/main/instance.h"
#include "broker/main/sizes.h"
#include "dpdk_port/hugepages.h"
#include "dpdk_port/port_pool.h"
#include "runtime/log.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { MB = 1 << 20 };

static uint64_t port_bytes(const struct config *c, const struct config_port *p)
{
	unsigned room = port_pool_room(p->mtu_bytes);

	/* received frames: what the configuration says, and at least what the rings need */
	uint64_t rx = port_pool_memory_bytes(sizes_rx_held(c) + sizes_ring_buffers(c, p), room);
	/* frames to be sent: headers, queued payload, what the transmit ring holds */
	uint64_t tx = port_pool_memory_bytes(sizes_tx_buffers(c) + sizes_ring_buffers(c, p), room);
	return (rx + tx) * c->lcore_count;
}

unsigned memory_pools_mb(const struct config *c, const bool *port_wanted)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < c->port_count; i++) {
		if (port_wanted[i])
			bytes += port_bytes(c, &c->ports[i]);
	}
	bytes += c->lcore_count *
		 port_pool_memory_bytes(sizes_of_core(c, c->memory.socket_buffers), SIZES_SOCKET_ROOM);
	return (unsigned)((bytes + 2 * MB - 1) / (2 * MB) * 2);
}

unsigned memory_messages_mb(const struct config *c)
{
	/* the tables: 16 and 64 bytes a block of 4096, below a twentieth; alignment of blocks and tables, and
	 * what the heap notes of them */
	uint64_t bytes = c->memory.message_bytes + c->memory.message_bytes / 20 + 2ull * HUGEPAGE_MB * MB;

	return (unsigned)((bytes + 2 * MB - 1) / (2 * MB) * 2);
}

void memory_lock(const struct instance *in)
{
	if (in->config.idle != CONFIG_IDLE_POLL || in->config.memory.lock == CONFIG_LOCK_OFF ||
		mlockall(MCL_CURRENT) == 0)
		return;
	LOG_WARN("core",
		"memory could not be locked (%s): a polling core will wait for each page that it meets for "
		"the first "
		"time; raise the limit (ulimit -l, LimitMEMLOCK=)",
		strerror(errno));
}
