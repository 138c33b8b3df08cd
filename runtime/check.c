/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "godwit: %s:%d: must hold: %s\n", file, line, what);
	abort();
}
