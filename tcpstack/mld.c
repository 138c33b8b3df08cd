/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast listener discovery, a listener's part of version 2 (RFC 3810, RFC 3590): switches pass the
 * solicitations for our addresses on only where they know who listens to their groups. One report names all
 * of them: twice when an address begins to be tested or the link comes up, and in answer to a query. */
#include "tcpstack/checksum.h"
#include "tcpstack/nd.h"

enum {
	MLD_REPORT = 143,
	MLD_QUERY_BYTES = 24,
	REPORTS = 2, /* the robustness variable */
	REPORT_US = 1000000,
	RECORD_BYTES = 20,
	TO_EXCLUDE = 4, /* "from now on everything", and "everything" in answer to a query */
	IS_EXCLUDE = 2,
	DELAY_MS_MAX = 10000,
};

static const struct ip_addr all_mld_routers = {.bytes = {0xff, 2, [15] = 0x16}};

static bool group_is_new(const struct stack *s, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (!ip_is_v4(&s->own[k].address) &&
			!memcmp(s->own[k].address.bytes + 13, s->own[i].address.bytes + 13, 3))
			return false;
	return !ip_is_v4(&s->own[i].address);
}

/* A record a group; returns the bytes. */
static uint32_t report_fill(const struct stack *s, uint8_t *p, uint8_t kind)
{
	uint32_t n = 8;
	uint16_t records = 0;

	for (unsigned i = 0; i < s->own_count; i++) {
		if (!group_is_new(s, i))
			continue;
		struct ip_addr group = nd_solicited_node(&s->own[i].address);
		memset(p + n, 0, 4);
		p[n] = kind;
		memcpy(p + n + 4, group.bytes, 16);
		n += RECORD_BYTES;
		records++;
	}
	memset(p, 0, 8);
	p[0] = MLD_REPORT;
	wire_put16(p + 6, records);
	return n;
}

static void report_send(struct stack *s, uint8_t kind)
{
	static const struct ip_addr nowhere;
	static const uint8_t group_mac[6] = {0x33, 0x33, 0, 0, 0, 0x16};
	const struct ip_addr *src = ip_source_for(s, &nd_link_local);
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (!m)
		return;
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, 8 + 8 + IP_OWN_MAX * RECORD_BYTES);
	struct ip_send to = {.src = src ? *src : nowhere, .dst = all_mld_routers, .hop_limit = 1};
	uint32_t n = report_fill(s, p + 8, kind);
	uint64_t sum = checksum_pseudo(&to.src, &to.dst, IP_PROTOCOL_ICMPV6, n);
	wire_put16(p + 10, (uint16_t)~checksum_fold(checksum_add(sum, p + 8, n)));
	/* Hop-by-hop options: a router alert (RFC 2711), and padding. */
	memcpy(p, (uint8_t[]){IP_PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0}, 8);
	frame_truncate(m, 8 + n);
	COUNT(s, mld_reports_out);
	ipv6_header_put(s, m, &to); /* protocol 0: hop-by-hop options */
	eth_output_take(s, m, group_mac, ETH_TYPE_IPV6);
}

static void mld_fire(struct timer *t, uint64_t now_us)
{
	struct stack *s = caa_container_of(t, struct stack, nd.mld_timer);

	report_send(s, s->nd.mld_left ? TO_EXCLUDE : IS_EXCLUDE);
	if (s->nd.mld_left && --s->nd.mld_left)
		timer_arm(&s->wheel, t, now_us + 1 + stack_random(s) % REPORT_US);
}

void mld_announce(struct stack *s)
{
	if (!s->config.mld || !s->has_ipv6 || s->config.passive)
		return;
	s->nd.mld_left = REPORTS;
	timer_arm(&s->wheel, &s->nd.mld_timer, s->now_us);
}

void mld_query_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	const uint8_t *p = frame_data(m);

	if (!s->config.mld || ip->length < MLD_QUERY_BYTES || ip->hop_limit != 1 ||
		!ip_is_link_local(&ip->src)) {
		DROP(s, m, icmp_other);
		return;
	}
	if (s->config.passive) {
		DROP(s, m, answered_elsewhere);
		return;
	}
	COUNT(s, mld_queries_in);
	uint64_t delay_us = stack_random(s) % (1000 * (uint64_t)min_u32(wire_get16(p + 4), DELAY_MS_MAX) + 1);
	if (!timer_armed(&s->nd.mld_timer))
		timer_arm(&s->wheel, &s->nd.mld_timer, s->now_us + delay_us);
	rte_pktmbuf_free(m);
}

void mld_init(struct stack *s)
{
	timer_init(&s->nd.mld_timer, mld_fire);
	mld_announce(s);
}
