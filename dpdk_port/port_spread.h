/* SPDX-License-Identifier: Apache-2.0 */
/* How the frames of a port reach the cores that they belong to, whatever the device does with them.
 *
 * A frame belongs to the core that a hash of its connection names: Toeplitz, through a table of entries that
 * a device's own table is filled like. Where the device spreads by the same hash, a frame arrives where it
 * belongs; where it has fewer queues than there are cores, hashes by something else or not at all, the core
 * that finds a frame in its queue puts it into the ring of the core that owns it. What the device says is
 * never believed: each frame is looked at, which costs less than one that went astray. Frames of one
 * connection that come through one queue stay in order.
 *
 * Rings are single-producer and single-consumer, bounded, one for each ordered pair of cores. Full: the frame
 * is dropped and counted, as a device drops one that it has no descriptor for. */
#ifndef DPDK_PORT_PORT_SPREAD_H
#define DPDK_PORT_PORT_SPREAD_H

#include "dpdk_port/port_class.h"

enum {
	PORT_SPREAD_CORES_MAX = 64,
	PORT_SPREAD_ENTRIES_MAX = 512,
	PORT_SPREAD_BURST = 32,
};

struct port_spread;

struct port_spread_config {
	unsigned cores;		  /* 2 to PORT_SPREAD_CORES_MAX */
	unsigned entries;	  /* of the table, a power of two up to PORT_SPREAD_ENTRIES_MAX */
	const uint8_t *key;	  /* TOEPLITZ_KEY_BYTES; copied */
	struct rte_mempool *pool; /* for the copies of frames that concern all cores; borrowed */
};

/* Of one core. */
struct port_spread_counters {
	uint64_t given;	    /* frames put into other cores' rings, copies among them */
	uint64_t full;	    /* frames dropped, or not copied, because a ring was full */
	uint64_t copy_none; /* copies that found no buffer */
};

/* NULL without memory. Main thread. */
struct port_spread *port_spread_create(const struct port_spread_config *config);
/* Frees the frames that are still in the rings. No core may use it any more. */
void port_spread_destroy(struct port_spread *s);

/* Called once a burst for each core that was given frames, on the giving core. Main thread, before the cores
 * run. */
void port_spread_set_wake(struct port_spread *s, unsigned core, void (*wake)(void *ctx), void *ctx);

/* The core of a table entry: entries are dealt out in turn. */
unsigned port_spread_entry(const struct port_spread *s, unsigned entry);

/* The core to which frames of a connection come. Addresses of 4 or 16 bytes and ports as they stand in a
 * packet that the peer sends: its own first. Any thread. */
unsigned port_spread_owner(
	const struct port_spread *s, bool v6, const uint8_t *addresses, const uint8_t *ports);

/* n (at most PORT_SPREAD_BURST) received frames: those of core stay, in order, at the front of frames, and
 * their number is returned; the others have gone to their cores. On core. */
unsigned port_spread_sort(struct port_spread *s, unsigned core, struct rte_mbuf **frames, unsigned n);

/* Up to n frames that other cores have given to core. On core. A load where there is nothing. */
unsigned port_spread_take(struct port_spread *s, unsigned core, struct rte_mbuf **frames, unsigned n);

/* Gives one frame, which is taken over, to the core that it belongs to. True; false where that is core
 * itself, and then the frame stays the caller's. On core. */
bool port_spread_hand_over(struct port_spread *s, unsigned core, struct rte_mbuf *m);

/* Whether a frame is a copy, or was handed over: another core has seen it, or its parts, come in. */
bool port_spread_seen(const struct port_spread *s, const struct rte_mbuf *m);

/* A snapshot, any thread. */
struct port_spread_counters port_spread_counters(const struct port_spread *s, unsigned core);
/* Frames that wait for core, and in how many its rings have room for. Any thread. */
unsigned port_spread_waiting(const struct port_spread *s, unsigned core);
unsigned port_spread_room(const struct port_spread *s);

/* The most frames that all rings into which `queues` of `cores` cores put received frames hold at once: what
 * a pool of received frames must have on top. */
unsigned port_spread_frames_max(unsigned cores, unsigned queues);

#endif
