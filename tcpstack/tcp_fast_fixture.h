/* SPDX-License-Identifier: Apache-2.0 */
/* Two stacks that get the same segments, one of which takes the long way with each: what tcp_fast_test.c
 * sends and compares. tcp_fast_nodes_fixture.c has the stacks, their applications and the comparing,
 * tcp_fast_frames_fixture.c the segments. */
#ifndef TCPSTACK_TCP_FAST_FIXTURE_H
#define TCPSTACK_TCP_FAST_FIXTURE_H

#include "tcpstack/tcp_impl.h"
#include "tests/unit/unit.h"

enum {
	TF_CONNS = 6,
	TF_BURST_MAX = 40,
	TF_PORT = 5672,
	TF_ROOM = 2048,
	TF_NEIGHBOUR_US = 2000000,
};

struct tf_node {
	struct stack *stack;
	struct rte_mempool *pool;
	struct tcp_conn *conns[TF_CONNS];
	uint64_t random; /* of its application */
	uint8_t *log;
	uint32_t log_n;
	uint32_t last_seq; /* of the last TCP segment out */
};
extern struct tf_node tf_nodes[2];

/* How the frames are made, and what is compared. */
struct tf_how {
	bool sums_by_port, vlan, few_buffers,
		scatter_one; /* the latter: node 0 gets pieces, and predicts as 1 does */
};
extern struct tf_how tf_how;

extern uint64_t tf_now_us;
extern uint16_t tf_ports[TF_CONNS]; /* the peer's, of each connection */
extern const uint8_t tf_our_mac[6], tf_peer_mac[6];

/* What connection k is like. */
bool tf_over_ipv6(unsigned k);
bool tf_timestamps_on(unsigned k);
/* Host 1 is the stacks, 2 their peer. */
struct ip_addr tf_address(bool v6, unsigned host);

void tf_begin(void);
/* Who the peer is, to both; they forget it TF_NEIGHBOUR_US after its last segment. */
void tf_tell_peer(void);
void tf_end(void); /* every buffer is back */
/* Fails where the two have done anything different since the last time. */
void tf_compare(void);
/* Output and timers of both, then tf_compare. */
void tf_turn_end(void);
/* Some application writes something. */
void tf_application_writes(void);

/* What a frame is made of. */
struct tf_segment {
	unsigned k;
	uint32_t seq, ack, len, ts_val, ts_ecr;
	uint16_t wnd, urgent;
	uint8_t flags, ecn, pad;
	bool syn_options, odd_options, sack, no_timestamp, bad_sum;
};

/* The peer sends n segments in one burst, to both. */
void tf_input(const struct tf_segment *segments, unsigned n);
void tf_frames_begin(void); /* once, by tf_begin */
bool tf_frames_all_back(void);

#endif
