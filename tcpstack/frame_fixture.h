/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the link and IP layers: one stack with one station opposite, frames written by hand in, frames
 * out kept for a look. */
#ifndef TCPSTACK_FRAME_FIXTURE_H
#define TCPSTACK_FRAME_FIXTURE_H

#include "tcpstack/checksum.h"
#include "tcpstack/stack_impl.h"
#include "tests/unit/unit.h"

enum { FX_US4 = 0x0a000001, FX_PEER4 = 0x0a000002 };
extern const uint8_t fx_our_mac[6], fx_peer_mac[6];
extern struct ip_addr fx_us, fx_us_local, fx_peer, fx_peer_local, fx_far; /* fd00::1, fe80::, fd00::2, .. */

extern struct stack *fx_stack;
extern uint64_t fx_now_us;
extern struct rte_mempool *fx_tx_pool, *fx_rx_pool;
extern struct rte_mbuf *fx_sent[256];
extern unsigned fx_sent_count;
extern uint8_t fx_frame[70000];

/* A stack with 10.0.0.1/24 and fd00::1/64, in use at once unless change says otherwise. */
void fx_begin(void (*change)(struct stack_config *c));
/* Ends it; every buffer is back. */
void fx_end(void);
void fx_forget(void);			      /* what was sent */
void fx_input(const void *frame, uint32_t n); /* in one buffer, or as many as it takes */
void fx_input_split(const void *frame, uint32_t n, uint32_t first);
void fx_run(uint64_t us); /* the clock runs */

/* Ethernet and IPv6 headers in fx_frame, from the peer's MAC, for n bytes of payload; returns the payload. */
uint8_t *fx_ipv6(const struct ip_addr *src, const struct ip_addr *dst, uint8_t next, uint32_t n);
/* The same for IPv4. */
uint8_t *fx_ipv4(uint32_t src, uint32_t dst, uint8_t protocol, uint32_t n);
void fx_ipv4_sum(void);
/* Fills in ICMPv6's checksum over n bytes at p in fx_frame. */
void fx_icmp6_sum(uint8_t *p, uint32_t n);
/* The frame in fx_frame, as long as its IP header says. */
uint32_t fx_frame_bytes(void);
void fx_input_frame(void); /* it goes in */

/* An ICMPv6 echo request of n data bytes in fx_frame. */
void fx_echo6(const struct ip_addr *src, const struct ip_addr *dst, uint32_t n);
/* A neighbour discovery message, with a MAC option where option is not 0. */
void fx_nd(uint8_t type, uint8_t flags, const struct ip_addr *src, const struct ip_addr *dst,
	const struct ip_addr *target, uint8_t option);
/* The peer tells its MAC for its addresses. */
void fx_know_peer(void);

/* The i-th frame sent, at its Ethernet header; its IPv6 header; checks that its checksum is right where it is
 * ICMPv6. */
const uint8_t *fx_out(unsigned i);
const uint8_t *fx_out_icmp6(unsigned i, uint8_t type);

#define FX_COUNTER(name) stack_counter(fx_stack, STACK_COUNTER_##name)

#endif
