/* SPDX-License-Identifier: Apache-2.0 */
/* One stack at STACK_ADDR and peers at PEER_ADDR, written out segment by segment (tests/script/segment.h):
 * for what a packet script cannot look at. */
#ifndef TCPSTACK_PEER_FIXTURE_H
#define TCPSTACK_PEER_FIXTURE_H

#include "tcpstack/tcp_impl.h"
#include "tests/script/segment.h"
#include "tests/unit/unit.h"

enum { PX_KEPT_MAX = 8 };

extern struct rte_mempool *px_tx_pool, *px_rx_pool;
extern struct stack *px_stack;
extern uint64_t px_now_us;
extern uint32_t px_rx_room;  /* of a received frame in each buffer */
extern uint64_t px_rx_flags; /* what the port says about the frames to come */
/* While keeping, what the stack sends stays in kept: the wire passes on buffers, not copies. */
extern bool px_keeping;
extern struct rte_mbuf *px_kept[PX_KEPT_MAX];
extern unsigned px_kept_count;

/* Once in a program: so many buffers. */
void px_pools(unsigned tx, unsigned rx);
/* What every test here begins with; hears is called with each frame that the stack sends. */
struct stack_config px_config(void (*hears)(const uint8_t *frame, uint32_t n));
/* A stack at the time of one second that knows the peers' link address. */
void px_start(const struct stack_config *c);
/* Whatever it has left goes; all buffers must be back. */
void px_end(void);

/* The frame arrives, and nothing else happens. */
void px_input(const uint8_t *frame, uint32_t n);
/* The peers tell their link address. */
void px_tell_address(void);
/* A segment from PEER_PORT to STACK_PORT with a full window and nothing odd about it. */
struct segment px_segment(uint8_t flags, int64_t seq, int64_t ack, uint32_t len);
void px_send(const struct segment *g, struct segment_base *base);
/* Output and timers until nothing is left to be done. */
void px_run_until_silent(void);

#endif
