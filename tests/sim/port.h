/* SPDX-License-Identifier: Apache-2.0 */
/* A host's port: the work that it does for the stack, and how long it keeps what it sends. */
#ifndef TESTS_SIM_PORT_H
#define TESTS_SIM_PORT_H

#include <rte_mbuf.h>
#include <stdint.h>

#include "tests/sim/random.h"

enum { SIM_PORT_HELD_MAX = 64 };

struct sim_net;
struct sim_port {
	struct sim_net *net;
	unsigned host;
	uint32_t offload_flags; /* enum stack_offload: what the stack asks for */
	/* A driver gives sent frames back late: so many wait. */
	unsigned held_max, held_next;
	struct rte_mbuf *held[SIM_PORT_HELD_MAX];
};

/* A frame of the stack's: out is called for each that becomes of it on the wire, and borrows it. pool is
 * where copies come from: one at a time. */
void sim_port_send_take(struct sim_port *p, struct rte_mbuf *f, struct rte_mempool *pool,
	void (*out)(struct sim_port *p, struct rte_mbuf *f));
/* Gives back what waits. */
void sim_port_clear(struct sim_port *p);
/* Says of a received frame what a port that looks at checksums does; now and then it has not looked. */
void sim_port_received(struct sim_port *p, struct rte_mbuf *f, struct sim_random *dice);

#endif
