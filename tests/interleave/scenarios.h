/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INTERLEAVE_SCENARIOS_H
#define INTERLEAVE_SCENARIOS_H

#include "tests/interleave/weak.h"

/* Each ends with one without a name. */
extern const struct weak_scenario ring_scenarios[], depot_scenarios[], slab_scenarios[], message_scenarios[];

#endif
