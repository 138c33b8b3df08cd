/* SPDX-License-Identifier: Apache-2.0 */
/* The broker: made by the program's own code (broker/main/core.c) of a configuration that the seed chose, its
 * cores as turns on this thread in an order that the seed chose, its port between two rings. */
#ifndef TESTS_WORLD_HOUSE_H
#define TESTS_WORLD_HOUSE_H

#include <stdbool.h>
#include <stdint.h>

/* Once. */
void house_prepare(void);
/* cores 0: the seed's choice. wide: queues for a large fan-out are needed. */
void house_open(unsigned cores, bool wide);
/* Frames that reached the broker's host go to its port; each core that is awake takes a turn. */
void house_turn(void);
/* When it has something to do; now where a core is awake. */
uint64_t house_next_us(void);
/* Nothing is under way in it: all that is left waits for clients. */
bool house_idle(void);
/* No connection is left in its TCP, but those in TIME_WAIT. */
bool house_silent(void);
unsigned house_conns(void);
/* Takes buffers away for a while, or gives them back. */
void house_explain(void); /* prints how it stands */
bool house_short(void);	  /* of message memory: publishers may be held */
void house_hoard(void);
void house_hoard_end(void);
/* What must hold between any two turns. */
void house_check(void);
/* Messages in its queues or with clients. */
uint64_t house_messages(void);
/* Every queue and connection is gone: all pools are full, or the seed fails; then its end. */
void house_close(void);
/* Whether no queue is left that should have gone by itself. */
void house_check_vanished(void);

#endif
