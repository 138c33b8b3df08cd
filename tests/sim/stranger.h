/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody who sends what he likes: floods of connection requests from addresses of nobody, and segments with
 * guessed numbers into the connections of others (RFC 5961). */
#ifndef TESTS_SIM_STRANGER_H
#define TESTS_SIM_STRANGER_H

#include <stdbool.h>

/* What he will do in this seed. */
void stranger_plan(void);
/* In this seed he does guess. */
bool stranger_guesses(void);
void stranger_act(void);

#endif
