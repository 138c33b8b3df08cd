/* SPDX-License-Identifier: Apache-2.0 */
/* Bugs on purpose, for the stage `interleave`: PLANTED(name) is the constant false in every build but that of
 * tests/interleave, which switches one after the other on and must find it. */
#ifndef RUNTIME_PLANTED_H
#define RUNTIME_PLANTED_H

#include <stdbool.h>

#ifdef GODWIT_PLANTED
bool planted(const char *name);
#define PLANTED(name) planted(#name)
#else
#define PLANTED(name) false
#endif

#endif
