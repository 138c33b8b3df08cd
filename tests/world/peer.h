/* SPDX-License-Identifier: Apache-2.0 */
/* The clients' hosts: each a TCP stack of its own. */
#ifndef TESTS_WORLD_PEER_H
#define TESTS_WORLD_PEER_H

#include "tcpstack/tcp.h"

/* Once. */
void peers_prepare(void);
void peers_open(unsigned count);
unsigned peers_count(void);
void peer_turn(unsigned i);
uint64_t peers_next_us(void);
struct stack *peer_stack(unsigned i);
/* It vanishes with all of its connections, and is there again at once, without a memory. */
void peer_crash(unsigned i);
void peers_close(void);

#endif
