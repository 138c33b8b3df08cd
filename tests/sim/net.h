/* SPDX-License-Identifier: Apache-2.0 */
/* The network between the hosts: a link to each of them, and in the middle a switch (all are neighbours) or a
 * router (each is alone with its gateway). Every address of the simulation is made here. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "tcpstack/stack.h"
#include "tests/sim/link.h"

enum { SIM_HOSTS_MAX = 6 };

struct sim_net;
struct sim_port {
	struct sim_net *net;
	unsigned host;
};

struct sim_net {
	unsigned hosts;
	bool routed;
	bool v6; /* the hosts have addresses of IPv6, else of IPv4; on a switch alone */
	struct rte_mempool *pool;
	struct sim_port ports[SIM_HOSTS_MAX];
	struct sim_link links[SIM_HOSTS_MAX]; /* to the hosts */
	/* Sees (and marks) what a host sends before it is carried. NULL: nobody looks. */
	void (*observe)(unsigned host, struct rte_mbuf *f);
	uint64_t too_big_told;
};

/* hosts without conditions between them; pool is of the frames on their way. */
void sim_net_init(struct sim_net *n, unsigned hosts, bool routed, bool v6, struct sim_random *random,
	struct rte_mempool *pool, const uint64_t *now_us);
/* Gives a host's stack its addresses and its way out. */
void sim_net_configure(struct sim_net *n, unsigned host, struct stack_config *c);
struct ip_addr sim_net_address(const struct sim_net *n, unsigned host);
/* An address that belongs to nobody, but could. */
struct ip_addr sim_net_stranger(const struct sim_net *n, unsigned host, uint32_t which);
/* The host with that address, or -1. */
int sim_net_host_of(const struct sim_net *n, const struct ip_addr *a);
/* An empty frame from nowhere to a host, its headers up to IP's written, for bytes of TCP from src; or NULL.
 */
struct rte_mbuf *sim_net_forge(
	struct sim_net *n, unsigned to, const struct ip_addr *src, const uint8_t *tcp, uint16_t bytes);
uint64_t sim_net_next_us(const struct sim_net *n);
void sim_net_clear(struct sim_net *n);

#endif
