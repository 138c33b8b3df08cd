/* SPDX-License-Identifier: Apache-2.0 */
/* Talks: what the applications on two hosts do with one connection between them, from its opening to its end,
 * and whether it ended as it may. */
#ifndef TESTS_SIM_TALK_H
#define TESTS_SIM_TALK_H

#include "tests/sim/host.h"

enum { TALKS_MAX = 16 };

/* Plans the talks of a seed, 1 to TALKS_MAX; returns how many. Before the hosts start. patient: one of them
 * has a pause of ten minutes. */
unsigned talks_plan(bool patient);
/* Listens on every host. */
void talks_listen(void);
/* Opens what is due, and lets some applications act that nothing has woken. */
void talks_wake(void);
bool talks_over(void);
/* Nobody has anything to say for a while. */
bool talks_pause(void);
/* The addresses and ports of a talk that has begun, chosen by chance; false where there is none. */
bool talks_one(unsigned *client, uint16_t *client_port, unsigned *server, uint16_t *server_port);

#endif
