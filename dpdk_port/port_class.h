/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several cores a received frame concerns: the hash of the connection that it is about, the first
 * core, or all. It reads a peer's bytes before anything has checked them: what is cut short, or nothing that
 * we know, is the first core's, whose stack counts and drops it. */
#ifndef DPDK_PORT_PORT_CLASS_H
#define DPDK_PORT_PORT_CLASS_H

#include "dpdk_port/toeplitz.h"

#include <rte_mbuf.h>

enum port_class {
	/* TCP: both addresses and ports. A fragment: the addresses, so that all of a datagram's meet. An ICMP
	 * error about TCP: the connection that it names, as if it came from that connection's peer. */
	PORT_CLASS_HASH,
	PORT_CLASS_FIRST, /* echo requests, group membership, other protocols, what is broken */
	PORT_CLASS_ALL,	  /* ARP and neighbour discovery: every core's stack learns by them */
};

/* *hash is set with PORT_CLASS_HASH. Looks at the frame's first segment alone. Any thread. Some 5 ns, IPv6
 * 15. */
enum port_class port_classify(const struct toeplitz *t, const struct rte_mbuf *m, uint32_t *hash);

#endif
