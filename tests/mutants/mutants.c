/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/mutants.h"

#include <stdlib.h>
#include <string.h>

bool mutant_chosen(const char *name)
{
	const char *wanted = getenv("GODWIT_MUTANT");

	return wanted && !strcmp(wanted, name);
}
