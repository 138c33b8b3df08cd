/* SPDX-License-Identifier: Apache-2.0 */
/* What a router says for itself. Each returns a frame of pool, or NULL. */
#ifndef TESTS_SIM_ROUTER_H
#define TESTS_SIM_ROUTER_H

#include "tests/sim/frame.h"
#include "tests/sim/link.h"

/* The answer to an ARP request for the router's address. */
struct rte_mbuf *sim_router_arp_answer(struct rte_mempool *pool, const struct sim_frame *request,
	const struct ip_addr *router, const uint8_t router_mac[6]);
/* "Fragmentation needed" (RFC 1191) or "packet too big" (RFC 8201) about f. The caller fills in the Ethernet
 * addresses. */
struct rte_mbuf *sim_router_too_big(
	struct rte_mempool *pool, const struct sim_frame *f, const struct ip_addr *router, uint32_t mtu);
/* Puts IP's header in front of m's data, and fills in the checksum of what is in it. */
void sim_router_ip_prepend(
	struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst, uint8_t protocol);

#endif
