/* SPDX-License-Identifier: Apache-2.0 */
/* Router discovery (RFC 4861 section 6.3) for a host whose gateway is not configured: routers, the prefixes
 * that are on the link, MTU and times. Addresses are not made of prefixes (RFC 4862 section 5.5): a broker's
 * are its operator's. */
#include "tcpstack/nd.h"

enum {
	ROUTER_SOLICITS_MAX = 3,
	ROUTER_SOLICIT_US = 4000000,
	REACHABLE_MS_MAX = 3600000, /* section 6.2.1 */
	RETRANS_MS_MIN = 100,	    /* or a forged message would make us shout */
	RETRANS_MS_MAX = 60000,
	PREFIX_ON_LINK = 0x80,
};

static bool discovers(const struct stack *s)
{
	return s->has_ipv6 && s->config.router_discovery && ip_is_unspecified(&s->config.gateway_v6);
}

static bool router_valid(const struct stack *s, unsigned i)
{
	return s->nd.routers[i].until_us > s->now_us;
}

static int router_find(const struct stack *s, const struct ip_addr *addr)
{
	for (int i = 0; i < ND_ROUTERS_MAX; i++)
		if (router_valid(s, (unsigned)i) && ip_equal(&s->nd.routers[i].addr, addr))
			return i;
	return -1;
}

bool nd_is_router(const struct stack *s, const struct ip_addr *addr)
{
	return s->has_ipv6 && router_find(s, addr) >= 0;
}

void nd_router_remove(struct stack *s, const struct ip_addr *addr)
{
	int i = router_find(s, addr);

	if (i >= 0)
		s->nd.routers[i].until_us = 0;
}

void nd_router_failed(struct stack *s, const struct ip_addr *addr)
{
	if (nd_is_router(s, addr))
		s->nd.router_next = (s->nd.router_next + 1) % ND_ROUTERS_MAX;
}

/* Section 6.3.6: one that is known to be there before others, and those in turn. */
bool nd_router_pick(struct stack *s, struct ip_addr *out)
{
	for (int known = 1; known >= 0; known--) {
		for (unsigned n = 0; n < ND_ROUTERS_MAX; n++) {
			unsigned i = (s->nd.router_next + n) % ND_ROUTERS_MAX;
			if (!router_valid(s, i))
				continue;
			struct neighbour *e = neighbour_find(s, &s->nd.routers[i].addr);
			if (known && (!e || e->state == NEIGHBOUR_INCOMPLETE))
				continue;
			*out = s->nd.routers[i].addr;
			return true;
		}
	}
	return false;
}

static void solicit_fire(struct timer *t, uint64_t now_us)
{
	struct stack *s = caa_container_of(t, struct stack, nd.solicit_timer);
	struct ip_addr heard;

	if (nd_router_pick(s, &heard) || s->nd.solicits_left == 0)
		return;
	s->nd.solicits_left--;
	timer_arm(&s->wheel, t, now_us + ROUTER_SOLICIT_US);
	const struct ip_addr *src = ip_source_for(s, &nd_link_local);
	if (!src)
		return;
	if (nd_send(s, &(struct nd_message){.type = ND_ROUTER_SOLICIT,
			       .src = *src,
			       .dst = nd_all_routers,
			       .option = ND_OPTION_SOURCE_MAC}) == 0)
		COUNT(s, nd_router_solicits_out);
}

void nd_solicit_routers(struct stack *s)
{
	if (!discovers(s) || s->config.passive)
		return;
	s->nd.solicits_left = ROUTER_SOLICITS_MAX;
	timer_arm(&s->wheel, &s->nd.solicit_timer, s->now_us);
}

void nd_router_init(struct stack *s)
{
	timer_init(&s->nd.solicit_timer, solicit_fire);
	if (!s->config.dad_transmits) /* else when the link-local address is known to be free */
		nd_solicit_routers(s);
}

static void router_note(struct stack *s, const struct ip_addr *addr, uint16_t lifetime_s)
{
	int at = router_find(s, addr);

	for (int i = 0; at < 0 && lifetime_s && i < ND_ROUTERS_MAX; i++)
		if (!router_valid(s, (unsigned)i))
			at = i;
	if (at < 0) {
		if (lifetime_s)
			COUNT(s, nd_router_full);
		return;
	}
	s->nd.routers[at].addr = *addr;
	s->nd.routers[at].until_us = lifetime_s ? s->now_us + lifetime_s * 1000000ull : 0;
}

/* A prefix option: section 6.3.4. */
static void prefix_note(struct stack *s, const uint8_t *p)
{
	struct ip_addr prefix = ip_v6(p + 16);
	uint64_t lifetime_s = wire_get32(p + 4);
	int at = -1;

	if (!(p[3] & PREFIX_ON_LINK) || p[2] == 0 || p[2] > 128 || ip_is_link_local(&prefix) ||
		ip_is_multicast(&prefix) || ip_is_v4(&prefix))
		return;
	for (int i = 0; i < ND_PREFIXES_MAX; i++) {
		bool valid = s->nd.prefixes[i].until_us > s->now_us;
		if (valid && s->nd.prefixes[i].bits == p[2] &&
			ip_in_prefix(&prefix, &s->nd.prefixes[i].prefix, p[2])) {
			at = i;
			break;
		}
		if (!valid && at < 0)
			at = i;
	}
	if (at < 0) {
		COUNT(s, nd_router_full);
		return;
	}
	s->nd.prefixes[at].prefix = prefix;
	s->nd.prefixes[at].bits = p[2];
	s->nd.prefixes[at].until_us = s->now_us + lifetime_s * 1000000;
}

static void times_note(struct stack *s, const uint8_t *p)
{
	uint32_t reachable_ms = wire_get32(p + 8), retrans_ms = wire_get32(p + 12);

	if (p[4])
		s->nd.hop_limit = p[4];
	if (reachable_ms && reachable_ms <= REACHABLE_MS_MAX)
		s->nd.reachable_us = reachable_ms * 1000;
	if (retrans_ms)
		s->nd.retrans_us = min_u32(max_u32(retrans_ms, RETRANS_MS_MIN), RETRANS_MS_MAX) * 1000;
}

void nd_router_advert_take(
	struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, const struct nd_options *o)
{
	const uint8_t *p = frame_data(m);

	if (!ip_is_link_local(&ip->src)) {
		DROP(s, m, nd_malformed);
		return;
	}
	if (!discovers(s)) {
		DROP(s, m, nd_router_ignored);
		return;
	}
	COUNT(s, nd_router_adverts_in);
	router_note(s, &ip->src, wire_get16(p + 6));
	times_note(s, p);
	if (o->mtu >= IPV6_MTU_MIN && o->mtu <= s->config.mtu)
		s->nd.mtu = (uint16_t)o->mtu;
	for (unsigned i = 0; i < o->prefix_count; i++)
		prefix_note(s, o->prefix[i]);
	struct neighbour *e = o->source_mac ? neighbour_find_or_add(s, &ip->src) : NULL;
	if (e && (e->state == NEIGHBOUR_INCOMPLETE || memcmp(e->mac, o->source_mac, 6)))
		neighbour_set(s, e, o->source_mac, NEIGHBOUR_STALE);
	rte_pktmbuf_free(m);
}
