/* SPDX-License-Identifier: Apache-2.0 */
/* What an iteration comes to, and how it is printed. */
#ifndef TOOLS_PERFTEST_SUMMARY_H
#define TOOLS_PERFTEST_SUMMARY_H

#include "tools/perftest/options.h"

struct summary_rates {
	unsigned workers;
	double mean, min, max; /* messages a second of a worker */
};

struct summary {
	double seconds;
	uint64_t count, transfers; /* messages of each publisher; publishes and receives of all */
	struct summary_rates publish, receive;
	double transfers_a_second; /* publishes plus receives */
	double client_busy; /* the part of the time in which its busiest loop had work; below 0: not known */
	double mb_a_second; /* of bodies, both ways, 2^20 bytes each */
};

void summary_rate(struct summary_rates *r, double messages_a_second);

/* Once all rates are in. seconds: from the start until the last message was received; above 0. */
void summary_finish(struct summary *s, double seconds, uint64_t count, uint64_t transfers, uint64_t size);

/* The mean of several. */
void summary_mean(struct summary *out, const struct summary *s, unsigned count);

/* `iteration` from 0 on; a format's head comes with the first one. */
void summary_print(FILE *out, const struct perftest_options *o, unsigned iteration, const struct summary *s);

/* After more than one: their mean, in the formats that show it. */
void summary_print_mean(FILE *out, const struct perftest_options *o, const struct summary *mean);

#endif
