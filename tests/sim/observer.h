/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at every frame on the wire and fails the seed where one breaks a promise: checksums, sizes, no gap in
 * what is sent, nothing beyond the peer's window, no acknowledgement of what never arrived, no window taken
 * back, timestamps that run forwards, no pair of hosts that only acknowledges acknowledgements. */
#ifndef TESTS_SIM_OBSERVER_H
#define TESTS_SIM_OBSERVER_H

#include "tests/sim/frame.h"

/* A new seed. */
void observer_reset(void);
/* The largest IP packet that a host may send, and the most that one of its windows may hold. */
void observer_host_limits(unsigned host, uint32_t mtu, uint32_t window_bytes);
/* A host has sent f (in one buffer). Marks it as one of its connection's incarnation. */
void observer_sent(unsigned host, struct rte_mbuf *f);
/* f reaches a host. */
void observer_arrived(struct rte_mbuf *f);
/* Numbers that the next segment of src to dst might carry, for one who guesses: false where there is no such
 * connection. */
bool observer_guess(const struct ip_addr *src, uint16_t sport, const struct ip_addr *dst, uint16_t dport,
	uint32_t *seq, uint32_t *ack);
/* Somebody else has sent a SYN in the name of src: what dst answers is no longer held against this. */
void observer_forged_syn(
	const struct ip_addr *src, uint16_t sport, const struct ip_addr *dst, uint16_t dport);

#endif
