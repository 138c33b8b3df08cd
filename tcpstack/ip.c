/* SPDX-License-Identifier: Apache-2.0 */
/* What both versions of IP share: which addresses are ours, which of them a destination is reached from. */
#include "tcpstack/stack_impl.h"

bool ip_is_ours(const struct stack *s, const struct ip_addr *a)
{
	for (unsigned i = 0; i < s->config.address_count; i++)
		if (ip_equal(&s->config.addresses[i].address, a))
			return true;
	return false;
}

const struct stack_address *ip_on_link(const struct stack *s, const struct ip_addr *a)
{
	for (unsigned i = 0; i < s->config.address_count; i++) {
		const struct stack_address *own = &s->config.addresses[i];
		if (ip_in_prefix(a, &own->address, own->prefix_bits))
			return own;
	}
	return NULL;
}

const struct ip_addr *ip_source_for(const struct stack *s, const struct ip_addr *dst)
{
	const struct stack_address *own = ip_on_link(s, dst);

	for (unsigned i = 0; !own && i < s->config.address_count; i++)
		if (ip_is_v4(&s->config.addresses[i].address) == ip_is_v4(dst))
			own = &s->config.addresses[i];
	return own ? &own->address : NULL;
}

void ip_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_send *to)
{
	if (ip_is_v4(&to->dst))
		ipv4_output_take(s, m, to);
	else
		DROP(s, m, ip_no_route);
}
