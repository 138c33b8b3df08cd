/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's port, between rings in the place of a wire. */
#ifndef TESTS_WORLD_DOOR_H
#define TESTS_WORLD_DOOR_H

#include "dpdk_port/port.h"

#include <rte_ring.h>

enum { DOOR_CORES_MAX = 4 };

struct door {
	unsigned cores, queues;
	struct port *port;
	struct rte_ring *rx[DOOR_CORES_MAX], *tx[DOOR_CORES_MAX];
};

/* Once: the rings of every kind of port. */
void doors_prepare(void);
/* A port for so many cores (0: any number), open, by chance with a queue for each or one for all. */
struct door *door_open(unsigned cores);
/* Frees what is in its rings. */
void door_drain(struct door *d);
void door_close(struct door *d);
/* Frames that have reached the host go into the port. Returns how many. */
unsigned door_in(struct door *d);
/* What the port has sent goes to out. Returns how many. */
unsigned door_out(
	struct door *d, void (*out)(void *ctx, struct rte_mbuf **frames_take, unsigned n), void *ctx);
bool door_waits(const struct door *d, unsigned core); /* frames for its own queue */

#endif
