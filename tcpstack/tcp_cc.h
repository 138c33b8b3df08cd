/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion control behind a small table: loss detection and recovery are tcp_ack.c's, an algorithm sets
 * cwnd and ssthresh alone. */
#ifndef TCPSTACK_TCP_CC_H
#define TCPSTACK_TCP_CC_H

#include <stdint.h>

struct tcp_conn;

struct tcp_cc {
	const char *name;
	/* The connection is established; syn_lost: its SYN or SYN-ACK had to be sent again. */
	void (*init)(struct tcp_conn *c, int syn_lost);
	/* bytes were newly acknowledged outside of recovery while cwnd was the limit. */
	void (*acked)(struct tcp_conn *c, uint32_t bytes);
	/* Duplicate ACKs told of a loss: once a window. */
	void (*loss)(struct tcp_conn *c);
	/* All that was outstanding at the loss has arrived. */
	void (*recovered)(struct tcp_conn *c);
	/* The retransmission timer fired; again: not the first time for this segment. */
	void (*timeout)(struct tcp_conn *c, int again);
	/* Nothing was sent for longer than an RTO. */
	void (*idle)(struct tcp_conn *c);
};

extern const struct tcp_cc tcp_cc_newreno;

#endif
