/* SPDX-License-Identifier: Apache-2.0 */
/* What the library's files share and nobody outside sees. Functions named input take the frame over
 * (m_take); header pointers point into its first segment. */
#ifndef TCPSTACK_STACK_IMPL_H
#define TCPSTACK_STACK_IMPL_H

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <urcu/list.h>

#include "runtime/check.h"
#include "runtime/timer.h"
#include "runtime/wire.h"
#include "tcpstack/stack.h"

enum {
	ETH_HEADER_BYTES = 14,
	ETH_TAG_BYTES = 4,
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	ETH_TYPE_VLAN = 0x8100,
	ETH_TYPE_IPV6 = 0x86dd,
	ETH_VLAN_MASK = 0xfff,
	IPV4_HEADER_BYTES = 20,
	IPV6_HEADER_BYTES = 40,
	IPV6_MTU_MIN = 1280,
	IP_PROTOCOL_ICMP = 1,
	IP_PROTOCOL_TCP = 6,
	IP_PROTOCOL_ICMPV6 = 58,
	IPV4_TTL = 64,
	IPV6_HOP_LIMIT = 64,
	TIMER_TICK_US = 256,
	PORT_COUNTERS = 64, /* a power of two */
	TCP_TABLE_KEYS = 11,
};

/* What a received IP packet is to the protocol above. m's data starts at that protocol's header and ends with
 * the packet. */
struct ip_packet {
	struct ip_addr src, dst;
	uint32_t length; /* bytes behind the IP header */
	uint8_t ecn;	 /* enum ip_ecn */
	uint8_t hop_limit;
	bool fragmented; /* it came in pieces */
};

/* RFC 3168 section 5. */
enum ip_ecn { IP_ECN_NOT_ECT, IP_ECN_ECT1, IP_ECN_ECT0, IP_ECN_CE };

/* What a packet to be sent tells its IP header. */
struct ip_send {
	struct ip_addr src, dst;
	uint8_t protocol;
	uint8_t ecn;		   /* enum ip_ecn */
	uint8_t dscp;		   /* RFC 2474, 0 to 63 */
	uint8_t hop_limit;	   /* 0: the usual one */
	bool may_fragment;	   /* IPv4 without DF: routers may cut it up */
	uint32_t flow_label;	   /* of IPv6 (RFC 6437), 20 bits */
	uint64_t l4_offload_flags; /* mbuf TX flags wanted for the protocol above */
};

/* An address of ours as it is used. */
struct ip_own {
	struct ip_addr address;
	uint8_t prefix_bits;
	uint8_t state;	  /* enum stack_address_state */
	uint8_t dad_left; /* solicitations, or probes of ARP, still to be sent */
	uint8_t announces_left;
	bool defended; /* at defended_us */
	uint64_t defended_us;
	struct timer timer; /* of duplicate address detection; of IPv4's announcements as well */
	struct stack *stack;
};
enum { IP_OWN_MAX = STACK_ADDRESSES_MAX + 1 };

/* What routers told of the link (RFC 4861 section 5.1). */
enum { ND_ROUTERS_MAX = 4, ND_PREFIXES_MAX = 8 };
struct nd {
	struct {
		struct ip_addr addr;
		uint64_t until_us; /* 0: free */
	} routers[ND_ROUTERS_MAX];
	struct {
		struct ip_addr prefix;
		uint8_t bits;
		uint64_t until_us; /* 0: free */
	} prefixes[ND_PREFIXES_MAX];
	uint32_t reachable_us; /* 0: not told */
	uint32_t retrans_us;
	uint16_t mtu;
	uint8_t hop_limit;
	uint8_t solicits_left;
	uint8_t router_next; /* who is tried among those not known to answer */
	struct timer solicit_timer;
	struct timer mld_timer;
	uint8_t mld_left;	  /* reports that tell of a change, still to be sent */
	struct ip_addr mld_asked; /* the group of the outstanding query; unspecified: all */
	uint64_t mld_v1_until_us; /* a router of MLD's first version is about */
};

/* neighbour.c: who was found on the way to whom, last, by a hash of the latter; all are forgotten when a
 * neighbour goes. IPv4 alone: of IPv6 routers and prefixes come and go as well. */
struct neighbour_hop {
	struct ip_addr dst; /* unspecified: none */
	struct neighbour *neighbour;
};
enum { NEIGHBOUR_HOP_BITS = 9, NEIGHBOUR_HOPS = 1 << NEIGHBOUR_HOP_BITS };

/* pmtu.c: the largest packet that got through, or was said to, on the way to a destination. */
enum { PMTU_SETS = 64, PMTU_WAYS = 4 };
#define PMTU_US	       (600 * 1000000ull) /* RFC 1191 section 6.3, RFC 8899's PMTU_RAISE_TIMER */
#define PMTU_RAISED_US (120 * 1000000ull) /* the same section 3: after a larger one went well */
struct pmtu_entry {
	struct ip_addr dst;
	uint64_t until_us; /* 0: free */
	uint16_t mtu;
};

struct stack {
	struct stack_config config;
	uint64_t now_us; /* frozen for the current call */
	uint64_t mac;	 /* the configuration's, as a number */
	uint64_t random_count;
	struct ip_own own[IP_OWN_MAX];
	unsigned own_count;
	bool has_ipv6;
	uint64_t icmp_second; /* icmp_send.c: errors that may still leave in this second */
	uint32_t icmp_left;
	uint16_t ipv4_id; /* of the next packet that may be cut up */
	struct pmtu_entry pmtu[PMTU_SETS][PMTU_WAYS];
	uint32_t pmtu_lowered; /* so often one was: connections look at it before they send */
	uint64_t counters[STACK_COUNTERS];
	struct timer_wheel wheel;

	struct rte_mbuf *tx_burst[STACK_BURST];
	unsigned tx_count;

	/* neighbour.c */
	struct pool *neighbour_pool;
	struct neighbour_hop hops[NEIGHBOUR_HOPS];
	struct cds_list_head *neighbour_buckets;
	uint32_t neighbour_mask;
	struct cds_list_head neighbours_by_age;	   /* least recently confirmed first */
	struct cds_list_head neighbours_resolving; /* those without an address, oldest first */
	uint32_t neighbours_unsure;		   /* in use and not known to be there */
	uint32_t neighbour_pending, neighbour_pending_max;
	uint64_t solicit_second;
	uint32_t solicits_left;

	struct nd nd;

	/* frag.c */
	struct pool *frag_pool;
	struct cds_list_head frag_datagrams; /* oldest first */
	uint32_t frag_bytes;

	/* TCP: tables and pools */
	struct pool *conn_pool, *segment_pool, *reass_pool, *listener_pool;
	struct pool *request_pool, *time_wait_pool;
	struct cds_list_head *conn_buckets;
	uint64_t conn_key[TCP_TABLE_KEYS];
	uint64_t conn_key_v4[3]; /* of that, what is the same for all of IPv4 */
	uint32_t conn_shift;	 /* from a hash of 64 bits to a bucket */
	struct cds_list_head listeners;
	struct cds_list_head requests;	/* oldest first */
	struct cds_list_head time_wait; /* oldest first */
	struct cds_list_head orphans;	/* connections without application, longest ago first */
	uint32_t orphan_count;
	struct cds_list_head conns;   /* every connection */
	struct cds_list_head events;  /* callbacks to make, connections to reap */
	struct cds_list_head output;  /* something to send */
	struct cds_list_head starved; /* were refused a transmit buffer */
	struct timer starved_timer;

	/* receive buffers that connections hold: tcp_memory.c */
	uint32_t rx_held, rx_held_high;
	uint32_t rx_shared, rx_shared_max; /* beyond what is guaranteed to each */
	uint32_t rx_guaranteed;
	struct cds_list_head rx_waiting;   /* connections whose window is small for want of buffers */
	uint32_t port_next[PORT_COUNTERS]; /* RFC 6056, algorithm 4 */
	uint64_t challenge_second;
	uint32_t challenge_left;
	bool dispatching;
	struct tcp_conn *delivering; /* the connection whose callbacks run */
};

#define COUNT(s, name) ((s)->counters[STACK_COUNTER_##name]++)

/* Drops a frame and says why. */
#define DROP(s, m, name)             \
	do {                         \
		COUNT(s, name);      \
		rte_pktmbuf_free(m); \
	} while (0)

/* stack.c: stages a complete frame; bursts leave when full and in stack_flush. */
void stack_transmit_take(struct stack *s, struct rte_mbuf *m);
void stack_flush(struct stack *s);

/* stack.c: an empty transmit buffer with data_off at the usual headroom, or NULL (counted). */
struct rte_mbuf *stack_tx_alloc(struct stack *s);

/* stack.c: cuts n bytes off the front of a segmented mbuf, across segments; they exist, MUST. */
void frame_trim_front(struct rte_mbuf *m, uint32_t n);
/* stack.c: cuts m down to n bytes; it has them, MUST. pkt_len follows in both. */
void frame_truncate(struct rte_mbuf *m, uint32_t n);
/* stack.c: makes a received frame's first buffer an empty one to send in; the headers that were cut off leave
 * room for others of the same size. */
void frame_empty(struct rte_mbuf *m);
/* stack.c: from now on the whole of a received frame's first buffer is ours to write: sanitizers poison what
 * lies around its data. */
void frame_room_use(struct rte_mbuf *m);

/* stack.c: 64 bits that nobody outside can guess. */
uint64_t stack_random(struct stack *s);

void eth_input_take(struct stack *s, struct rte_mbuf *m);
/* Prepends the Ethernet header and stages the frame. */
void eth_output_take(struct stack *s, struct rte_mbuf *m, const uint8_t dst[6], uint16_t type);
extern const uint8_t eth_everyone[6];

void arp_input_take(struct stack *s, struct rte_mbuf *m);
/* Asks everyone, or the station eth_dst, for target as sender; 0 is nobody (RFC 5227's probe). 0 or -ENOBUFS.
 */
int arp_request(struct stack *s, uint32_t sender, const uint8_t eth_dst[6], uint32_t target);
/* arp_probe.c: tests addresses of IPv4 that wait for it. */
void arp_init(struct stack *s);
int arp_announce(struct stack *s); /* every IPv4 address of ours, or its test */
/* An ARP packet came: sender 0 tests target itself. */
void arp_probe_seen(struct stack *s, const struct ip_addr *sender, const struct ip_addr *target);
/* Asks for addr: mac alone, or everyone where it is NULL. */
void arp_solicit(struct stack *s, const struct ip_addr *addr, const uint8_t *mac_or_null);

/* neighbour.c: sends an IP packet to a neighbour, or keeps it until the neighbour's address is known. */
void neighbour_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_addr *next_hop);
/* Forward progress of a connection to dst says that the way there works (RFC 4861 section 7.3.1). */
/* What is sent to dst seems not to arrive: its next hop is asked soon whether it is there. */
void neighbour_doubt(struct stack *s, const struct ip_addr *dst);
void neighbour_confirm_slow(struct stack *s, const struct ip_addr *dst);
static inline void neighbour_confirm(struct stack *s, const struct ip_addr *dst)
{
	if (s->neighbours_unsure)
		neighbour_confirm_slow(s, dst);
}

/* nd.c, nd_dad.c, nd_router.c */
void nd_init(struct stack *s);
void nd_fini(struct stack *s);
void nd_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);
int nd_announce(struct stack *s);
void nd_solicit(struct stack *s, const struct ip_addr *addr, const uint8_t *mac_or_null);
void nd_solicit_routers(struct stack *s);
bool nd_is_router(const struct stack *s, const struct ip_addr *addr);
bool nd_router_pick(struct stack *s, struct ip_addr *out);
void mld_init(struct stack *s);
void mld_announce(struct stack *s);
void mld_query_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);
void nd_router_failed(struct stack *s, const struct ip_addr *addr); /* it does not answer */

/* ip.c */
void ip_init(struct stack *s);
bool ip_is_ours(const struct stack *s, const struct ip_addr *a);       /* and in use */
bool ip_is_configured(const struct stack *s, const struct ip_addr *a); /* whether or not it can be used */
/* The address of ours whose prefix a lies in, or NULL. */
const struct ip_own *ip_on_link(const struct stack *s, const struct ip_addr *a);
/* The address of ours from which dst is reached, or NULL when we have none that could. */
const struct ip_addr *ip_source_for(const struct stack *s, const struct ip_addr *dst);
/* The neighbour on the way to dst; false when there is none. */
bool ip_next_hop(struct stack *s, const struct ip_addr *dst, struct ip_addr *out);
/* Prepends the IP header (IPv4: DF set, no options) to a packet whose data starts at the protocol above and
 * sends it on its way. */
void ip_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_send *to);
/* The largest packet that our link takes for an address's version of IP. */
uint16_t ip_mtu(const struct stack *s, const struct ip_addr *a);
static inline uint16_t ip_header_bytes(const struct ip_addr *a)
{
	return ip_is_v4(a) ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
}

/* Whether another host may have this address: no group, no broadcast, not ours. */
bool ip_is_peer(const struct stack *s, const struct ip_addr *a);

bool ipv4_source_impossible(const struct stack *s, uint32_t src);
bool ipv6_source_impossible(const struct ip_addr *a);
void ipv4_input_take(struct stack *s, struct rte_mbuf *m);
void ipv4_header_put(struct stack *s, struct rte_mbuf *m, const struct ip_send *to);

/* to_group: the frame was for a group of stations. */
void ipv6_input_take(struct stack *s, struct rte_mbuf *m, bool to_group);
void ipv6_header_put(const struct stack *s, struct rte_mbuf *m, const struct ip_send *to);
bool ipv6_is_on_link(const struct stack *s, const struct ip_addr *a);

/* What is known of the path to dst, at most the link's MTU; 68 or more for IPv4, 1280 for IPv6. */
uint16_t pmtu_get(struct stack *s, const struct ip_addr *dst);
void pmtu_set(struct stack *s, const struct ip_addr *dst, uint16_t mtu);

/* icmp_send.c: tells the sender of a packet what is wrong with it, within a limit; m stays the caller's. Its
 * data stands back bytes behind its IP header. */
struct icmp_error {
	uint8_t type, code;
	bool to_groups; /* also about what was sent to a group */
	uint32_t pointer;
};
void icmp_error_send(struct stack *s, struct rte_mbuf *m, uint32_t back, const struct ip_packet *ip,
	const struct icmp_error *e);
/* icmp_error.c: an ICMP error; m stays the caller's. Its header is there, its checksum right. */
bool icmp_is_error(bool v4, uint8_t type);
void icmp_error_input(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);
/* The IP packet m of ours (which stays the caller's) has no next hop that answers: as if a router had said
 * so. */
void icmp_undelivered(struct stack *s, struct rte_mbuf *m);
void icmp_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);
void icmp6_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);
void tcp_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);

/* tcp_fast.c: takes up to STACK_BURST received frames, in order. */
void tcp_burst_take(struct stack *s, struct rte_mbuf **frames, unsigned n);
int tcp_init(struct stack *s);
void tcp_fini(struct stack *s);
void tcp_dispatch(struct stack *s); /* makes the callbacks that are outstanding, reaps what ended */
void tcp_output_all(struct stack *s);
bool tcp_idle(const struct stack *s);

static inline bool list_empty(const struct cds_list_head *l)
{
	return l->next == l;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint8_t *frame_data(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, uint8_t *);
}

/* Where n bytes behind the data of a received buffer are about to be written; it has the room. Tests poison
 * what lies around received data: this says that it is meant. */
static inline uint8_t *frame_room(struct rte_mbuf *m, uint32_t n)
{
	uint8_t *room = frame_data(m) + m->data_len;

	ASAN_UNPOISON_MEMORY_REGION(room, n);
	return room;
}

#endif
