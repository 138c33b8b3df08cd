/* SPDX-License-Identifier: Apache-2.0 */
/* The network between the hosts: a link to each of them, and in the middle a switch (all are neighbours) or a
 * router (each is alone with its gateway). Every address of the simulation is made here. */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "tcpstack/stack.h"
#include "tests/sim/link.h"
#include "tests/sim/port.h"

enum { SIM_HOSTS_MAX = 6 };

struct sim_net {
	unsigned hosts;
	bool routed;
	bool v6;	    /* the hosts have addresses of IPv6, else of IPv4 */
	bool advertised;    /* IPv6: hosts learn of the router from what it says, else they are told */
	uint16_t vlan;	    /* all frames have this tag; 0: none */
	uint32_t pieces_id; /* of the last packet that was cut */
	struct rte_mempool *pool;
	struct rte_mempool *port_pool; /* of frames that ports make, which are few: never empty */
	struct sim_port ports[SIM_HOSTS_MAX];
	struct sim_link links[SIM_HOSTS_MAX]; /* to the hosts */
	/* Sees (and marks) what a host sends before it is carried. NULL: nobody looks. */
	void (*observe)(unsigned host, struct rte_mbuf *f);
	/* What is cut arrives in pieces that nobody recognises: it counts as arrived when it is cut. */
	void (*observe_cut)(struct rte_mbuf *f);
	uint64_t too_big_told, adverts;
};

/* hosts without conditions between them; pool is of the frames on their way. Whether there is a tag, what
 * ports do and what else has a choice above is set afterwards. */
void sim_net_init(struct sim_net *n, unsigned hosts, bool routed, bool v6, struct sim_random *random,
	struct rte_mempool *pool, const uint64_t *now_us);
/* Gives a host's stack its addresses and its way out. */
void sim_net_configure(struct sim_net *n, unsigned host, struct stack_config *c);
struct ip_addr sim_net_address(const struct sim_net *n, unsigned host);
/* An address that belongs to nobody, but could. */
struct ip_addr sim_net_stranger(const struct sim_net *n, unsigned host, uint32_t which);
/* The host with that address, or -1. */
int sim_net_host_of(const struct sim_net *n, const struct ip_addr *a);
/* Sends bytes of TCP to a host as if from src; with the tag of another VLAN, where there is one, when asked.
 */
void sim_net_forge(struct sim_net *n, unsigned to, const struct ip_addr *src, const uint8_t *tcp,
	uint16_t bytes, bool other_vlan);
/* The router tells a host that it is there, where hosts learn of it so. */
void sim_net_advertise(struct sim_net *n, unsigned host);
uint64_t sim_net_next_us(const struct sim_net *n);
void sim_net_clear(struct sim_net *n);

#endif
