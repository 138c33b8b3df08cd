/* SPDX-License-Identifier: Apache-2.0 */
/* What the stack does for the kernel's sockets. Ports: */
#ifndef TESTS_KERNELTCP_SERVICE_H
#define TESTS_KERNELTCP_SERVICE_H

#include "tcpstack/stack.h"

enum service_port {
	SERVICE_ECHO = 7,      /* sends back what comes, then closes */
	SERVICE_SLOW = 8,      /* the same, but does not read for SERVICE_STALL_US */
	SERVICE_RESET = 9,     /* aborts when the first byte comes */
	SERVICE_FAREWELL = 10, /* says "farewell", closes its side, goes on reading */
	SERVICE_HOLD = 11,     /* reads, stays open until the other side closes */
};

enum { SERVICE_STALL_US = 1500000 };

/* Where "open" finds the kernel. */
extern struct ip_addr service_kernel;

/* Listens on all ports. */
void service_start(struct stack *s);

/* A request, and the line that answers it on standard output:
 * link [NAME=VALUE]...: sets struct link_faults, what is not named to 0
 * faults: frames lost, doubled, late, damaged, marked
 * counter NAME: of the stack
 * usage: connections, half-open ones, those in TIME_WAIT, queued segments, out-of-order segments
 * farewell: bytes that SERVICE_FAREWELL and SERVICE_HOLD have read
 * open PORT COUNT BYTES: COUNT connections to the kernel's PORT each send BYTES, close their side and expect
 *   all of it back; answers at the end of the last with how many saw that
 * stalled: bytes that SERVICE_SLOW's connection has not read yet
 * held: how many connections SERVICE_HOLD has, and how the last one ended
 * write BYTES: on SERVICE_HOLD's youngest connection; tcp_conn_write's result
 * addresses: how many of the stack's own can be used
 * quit: ends the program; no answer */
void service_request(struct stack *s, const char *line);

/* What is due by now. */
void service_turn(struct stack *s, uint64_t now_us);

/* When service_turn has something to do. */
uint64_t service_next_us(void);

/* "quit" was said. */
int service_over(void);

#endif
