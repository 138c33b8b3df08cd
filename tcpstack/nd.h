/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery's messages, as its files share them. */
#ifndef TCPSTACK_ND_H
#define TCPSTACK_ND_H

#include "tcpstack/neighbour.h"

enum nd_type {
	ND_ROUTER_SOLICIT = 133,
	ND_ROUTER_ADVERT = 134,
	ND_NEIGHBOUR_SOLICIT = 135,
	ND_NEIGHBOUR_ADVERT = 136,
	ND_REDIRECT = 137,
};

enum nd_option {
	ND_OPTION_SOURCE_MAC = 1,
	ND_OPTION_TARGET_MAC = 2,
	ND_OPTION_PREFIX = 3,
	ND_OPTION_MTU = 5,
};

enum { ND_NA_ROUTER = 0x80, ND_NA_SOLICITED = 0x40, ND_NA_OVERRIDE = 0x20, ND_HOP_LIMIT = 255 };

/* Options of one message; pointers into it, NULL where there is none. */
struct nd_options {
	const uint8_t *source_mac, *target_mac;
	uint32_t mtu; /* 0: none */
	const uint8_t *prefix[ND_PREFIXES_MAX];
	unsigned prefix_count;
};

/* Reads n bytes of options; unknown ones are skipped. False where a length is 0 or goes past the end: the
 * message is to be dropped (RFC 4861 section 4.6). */
bool nd_options_parse(struct nd_options *o, const uint8_t *p, uint32_t n);

/* A message to be sent. */
struct nd_message {
	uint8_t type, flags;
	const struct ip_addr *target; /* NULL: none */
	struct ip_addr src, dst;
	uint8_t option;		/* enum nd_option with our MAC, or 0 */
	const uint8_t *eth_dst; /* NULL: dst is a group, or looked up among the neighbours */
};
/* Writes it into the empty mbuf m and sends it. */
void nd_send_take(struct stack *s, struct rte_mbuf *m, const struct nd_message *message);
/* The same from the transmit pool: 0 or -ENOBUFS. */
int nd_send(struct stack *s, const struct nd_message *message);

extern const struct ip_addr nd_all_nodes, nd_all_routers, nd_link_local; /* fe80:: */
struct ip_addr nd_solicited_node(const struct ip_addr *a);

/* nd_dad.c: another station was heard to have, or to test, an address of ours that is TENTATIVE; or uses one
 * that we use. */
void nd_dad_duplicate(struct stack *s, struct ip_own *own);
void nd_conflict(struct stack *s, struct ip_own *own);

/* nd_router.c */
void nd_router_init(struct stack *s);
void nd_router_remove(struct stack *s, const struct ip_addr *addr);
void nd_router_advert_take(
	struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, const struct nd_options *o);

#endif
