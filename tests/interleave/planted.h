/* SPDX-License-Identifier: Apache-2.0 */
/* What tests/mutate.py puts into the sources for this stage, whose bugs are in tests/interleave/bugs: the
 * programs switch one after the other on (plant, report.h), and must find it. */
#ifndef TESTS_INTERLEAVE_PLANTED_H
#define TESTS_INTERLEAVE_PLANTED_H

#include <stdbool.h>

bool planted(const char *name);

#define MUTANT(name) planted(#name)

#endif
