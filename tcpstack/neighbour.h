/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of neighbours, for both versions of IP: RFC 4861 section 7.3's states, which serve ARP as well.
 * arp.c and nd.c speak the protocols and bring what they learn here. */
#ifndef TCPSTACK_NEIGHBOUR_H
#define TCPSTACK_NEIGHBOUR_H

#include "tcpstack/stack_impl.h"

enum {
	NEIGHBOUR_PENDING_MAX = 16,	 /* frames that wait for one neighbour */
	NEIGHBOUR_SOLICITS_MAX = 3,	 /* unanswered, before the neighbour is given up */
	NEIGHBOUR_SOLICITS_PER_S = 256,	 /* first questions about addresses that we do not know */
	NEIGHBOUR_DELAY_US = 5000000,	 /* RFC 4861's DELAY_FIRST_PROBE_TIME */
	NEIGHBOUR_RETRANS_US = 1000000,	 /* RFC 1122 allows one request a second; RetransTimer's default */
	NEIGHBOUR_ARP_FIRST_US = 200000, /* before ARP's second: the first is often lost with a cold link */
};

enum neighbour_state {
	NEIGHBOUR_INCOMPLETE, /* no address yet, a few frames wait for it */
	NEIGHBOUR_REACHABLE,
	NEIGHBOUR_STALE, /* was reachable; asked again a while after its next use */
	NEIGHBOUR_DELAY, /* in use again: TCP may still confirm it */
	NEIGHBOUR_PROBE, /* in use and being asked */
};

struct neighbour {
	struct cds_list_head bucket_link, age_link;
	struct timer timer;
	struct stack *stack;
	struct ip_addr addr;
	uint8_t mac[6];
	uint8_t state;
	uint8_t solicits; /* unanswered */
	uint8_t pending_count;
	struct rte_mbuf *pending[NEIGHBOUR_PENDING_MAX];
};

int neighbour_init(struct stack *s);
void neighbour_fini(struct stack *s);

struct neighbour *neighbour_find(struct stack *s, const struct ip_addr *addr);
/* The entry of addr: a new one, INCOMPLETE and not asked for, where there is none; another gives way when all
 * are taken. NULL when none does (counted). */
struct neighbour *neighbour_find_or_add(struct stack *s, const struct ip_addr *addr);
/* addr has mac: REACHABLE or STALE. What waited for it leaves. */
void neighbour_set(struct stack *s, struct neighbour *e, const uint8_t mac[6], enum neighbour_state state);
/* Tells the configuration's neighbour_learned what the wire said. */
void neighbour_heard(struct stack *s, const struct ip_addr *addr, const uint8_t mac[6]);
/* True when another station on our link may have this address. */
bool neighbour_possible(const struct stack *s, const struct ip_addr *addr);

static inline struct neighbour_hop *neighbour_hop_of(struct stack *s, const struct ip_addr *dst)
{
	return &s->hops[dst->word[1] * 0x9e3779b97f4a7c15ull >> 58];
}
_Static_assert(NEIGHBOUR_HOPS == 64, "six bits");
/* Fills hop in, where the neighbour on the way to dst (of IPv4) needs no question; else NULL. */
struct neighbour *neighbour_hop_learn(struct stack *s, struct neighbour_hop *hop, const struct ip_addr *dst);

#endif
