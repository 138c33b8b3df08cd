/* SPDX-License-Identifier: Apache-2.0 */
/* Bugs on purpose. MUTANT(name), at the place of a rule, is the constant false in every build but that of the
 * stage `mutants`: there the environment variable GODWIT_MUTANT names the one rule that is broken, and the
 * test that guards it must fail. tests/mutants/list pairs them. */
#ifndef RUNTIME_MUTANTS_H
#define RUNTIME_MUTANTS_H

#include <stdbool.h>

#ifdef GODWIT_MUTANTS
/* Whether name is the one of this run. */
bool mutant_chosen(const char *name);

#define MUTANT(name)                                    \
	({                                              \
		static signed char chosen_ = -1;        \
		if (chosen_ < 0)                        \
			chosen_ = mutant_chosen(#name); \
		chosen_ != 0;                           \
	})
#else
#define MUTANT(name) false
#endif

#endif
