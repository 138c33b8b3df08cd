/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel sockets over several cores: one core accepts and hands each connection to the core that has the
 * fewest, the next one in turn among equals. Listeners of their own on every core (SO_REUSEPORT) would spare
 * the hop, but the kernel spreads by a hash, and of few connections it likes to give one core several while
 * another has none. */
#ifndef TRANSPORT_KSOCK_SPREAD_H
#define TRANSPORT_KSOCK_SPREAD_H

#include "transport/transport.h"

#include <stdbool.h>
#include <stdint.h>

enum { KSOCK_SPREAD_CORES_MAX = 64, KSOCK_SPREAD_RING = 256 /* connections on their way to a core */ };

struct ksock_spread;

/* What travels. */
struct ksock_accepted {
	int fd;
	struct transport_address remote;
};

/* conn_max: connections on all cores together. Core 0 accepts. NULL without memory. Main thread. */
struct ksock_spread *ksock_spread_create(unsigned cores, uint32_t conn_max);
/* Closes what is on its way. After the cores have stopped. */
void ksock_spread_destroy(struct ksock_spread *s);

/* What is called on core 0 when a connection was handed to core, once a burst. Main thread, before they run.
 */
void ksock_spread_set_wake(struct ksock_spread *s, unsigned core, void (*wake)(void *ctx), void *ctx);

/* Core 0: the core that takes the next connection, 0 among them; -1: there are conn_max. */
int ksock_spread_pick(struct ksock_spread *s);
/* Core 0: on its way to core (not 0), which owns the descriptor from now on. False: its ring is full. */
bool ksock_spread_give(struct ksock_spread *s, unsigned core, const struct ksock_accepted *a);
/* Core 0, once a burst: wakes those that were given something. */
void ksock_spread_tell(struct ksock_spread *s);

/* On core: takes up to n; how many. */
unsigned ksock_spread_take(struct ksock_spread *s, unsigned core, struct ksock_accepted *out, unsigned n);
/* On core: whether something is on its way to it. */
bool ksock_spread_waiting(const struct ksock_spread *s, unsigned core);
/* On core: it has so many connections now. */
void ksock_spread_count(struct ksock_spread *s, unsigned core, uint32_t conns);

#endif
