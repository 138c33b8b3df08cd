/* SPDX-License-Identifier: Apache-2.0 */
/* A userspace TCP/IP stack as a library: Ethernet frames in, Ethernet frames out, the time passed in. It
 * knows no port, reads no clock, has no global state and takes no lock: one instance belongs to one core, and
 * every function here and in tcp.h runs on that core. Nothing is allocated from the system after
 * stack_create.
 *
 * A turn is: stack_input with what was received (application callbacks run at its end), whatever else the
 * application does, stack_output, stack_timers. Frames leave through the tx function during stack_output and
 * stack_timers, and earlier in bursts of STACK_BURST when many gather. Time is frozen for the length of one
 * call and never goes backwards. */
#ifndef TCPSTACK_STACK_H
#define TCPSTACK_STACK_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/pool.h"
#include "runtime/siphash.h"
#include "tcpstack/ip_addr.h"

struct stack;
struct tcp_cc;

enum { STACK_BURST = 32 };

/* What the port does for us. */
enum stack_offload {
	STACK_OFFLOAD_TX_IPV4_CKSUM = 1, /* fills the IPv4 header checksum of marked mbufs */
	STACK_OFFLOAD_TX_TCP_CKSUM = 2,	 /* fills the TCP checksum over the pseudo header's sum */
	STACK_OFFLOAD_RX_CKSUM = 4,  /* its RX_*_CKSUM_GOOD, _NONE, _BAD are believed; unknown is computed */
	STACK_OFFLOAD_MULTI_SEG = 8, /* sends mbufs of several segments */
	STACK_OFFLOAD_TX_TSO = 16,   /* cuts large TCP segments; needs TX_TCP_CKSUM and MULTI_SEG as well */
};

/* An address of ours and the prefix that is on its link. */
struct stack_address {
	struct ip_addr address;
	uint8_t prefix_bits; /* 0 to 32, 0 to 128 */
};
enum { STACK_ADDRESSES_MAX = 16 };

/* Explicit congestion notification (RFC 3168). */
enum stack_ecn {
	STACK_ECN_OFF,
	STACK_ECN_ACCEPT, /* where the peer asks for it */
	STACK_ECN_ON,	  /* active opens ask for it */
};

/* What becomes of a connection request when syn_backlog_max are half open. */
enum stack_syn_cookies {
	STACK_SYN_COOKIES_AUTO,	  /* it is answered with a cookie (RFC 4987 section 3.6) */
	STACK_SYN_COOKIES_ALWAYS, /* as every request is */
	STACK_SYN_COOKIES_NEVER,  /* it displaces the oldest one */
};

struct stack_config {
	uint8_t mac[6];
	struct stack_address
		addresses[STACK_ADDRESSES_MAX]; /* each once; the first of a version is its main one */
	unsigned address_count;			/* 1 to STACK_ADDRESSES_MAX */
	struct ip_addr gateway_v4, gateway_v6;	/* unspecified: none, only own prefixes are reached */
	uint16_t mtu;	    /* of IP packets, without Ethernet's header and tag; 576 (IPv6: 1280) to 9000 */
	uint16_t vlan;	    /* 1 to 4094: frames with this tag are taken and sent; 0: untagged ones */
	uint8_t arp_probes; /* RFC 5227's PROBE_NUM, 3; 0: addresses of IPv4 are used at once */
	uint8_t dad_transmits; /* RFC 4862's DupAddrDetectTransmits; 0: addresses of IPv6 are used at once */
	bool mld;	       /* tell switches and routers which groups of IPv6 we listen to (RFC 3810) */
	bool router_discovery; /* RFC 4861 section 6.3, for IPv6 while gateway_v6 is unspecified */
	uint32_t offload_flags;
	uint32_t tso_segments_max; /* buffers of a frame for STACK_OFFLOAD_TX_TSO; 2 or more, or none is made
				    */

	/* Headers and copies of payload come from here: each mbuf has room for mtu bytes behind
	 * RTE_PKTMBUF_HEADROOM. Borrowed for the stack's life; it may be shared by other users on this core
	 * and may run empty: then things are dropped, counted, and tried again later. */
	struct rte_mempool *tx_pool;

	uint32_t conn_max; /* connections; half-open and TIME_WAIT ones have pools of their own */
	uint32_t listener_max;
	uint32_t syn_backlog_max; /* half-open connections, each a small object of its own; see syn_cookies */
	uint32_t orphan_max;	  /* connections whose application is gone; beyond it the oldest is reset */
	uint32_t time_wait_max;	  /* beyond it the oldest ends early */
	uint32_t arp_max;	  /* neighbours of both versions of IP */
	/* Datagrams that arrive in fragments: how many are reassembled at once, 1 to 1024, and the bytes of
	 * the buffers that they may hold; one source has a quarter of both. */
	uint32_t frag_datagrams_max, frag_bytes_max;
	uint32_t tx_reserve;	  /* mbufs of tx_pool that queued data leaves to ACKs and other control; 0: an
				   * eighth, at most 256 */
	uint32_t tx_segments_max; /* segments queued in all connections; at most, and with 0:
				   * what tx_reserve leaves of tx_pool */
	uint32_t reass_segments_max;	  /* out-of-order segments held in all connections */
	uint32_t reass_conn_segments_max; /* and in one connection */
	uint32_t rx_buffers_max;  /* received buffers held in all connections, beside which the port's rings
				   * find enough; 0: no limit */
	uint32_t rx_buffer_bytes; /* per connection: the receive window; 2048 to 1 GiB */
	uint32_t tx_buffer_bytes; /* per connection: bytes queued and unacknowledged; 2048 to 1 GiB */

	uint32_t rto_us_initial, rto_us_min, rto_us_max; /* RFC 6298 */
	/* An ACK waits at most so long for data to ride on or a second full segment: a round trip, 40 ms
	 * where that is less, and no longer than this. 0: each turn's data is acknowledged in that turn. */
	uint32_t delayed_ack_us;
	uint8_t quick_acks; /* segments acknowledged at once at the start, after a loss and after a pause */
	uint32_t user_timeout_us;      /* without an answer this long a connection is given up */
	uint32_t connect_timeout_us;   /* an active open, all its SYNs together */
	uint32_t half_open_timeout_us; /* a passive open, all its SYN-ACKs together */
	uint32_t time_wait_us;	       /* 2 MSL */
	uint32_t fin_wait_2_us;	       /* FIN_WAIT_2 after the application has closed */
	uint64_t keepalive_us;	       /* idle time before the first probe; 0: off */
	uint32_t keepalive_interval_us, keepalive_probes;
	/* A neighbour that is used is asked again after this long; IPv6: where no router has told a
	 * reachable time. */
	uint32_t arp_lifetime_us;
	enum stack_syn_cookies syn_cookies;
	uint32_t challenge_acks_per_s;	  /* RFC 5961, all connections together */
	uint32_t challenge_interval_us;	  /* of one connection: an ACK for what carries no data */
	const struct tcp_cc *cc;	  /* congestion control: tcp_cc_by_name */
	uint32_t initial_window_segments; /* RFC 6928; 1 to 64 */
	enum stack_ecn ecn;
	bool sack; /* selective acknowledgements (RFC 2018) */
	bool timestamps,
		window_scaling; /* RFC 7323's options: offered, and taken where the peer offers them */

	struct siphash_key key;		  /* random at start, fixed in tests */
	const struct pool_memory *memory; /* NULL: the system's */
	bool long_way_only;		  /* no segment is predicted: for tests that compare */

	/* Takes ownership of all n frames (1 to STACK_BURST). Must not call back into the stack. */
	void (*tx)(void *ctx, struct rte_mbuf **frames_take, unsigned n);
	void *tx_ctx;

	/* The wire told a neighbour's address: for stack_neighbour_learn on the other cores that share our
	 * addresses, since the answer reaches one of them only. NULL: nobody is told. */
	void (*neighbour_learned)(void *ctx, const struct ip_addr *addr, const uint8_t mac[6]);
	void *neighbour_ctx;

	/* Several stacks on several cores may share one port's addresses: a connection's frames come to one
	 * of them, ARP and neighbour discovery to all. One of them speaks for the addresses; the others are
	 * passive: they answer nobody who asks for an address, test and announce none (and take them into use
	 * when the one that tests has certainly ended), ask for no router and report no groups, but learn
	 * from the same frames. */
	bool passive;
	/* Whether frames that a peer sends from there to here reach this stack. A connection that we open has
	 * a local port for which they do. NULL: all do. */
	bool (*owns)(void *ctx, const struct ip_addr *peer, uint16_t peer_port, const struct ip_addr *own,
		uint16_t own_port);
	/* A datagram that was put together from fragments, as one frame from its Ethernet header on: true,
	 * and it is taken over, where another stack owns what it is about. NULL: all is ours. Must not call
	 * back into the stack. */
	bool (*hand_over)(void *ctx, struct rte_mbuf *frame);
	void *cores_ctx; /* of these two */
};

/* Fills everything but mac, addresses, tx_pool, key and tx with defaults that suit a LAN. */
void stack_config_defaults(struct stack_config *config);

/* Adds an address of ours. False where there is no room. */
bool stack_config_add(struct stack_config *config, struct ip_addr address, uint8_t prefix_bits);

/* Copies config and takes all memory. Returns NULL where a value is out of its range or memory cannot be had.
 */
struct stack *stack_create(const struct stack_config *config, uint64_t now_us);

/* Ends at once: nothing is sent, no callback is made, every mbuf goes back to its pool. Not from a callback.
 */
void stack_destroy(struct stack *s);

/* Takes n received frames, processes them in order, then makes the callbacks that they led to. A frame starts
 * at its Ethernet header, without CRC; its protocol headers lie in its first segment, and its buffers are
 * ours alone. O(n). */
void stack_input(struct stack *s, struct rte_mbuf **frames_take, unsigned n, uint64_t now_us);

/* Makes outstanding callbacks, then sends what connections have queued, as few segments as possible, and the
 * acknowledgements that are due and did not ride on data. O(connections with something to do). */
void stack_output(struct stack *s, uint64_t now_us);

/* Fires at most budget timers and sends what they produce. Returns how many fired. */
unsigned stack_timers(struct stack *s, uint64_t now_us, unsigned budget);

/* The earliest time at which stack_output or stack_timers may have something to do: at or before the last
 * now_us when that is now, UINT64_MAX when never. */
uint64_t stack_next_us(const struct stack *s);

/* Tells the link our addresses (RFC 5227's announcement, once more two seconds later; unsolicited neighbour
 * advertisements) and tests those that are not in use yet; call it when the link comes up. 0 or -ENOBUFS.
 * Leaves with the next stack_output. */
int stack_announce(struct stack *s, uint64_t now_us);

/* Takes over what another core's stack was told (neighbour_learned): a known neighbour is brought up to date,
 * a new one noted while there is room. No callback is made of it. */
void stack_neighbour_learn(
	struct stack *s, const struct ip_addr *addr, const uint8_t mac[6], uint64_t now_us);

/* What became of the addresses: those of the configuration, and where one of them is of IPv6, a link-local
 * one made of the MAC (RFC 4291 appendix A: the MAC is configured and known on the link, so that RFC 7217
 * would hide nothing), unless the configuration has one. */
enum stack_address_state {
	STACK_ADDRESS_TENTATIVE, /* RFC 4862, RFC 5227: being tested, not used yet */
	STACK_ADDRESS_USED,
	STACK_ADDRESS_DUPLICATE, /* another station has it: unusable until stack_announce tests it again */
};
/* The address of index i; false when there are no more. */
bool stack_address_get(
	const struct stack *s, unsigned i, struct ip_addr *out, enum stack_address_state *state);

enum stack_counter {
#define COUNTER(name, severity, text) STACK_COUNTER_##name,
#include "tcpstack/counters.def"
#undef COUNTER
	STACK_COUNTERS
};

uint64_t stack_counter(const struct stack *s, enum stack_counter which);
const char *stack_counter_name(enum stack_counter which);
const char *stack_counter_severity(enum stack_counter which); /* "info", "notice" or "warn" */
const char *stack_counter_text(enum stack_counter which);

/* How much of each limit is in use. */
struct stack_usage {
	uint32_t conns, half_open, time_wait, listeners, neighbours, tx_segments, reass_segments;
	uint32_t rx_buffers, rx_buffers_high; /* held by connections, now and at most */
};
struct stack_usage stack_usage(const struct stack *s);

/* The pools behind the limits, one after the other: NULL from index on when there are no more. */
const struct pool *stack_pool(const struct stack *s, unsigned index);

#endif
