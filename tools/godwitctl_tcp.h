/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP connection of a broker's answer for people, in the words of `ss -ti`. */
#ifndef TOOLS_GODWITCTL_TCP_H
#define TOOLS_GODWITCTL_TCP_H

#include <jansson.h>
#include <stdio.h>

void tcp_print_head(FILE *out);

/* entry: an object of the control command tcp; what it lacks is left out, as is what is zero where that says
 * nothing. Two lines, or one where nothing more is known. */
void tcp_print(const json_t *entry, FILE *out);

#endif
