/* SPDX-License-Identifier: Apache-2.0 */
/* A broker's answer for people. The answer's own keys are the labels, so that what a later broker adds
 * appears by itself; the known sections stand in a fixed order, others behind them in the answer's own:
 *
 *   values of the answer itself   an aligned list, first
 *   an object                     a section with an aligned list; inner objects by dotted keys
 *   an array of objects           a section with a table, one row each; one column each where rows would be
 *                                 wider than PRINT_WIDTH
 *   an array of anything else     one line, with commas
 *
 * Keys of an inner object called "counters" stand without that word. Counters that are zero (in all rows) are
 * left out, but never a value of the answer itself, the first key of a table's row, or "cpu". */
#ifndef TOOLS_GODWITCTL_PRINT_H
#define TOOLS_GODWITCTL_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum { PRINT_WIDTH = 100 };

/* Writes result, which stays as it is, to out; all: zero counters too. Control characters of texts are
 * written as \xNN. */
void print_result(json_t *result, bool all, FILE *out);

/* The same as JSON: two spaces of indent, keys sorted, a line feed at the end. */
void print_json(const json_t *result, FILE *out);

#endif
