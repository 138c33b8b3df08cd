/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/recorder.h"

void recorder_merge(struct recorder *into, const struct recorder *r)
{
	distribution_merge(&into->all, &r->all);
	distribution_merge(&into->calm, &r->calm);
	distribution_merge(&into->late, &r->late);
	distribution_merge(&into->floor, &r->floor);
	into->gaps.count += r->gaps.count;
	into->gaps.ns += r->gaps.ns;
	into->gaps.watched_ns += r->gaps.watched_ns;
	if (r->gaps.ns_max > into->gaps.ns_max)
		into->gaps.ns_max = r->gaps.ns_max;
}
