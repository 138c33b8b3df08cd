/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_LATENCYTEST_REPORT_H
#define TOOLS_LATENCYTEST_REPORT_H

#include "tools/latencytest/options.h"
#include "tools/latencytest/recorder.h"

/* What was seen, in the format asked for. */
void report_print(FILE *out, const struct latency_options *o, const struct recorder *r);

#endif
