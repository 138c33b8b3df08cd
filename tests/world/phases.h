/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a seed: what stays is made; then anything; then what is under way ends, the keeper empties
 * the queues, looks whether they are empty, and deletes them. */
#ifndef TESTS_WORLD_PHASES_H
#define TESTS_WORLD_PHASES_H

#include <stdint.h>

void phases_begin(void);
/* Clients act where their time has come, and the next phase begins where this one has ended. */
void phases_step(void);
uint64_t phases_next_us(void);
/* Fails the seed: this phase does not end, and this is what it waits for. */
__attribute__((noreturn)) void phases_fail(void);

#endif
