/* SPDX-License-Identifier: Apache-2.0 */
/* What both versions of IP share: which addresses are ours, which of them a destination is reached from, and
 * through whom. */
#include "tcpstack/stack_impl.h"

static void own_add(struct stack *s, struct ip_addr address, uint8_t prefix_bits)
{
	struct ip_own *own = &s->own[s->own_count++];
	bool tested = ip_is_v4(&address) ? s->config.arp_probes : s->config.dad_transmits;

	*own = (struct ip_own){.stack = s,
		.address = address,
		.prefix_bits = prefix_bits,
		.state = tested ? STACK_ADDRESS_TENTATIVE : STACK_ADDRESS_USED};
}

/* RFC 4291 appendix A: the MAC with its universal bit turned and ff:fe in its middle. */
static struct ip_addr link_local_of(const uint8_t mac[6])
{
	struct ip_addr a = {.bytes = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe}};

	memcpy(a.bytes + 8, mac, 3);
	memcpy(a.bytes + 13, mac + 3, 3);
	a.bytes[8] ^= 2;
	return a;
}

void ip_init(struct stack *s)
{
	bool v6 = false, link_local = false;

	for (unsigned i = 0; i < s->config.address_count; i++) {
		const struct stack_address *a = &s->config.addresses[i];
		own_add(s, a->address, a->prefix_bits);
		v6 |= !ip_is_v4(&a->address);
		link_local |= ip_is_link_local(&a->address);
	}
	s->has_ipv6 = v6;
	s->ipv4_id = (uint16_t)stack_random(s); /* RFC 7739: not to be foreseen */
	if (v6 && !link_local)
		own_add(s, link_local_of(s->config.mac), 64);
}

bool ip_is_ours(const struct stack *s, const struct ip_addr *a)
{
	for (unsigned i = 0; i < s->own_count; i++)
		if (ip_equal(&s->own[i].address, a))
			return s->own[i].state == STACK_ADDRESS_USED;
	return false;
}

bool ip_is_configured(const struct stack *s, const struct ip_addr *a)
{
	for (unsigned i = 0; i < s->own_count; i++)
		if (ip_equal(&s->own[i].address, a))
			return true;
	return false;
}

const struct ip_own *ip_on_link(const struct stack *s, const struct ip_addr *a)
{
	for (unsigned i = 0; i < s->own_count; i++)
		if (ip_in_prefix(a, &s->own[i].address, s->own[i].prefix_bits))
			return &s->own[i];
	return NULL;
}

/* RFC 6724 section 5 as far as it tells our addresses apart: rule 2 (link-local ones reach link-local ones,
 * others others), then rule 8, the longest common prefix; the first of equals. */
static const struct ip_addr *source_v6(const struct stack *s, const struct ip_addr *dst)
{
	const struct ip_own *best = NULL;
	unsigned best_bits = 0;

	for (unsigned i = 0; i < s->own_count; i++) {
		const struct ip_own *own = &s->own[i];
		if (ip_is_v4(&own->address) || own->state != STACK_ADDRESS_USED ||
			ip_is_link_local(&own->address) != ip_is_link_local(dst))
			continue;
		unsigned bits = min_u32(ip_common_bits(&own->address, dst), own->prefix_bits);
		if (!best || bits > best_bits) {
			best = own;
			best_bits = bits;
		}
	}
	return best ? &best->address : NULL;
}

const struct ip_addr *ip_source_for(const struct stack *s, const struct ip_addr *dst)
{
	if (!ip_is_v4(dst))
		return source_v6(s, dst);
	const struct ip_own *own = ip_on_link(s, dst);
	if (own && own->state != STACK_ADDRESS_USED)
		own = NULL;
	for (unsigned i = 0; !own && i < s->own_count; i++)
		if (ip_is_v4(&s->own[i].address) && s->own[i].state == STACK_ADDRESS_USED)
			own = &s->own[i];
	return own ? &own->address : NULL;
}

bool ip_is_peer(const struct stack *s, const struct ip_addr *a)
{
	if (ip_is_v4(a))
		return !ipv4_source_impossible(s, ip_to_v4(a));
	return !ip_is_unspecified(a) && !ipv6_source_impossible(a) && !ip_is_ours(s, a);
}

bool ip_next_hop(struct stack *s, const struct ip_addr *dst, struct ip_addr *out)
{
	bool v4 = ip_is_v4(dst);

	if (v4 ? ip_on_link(s, dst) != NULL : ipv6_is_on_link(s, dst)) {
		*out = *dst;
		return true;
	}
	*out = v4 ? s->config.gateway_v4 : s->config.gateway_v6;
	return !ip_is_unspecified(out) || (!v4 && nd_router_pick(s, out));
}

uint16_t ip_mtu(const struct stack *s, const struct ip_addr *a)
{
	return ip_is_v4(a) ? s->config.mtu : s->nd.mtu;
}

void ip_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_send *to)
{
	struct ip_addr next_hop;

	if (!ip_next_hop(s, &to->dst, &next_hop)) {
		DROP(s, m, ip_no_route);
		return;
	}
	if (ip_is_v4(&to->dst))
		ipv4_header_put(s, m, to);
	else
		ipv6_header_put(s, m, to);
	neighbour_output_take(s, m, &next_hop);
}
