/* SPDX-License-Identifier: Apache-2.0 */
/* PASS and FAIL lines of a stage. */
#ifndef INTERLEAVE_REPORT_H
#define INTERLEAVE_REPORT_H

#include <stdbool.h>

void report(bool passed, const char *name, const char *text, ...) __attribute__((format(printf, 3, 4)));
/* In a process of its own, which reports once; its death is a FAIL. */
void report_apart(void (*what)(void *context), void *context);
int report_end(void); /* for main to return */
double report_seconds(void);

/* The bug of this process; NULL: none. */
void plant(const char *name);

#endif
