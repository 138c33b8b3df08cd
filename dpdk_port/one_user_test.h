/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that become another user: root of a user namespace with a single user has nobody to become. */
#ifndef DPDK_PORT_ONE_USER_TEST_H
#define DPDK_PORT_ONE_USER_TEST_H

#include <stdbool.h>
#include <stdio.h>

static inline bool one_user_only(void)
{
	unsigned long first, outside, count;
	FILE *f = fopen("/proc/self/uid_map", "r");
	bool one = f && fscanf(f, "%lu %lu %lu", &first, &outside, &count) == 3 && count == 1;

	if (f)
		fclose(f);
	return one;
}

#endif
