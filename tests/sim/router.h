/* SPDX-License-Identifier: Apache-2.0 */
/* What a router says for itself. Each returns a frame of pool, or NULL. */
#ifndef TESTS_SIM_ROUTER_H
#define TESTS_SIM_ROUTER_H

#include "tests/sim/frame.h"
#include "tests/sim/link.h"

struct sim_router {
	uint8_t mac[6];
	struct ip_addr address, link_local;
};

/* The answer to a question for the router's address by ARP, or by neighbour discovery. */
struct rte_mbuf *sim_router_arp_answer(
	struct rte_mempool *pool, const struct sim_frame *request, const struct sim_router *r);
struct rte_mbuf *sim_router_nd_answer(
	struct rte_mempool *pool, const struct sim_frame *f, const struct sim_router *r);
/* Whether f, of ICMPv6, asks for routers. */
bool sim_router_solicited(const struct sim_frame *f);
/* Tells all hosts on the link of the router, for longer than a seed takes. */
struct rte_mbuf *sim_router_advert(struct rte_mempool *pool, const struct sim_router *r);
/* "Fragmentation needed" (RFC 1191) or "packet too big" (RFC 8201) about f. The caller fills in the Ethernet
 * destination. */
struct rte_mbuf *sim_router_too_big(
	struct rte_mempool *pool, const struct sim_frame *f, const struct sim_router *r, uint32_t mtu);
/* Puts IP's header in front of m's data, and fills in the checksum of what is in it. */
void sim_router_ip_prepend(
	struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol);

#endif
