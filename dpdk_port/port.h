/* SPDX-License-Identifier: Apache-2.0 */
/* One interface over any network port that DPDK has a driver for. A port has one queue for each core, to
 * receive from and to send by; a queue belongs to one core at a time, and so do its counters, its pool's
 * cache and what waits in it to be sent. Frames are rte_mbufs whole with their Ethernet header, without
 * checksum at the end.
 *
 * Several cores. A connection's frames come to the core that a hash of its ends names (port_owner), ARP and
 * neighbour discovery to all of them, everything else to the first. Where the device has a queue pair for
 * each core and hashes alike, that is the device's work; where it has fewer (a vdev, 16 of an 82599) or
 * spreads by its own lights, the cores that have its queues put the others' frames into rings
 * (port_spread.h). To send, a core without a queue pair uses a ring to one that has one. No caller need know
 * which.
 *
 * Sending. port_tx hands frames to the device; what the device's ring has no room for waits in the queue's
 * own small array (PORT_TX_WAITING frames), and what does not fit there either is refused: the caller keeps
 * it and stops producing until port_tx_flush says that the array is empty again. That is the back pressure;
 * nothing is lost by it. Only where the device takes nothing at all for PORT_TX_STUCK_US (no link, a dead
 * peer) are the waiting frames dropped, with a counter, so that their buffers come back; TCP sends again. */
#ifndef DPDK_PORT_PORT_H
#define DPDK_PORT_PORT_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PORT_BURST = 32,
	PORT_QUEUES_MAX = 64,
	PORT_TX_WAITING = 2 * PORT_BURST,
	PORT_TX_STUCK_US = 100000,
	PORT_MTU_MIN = 576,
	PORT_MTU_MAX = 9000,
	PORT_DESCRIPTORS_MAX = 4096,
	PORT_SEGMENTS_MAX = 40, /* buffers of one frame; ixgbe's limit is the lowest that we know */
	PORT_POOL_CACHE = 128,	/* buffers that a core keeps aside */
	PORT_MAC_BYTES = 6,
	PORT_GROUPS_MAX = 30,	 /* what a VF can tell its host */
	PORT_RSS_KEY_BYTES = 64, /* a device takes as many of them as it wants */
};

enum port_offload {
	PORT_RX_IPV4_CHECKSUM = 1u << 0,
	PORT_RX_TCP_CHECKSUM = 1u << 1,
	PORT_TX_IPV4_CHECKSUM = 1u << 2,
	PORT_TX_TCP_CHECKSUM = 1u << 3,
	PORT_TX_MULTI_SEGMENT = 1u << 4,   /* a frame may be sent from several buffers */
	PORT_TX_TSO = 1u << 5,		   /* cuts large segments; needs the two before it */
	PORT_OFFLOADS_ALL = (1u << 5) - 1, /* TSO is to be asked for by name: drivers do it in software too */
};

struct port_config {
	const char *device;	    /* PCI address that EAL was given, or a vdev: "net_tap0,iface=godwit0" */
	unsigned queues;	    /* one for each core, 1 to PORT_QUEUES_MAX */
	unsigned device_queues_max; /* of the device's, at most so many are used; 0: no limit */
	unsigned rx_descriptors, tx_descriptors; /* 0: what the driver prefers; else clamped to its limits */
	/* When the driver gives the device new buffers, looks for sent ones, and has it report; 0: its own.
	 */
	unsigned rx_free_threshold, tx_free_threshold, tx_rs_threshold;
	unsigned mtu;		     /* PORT_MTU_MIN to PORT_MTU_MAX; 0: 1500 */
	uint32_t offloads;	     /* enum port_offload: those to use where the device has them */
	unsigned rx_held;	     /* received buffers, a queue, that the layers above may keep at once */
	const int *nodes;	     /* NUMA node of each queue's core; NULL: any */
	const uint8_t *rss_key;	     /* PORT_RSS_KEY_BYTES that tests fix; NULL: random, as it has to be */
	uint8_t mac[PORT_MAC_BYTES]; /* all 0: the device's, or a derived one where the kernel uses that */
	bool wait_on_fd;	     /* prepare port_rx_fd (idle policies that sleep) */
};

struct port_info {
	char device[64], driver[32];
	uint8_t mac[PORT_MAC_BYTES];	    /* ours: source of what we send, destination of what we take */
	uint8_t device_mac[PORT_MAC_BYTES]; /* the device's; on a TAP the kernel side's */
	unsigned mtu;
	unsigned queues, rx_descriptors, tx_descriptors;
	unsigned device_queues;	  /* queue pairs of the device: the first so many queues have one each */
	unsigned tx_segments_max; /* buffers that a frame to be sent may consist of; 1 to PORT_SEGMENTS_MAX */
	unsigned rx_buffers;	  /* in the pool that all queues receive into */
	uint32_t offloads;	  /* in use; what is missing is to be done in software */
	uint32_t device_offloads; /* what the device could do */
	bool rss;		  /* the device spreads connections by our key and our table */
	bool promiscuous;	  /* on because the device cannot be told our MAC, or groups */
	bool groups;		  /* frames for every group of stations are taken */
	int node;
};

struct port_link {
	bool up;
	unsigned speed_mbps; /* 0: not known */
};

/* Of one queue, or summed over all. Counted by us, at the boundary to the device. */
struct port_counters {
	uint64_t rx_frames, rx_bytes;
	uint64_t tx_frames, tx_bytes;
	uint64_t tx_refused;	   /* frames that port_tx left with its caller, each time it did */
	uint64_t tx_stuck;	   /* dropped: the device took nothing for PORT_TX_STUCK_US */
	uint64_t tx_too_long;	   /* dropped: longer than the MTU allows */
	uint64_t tx_segmented;	   /* dropped: more buffers than info.tx_segments_max */
	uint64_t spread_given;	   /* given to other cores, copies among them */
	uint64_t spread_full;	   /* dropped: another core's ring was full */
	uint64_t spread_copy_none; /* copies for other cores that found no buffer */
};

/* As the device counts. */
struct port_device_counters {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_missed; /* no descriptor was free */
	uint64_t rx_errors, tx_errors;
	uint64_t rx_no_buffer; /* the pool was empty */
};

struct port;

/* Probes the device, negotiates offloads, makes a pool and the queues for each core and starts it. EAL must
 * run. On success *out is the port and the link may still be coming up. On failure everything is undone, and
 * error says what was wrong in a sentence without the device's name. 0, -EINVAL (config, refused by our own
 * checks), -ENODEV (no such device, or its driver gave up), -ENOMEM, or the driver's -errno. Control thread;
 * blocks for as long as the driver takes (a TAP 5 ms, a NIC up to seconds). */
int port_open(const struct port_config *config, struct port **out, char *error, size_t error_bytes);

/* Stops the port, frees what waits to be sent, closes the device and gives its pools back. No core may use it
 * any more, and every received buffer must have been freed. Control thread. NULL is allowed. */
void port_close(struct port *p);

const struct port_info *port_info(const struct port *p);

/* Takes up to n (1 to PORT_BURST) received frames; the caller owns them. Returns how many; with n below 4
 * there are drivers that return none (ixgbe's vector path looks at four descriptors at once). Only the
 * queue's core. Never blocks; a TAP costs a system call a frame. */
unsigned port_rx(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n);

/* Whether the last port_rx on this queue may have left frames behind although it returned fewer than were
 * asked for: the rest were other cores'. */
bool port_rx_more(const struct port *p, unsigned queue);

/* Whether the device has to be looked at for this queue's frames: false where other cores bring them, which
 * wake this one. */
bool port_rx_polled(const struct port *p, unsigned queue);

/* What is called, on any other core of the port, when frames have been put where this queue finds them: once
 * a burst. NULL: nothing. Main thread, before the cores run. */
void port_set_wake(struct port *p, unsigned queue, void (*wake)(void *ctx), void *ctx);

/* The queue to which a connection's frames come. Addresses of 4 or 16 bytes, ports as they stand in a packet
 * that the peer sends: its own address and port first. Any thread. */
unsigned port_owner(const struct port *p, bool v6, const uint8_t *addresses, const uint8_t *ports);

/* Gives a frame that this queue's core has put together (from fragments) to the core that it belongs to, and
 * then it is taken over, perhaps to be dropped with a counter. False: it is this core's own, and stays the
 * caller's. Only the queue's core. */
bool port_hand_over(struct port *p, unsigned queue, struct rte_mbuf *frame);

/* Whether another core has seen a received frame, or its fragments, come in before: a capture has it already.
 */
bool port_seen(const struct port *p, const struct rte_mbuf *frame);

/* Received frames that wait in rings for this queue, and how many its rings hold; of a port without rings 0.
 * Any thread. */
unsigned port_ring_used(const struct port *p, unsigned queue);
unsigned port_ring_room(const struct port *p);

/* Sends n frames in order (n at most PORT_BURST). Returns how many were taken: those belong to the port; the
 * caller keeps frames[taken..n-1]. A frame that can never be sent counts as taken and is dropped with a
 * counter. Only the queue's core. Never blocks. */
unsigned port_tx(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n);

/* Once a turn, last: hands waiting frames to the device; drops them when the device has been stuck too long.
 * now_us: the turn's clock. Returns how many still wait; 0 lets the caller produce again. */
unsigned port_tx_flush(struct port *p, unsigned queue, uint64_t now_us);

/* A descriptor that polls readable when frames wait in the queue, or -1 where the device has none (then sleep
 * shortly instead). It belongs to the port: wait on it, do not read it. Needs config.wait_on_fd. */
int port_rx_fd(struct port *p, unsigned queue);

/* Around a sleep on port_rx_fd: arm, look at the queue once more, sleep, disarm. No-ops where the descriptor
 * needs no arming. Only the queue's core. 0 or -errno of the driver. */
int port_rx_arm(struct port *p, unsigned queue);
void port_rx_disarm(struct port *p, unsigned queue);

/* The pool behind the receive rings, the same for all queues, also for buffers to send where a few are
 * needed. */
struct rte_mempool *port_rx_pool(struct port *p, unsigned queue);

/* Snapshots for the control thread; they never disturb the queue's core. */
void port_queue_counters(const struct port *p, unsigned queue, struct port_counters *out);
void port_counters(const struct port *p, struct port_counters *sum);

/* Reads the device (on ixgbe some hundred register reads): control thread, at most about once a second, but
 * at least every 50 s at 10 Gbit/s, before counters of 36 bits wrap (an 82598's have 32: every 3 s). 0 or
 * -errno. */
int port_device_counters(const struct port *p, struct port_device_counters *out);

/* Frames for groups of stations (multicast, which IPv6 finds its neighbours by) are received from now on, all
 * of them: how many groups a device filters by differs, and few pass a switch. Where a VF's host allows no
 * more, those listed: n MACs, up to PORT_GROUPS_MAX. Main thread, before the cores run. 0, or -errno of a
 * driver that can do neither this nor be promiscuous: one that filters nothing. */
int port_take_groups(struct port *p, const uint8_t (*groups)[PORT_MAC_BYTES], unsigned n);

/* Whether the device has asked to be set up anew: the host of a VF has reset the PF. Until that is done the
 * link may be up, but nothing comes or goes. Any thread. */
bool port_wants_restart(const struct port *p);

/* While it rests, cores that begin a turn leave the device alone: port_rx finds what other cores have for it,
 * port_tx refuses, what waits goes on waiting. Those in the midst of a turn are done after a grace period of
 * theirs (reclaim_defer). Control thread. */
void port_rest(struct port *p, bool on);

/* Sets the device up anew: as port_open did, and with the groups taken since. It rests, and a grace period is
 * over. Frames that the device had are lost. 0, or the driver's -errno: then it is still to rest, and wants
 * it again. Control thread; blocks for 0.1 s, for up to 3 s where the host does not answer. */
int port_restart(struct port *p);

/* The link as the driver knows it, without waiting. Control thread. */
struct port_link port_link(const struct port *p);

/* The locally administered MAC (02:...) that stands for an interface name: the same in each run and on each
 * machine, different from the kernel's own. */
void port_mac_derive(const char *interface, uint8_t mac[PORT_MAC_BYTES]);

#endif
