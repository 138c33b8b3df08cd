/* SPDX-License-Identifier: Apache-2.0 */
/* What tests/mutate.py puts into the sources: MUTANT(name) is true where GODWIT_MUTANT is that name. */
#ifndef TESTS_MUTANTS_MUTANT_H
#define TESTS_MUTANTS_MUTANT_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool mutant_chosen(const char *name)
{
	const char *wanted = getenv("GODWIT_MUTANT");

	return wanted && !strcmp(wanted, name);
}

#define MUTANT(name)                                    \
	({                                              \
		static signed char chosen_ = -1;        \
		if (chosen_ < 0)                        \
			chosen_ = mutant_chosen(#name); \
		chosen_ != 0;                           \
	})

#endif
