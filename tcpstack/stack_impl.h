/* SPDX-License-Identifier: Apache-2.0 */
/* What the library's files share and nobody outside sees. Functions named input take the frame over
 * (m_take); header pointers point into its first segment. */
#ifndef TCPSTACK_STACK_IMPL_H
#define TCPSTACK_STACK_IMPL_H

#include <stdbool.h>
#include <urcu/list.h>

#include "runtime/check.h"
#include "runtime/timer.h"
#include "runtime/wire.h"
#include "tcpstack/stack.h"

enum {
	ETH_HEADER_BYTES = 14,
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	IPV4_HEADER_BYTES = 20,
	IPV6_HEADER_BYTES = 40,
	IP_PROTOCOL_ICMP = 1,
	IP_PROTOCOL_TCP = 6,
	IPV4_TTL = 64,
	TIMER_TICK_US = 256,
	PORT_COUNTERS = 64, /* a power of two */
};

/* What a received IP packet is to the protocol above. m's data starts at that protocol's header and ends with
 * the packet. */
struct ip_packet {
	struct ip_addr src, dst;
	uint32_t length; /* bytes behind the IP header */
	uint8_t ecn;	 /* enum ip_ecn */
};

/* RFC 3168 section 5. */
enum ip_ecn { IP_ECN_NOT_ECT, IP_ECN_ECT1, IP_ECN_ECT0, IP_ECN_CE };

/* What a packet to be sent tells its IP header. */
struct ip_send {
	struct ip_addr src, dst;
	uint8_t protocol;
	uint8_t ecn;		   /* enum ip_ecn */
	uint64_t l4_offload_flags; /* mbuf TX flags wanted for the protocol above */
};

struct stack {
	struct stack_config config;
	uint64_t now_us; /* frozen for the current call */
	uint64_t counters[STACK_COUNTERS];
	struct timer_wheel wheel;

	struct rte_mbuf *tx_burst[STACK_BURST];
	unsigned tx_count;

	/* arp.c */
	struct pool *arp_pool;
	struct cds_list_head *arp_buckets;
	uint32_t arp_mask;
	struct cds_list_head arp_by_age;    /* least recently confirmed first */
	struct cds_list_head arp_resolving; /* those without an address, oldest first */

	/* TCP: tables and pools */
	struct pool *conn_pool, *segment_pool, *reass_pool, *listener_pool;
	struct pool *request_pool, *time_wait_pool;
	struct cds_list_head *conn_buckets;
	uint32_t conn_mask;
	struct cds_list_head listeners;
	struct cds_list_head requests;	/* oldest first */
	struct cds_list_head time_wait; /* oldest first */
	struct cds_list_head conns;	/* every connection */
	struct cds_list_head events;	/* callbacks to make, connections to reap */
	struct cds_list_head output;	/* something to send */
	struct cds_list_head starved;	/* were refused a transmit buffer */
	struct timer starved_timer;
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

void eth_input_take(struct stack *s, struct rte_mbuf *m);
/* Prepends the Ethernet header and stages the frame. */
void eth_output_take(struct stack *s, struct rte_mbuf *m, const uint8_t dst[6], uint16_t type);

int arp_init(struct stack *s);
void arp_fini(struct stack *s);
void arp_input_take(struct stack *s, struct rte_mbuf *m);
/* Sends an IPv4 packet to a neighbour (host byte order), or keeps it until the neighbour's address is known.
 */
void arp_output_take(struct stack *s, struct rte_mbuf *m, uint32_t next_hop);
int arp_announce(struct stack *s); /* every IPv4 address of ours */

bool ip_is_ours(const struct stack *s, const struct ip_addr *a);
/* The address of ours whose prefix a lies in, or NULL. */
const struct stack_address *ip_on_link(const struct stack *s, const struct ip_addr *a);
/* The address of ours from which dst is reached, or NULL when we have none of its version. */
const struct ip_addr *ip_source_for(const struct stack *s, const struct ip_addr *dst);
/* Prepends the IP header (IPv4: DF set, no options) to a packet whose data starts at the protocol above and
 * sends it on its way. */
void ip_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_send *to);

void ipv4_input_take(struct stack *s, struct rte_mbuf *m);
void ipv4_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_send *to);

void icmp_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);
void tcp_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip);

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

#endif
