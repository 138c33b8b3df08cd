/* SPDX-License-Identifier: Apache-2.0 */
/* What port.c (the path of frames), port_carry.c (sending by another core's queue) and port_open.c (making
 * and unmaking a port) share. */
#ifndef DPDK_PORT_PORT_PRIVATE_H
#define DPDK_PORT_PORT_PRIVATE_H

#include "dpdk_port/port.h"
#include "dpdk_port/port_signal.h"
#include "dpdk_port/port_spread.h"
#include "runtime/ring.h"

#include <rte_branch_prediction.h>
#include <rte_common.h>

struct dpdk_driver;

/* One core's end of the port; on cache lines of its own. */
struct port_queue {
	struct port_counters counters;
	uint64_t stuck_since_us; /* first flush at which the device took nothing; 0: it takes */
	uint16_t waiting_first, waiting_count;
	bool progressed; /* the device took a frame since the last flush */
	bool rx_more;
	bool carry_told;     /* false: frames were put into carry that nobody was told of */
	struct ring *carry;  /* to send where the device has no queue for this core; NULL: it has one */
	uint64_t carry_left; /* of those who have put frames there for us: whose rings may hold more */
	void (*wake)(void *ctx);
	void *wake_ctx;
	int rx_fd;     /* what is waited on, and ... */
	int device_fd; /* the driver's, where that changes: within the other one */
	struct rte_mempool *rx_pool;
	struct rte_mbuf *waiting[PORT_TX_WAITING];
	/* Set by other cores: a bit for each that has put frames to be sent into its carry. */
	uint64_t carry_pending __rte_cache_aligned;
} __rte_cache_aligned;

struct port {
	uint16_t id; /* ethdev's */
	bool arms_rx, disarms_rx;
	port_signal_handler rx_kick; /* to be called before each read, or NULL; see port_signal.h */
	int signal;
	uint32_t frame_bytes_max;
	bool opened, started, is_vdev;
	bool resting; /* no core touches the device, but those in the midst of a turn */
	bool restart_wanted;
	uint8_t groups[PORT_GROUPS_MAX][PORT_MAC_BYTES]; /* that a VF has listed */
	unsigned group_count;
	char vdev[64]; /* name without arguments */
	const struct dpdk_driver *driver;
	struct port_info info;
	struct port_spread *spread; /* NULL: one core */
	struct port_queue queue[];
};

static inline bool port_rests(const struct port *p)
{
	return unlikely(__atomic_load_n(&p->resting, __ATOMIC_ACQUIRE));
}

/* port_wait.c: on the started device; before it is stopped for good; after it was set up anew (0 or -errno).
 */
void port_wait_begin(struct port *p);
void port_wait_end(struct port *p);
int port_wait_renew(struct port *p);

/* port_restart.c */
int port_restart_watch(struct port *p); /* 0 or the driver's -errno */
void port_restart_unwatch(struct port *p);
/* port.c */
int port_groups_restore(struct port *p);

/* port_carry.c. Queues beyond the device's send by the queue that carries for them. */
int port_carry_init(struct port *p); /* 0 or -ENOMEM */
void port_carry_fini(struct port *p);
/* Into queue's ring: returns how many found room. */
unsigned port_carry_push(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n);
/* Once a burst: whoever carries for this queue is told, if there is something. */
void port_carry_tell(struct port *p, unsigned queue);
/* Up to n frames that others gave to queue to be sent. */
unsigned port_carry_pop(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n);

#endif
