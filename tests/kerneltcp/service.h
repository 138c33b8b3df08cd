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
	SERVICE_CONTROL = 11,  /* one line a request, one line back:
				* link LOSS TWICE LATE DELAY_US: sets struct link_faults
				* counter NAME: of the stack
				* farewell: bytes that SERVICE_FAREWELL has read
				* open PORT COUNT BYTES: COUNT connections to the kernel's PORT each send
				* BYTES,  close their side and expect all of it back; answers with how many saw
				* that  quit: ends the program */
};

enum { SERVICE_STALL_US = 3000000, SERVICE_KERNEL_ADDR = 0x0a4d0001, SERVICE_STACK_ADDR = 0x0a4d0002 };

/* Listens on all ports. */
void service_start(struct stack *s);

/* What is due by now. */
void service_turn(struct stack *s, uint64_t now_us);

/* When service_turn has something to do. */
uint64_t service_next_us(void);

/* "quit" was said. */
int service_over(void);

#endif
