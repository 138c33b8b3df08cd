/* SPDX-License-Identifier: Apache-2.0 */
/* A listener's allow and deny prefixes. */
#include "tcpstack/tcp_impl.h"

/* The length of the longest prefix that holds a, or -1. */
static int longest(const struct tcp_prefix *prefixes, uint32_t n, const struct ip_addr *a)
{
	int bits = -1;

	for (uint32_t i = 0; i < n; i++)
		if (prefixes[i].bits > bits && ip_in_prefix(a, &prefixes[i].address, prefixes[i].bits))
			bits = prefixes[i].bits;
	return bits;
}

bool tcp_filter_passes(const struct tcp_filter *filter, const struct ip_addr *peer)
{
	if (!filter)
		return true;
	int allow = longest(filter->allow, filter->allow_count, peer);
	int deny = longest(filter->deny, filter->deny_count, peer);

	if (allow < 0 && deny < 0)
		return filter->allow_count == 0;
	return allow > deny;
}
